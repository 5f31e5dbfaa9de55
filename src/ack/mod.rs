//! Settle: which bytes of a file an output is done with. Pure.
//!
//! A batch holds, per file, the first offset that it contains. **The safe position of a file is the lowest first
//! offset in any unsettled batch, else the position scanned to.** There is no state per record. Every first offset
//! carries the [`Point`] that reading would resume from, so that the safe position is always a place from which
//! sequence, chain and time go on as before.
//!
//! Known limits: a batch settles as a whole, so one refused record keeps its neighbours in the batch unsettled; after
//! a crash they are sent again, unchanged.

#[cfg(test)]
mod tests;

use crate::model::{Nanos, Point};
use std::collections::HashMap;

/// A file as this process numbers it.
pub type FileKey = u32;

/// The positions of one output in all its files.
#[derive(Debug, Default)]
pub struct Ledger {
    files: HashMap<FileKey, Progress>,
    /// Sum over the files of scanned − safe.
    pending: u64,
}

/// One file. `safe() <= scanned.at`; the places of `unsettled` lie between them.
#[derive(Debug)]
struct Progress {
    /// Of each batch with records of the file: the point just before the first of them, and the time of that record;
    /// rising. Most files have few, and there can be very many files.
    unsettled: Vec<(Point, Nanos)>,
    /// Everything before it is in a batch or was passed over.
    scanned: Point,
}

impl Progress {
    fn safe(&self) -> &Point {
        self.unsettled.first().map_or(&self.scanned, |(point, _)| point)
    }

    fn pending(&self) -> u64 {
        self.scanned.at - self.safe().at
    }
}

impl Ledger {
    /// Begins a file at `point`, or moves it there when it is known already.
    pub fn begin(&mut self, file: FileKey, point: Point) {
        self.forget(file);
        self.files.insert(file, Progress { unsettled: Vec::new(), scanned: point });
    }

    /// A batch takes its first record of `file`, which has this `time`; `point` is the place just before that record,
    /// and is also what identifies the entry when it settles. Points of one file come in rising order.
    pub fn open(&mut self, file: FileKey, point: Point, time: Nanos) {
        if let Some(progress) = self.files.get_mut(&file) {
            debug_assert!(progress.unsettled.last().is_none_or(|(last, _)| last.at < point.at));
            self.pending -= progress.pending();
            progress.scanned = point;
            progress.unsettled.push((point, time));
            self.pending += progress.pending();
        }
    }

    /// Everything of `file` before `point` has been put into a batch or passed over.
    pub fn scanned(&mut self, file: FileKey, point: Point) {
        if let Some(progress) = self.files.get_mut(&file) {
            debug_assert!(point.at >= progress.scanned.at);
            self.pending -= progress.pending();
            progress.scanned = point;
            self.pending += progress.pending();
        }
    }

    /// The batch that opened `file` at `first` is settled.
    pub fn settle(&mut self, file: FileKey, first: u64) {
        if let Some(progress) = self.files.get_mut(&file) {
            self.pending -= progress.pending();
            if let Ok(nth) = progress.unsettled.binary_search_by_key(&first, |(point, _)| point.at) {
                progress.unsettled.remove(nth);
            }
            if progress.unsettled.is_empty() {
                progress.unsettled = Vec::new();
            }
            self.pending += progress.pending();
        }
    }

    /// The safe position: nothing before it has to be read again. `None` for an unknown file.
    pub fn safe(&self, file: FileKey) -> Option<&Point> {
        self.files.get(&file).map(Progress::safe)
    }

    /// Whether all that was scanned of the file is settled.
    pub fn is_settled(&self, file: FileKey) -> bool {
        self.files.get(&file).is_none_or(|progress| progress.unsettled.is_empty())
    }

    /// The time of the record at the safe position; `None` when all that was scanned of the file is settled.
    pub fn oldest(&self, file: FileKey) -> Option<Nanos> {
        self.files.get(&file)?.unsettled.first().map(|(_, time)| *time)
    }

    /// Bytes between safe and scanned position, over all files.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// Drops a file that is not read any more.
    pub fn forget(&mut self, file: FileKey) {
        if let Some(progress) = self.files.remove(&file) {
            self.pending -= progress.pending();
        }
    }
}
