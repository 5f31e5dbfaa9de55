//! Outputs: a destination is two pure functions, `encode` (records → request body) and `reply` (answer → verdict).

pub mod answer;
mod describe;
pub mod loki;
mod request;
pub mod splunk;
pub mod text;
mod verdict;

pub use answer::Answer;
pub use describe::Described;
pub use request::{Compression, Request, Scratch};
pub use verdict::{Cause, Item, Scope, Stall, Untimely, Verdict};

use crate::{
    batch::{Form, Records},
    model::{FileName, LabelSet, Nanos, Origin, Record, Sink},
};

/// A destination. One more is one folder and one variant here.
#[derive(Debug)]
pub enum Output {
    /// Grafana Loki.
    Loki(loki::Loki),
    /// Splunk's HTTP Event Collector.
    Splunk(splunk::Splunk),
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
    /// The same as `bytes`, for those that come late.
    pub late: Vec<u8>,
    /// Its labels.
    pub labels: LabelSet,
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
            Output::Splunk(_) => splunk::encode::MAX_LINE,
        }
    }

    /// What its `type` is called.
    pub fn kind(&self) -> &'static str {
        match self {
            Output::Loki(_) => "loki",
        }
    }

    /// Whether a request carries the records of one stream only, in their order.
    pub fn is_by_stream(&self) -> bool {
        matches!(self, Output::Loki(_))
    }

    /// The most records of a request.
    pub fn max_records(&self) -> usize {
        match self {
            Output::Loki(_) => usize::MAX,
        }
    }

    /// Whether what it takes is stored only when it says so later: [`Verdict::Queued`].
    pub fn has_receipts(&self) -> bool {
        match self {
            Output::Loki(_) => false,
        }
    }

    /// The question which of these receipts are for what is stored by now. `None`: it gives none.
    pub fn ask(&self, _receipts: &[u64]) -> Option<Request> {
        match self {
            Output::Loki(_) => None,
        }
    }

    /// The answer to [`Output::ask`]: those for what is stored.
    pub fn stored(&self, answer: Answer<'_>, _receipts: &[u64]) -> Result<Vec<u64>, Verdict> {
        match self {
            Output::Loki(_) => Err(answer.stall(Cause::Unexpected, Scope::Output, "")),
        }
    }

    /// Whether what may have been stored by an attempt without an answer is looked up before it is sent again.
    pub fn looks_up(&self) -> bool {
        match self {
            Output::Loki(_) => false,
        }
    }

    /// The requests that find out which of these records are stored: all are sent, the last one's answer says it.
    pub fn look_up(&self, _records: Records<'_>) -> Vec<Request> {
        match self {
            Output::Loki(_) => Vec::new(),
        }
    }

    /// The answer to [`Output::look_up`], by record.
    pub fn found(&self, answer: Answer<'_>, _records: Records<'_>) -> Result<Vec<bool>, Verdict> {
        match self {
            Output::Loki(_) => Err(answer.stall(Cause::Unexpected, Scope::Output, "")),
        }
    }

    /// The form in which a record that was refused is tried once more.
    pub fn plainest(&self) -> Form {
        match self {
            Output::Loki(_) => Form::Full,
            Output::Splunk(_) => Form::Plain,
        }
    }

    /// What is sent with every record of a file.
    pub fn file(&self, origin: &Origin) -> FileHead {
        let bytes = match self {
            Output::Loki(_) => loki::encode::file_metadata(origin),
            Output::Splunk(splunk) => splunk.file(origin),
        };
        FileHead { name: origin.name, first_seen: origin.first_seen, bytes }
    }

    /// What is sent with every record or every request of a stream.
    pub fn stream(&self, labels: &LabelSet) -> StreamHead {
        match self {
            Output::Loki(loki) => loki.stream(labels),
            Output::Splunk(splunk) => splunk.stream(labels),
        }
    }

    /// Appends a record to a body.
    pub fn encode(&self, body: &mut impl Sink, record: &Record<'_>, heads: Heads<'_>) {
        match self {
            Output::Loki(_) => loki::encode::entry(body, record, heads.file),
            Output::Splunk(_) => splunk::encode::event(body, record, heads.file, heads.stream),
        }
    }

    /// A request of these records, compressed. `head`: of their stream.
    pub fn request(&self, head: &StreamHead, records: Records<'_>, scratch: &mut Scratch) -> Request {
        match self {
            Output::Loki(loki) => loki.request(head, records, scratch),
            Output::Splunk(splunk) => splunk.request(records, scratch),
        }
    }

    /// What the answer to a request of so many records means.
    pub fn reply(&self, answer: Answer<'_>, records: usize) -> Verdict {
        match self {
            Output::Loki(_) => loki::reply::reply(answer),
            Output::Splunk(splunk) => splunk.reply(answer, records),
        }
    }

    /// The time of a record, from its encoded bytes; where its time can be what the destination refuses.
    pub fn time(&self, encoded: &[u8]) -> Option<Nanos> {
        match self {
            Output::Loki(_) => loki::describe::time(encoded),
        }
    }

    /// Which record it is, from its encoded bytes.
    pub fn describe(&self, encoded: &[u8]) -> Option<Described> {
        match self {
            Output::Loki(_) => loki::describe::describe(encoded),
            Output::Splunk(_) => splunk::describe::describe(encoded),
        }
    }
}
