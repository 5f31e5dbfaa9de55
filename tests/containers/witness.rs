//! Follows a container's log through its rotations and says what the runtime wrote, and into which file. It holds the
//! file that is written to open, so that nothing that is renamed over or unlinked escapes it.

use crate::{rig::millis, story::Story};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Docker,
    Cri,
}

/// What it has seen so far.
#[derive(Default)]
pub(crate) struct Seen {
    /// How many files the log has had.
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    pub(crate) pieces: usize,
    /// Lines that are complete, of both streams.
    pub(crate) complete: usize,
    /// Complete audit lines: their number in the story, and the file in which they begin.
    pub(crate) audits: Vec<(usize, usize)>,
    /// Lines whose pieces lie in more than one file.
    pub(crate) across: usize,
    /// By stream: the file in which its open line begins.
    open: [Option<usize>; 2],
    /// By stream: the number of the line that is open or comes next.
    next: [Option<usize>; 2],
}

impl Seen {
    /// The audit lines from the `from`th on that began in a file before this one. An open one has no number yet.
    pub(crate) fn before(&self, story: &Story, file: usize, from: usize) -> Vec<Option<usize>> {
        let complete = self.audits[from..].iter().filter(|(_, first)| *first < file).map(|(n, _)| Some(*n));
        let open = self.open.iter().zip(&self.next).filter_map(|(first, n)| {
            let is_audit = story.lines[(*n)?].body().is_some();
            ((*first)? < file && is_audit).then_some(None)
        });
        complete.chain(open).collect()
    }

    /// How many of these audit lines begin in which file, and how many files there are.
    pub(crate) fn places(&self, lines: &[Option<usize>]) -> (BTreeMap<usize, usize>, usize) {
        let mut places = BTreeMap::new();
        for (_, first) in self.audits.iter().filter(|(n, _)| lines.contains(&Some(*n))) {
            *places.entry(*first).or_default() += 1;
        }
        (places, self.files)
    }
}

pub(crate) struct Witness {
    seen: Arc<Mutex<Seen>>,
    is_stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Witness {
    pub(crate) fn start(path: PathBuf, form: Form, story: Arc<Story>) -> Witness {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let is_stopped = Arc::new(AtomicBool::new(false));
        let follower = Follower {
            path,
            form,
            story,
            seen: Arc::clone(&seen),
            is_stopped: Arc::clone(&is_stopped),
            joins: Default::default(),
        };
        let thread = Some(thread::spawn(move || follower.run()));
        Witness { seen, is_stopped, thread }
    }

    /// Fails when the runtime has written something else than the story.
    #[track_caller]
    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("the runtime writes what it is given")
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        let end = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || end.is_none_or(|end| end.is_ok()), "the follower failed");
    }
}

struct Follower {
    path: PathBuf,
    form: Form,
    story: Arc<Story>,
    seen: Arc<Mutex<Seen>>,
    is_stopped: Arc<AtomicBool>,
    /// By stream: what is there of its line, and how many of its lines are complete.
    joins: [(Vec<u8>, usize); 2],
}

impl Follower {
    fn run(mut self) {
        while !self.is_stopped.load(Ordering::Relaxed) {
            match File::open(&self.path) {
                Ok(file) => self.follow(file),
                Err(_) => thread::sleep(millis(1)),
            }
        }
    }

    /// One file, until another is in its place.
    fn follow(&mut self, mut file: File) {
        let inode = file.metadata().unwrap().ino();
        self.seen.lock().unwrap().files += 1;
        let (mut bytes, mut is_last) = (Vec::new(), false);
        let mut chunk = vec![0; 256 * 1024];
        loop {
            match file.read(&mut chunk).unwrap() {
                0 if is_last || self.is_stopped.load(Ordering::Relaxed) => break,
                // A runtime goes on in the new file only, so what is read from here on is all there is.
                0 => match fs::metadata(&self.path) {
                    Ok(now) if now.ino() == inode => thread::sleep(millis(1)),
                    Ok(_) => is_last = true,
                    Err(_) => thread::sleep(millis(1)),
                },
                len => {
                    bytes.extend_from_slice(&chunk[..len]);
                    let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
                    let rest = bytes.split_off(whole);
                    self.take(&std::mem::replace(&mut bytes, rest));
                }
            }
        }
        assert!(bytes.is_empty() || !is_last, "a runtime's line goes on in the next file");
    }

    fn take(&mut self, lines: &[u8]) {
        let mut seen = self.seen.lock().unwrap();
        seen.bytes += lines.len() as u64;
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            let (stream, content, is_end) = match self.form {
                Form::Docker => docker(line),
                Form::Cri => cri(line),
            };
            let file = seen.files - 1;
            seen.pieces += 1;
            let (open, complete) = &mut self.joins[stream];
            open.extend_from_slice(&content);
            let first = *seen.open[stream].get_or_insert(file);
            let n = self.story.streams[stream].get(*complete).copied();
            seen.next[stream] = n;
            if !is_end {
                continue;
            }
            let line = &self.story.lines[n.expect("no more lines than were written")];
            let is_same = match self.form {
                Form::Docker => String::from_utf8_lossy(&line.bytes).as_bytes() == open,
                Form::Cri => line.bytes == *open,
            };
            assert!(is_same, "line {n:?}: {:?} became {:?}", text(&line.bytes), text(open));
            open.clear();
            *complete += 1;
            seen.complete += 1;
            seen.across += usize::from(first != file);
            if let (Some(n), Some(_)) = (n, line.body()) {
                seen.audits.push((n, first));
            }
            seen.open[stream] = None;
        }
    }
}

fn text(bytes: &[u8]) -> String {
    format!("{} ({} bytes)", String::from_utf8_lossy(&bytes[..bytes.len().min(200)]), bytes.len())
}

fn stream(name: &str) -> usize {
    match name {
        "stdout" => 0,
        "stderr" => 1,
        _ => panic!("no stream: {name}"),
    }
}

/// The stream, the content and whether it ends a line.
fn docker(line: &[u8]) -> (usize, Vec<u8>, bool) {
    let value: serde_json::Value = serde_json::from_slice(line).expect("an object");
    let mut content = value["log"].as_str().expect("a text").as_bytes().to_vec();
    let is_end = content.last() == Some(&b'\n');
    if is_end {
        content.pop();
    }
    (stream(value["stream"].as_str().expect("a name")), content, is_end)
}

fn cri(line: &[u8]) -> (usize, Vec<u8>, bool) {
    let mut fields = line.strip_suffix(b"\n").unwrap().splitn(4, |byte| *byte == b' ');
    let mut next = || fields.next().expect("four fields");
    let (_, name, tag, content) = (next(), next(), next(), next());
    assert!(tag == b"F" || tag == b"P", "{tag:?}");
    (stream(std::str::from_utf8(name).unwrap()), content.to_vec(), tag == b"F")
}
