//! Some of the records of a batch, for one request.

use super::Batch;
use crate::model::{FileName, Nanos};
use std::{collections::HashMap, ops::Range};

/// In which form records are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As they were encoded.
    #[default]
    Full,
    /// As plainly as the destination takes them, without what it may stumble over.
    Plain,
    /// In the stream of those that come late, with their own time.
    Late,
    /// In a stream of those of this file that come late even there, with their own time.
    LateOf(FileName),
    /// With a time that the destination takes, and their own beside it.
    Retimed,
}

/// The times from which those of retimed records are made: by file, from a record's number on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bases(HashMap<FileName, Vec<(u64, Nanos)>>);

impl Bases {
    /// From this record of the file on, this is the base.
    pub fn set(&mut self, file: FileName, from: u64, base: Nanos) {
        let bases = self.0.entry(file).or_default();
        bases.retain(|(other, _)| *other < from);
        bases.push((from, base));
    }

    /// The time of a record: the base and as many nanoseconds as its number says, so that the order stays.
    pub fn time(&self, file: FileName, seq: u64) -> Option<Nanos> {
        let (_, base) = self.0.get(&file)?.iter().rev().find(|(from, _)| *from <= seq)?;
        Some(Nanos(base.0.saturating_add(i64::try_from(seq).unwrap_or(i64::MAX))))
    }

    /// The file is gone.
    pub fn forget(&mut self, file: FileName) {
        self.0.remove(&file);
    }
}

/// Some of the records of a batch, all in one form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Their numbers: ranges that are not empty, do not touch and rise.
    ranges: Vec<Range<usize>>,
    /// Their form.
    pub form: Form,
}

impl Selection {
    /// The records of `range`; none when it is empty.
    pub fn of(range: Range<usize>, form: Form) -> Selection {
        let mut selection = Selection { ranges: Vec::new(), form };
        selection.ranges.extend((!range.is_empty()).then_some(range));
        selection
    }

    /// These records, which rise.
    pub fn from_iter(records: impl IntoIterator<Item = usize>, form: Form) -> Selection {
        let mut selection = Selection { ranges: Vec::new(), form };
        for record in records {
            match selection.ranges.last_mut() {
                Some(range) if range.end == record => range.end += 1,
                _ => selection.ranges.push(record..record + 1),
            }
        }
        selection
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ranges.iter().map(ExactSizeIterator::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Their numbers, rising.
    pub fn records(&self) -> impl Iterator<Item = usize> + '_ {
        self.ranges.iter().cloned().flatten()
    }

    /// The first `count` of them, and the rest.
    pub fn split_at(&self, count: usize) -> (Selection, Selection) {
        let (mut before, mut after) = (Selection::of(0..0, self.form), Selection::of(0..0, self.form));
        let mut left = count;
        for range in &self.ranges {
            let middle = range.start + left.min(range.len());
            left -= middle - range.start;
            before.ranges.extend((range.start < middle).then_some(range.start..middle));
            after.ranges.extend((middle < range.end).then_some(middle..range.end));
        }
        (before, after)
    }
}

/// A selection and the batch that it is from.
#[derive(Clone, Copy, Debug)]
pub struct Records<'a> {
    /// The batch.
    pub batch: &'a Batch,
    /// Which of its records.
    pub selection: &'a Selection,
    /// Of those that are retimed.
    pub bases: &'a Bases,
}

impl Records<'_> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.selection.len()
    }

    /// The number of their encoded bytes.
    pub fn bytes(&self) -> usize {
        self.selection.ranges.iter().map(|range| self.batch.bytes_of(range).len()).sum()
    }

    /// Appends their encoded bytes to `out`, one after the other.
    pub fn copy_to(&self, out: &mut Vec<u8>) {
        for range in &self.selection.ranges {
            self.batch.body.copy_to(self.batch.bytes_of(range), out);
        }
    }

    /// Shows the encoded bytes of each. The cold path: each is copied.
    pub fn each(&self, mut show: impl FnMut(&[u8])) {
        self.selection.records().for_each(|record| show(&self.batch.record(record)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_selection_is_its_records(records in prop::collection::btree_set(0usize..60, 0..60), count in 0usize..70) {
            let selection = Selection::from_iter(records.iter().copied(), Form::Plain);
            prop_assert_eq!(selection.records().collect::<Vec<_>>(), records.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!((selection.len(), selection.is_empty()), (records.len(), records.is_empty()));
            let (before, after) = selection.split_at(count);
            prop_assert_eq!(&before, &Selection::from_iter(records.iter().copied().take(count), Form::Plain));
            prop_assert_eq!(&after, &Selection::from_iter(records.iter().copied().skip(count), Form::Plain));
        }
    }
}
