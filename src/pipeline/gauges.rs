//! What a run lets others see while it goes on: numbers that each thread puts down once per turn, never per line, and
//! that somebody else reads without holding it up.
//!
//! Numbers that belong together are published together, so that what was read is always what was acknowledged and what
//! is pending.

use crate::{
    guard::{Admission, Budget},
    output::Cause,
    state::{Memory, Store},
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering, fence},
    },
    time::{Duration, Instant},
};

/// A thread that is late by more than this is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// Numbers that are published together. The writer never waits; a reader reads again only when the writer has got on
/// meanwhile, so that a writer that is interrupted in the middle delays nobody.
#[derive(Debug)]
struct Together<const N: usize> {
    /// How often was published: the last is in the slot of its parity, the other one is the next to be written.
    version: AtomicU64,
    slots: [[AtomicU64; N]; 2],
}

impl<const N: usize> Default for Together<N> {
    fn default() -> Self {
        let slot = || std::array::from_fn(|_| AtomicU64::new(0));
        Together { version: AtomicU64::new(0), slots: [slot(), slot()] }
    }
}

impl<const N: usize> Together<N> {
    fn slot(&self, version: u64) -> &[AtomicU64; N] {
        &self.slots[usize::from(version % 2 == 1)]
    }

    /// By one thread only.
    fn publish(&self, numbers: [u64; N]) {
        let version = self.version.load(Ordering::Relaxed).wrapping_add(1);
        // Who sees a number of this slot sees that the version before it was published, after which it may be written.
        fence(Ordering::Release);
        for (cell, number) in self.slot(version).iter().zip(numbers) {
            cell.store(number, Ordering::Relaxed);
        }
        self.version.store(version, Ordering::Release);
    }

    fn read(&self) -> [u64; N] {
        loop {
            let version = self.version.load(Ordering::Acquire);
            let slot = self.slot(version);
            let numbers = std::array::from_fn(|n| slot[n].load(Ordering::Relaxed));
            fence(Ordering::Acquire);
            if self.version.load(Ordering::Relaxed) == version {
                return numbers;
            }
            std::hint::spin_loop();
        }
    }
}

/// A struct of numbers, and the same as an array.
macro_rules! numbers {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name { $($(#[$doc])* pub $field: u64,)* }

        impl $name {
            const LEN: usize = [$(stringify!($field)),*].len();

            fn array(&self) -> [u64; Self::LEN] {
                [$(self.$field),*]
            }

            fn of([$($field),*]: [u64; Self::LEN]) -> $name {
                $name { $($field),* }
            }
        }
    };
}

numbers! {
    /// What one output has done since the agent started. `records = acknowledged + dead_lettered + pending`.
    OutputNumbers {
        /// Records that were read.
        records,
        /// Records that the destination has acknowledged.
        acknowledged,
        /// Records that were read and are not acknowledged, counted where they are.
        pending,
        /// Bytes of the files that were read, passed-over lines included.
        read_bytes,
        /// Of these, bytes of lines without the configured prefix.
        passed_bytes,
        /// Bytes of the files of which nothing has to be read again.
        acknowledged_bytes,
        /// Bytes of the open files that are not acknowledged, as of a moment ago.
        behind_bytes,
        /// The time of the oldest record that is not acknowledged, in nanoseconds since 1970; 0 when there is none.
        oldest,
        /// Records that are not a JSON object.
        malformed,
        /// Records that are not UTF-8.
        invalid_utf8,
        /// Empty lines.
        empty,
        /// Last lines without a newline.
        unterminated,
        /// Runs of NUL bytes.
        gaps,
        /// Records that are a part of a longer line.
        parts,
        /// Records that equal the one before them to the nanosecond.
        twins,
        /// Records that the destination refused.
        refused,
        /// Records that were put aside as dead letters.
        dead_lettered,
        /// Bytes of these.
        dead_lettered_bytes,
        /// Requests, repeated ones included.
        requests,
        /// Bytes of request bodies, compressed.
        sent_bytes,
        /// Bytes that were truncated away before they were read, as far as their number is known.
        lost_bytes,
    }
}

numbers! {
    /// What the follow thread knows of the files.
    FileNumbers {
        /// Files that are open.
        open,
        /// Files that wait for a descriptor.
        waiting,
        /// Bytes of deleted files that some output has not acknowledged.
        deleted_bytes,
        /// Bytes that are in no file any more and that some output did not have, as far as their number is known.
        destroyed_bytes,
        /// Complete scans.
        scans,
        /// How long the last one took.
        scan_nanos,
    }
}

/// When a thread looks around next, by its own word.
#[derive(Debug, Default)]
pub(super) struct Pulse(AtomicU64);

impl Pulse {
    /// It looks around again at `until` at the latest, counted from the agent's start.
    pub(super) fn promise(&self, until: Duration) {
        self.0.store(u64::try_from(until.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// It gets on at `now`, in the middle of something long; what it promised before holds.
    pub(super) fn beat(&self, now: Duration) {
        self.0.fetch_max(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// It has ended.
    pub(super) fn end(&self) {
        self.0.store(u64::MAX, Ordering::Relaxed);
    }

    fn late(&self, now: Duration) -> Duration {
        now.saturating_sub(Duration::from_millis(self.0.load(Ordering::Relaxed)))
    }
}

/// A text, or several, that change seldom. The writer compares with what it wrote last and locks only to change it.
#[derive(Debug)]
struct Said<T>(Mutex<T>);

impl<T: Default> Default for Said<T> {
    fn default() -> Self {
        Said(Mutex::default())
    }
}

impl<T: Clone> Said<T> {
    fn lock(&self) -> MutexGuard<'_, T> {
        // A value is replaced whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a lane shows.
#[derive(Debug, Default)]
pub(super) struct LaneGauges {
    name: String,
    pub pulse: Pulse,
    /// Bytes that were there to read.
    pub total: AtomicU64,
    numbers: Together<{ OutputNumbers::LEN }>,
    /// Attempts that stalled, by [`Cause::ALL`].
    retries: [AtomicU64; Cause::ALL.len()],
    why: Said<Option<String>>,
    unreadable: Said<Vec<String>>,
}

impl LaneGauges {
    pub(super) fn new(name: &str) -> LaneGauges {
        LaneGauges { name: name.to_owned(), ..LaneGauges::default() }
    }

    pub(super) fn publish(&self, numbers: &OutputNumbers) {
        self.numbers.publish(numbers.array());
    }

    pub(super) fn note_retry(&self, cause: Cause) {
        if let Some(retries) = self.retries.get(cause as usize) {
            retries.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn say_why(&self, why: Option<&str>) {
        *self.why.lock() = why.map(str::to_owned);
    }

    pub(super) fn say_unreadable(&self, paths: Vec<String>) {
        *self.unreadable.lock() = paths;
    }

    pub(super) fn settled(&self) -> u64 {
        OutputNumbers::of(self.numbers.read()).acknowledged_bytes
    }
}

/// What the follow thread shows.
#[derive(Debug, Default)]
pub(super) struct FollowGauges {
    pub pulse: Pulse,
    numbers: Together<{ FileNumbers::LEN }>,
    is_scanned: AtomicBool,
    unreadable: Said<Vec<String>>,
    /// Bytes in the spool.
    pub spool_bytes: AtomicU64,
}

impl FollowGauges {
    pub(super) fn publish(&self, numbers: &FileNumbers) {
        self.numbers.publish(numbers.array());
        self.is_scanned.store(numbers.scans > 0, Ordering::Release);
    }

    pub(super) fn say_unreadable(&self, paths: Vec<String>) {
        *self.unreadable.lock() = paths;
    }
}

/// One output, as of now.
#[derive(Clone, Debug, Default)]
pub struct OutputFigures {
    /// Its name.
    pub name: String,
    /// What it has counted.
    pub numbers: OutputNumbers,
    /// Attempts that stalled, by [`Cause::ALL`].
    pub retries: [u64; Cause::ALL.len()],
    /// The age of the oldest record that is not acknowledged, by its own time.
    pub oldest_age: Duration,
    /// Why it waits, if it does.
    pub why: Option<String>,
}

/// All that is counted, as of now.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// By output, in configuration order.
    pub outputs: Vec<OutputFigures>,
    /// Of the files.
    pub files: FileNumbers,
    /// Paths that cannot be read.
    pub unreadable: usize,
    /// Bytes in the spool, and how many there may be.
    pub spool_bytes: (u64, u64),
    /// Combinations of labels that are admitted, and how many may be.
    pub streams: (usize, usize),
    /// By label that counts against the budget: values that are admitted.
    pub label_values: Vec<(String, usize)>,
    /// How many values a label may have.
    pub max_label_values: usize,
    /// Attempts to write the state that failed.
    pub sync_failures: u64,
    /// Since the agent started.
    pub uptime: Duration,
}

/// What a run lets others see while it goes on.
#[derive(Debug)]
pub struct Live {
    started: Instant,
    /// The state folder, by its configured name.
    store: Arc<Store>,
    admission: Arc<Mutex<Admission>>,
    budget: Budget,
    spool_max_bytes: u64,
    lanes: Vec<Arc<LaneGauges>>,
    follow: Arc<FollowGauges>,
}

impl Live {
    pub(super) fn new(
        started: Instant,
        store: Arc<Store>,
        admission: Arc<Mutex<Admission>>,
        (budget, spool_max_bytes): (Budget, u64),
        lanes: Vec<Arc<LaneGauges>>,
        follow: Arc<FollowGauges>,
    ) -> Live {
        Live { started, store, admission, budget, spool_max_bytes, lanes, follow }
    }

    /// What is persisted, as of now.
    pub fn memory(&self) -> Memory {
        self.store.with_memory(Memory::clone)
    }

    /// Which thread has not looked around for too long; `None` when all of them get on. A destination that does not
    /// answer keeps no thread from looking around.
    pub fn stuck(&self) -> Option<String> {
        let now = self.started.elapsed();
        let lanes = self.lanes.iter().map(|lane| (format!("the lane of output {}", lane.name), &lane.pulse));
        let threads = lanes.chain([("the follow thread".to_owned(), &self.follow.pulse)]);
        let late = threads.map(|(name, pulse)| (name, pulse.late(now)));
        let (name, late) = late.max_by_key(|(_, late)| *late).filter(|(_, late)| *late > PATIENCE)?;
        Some(format!("{name} is stuck: it is {} s late", late.as_secs()))
    }

    /// Whether the first scan is complete.
    pub fn is_scanned(&self) -> bool {
        self.follow.is_scanned.load(Ordering::Acquire)
    }

    /// Paths that were found and cannot be read, each once.
    pub fn unreadable(&self) -> Vec<String> {
        let mut paths = self.follow.unreadable.lock().clone();
        for lane in &self.lanes {
            paths.extend(lane.unreadable.lock().iter().cloned());
        }
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    /// What the outputs have done and why they wait, in configuration order.
    pub fn outputs(&self) -> Vec<OutputFigures> {
        let now = u64::try_from(super::plan::wall_clock().0).unwrap_or(0);
        let of = |lane: &Arc<LaneGauges>| {
            let numbers = OutputNumbers::of(lane.numbers.read());
            let age = if numbers.oldest == 0 { 0 } else { now.saturating_sub(numbers.oldest) };
            OutputFigures {
                name: lane.name.clone(),
                numbers,
                retries: std::array::from_fn(|cause| lane.retries[cause].load(Ordering::Relaxed)),
                oldest_age: Duration::from_nanos(age),
                why: lane.why.lock().clone(),
            }
        };
        self.lanes.iter().map(of).collect()
    }

    /// All that is counted.
    pub fn figures(&self) -> Figures {
        let (streams, label_values) = {
            let admission = self.admission.lock().unwrap_or_else(PoisonError::into_inner);
            (admission.streams(), admission.values().map(|(label, n)| (label.to_owned(), n)).collect())
        };
        Figures {
            outputs: self.outputs(),
            files: FileNumbers::of(self.follow.numbers.read()),
            unreadable: self.unreadable().len(),
            spool_bytes: (self.follow.spool_bytes.load(Ordering::Relaxed), self.spool_max_bytes),
            streams: (streams, self.budget.max_streams),
            label_values,
            max_label_values: self.budget.max_label_values,
            sync_failures: self.store.sync_failures(),
            uptime: self.started.elapsed(),
        }
    }
}

#[cfg(test)]
mod tests;
