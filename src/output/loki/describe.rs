//! Reads one encoded entry back: which record is it? The cold path of alarms and dead letters.

use super::generated::{EntryAdapter, StreamAdapter};
use crate::model::{FileName, Nanos, leaf};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use prost::Message as _;

#[cfg(test)]
mod tests;

/// What an alarm needs to name a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The record's file.
    pub file: FileName,
    /// Its offset in the file.
    pub offset: u64,
    /// Its number in the file.
    pub seq: u64,
    /// Its time as sent.
    pub time: Nanos,
    /// `file-offset-first 16 hex of leaf`, the same at every destination.
    pub id: String,
    /// The beginning of its body, for people.
    pub excerpt: String,
}

/// Decodes one entry as [`entry`](super::encode::entry) wrote it, tag and length included. Nothing if it is not
/// exactly one entry with auditship's metadata.
pub fn describe_entry(bytes: &[u8]) -> Option<Described> {
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
    let leaf: String = leaf(&body)[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let id = format!("{file}-{offset}-{leaf}");
    Some(Described { file, offset, seq, time, id, excerpt: excerpt(&body) })
}

fn value<'a>(entry: &'a EntryAdapter, name: &str) -> Option<&'a str> {
    entry.structured_metadata.iter().find(|pair| pair.name == name).map(|pair| pair.value.as_str())
}

fn excerpt(body: &[u8]) -> String {
    // A character takes at most four bytes.
    let start = &body[..body.len().min(4 * EXCERPT)];
    let readable = |c: char| if c.is_control() { ' ' } else { c };
    String::from_utf8_lossy(start).chars().take(EXCERPT).map(readable).collect()
}

/// The most characters of an excerpt.
const EXCERPT: usize = 120;
