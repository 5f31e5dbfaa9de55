//! Which record it is: for alarms and dead letters. The cold path.

use super::text::record_id;
use crate::model::{FileName, Nanos, leaf};

/// The most characters of an excerpt.
const EXCERPT: usize = 120;

/// A record that was read back from its encoded bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The record's file.
    pub file: FileName,
    /// Its offset in the file.
    pub offset: u64,
    /// Its number in the file.
    pub seq: u64,
    /// Its time as sent.
    pub time: Nanos,
    /// The line's bytes.
    pub body: Vec<u8>,
}

impl Described {
    /// `file-offset-first 16 hex of leaf`, the same at every destination.
    pub fn id(&self) -> String {
        String::from_utf8_lossy(record_id(self.file, self.offset, &leaf(&self.body)).bytes()).into_owned()
    }

    /// The beginning of its body, for people.
    pub fn excerpt(&self) -> String {
        // A character takes at most four bytes.
        let start = &self.body[..self.body.len().min(4 * EXCERPT)];
        let readable = |c: char| if c.is_control() { ' ' } else { c };
        String::from_utf8_lossy(start).chars().take(EXCERPT).map(readable).collect()
    }
}
