//! Sealing: when an open batch leaves although it is not full.

use super::lane::{Lane, Mode};
use std::time::Duration;

/// While more batches fail than can be sent at the same time, one that has not is sealed this often: it may be that all
/// others pass.
const FRESH: Duration = Duration::from_secs(30);

/// What waits before the open batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    /// Nothing that matters.
    Empty,
    /// Batches that have failed, and many: mostly the destination is down then.
    Failing,
    /// Batches that wait for nothing but their turn.
    Waiting,
}

impl Lane {
    /// Whether nothing is coming that could fill the open batches.
    pub(super) fn is_last(&self) -> bool {
        self.stop.is_some() || (self.mode == Mode::Once && self.is_listed() && self.ready.is_empty())
    }

    pub(super) fn seal_due(&mut self, now: Duration) {
        // Full, with nothing under way that could make room.
        let is_stuck = self.is_full(0) && self.in_flight == 0 && self.batches.sealed.is_empty();
        if self.is_last() || is_stuck {
            return self.batches.seal_due(now, u64::MAX);
        }
        // The oldest batch holds up the safe position of all that was read after it: it leaves while there is still
        // a quarter of the window to go on reading in.
        let read = self.counts.read_bytes.saturating_sub(self.plan.window / 4 * 3);
        // What is sealed now would only queue: it grows instead, until what is before it has left. Otherwise a queue of
        // small batches fills the pool, and then what little can be read makes more of them, for ever.
        let until = match self.next_seal(now).filter(|due| *due <= now) {
            Some(_) if self.queue(now) == Queue::Failing => {
                self.last_fresh = now;
                self.batches.oldest()
            }
            Some(_) => now.checked_sub(self.plan.batch_max_wait),
            None => None,
        };
        self.batches.seal_due(until.unwrap_or_default(), read);
    }

    /// When an open batch is to be sealed. `None`: not before what waits has left, which wakes the lane.
    pub(super) fn next_seal(&self, now: Duration) -> Option<Duration> {
        let due = self.batches.oldest()? + self.plan.batch_max_wait;
        match self.queue(now) {
            Queue::Empty => Some(due),
            Queue::Failing => Some(due.max(self.last_fresh + FRESH)),
            Queue::Waiting => None,
        }
    }

    /// A few batches that have failed do not count: whether the fault is theirs is shown by others that pass, and there must
    /// be such.
    fn queue(&self, now: Duration) -> Queue {
        let mut failed = 0;
        for work in self.batches.sealed.iter().filter(|work| self.may_send(work.batch.stream, now)) {
            if !work.has_failed() {
                return Queue::Waiting;
            }
            failed += 1;
        }
        if failed > self.plan.concurrency { Queue::Failing } else { Queue::Empty }
    }
}
