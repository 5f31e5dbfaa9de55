//! Takes the timestamp and the label fields out of a JSON line without building a tree.
//!
//! serde_json walks the line once and validates all of it. Only wanted values are looked at again, as slices of
//! the line. Nothing is allocated unless a wanted value or a key is written with escapes, or the line nests
//! deeper than two levels.
//!
//! Bad input is a value, never an error: a line that is no JSON object, or not UTF-8, is marked, and what was found
//! before the fault is returned all the same.
//!
//! Known limits:
//! - What serde_json skips it checks loosely: a number out of range or half a surrogate pair in a value does not make
//!   a line malformed. Half a pair in a wanted value makes the value absent; in a key it makes the line malformed
//!   when the key is at the top or in an object that a name reaches into.
//! - A wanted name of more than 126 dots reaches deeper than serde_json does; a line that has such a path is marked
//!   malformed.

mod search;
mod time;
mod wanted;

#[cfg(test)]
mod tests;

pub use wanted::Wanted;

use crate::model::{Marks, Stamp};
use std::{borrow::Cow, str};

/// The most field labels that there can be. Loki takes 15 labels, and `service_name` is always one of them.
pub const MAX_FIELDS: usize = 14;

/// What a line says about itself.
#[derive(Debug)]
pub struct Parsed<'a> {
    /// `MALFORMED`, `INVALID_UTF8` and `EMPTY` as they apply.
    pub marks: Marks,
    /// The time, when there is one that says its zone.
    pub time: Option<Stamp>,
    /// Per list of names given to [`Wanted::new`]: the value. Never empty text.
    pub fields: [Option<Cow<'a, str>>; MAX_FIELDS],
}

/// Reads one line, without its newline.
///
/// - A field's value is the text of a string, or the JSON text of a number or boolean. `null`, `""`, objects and
///   arrays count as absent, as if the key were not there.
/// - Of equal keys the last one that is not absent wins.
/// - A line of no bytes, or of `\r` alone, is `EMPTY` and not `MALFORMED`.
/// - A number that ends where the line ends is not taken: the rest of it may have been cut off.
pub fn parse<'a>(wanted: &Wanted, body: &'a [u8]) -> Parsed<'a> {
    if matches!(body, b"" | b"\r") {
        return Parsed { marks: Marks::EMPTY, time: None, fields: [const { None }; MAX_FIELDS] };
    }
    let text = str::from_utf8(body).ok();
    let found = search::search(wanted, body, text);
    let mut marks = Marks::NONE;
    if text.is_none() {
        marks = marks.with(Marks::INVALID_UTF8);
    }
    if !found.complete {
        marks = marks.with(Marks::MALFORMED);
    }
    Parsed { marks, time: found.time.as_deref().and_then(time::stamp), fields: found.fields }
}
