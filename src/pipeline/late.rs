//! Late: records whose time their destination does not take in the stream that they belong to (Loki: an hour behind the
//! newest, which other machines write too), or in none.
//!
//! The late ones go to a stream of their own, with their own time. Those that no stream takes are given another time, made
//! of a base and their number in the file. Both decisions are on disk before they are used, so that what is sent again after
//! a crash is the same.

use super::{alarm, lane::Lane, plan::wall_clock};
use crate::{
    batch::{Form, Selection},
    model::{FileName, Nanos},
    output::{Output, Untimely},
    send::{Next, Work},
    state::Entry,
};
use std::{collections::BTreeMap, time::Duration};

/// A record is given another time at most so often; then it is refused for good.
const MAX_BASES: u32 = 3;
/// Bounds are put on disk ahead of the time by so much, so that not each batch of a machine that catches up moves one.
const AHEAD: i64 = 10 * Nanos::SECOND;

/// Which records of a stream are late.
#[derive(Clone, Copy, Debug)]
pub(super) struct Late {
    /// Those before this time, as the state has it.
    before: Nanos,
    /// When the destination named it: since then the others have got on.
    learned: Duration,
}

impl Lane {
    /// What the state knows of a stream that is new to the lane.
    pub(super) fn recall_late(&mut self, stream: u32) {
        let Some(labels) = self.labels_of(stream) else { return };
        let key = (self.plan.name.clone(), labels.clone());
        if let Some(before) = self.store.with_memory(|memory| memory.late.get(&key).copied()) {
            let learned = self.now();
            self.late.insert(stream, Late { before, learned });
        }
    }

    /// What the state knows of a file that is new to the lane.
    pub(super) fn recall_bases(&mut self, file: FileName) {
        let key = (self.plan.name.clone(), file);
        let bases = self.store.with_memory(|memory| memory.bases.get(&key).cloned());
        for (from, base) in bases.into_iter().flatten() {
            self.bases.set(file, from, base);
        }
    }

    /// Before a batch is sent: those of its records that are known to be late are sent as such at once.
    pub(super) fn sort_late(&mut self, work: &mut Work, now: Duration) {
        let stream = work.batch.stream;
        let Some(late) = self.late.get(&stream).copied() else { return };
        let Next::Send(selection) = work.next() else { return };
        if selection.form != Form::Full || work.is_sorted {
            return;
        }
        work.is_sorted = true;
        let passed = i64::try_from(now.saturating_sub(late.learned).as_nanos()).unwrap_or(i64::MAX);
        let bound = Nanos(late.before.0.saturating_add(passed));
        let times = self.times(work);
        let is_between = |time: &Nanos| (late.before..bound).contains(time);
        if times.values().any(is_between) {
            self.move_late(stream, Nanos(bound.0.saturating_add(AHEAD)), now);
        }
        let before = self.late.get(&stream).map_or(late.before, |late| late.before.max(bound));
        let form = |record: usize| match times.get(&record) {
            Some(time) if *time < before => Form::Late,
            _ => Form::Full,
        };
        work.sort(form);
    }

    fn move_late(&mut self, stream: u32, before: Nanos, learned: Duration) {
        let Some(labels) = self.labels_of(stream).cloned() else { return };
        self.late.insert(stream, Late { before, learned });
        self.store.append([Entry::Late { output: self.plan.name.clone(), labels, before }]);
        self.needs_sync = true;
    }

    /// The destination does not take the times of some records. `false`: nothing can be done about it.
    pub(super) fn untimely(&mut self, work: &mut Work, untimely: &Untimely, now: Duration) -> bool {
        let Next::Send(selection) = work.next() else { return false };
        let was = selection.form;
        if was == Form::Retimed {
            // The time that was made for them has become too old as well.
            work.bases += 1;
            if work.bases >= MAX_BASES {
                return false;
            }
            self.base(work, selection.records());
            return true;
        }
        if let Some(before) = untimely.behind.filter(|_| was == Form::Full) {
            // A batch that was sorted earlier can meet an older bound.
            let before = self.late.get(&work.batch.stream).map_or(before, |late| late.before.max(before));
            alarm::late(&self.plan.name, self.labels_of(work.batch.stream), before);
            self.move_late(work.batch.stream, before, now);
        }
        let forms = forms(&self.plan.output, work, &selection, untimely);
        let retimed: Vec<usize> =
            forms.iter().filter(|(_, form)| **form == Form::Retimed).map(|(record, _)| *record).collect();
        if !retimed.is_empty() {
            alarm::retimed(&self.plan.name, retimed.len(), &untimely.reason);
            self.base(work, retimed.into_iter());
        }
        work.sort(|record| forms.get(&record).copied().unwrap_or(was))
    }

    /// Gives the files of these records, from the first of them in each on, a base of now, unless they have one and it is
    /// not known to be too old.
    fn base(&mut self, work: &Work, records: impl Iterator<Item = usize>) {
        let mut firsts: BTreeMap<FileName, u64> = BTreeMap::new();
        for record in records {
            let Some(described) = self.plan.output.describe(&work.batch.record(record)) else { continue };
            let first = firsts.entry(described.file).or_insert(described.seq);
            *first = described.seq.min(*first);
        }
        for (file, from) in firsts {
            let is_first = self.bases.time(file, u64::MAX).is_none();
            if work.bases == 0 && !is_first {
                continue;
            }
            let time = base_of(file);
            // The first base is that of all records of the file, in whatever order their batches need it.
            let from = if is_first { 0 } else { from };
            self.bases.set(file, from, time);
            self.store.append([Entry::Base { output: self.plan.name.clone(), file, from, time }]);
            self.needs_sync = true;
        }
    }

    /// The times of the records of a batch.
    fn times(&self, work: &Work) -> BTreeMap<usize, Nanos> {
        let time = |record: usize| Some((record, self.plan.output.time(&work.batch.record(record))?));
        (0..work.batch.records()).filter_map(time).collect()
    }
}

/// The form in which each of these records is sent next: they were sent in one, and some have a time that is not taken.
pub(super) fn forms(output: &Output, work: &Work, sent: &Selection, untimely: &Untimely) -> BTreeMap<usize, Form> {
    let was = sent.form;
    let form = |record: usize| {
        let Some(place) = output.describe(&work.batch.record(record)) else { return was };
        match untimely.form(place.time, place.file, was) {
            // It is meant, whatever the times that were named.
            same if same == was && sent.len() == 1 => untimely.other_form(place.file, was),
            form => form,
        }
    };
    sent.records().map(|record| (record, form(record))).collect()
}

/// What the times of retimed records of a file are made of, as of now. Equal lines with equal numbers in two files must
/// not be one entry.
pub(super) fn base_of(file: FileName) -> Nanos {
    let apart = i64::try_from(file.0 % Nanos::SECOND as u64).unwrap_or(0);
    Nanos(wall_clock().0.saturating_sub(apart))
}
