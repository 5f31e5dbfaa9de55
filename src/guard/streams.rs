//! Remembers decisions, so that most records cost one hash look-up.

use super::MAX_VALUE;
use crate::model::LabelSet;
use std::{collections::HashMap, sync::Arc};

/// The most keys that are remembered.
const MAX_KEYS: usize = 16_384;
/// The most bytes of keys that are remembered: what a log writes must not decide how much memory is used.
const MAX_KEY_BYTES: usize = 1 << 20;

/// What stands for the length of a value that is absent, or too long to be admitted whatever it is.
const ABSENT: u32 = u32::MAX;
const TOO_LONG: u32 = u32::MAX - 1;

/// The number of a label set, of use only with the [`Streams`] that gave it. Counts from 0 without gaps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(usize);

impl StreamId {
    /// The number.
    pub fn index(self) -> usize {
        self.0
    }
}

/// From raw values to a stream, one per thread. Forgets raw values when there are too many of them, but never a
/// stream: there are only as many of these as [`Admission`](super::Admission) admits.
#[derive(Debug, Default)]
pub struct Streams {
    /// Raw values, each after its length, to the stream they were given.
    known: HashMap<Box<[u8]>, StreamId>,
    /// The bytes of the keys of `known`.
    key_bytes: usize,
    /// The key that is looked up.
    scratch: Vec<u8>,
    /// By number.
    sets: Vec<Arc<LabelSet>>,
    numbers: HashMap<Arc<LabelSet>, StreamId>,
}

impl Streams {
    /// Knows nothing yet.
    pub fn new() -> Streams {
        Streams::default()
    }

    /// The stream that was given to these raw values, unless it was forgotten.
    pub fn lookup<F, P>(&mut self, fields: &[Option<F>], per_file: &[Option<P>]) -> Option<StreamId>
    where
        F: AsRef<str>,
        P: AsRef<str>,
    {
        self.make_key(fields, per_file);
        self.known.get(self.scratch.as_slice()).copied()
    }

    /// Remembers the labels that these raw values were given. Equal labels have equal numbers.
    pub fn insert<F, P>(&mut self, fields: &[Option<F>], per_file: &[Option<P>], labels: LabelSet) -> StreamId
    where
        F: AsRef<str>,
        P: AsRef<str>,
    {
        let id = self.number(labels);
        self.make_key(fields, per_file);
        if self.known.len() >= MAX_KEYS || self.key_bytes + self.scratch.len() > MAX_KEY_BYTES {
            self.known.clear();
            self.key_bytes = 0;
        }
        if self.known.insert(self.scratch.as_slice().into(), id).is_none() {
            self.key_bytes += self.scratch.len();
        }
        id
    }

    /// The labels of a stream.
    pub fn labels(&self, stream: StreamId) -> &LabelSet {
        &self.sets[stream.0]
    }

    /// How many keys there are, and their bytes.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> (usize, usize) {
        (self.known.len(), self.known.keys().map(|key| key.len()).sum())
    }

    fn number(&mut self, labels: LabelSet) -> StreamId {
        if let Some(id) = self.numbers.get(&labels) {
            return *id;
        }
        let id = StreamId(self.sets.len());
        let labels = Arc::new(labels);
        self.sets.push(Arc::clone(&labels));
        self.numbers.insert(labels, id);
        id
    }

    fn make_key<F: AsRef<str>, P: AsRef<str>>(&mut self, fields: &[Option<F>], per_file: &[Option<P>]) {
        self.scratch.clear();
        for field in fields {
            self.add_to_key(field.as_ref().map(AsRef::as_ref));
        }
        for value in per_file {
            self.add_to_key(value.as_ref().map(AsRef::as_ref));
        }
    }

    fn add_to_key(&mut self, value: Option<&str>) {
        let (len, bytes) = match value {
            None => (ABSENT, ""),
            Some(value) if value.len() > MAX_VALUE => (TOO_LONG, ""),
            // At most MAX_VALUE.
            Some(value) => (value.len() as u32, value),
        };
        self.scratch.extend_from_slice(&len.to_le_bytes());
        self.scratch.extend_from_slice(bytes.as_bytes());
    }
}
