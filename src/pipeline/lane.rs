//! A lane: the thread of one output. It alone decides what its output reads, sends and is done with; a dead output
//! stops its own lane and no other.

use super::{
    alarm,
    batches::{Batches, Most},
    files::LaneFile,
    gauges::LaneGauges,
    late::Late,
    paces::Paces,
    plan::Plan,
    ready::Ready,
    receipts::{Asked, Receipts},
    report::{Counts, OutputReport},
    sending::Answered,
    showing::Shown,
    succession::Names,
};
use crate::{
    ack::{FileKey, Ledger},
    batch::{Bases, Pool},
    dead_letters::{DeadLetters, Skips},
    frame::MAX_STEP,
    guard::{Admission, News, Streams},
    model::{Digest, LabelSet, Nanos, Point},
    output::StreamHead,
    send::{Client, Gate, Health, Work},
    state::{Entry, Health as StoredHealth, Store},
    tail::{Buffer, TailFile},
};
use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant},
};

/// A lane that can do nothing looks around this often all the same.
const IDLE: Duration = Duration::from_secs(60);
/// Reading that is held up for longer than this is worth a line in the log.
const PAUSE_SAID_AFTER: Duration = Duration::from_secs(5);

/// How long the lane works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Until it is stopped.
    Follow,
    /// Until all that there was at the start is acknowledged.
    Once,
}

/// Every reason for which a lane wakes up.
#[derive(Debug)]
pub(super) enum Event {
    /// A content to read, from this point on, and whether it was named before.
    Opened(Arc<TailFile>, Box<Point>, bool),
    /// What files are called, before some of them are opened.
    Named(Arc<Names>),
    /// The families of containers' files of which not all files are known.
    Unsettled(Arc<HashSet<u64>>),
    /// Some file grew or changed.
    Grew,
    /// The follow thread has dropped a file that every lane had let go of.
    Closed(FileKey),
    /// The first scan is complete.
    Listed,
    /// An answer, or what there was instead of one.
    Answered(Box<Answered>),
    /// What came of the question for receipts.
    Asked(Box<Asked>),
    /// Read nothing more; finish what is under way until this time.
    Stop(Duration),
}

/// What lanes share.
#[derive(Clone)]
pub(super) struct Shared {
    pub store: Arc<Store>,
    /// One set of admitted labels for all outputs.
    pub admission: Arc<Mutex<Admission>>,
    pub runtime: tokio::runtime::Handle,
    /// When the agent started.
    pub started: Instant,
    pub on_replaced: Arc<dyn Fn(FileKey, u64) + Send + Sync>,
}

/// The state of one output.
pub(super) struct Lane {
    pub(super) plan: Plan,
    pub(super) mode: Mode,
    pub(super) store: Arc<Store>,
    admission: Arc<Mutex<Admission>>,
    pub(super) runtime: tokio::runtime::Handle,
    started: Instant,
    pub(super) on_replaced: Arc<dyn Fn(FileKey, u64) + Send + Sync>,
    pub(super) gauges: Arc<LaneGauges>,
    pub(super) shown: Shown,
    events: Receiver<Event>,
    pub(super) sender: Sender<Event>,

    pub(super) files: HashMap<FileKey, Box<LaneFile>>,
    /// Of containers: by family.
    pub(super) families: HashMap<u64, Vec<FileKey>>,
    /// As of the last moment at which files were opened.
    pub(super) names: Arc<Names>,
    /// Families that may have other files than these.
    pub(super) unsettled: Arc<HashSet<u64>>,
    /// Files that may have something to read, in turn.
    pub(super) ready: Ready,
    /// `None` while there is nothing to read: an idle lane holds no buffer.
    pub(super) buffer: Option<Buffer>,
    pub(super) streams: Streams,
    /// By stream: time and leaf of its last record.
    pub(super) last: Vec<(Nanos, Digest)>,
    /// By stream.
    pub(super) heads: Vec<StreamHead>,
    pub(super) batches: Batches,
    pub(super) ledger: Ledger,
    /// Files whose safe position may have moved since it was last handed to the state.
    pub(super) dirty: HashSet<FileKey>,
    pub(super) last_commit: Duration,
    /// To be committed and synced at the next look.
    pub(super) is_hurried: bool,
    /// Settled bytes of which the state on disk knows: what a kill does not send again.
    pub(super) durable: u64,

    /// The wall clock, as of the turn.
    pub(super) wall_clock: Nanos,
    pub(super) in_flight: usize,
    pub(super) in_flight_records: u64,
    pub(super) is_probing: bool,
    /// Streams with a request under way: one at a time, so that their order stays.
    pub(super) busy: HashSet<u32>,
    pub(super) client: Option<(Client, Duration)>,
    pub(super) health: Health,
    /// Only of streams that wait.
    pub(super) stream_health: HashMap<u32, Health>,
    /// Batches with refused records, and when to try them again.
    pub(super) held: Vec<(Duration, Work)>,
    pub(super) last_refusal: Option<String>,
    pub(super) dead_letters: DeadLetters,
    /// Why the last ones could not be put aside.
    pub(super) unburied: Option<String>,
    pub(super) skips: Skips,
    pub(super) skips_due: Duration,
    pub(super) receipts: Receipts,
    /// By stream: which of its records are late.
    pub(super) late: HashMap<u32, Late>,
    pub(super) bases: Bases,
    /// When a batch was sealed last although others had failed.
    pub(super) last_fresh: Duration,
    /// Requests that passed.
    pub(super) passes: u64,
    /// Of these, those of which something is stored.
    pub(super) accepts: u64,
    pub(super) paces: Paces,
    /// Names or labels are used that the state may not have on disk yet.
    pub(super) needs_sync: bool,
    pub(super) counts: Counts,

    is_listed: bool,
    pub(super) stop: Option<Duration>,
    paused_since: Option<Duration>,
    is_pause_said: bool,
}

impl Lane {
    pub(super) fn new(
        plan: Plan,
        mode: Mode,
        shared: Shared,
        gauges: Arc<LaneGauges>,
        (sender, events): (Sender<Event>, Receiver<Event>),
    ) -> Lane {
        let most = Most { bytes: plan.batch_max_bytes, records: plan.output.max_records() };
        let batches = Batches::new(Pool::new(plan.pool), most, plan.output.plainest());
        let dead_letters = DeadLetters::new(shared.store.folder(), &plan.name, plan.dead_letters_max_bytes);
        let paces = Paces::new(&plan);
        let skips = Skips::new(shared.store.folder(), &plan.name);
        Lane {
            plan,
            mode,
            store: shared.store,
            admission: shared.admission,
            runtime: shared.runtime,
            started: shared.started,
            on_replaced: shared.on_replaced,
            gauges,
            shown: Shown::default(),
            events,
            sender,
            files: HashMap::new(),
            families: HashMap::new(),
            names: Arc::default(),
            unsettled: Arc::default(),
            ready: Ready::default(),
            buffer: None,
            streams: Streams::new(),
            last: Vec::new(),
            heads: Vec::new(),
            batches,
            ledger: Ledger::default(),
            dirty: HashSet::new(),
            last_commit: Duration::ZERO,
            is_hurried: false,
            durable: 0,
            wall_clock: Nanos::default(),
            in_flight: 0,
            in_flight_records: 0,
            is_probing: false,
            busy: HashSet::new(),
            client: None,
            health: Health::default(),
            stream_health: HashMap::new(),
            held: Vec::new(),
            last_refusal: None,
            dead_letters,
            unburied: None,
            skips,
            skips_due: Duration::ZERO,
            receipts: Receipts::new(),
            late: HashMap::new(),
            bases: Bases::default(),
            last_fresh: Duration::ZERO,
            passes: 0,
            accepts: 0,
            paces,
            needs_sync: false,
            counts: Counts::default(),
            is_listed: false,
            stop: None,
            paused_since: None,
            is_pause_said: false,
        }
    }

    /// Works until it is stopped, or in [`Mode::Once`] until it is done.
    pub(super) fn run(mut self) -> OutputReport {
        loop {
            let now = self.now();
            let is_busy = self.can_read() || (self.is_last() && self.batches.oldest().is_some());
            let wait = if is_busy { Duration::ZERO } else { self.next_deadline(now).saturating_sub(now) };
            self.gauges.pulse.promise(now + wait);
            self.take_events(wait);
            let now = self.now();
            self.commit_when_due(now);
            self.seal_due(now);
            // Before anything is sent: what they hand back is to be sent now, and nothing else would wake the lane for it.
            self.attend_receipts(now);
            self.attend_skips(now);
            self.dispatch(now);
            self.note_pause(now);
            if self.can_read() {
                if let Some(key) = self.ready.pop() {
                    self.turn(key, now);
                }
            } else if self.ready.is_empty() {
                self.buffer = None;
                self.batches.pool.lend(0);
            }
            self.show(now);
            if self.is_finished(now) {
                self.commit();
                self.gauges.pulse.end();
                return self.report();
            }
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn take_events(&mut self, wait: Duration) {
        let mut event = if wait.is_zero() {
            self.events.try_recv().ok()
        } else {
            match self.events.recv_timeout(wait) {
                Ok(event) => Some(event),
                // The lane holds a sender itself: there is always one. A file that could not be read is tried again.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Some(Event::Grew),
            }
        };
        while let Some(next) = event {
            self.shown.is_stale = true;
            self.take_event(next);
            event = self.events.try_recv().ok();
        }
    }

    fn take_event(&mut self, event: Event) {
        match event {
            Event::Opened(file, point, is_remembered) => self.begin(file, &point, is_remembered),
            Event::Named(names) => self.named(names),
            Event::Unsettled(families) => self.settled_but(families),
            Event::Grew => {
                for file in self.files.values_mut().filter(|file| !file.is_queued && file.is_ready()) {
                    file.is_queued = true;
                    self.ready.push(&file.file);
                }
            }
            Event::Closed(key) => {
                // Its place may be known here only.
                if self.dirty.remove(&key) {
                    let entry = self.cursor(key);
                    self.store.append(entry);
                }
                if let Some(file) = self.files.remove(&key) {
                    self.bases.forget(file.file.name());
                    self.ready.remove(&file.file);
                    self.leave_family(&file);
                }
                self.ledger.forget(key);
            }
            Event::Listed => {
                self.is_listed = true;
                self.listed();
            }
            Event::Answered(answered) => {
                let now = self.now();
                self.answered(*answered, now);
            }
            Event::Asked(asked) => {
                let now = self.now();
                self.asked(*asked, now);
            }
            Event::Stop(deadline) => {
                let now = self.now();
                self.receipts.hurry(now);
                self.stop = Some(self.stop.map_or(deadline, |stop| stop.min(deadline)));
            }
        }
    }

    fn begin(&mut self, file: Arc<TailFile>, point: &Point, is_remembered: bool) {
        let Some(Some(frame)) = self.plan.frames.get(file.source) else { return };
        let key = file.key;
        self.gauges.total.fetch_add(file.size().saturating_sub(point.at), Ordering::Relaxed);
        self.ledger.begin(key, *point);
        // It is where the state has it, or at the start, which needs no entry.
        file.set_committed(self.plan.index, *point);
        let frame = frame.clone();
        self.recall_bases(file.name());
        let mut lane_file = LaneFile::new(file, frame, point, &self.plan);
        // A life before this one has sent nothing behind that, and nothing of what it had not named.
        if is_remembered {
            lane_file.place.sent = point.at.saturating_add(self.plan.window);
        }
        lane_file.is_queued = true;
        self.ready.push(&lane_file.file);
        self.join_family(&mut lane_file);
        self.files.insert(key, Box::new(lane_file));
        // Its name may not be on disk yet.
        self.needs_sync = true;
    }

    pub(super) fn is_listed(&self) -> bool {
        self.is_listed
    }

    fn can_read(&self) -> bool {
        self.stop.is_none() && !self.ready.is_empty() && !self.is_full(0)
    }

    /// Whether no more may be read: `extra` bytes were read that the ledger does not know of yet.
    pub(super) fn is_full(&self, extra: u64) -> bool {
        // What is settled but not on disk would be sent again by a kill too.
        let pending = self.ledger.pending() + self.undurable() + extra;
        self.batches.pool.is_full() || pending + MAX_STEP as u64 > self.plan.window
    }

    /// Bytes that were read and need nothing more.
    pub(super) fn settled(&self) -> u64 {
        self.counts.read_bytes.saturating_sub(self.ledger.pending())
    }

    /// The stream of a record with these fields in a file with these values.
    pub(super) fn stream_of(&mut self, fields: &[Option<Cow<'_, str>>], per_file: &[Option<String>]) -> u32 {
        match self.streams.lookup(fields, per_file) {
            // There are at most as many as the budget has.
            Some(stream) => stream.index() as u32,
            None => self.admit(fields, per_file),
        }
    }

    #[cold]
    fn admit(&mut self, fields: &[Option<Cow<'_, str>>], per_file: &[Option<String>]) -> u32 {
        let mut admission = self.admission.lock().unwrap_or_else(PoisonError::into_inner);
        let mut news = Vec::new();
        let admitted = admission.admit(fields, per_file, &mut news);
        // In the order of the decisions: under the lock.
        self.store.append(news.into_iter().map(|news| match news {
            News::Value { label, value } => Entry::LabelValue { label, value },
            News::Stream(labels) => Entry::Stream(labels),
        }));
        drop(admission);
        // Also when nothing is new: the decision may rest on another lane's news.
        self.needs_sync = true;
        for other in admitted.other {
            self.counts.note_other(other, alarm::over_budget);
        }
        let head = self.plan.output.stream(&admitted.labels);
        let stream = self.streams.insert(fields, per_file, admitted.labels).index();
        if stream >= self.heads.len() {
            self.heads.resize(stream + 1, StreamHead::default());
            self.heads[stream] = head;
            self.recall_late(stream as u32);
        }
        stream as u32
    }

    /// The labels of a stream of this lane.
    pub(super) fn labels_of(&self, stream: u32) -> Option<&LabelSet> {
        self.streams.labels_at(stream as usize)
    }

    fn next_deadline(&self, now: Duration) -> Duration {
        let due = self.next_seal(now);
        let retry = match self.health.gate(now) {
            Gate::Wait(until) if !self.batches.sealed.is_empty() => Some(until),
            _ => None,
        };
        let streams = self.stream_health.values().filter_map(|health| match health.gate(now) {
            Gate::Wait(until) => Some(until),
            _ => None,
        });
        let held = self.held.iter().map(|(until, _)| *until).chain(self.receipts.due(self.plan.ack_timeout));
        let commit = (!self.dirty.is_empty() || self.undurable() > 0).then_some(self.next_commit());
        let is_waiting = !self.batches.sealed.is_empty();
        let paced = is_waiting.then(|| self.paces.ready(now)).filter(|ready| *ready > now);
        let paced = paced.into_iter().chain(self.paces.next_stream(now).filter(|_| is_waiting));
        let ours = commit.into_iter().chain(paced).chain(self.next_measure()).chain(self.stop);
        let deadlines = due.into_iter().chain(retry).chain(streams).chain(held).chain(ours);
        deadlines.fold(now + IDLE, Duration::min).max(now + Duration::from_millis(1))
    }

    fn note_pause(&mut self, now: Duration) {
        if self.stop.is_some() || !self.is_full(0) {
            if let Some(since) = self.paused_since.take()
                && std::mem::take(&mut self.is_pause_said)
            {
                alarm::resumed(&self.plan.name, now.saturating_sub(since));
            }
            return;
        }
        let since = *self.paused_since.get_or_insert(now);
        if !self.is_pause_said && now.saturating_sub(since) >= PAUSE_SAID_AFTER {
            self.is_pause_said = true;
            let oldest = self.files.iter().find_map(|(key, file)| {
                let safe = self.ledger.safe(*key).filter(|_| !self.ledger.is_settled(*key))?;
                Some(format!("{} at byte {}", file.file.known.origin.path, safe.at))
            });
            alarm::paused(&self.plan.name, self.ledger.pending(), oldest.as_deref(), self.why());
        }
    }

    /// Why nothing moves, if something is known.
    pub(super) fn why(&self) -> Option<&str> {
        let refused = || self.last_refusal.as_deref().filter(|_| !self.held.is_empty());
        let stream = || self.stream_health.values().find_map(Health::stalled);
        let receipts = || self.receipts.health.stalled();
        self.health.stalled().or_else(receipts).or(self.unburied.as_deref()).or_else(refused).or_else(stream)
    }

    /// The output waits, or flows again.
    pub(super) fn health_changed(&mut self, change: Option<crate::send::Change>) {
        let Some(change) = change else { return };
        alarm::health(&self.plan.name, &change);
        let stalled = match change {
            crate::send::Change::Stalled { text, .. } => Some(text),
            crate::send::Change::Recovered { .. } => None,
        };
        let health = StoredHealth { since: super::plan::wall_clock(), stalled };
        self.store.append([Entry::Health { output: self.plan.name.clone(), health }]);
    }
}
