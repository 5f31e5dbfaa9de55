//! The push request on the wire (Loki 3.4.2 `pkg/push/push.proto`), defined here a second time on purpose: the
//! receiver must not agree with the agent's encoder by sharing its types.
//!
//! Strings are `bytes`, because Loki's decoder does not enforce UTF-8.

use prost::bytes::Bytes;

/// `PushRequest`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) streams: Vec<Stream>,
}

/// `StreamAdapter`; its `hash` (3) is not read.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Stream {
    /// `{app="x", env="prod"}`
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) labels: Bytes,
    #[prost(message, repeated, tag = "2")]
    pub(super) entries: Vec<Entry>,
}

/// `EntryAdapter`; its `parsed` (4) occurs in answers only.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Entry {
    #[prost(message, optional, tag = "1")]
    pub(super) timestamp: Option<Timestamp>,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) line: Bytes,
    #[prost(message, repeated, tag = "3")]
    pub(super) metadata: Vec<Pair>,
}

/// `LabelPairAdapter`
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Pair {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) name: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) value: Bytes,
}

/// `google.protobuf.Timestamp`
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    /// 0 to 999,999,999, also before 1970.
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

/// 0001-01-01T00:00:00Z in seconds since 1970: what an omitted timestamp means.
const YEAR_1: i64 = -62_135_596_800;
/// 10000-01-01T00:00:00Z, the first second that is refused.
const YEAR_10000: i64 = 253_402_300_800;

impl Entry {
    /// Nanoseconds since 1970. Wider than the 64 bits of a stored time, because years 1 to 9999 are legal here.
    pub(super) fn time(&self) -> i128 {
        match self.timestamp {
            Some(time) => i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos),
            None => i128::from(YEAR_1) * 1_000_000_000,
        }
    }

    /// Whether Loki's decoder takes the timestamp at all; one that it does not take fails the whole request.
    pub(super) fn time_is_legal(&self) -> bool {
        self.timestamp.is_none_or(|time| {
            (YEAR_1..YEAR_10000).contains(&time.seconds) && (0..1_000_000_000).contains(&time.nanos)
        })
    }
}
