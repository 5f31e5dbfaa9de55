//! What writes the audit files, and knows what it wrote.

use fastrand::Rng;
use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// An audit line like those of an application, without its newline. No two are equal: `id` is in it.
pub(crate) fn event(id: &str, event_type: &str, tenant: &str) -> Vec<u8> {
    let now = jiff::Timestamp::now();
    format!(
        "{{\"ts\":\"{now:.3}\",\"id\":\"{id}\",\"event_type\":\"{event_type}\",\"tenant\":\"{tenant}\",\
         \"user\":\"Zoë Łukaszewicz 漢\",\"object\":\"/api/v1/accounts/4711/transfers\",\"result\":\"allowed\"}}"
    )
    .into_bytes()
}

/// `count` of them.
pub(crate) fn lines(prefix: &str, count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|n| event(&format!("{prefix}-{n}"), ["login", "read"][n % 2], ["acme", "umbrella"][n / 2 % 2]))
        .collect()
}

/// Appends lines, each with its newline, in one write.
pub(crate) fn append(path: &Path, lines: &[Vec<u8>]) {
    let mut bytes = lines.join(&b'\n');
    bytes.push(b'\n');
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(&bytes).unwrap();
}

/// Writes until it is stopped, to several files at once, and flushes wherever chance says: in the middle of lines and
/// of characters.
pub(crate) struct Writer {
    is_stopped: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Vec<u8>>>,
}

struct OpenFile {
    path: PathBuf,
    file: File,
    /// Written by the application, not yet by its buffer.
    pending: Vec<u8>,
}

impl OpenFile {
    fn new(path: PathBuf) -> OpenFile {
        let file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
        OpenFile { path, file, pending: Vec::new() }
    }

    fn flush(&mut self, len: usize) {
        self.file.write_all(&self.pending[..len]).unwrap();
        self.pending.drain(..len);
    }
}

impl Writer {
    /// `rate` lines a second, over all of `paths`. Every `rotate`, the first file is renamed and begun anew.
    pub(crate) fn start(paths: Vec<PathBuf>, rate: u32, rotate: Option<Duration>, mut rng: Rng) -> Writer {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&is_stopped);
        let thread = thread::spawn(move || {
            let mut files: Vec<OpenFile> = paths.into_iter().map(OpenFile::new).collect();
            let mut truth: Vec<Vec<u8>> = Vec::new();
            let (start, mut rotations) = (Instant::now(), 0);
            while !stopped.load(Ordering::Relaxed) {
                let due = (start.elapsed().as_secs_f64() * f64::from(rate)) as usize;
                while truth.len() < due {
                    let line = any_line(truth.len(), &mut rng);
                    let file = rng.choice(&mut files).unwrap();
                    file.pending.extend_from_slice(&line);
                    file.pending.push(b'\n');
                    truth.push(line);
                }
                for file in &mut files {
                    let len = rng.usize(..=file.pending.len());
                    file.flush(len);
                }
                if rotate.is_some_and(|every| start.elapsed() >= every * (rotations + 1)) {
                    rotations += 1;
                    let file = &mut files[0];
                    // A program finishes its line before it rotates.
                    file.flush(file.pending.len());
                    let old = file.path.with_extension(format!("{rotations}.jsonl"));
                    fs::rename(&file.path, old).unwrap();
                    *file = OpenFile::new(file.path.clone());
                }
                thread::sleep(Duration::from_millis(5));
            }
            files.iter_mut().for_each(|file| file.flush(file.pending.len()));
            truth
        });
        Writer { is_stopped, thread }
    }

    /// Stops it. Returns every line that it wrote.
    pub(crate) fn stop(self) -> Vec<Vec<u8>> {
        self.is_stopped.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Mostly events; now and then what real logs have too: no time of their own, no JSON, no UTF-8.
fn any_line(n: usize, rng: &mut Rng) -> Vec<u8> {
    let id = format!("w-{n}");
    match rng.u32(..100) {
        0 => format!("{{\"id\":\"{id}\",\"event_type\":\"login\"}}").into_bytes(),
        1 => format!("panic: {id} is not JSON").into_bytes(),
        2 => [b"{\"id\":\"", id.as_bytes(), b"\",\"event_type\":\"read\",\"name\":\"M\xfcller\"}"].concat(),
        _ => {
            let kinds = ["login", "read", "write", "delete"];
            event(&id, kinds[rng.usize(..kinds.len())], ["acme", "umbrella", "initech"][rng.usize(..3)])
        }
    }
}
