//! What each destination holds, as records: from the stored bytes alone, as anybody could who reads it back.

use super::{Part, Record};
use crate::receiver::{DatadogView, DocumentView, EntryView, SplunkEventView};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// What a record says of itself, in the words of any destination.
#[derive(Default)]
struct Claims {
    /// What its copies have in common. Loki has none: there they have all in common.
    id: Option<String>,
    file: String,
    seq: u64,
    offset: u64,
    part: Option<u64>,
    parts: Option<u64>,
    sha256: Option<String>,
    encoding: Option<String>,
}

impl Claims {
    /// The record; `None` when the claims contradict each other.
    fn record(self, line: Vec<u8>, sends: u32) -> Option<Record> {
        let body = match self.encoding.as_deref() {
            None => line,
            Some("base64") => STANDARD.decode(line).ok()?,
            Some(_) => return None,
        };
        let digest = Sha256::digest(&body).into();
        // file-offset-first 16 hex of the body's SHA-256
        let place = format!("{}-{}-", self.file, self.offset);
        let leaf = match &self.id {
            None => None,
            Some(id) => Some(id.strip_prefix(&place)?.to_owned()),
        };
        let part = match (self.part, self.parts, self.sha256) {
            (None, None, None) => None,
            (Some(number), None, None) => Some(Part { number, whole: None, body }),
            (Some(number), Some(parts), Some(sha256)) => Some(Part { number, whole: Some((parts, sha256)), body }),
            _ => return None,
        };
        Some(Record { file: self.file, seq: self.seq, offset: self.offset, part, leaf, digest, sends })
    }
}

/// A destination where everything that is said of a record is text.
fn texts<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Option<Claims> {
    let text = |name: &str| value(name).map(str::to_owned);
    let number = |name: &str| value(name).map(|text| text.parse::<u64>().ok());
    // What is there and is no number is wrong, and what is not there is not.
    let optional = |name: &str| number(name).map_or(Some(None), |number| number.map(Some));
    Some(Claims {
        id: text("auditship_id"),
        file: text("auditship_file")?,
        seq: number("auditship_seq")??,
        offset: number("auditship_offset")??,
        part: optional("auditship_part")?,
        parts: optional("auditship_parts")?,
        sha256: text("auditship_sha256"),
        encoding: text("auditship_encoding"),
    })
}

/// What does not belong to any record is described.
type Read = Result<Record, String>;

/// An entry of Loki's: its line and its structured metadata.
pub(in super::super) fn loki(entry: EntryView) -> Read {
    let EntryView { metadata, line, sends, .. } = entry;
    let value = |name: &str| metadata.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str());
    let record = texts(value).and_then(|claims| claims.record(line, sends));
    record.ok_or_else(|| format!("an entry has no place in any file: {metadata:?}"))
}

/// A document of Elasticsearch's: its `event.original`, by its `_id`.
pub(in super::super) fn elastic(document: DocumentView) -> Read {
    #[derive(Deserialize)]
    struct Source {
        event: Event,
        log: Log,
        auditship: Own,
    }
    #[derive(Deserialize)]
    struct Event {
        id: String,
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
        part: Option<u64>,
        parts: Option<u64>,
        sha256: Option<String>,
        encoding: Option<String>,
    }
    let DocumentView { index, id, source, sends } = document;
    let record = serde_json::from_slice(&source).ok().and_then(|source: Source| {
        let Source { event, log: Log { offset }, auditship: Own { file, part, parts, sha256, encoding } } = source;
        if event.id != id {
            return None;
        }
        let id = Some(event.id);
        let claims = Claims { id, file, seq: event.sequence, offset, part, parts, sha256, encoding };
        claims.record(event.original.into_bytes(), sends)
    });
    record.ok_or_else(|| format!("document {id} of {index} has no place in any file"))
}

/// An event of Splunk's: its `_raw` and its indexed fields. Copies that are equal in everything come as one.
pub(in super::super) fn splunk(event: SplunkEventView) -> Read {
    #[derive(Deserialize)]
    struct Wrapped {
        auditship_body: String,
    }
    let line = match event.field("auditship_form") {
        None | Some("string") => Some(event.event.clone()),
        Some("wrapped") => {
            serde_json::from_slice(&event.event).ok().map(|Wrapped { auditship_body }| auditship_body.into())
        }
        Some(_) => None,
    };
    let claims = texts(|name| event.field(name)).filter(|claims| claims.id.is_some());
    let record = claims.zip(line).and_then(|(claims, line)| claims.record(line, event.sends));
    record.ok_or_else(|| format!("an event has no place in any file: {:?}", event.fields))
}

/// A log of Datadog's: its `message` and its attributes. Copies that are equal in everything come as one.
pub(in super::super) fn datadog(log: DatadogView) -> Read {
    let DatadogView { object, message, sends } = log;
    let record = serde_json::from_slice(&object).ok().and_then(|attributes: Map<String, Value>| {
        // Where others have auditship_id, this one has auditship.id.
        let claims = texts(|name| attributes.get(&name.replacen('_', ".", 1))?.as_str());
        claims.filter(|claims| claims.id.is_some())?.record(message, sends)
    });
    record.ok_or_else(|| {
        // A line can be long.
        let start = String::from_utf8_lossy(&object[..object.len().min(300)]).into_owned();
        format!("a log has no place in any file: {start}")
    })
}
