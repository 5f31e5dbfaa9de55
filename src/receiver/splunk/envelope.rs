//! From a body to events, front to back, until something is wrong.

use super::{SplunkEventView, SplunkToken};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The keys of an envelope.
const KEYS: [&str; 7] = ["time", "host", "source", "sourcetype", "index", "event", "fields"];

/// What was read of a body.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// The events before the fault, or all.
    pub(super) events: Vec<SplunkEventView>,
    /// What stopped the reading, unless that is nothing to speak of.
    pub(super) fault: Option<Fault>,
}

/// What is said about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) code: u32,
    /// The event, as the answer numbers it.
    pub(super) nth: Option<usize>,
}

/// Why an envelope is not an event.
enum Not {
    /// It is passed over.
    Skipped,
    /// Nothing is read from here on, and nothing is said about it.
    Unknown,
    /// It is refused.
    Bad(u32),
}

/// What all envelopes of a body are read with.
struct Reader<'a> {
    token: &'a SplunkToken,
    refused: Option<&'a str>,
    now: i64,
}

/// Reads a body: envelopes one after the other, or in an array. `refused`: what an `event` that is an object may not
/// have in it. `now`, in nanoseconds since 1970, is the time of events that have none.
pub(super) fn read(body: &[u8], token: &SplunkToken, refused: Option<&str>, now: i64) -> Read {
    let reader = Reader { token, refused, now };
    let mut read = Read::default();
    let mut nth = 0;
    for value in serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>() {
        let values: Vec<&RawValue> = match value {
            Ok(value) if value.get().starts_with('[') => serde_json::from_str(value.get()).unwrap_or_default(),
            Ok(value) => vec![value],
            Err(_) => {
                read.fault = Some(Fault { code: 6, nth: Some(nth) });
                return read;
            }
        };
        for value in values {
            match reader.event(value.get()) {
                Ok(event) => read.events.push(event),
                Err(Not::Skipped) => {}
                Err(Not::Unknown) => {
                    read.fault = (nth == 0).then_some(Fault { code: 5, nth: None });
                    return read;
                }
                Err(Not::Bad(code)) => {
                    // Splunk counts one too many when the index is wrong.
                    let nth = if code == 7 { nth + 1 } else { nth };
                    read.fault = Some(Fault { code, nth: Some(nth) });
                    return read;
                }
            }
            nth += 1;
        }
    }
    if nth == 0 {
        read.fault = Some(Fault { code: 5, nth: None });
    }
    read
}

/// The receipts that a question is about.
pub(super) fn receipts(body: &[u8]) -> Option<Vec<u64>> {
    #[derive(Deserialize)]
    struct Question {
        acks: Vec<u64>,
    }
    serde_json::from_slice(body).ok().map(|Question { acks }| acks)
}

impl Reader<'_> {
    fn event(&self, text: &str) -> Result<SplunkEventView, Not> {
        let envelope: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(|_| Not::Bad(6))?;
        if envelope.keys().any(|key| !KEYS.contains(&key.as_str())) {
            return Err(Not::Unknown);
        }
        let get = |name: &str| envelope.get(name).map(|value| value.get());
        let text = |name: &str, default: &str| match get(name) {
            None => Ok(default.to_owned()),
            Some(value) => serde_json::from_str(value).map_err(|_| Not::Bad(6)),
        };
        let event = match get("event") {
            Some(value) => self.raw(value)?,
            // Fields without an event may be a metric; if they are not, they are passed over.
            None if envelope.contains_key("fields") => return Err(Not::Skipped),
            None => return Err(Not::Bad(12)),
        };
        let time = match get("time") {
            Some(value) => time(value).ok_or(Not::Bad(15))?,
            None => format!(
                "{}.{:03}",
                self.now.div_euclid(1_000_000_000),
                self.now.rem_euclid(1_000_000_000) / 1_000_000
            ),
        };
        let fields = match get("fields") {
            Some(value) => fields(value).ok_or(Not::Bad(15))?,
            None => BTreeMap::new(),
        };
        let index = text("index", &self.token.index)?;
        let is_allowed = |name: &String| *name == index;
        if index != self.token.index && !self.token.indexes.is_empty() && !self.token.indexes.iter().any(is_allowed) {
            return Err(Not::Bad(7));
        }
        Ok(SplunkEventView {
            index,
            time,
            host: text("host", "localhost")?,
            source: text("source", "http:local")?,
            sourcetype: text("sourcetype", "httpevent")?,
            fields,
            event,
            sends: 1,
        })
    }

    /// What is stored of an event: the text of a string, or the value's bytes.
    fn raw(&self, value: &str) -> Result<Vec<u8>, Not> {
        let is_empty = |open, close| {
            let inside = value.strip_prefix(open).and_then(|rest: &str| rest.strip_suffix(close));
            inside.is_some_and(|inside: &str| inside.trim().is_empty())
        };
        if value == "null" || is_empty('{', '}') || is_empty('[', ']') {
            return Err(Not::Bad(13));
        }
        if value.starts_with('"') {
            let text: String = serde_json::from_str(value).map_err(|_| Not::Bad(6))?;
            return if text.trim().is_empty() { Err(Not::Bad(13)) } else { Ok(text.into_bytes()) };
        }
        match self.refused {
            Some(refused) if value.starts_with('{') && value.contains(refused) => Err(Not::Bad(6)),
            _ => Ok(value.as_bytes().to_vec()),
        }
    }
}

/// The text of a time: a number, or a string with one in it, in plain decimals.
fn time(value: &str) -> Option<String> {
    let text = if value.starts_with('"') { serde_json::from_str(value).ok()? } else { value.to_owned() };
    nanos(&text).map(|_| text)
}

/// Plain decimals of seconds since 1970, in nanoseconds. What is finer is cut.
pub(super) fn nanos(text: &str) -> Option<i128> {
    let (sign, size) = text.strip_prefix('-').map_or((1, text), |size| (-1, size));
    let (whole, decimals) = size.split_once('.').unwrap_or((size, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(decimals) || whole.len() > 18 {
        return None;
    }
    let decimals = format!("{decimals:0<9}");
    Some(sign * (whole.parse::<i128>().ok()? * 1_000_000_000 + decimals[..9].parse::<i128>().ok()?))
}

/// Indexed fields: one level, and every value a string or an array of strings.
fn fields(value: &str) -> Option<BTreeMap<String, Vec<String>>> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Values {
        One(String),
        Many(Vec<String>),
    }
    let fields: BTreeMap<String, Values> = serde_json::from_str(value).ok()?;
    let list = |values| match values {
        Values::One(value) => vec![value],
        Values::Many(values) => values,
    };
    Some(fields.into_iter().map(|(name, values)| (name, list(values))).collect())
}
