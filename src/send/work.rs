//! One batch on its way: which of its records are still to be sent, and what an answer does to that.

use crate::{batch::Batch, output::Verdict};
use std::{collections::VecDeque, ops::Range};

/// When this many records of one batch have been refused, the rest of it waits with them: something is wrong with
/// all of them, and every search costs requests.
const MAX_REFUSED: usize = 16;

/// A record that the destination refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its number in the batch.
    pub record: usize,
    /// The destination's words.
    pub reason: String,
}

/// A sealed batch and what is left to do for it.
///
/// ```text
///             Accepted: drop the range        todo empty, nothing refused
///  ┌─ Send ──────────────────────────────────────────────────────────────▶ Settled
///  │    │ Refused/TooLarge, many records: two halves                 
///  │    │ Refused/TooLarge, one record: to `refused`      todo empty, or too many refused
///  │    └────────────────────────────────────────────────────────────────▶ Held ──again()──▶ Send
///  └──◀ Stall: the same range again
/// ```
#[derive(Debug)]
pub struct Work {
    /// The records and their bytes.
    pub batch: Batch,
    /// Ranges of records that are not accepted yet, in order.
    todo: VecDeque<Range<usize>>,
    /// Records that were refused alone.
    refused: Vec<Refusal>,
    /// How often it was held.
    pub holds: u32,
}

/// What to do with a [`Work`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send these records.
    Send(Range<usize>),
    /// Every record is accepted.
    Settled,
    /// What is left is refused: wait, then [`Work::again`].
    Held,
}

impl Work {
    /// All of `batch` is to be sent.
    pub fn new(batch: Batch) -> Work {
        let mut todo = VecDeque::new();
        todo.push_back(0..batch.records());
        Work { batch, todo, refused: Vec::new(), holds: 0 }
    }

    /// What to do now.
    pub fn next(&self) -> Next {
        match self.todo.front() {
            Some(range) if self.refused.len() < MAX_REFUSED => Next::Send(range.clone()),
            _ if self.refused.is_empty() => Next::Settled,
            _ => Next::Held,
        }
    }

    /// Takes in the verdict on the range that [`Work::next`] named. Returns the record when it was refused alone.
    pub fn take(&mut self, verdict: &Verdict) -> Option<Refusal> {
        let (Verdict::Accepted | Verdict::Refused { .. } | Verdict::TooLarge { .. }) = verdict else { return None };
        let range = self.todo.pop_front()?;
        let (Verdict::Refused { reason } | Verdict::TooLarge { reason }) = verdict else { return None };
        if range.len() > 1 {
            let middle = range.start + range.len() / 2;
            self.todo.push_front(middle..range.end);
            self.todo.push_front(range.start..middle);
            return None;
        }
        let refusal = Refusal { record: range.start, reason: reason.clone() };
        self.refused.push(refusal.clone());
        Some(refusal)
    }

    /// The records that were refused are to be sent again.
    pub fn again(&mut self) {
        self.holds = self.holds.saturating_add(1);
        // Behind what has not been tried yet: what is refused for good must not keep the rest from its turn.
        self.todo.extend(self.refused.drain(..).map(|refusal| refusal.record..refusal.record + 1));
    }

    /// The records that were refused.
    pub fn refused(&self) -> &[Refusal] {
        &self.refused
    }
}
