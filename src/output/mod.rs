//! Outputs: a destination is two pure functions, `encode` (records → request body) and `reply` (answer → verdict).

pub mod answer;
mod describe;
pub mod elastic;
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

/// A destination. One more is one folder and one variant here.
#[derive(Debug)]
pub enum Output {
    /// Grafana Loki.
    Loki(loki::Loki),
    /// Elasticsearch or OpenSearch.
    Elastic(elastic::Elastic),
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
            Output::Elastic(_) => elastic::encode::MAX_LINE,
        }
    }

    /// The form in which a record that was refused is tried once more.
    pub fn plainest(&self) -> Form {
        match self {
            Output::Loki(_) => Form::Full,
            Output::Elastic(_) => Form::Plain,
        }
    }

    /// What is sent with every record of a file.
    pub fn file(&self, origin: &Origin) -> FileHead {
        let bytes = match self {
            Output::Loki(_) => loki::encode::file_metadata(origin),
            Output::Elastic(_) => elastic::encode::file(origin),
        };
        FileHead { name: origin.name, first_seen: origin.first_seen, bytes }
    }

    /// What is sent with every record or every request of a stream.
    pub fn stream(&self, labels: &LabelSet) -> StreamHead {
        match self {
            Output::Loki(loki) => loki.stream(labels),
            Output::Elastic(elastic) => elastic.stream(labels),
        }
    }

    /// Appends a record to a body.
    pub fn encode(&self, body: &mut impl Sink, record: &Record<'_>, heads: Heads<'_>) {
        match self {
            Output::Loki(_) => loki::encode::entry(body, record, heads.file),
            Output::Elastic(elastic) => elastic::encode::encode(body, elastic.target(), record, heads),
        }
    }

    /// A request of these records, compressed. `head`: of their stream.
    pub fn request(&self, head: &StreamHead, records: Records<'_>, scratch: &mut Scratch) -> Request {
        match self {
            Output::Loki(loki) => loki.request(head, records, scratch),
            Output::Elastic(elastic) => elastic.request(records, scratch),
        }
    }

    /// What the answer to a request of so many records means.
    pub fn reply(&self, answer: Answer<'_>, records: usize) -> Verdict {
        match self {
            Output::Loki(_) => loki::reply::reply(answer),
            Output::Elastic(_) => elastic::reply::reply(answer, records),
        }
    }

    /// Which record it is, from its encoded bytes.
    pub fn describe(&self, encoded: &[u8]) -> Option<Described> {
        match self {
            Output::Loki(_) => loki::describe::describe(encoded),
            Output::Elastic(_) => elastic::describe::describe(encoded),
        }
    }
}
