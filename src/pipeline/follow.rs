//! The follow thread: finds files, keeps their identity, and tells the lanes.

use super::{
    alarm,
    gauges::{FileNumbers, FollowGauges},
    helpers::Helpers,
    lane::Event,
    plan::wall_clock,
    settings::{Source, StartAt},
};
use crate::{
    ack::FileKey,
    discover::{Hint, Hints, PatternError, Search, scan},
    model::{Chain, FileName, Mark, Point},
    state::{Entry, Store},
    tail::{Change, Clock, Inspected, Registry, Remembered, Saved, Site, Spool, TailFile},
};
use rustix::time::{ClockId, clock_gettime};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    io,
    path::{Path, PathBuf},
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
/// While it is not known of all files what they are, the next scan comes after this, or this many times what a scan
/// costs.
const UNSETTLED_PAUSE: Duration = Duration::from_millis(100);
const UNSETTLED_SHARE: u32 = 4;
/// A stop waits for so long until what was deleted is saved.
const LAST_SAVES: Duration = Duration::from_secs(10);
/// Hints that wait to be looked at; when there are more, a scan answers them all.
pub(super) const HINTS: usize = 1024;

/// Every reason for which the follow thread wakes up.
#[derive(Debug)]
pub(super) enum FollowEvent {
    /// The file system says that something changed.
    Hint(Hint),
    /// A lane found that this content was truncated away.
    Replaced(FileKey),
    /// What a compressed file is.
    Inspected(Box<Inspected>),
    /// What became of bytes of a deleted file.
    Saved(Saved),
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

/// What of the settings concerns files.
pub(super) struct FollowSettings<'s> {
    pub sources: &'s [Source],
    pub host: &'s str,
    pub spool_max_bytes: u64,
    /// How many files may be open.
    pub capacity: usize,
    /// Between two complete scans.
    pub interval: Duration,
    pub notify: bool,
    pub gauges: Arc<FollowGauges>,
}

/// Why files cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    #[error(transparent)]
    Pattern(#[from] PatternError),
    #[error(transparent)]
    System(#[from] io::Error),
}

/// The follow thread's state.
pub(super) struct Follow {
    searches: Vec<Search>,
    start_at: Vec<StartAt>,
    sources: Vec<String>,
    registry: Registry,
    helpers: Helpers,
    gauges: Arc<FollowGauges>,
    numbers: FileNumbers,
    /// Contents that were deleted and are not saved, as was said.
    at_risk: HashSet<FileName>,
    is_listed: bool,
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
    /// `events`: where hints and answers are sent to; `capacity`: how many files may be open.
    pub(super) fn new(
        settings: &FollowSettings<'_>,
        targets: Vec<Target>,
        store: Arc<Store>,
        machine: Vec<u8>,
        started: Instant,
        events: &SyncSender<FollowEvent>,
    ) -> Result<Follow, FollowError> {
        let sources = settings.sources;
        let memory = store.memory();
        let remembered = memory.files.values().map(|known| Remembered {
            known: known.clone(),
            points: memory.cursors.values().filter_map(|c| c.get(&known.origin.name)).copied().collect(),
            trail: Vec::new(),
        });
        let names: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
        let takers = |source: usize| targets.iter().filter(|target| target.takes.get(source) == Some(&true)).count();
        let site = Site {
            machine,
            host: settings.host.to_owned(),
            sources: names.clone(),
            rotates_elsewhere: sources.iter().map(|source| source.rotated_dir.is_some()).collect(),
            outputs: targets.len(),
            takers: (0..sources.len()).map(takers).collect(),
            capacity: settings.capacity,
        };
        let (spool, spooled) = Spool::open(store.folder().join("spool"), settings.spool_max_bytes);
        let registry = Registry::new(site, remembered.collect(), spooled, Box::new(|| fastrand::u64(..)));
        let overflow = Arc::new(AtomicBool::new(false));
        let hints = if settings.notify { watch(events.clone(), Arc::clone(&overflow)) } else { None };
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
                .map(|source| Search::new(&source.include, &source.exclude, source.rotated_dir.as_deref()))
                .collect::<Result<_, _>>()?,
            start_at: sources.iter().map(|source| source.start_at).collect(),
            sources: names,
            registry,
            helpers: Helpers::start(spool, events, Arc::clone(&settings.gauges))?,
            gauges: Arc::clone(&settings.gauges),
            numbers: FileNumbers::default(),
            at_risk: HashSet::new(),
            is_listed: false,
            targets,
            store,
            listed,
            interval: settings.interval,
            hints,
            said: HashSet::new(),
            started,
            next_hinted: started,
            overflow,
        })
    }

    /// Scans, and waits for the next reason to look, until it is stopped. Returns the paths that it could not use.
    pub(super) fn run(mut self, events: &Receiver<FollowEvent>) -> Vec<PathBuf> {
        loop {
            self.gauges.pulse.promise(self.started.elapsed());
            let pause = self.scan();
            self.gauges.pulse.promise(self.started.elapsed() + pause);
            if !self.wait(events, Instant::now() + pause) {
                self.stop(events);
                self.gauges.pulse.end();
                return self.said.into_iter().collect();
            }
        }
    }

    /// What was deleted just now is open here only: it is saved before the end.
    fn stop(&mut self, events: &Receiver<FollowEvent>) {
        self.scan();
        let deadline = Instant::now() + LAST_SAVES;
        while self.helpers.is_saving() {
            let Ok(event) = events.recv_timeout(deadline.saturating_duration_since(Instant::now())) else { break };
            if let FollowEvent::Saved(saved) = event {
                self.saved(&saved);
            }
        }
        self.store.append(self.registry.unfinished().into_iter().map(Entry::File));
    }

    /// One complete scan. Returns the pause until the next.
    fn scan(&mut self) -> Duration {
        let begin = Instant::now();
        let before = clock_gettime(ClockId::ThreadCPUTime);
        self.overflow.store(false, Ordering::Release);
        let found = scan(&self.searches);
        let mut problems: HashMap<PathBuf, io::Error> = found.problems.into_iter().collect();
        let now = self.clock();
        let changes = self.registry.look(found.files, now);
        problems.extend(self.apply(changes));
        self.list_when_settled();
        for (path, error) in problems.iter().filter(|(path, _)| !self.said.contains(*path)) {
            alarm::unusable_path(path, error);
        }
        self.show(begin, problems.keys());
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
        if self.registry.is_settling() {
            return self.interval.min(UNSETTLED_PAUSE.max(cost.saturating_mul(UNSETTLED_SHARE)));
        }
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
                    FollowEvent::Inspected(inspected) => {
                        self.registry.inspected(*inspected, now, &mut changes);
                        // What it was waited for may be decided now.
                        until = until.min(Instant::now() + UNSETTLED_PAUSE);
                    }
                    FollowEvent::Saved(saved) => self.saved(&saved),
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
            self.list_when_settled();
            std::thread::sleep(HINT_PAUSE);
            if wants_scan {
                until = until.min(self.next_hinted);
            }
        }
    }

    /// `begin`: of the scan; `unusable`: paths that it could not use.
    fn show<'p>(&mut self, begin: Instant, unusable: impl ExactSizeIterator<Item = &'p PathBuf> + Clone) {
        let figures = self.registry.figures();
        self.numbers.open = figures.open;
        self.numbers.waiting = figures.waiting;
        self.numbers.deleted_bytes = figures.deleted_bytes;
        self.numbers.scans += 1;
        self.numbers.scan_nanos = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        // Before the numbers: who sees that the scan is complete sees what it could not read.
        if unusable.len() != self.said.len() || !unusable.clone().all(|path| self.said.contains(path)) {
            self.gauges.say_unreadable(unusable.map(|path| path.display().to_string()).collect());
        }
        self.gauges.publish(&self.numbers);
    }

    fn is_wanted(&self, path: &Path) -> bool {
        self.searches.iter().any(|search| search.is_match(path))
    }

    /// Returns what cannot be opened.
    fn apply(&mut self, changes: Vec<Change>) -> Vec<(PathBuf, io::Error)> {
        let mut has_grown = false;
        let mut problems = Vec::new();
        for change in changes {
            match change {
                Change::Grew => has_grown = true,
                Change::Updated(known) => self.store.append([Entry::File(known)]),
                Change::Opened { file, is_remembered } => self.opened(&file, is_remembered),
                Change::Closed { key } => self.tell_all(|| Event::Closed(key)),
                Change::Destroyed { known, unread } => {
                    self.numbers.destroyed_bytes += unread.unwrap_or(0);
                    alarm::destroyed(&known, unread);
                }
                Change::Forgotten(name) => self.store.append([Entry::Gone(name)]),
                Change::Unreadable { path, error } => problems.push((path, error)),
                Change::Inspect(inspection) => self.helpers.inspect(inspection),
                Change::Broken { path, error } => alarm::broken_archive(&path, &error),
                Change::Save(saving) => self.helpers.save(saving),
                Change::Unsave(name) => {
                    self.at_risk.remove(&name);
                    self.helpers.unsave(name);
                }
                Change::WrittenThoughDeleted { path } => alarm::written_though_deleted(&path),
                Change::Short { waiting } => alarm::short_of_descriptors(waiting),
            }
        }
        if has_grown {
            self.tell_all(|| Event::Grew);
        }
        problems
    }

    fn saved(&mut self, saved: &Saved) {
        self.helpers.note_saved();
        self.registry.saved(saved);
        match &saved.error {
            Some(error) if self.at_risk.insert(saved.name) => alarm::at_risk(saved.name, saved.at_risk, error),
            Some(_) => {}
            None => _ = self.at_risk.remove(&saved.name),
        }
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

    /// All files of the first scan have been opened, once it is known of all of them what they are.
    fn list_when_settled(&mut self) {
        if self.is_listed || self.registry.is_settling() {
            return;
        }
        self.is_listed = true;
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
    hints.map_err(|error| alarm::unwatchable(Path::new("/"), &error)).ok()
}

#[cfg(test)]
mod tests;
