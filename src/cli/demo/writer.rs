//! The application that is audited: it appends lines to a file and rotates it by renaming. It remembers what it wrote,
//! so that nothing has to be read back from its files.

use crate::cli::Failure;
use sha2::{Digest as _, Sha256};
use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// SHA-256.
pub(super) type Digest = [u8; 32];

/// How often the file is renamed.
pub(super) const ROTATIONS: u64 = 4;

/// The sizes of the long lines: one that travels in parts to Splunk only, one that is whole at Elasticsearch only, and
/// one that no destination takes in one piece.
const LONG: [usize; 3] = [140 * 1024, 400 * 1024, 600 * 1024];

const CURRENT: &str = "app-audit.jsonl";

const TENANTS: [&str; 10] =
    ["acme", "bluebird", "cobalt", "dynamo", "ember", "fjord", "granite", "harbor", "indigo", "juniper"];

const EVENTS: [&str; 20] = [
    "user.login",
    "user.logout",
    "user.create",
    "user.delete",
    "user.password_change",
    "mfa.enroll",
    "mfa.challenge",
    "session.revoke",
    "role.assign",
    "role.revoke",
    "policy.update",
    "key.create",
    "key.rotate",
    "key.delete",
    "export.start",
    "export.download",
    "invoice.read",
    "invoice.update",
    "webhook.create",
    "settings.change",
];

/// A file as it was written, under its last name.
#[derive(Debug, Default)]
pub(super) struct WrittenFile {
    pub(super) name: String,
    pub(super) size: u64,
    /// Where each line begins and what it is, without its newline.
    pub(super) lines: Vec<(u64, Digest)>,
}

/// All that was written.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) files: Vec<WrittenFile>,
    /// Lines that shippers like to lose or change.
    pub(super) awkward: u64,
}

/// The running application. It does not outlive this value.
#[derive(Debug)]
pub(super) struct Writer {
    stop: Arc<AtomicBool>,
    lines: Arc<AtomicU64>,
    thread: Option<JoinHandle<io::Result<Written>>>,
}

impl Writer {
    /// Begins to write `lines` lines, spread over `time`.
    pub(super) fn start(folder: &Path, lines: u64, time: Duration) -> io::Result<Writer> {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let mut work = Work::new(folder)?;
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&done));
        let thread = std::thread::Builder::new().name("writer".into()).spawn(move || {
            work.all(lines, time, &stopped, &count)?;
            Ok(work.written)
        })?;
        Ok(Writer { stop, lines: done, thread: Some(thread) })
    }

    /// Lines so far.
    pub(super) fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// Whether nothing more comes.
    pub(super) fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// What was written.
    pub(super) fn finish(mut self) -> Result<Written, Failure> {
        let failed = |why: String| Failure::Failed(format!("demo: cannot write the audit files: {why}"));
        let Some(thread) = self.thread.take() else { return Err(failed("it was stopped".into())) };
        let result = thread.join().map_err(|_| failed("the writer broke".into()))?;
        result.map_err(|error| failed(error.to_string()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Nobody asks for its result any more.
            let _ = thread.join();
        }
    }
}

struct Work {
    folder: PathBuf,
    file: File,
    /// Bytes that are not in the file yet.
    waiting: Vec<u8>,
    last: Vec<u8>,
    written: Written,
    this: WrittenFile,
}

impl Work {
    fn new(folder: &Path) -> io::Result<Work> {
        Ok(Work {
            folder: folder.to_owned(),
            file: create(folder)?,
            waiting: Vec::new(),
            last: Vec::new(),
            written: Written::default(),
            this: WrittenFile::default(),
        })
    }

    fn all(&mut self, lines: u64, time: Duration, stop: &AtomicBool, count: &AtomicU64) -> io::Result<()> {
        let start = Instant::now();
        let mut number = 0;
        while number < lines && !stop.load(Ordering::Relaxed) {
            let share = (start.elapsed().as_secs_f64() / time.as_secs_f64().max(0.001)).min(1.0);
            let due = (lines as f64 * share).ceil() as u64;
            while number < due {
                if number > 0 && number.is_multiple_of((lines / (ROTATIONS + 1)).max(1)) {
                    self.rotate()?;
                }
                let line = self.line(number, lines);
                self.add(line);
                number += 1;
            }
            self.flush()?;
            count.store(number, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(5));
        }
        self.seal(CURRENT.to_owned());
        Ok(())
    }

    fn add(&mut self, line: Vec<u8>) {
        self.this.lines.push((self.this.size, Sha256::digest(&line).into()));
        self.this.size += line.len() as u64 + 1;
        self.waiting.extend_from_slice(&line);
        self.waiting.push(b'\n');
        self.last = line;
    }

    /// In two pieces that do not end where a line ends, as a buffered logger writes.
    fn flush(&mut self) -> io::Result<()> {
        let (first, second) = self.waiting.split_at(self.waiting.len() / 2);
        self.file.write_all(first)?;
        self.file.write_all(second)?;
        self.waiting.clear();
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let nth = self.written.files.len() as u64 + 1;
        // What a division leaves over belongs to the last file.
        if nth > ROTATIONS {
            return Ok(());
        }
        self.flush()?;
        let name = format!("app-audit-{nth}.jsonl");
        fs::rename(self.folder.join(CURRENT), self.folder.join(&name))?;
        self.file = create(&self.folder)?;
        self.seal(name);
        Ok(())
    }

    fn seal(&mut self, name: String) {
        let file = std::mem::take(&mut self.this);
        self.written.files.push(WrittenFile { name, ..file });
    }

    fn line(&mut self, number: u64, lines: u64) -> Vec<u8> {
        let long = [lines / 10, lines / 2, lines / 10 * 9].iter().position(|place| *place == number);
        let kind = if long.is_some() { u64::MAX } else { number % 500 };
        self.written.awkward += u64::from(matches!(kind, u64::MAX | 100 | 200 | 300 | 400 | 450));
        match kind {
            u64::MAX => event(number, &"größer ".repeat(long.map_or(0, |nth| LONG[nth]) / "größer ".len())),
            100 => format!("panic in handler {number}: this is not JSON").into_bytes(),
            200 => {
                let mut line = event(number, "Stra?e");
                if let Some(at) = line.iter().position(|byte| *byte == b'?') {
                    // ISO 8859-1, as old systems still send it: not UTF-8.
                    line[at] = 0xdf;
                }
                line
            }
            300 => Vec::new(),
            // The same bytes twice are two lines.
            400 => self.last.clone(),
            450 => [event(number, "written on Windows"), b"\r".to_vec()].concat(),
            _ => event(number, "ok"),
        }
    }
}

fn create(folder: &Path) -> io::Result<File> {
    File::options().create_new(true).append(true).open(folder.join(CURRENT))
}

/// One audit event. Its ids stay in the body.
fn event(number: u64, note: &str) -> Vec<u8> {
    let tenant = TENANTS[fastrand::usize(..TENANTS.len())];
    let event = EVENTS[fastrand::usize(..EVENTS.len())];
    let now = jiff::Timestamp::now();
    format!(
        r#"{{"ts":"{now:.3}","event_type":"{event}","tenant":"{tenant}","event_id":"{:032x}","actor":{{"id":"u-{:05}","ip":"10.{}.{}.{}"}},"resource":{{"type":"{}","id":"r-{:08x}"}},"outcome":"{}","request_id":"{:016x}","n":{number},"note":"{note}"}}"#,
        fastrand::u128(..),
        fastrand::u32(..100_000),
        fastrand::u8(..),
        fastrand::u8(..),
        fastrand::u8(..),
        event.split('.').next().unwrap_or(event),
        fastrand::u32(..),
        if fastrand::u8(..10) == 0 { "denied" } else { "success" },
        fastrand::u64(..),
    )
    .into_bytes()
}
