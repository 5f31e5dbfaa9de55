//! The follow thread: finds files, keeps their identity, and tells the lanes.

mod opened;
#[cfg(test)]
mod tests;

use super::{
    alarm,
    containers::Containers,
    gauges::FollowGauges,
    helpers::{Helpers, watch},
    lane::Event,
    owners::Owners,
    plan::wall_clock,
    settings::{Source, StartAt},
    showing::FilesShown,
    succession::names,
};
use crate::{
    ack::FileKey,
    discover::{Hint, Hints, PatternError, Search, scan},
    model::FileName,
    state::{Entry, Store},
    tail::{Change, Clock, Inspected, Registry, Remembered, Saved, Site, Spool},
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
/// While it is not known of all files what they are, the next scan comes after this, or so many times its cost.
const UNSETTLED_PAUSE: Duration = Duration::from_millis(25);
const UNSETTLED_SHARE: u32 = 4;
/// Files that wait for a descriptor are looked after this often.
const WAITING_PAUSE: Duration = Duration::from_millis(50);
/// A stop looks at most this often whether there is more to save.
const LAST_LOOKS: usize = 5;
/// A stop waits for so long until what was deleted is saved.
const LAST_SAVES: Duration = Duration::from_secs(10);
/// Hints that wait to be looked at; when there are more, a scan answers them all.
pub(super) const HINTS: usize = 1024;

/// Every reason for which the follow thread wakes up.
#[derive(Debug)]
pub(super) enum FollowEvent {
    /// The file system says that something changed.
    Hint(Hint),
    /// A lane found that this content was truncated away, after so many moves.
    Replaced(FileKey, u64),
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
    /// Nobody waits for what may still come.
    pub once: bool,
    pub gauges: Arc<FollowGauges>,
    pub containers: &'s Arc<Containers>,
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
    shown: FilesShown,
    containers: Arc<Containers>,
    /// Contents that were deleted and are not saved, as was said.
    at_risk: HashSet<FileName>,
    is_listed: bool,
    /// Families of containers' files of which the lanes know that there may be more of them.
    unsettled: Arc<HashSet<u64>>,
    targets: Vec<Target>,
    store: Arc<Store>,
    /// Source and output whose files had been listed once when the agent started.
    listed: BTreeSet<(String, String)>,
    /// Files of the first scan that have not been opened yet: they were there before the agent looked. `None` before
    /// that scan.
    old: Option<HashSet<(u64, u64)>>,
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
        let searches = sources
            .iter()
            .map(|source| Search::new(&source.include, &source.exclude, source.rotated_dir.as_deref()))
            .collect::<Result<Vec<_>, PatternError>>()?;
        let names: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
        let takers = |source: usize| targets.iter().filter(|target| target.takes.get(source) == Some(&true)).count();
        let site = Site {
            machine,
            host: settings.host.into(),
            sources: names.iter().map(|name| name.as_str().into()).collect(),
            rotates_elsewhere: sources.iter().map(|source| source.rotated_dir.is_some()).collect(),
            in_turn: (0..sources.len()).map(|source| settings.containers.has(source)).collect(),
            outputs: targets.len(),
            takers: (0..sources.len()).map(takers).collect(),
            capacity: settings.capacity,
        };
        let (spool, spooled) = Spool::open(store.folder().join("spool"), settings.spool_max_bytes);
        let is_taken = site.takers.iter().map(|takers| *takers > 0).collect();
        let mut owners = Owners::new(sources, &searches, is_taken);
        // There can be very many of them: the state itself is not copied.
        let (remembered, mut listed) = store.with_memory(|memory| {
            let remembered = memory.files.values().map(|known| {
                let mut known = known.clone();
                let owner = owners.settle(&mut known);
                // A cursor of another output says nothing of what these have.
                let cursors = targets.iter().filter(|target| owner.is_none_or(|owner| target.takes[owner]));
                let points = cursors.filter_map(|target| memory.cursors.get(&target.name)?.get(&known.origin.name));
                Remembered { points: points.copied().collect(), known, trail: Vec::new() }
            });
            (remembered.collect::<Vec<_>>(), memory.sources.clone())
        });
        owners.say();
        store.append(owners.passed.into_iter().map(|(known, _)| Entry::File(known)));
        let mut registry = Registry::new(site, remembered, spooled, Box::new(|| fastrand::u64(..)));
        registry.leave_alone(owners.unwanted);
        let pulse = Arc::clone(&settings.gauges);
        registry.beat_with(Box::new(move || pulse.pulse.beat(started.elapsed())));
        let containers = Arc::clone(settings.containers);
        registry.describe_with(Box::new(move |source, path| containers.describe(source, path)));
        if settings.once {
            registry.hurry();
        }
        let overflow = Arc::new(AtomicBool::new(false));
        let hints = if settings.notify { watch(events.clone(), Arc::clone(&overflow)) } else { None };
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
            searches,
            start_at: sources.iter().map(|source| source.start_at).collect(),
            sources: names,
            registry,
            helpers: Helpers::start(spool, events, Arc::clone(&settings.gauges))?,
            shown: FilesShown::new(Arc::clone(&settings.gauges)),
            containers: Arc::clone(settings.containers),
            at_risk: HashSet::new(),
            is_listed: false,
            unsettled: Arc::default(),
            targets,
            store,
            listed,
            old: None,
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
            self.shown.gauges.pulse.promise(self.started.elapsed());
            let pause = self.scan();
            self.shown.gauges.pulse.promise(self.started.elapsed() + pause);
            if !self.wait(events, Instant::now() + pause) {
                self.stop(events);
                self.shown.gauges.pulse.end();
                return self.said.into_iter().collect();
            }
        }
    }

    /// What was deleted just now is open here only: it is saved before the end.
    fn stop(&mut self, events: &Receiver<FollowEvent>) {
        let deadline = Instant::now() + LAST_SAVES;
        self.registry.hurry();
        // What was written while something was saved is saved after it.
        for _ in 0..LAST_LOOKS {
            self.scan();
            if !self.helpers.is_saving() {
                break;
            }
            while self.helpers.is_saving() {
                let Ok(event) = events.recv_timeout(deadline.saturating_duration_since(Instant::now())) else {
                    break;
                };
                if let FollowEvent::Saved(saved) = event {
                    self.saved(&saved);
                }
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
        self.containers.note_folders(&found.folders);
        let now = self.clock();
        let is_first = self.old.is_none();
        if is_first {
            // What comes into an empty one is new.
            let filled = found.files.iter().filter(|file| file.size > 0);
            self.old = Some(filled.map(|file| (file.device, file.inode)).collect());
        }
        let changes = self.registry.look(found.files, now);
        problems.extend(self.apply(changes));
        if is_first {
            self.note_listed();
        }
        self.list_when_settled();
        for (path, error) in problems.iter().filter(|(path, _)| !self.said.contains(*path)) {
            alarm::unusable_path(path, error);
        }
        self.shown.scanned(self.registry.figures(), begin.elapsed(), problems.keys(), &self.said);
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
        if self.registry.wants_look() {
            let share = if self.registry.is_settling() { UNSETTLED_SHARE } else { HINTED_SHARE };
            return self.interval.min(UNSETTLED_PAUSE.max(cost.saturating_mul(share)));
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
            let has_waiting = self.registry.has_waiting();
            let mut event = match events.recv_timeout(if has_waiting { left.min(WAITING_PAUSE) } else { left }) {
                Ok(event) => Some(event),
                Err(RecvTimeoutError::Timeout) if has_waiting => None,
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            };
            let mut changes = if has_waiting { self.registry.open_waiting(self.clock()) } else { Vec::new() };
            let mut looked: HashSet<PathBuf> = HashSet::new();
            let mut wants_scan = false;
            let now = self.clock();
            while let Some(next) = event {
                match next {
                    FollowEvent::Stop => {
                        self.apply(changes);
                        return false;
                    }
                    FollowEvent::Replaced(key, moves) => self.registry.replaced(key, moves, now, &mut changes),
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
            if self.registry.wants_look() {
                until = until.min(self.next_hinted.max(Instant::now() + UNSETTLED_PAUSE));
            }
            std::thread::sleep(HINT_PAUSE);
            if wants_scan {
                until = until.min(self.next_hinted);
            }
        }
    }

    fn is_wanted(&self, path: &Path) -> bool {
        self.searches.iter().any(|search| search.is_match(path))
    }

    /// Returns what cannot be opened.
    fn apply(&mut self, changes: Vec<Change>) -> Vec<(PathBuf, io::Error)> {
        let mut has_grown = false;
        let mut problems = Vec::new();
        if let Some(names) = names(&changes, self.registry.files(), &self.containers) {
            self.tell_all(|| Event::Named(Arc::clone(&names)));
        }
        // Before the files themselves: they wait for each other.
        let unsettled = self.registry.unsettled();
        if *self.unsettled != unsettled {
            self.unsettled = Arc::new(unsettled);
            self.tell_all(|| Event::Unsettled(Arc::clone(&self.unsettled)));
        }
        for change in changes {
            self.shown.gauges.pulse.beat(self.started.elapsed());
            match change {
                Change::Grew => has_grown = true,
                Change::Updated(known) => self.store.append([Entry::File(known)]),
                Change::Opened { file, is_remembered } => self.opened(&file, is_remembered),
                Change::Closed { key } => self.tell_all(|| Event::Closed(key)),
                Change::Destroyed { known, unread } => {
                    self.shown.destroyed(unread.unwrap_or(0));
                    alarm::destroyed(&known, unread);
                }
                Change::PassedOn { known, from } => {
                    alarm::passed_on(&from, &known.origin.source, 1, &known.origin.path);
                }
                Change::Forgotten(name) => self.store.append([Entry::Gone(name)]),
                Change::Unreadable { path, error } => problems.push((path, error)),
                Change::Inspect(inspection) => self.helpers.inspect(inspection),
                Change::Broken { path, error } => alarm::broken_archive(&path, &error),
                Change::Save(saving) => {
                    // What is saved must be known when it is found again.
                    self.store.sync();
                    self.helpers.save(saving);
                }
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

    /// All files of the first scan have been opened, once it is known of all of them what they are.
    fn list_when_settled(&mut self) {
        if self.is_listed || self.registry.is_settling() {
            return;
        }
        self.is_listed = true;
        // An inode of that time may be another file's from now on.
        if let Some(old) = &mut self.old {
            old.retain(|place| self.registry.is_pending(*place));
        }
        self.tell_all(|| Event::Listed);
    }

    /// After a first scan: whatever appears from now on is new, also to the next life.
    fn note_listed(&mut self) {
        for target in &self.targets {
            for (source, _) in self.sources.iter().zip(&target.takes).filter(|(_, takes)| **takes) {
                if !self.listed.contains(&(source.clone(), target.name.clone())) {
                    self.store.append([Entry::Source { source: source.clone(), output: target.name.clone() }]);
                }
            }
        }
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
