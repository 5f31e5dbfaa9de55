//! Labels: from rules and a record's values to a label set within budgets. Never a drop: what does not fit becomes
//! `__other__`.
//!
//! [`Admission`] decides, once per agent; [`Streams`] remembers the decisions, once per thread.
//!
//! # Why decisions last
//!
//! A record that is made again after a crash must get the same labels, or the destination keeps it twice. So:
//!
//! - What is admitted is never taken back, and a full budget stays full.
//! - What is newly admitted is told as [`News`]. **A record may be sent only when all news up to its own decision is
//!   durable**, those of other records too: a value that was refused because another one took the last place would
//!   otherwise find the place free after a crash.
//! - Values take their places only when their combination gets its own. So a combination that was refused leaves
//!   nothing behind that would have to be made durable.
//!
//! Known limit: a changed configuration changes decisions. What was admitted under a larger budget stays admitted.

mod admission;
mod streams;

#[cfg(test)]
mod tests;

pub use admission::{Admission, Admitted, News, Other, Why};
pub use streams::{StreamId, Streams};

/// What stands in for a value that is not admitted.
pub const OTHER: &str = "__other__";

/// Longer values are not admitted, in bytes.
pub const MAX_VALUE: usize = 1024;

/// Where a label comes from. Names are expected to be distinct.
#[derive(Clone, Debug)]
pub enum Rule {
    /// A field of the record.
    Field {
        /// The label.
        name: String,
        /// The index into the record's fields.
        slot: usize,
        /// Which values are admitted.
        allowed: Allowed,
    },
    /// A property of the file, the same for all of its records.
    PerFile {
        /// The label.
        name: String,
        /// The index into the file's values.
        index: usize,
        /// Which values are admitted.
        allowed: Allowed,
    },
    /// The same for all records; not subject to any budget.
    Constant {
        /// The label.
        name: String,
        /// Its value.
        value: String,
    },
}

/// What a label may be. The default, the values of a closed set and `__other__` take no place in the budget.
#[derive(Clone, Debug, Default)]
pub struct Allowed {
    /// The value where there is none; without a default the label is left out.
    pub default: Option<String>,
    /// When set, only these values and the default are admitted.
    pub values: Option<Vec<String>>,
}

/// How many distinct labels there may be.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Per label.
    pub max_label_values: usize,
    /// Combinations of the labels that are not constant. The one with `__other__` in all of them takes no place.
    pub max_streams: usize,
}

/// The raw value that a rule speaks of; empty text counts as absent.
fn raw<V: AsRef<str>>(values: &[Option<V>], at: usize) -> Option<&str> {
    values.get(at)?.as_ref().map(AsRef::as_ref).filter(|text| !text.is_empty())
}
