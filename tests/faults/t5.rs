//! `kill -9`, two hundred times, while ten files are written in pieces, rotated and compressed, and the destination
//! always has a request in the air.

use crate::{
    rig::{Action, Destination, Meeting, Site, chance, check, event, eventually, is_long, millis, seconds},
    world::{Kind, shift, with_suffix},
};
use fastrand::Rng;
use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const KILLS: u32 = 200;
const FILES: usize = 10;
const WINDOW: u64 = 2 << 20;

/// Lines a second, over all files.
fn rate() -> f64 {
    if is_long() { 5000.0 } else { 1500.0 }
}

/// How long the agent lives, in milliseconds.
fn life(rng: &mut Rng) -> Duration {
    millis(if is_long() { rng.u64(0..900) } else { rng.u64(0..450) })
}

struct Log {
    path: PathBuf,
    file: File,
    /// Written by the application, not yet by its buffer.
    pending: Vec<u8>,
    rotations: u32,
}

impl Log {
    fn new(path: PathBuf) -> Log {
        let file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
        Log { path, file, pending: Vec::new(), rotations: 0 }
    }

    fn flush(&mut self, len: usize) {
        self.file.write_all(&self.pending[..len]).unwrap();
        self.pending.drain(..len);
    }

    /// The newest rotated file stays as it is, the one before it is compressed; nothing is deleted.
    fn rotate(&mut self) {
        // A program finishes its line before it rotates.
        self.flush(self.pending.len());
        let newest = with_suffix(&self.path, ".1");
        if newest.exists() {
            let kind = if self.rotations.is_multiple_of(2) { Kind::Gzip } else { Kind::Zstd };
            kind.replace(&newest);
        }
        shift(&self.path, usize::MAX);
        fs::rename(&self.path, newest).unwrap();
        self.file = OpenOptions::new().append(true).create(true).open(&self.path).unwrap();
        self.rotations += 1;
    }
}

/// Writes until it is told to stop. Returns every line, and how many rotations there were.
fn write(paths: Vec<PathBuf>, rotate: Duration, is_stopped: &AtomicBool, mut rng: Rng) -> (Vec<Vec<u8>>, u32) {
    let mut logs: Vec<Log> = paths.into_iter().map(Log::new).collect();
    let mut truth = Vec::new();
    let start = Instant::now();
    while !is_stopped.load(Ordering::Relaxed) {
        let due = (start.elapsed().as_secs_f64() * rate()) as usize;
        while truth.len() < due {
            let line = event(&format!("t5-{}", truth.len()), "login", "acme");
            let log = rng.choice(&mut logs).unwrap();
            log.pending.extend_from_slice(&line);
            log.pending.push(b'\n');
            truth.push(line);
        }
        for (n, log) in logs.iter_mut().enumerate() {
            // Wherever chance says: inside characters, and between a line and its newline.
            let len = rng.usize(..=log.pending.len());
            log.flush(len);
            // Not all at once.
            let due = start.elapsed() + rotate * n as u32 / FILES as u32;
            if due >= rotate * (log.rotations + 1) {
                log.rotate();
            }
        }
        // How fast a program flushes; nothing is waited for.
        thread::sleep(millis(5));
    }
    logs.iter_mut().for_each(|log| log.flush(log.pending.len()));
    (truth, logs.iter().map(|log| log.rotations).sum())
}

#[test]
fn two_hundred_kills_lose_nothing_and_tear_nothing() {
    let started = Instant::now();
    let mut rng = chance("t5");
    let destination = Destination::new();
    // A batch is always on its way.
    destination.script(|_| Action { before: Duration::ZERO, after: millis(300), meeting: Meeting::Pass });
    let mut site = Site::new();
    site.output = format!("window = \"{}MiB\"\nbatch = {{ max_wait = \"20ms\" }}", WINDOW >> 20);
    let paths = (0..FILES).map(|n| site.log(&format!("app{n}.jsonl"))).collect();
    let is_stopped = Arc::new(AtomicBool::new(false));
    let writer = {
        let (is_stopped, rng) = (Arc::clone(&is_stopped), rng.fork());
        let rotate = if is_long() { seconds(20) } else { seconds(6) };
        thread::spawn(move || write(paths, rotate, &is_stopped, rng))
    };
    let mut lives: HashSet<u32> = HashSet::new();
    for _ in 0..KILLS {
        let mut agent = site.start(&destination);
        // Chance itself is the test here.
        thread::sleep(life(&mut rng));
        agent.kill_9();
    }
    is_stopped.store(true, Ordering::Relaxed);
    let (truth, rotations) = writer.join().unwrap();
    lives.extend(destination.attempts().iter().map(|attempt| attempt.life));
    let by_then = destination.stored();
    destination.script(|_| Meeting::Pass);
    let mut agent = site.start(&destination);
    eventually(seconds(60), "the rest arrives", || destination.stored() >= truth.len());
    agent.end();
    assert_eq!(site.behind(), 0);

    // Also that no line is torn: a piece of one would be a line that nobody wrote.
    let tally = check(&destination, &truth);
    let most = tally.resent_bytes.values().max().copied().unwrap_or(0);
    println!(
        "t5: {KILLS} kills, {} lives with pushes, {rotations} rotations, {} lines, {by_then} stored by then, {} missing, \
         {} duplicates, {} bytes resent, at most {most} after one kill (window {WINDOW}), {:.1} s",
        lives.len(),
        truth.len(),
        tally.missing,
        tally.duplicates(),
        tally.resent_bytes.values().sum::<u64>(),
        started.elapsed().as_secs_f64()
    );
    assert!(most <= WINDOW, "{most} bytes were sent again after one kill");
    // Otherwise the test has shown nothing.
    assert!(lives.len() > KILLS as usize / 8 && tally.resent_lines > 0, "{} lives: {tally:?}", lives.len());
    assert!(rotations as usize >= 3 * FILES, "only {rotations} rotations");
}
