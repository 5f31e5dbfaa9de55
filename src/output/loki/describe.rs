//! Reads one encoded entry back.

use super::generated::{EntryAdapter, StreamAdapter};
use crate::{
    model::{FileName, Nanos},
    output::Described,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost::Message as _;

#[cfg(test)]
mod tests;

/// Decodes one entry as [`entry`](super::encode::entry) wrote it, tag and length included. Nothing if it is not
/// exactly one entry with auditship's metadata.
pub fn describe(bytes: &[u8]) -> Option<Described> {
    // A stream without labels and with one entry is the same bytes.
    let mut stream = StreamAdapter::decode(bytes).ok()?;
    let entry = stream.entries.pop().filter(|_| stream.entries.is_empty())?;
    let file: FileName = value(&entry, "auditship_file")?.parse().ok()?;
    let offset = value(&entry, "auditship_offset")?.parse().ok()?;
    let seq = value(&entry, "auditship_seq")?.parse().ok()?;
    let time = entry.timestamp?;
    // Wide, because the whole second of the earliest times lies outside of an i64.
    let time = i128::from(time.seconds) * i128::from(Nanos::SECOND) + i128::from(time.nanos);
    let time = Nanos(time.try_into().ok()?);
    let body = match value(&entry, "auditship_encoding") {
        Some("base64") => STANDARD.decode(&entry.line).ok()?,
        _ => entry.line,
    };
    Some(Described { file, offset, seq, time, body })
}

fn value<'a>(entry: &'a EntryAdapter, name: &str) -> Option<&'a str> {
    entry.structured_metadata.iter().find(|pair| pair.name == name).map(|pair| pair.value.as_str())
}
