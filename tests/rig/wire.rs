//! The push on the wire, decoded without the agent's code and without the receiver's.

use prost::{Message as _, bytes::Bytes};

#[derive(Clone, PartialEq, prost::Message)]
struct Push {
    #[prost(message, repeated, tag = "1")]
    streams: Vec<Stream>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Stream {
    #[prost(string, tag = "1")]
    labels: String,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<Entry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(message, optional, tag = "1")]
    time: Option<Time>,
    /// A slice of the whole body, not a copy.
    #[prost(bytes = "bytes", tag = "2")]
    line: Bytes,
    #[prost(message, repeated, tag = "3")]
    metadata: Vec<Pair>,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Pair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// One entry as it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Nanoseconds since 1970.
    pub(crate) time: i64,
    pub(crate) line: Bytes,
    pub(crate) metadata: Vec<(String, String)>,
}

impl Seen {
    pub(crate) fn meta(&self, name: &str) -> Option<&str> {
        self.metadata.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The bytes that were in the file.
    pub(crate) fn body(&self) -> Bytes {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        match self.meta("auditship_encoding") {
            Some("base64") => STANDARD.decode(&self.line).expect("base64").into(),
            Some(other) => panic!("an encoding that nobody knows: {other}"),
            None => self.line.clone(),
        }
    }
}

/// The label string and the entries of a push; there is one stream in each, because Loki hides the errors of others.
pub(crate) fn decode(body: &[u8]) -> (String, Vec<Seen>) {
    let plain = Bytes::from(snap::raw::Decoder::new().decompress_vec(body).expect("snappy"));
    let mut push = Push::decode(plain).expect("a push");
    let stream = push.streams.pop().expect("a stream");
    assert!(push.streams.is_empty(), "more than one stream in a push");
    let seen = |entry: Entry| {
        let time = entry.time.expect("a time");
        Seen {
            time: time.seconds * 1_000_000_000 + i64::from(time.nanos),
            line: entry.line,
            metadata: entry.metadata.into_iter().map(|pair| (pair.name, pair.value)).collect(),
        }
    };
    (stream.labels, stream.entries.into_iter().map(seen).collect())
}
