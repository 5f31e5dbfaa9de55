//! Reads one encoded entry back.

use super::generated::{EntryAdapter, StreamAdapter, Timestamp};
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
    let time = nanos(&time)?;
    let body = match value(&entry, "auditship_encoding") {
        Some("base64") => STANDARD.decode(&entry.line).ok()?,
        _ => entry.line,
    };
    Some(Described { file, offset, seq, time, body })
}

/// The time of an entry, and no more: it is looked for in whole batches.
pub fn time(encoded: &[u8]) -> Option<Nanos> {
    let (_, rest) = encoded.split_first()?;
    let (_, rest) = varint(rest)?;
    // The timestamp is an entry's first field.
    let (_, rest) = rest.split_first()?;
    let (len, rest) = varint(rest)?;
    let time = Timestamp::decode(rest.get(..usize::try_from(len).ok()?)?).ok()?;
    nanos(&time)
}

/// Wide, because the whole second of the earliest times lies outside of an i64.
fn nanos(time: &Timestamp) -> Option<Nanos> {
    let time = i128::from(time.seconds) * i128::from(Nanos::SECOND) + i128::from(time.nanos);
    Some(Nanos(time.try_into().ok()?))
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut rest = bytes;
    let value = prost::encoding::decode_varint(&mut rest).ok()?;
    Some((value, rest))
}

fn value<'a>(entry: &'a EntryAdapter, name: &str) -> Option<&'a str> {
    entry.structured_metadata.iter().find(|pair| pair.name == name).map(|pair| pair.value.as_str())
}
