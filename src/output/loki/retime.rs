//! Another time for an entry that Loki takes at no place under its own: older than its limit, or too far ahead. Its own time
//! goes into its structured metadata. The cold path.

use super::{
    describe,
    generated::{LabelPairAdapter, StreamAdapter, Timestamp},
};
use crate::{batch::Bases, output::text::Civil};
use prost::Message as _;

/// The pair of structured metadata with the record's own time, RFC 3339.
pub const OWN_TIME: &str = "auditship_time";

/// Appends the entry with the time that `bases` gives it; as it is when there is none, or when it is no entry.
pub fn retimed(encoded: &[u8], bases: &Bases, out: &mut Vec<u8>) {
    let entry = || {
        let record = describe::describe(encoded)?;
        let time = bases.time(record.file, record.seq)?;
        let mut stream = StreamAdapter::decode(encoded).ok()?;
        let entry = stream.entries.first_mut()?;
        entry.timestamp = Some(Timestamp { seconds: time.seconds(), nanos: time.subsec() });
        let value = String::from_utf8_lossy(Civil::of(record.time).rfc3339().bytes()).into_owned();
        entry.structured_metadata.push(LabelPairAdapter { name: OWN_TIME.to_owned(), value });
        Some(stream.encode_to_vec())
    };
    match entry() {
        Some(bytes) => out.extend(bytes),
        None => out.extend_from_slice(encoded),
    }
}
