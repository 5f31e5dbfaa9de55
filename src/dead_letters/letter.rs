//! One dead letter.

use crate::model::{LabelSet, Nanos};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A record that was refused, and everything that sending it again needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Letter {
    /// `file-offset-first 16 hex of leaf`
    pub id: String,
    /// The output's type.
    pub kind: String,
    /// When it was put aside, RFC 3339.
    pub buried: String,
    /// The status that it was refused with, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The destination's words.
    pub reason: String,
    /// The record's file: 16 hex digits.
    pub file: String,
    /// The offset of the record in it.
    pub offset: u64,
    /// The number of the record in it.
    pub seq: u64,
    /// The record's time, RFC 3339.
    pub time: String,
    /// The labels of its stream.
    pub labels: BTreeMap<String, String>,
    /// The line, when it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The line in base64, when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
    /// The record as it was encoded for the output, in base64: what is sent again.
    pub encoded: String,
}

/// A record on its way to becoming a letter.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// The output's type.
    pub kind: &'a str,
    /// Its id, its file, its offset, its number and its time.
    pub place: (&'a str, &'a str, u64, u64, Nanos),
    /// The line.
    pub body: &'a [u8],
    /// As encoded.
    pub encoded: &'a [u8],
    /// Of its stream.
    pub labels: Option<&'a LabelSet>,
    /// The destination's words; begins with `HTTP` and the status where there was one.
    pub reason: &'a str,
    /// The wall clock.
    pub now: Nanos,
}

impl Letter {
    /// Of a refused record.
    pub fn new(refused: Refused<'_>) -> Letter {
        let (id, file, offset, seq, time) = refused.place;
        let text = std::str::from_utf8(refused.body).ok();
        let pairs = refused.labels.into_iter().flat_map(LabelSet::iter);
        let status = refused.reason.strip_prefix("HTTP ").and_then(|rest| rest.get(..3)?.parse().ok());
        Letter {
            id: id.to_owned(),
            kind: refused.kind.to_owned(),
            buried: refused.now.to_string(),
            status,
            reason: refused.reason.to_owned(),
            file: file.to_owned(),
            offset,
            seq,
            time: time.to_string(),
            labels: pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            body: text.map(str::to_owned),
            body_base64: text.is_none().then(|| STANDARD.encode(refused.body)),
            encoded: STANDARD.encode(refused.encoded),
        }
    }

    /// From its line.
    pub(super) fn read(line: &[u8]) -> serde_json::Result<Letter> {
        serde_json::from_slice(line)
    }

    /// Its line, with the newline.
    pub(super) fn append_to(&self, out: &mut Vec<u8>) -> std::io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        out.push(b'\n');
        Ok(())
    }

    /// The record as it was encoded; `None` when somebody has altered it.
    pub fn encoded(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.encoded).ok()
    }

    /// The bytes of the line.
    pub fn bytes(&self) -> u64 {
        let base64 = self.body_base64.as_deref().map_or(0, |text| text.len() / 4 * 3);
        self.body.as_deref().map_or(base64, str::len) as u64
    }

    /// The labels of its stream.
    pub fn label_set(&self) -> LabelSet {
        LabelSet::new(self.labels.clone())
    }
}
