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
    #[serde(borrow)]
    auditship: Identity<'a>,
}

#[derive(Deserialize)]
struct Identity<'a> {
    file: &'a str,
    seq: u64,
    offset: u64,
    time_ns: &'a str,
    encoding: Option<&'a str>,
}

/// Reads one log as [`record`](super::encode::record) wrote it, its comma included. Nothing if it is not exactly one.
pub fn describe(encoded: &[u8]) -> Option<Described> {
    let Log { message, auditship } = serde_json::from_slice(encoded.strip_suffix(b",")?).ok()?;
    let file: FileName = auditship.file.parse().ok()?;
    let time = Nanos(auditship.time_ns.parse().ok()?);
    let body = match auditship.encoding {
        None => message.into_owned().into_bytes(),
        Some("base64") => STANDARD.decode(&*message).ok()?,
        Some(_) => return None,
    };
    Some(Described { file, offset: auditship.offset, seq: auditship.seq, time, body })
}
