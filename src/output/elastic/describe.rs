//! Reads one encoded record back. The cold path.

use super::encode::{AUDIT, ECS};
use crate::{
    model::{FileName, Nanos},
    output::Described,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

#[cfg(test)]
mod tests;

#[derive(Deserialize)]
struct Action {
    create: Create,
}

#[derive(Deserialize)]
struct Create {
    #[serde(rename = "_id")]
    id: String,
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "@timestamp")]
    timestamp: String,
    event: Event,
    log: Log,
    auditship: Own,
}

#[derive(Deserialize)]
struct Event {
    sequence: u64,
    original: String,
}

#[derive(Deserialize)]
struct Log {
    offset: u64,
}

#[derive(Deserialize)]
struct Own {
    file: String,
    time: Option<String>,
    encoding: Option<String>,
}

/// Reads one record as [`encode`](super::encode::encode) or [`plainer`] wrote it. Nothing if it is not exactly one.
pub fn describe(encoded: &[u8]) -> Option<Described> {
    let (_, document) = lines(encoded)?;
    let Document { timestamp, event, log, auditship } = serde_json::from_slice(document).ok()?;
    let time: jiff::Timestamp = auditship.time.as_ref().unwrap_or(&timestamp).parse().ok()?;
    let file: FileName = auditship.file.parse().ok()?;
    let body = match auditship.encoding.as_deref() {
        Some("base64") => STANDARD.decode(event.original).ok()?,
        _ => event.original.into_bytes(),
    };
    let time = Nanos(time.as_nanosecond().try_into().ok()?);
    Some(Described { file, offset: log.offset, seq: event.sequence, time, body })
}

/// The `_id` of an encoded record.
pub fn id(encoded: &[u8]) -> Option<String> {
    let action: Action = serde_json::from_slice(lines(encoded)?.0).ok()?;
    Some(action.create.id)
}

/// The same record without `audit`: only `event.original` has its line. Nothing if it has none anyway.
pub fn plainer(encoded: &[u8]) -> Option<Vec<u8>> {
    let end = [ECS, AUDIT].concat();
    let at = memchr::memmem::find(encoded, &end)? + ECS.len();
    Some([&encoded[..at], b"}\n"].concat())
}

/// The action and the document.
fn lines(encoded: &[u8]) -> Option<(&[u8], &[u8])> {
    let (action, rest) = encoded.split_at(memchr::memchr(b'\n', encoded)?);
    let document = rest[1..].strip_suffix(b"\n")?;
    (!document.contains(&b'\n')).then_some((action, document))
}
