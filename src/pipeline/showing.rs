//! What a lane shows of itself: its counts once per turn, and once a second, when something happened, what it would
//! have to look at every file for. And what the follow thread shows, once per scan.

use super::{
    alarm,
    gauges::{FileNumbers, FollowGauges, OutputNumbers},
    lane::Lane,
    plan::wall_clock,
};
use crate::{
    model::Nanos,
    tail::{Figures, Life},
};
use std::{collections::HashSet, path::PathBuf, sync::Arc, time::Duration};

/// Files are looked at this often at most.
const MEASURE: Duration = Duration::from_secs(1);
/// That records grow too old for the destination is said this often.
const AGED: Duration = Duration::from_secs(3600);
/// So many unreadable files are named.
const NAMED: usize = 16;

/// What was shown last, of that which is not shown at every turn.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// Something has happened since the files were looked at.
    pub is_stale: bool,
    measured: Duration,
    /// When it was said last that the oldest record is nearly too old.
    aged: Option<Duration>,
    /// When it was said last that records are.
    old: Option<Duration>,
    behind_bytes: u64,
    oldest: Option<Nanos>,
    why: Option<String>,
    unreadable: Vec<String>,
}

impl Lane {
    pub(super) fn show(&mut self, now: Duration) {
        if self.next_measure().is_some_and(|due| due <= now) {
            self.measure(now);
        }
        let counts = &self.counts;
        self.gauges.publish(&OutputNumbers {
            records: counts.records,
            acknowledged: counts.acknowledged,
            pending: self.pending(),
            read_bytes: counts.read_bytes,
            passed_bytes: counts.passed_bytes,
            acknowledged_bytes: self.settled(),
            behind_bytes: self.shown.behind_bytes,
            oldest: self.shown.oldest.map_or(0, |Nanos(time)| u64::try_from(time).unwrap_or(0)),
            malformed: counts.malformed,
            invalid_utf8: counts.invalid_utf8,
            empty: counts.empty,
            unterminated: counts.unterminated,
            gaps: counts.gaps,
            parts: counts.parts,
            twins: counts.twins,
            refused: counts.refused,
            dead_lettered: counts.dead_lettered,
            dead_lettered_bytes: counts.dead_lettered_bytes,
            requests: counts.requests,
            sent_bytes: counts.wire_bytes,
            lost_bytes: counts.lost_bytes,
        });
        if self.why() != self.shown.why.as_deref() {
            let why = self.why().map(str::to_owned);
            self.gauges.say_why(why.as_deref());
            self.shown.why = why;
        }
    }

    /// When the files are to be looked at again, if they are.
    pub(super) fn next_measure(&self) -> Option<Duration> {
        self.shown.is_stale.then_some(self.shown.measured + MEASURE)
    }

    /// Records that were read and are not acknowledged, counted where they are, not from what was counted before.
    pub(super) fn pending(&self) -> u64 {
        let held: u64 = self.held.iter().map(|(_, work)| work.batch.records() as u64).sum();
        self.batches.records() + self.in_flight_records + self.receipts.records() + held
    }

    /// Says it in time when the destination will soon not keep any more what it takes.
    fn note_age(&mut self, now: Duration) {
        let Some((limit, oldest)) = self.plan.output.max_age().zip(self.shown.oldest) else { return };
        let age = wall_clock().0.saturating_sub(oldest.0);
        let age = Duration::from_nanos(u64::try_from(age).unwrap_or(0));
        if age >= limit * 2 / 3 && self.shown.aged.is_none_or(|said| now.saturating_sub(said) >= AGED) {
            self.shown.aged = Some(now);
            alarm::aged(&self.plan.name, age, limit);
        }
    }

    /// A record is too old for the destination already.
    #[cold]
    pub(super) fn note_old(&mut self, now: Duration) {
        self.counts.too_old += 1;
        if self.shown.old.is_none_or(|said| now.saturating_sub(said) >= AGED) {
            self.shown.old = Some(now);
            alarm::too_old(&self.plan.name, self.counts.too_old);
        }
    }

    fn measure(&mut self, now: Duration) {
        let mut behind_bytes = 0;
        let mut oldest: Option<Nanos> = None;
        let mut unreadable = Vec::new();
        for (key, file) in &mut self.files {
            let safe = self.ledger.safe(*key).map_or(0, |safe| safe.at);
            let len = match file.file.life() {
                Life::Live | Life::Final => file.file.size(),
                // Its length now is that of another content.
                Life::Adrift => file.file.known_len(),
                Life::Replaced => 0,
            };
            let bytes = len.max(file.place.at).saturating_sub(safe);
            behind_bytes += bytes;
            if file.failing_since.is_some() && unreadable.len() < NAMED {
                unreadable.push(file.file.known.origin.path.to_string());
            }
            // The beginning of a line is not a record yet.
            let is_tail_only = bytes == file.tail && file.place.at == safe;
            let time = match self.ledger.oldest(*key) {
                Some(time) => time,
                None if bytes == 0 || is_tail_only => {
                    file.waits = None;
                    continue;
                }
                // Nothing is known of bytes that were not read yet but since when they are next.
                None => match file.waits {
                    Some((at, since)) if at == safe => since,
                    _ => file.waits.insert((safe, wall_clock())).1,
                },
            };
            oldest = Some(oldest.map_or(time, |oldest| oldest.min(time)));
        }
        unreadable.sort_unstable();
        if unreadable != self.shown.unreadable {
            self.gauges.say_unreadable(unreadable.clone());
            self.shown.unreadable = unreadable;
        }
        self.shown.measured = now;
        self.shown.is_stale = false;
        self.shown.behind_bytes = behind_bytes;
        self.shown.oldest = oldest;
        self.note_age(now);
    }
}

/// Of the files.
pub(super) struct FilesShown {
    pub gauges: Arc<FollowGauges>,
    numbers: FileNumbers,
}

impl FilesShown {
    pub(super) fn new(gauges: Arc<FollowGauges>) -> FilesShown {
        FilesShown { gauges, numbers: FileNumbers::default() }
    }

    /// So many bytes are in no file any more, and some output did not have them.
    pub(super) fn destroyed(&mut self, bytes: u64) {
        self.numbers.destroyed_bytes += bytes;
    }

    /// A scan is complete. `unusable`: paths that it could not use; `before`: those of the scan before it.
    pub(super) fn scanned<'p>(
        &mut self,
        figures: Figures,
        took: Duration,
        unusable: impl ExactSizeIterator<Item = &'p PathBuf> + Clone,
        before: &HashSet<PathBuf>,
    ) {
        self.numbers.open = figures.open;
        self.numbers.waiting = figures.waiting;
        self.numbers.deleted_bytes = figures.deleted_bytes;
        self.numbers.scans += 1;
        self.numbers.scan_nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // Before the numbers: who sees that the scan is complete sees what it could not read.
        if unusable.len() != before.len() || !unusable.clone().all(|path| before.contains(path)) {
            self.gauges.say_unreadable(unusable.map(|path| path.display().to_string()).collect());
        }
        self.gauges.publish(&self.numbers);
    }
}
