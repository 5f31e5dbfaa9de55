//! A local Datadog: the logs intake, version 2, and enough of the log search to read back what it stored, all in memory.
//!
//! What it reproduces on purpose, because the agent must be safe against it, all of it behind a 202: a log above 1 MB
//! loses the end of its message; a log that is too old, or too far ahead, is not stored; a log that comes twice is
//! stored twice. [`DatadogCounts`] tells what the answer does not.
//!
//! What is documented is from <https://docs.datadoghq.com/api/latest/logs/>. Where that is silent, the strictest reading
//! holds here:
//! - what is older than 18 hours or more than 2 hours ahead is gone;
//! - more than 1,000 logs in an array are refused with 413 ([`DatadogSurplus`]);
//! - a log needs a `message` that is text; its other reserved attributes are text, its `timestamp` a whole number of
//!   milliseconds or RFC 3339. Anything else is a 400, and nothing of its request is stored.
//!
//! Where it differs from Datadog: only `application/json` is taken; a message that is JSON is not read; nothing is
//! indexed late; a query is `*` or some `key:value`, all of which must hold.

mod intake;
mod search;
mod store;
#[cfg(test)]
mod tests;

use axum::{
    Router,
    body::{Body, HttpBody as _},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
    routing,
};
use serde_json::json;
use std::{
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use store::Store;

/// How a receiver behaves. The defaults are Datadog's documented limits.
#[derive(Clone, Debug)]
pub struct DatadogOptions {
    /// The API keys that are known; any other is answered with 403. Empty: every key is known, but there must be one.
    pub keys: Vec<String>,
    /// The most bytes of a request, before compression as well as after. Default 5,000,000.
    pub max_request: usize,
    /// The most bytes of a log; a longer one loses the end of its message. Default 1,000,000.
    pub max_log: usize,
    /// The most logs of a request. Default 1,000.
    pub max_entries: usize,
    /// What becomes of a request with more of them.
    pub surplus: DatadogSurplus,
    /// How old a log may be to be stored. Default 18 hours.
    pub max_age: Duration,
    /// How far ahead a log may be to be stored. Default 2 hours.
    pub max_ahead: Duration,
}

impl Default for DatadogOptions {
    fn default() -> Self {
        DatadogOptions {
            keys: Vec::new(),
            max_request: 5_000_000,
            max_log: 1_000_000,
            max_entries: 1000,
            surplus: DatadogSurplus::Refuse,
            max_age: Duration::from_secs(18 * 3600),
            max_ahead: Duration::from_secs(2 * 3600),
        }
    }
}

/// What becomes of a request with too many logs. Datadog does not document it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatadogSurplus {
    /// It is answered with 413.
    Refuse,
    /// It is answered with 202, and the logs beyond the limit are gone.
    Cut,
}

/// What has happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatadogCounts {
    /// Requests to the intake whose body arrived.
    pub requests: u64,
    /// Of these, those that were answered with anything but 202.
    pub refused_requests: u64,
    /// Logs that were stored for the first time.
    pub accepted: u64,
    /// Logs that were stored before, byte for byte, with the same `auditship.id`.
    pub duplicates: u64,
    /// Logs whose `auditship.id` was stored before with other bytes. They are stored, and in `accepted` too.
    pub differing: u64,
    /// Logs that lost the end of their message behind a 202.
    pub truncated: u64,
    /// Logs that were not stored behind a 202, because they were too old or too far ahead.
    pub dropped_old: u64,
    /// Logs that were not stored behind a 202, because there were too many in their request.
    pub dropped_surplus: u64,
    /// The bytes of the messages in `accepted`.
    pub message_bytes: u64,
}

/// A stored log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatadogView {
    /// The object's bytes as sent, unless its message was cut.
    pub object: Vec<u8>,
    /// The text of its message, as stored.
    pub message: Vec<u8>,
    /// How often the same bytes came, where they have an `auditship.id`. At least 1.
    pub sends: u32,
}

/// A receiver. Clones share what is stored.
#[derive(Clone, Debug)]
pub struct Datadog(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: DatadogOptions,
    store: Mutex<Store>,
}

impl Datadog {
    /// An empty receiver.
    pub fn new(options: DatadogOptions) -> Datadog {
        Datadog(Arc::new(Shared { options, store: Mutex::default() }))
    }

    /// The HTTP interface: `POST /api/v2/logs` and `POST /api/v2/logs/events/search`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/api/v2/logs", routing::post(intake_handler))
            .route("/api/v2/logs/events/search", routing::post(search_handler))
            .with_state(self.clone())
    }

    /// What has happened so far.
    pub fn counts(&self) -> DatadogCounts {
        self.store().counts
    }

    /// A copy of what is stored, in the order of arrival. What came several times is in it once.
    pub fn entries(&self) -> Vec<DatadogView> {
        self.store().view()
    }

    /// The store stays consistent between any two statements, so a panic elsewhere does not spoil it.
    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request to the intake, its body read. `now` is in milliseconds since 1970.
    fn take(&self, headers: &HeaderMap, body: &[u8], now: i64) -> Result<(), Refusal> {
        let options = &self.0.options;
        // All the work on bytes is done before the lock is taken.
        let taken = authorize(headers, options).and_then(|()| intake::take(headers, body, options, now));
        let mut store = self.store();
        store.counts.requests += 1;
        store.counts.refused_requests += u64::from(taken.is_err());
        taken.map(|taken| store.add(taken))
    }

    /// A search; the answer is JSON.
    fn search(&self, headers: &HeaderMap, body: &[u8], now: i64) -> Result<String, Refusal> {
        authorize(headers, &self.0.options)?;
        if first(headers, &APPLICATION_KEY).is_empty() {
            return Err(Refusal::new(StatusCode::FORBIDDEN, "a search needs the header DD-APPLICATION-KEY"));
        }
        let search = search::Search::parse(body, now).map_err(Refusal::bad)?;
        Ok(search.run(&self.store()))
    }
}

/// An answer other than success.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refusal {
    status: StatusCode,
    text: String,
}

impl Refusal {
    fn new(status: StatusCode, text: impl Into<String>) -> Refusal {
        Refusal { status, text: text.into() }
    }

    fn bad(text: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, text)
    }

    fn too_large(text: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or_default();
        let error = json!({ "status": self.status.as_str(), "title": title, "detail": self.text });
        json_answer(self.status, json!({ "errors": [error] }).to_string())
    }
}

const API_KEY: HeaderName = HeaderName::from_static("dd-api-key");
const APPLICATION_KEY: HeaderName = HeaderName::from_static("dd-application-key");

fn authorize(headers: &HeaderMap, options: &DatadogOptions) -> Result<(), Refusal> {
    match first(headers, &API_KEY) {
        "" => Err(Refusal::new(StatusCode::UNAUTHORIZED, "the header DD-API-KEY is missing")),
        key if options.keys.is_empty() || options.keys.iter().any(|known| known == key) => Ok(()),
        _ => Err(Refusal::new(StatusCode::FORBIDDEN, "API key is invalid")),
    }
}

/// The first value of a header, or nothing.
fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn intake_handler(State(datadog): State<Datadog>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let taken = match read(body, datadog.0.options.max_request).await {
        Ok(body) => datadog.take(&parts.headers, &body, now()),
        Err(refusal) => Err(refusal),
    };
    match taken {
        Ok(()) => json_answer(StatusCode::ACCEPTED, "{}".into()),
        Err(refusal) => refusal.into_response(),
    }
}

async fn search_handler(State(datadog): State<Datadog>, request: Request) -> Response {
    /// A search is short.
    const MAX_SEARCH: usize = 64 * 1024;
    let (parts, body) = request.into_parts();
    let found = match read(body, MAX_SEARCH).await {
        Ok(body) => datadog.search(&parts.headers, &body, now()),
        Err(refusal) => Err(refusal),
    };
    match found {
        Ok(json) => json_answer(StatusCode::OK, json),
        Err(refusal) => refusal.into_response(),
    }
}

fn json_answer(status: StatusCode, json: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], json).into_response()
}

/// Reads a whole body of at most `limit` bytes.
async fn read(mut body: Body, limit: usize) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|e| Refusal::bad(e.to_string()))?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > limit {
                return Err(Refusal::too_large(format!("more than {limit} bytes")));
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
