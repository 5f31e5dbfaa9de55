//! What a run did, and what it left.

use super::lane::{Lane, Mode};
use crate::{
    guard::{Other, Why},
    model::{Marks, Record},
};
use std::{collections::BTreeSet, path::PathBuf, time::Duration};

/// Counts of one output since the agent started. `records = acknowledged + dead_lettered + pending`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes that were framed, passed-over lines included.
    pub read_bytes: u64,
    /// Bytes of lines without the configured prefix.
    pub passed_bytes: u64,
    /// Records that were read.
    pub records: u64,
    /// Records that the destination has acknowledged.
    pub acknowledged: u64,
    /// Records that are not a JSON object.
    pub malformed: u64,
    /// Records that are not UTF-8.
    pub invalid_utf8: u64,
    /// Empty lines.
    pub empty: u64,
    /// Last lines without a newline.
    pub unterminated: u64,
    /// Runs of NUL bytes.
    pub gaps: u64,
    /// Records that equal the one before them in their stream in time (to the nanosecond, as written) and line: a
    /// destination such as Loki keeps one of the two.
    pub twins: u64,
    /// Records that are a part of a longer line.
    pub parts: u64,
    /// Records that were too old for the destination to keep when they were read; it says that it took them.
    pub too_old: u64,
    /// Records that the destination refused for good.
    pub refused: u64,
    /// Records that are in the dead letters.
    pub dead_lettered: u64,
    /// Bytes of the lines that were put there.
    pub dead_lettered_bytes: u64,
    /// Requests, repeated ones included.
    pub requests: u64,
    /// Bytes of request bodies, compressed.
    pub wire_bytes: u64,
    /// Bytes that were truncated away before they were read, as far as their number is known.
    pub lost_bytes: u64,
    /// Labels and reasons for which `__other__` was used.
    other: BTreeSet<(String, Why)>,
}

impl Counts {
    pub(super) fn note(&mut self, record: &Record<'_>) {
        self.records += 1;
        if record.part.is_some() {
            self.parts += 1;
        }
        if !record.marks.is_none() {
            self.note_marks(record.marks);
        }
    }

    #[cold]
    fn note_marks(&mut self, marks: Marks) {
        self.malformed += u64::from(marks.has(Marks::MALFORMED));
        self.invalid_utf8 += u64::from(marks.has(Marks::INVALID_UTF8));
        self.empty += u64::from(marks.has(Marks::EMPTY));
        self.unterminated += u64::from(marks.has(Marks::UNTERMINATED));
        self.gaps += u64::from(marks.has(Marks::GAP));
    }

    /// Calls `alarm` the first time that a label is replaced for a reason.
    pub(super) fn note_other(&mut self, other: Other, alarm: impl FnOnce(&str, &str)) {
        let why = match other.why {
            Why::Unfit => "a value is too long or has control characters",
            Why::NotInSet => "a value is not one of the label's `values`",
            Why::TooManyValues => "the label has as many values as guard.max_label_values allows",
            Why::TooManyStreams => "there are as many streams as guard.max_streams allows",
        };
        if self.other.insert((other.label.clone(), other.why)) {
            alarm(&other.label, why);
        }
    }
}

/// Bytes of a file that an output has not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its path at first sight.
    pub path: String,
    /// How many.
    pub bytes: u64,
    /// They are the beginning of a line that has no newline yet.
    pub is_tail_only: bool,
}

/// What one output did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputReport {
    /// Its name.
    pub name: String,
    /// What it counted.
    pub counts: Counts,
    /// Records that were read and are not acknowledged, counted where they are: they are read again.
    pub pending: u64,
    /// What it left, the most first.
    pub left: Vec<Left>,
    /// Why it waits, if it does.
    pub stalled: Option<String>,
}

impl OutputReport {
    /// Whether everything up to the last newline was acknowledged.
    pub fn is_complete(&self) -> bool {
        self.left.iter().all(|left| left.is_tail_only)
    }
}

/// What a run did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// By output, in configuration order.
    pub outputs: Vec<OutputReport>,
    /// Paths that could not be listed or opened at the last look.
    pub unreadable: Vec<PathBuf>,
}

impl Lane {
    pub(super) fn is_finished(&self, now: Duration) -> bool {
        let is_sent = self.in_flight == 0 && self.receipts.is_empty();
        let is_empty = is_sent && self.batches.sealed.is_empty() && self.batches.oldest().is_none();
        match (self.stop, self.mode) {
            // What is refused does not get better by waiting.
            (Some(deadline), _) => is_empty || now >= deadline,
            (None, Mode::Once) => {
                self.is_listed() && self.ready.is_empty() && is_empty && self.held.is_empty() && !self.is_in_doubt()
            }
            (None, Mode::Follow) => false,
        }
    }

    pub(super) fn report(&self) -> OutputReport {
        let mut left = Vec::new();
        for (key, file) in &self.files {
            let safe = self.ledger.safe(*key).map_or(0, |safe| safe.at);
            let size = match self.mode {
                Mode::Once => file.file.size(),
                Mode::Follow => file.file.end().unwrap_or_else(|_| file.file.size()),
            };
            let bytes = size.saturating_sub(safe);
            // In a file that is read to its end, what is left is the beginning of a line.
            let is_tail_only = bytes == file.tail && file.place.at == safe;
            if bytes > 0 {
                left.push(Left { path: file.file.known.origin.path.to_string(), bytes, is_tail_only });
            }
        }
        left.sort_by_key(|left| std::cmp::Reverse(left.bytes));
        let pending = self.pending();
        let counts = self.counts.clone();
        debug_assert_eq!(counts.records, counts.acknowledged + counts.dead_lettered + pending);
        OutputReport { name: self.plan.name.clone(), counts, pending, left, stalled: self.why().map(str::to_owned) }
    }
}
