//! The JSON form of a push (Loki 3.4.2 `pkg/loghttp/query.go`), turned into the protobuf form.

use super::{
    labels::Quoted,
    wire::{self, PushRequest, Timestamp},
};
use axum::body::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, fmt};

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    streams: Vec<Stream>,
}

#[derive(Deserialize)]
struct Stream {
    #[serde(default)]
    stream: BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<Value>,
}

/// `["<nanoseconds>", "line", {"name": "value"}]`, the third is optional.
struct Value(wire::Entry);

/// Reads a push. Bytes that are not UTF-8 are an error here, which Loki's own reader may let pass.
pub(super) fn decode(body: &[u8]) -> Result<PushRequest, String> {
    let request: Request = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    let stream = |stream: Stream| wire::Stream {
        labels: label_string(&stream.stream).into(),
        entries: stream.values.into_iter().map(|value| value.0).collect(),
    };
    Ok(PushRequest { streams: request.streams.into_iter().map(stream).collect() })
}

/// The label string, which is then parsed: that is how Loki finds names that are not legal.
fn label_string(labels: &BTreeMap<String, String>) -> String {
    let pairs: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={}", Quoted(value))).collect();
    format!("{{{}}}", pairs.join(", "))
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[\"<unix nanoseconds>\", \"<line>\"] with structured metadata as an optional third element")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let time: String = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(0, &self))?;
        let line: String = seq.next_element()?.ok_or_else(|| A::Error::invalid_length(1, &self))?;
        let metadata: Option<BTreeMap<String, &RawValue>> = seq.next_element()?;
        if seq.next_element::<IgnoredAny>()?.is_some() {
            return Err(A::Error::invalid_length(4, &self));
        }
        let time: i64 = time.parse().map_err(|_| A::Error::custom(format!("bad timestamp {time:?}")))?;
        let seconds = time.div_euclid(1_000_000_000);
        // The remainder of a division by 10^9 always fits.
        let nanos = time.rem_euclid(1_000_000_000) as i32;
        let pairs = metadata.unwrap_or_default().into_iter().map(|(name, value)| {
            // Loki takes the bytes between the quotes without unescaping them.
            let value = value.get().strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            let value = value.ok_or_else(|| A::Error::custom("structured metadata values must be strings"))?;
            Ok(wire::Pair { name: name.into(), value: Bytes::copy_from_slice(value.as_bytes()) })
        });
        Ok(Value(wire::Entry {
            timestamp: Some(Timestamp { seconds, nanos }),
            line: line.into(),
            metadata: pairs.collect::<Result<_, A::Error>>()?,
        }))
    }
}
