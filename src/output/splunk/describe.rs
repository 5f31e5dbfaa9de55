//! Reads one encoded envelope back, and writes it again in the plainer form.

use super::encode::Shape;
use crate::{model::Nanos, output::Described};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::HashMap;

#[cfg(test)]
mod tests;

/// What is read of an envelope.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    time: &'a RawValue,
    fields: HashMap<String, String>,
    #[serde(borrow)]
    event: &'a RawValue,
}

/// The `event` of a line that HEC would find blank.
#[derive(Deserialize)]
struct Wrapped {
    auditship_body: String,
}

/// Reads one envelope as [`event`](super::encode::event) wrote it. Nothing if it is not exactly one envelope with
/// auditship's fields.
pub fn describe(encoded: &[u8]) -> Option<Described> {
    let envelope: Envelope<'_> = serde_json::from_slice(encoded).ok()?;
    let (_, body) = envelope.event()?;
    let number = |name: &str| envelope.fields.get(name)?.parse().ok();
    Some(Described {
        file: envelope.fields.get("auditship_file")?.parse().ok()?,
        offset: number("auditship_offset")?,
        seq: number("auditship_seq")?,
        time: nanos(envelope.time.get())?,
        body,
    })
}

/// The same record with less for HEC to stumble over: an object as a string, and a string in an object that is not
/// blank, because nobody has measured which strings HEC finds blank. The other shapes have nothing plainer.
pub fn plainer(encoded: &[u8]) -> Option<Vec<u8>> {
    let envelope: Envelope<'_> = serde_json::from_slice(encoded).ok()?;
    let (shape, body) = envelope.event()?;
    let plainer = match shape {
        Shape::Object => Shape::Text,
        Shape::Text => Shape::Wrapped,
        Shape::Wrapped | Shape::Base64 => return None,
    };
    // The value lies in the encoded bytes: it was borrowed from there.
    let value = envelope.event.get().as_ptr().addr() - encoded.as_ptr().addr();
    // What comes before the line ends with a quote that is the value's own.
    let quote = usize::from(shape == Shape::Text);
    let start = encoded.get(..value + quote)?.strip_suffix(shape.before())?;
    let mut out = start.to_vec();
    plainer.put(&mut out, &body);
    Some(out)
}

impl Envelope<'_> {
    /// How the line was written, and its bytes.
    fn event(&self) -> Option<(Shape, Vec<u8>)> {
        let text = self.event.get();
        let form = self.fields.get("auditship_form").map(String::as_str);
        let encoding = self.fields.get("auditship_encoding").map(String::as_str);
        Some(match (form, encoding) {
            (None, None) => (Shape::Object, text.as_bytes().to_vec()),
            (Some("string"), None) => (Shape::Text, serde_json::from_str::<String>(text).ok()?.into_bytes()),
            (Some("wrapped"), None) => {
                (Shape::Wrapped, serde_json::from_str::<Wrapped>(text).ok()?.auditship_body.into_bytes())
            }
            (None, Some("base64")) => {
                (Shape::Base64, STANDARD.decode(serde_json::from_str::<String>(text).ok()?).ok()?)
            }
            _ => return None,
        })
    }
}

/// Reads the decimals of [`seconds`](super::encode::seconds): always nine of them.
fn nanos(text: &str) -> Option<Nanos> {
    let (sign, size) = text.strip_prefix('-').map_or((1, text), |size| (-1, size));
    let (whole, decimals) = size.split_once('.')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<i64>().ok())?;
    let decimals = (decimals.len() == 9).then(|| digits(decimals))??;
    // Wide, because the size of the earliest time lies outside of an i64.
    let nanos = sign * (i128::from(digits(whole)?) * i128::from(Nanos::SECOND) + i128::from(decimals));
    Some(Nanos(nanos.try_into().ok()?))
}
