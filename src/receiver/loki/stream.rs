//! What is stored of one stream: packed entries, and an index that finds an entry that came before.

use super::labels::Labels;
use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

/// One stream of one tenant.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) labels: Labels,
    /// In the order of arrival. Empty when lines are not kept.
    pub(super) entries: Vec<Stored>,
    /// From the hash of (time, line) to the place in `entries`. Two entries with one hash take neighbouring keys.
    index: HashMap<u64, usize, BuildHasherDefault<Ready>>,
    /// The time of the newest accepted entry: what "too far behind" refers to.
    newest: Option<i64>,
}

/// A stored entry. Line and metadata share one allocation: a million of them must stay small.
#[derive(Debug)]
pub(super) struct Stored {
    /// Nanoseconds since 1970.
    pub(super) time: i64,
    /// How often it came. At least 1.
    pub(super) sends: u32,
    /// Where the metadata begins in `data`.
    line_len: u32,
    /// The line, then the metadata as [`super::metadata`] packs it.
    data: Box<[u8]>,
}

/// What became of an entry that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// Stored.
    New,
    /// The same (time, line) is there: not stored again.
    Duplicate,
    /// Older than this time, the oldest that the stream takes.
    TooFarBehind(i128),
}

impl Stored {
    pub(super) fn line(&self) -> &[u8] {
        &self.data[..self.line_len as usize]
    }

    /// The packed metadata.
    pub(super) fn metadata(&self) -> &[u8] {
        &self.data[self.line_len as usize..]
    }
}

impl Stream {
    pub(super) fn new(labels: Labels) -> Stream {
        Stream { labels, entries: Vec::new(), index: HashMap::default(), newest: None }
    }

    /// Takes an entry as Loki's ingester would. `hash` is that of (time, line); `max_behind` is in nanoseconds.
    /// `pack` appends the metadata to the line; without it only the hash is kept.
    pub(super) fn offer(
        &mut self,
        time: i64,
        line: &[u8],
        hash: u64,
        max_behind: i128,
        pack: Option<impl FnOnce(&mut Vec<u8>)>,
    ) -> Offer {
        // Also before it is looked for among what is there: a repeated send that is too late is refused.
        let newest = self.newest.unwrap_or(time);
        let oldest = i128::from(newest) - max_behind;
        if i128::from(time) < oldest {
            return Offer::TooFarBehind(oldest);
        }
        self.newest = Some(newest.max(time));
        let mut key = hash;
        while let Some(&place) = self.index.get(&key) {
            match self.entries.get_mut(place) {
                Some(entry) if entry.time != time || entry.line() != line => key = key.wrapping_add(1),
                found => {
                    if let Some(entry) = found {
                        entry.sends = entry.sends.saturating_add(1);
                    }
                    return Offer::Duplicate;
                }
            }
        }
        self.index.insert(key, self.entries.len());
        if let (Some(pack), Ok(line_len)) = (pack, u32::try_from(line.len())) {
            let mut data = Vec::with_capacity(line.len() + 128);
            data.extend_from_slice(line);
            pack(&mut data);
            self.entries.push(Stored { time, sends: 1, line_len, data: data.into_boxed_slice() });
        }
        Offer::New
    }
}

/// The keys of the index are hashes already.
#[derive(Default)]
struct Ready(u64);

impl Hasher for Ready {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
