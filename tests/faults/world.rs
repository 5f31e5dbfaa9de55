//! A test's world: the site, the destination, the agent's lives, and all that was written.

use crate::rig::{
    Agent, Destination, Meeting, Site, Tally, append, check_but, eventually, is_long, lines, millis, seconds,
};
use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

pub(crate) struct World {
    name: &'static str,
    started: Instant,
    // Before the destination: it ends first.
    agent: Option<Agent>,
    pub(crate) site: Site,
    pub(crate) destination: Destination,
    /// Every line that was written.
    pub(crate) truth: Vec<Vec<u8>>,
    /// Of those, the ones that were destroyed when nobody could read them.
    pub(crate) lost: Vec<Vec<u8>>,
    /// Where the lines are written that show that a scan has come by; `{}` becomes a number.
    pub(crate) signpost: &'static str,
    /// How long it may take until something arrives.
    pub(crate) patience: Duration,
    /// ERROR lines of the agents that have ended.
    pub(crate) errors: Vec<Value>,
    written: usize,
    signposts: usize,
}

impl World {
    pub(crate) fn new(name: &'static str) -> World {
        let site = Site::new();
        World {
            name,
            started: Instant::now(),
            agent: None,
            site,
            destination: Destination::new(),
            truth: Vec::new(),
            lost: Vec::new(),
            signpost: "signpost-{}.jsonl",
            patience: seconds(if is_long() { 600 } else { 60 }),
            errors: Vec::new(),
            written: 0,
            signposts: 0,
        }
    }

    pub(crate) fn start(&mut self) {
        self.agent = Some(self.site.start(&self.destination));
    }

    /// By way of another command; see [`Site::start_by`].
    pub(crate) fn start_by(&mut self, way: &[&str]) {
        self.agent = Some(self.site.start_by(&self.destination, way));
    }

    pub(crate) fn agent(&self) -> &Agent {
        self.agent.as_ref().expect("it runs")
    }

    pub(crate) fn is_running(&self) -> bool {
        self.agent.is_some()
    }

    /// SIGTERM; its account must add up. Returns what is left to be asked.
    #[track_caller]
    pub(crate) fn stop(&mut self) -> Agent {
        let mut agent = self.agent.take().expect("it runs");
        agent.end();
        self.errors.extend(agent.errors());
        agent
    }

    pub(crate) fn kill(&mut self) {
        let mut agent = self.agent.take().expect("it runs");
        agent.kill_9();
        self.errors.extend(agent.errors());
    }

    /// From now on the destination refuses everything; what is already through is answered.
    pub(crate) fn down(&self) {
        self.destination.script(|_| Meeting::Answer(503, "", "no healthy upstream"));
    }

    pub(crate) fn up(&self) {
        self.destination.script(|_| Meeting::Pass);
    }

    /// New lines, which somebody is going to write.
    pub(crate) fn lines(&mut self, count: usize) -> Vec<Vec<u8>> {
        let lines = lines(&format!("l{}", self.written), count);
        self.written += 1;
        self.truth.extend_from_slice(&lines);
        lines
    }

    /// Appends new lines to a file. Returns them.
    pub(crate) fn write(&mut self, path: &Path, count: usize) -> Vec<Vec<u8>> {
        let lines = self.lines(count);
        append(path, &lines);
        lines
    }

    /// Waits until the agent has this file open, or needs nothing of it any more.
    #[track_caller]
    pub(crate) fn seen(&self, path: &Path) {
        let file = fs::metadata(path).unwrap();
        eventually(seconds(20), "the agent opens the file", || {
            self.agent().holds(&file) || self.destination.stored() >= self.truth.len()
        });
    }

    /// Waits until every line that must arrive has arrived.
    #[track_caller]
    pub(crate) fn arrives(&self) {
        let lost: HashSet<&Vec<u8>> = self.lost.iter().collect();
        self.arrive(self.truth.iter().filter(|line| !lost.contains(line)));
    }

    /// Waits until these lines have arrived.
    #[track_caller]
    fn arrive<'a>(&self, lines: impl Iterator<Item = &'a Vec<u8>>) {
        let mut left: HashSet<&[u8]> = lines.map(Vec::as_slice).collect();
        let (all, started, mut looked_at) = (left.len(), Instant::now(), 0);
        loop {
            let attempts = self.destination.attempts();
            for attempt in attempts[looked_at..].iter().filter(|attempt| attempt.is_stored) {
                attempt.entries.iter().for_each(|seen| _ = left.remove(&seen.body()[..]));
            }
            // The last ones can still become stored.
            looked_at = attempts.len().saturating_sub(64);
            drop(attempts);
            if left.is_empty() {
                return;
            }
            let is_dead = self.agent.as_ref().is_some_and(Agent::has_ended);
            if is_dead {
                // Its last words are on their way.
                thread::sleep(millis(200));
            }
            if is_dead || started.elapsed() > self.patience {
                let some: Vec<_> = left.iter().take(3).map(|line| String::from_utf8_lossy(line)).collect();
                let log = self.agent.as_ref().map(Agent::lines).unwrap_or_default();
                let end = &log[log.len().saturating_sub(12)..];
                panic!(
                    "{}: {} of {all} lines did not arrive within {:.0?}, among them {some:#?}; the agent's log ends with {end:#?}",
                    self.name,
                    left.len(),
                    started.elapsed()
                );
            }
            thread::sleep(millis(10));
        }
    }

    /// Waits until the agent has looked at all there is: what it wrongly takes for new is on its way by then.
    #[track_caller]
    pub(crate) fn settle(&mut self) {
        for _ in 0..2 {
            let path = self.site.log(&self.signpost.replace("{}", &self.signposts.to_string()));
            self.signposts += 1;
            let lines = self.write(&path, 1);
            self.arrive(lines.iter());
        }
    }

    /// Waits until the agent has looked, while the destination takes nothing.
    #[track_caller]
    pub(crate) fn settle_later(&mut self) {
        let path = self.site.log(&self.signpost.replace("{}", &self.signposts.to_string()));
        self.signposts += 1;
        self.write(&path, 1);
        self.seen(&path);
    }

    /// All of it arrives, nothing else does, and the agent stops with an account that adds up. `is_quiet`: nothing
    /// was alarmed as an error.
    #[track_caller]
    pub(crate) fn finish(&mut self, is_quiet: bool) -> Tally {
        self.arrives();
        self.settle();
        self.stop();
        assert_eq!(self.site.behind(), 0, "{:#?}", self.site.status());
        let tally = check_but(&self.destination, &self.truth, &self.lost);
        self.print(&tally);
        assert!(!is_quiet || self.errors.is_empty(), "{:#?}", self.errors);
        tally
    }

    /// These lines, which were written to one file from `start` on, arrived as one file's: under one name, each at its
    /// own place, whatever became of the file in between. Lost ones among them are passed over.
    #[track_caller]
    pub(crate) fn is_one_file<'a>(&self, lines: impl IntoIterator<Item = &'a Vec<u8>>, start: u64) {
        let attempts = self.destination.attempts();
        let stored = attempts.iter().filter(|attempt| attempt.is_stored).flat_map(|attempt| &attempt.entries);
        let found: HashMap<_, _> = stored.map(|seen| (seen.body(), seen)).collect();
        let (mut offset, mut name) = (start, None);
        for line in lines {
            if let Some(seen) = found.get(&line[..]) {
                let (text, this) = (offset.to_string(), seen.meta("auditship_file"));
                assert_eq!(seen.meta("auditship_offset"), Some(text.as_str()), "{}: {seen:?}", self.name);
                assert_eq!(
                    this,
                    *name.get_or_insert(this),
                    "{}: another file than its neighbour: {seen:?}",
                    self.name
                );
            }
            offset += line.len() as u64 + 1;
        }
        assert!(name.is_some(), "none of these lines arrived");
    }

    /// As [`World::finish`], and nothing was stored twice.
    #[track_caller]
    pub(crate) fn finish_once(&mut self) -> Tally {
        let tally = self.finish(true);
        assert_eq!(tally.duplicates(), 0, "{tally:?}");
        tally
    }

    pub(crate) fn print(&self, tally: &Tally) {
        println!(
            "{}: {} lines, {} missing ({} could be), {} duplicates, {} bytes resent, {:.1} s",
            self.name,
            self.truth.len(),
            tally.missing,
            self.lost.len(),
            tally.duplicates(),
            tally.resent_bytes.values().sum::<u64>(),
            self.started.elapsed().as_secs_f64()
        );
    }
}

/// How a program or a tool compresses what it has rotated.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Gzip,
    Zstd,
}

impl Kind {
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Kind::Gzip => ".gz",
            Kind::Zstd => ".zst",
        }
    }

    pub(crate) fn compress(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Kind::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(bytes).unwrap();
                encoder.finish().unwrap()
            }
            Kind::Zstd => zstd::encode_all(bytes, 3).unwrap(),
        }
    }

    /// As gzip(1) does it, but never half there: `path` becomes `path.gz` by way of `path.tmp`. Returns the new path.
    pub(crate) fn replace(self, path: &Path) -> PathBuf {
        let (temporary, new) = (with_suffix(path, ".tmp"), with_suffix(path, self.extension()));
        fs::write(&temporary, self.compress(&fs::read(path).unwrap())).unwrap();
        fs::rename(&temporary, &new).unwrap();
        fs::remove_file(path).unwrap();
        new
    }
}

/// The path with this at its end.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut text = path.as_os_str().to_owned();
    text.push(suffix);
    text.into()
}

/// Renames `path.1` to `path.2` and so on, with whatever comes after the number, and forgets what is older than
/// `keep`.
pub(crate) fn shift(path: &Path, keep: usize) {
    let find = |n: usize| {
        let candidates = ["", ".gz", ".zst"].map(|end| (with_suffix(path, &format!(".{n}{end}")), end));
        candidates.into_iter().find(|(path, _)| path.exists())
    };
    let last = (1..).take_while(|n| find(*n).is_some()).last().unwrap_or(0);
    for n in (1..=last).rev() {
        let Some((old, end)) = find(n) else { continue };
        if n >= keep {
            fs::remove_file(old).unwrap();
        } else {
            fs::rename(old, with_suffix(path, &format!(".{}{end}", n + 1))).unwrap();
        }
    }
}
