//! Tests of the receiver. Requests are encoded by hand here, so that nothing agrees with itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod http;
mod parsers;
mod push;
mod query;

use super::{AuthMode, Limits, Options, Receiver, push::Refusal};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// 2026-11-22T00:00:00Z in nanoseconds: the clock of these tests.
const NOW: i64 = 1_795_305_600 * SECOND;
const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

fn receiver(limits: Limits) -> Receiver {
    Receiver::new(Options { limits, ..Options::default() }).unwrap()
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair =
        |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    pairs.iter().map(pair).collect()
}

/// The headers of a protobuf push.
fn proto() -> HeaderMap {
    headers(&[("content-type", "application/x-protobuf")])
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A length-delimited field.
fn field(number: u8, body: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2], &varint(body.len() as u64)[..], body].concat()
}

/// An `EntryAdapter`.
fn entry(time: i64, line: &[u8], metadata: &[(&str, &[u8])]) -> Vec<u8> {
    let seconds = varint(time.div_euclid(SECOND) as u64);
    let nanos = varint(time.rem_euclid(SECOND) as u64);
    let stamp = [&[0x08], &seconds[..], &[0x10], &nanos[..]].concat();
    let mut bytes = [field(1, &stamp), field(2, line)].concat();
    for (name, value) in metadata {
        bytes.extend(field(3, &[field(1, name.as_bytes()), field(2, value)].concat()));
    }
    bytes
}

/// A `StreamAdapter`, as a field of the request.
fn stream(labels: &str, entries: &[Vec<u8>]) -> Vec<u8> {
    let entries: Vec<u8> = entries.iter().flat_map(|entry| field(2, entry)).collect();
    field(1, &[field(1, labels.as_bytes()), entries].concat())
}

/// A stream of lines without metadata.
fn lines(labels: &str, entries: &[(i64, &str)]) -> Vec<u8> {
    let entries: Vec<_> = entries.iter().map(|(time, line)| entry(*time, line.as_bytes(), &[])).collect();
    stream(labels, &entries)
}

fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap()
}

/// Pushes a protobuf request: the status, and the text if it is not 204.
fn send(receiver: &Receiver, request: &[u8]) -> (u16, String) {
    answer(receiver.push(&proto(), &snappy(request), NOW))
}

fn answer(result: Result<(), Refusal>) -> (u16, String) {
    result.map_or_else(|refusal| (refusal.status.as_u16(), refusal.text), |()| (204, String::new()))
}

/// The stored lines of the only tenant, stream by stream.
fn stored(receiver: &Receiver) -> Vec<String> {
    let line = |stream: &super::StreamView| {
        let lines: Vec<_> = stream.entries.iter().map(|entry| String::from_utf8_lossy(&entry.line)).collect();
        lines.join(",")
    };
    receiver.streams("fake").iter().map(line).collect()
}
