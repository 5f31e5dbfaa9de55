//! From an HTTP request to the logs that are stored. Pure: the clock is an argument.

use super::{DatadogOptions, DatadogSurplus, Refusal, first};
use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use std::{
    borrow::Cow,
    io::{self, Read},
    time::Duration,
};

/// A log that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Log {
    /// Its object, as sent or cut.
    pub(super) object: String,
    /// The text of its message.
    pub(super) message: String,
    /// Milliseconds since 1970.
    pub(super) time: i64,
    /// Its `auditship.id`.
    pub(super) id: Option<String>,
}

/// A request that is answered with 202.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) logs: Vec<Log>,
    pub(super) truncated: u64,
    pub(super) dropped_old: u64,
    pub(super) dropped_surplus: u64,
}

/// The attributes that mean something to the intake.
#[derive(Deserialize)]
struct Reserved<'a> {
    #[serde(borrow)]
    message: Cow<'a, str>,
    timestamp: Option<Time<'a>>,
    #[serde(borrow, rename = "auditship.id")]
    id: Option<Cow<'a, str>>,
    // They are checked, no more.
    #[serde(default, rename = "ddsource")]
    _source: Option<String>,
    #[serde(default, rename = "ddtags")]
    _tags: Option<String>,
    #[serde(default, rename = "hostname")]
    _host: Option<String>,
    #[serde(default, rename = "service")]
    _service: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a timestamp must be whole milliseconds since 1970, or RFC 3339")]
enum Time<'a> {
    Millis(i64),
    Text(#[serde(borrow)] Cow<'a, str>),
}

impl Time<'_> {
    /// In milliseconds since 1970.
    fn millis(&self) -> serde_json::Result<i64> {
        match self {
            Time::Millis(millis) => Ok(*millis),
            Time::Text(text) => text.parse::<jiff::Timestamp>().map(|time| time.as_millisecond()).map_err(custom),
        }
    }
}

/// Reads a request. `now` is in milliseconds since 1970.
pub(super) fn take(headers: &HeaderMap, body: &[u8], options: &DatadogOptions, now: i64) -> Result<Taken, Refusal> {
    let kind = first(headers, &header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let text = format!("Content-Type {kind:?}: only application/json is taken here");
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
    }
    let body = decompress(headers, body, options.max_request)?;
    let mut objects = objects(&body).map_err(|e| Refusal::bad(e.to_string()))?;
    let mut taken = Taken::default();
    let surplus = objects.len().saturating_sub(options.max_entries);
    match options.surplus {
        DatadogSurplus::Refuse if surplus > 0 => {
            let text = format!("{} logs, and {} are the limit", objects.len(), options.max_entries);
            return Err(Refusal::too_large(text));
        }
        _ => objects.truncate(options.max_entries),
    }
    taken.dropped_surplus = surplus as u64;
    for (nth, object) in objects.iter().enumerate() {
        let log = log(object.get(), now).map_err(|e| Refusal::bad(format!("log {nth}: {e}")))?;
        if log.time < now.saturating_sub(millis(options.max_age))
            || log.time > now.saturating_add(millis(options.max_ahead))
        {
            taken.dropped_old += 1;
        } else if log.object.len() > options.max_log {
            taken.truncated += 1;
            taken.logs.push(cut(log, options.max_log));
        } else {
            taken.logs.push(log);
        }
    }
    Ok(taken)
}

/// The elements of an array; or the one object that there is without an array.
fn objects(body: &[u8]) -> serde_json::Result<Vec<&RawValue>> {
    match body.trim_ascii_start().first() {
        Some(b'[') => serde_json::from_slice(body),
        _ => serde_json::from_slice(body).map(|one| vec![one]),
    }
}

fn log(object: &str, now: i64) -> serde_json::Result<Log> {
    // A struct can be read from an array, too.
    if !object.starts_with('{') {
        return Err(custom("not an object"));
    }
    let reserved: Reserved<'_> = serde_json::from_str(object)?;
    let time = reserved.timestamp.map_or(Ok(now), |time| time.millis())?;
    let id = reserved.id.map(Cow::into_owned);
    Ok(Log { object: object.to_owned(), message: reserved.message.into_owned(), time, id })
}

fn custom(text: impl std::fmt::Display) -> serde_json::Error {
    serde::de::Error::custom(text)
}

/// The log with the end of its message cut off, so that it has at most `limit` bytes. What is beside the message stays,
/// whatever it takes.
fn cut(log: Log, limit: usize) -> Log {
    let mut object: Map<String, Value> = serde_json::from_str(&log.object).unwrap_or_default();
    object.insert("message".into(), "".into());
    let around = Value::Object(object.clone()).to_string().len();
    let mut left = limit.saturating_sub(around);
    let fits = |c: &char| {
        let size = match c {
            '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
            '\0'..'\u{20}' => 6,
            c => c.len_utf8(),
        };
        let fits = size <= left;
        left = left.saturating_sub(size);
        fits
    };
    let message: String = log.message.chars().take_while(fits).collect();
    object.insert("message".into(), message.as_str().into());
    Log { object: Value::Object(object).to_string(), message, ..log }
}

fn decompress<'a>(headers: &HeaderMap, body: &'a [u8], limit: usize) -> Result<Cow<'a, [u8]>, Refusal> {
    let mut out = Vec::new();
    // One byte more than is allowed, to see that it is there.
    let most = limit as u64 + 1;
    let bad = |e: io::Error| Refusal::bad(e.to_string());
    match first(headers, &header::CONTENT_ENCODING) {
        "" | "identity" => return Ok(body.into()),
        "gzip" => flate2::read::MultiGzDecoder::new(body).take(most).read_to_end(&mut out),
        "deflate" => flate2::read::ZlibDecoder::new(body).take(most).read_to_end(&mut out),
        "zstd" => zstd::Decoder::new(body).map_err(bad)?.take(most).read_to_end(&mut out),
        other => {
            let text = format!("Content-Encoding {other:?} is not supported");
            return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        }
    }
    .map_err(bad)?;
    if out.len() > limit {
        return Err(Refusal::too_large(format!("more than {limit} bytes uncompressed")));
    }
    Ok(out.into())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
