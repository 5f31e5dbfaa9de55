//! A record: one audit line, or one part of a long one, as it will be delivered.

use super::{FileName, Nanos};
use sha2::{Digest as _, Sha256};

/// A SHA-256.
pub type Digest = [u8; 32];

/// The identity of a body: its SHA-256.
pub fn leaf(body: &[u8]) -> Digest {
    Sha256::digest(body).into()
}

/// The hash chain over a file's records: h(0) = SHA-256(name), h(n) = SHA-256(h(n−1) ‖ leaf(n)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain(pub Digest);

impl Chain {
    /// The chain before the first record of `file`; its name enters as the 16 hex digits that are sent.
    pub fn start(file: FileName) -> Chain {
        Chain(Sha256::digest(file.hex()).into())
    }

    /// Adds the next record.
    #[must_use]
    pub fn next(self, leaf: &Digest) -> Chain {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(leaf);
        Chain(hash.finalize().into())
    }
}

/// What is unusual about a record. Such records are delivered all the same, marked and counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u8);

impl Marks {
    /// Nothing unusual.
    pub const NONE: Marks = Marks(0);
    /// Not a JSON object.
    pub const MALFORMED: Marks = Marks(1);
    /// Not UTF-8; travels in base64 where a destination takes only text.
    pub const INVALID_UTF8: Marks = Marks(2);
    /// A line without any byte.
    pub const EMPTY: Marks = Marks(4);
    /// The last line of a file that ended without a newline.
    pub const UNTERMINATED: Marks = Marks(8);

    /// Not a line: stands for a run of NUL bytes that a writer or a crash left in the file.
    pub const GAP: Marks = Marks(16);

    const NAMES: [(Marks, &'static str); 5] = [
        (Marks::MALFORMED, "malformed"),
        (Marks::INVALID_UTF8, "invalid_utf8"),
        (Marks::EMPTY, "empty"),
        (Marks::UNTERMINATED, "unterminated"),
        (Marks::GAP, "gap"),
    ];

    /// Both.
    #[must_use]
    pub const fn with(self, other: Marks) -> Marks {
        Marks(self.0 | other.0)
    }

    /// Whether all of `other` are set.
    pub const fn has(self, other: Marks) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether none is set.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The names of those that are set, in a fixed order; these words go to the destinations and the metrics.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(mark, _)| self.has(*mark)).map(|(_, name)| name)
    }
}

/// Which part of a long line a record is. Parts joined in order are the line, byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// 1, 2, 3 …
    pub number: u32,
    /// On the last part: the SHA-256 of the whole line. `number` is then the count.
    pub whole: Option<Digest>,
}

/// One record, borrowed from the read buffer. All of it is a function of the file's bytes and the configuration,
/// so that it is the same when it is made again after a crash.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The line's bytes, without newline, frame and prefix; what the destination must store.
    pub body: &'a [u8],
    /// The offset in the file of the first byte of the line (frame and prefix included) or of the part.
    pub offset: u64,
    /// 1, 2, 3 … of the records shipped from the file.
    pub seq: u64,
    /// SHA-256 of `body`.
    pub leaf: Digest,
    /// The record's time, filled to nanoseconds.
    pub time: Nanos,
    /// What is unusual about it.
    pub marks: Marks,
    /// Set when the line is too long for one record.
    pub part: Option<Part>,
}

/// Labels in the order of their names; a name occurs once and no value is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LabelSet(Vec<(String, String)>);

impl LabelSet {
    /// Sorts by name; of two with one name the later stays; empty values are left out (Loki drops them too).
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> LabelSet {
        let map: std::collections::BTreeMap<String, String> = pairs.into_iter().collect();
        LabelSet(map.into_iter().filter(|(_, value)| !value.is_empty()).collect())
    }

    /// Name and value, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_what_the_design_says() {
        let start = Chain::start(FileName(1));
        assert_eq!(start.0, leaf(b"0000000000000001"));
        let mut joined = start.0.to_vec();
        joined.extend(leaf(b"x"));
        assert_eq!(start.next(&leaf(b"x")).0, leaf(&joined));
    }

    #[test]
    fn marks_have_names() {
        let both = Marks::EMPTY.with(Marks::MALFORMED);
        assert_eq!(both.names().collect::<Vec<_>>(), ["malformed", "empty"]);
        assert!(Marks::NONE.is_none() && !both.is_none() && both.has(Marks::EMPTY) && !both.has(Marks::INVALID_UTF8));
    }

    #[test]
    fn label_sets_are_sorted_and_without_empty_values() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let set = LabelSet::new([pair("b", "1"), pair("a", "2"), pair("c", "")]);
        assert_eq!(set.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "1")]);
    }
}
