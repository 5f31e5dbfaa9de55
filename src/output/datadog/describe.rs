//! Reads one encoded log back.

use crate::{
    model::{FileName, Nanos},
    output::Described,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use std::borrow::Cow;

#[derive(Deserialize)]
struct Log<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
    #[serde(rename = "auditship.file")]
    file: &'a str,
    #[serde(rename = "auditship.seq")]
    seq: &'a str,
    #[serde(rename = "auditship.offset")]
    offset: &'a str,
    #[serde(rename = "auditship.time_ns")]
    time_ns: &'a str,
    #[serde(rename = "auditship.encoding")]
    encoding: Option<&'a str>,
}

/// Reads one log as [`record`](super::encode::record) wrote it, its comma included. Nothing if it is not exactly one.
pub fn describe(encoded: &[u8]) -> Option<Described> {
    let log: Log<'_> = serde_json::from_slice(encoded.strip_suffix(b",")?).ok()?;
    let file: FileName = log.file.parse().ok()?;
    let body = match log.encoding {
        None => log.message.into_owned().into_bytes(),
        Some("base64") => STANDARD.decode(&*log.message).ok()?,
        Some(_) => return None,
    };
    let (offset, seq) = (log.offset.parse().ok()?, log.seq.parse().ok()?);
    Some(Described { file, offset, seq, time: Nanos(log.time_ns.parse().ok()?), body })
}
