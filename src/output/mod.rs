//! Outputs: a destination is two pure functions, `encode` (records → request body) and `reply` (answer → verdict).

pub mod loki;

pub use loki::{StreamHead, describe::Described, encode::FileMetadata as FileHead};

use crate::{
    batch::Body,
    model::{LabelSet, Nanos, Origin, Record, Sink},
};
use std::{ops::Range, time::Duration};

/// A destination. One more is one folder and one variant here.
#[derive(Debug)]
pub enum Output {
    /// Grafana Loki.
    Loki(loki::Loki),
}

/// What is sent.
#[derive(Debug)]
pub struct Request {
    /// Begins with `/`; comes after the output's URL.
    pub path: &'static str,
    /// The body's type.
    pub content_type: &'static str,
    /// One header more, such as Loki's tenant; its name in lower case.
    pub header: Option<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Room to make requests in; one per thread, so that memory does not depend on how many are under way.
pub struct Scratch {
    plain: Vec<u8>,
    packed: Vec<u8>,
    snappy: snap::raw::Encoder,
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch { plain: Vec::new(), packed: Vec::new(), snappy: snap::raw::Encoder::new() }
    }
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scratch").field("plain", &self.plain.len()).finish_non_exhaustive()
    }
}

impl Output {
    /// The longest line that the destination takes, in bytes; a longer one travels in parts.
    pub fn line_limit(&self) -> usize {
        match self {
            Output::Loki(_) => loki::encode::MAX_LINE,
        }
    }

    /// What is sent with every record of a file.
    pub fn file(&self, origin: &Origin) -> FileHead {
        match self {
            Output::Loki(_) => FileHead::new(origin),
        }
    }

    /// What is sent with every request of a stream.
    pub fn stream(&self, labels: &LabelSet) -> StreamHead {
        match self {
            Output::Loki(loki) => loki.stream(labels),
        }
    }

    /// Appends a record to a body.
    pub fn encode(&self, body: &mut impl Sink, record: &Record<'_>, file: &FileHead) {
        match self {
            Output::Loki(_) => loki::encode::entry(body, record, file),
        }
    }

    /// A request of the records in `range` of `body`, compressed.
    pub fn request(&self, head: &StreamHead, body: &Body, range: Range<usize>, scratch: &mut Scratch) -> Request {
        match self {
            Output::Loki(loki) => loki.request(head, body, range, scratch),
        }
    }

    /// What an answer means.
    pub fn reply(&self, status: u16, body: &[u8], retry_after: Option<&str>, now: Nanos) -> Verdict {
        match self {
            Output::Loki(_) => loki::reply::reply(status, body, retry_after, now),
        }
    }

    /// Which record it is, from its encoded bytes.
    pub fn describe(&self, encoded: &[u8]) -> Option<Described> {
        match self {
            Output::Loki(_) => loki::describe::describe_entry(encoded),
        }
    }
}

/// What a destination's answer means for the records of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of them are stored.
    Accepted,
    /// At least one of them will never be accepted as sent. Which one is found by sending halves.
    Refused {
        /// The destination's words, shortened.
        reason: String,
    },
    /// The request was too large: halves may pass.
    TooLarge {
        /// The destination's words, shortened.
        reason: String,
    },
    /// Nothing is known to be stored, and nothing is wrong with the records: send the same bytes again later.
    Stall(Stall),
}

/// Why sending waits. A stall never ends in a dropped record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The class of the cause; a change of it is a change of state that is logged.
    pub cause: Cause,
    /// What has to wait.
    pub scope: Scope,
    /// The pause that the destination asked for.
    pub retry_after: Option<Duration>,
    /// What happened, in the destination's words where there are any; never contains a secret.
    pub text: String,
}

/// The classes of causes of a stall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// No connection: refused, reset, DNS.
    Unreachable,
    /// The connection was closed, or broke, before a complete answer.
    Broken,
    /// No answer within the output's `timeout`.
    TimedOut,
    /// The TLS handshake failed.
    Tls,
    /// 401, 403, 407, or a secret file that cannot be read.
    Credentials,
    /// 404, 405, redirects, 422: the URL or the destination is not set up for this.
    Setup,
    /// 429.
    RateLimited,
    /// 5xx, 408, 499.
    ServerError,
    /// 260: Loki's ingestion is blocked for the tenant.
    Blocked,
    /// Any other answer, other 2xx included: not a receipt.
    Unexpected,
    /// One record that the destination refuses; held until it is taken or skipped.
    RecordRefused,
}

impl Cause {
    /// All of them, in the order of their numbers.
    pub const ALL: [Cause; 11] = [
        Cause::Unreachable,
        Cause::Broken,
        Cause::TimedOut,
        Cause::Tls,
        Cause::Credentials,
        Cause::Setup,
        Cause::RateLimited,
        Cause::ServerError,
        Cause::Blocked,
        Cause::Unexpected,
        Cause::RecordRefused,
    ];

    /// What metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Unreachable => "unreachable",
            Cause::Broken => "broken",
            Cause::TimedOut => "timed_out",
            Cause::Tls => "tls",
            Cause::Credentials => "credentials",
            Cause::Setup => "setup",
            Cause::RateLimited => "rate_limited",
            Cause::ServerError => "server_error",
            Cause::Blocked => "blocked",
            Cause::Unexpected => "unexpected",
            Cause::RecordRefused => "record_refused",
        }
    }
}

/// What a stall holds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole output: one back-off for all its requests.
    Output,
    /// Only the stream of the request; others go on.
    Stream,
}
