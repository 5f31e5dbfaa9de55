//! Reads a document as strictly as a mapping that is auditship's template.

use super::error::Refusal;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};
use std::fmt;

/// The deepest nesting of objects in a `flattened` field.
const MAX_DEPTH: usize = 20;

/// What searches can ask of a document.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Fields {
    /// `@timestamp`, in nanoseconds since 1970.
    pub(super) time: Option<i64>,
    /// All but `audit`.
    pub(super) rest: Value,
}

impl Fields {
    /// The value of a field by its dotted path; `@timestamp` in nanoseconds.
    pub(super) fn get(&self, path: &str) -> Option<Value> {
        match path {
            "@timestamp" => self.time.map(Value::from),
            _ => at(&self.rest, path).cloned(),
        }
    }
}

/// A JSON value in which no object has the same key twice.
struct Strict(Value);

/// A document as JSON. The error is what the parser says.
pub(super) fn parse(source: &[u8]) -> Result<Value, String> {
    let value = serde_json::from_slice::<Strict>(source).map_err(|e| e.to_string())?.0;
    if value.is_object() { Ok(value) } else { Err("expected a JSON object".to_owned()) }
}

/// Whether the mapping takes a document, and what searches can ask of it.
pub(super) fn mapped(mut value: Value, reject_fields: &[String]) -> Result<Fields, Refusal> {
    if let Some(field) = reject_fields.iter().find(|field| at(&value, field).is_some()) {
        return Err(Refusal::document(format!("[1:2] failed to parse field [{field}] of type [long]")));
    }
    let time = value.get("@timestamp").map(timestamp).transpose()?;
    for field in ["event.sequence", "log.offset"] {
        if at(&value, field).is_some_and(|value| value.as_i64().is_none()) {
            return Err(Refusal::document(format!("[1:2] failed to parse field [{field}] of type [long]")));
        }
    }
    match value.as_object_mut().and_then(|members| members.remove("audit")) {
        None => {}
        Some(audit @ Value::Object(_)) if depth(&audit) <= MAX_DEPTH => {}
        Some(Value::Object(_)) => {
            let what = format!("exceeds the maximum depth limit of [{MAX_DEPTH}]");
            return Err(Refusal::document(format!("[1:2] the provided [flattened] field [audit] {what}")));
        }
        Some(_) => return Err(Refusal::document("[1:2] failed to parse field [audit] of type [flattened]")),
    }
    Ok(Fields { time, rest: value })
}

/// A `date_nanos`: RFC 3339, or milliseconds since 1970; not before 1970.
fn timestamp(value: &Value) -> Result<i64, Refusal> {
    let nanos = match value {
        Value::String(text) => {
            text.parse::<jiff::Timestamp>().ok().and_then(|time| time.as_nanosecond().try_into().ok())
        }
        Value::Number(number) => number.as_i64().and_then(|millis| millis.checked_mul(1_000_000)),
        _ => None,
    };
    let refused =
        || Refusal::document(format!("[1:2] failed to parse field [@timestamp] of type [date_nanos]: {value}"));
    nanos.filter(|nanos| *nanos >= 0).ok_or_else(refused)
}

/// The value at a dotted path.
fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, name| value.get(name))
}

/// How deep objects are nested, arrays not counted.
fn depth(value: &Value) -> usize {
    match value {
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        Value::Array(values) => values.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Strict, E> {
        Ok(Strict(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Strict, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Strict(values.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strict, A::Error> {
        let mut members = Map::new();
        while let Some((key, Strict(value))) = map.next_entry::<String, Strict>()? {
            if members.contains_key(&key) {
                return Err(A::Error::custom(format!("Duplicate field '{key}'")));
            }
            members.insert(key, value);
        }
        Ok(Strict(members.into()))
    }
}
