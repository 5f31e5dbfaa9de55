//! What a file is called at the destination, and how far an output has got in it.

use super::{Chain, Container, Nanos};
use std::{fmt, str::FromStr, sync::Arc};

/// The name of a file's content at every destination: 16 hex digits, made and persisted before the first send and
/// unchanged for the life of that content under any path. A truncation makes a new name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(pub u64);

impl FileName {
    /// The 16 hex digits as bytes.
    pub fn hex(self) -> [u8; 16] {
        let mut text = [0; 16];
        for (i, digit) in text.iter_mut().enumerate() {
            // A nibble indexes a 16-byte table.
            *digit = b"0123456789abcdef"[((self.0 >> (60 - 4 * i)) & 15) as usize];
        }
        text
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for FileName {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(FileName)
    }
}

/// What is the same for all records of a file, frozen at first sight. Many hold it, of many files: the texts are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its name at the destinations.
    pub name: FileName,
    /// The agent's host name.
    pub host: Arc<str>,
    /// The path under which it was first seen.
    pub path: Arc<str>,
    /// The configuration's name of the source that owns it.
    pub source: Arc<str>,
    /// The wall clock at first sight: the time of records that have none of their own.
    pub first_seen: Nanos,
    /// The container that wrote it, where something is known of one.
    pub container: Option<Arc<Container>>,
}

/// The bytes just before a position, hashed: tells "still the file I know" from "truncated and grown again".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// How many bytes before the position are hashed, 0 to [`Mark::MAX`]; 0 agrees with anything.
    pub len: u32,
    /// The first 16 bytes of their SHA-256.
    pub hash: [u8; 16],
}

impl Mark {
    /// The most bytes that a mark covers.
    pub const MAX: usize = 4096;

    /// The mark of the position that `before` ends at: the hash of its last [`Mark::MAX`] bytes.
    pub fn of(before: &[u8]) -> Mark {
        use sha2::{Digest as _, Sha256};
        let bytes = &before[before.len().saturating_sub(Self::MAX)..];
        let mut hash = [0; 16];
        if !bytes.is_empty() {
            hash.copy_from_slice(&Sha256::digest(bytes)[..16]);
        }
        // At most MAX.
        Mark { len: bytes.len() as u32, hash }
    }

    /// Whether `before`, the bytes that now end at the position, are the ones that were there.
    /// Fewer bytes than the mark covers never agree.
    pub fn agrees(&self, before: &[u8]) -> bool {
        let len = self.len as usize;
        before.len() >= len && Mark::of(&before[before.len() - len..]) == *self
    }
}

/// How far an output has got in a file: everything that reading on from there needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// The lowest byte that is needed again: the start of a line that travels in parts, or `at`. `rewind <= at`.
    pub rewind: u64,
    /// The end of the last record (or passed-over line) before this point. Records that end here or earlier are
    /// done.
    pub at: u64,
    /// Records shipped from the file before `at`.
    pub seq: u64,
    /// The hash chain over those records.
    pub chain: Chain,
    /// The time of the last of them.
    pub time: Option<Nanos>,
    /// The mark of the bytes before `rewind`.
    pub mark: Mark,
    /// The mark of the bytes before `at`: a file that only begins alike is not taken for this one, whatever `rewind`
    /// is. Empty where it is not known.
    pub at_mark: Mark,
    /// By stream of a container's file: whether the file begins within a line that is not ours and that the file before
    /// left open. That one is not needed again for it.
    pub within: [bool; 2],
}

impl Point {
    /// The beginning of the file of this name.
    pub fn start(name: FileName) -> Point {
        let (mark, at_mark) = (Mark::default(), Mark::default());
        Point { rewind: 0, at: 0, seq: 0, chain: Chain::start(name), time: None, mark, at_mark, within: [false; 2] }
    }

    /// Whether reading on from there is the same.
    pub fn is_at(&self, other: &Point) -> bool {
        (self.at, self.rewind, self.within) == (other.at, other.rewind, other.within)
    }

    /// The places in the file that have a mark, with it.
    pub fn marks(&self) -> impl Iterator<Item = (u64, Mark)> + use<> {
        let at = (self.at > self.rewind).then_some((self.at, self.at_mark));
        std::iter::once((self.rewind, self.mark)).chain(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_sixteen_digits() {
        let name = FileName(0x00ab_cdef_0123_4567);
        assert_eq!(name.to_string(), "00abcdef01234567");
        assert_eq!(&name.hex(), b"00abcdef01234567");
        assert_eq!("00abcdef01234567".parse(), Ok(name));
    }

    #[test]
    fn a_mark_agrees_only_with_its_own_bytes() {
        fn check(marked: &[u8], now: &[u8], expect: bool) {
            assert_eq!(Mark::of(marked).agrees(now), expect);
        }
        check(b"", b"anything", true);
        check(b"abc", b"abc", true);
        check(b"abc", b"xxabc", true);
        check(b"abc", b"abd", false);
        check(b"abc", b"bc", false);
        let long = vec![b'x'; Mark::MAX + 10];
        check(&long, &long[10..], true);
        check(&long, &long[11..], false);
    }
}
