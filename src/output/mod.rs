//! Outputs: a destination is two pure functions, `encode` (records → request body) and `reply` (answer → verdict).

pub mod answer;
mod container;
pub mod datadog;
mod describe;
pub mod elastic;
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
use std::time::Duration;

/// A destination. One more is one folder and one variant here.
#[derive(Debug)]
pub enum Output {
    /// Grafana Loki.
    Loki(loki::Loki),
    /// Elasticsearch or OpenSearch.
    Elastic(elastic::Elastic),
    /// Splunk's HTTP Event Collector.
    Splunk(splunk::Splunk),
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
    /// What its `type` is called.
    pub fn kind(&self) -> &'static str {
        match self {
            Output::Loki(_) => "loki",
            Output::Elastic(_) => "elasticsearch",
            Output::Splunk(_) => "splunk_hec",
            Output::Datadog(_) => "datadog",
        }
    }

    /// Whether a request carries the records of one stream only, in their order.
    pub fn is_by_stream(&self) -> bool {
        matches!(self, Output::Loki(_))
    }

    /// The longest line that the destination takes, in bytes; a longer one travels in parts.
    pub fn line_limit(&self) -> usize {
        match self {
            Output::Loki(_) => loki::encode::MAX_LINE,
            Output::Elastic(_) => elastic::encode::MAX_LINE,
            Output::Splunk(_) => splunk::encode::MAX_LINE,
            Output::Datadog(_) => datadog::encode::MAX_LINE,
        }
    }

    /// The most records of a request.
    pub fn max_records(&self) -> usize {
        match self {
            Output::Datadog(_) => datadog::MAX_RECORDS,
            Output::Loki(_) | Output::Elastic(_) | Output::Splunk(_) => usize::MAX,
        }
    }

    /// What is older is taken, and not kept.
    pub fn max_age(&self) -> Option<Duration> {
        match self {
            Output::Datadog(_) => Some(datadog::MAX_AGE),
            Output::Loki(_) | Output::Elastic(_) | Output::Splunk(_) => None,
        }
    }

    /// The form in which a record that was refused is tried once more.
    pub fn plainest(&self) -> Form {
        match self {
            Output::Elastic(_) | Output::Splunk(_) => Form::Plain,
            Output::Loki(_) | Output::Datadog(_) => Form::Full,
        }
    }

    /// What is sent with every record of a file.
    pub fn file(&self, origin: &Origin) -> FileHead {
        let bytes = match self {
            Output::Loki(_) => loki::encode::file_metadata(origin),
            Output::Elastic(_) => elastic::encode::file(origin),
            Output::Splunk(splunk) => splunk.file(origin),
            Output::Datadog(_) => datadog::encode::file(origin),
        };
        FileHead { name: origin.name, first_seen: origin.first_seen, bytes }
    }

    /// What is sent with every record or every request of a stream.
    pub fn stream(&self, labels: &LabelSet) -> StreamHead {
        match self {
            Output::Loki(loki) => loki.stream(labels),
            Output::Elastic(elastic) => elastic.stream(labels),
            Output::Splunk(splunk) => splunk.stream(labels),
            Output::Datadog(datadog) => datadog.stream(labels),
        }
    }

    /// Appends a record to a body.
    pub fn encode(&self, body: &mut impl Sink, record: &Record<'_>, heads: Heads<'_>) {
        match self {
            Output::Loki(_) => loki::encode::entry(body, record, heads.file),
            Output::Elastic(elastic) => elastic::encode::encode(body, elastic.target(), record, heads),
            Output::Splunk(_) => splunk::encode::event(body, record, heads.file, heads.stream),
            Output::Datadog(_) => datadog::encode::record(body, record, heads),
        }
    }

    /// A request of these records, compressed. `head`: of their stream.
    pub fn request(&self, head: &StreamHead, records: Records<'_>, scratch: &mut Scratch) -> Request {
        match self {
            Output::Loki(loki) => loki.request(head, records, scratch),
            Output::Elastic(elastic) => elastic.request(records, scratch),
            Output::Splunk(splunk) => splunk.request(records, scratch),
            Output::Datadog(datadog) => datadog.request(records, scratch),
        }
    }

    /// What the answer to a request of so many records means.
    pub fn reply(&self, answer: Answer<'_>, records: usize) -> Verdict {
        match self {
            Output::Loki(_) => loki::reply::reply(answer),
            Output::Elastic(_) => elastic::reply::reply(answer, records),
            Output::Splunk(splunk) => splunk.reply(answer, records),
            Output::Datadog(_) => datadog::reply::reply(answer, records),
        }
    }

    /// Whether its requests name a channel, in which it gives receipts: [`Verdict::Queued`]. What it takes is stored only
    /// when it says so later.
    pub fn has_receipts(&self) -> bool {
        matches!(self, Output::Splunk(_))
    }

    /// Whether nothing counts as stored without its receipt.
    pub fn needs_receipts(&self) -> bool {
        matches!(self, Output::Splunk(splunk) if splunk.ack)
    }

    /// The question which of these receipts are for what is stored by now. `None`: it gives none.
    pub fn ask(&self, receipts: &[u64]) -> Option<Request> {
        match self {
            Output::Splunk(splunk) => Some(splunk.ask(receipts)),
            Output::Loki(_) | Output::Elastic(_) | Output::Datadog(_) => None,
        }
    }

    /// The answer to [`Output::ask`]: those for what is stored.
    pub fn stored(&self, answer: Answer<'_>, receipts: &[u64]) -> Result<Vec<u64>, Verdict> {
        match self {
            Output::Splunk(splunk) => splunk.acks(answer, receipts),
            Output::Loki(_) | Output::Elastic(_) | Output::Datadog(_) => {
                Err(answer.stall(Cause::Unexpected, Scope::Output, ""))
            }
        }
    }

    /// Whether what may have been stored by an attempt without an answer is looked up before it is sent again.
    pub fn looks_up(&self) -> bool {
        matches!(self, Output::Elastic(elastic) if elastic.is_data_stream())
    }

    /// The requests that find out which of these records are stored: all are sent, the last one's answer says it.
    pub fn look_up(&self, records: Records<'_>) -> Vec<Request> {
        match self {
            Output::Elastic(elastic) => vec![elastic.refresh(), elastic.lookup(records)],
            Output::Loki(_) | Output::Splunk(_) | Output::Datadog(_) => Vec::new(),
        }
    }

    /// The answer to the first requests of [`Output::look_up`]: whether the next one can be sent.
    pub fn prepared(&self, answer: Answer<'_>) -> Result<(), Verdict> {
        match self {
            Output::Elastic(_) => elastic::lookup::refreshed(answer),
            Output::Loki(_) | Output::Splunk(_) | Output::Datadog(_) => Ok(()),
        }
    }

    /// The answer to the last request of [`Output::look_up`], by record.
    pub fn found(&self, answer: Answer<'_>, records: Records<'_>) -> Result<Vec<bool>, Verdict> {
        match self {
            Output::Elastic(_) => elastic::lookup::found(answer, &elastic::lookup::ids(records)),
            Output::Loki(_) | Output::Splunk(_) | Output::Datadog(_) => Ok(vec![false; records.count()]),
        }
    }

    /// The time of a record, from its encoded bytes; where its time can be what the destination refuses.
    pub fn time(&self, encoded: &[u8]) -> Option<Nanos> {
        match self {
            Output::Loki(_) => loki::describe::time(encoded),
            Output::Elastic(_) | Output::Splunk(_) | Output::Datadog(_) => None,
        }
    }

    /// Which record it is, from its encoded bytes.
    pub fn describe(&self, encoded: &[u8]) -> Option<Described> {
        match self {
            Output::Loki(_) => loki::describe::describe(encoded),
            Output::Elastic(_) => elastic::describe::describe(encoded),
            Output::Splunk(_) => splunk::describe::describe(encoded),
            Output::Datadog(_) => datadog::describe::describe(encoded),
        }
    }
}
