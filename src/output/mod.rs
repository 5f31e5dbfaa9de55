//! Outputs: a destination is two pure functions, `encode` (records → request body) and `reply` (answer → verdict).

pub mod answer;
pub mod datadog;
mod describe;
pub mod loki;
mod request;
pub mod text;
mod verdict;

pub use answer::Answer;
pub use describe::Described;
pub use request::{Compression, Request, Scratch};
pub use verdict::{Cause, Item, Scope, Stall, Verdict};

use crate::{
    batch::{Form, Records},
    model::{FileName, LabelSet, Nanos, Origin, Record, Sink},
};
use std::time::Duration;

/// A destination. One more is one folder and one variant here.
#[derive(Debug)]
pub enum Output {
    /// Grafana Loki.
    Loki(loki::Loki),
    /// Datadog's logs intake.
    Datadog(datadog::Datadog),
}

/// What an output sends with every record of a file, made once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHead {
    /// The file.
    pub name: FileName,
    /// When it was first seen.
    pub first_seen: Nanos,
    /// In the output's own form.
    pub bytes: Vec<u8>,
}

/// What an output sends with every record, or every request, of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamHead {
    /// In the output's own form.
    pub bytes: Vec<u8>,
    /// Loki's.
    pub tenant: Option<String>,
}

/// What a record is encoded with.
#[derive(Clone, Copy, Debug)]
pub struct Heads<'a> {
    /// Of its file.
    pub file: &'a FileHead,
    /// Of its stream.
    pub stream: &'a StreamHead,
    /// The wall clock.
    pub now: Nanos,
}

impl Output {
    /// The longest line that the destination takes, in bytes; a longer one travels in parts.
    pub fn line_limit(&self) -> usize {
        match self {
            Output::Loki(_) => loki::encode::MAX_LINE,
            Output::Datadog(_) => datadog::encode::MAX_LINE,
        }
    }

    /// The form in which a record that was refused is tried once more.
    pub fn plainest(&self) -> Form {
        match self {
            Output::Loki(_) | Output::Datadog(_) => Form::Full,
        }
    }

    /// The most records that the destination takes in one request.
    pub fn max_records(&self) -> usize {
        match self {
            Output::Loki(_) => usize::MAX,
            Output::Datadog(_) => datadog::MAX_RECORDS,
        }
    }

    /// How old a record may be when it arrives, by its own time: one that is older may be lost without a word of it.
    /// `None` where the destination takes any age, or says when it does not.
    pub fn max_age(&self) -> Option<Duration> {
        match self {
            Output::Loki(_) => None,
            Output::Datadog(_) => Some(datadog::MAX_AGE),
        }
    }

    /// What is sent with every record of a file.
    pub fn file(&self, origin: &Origin) -> FileHead {
        let bytes = match self {
            Output::Loki(_) => loki::encode::file_metadata(origin),
            Output::Datadog(_) => datadog::encode::file(origin),
        };
        FileHead { name: origin.name, first_seen: origin.first_seen, bytes }
    }

    /// What is sent with every record or every request of a stream.
    pub fn stream(&self, labels: &LabelSet) -> StreamHead {
        match self {
            Output::Loki(loki) => loki.stream(labels),
            Output::Datadog(datadog) => datadog.stream(labels),
        }
    }

    /// Appends a record to a body.
    pub fn encode(&self, body: &mut impl Sink, record: &Record<'_>, heads: Heads<'_>) {
        match self {
            Output::Loki(_) => loki::encode::entry(body, record, heads.file),
            Output::Datadog(_) => datadog::encode::record(body, record, heads),
        }
    }

    /// A request of these records, compressed. `head`: of their stream.
    pub fn request(&self, head: &StreamHead, records: Records<'_>, scratch: &mut Scratch) -> Request {
        match self {
            Output::Loki(loki) => loki.request(head, records, scratch),
            Output::Datadog(datadog) => datadog.request(records, scratch),
        }
    }

    /// What the answer to a request of so many records means.
    pub fn reply(&self, answer: Answer<'_>, records: usize) -> Verdict {
        match self {
            Output::Loki(_) => loki::reply::reply(answer),
            Output::Datadog(_) => datadog::reply::reply(answer, records),
        }
    }

    /// Which record it is, from its encoded bytes.
    pub fn describe(&self, encoded: &[u8]) -> Option<Described> {
        match self {
            Output::Loki(_) => loki::describe::describe(encoded),
            Output::Datadog(_) => datadog::describe::describe(encoded),
        }
    }
}
