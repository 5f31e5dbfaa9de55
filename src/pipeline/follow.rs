//! The follow thread: finds files, keeps their identity, and tells the lanes.

use super::{
    alarm,
    lane::Event,
    plan::wall_clock,
    settings::{Source, StartAt},
};
use crate::{
    ack::FileKey,
    discover::{Hint, Hints, Pattern, PatternError, Search, scan},
    model::{Chain, Mark, Point},
    state::{Entry, Store},
    tail::{Change, Clock, Registry, Remembered, TailFile},
};
use rustix::time::{ClockId, clock_gettime};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender},
    },
    time::{Duration, Instant},
};

/// Hints are answered at most this often: a busy file gives thousands a second.
const HINT_PAUSE: Duration = Duration::from_millis(20);
/// A scan may use one part in this many of one core while notifications work.
const SCAN_SHARE: u32 = 200;
/// Scans that hints ask for may use one part in this many of one core.
const HINTED_SHARE: u32 = 10;
/// Hints that wait to be looked at; when there are more, a scan answers them all.
pub(super) const HINTS: usize = 1024;

/// Every reason for which the follow thread wakes up.
#[derive(Debug)]
pub(super) enum FollowEvent {
    /// The file system says that something changed.
    Hint(Hint),
    /// A lane found that this content was truncated away.
    Replaced(FileKey),
    /// The end.
    Stop,
}

/// One output, as the follow thread sees it.
pub(super) struct Target {
    pub name: String,
    /// By source.
    pub takes: Vec<bool>,
    pub lane: Sender<Event>,
}

/// The follow thread's state.
pub(super) struct Follow {
    searches: Vec<Search>,
    start_at: Vec<StartAt>,
    sources: Vec<String>,
    registry: Registry,
    targets: Vec<Target>,
    store: Arc<Store>,
    /// Source and output whose files have been listed once.
    listed: BTreeSet<(String, String)>,
    interval: Duration,
    hints: Option<Hints>,
    /// Paths with a problem that has been said.
    said: HashSet<PathBuf>,
    started: Instant,
    /// When hints may cause a scan again.
    next_hinted: Instant,
    /// More hints came than the channel holds.
    overflow: Arc<AtomicBool>,
}

impl Follow {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn new(
        sources: &[Source],
        host: String,
        targets: Vec<Target>,
        store: Arc<Store>,
        machine: Vec<u8>,
        interval: Duration,
        started: Instant,
        hints_to: Option<SyncSender<FollowEvent>>,
    ) -> Result<Follow, PatternError> {
        let memory = store.memory();
        let remembered = memory.files.values().map(|known| Remembered {
            known: known.clone(),
            points: memory.cursors.values().filter_map(|c| c.get(&known.origin.name)).copied().collect(),
        });
        let names: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
        let nonce = Box::new(|| fastrand::u64(..));
        let registry = Registry::new(machine, host, names.clone(), targets.len(), remembered.collect(), nonce);
        let overflow = Arc::new(AtomicBool::new(false));
        let hints = hints_to.and_then(|sender| watch(sender, Arc::clone(&overflow)));
        let mut listed = memory.sources;
        if store.is_damaged() {
            // What is missing may have been read before: its end now is not the end of first sight.
            let pairs =
                targets.iter().flat_map(|target| names.iter().map(|name| (name.clone(), target.name.clone())));
            for (source, output) in pairs {
                if listed.insert((source.clone(), output.clone())) {
                    store.append([Entry::Source { source, output }]);
                }
            }
        }
        Ok(Follow {
            searches: sources
                .iter()
                .map(|source| Search::new(&source.include, &source.exclude))
                .collect::<Result<_, _>>()?,
            start_at: sources.iter().map(|source| source.start_at).collect(),
            sources: names,
            registry,
            targets,
            store,
            listed,
            interval,
            hints,
            said: HashSet::new(),
            started,
            next_hinted: started,
            overflow,
        })
    }

    /// Scans, and waits for the next reason to look, until it is stopped. Returns the paths that it could not use.
    pub(super) fn run(mut self, events: &Receiver<FollowEvent>) -> Vec<PathBuf> {
        let mut is_first = true;
        loop {
            let pause = self.scan();
            if std::mem::take(&mut is_first) {
                self.all_listed();
            }
            if !self.wait(events, Instant::now() + pause) {
                return self.said.into_iter().collect();
            }
        }
    }

    /// One complete scan. Returns the pause until the next.
    fn scan(&mut self) -> Duration {
        let before = clock_gettime(ClockId::ThreadCPUTime);
        self.overflow.store(false, Ordering::Release);
        let found = scan(&self.searches);
        let mut problems: HashMap<PathBuf, io::Error> = found.problems.into_iter().collect();
        let now = self.clock();
        let changes = self.registry.look(found.files, now);
        problems.extend(self.apply(changes));
        for (path, error) in problems.iter().filter(|(path, _)| !self.said.contains(*path)) {
            alarm::unusable_path(path, error);
        }
        self.said = problems.into_keys().collect();
        let mut is_watching = false;
        if let Some(hints) = &mut self.hints {
            for (path, error) in hints.watch(&found.folders, Instant::now()) {
                alarm::unwatchable(&path, &error);
            }
            is_watching = hints.is_complete();
        }
        let after = clock_gettime(ClockId::ThreadCPUTime);
        let cost = Duration::try_from(after)
            .unwrap_or_default()
            .saturating_sub(Duration::try_from(before).unwrap_or_default());
        self.next_hinted = Instant::now() + cost.saturating_mul(HINTED_SHARE);
        if is_watching { self.interval.max(cost.saturating_mul(SCAN_SHARE)) } else { self.interval }
    }

    /// Answers hints until a scan is due. `false`: stop.
    fn wait(&mut self, events: &Receiver<FollowEvent>, mut until: Instant) -> bool {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            if self.overflow.load(Ordering::Acquire) {
                until = until.min(self.next_hinted);
            }
            let mut event = match events.recv_timeout(left) {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            };
            let mut changes = Vec::new();
            let mut looked: HashSet<PathBuf> = HashSet::new();
            let mut wants_scan = false;
            let now = self.clock();
            while let Some(next) = event {
                match next {
                    FollowEvent::Stop => return false,
                    FollowEvent::Replaced(key) => self.registry.replace(key, now, &mut changes),
                    FollowEvent::Hint(Hint::Scan) => wants_scan = true,
                    FollowEvent::Hint(Hint::Changed(path)) => {
                        if looked.insert(path.clone()) && !self.registry.look_at(&path, now, &mut changes) {
                            wants_scan |= self.is_wanted(&path);
                        }
                    }
                }
                event = events.try_recv().ok();
            }
            // What cannot be opened now is said by the next scan.
            self.apply(changes);
            std::thread::sleep(HINT_PAUSE);
            if wants_scan {
                until = until.min(self.next_hinted);
            }
        }
    }

    fn is_wanted(&self, path: &std::path::Path) -> bool {
        let is_match = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.is_match(path));
        self.searches.iter().any(|search| is_match(&search.include) && !is_match(&search.exclude))
    }

    /// Returns what cannot be opened.
    fn apply(&mut self, changes: Vec<Change>) -> Vec<(PathBuf, io::Error)> {
        let mut has_grown = false;
        let mut problems = Vec::new();
        for change in changes {
            match change {
                Change::Grew => has_grown = true,
                Change::HeadGrew(known) => {
                    self.store.append([Entry::File(known)]);
                }
                Change::Opened { file, is_remembered } => self.opened(&file, is_remembered),
                Change::Closed { key } => self.closed(key),
                Change::Destroyed(known) => {
                    alarm::destroyed(&known.origin);
                    self.store.append([Entry::Gone(known.origin.name)]);
                }
                Change::Forgotten(name) => self.store.append([Entry::Gone(name)]),
                Change::Gone { key, name } => {
                    self.store.append([Entry::Gone(name)]);
                    self.closed(key);
                }
                Change::Unreadable { path, error } => problems.push((path, error)),
            }
        }
        if has_grown {
            self.tell_all(|| Event::Grew);
        }
        problems
    }

    fn opened(&mut self, file: &Arc<TailFile>, is_remembered: bool) {
        if !is_remembered {
            self.store.append([Entry::File(file.known.clone())]);
        }
        for (index, target) in self.targets.iter().enumerate() {
            if target.takes.get(file.source) != Some(&true) {
                file.let_go(index);
                continue;
            }
            // As of now: it may have been followed before in this run.
            let point = match self.store.point(&target.name, file.name()) {
                Some(point) => point,
                None => self.first_point(file, target),
            };
            // A lane that has ended wants no more files.
            let _ = target.lane.send(Event::Opened(Arc::clone(file), Box::new(point)));
        }
    }

    /// Where an output begins in a file that it has not read before.
    fn first_point(&self, file: &TailFile, target: &Target) -> Point {
        let start =
            Point { rewind: 0, at: 0, seq: 0, chain: Chain::start(file.name()), time: None, mark: Mark::default() };
        let source = self.sources.get(file.source).cloned().unwrap_or_default();
        // A file that appears after the first look was written after it: all of it is new.
        let is_old = !self.listed.contains(&(source, target.name.clone())) && file.known.generation == 0;
        if self.start_at.get(file.source) != Some(&StartAt::End) || !is_old {
            return start;
        }
        match file.end_of_last_line() {
            Ok((at, mark)) => {
                let point = Point { rewind: at, at, mark, ..start };
                // Kept at once: after a crash, "the end" would be another one.
                let output = target.name.clone();
                self.store.append([Entry::Cursor { output, file: file.name(), point }]);
                point
            }
            // Rather from the start than with a gap.
            Err(_) => start,
        }
    }

    /// All files of the first scan have been opened.
    fn all_listed(&mut self) {
        for target in &self.targets {
            for (source, _) in self.sources.iter().zip(&target.takes).filter(|(_, takes)| **takes) {
                let pair = (source.clone(), target.name.clone());
                if self.listed.insert(pair.clone()) {
                    self.store.append([Entry::Source { source: pair.0, output: pair.1 }]);
                }
            }
        }
        self.tell_all(|| Event::Listed);
    }

    fn closed(&self, key: FileKey) {
        self.tell_all(|| Event::Closed(key));
    }

    fn tell_all(&self, event: impl Fn() -> Event) {
        for target in &self.targets {
            let _ = target.lane.send(event());
        }
    }

    fn clock(&self) -> Clock {
        Clock { uptime: self.started.elapsed(), wall: wall_clock() }
    }
}

fn watch(sender: SyncSender<FollowEvent>, overflow: Arc<AtomicBool>) -> Option<Hints> {
    let hints = Hints::new(move |hint| {
        if sender.try_send(FollowEvent::Hint(hint)).is_err() {
            overflow.store(true, Ordering::Release);
        }
    });
    hints.map_err(|error| alarm::unwatchable(std::path::Path::new("/"), &error)).ok()
}

#[cfg(test)]
mod tests;
