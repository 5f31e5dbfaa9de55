//! A local Loki: it refuses what Loki 3.4.2 refuses and answers
//! `query_range` for what it stored, all in memory.
//!
//! What it reproduces on purpose, because the agent must be safe against it: a push of several streams is answered
//! with the outcome of its **last** stream only, so that a stream can be dropped behind a 204; and a 400 for one
//! entry leaves its siblings stored.
//!
//! Where it differs from Loki:
//! - nothing is ever forgotten: duplicates are found at any distance, and the window of a stream never opens again;
//! - a metric name before the brace of a label string is refused; JSON bodies must be UTF-8;
//! - there are no metric queries, no parsers in queries, no stream sharding and no per-stream rate;
//! - `detected_level` is always `unknown`.

mod json;
mod labels;
mod limits;
mod log;
mod metadata;
mod mime;
mod push;
mod query;
mod selector;
mod store;
mod stream;
mod tenant;
#[cfg(test)]
mod tests;
mod wire;

pub use limits::{Limits, Rate};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody as _},
    extract::{Query as Params, Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing,
};
use push::Refusal;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::poll_fn,
    io,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};
use store::Store;

/// How a receiver behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is refused, for every tenant.
    pub limits: Limits,
    /// Whether there are tenants.
    pub auth: AuthMode,
    /// A file to which every accepted entry is appended as a line of JSON, duplicates too:
    /// `{"tenant", "stream", "ts", "line" or "line_base64", "metadata", "duplicate", "request"}`.
    /// While it cannot be written, pushes are answered with 500.
    pub log: Option<PathBuf>,
    /// Whether lines and metadata are kept for reading back. Without them only hashes are kept, for counting:
    /// queries find nothing and [`StreamView::entries`] is empty. Default true.
    pub keep_lines: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { limits: Limits::default(), auth: AuthMode::Single, log: None, keep_lines: true }
    }
}

/// Loki's `auth_enabled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMode {
    /// `X-Scope-OrgID` is ignored and the tenant is `fake`.
    Single,
    /// A request without `X-Scope-OrgID` is answered with 401 "no org id".
    MultiTenant,
}

/// What has happened since the start, over all tenants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Push requests whose body arrived.
    pub requests: u64,
    /// Push requests that were answered with anything but 204.
    pub refused_requests: u64,
    /// Entries that were stored. Duplicates are not among them.
    pub accepted: u64,
    /// Entries that were accepted and not stored, because the same time and line were there already.
    pub duplicates: u64,
    /// Entries that were refused one by one; those of a request that was refused as a whole before its entries
    /// were looked at are not counted.
    pub rejected: u64,
    /// Streams.
    pub streams: u64,
    /// The bytes of the lines in `accepted`.
    pub line_bytes: u64,
}

/// A stored stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamView {
    /// The labels as stored: with `service_name`, without empty values.
    pub labels: BTreeMap<String, String>,
    /// The entries in the order of arrival.
    pub entries: Vec<EntryView>,
}

/// A stored entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryView {
    /// Nanoseconds since 1970.
    pub ts: i64,
    /// The line's bytes, as sent.
    pub line: Vec<u8>,
    /// The structured metadata in the order in which it was sent, rewritten as Loki does; that of the first send.
    pub metadata: Vec<(String, String)>,
    /// How often the same time and line came. At least 1.
    pub sends: u32,
}

/// A receiver. Clones share what is stored.
#[derive(Clone, Debug)]
pub struct Receiver(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: Limits,
    auth: AuthMode,
    store: Mutex<Store>,
}

impl Receiver {
    /// An empty receiver. Fails only if `options.log` cannot be opened.
    pub fn new(options: Options) -> io::Result<Receiver> {
        let log = options.log.as_deref().map(log::Log::open).transpose()?;
        let store = Mutex::new(Store::new(options.keep_lines, log));
        Ok(Receiver(Arc::new(Shared { limits: options.limits, auth: options.auth, store })))
    }

    /// The HTTP interface: `POST /loki/api/v1/push`, `GET` and `POST /loki/api/v1/query_range`,
    /// `GET /loki/api/v1/labels`, `GET /ready`.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/loki/api/v1/push", routing::post(push_handler))
            .route("/loki/api/v1/query_range", routing::get(query_handler).post(query_handler))
            .route("/loki/api/v1/labels", routing::get(labels_handler))
            .route("/ready", routing::get(async || "ready\n"))
            .with_state(self.clone())
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        self.store().counts
    }

    /// A copy of what is stored of a tenant, in the order of the streams' first entries. With
    /// [`AuthMode::Single`] the tenant is `fake`.
    pub fn streams(&self, tenant: &str) -> Vec<StreamView> {
        self.store().view(tenant)
    }

    /// The store stays consistent between any two statements, so a panic elsewhere does not spoil it.
    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A push, its body read. `now` is in nanoseconds since 1970.
    fn push(&self, headers: &HeaderMap, body: &[u8], now: i64) -> Result<(), Refusal> {
        let limits = &self.0.limits;
        // All the work on bytes is done before the lock is taken.
        let checked = tenant::tenant(headers, self.0.auth).and_then(|tenant| {
            let checked = push::check(push::decode(headers, body, limits)?, limits, now)?;
            Ok((tenant, checked))
        });
        let mut store = self.store();
        store.counts.requests += 1;
        let request = store.counts.requests;
        let answer = checked.and_then(|(tenant, checked)| {
            store.counts.rejected += checked.rejected as u64;
            // An error of the ingester replaces the validation's.
            store.push(limits, now, &tenant, &checked.streams, request)?;
            checked.refusals.text().map_or(Ok(()), |text| Err(Refusal::bad(text)))
        });
        store.counts.refused_requests += u64::from(answer.is_err());
        answer
    }

    /// A query; the answer is JSON.
    fn query(&self, headers: &HeaderMap, params: &HashMap<String, String>, now: i64) -> Result<String, Refusal> {
        let limits = &self.0.limits;
        let tenant = tenant::tenant(headers, self.0.auth)?;
        let query = query::Query::parse(params, headers, limits, now).map_err(Refusal::bad)?;
        let found = query.run(&self.store(), &tenant, limits);
        Ok(query.render(found))
    }

    /// The names of all labels; the answer is JSON.
    fn label_names(&self, headers: &HeaderMap) -> Result<String, Refusal> {
        let tenant = tenant::tenant(headers, self.0.auth)?;
        let store = self.store();
        let names: BTreeSet<&str> =
            store.streams(&tenant).iter().flat_map(|stream| stream.labels.iter()).map(|(name, _)| name).collect();
        Ok(serde_json::json!({ "status": "success", "data": names }).to_string())
    }
}

async fn push_handler(State(receiver): State<Receiver>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let answer = match read(body, receiver.0.limits.max_body).await {
        Ok(body) => receiver.push(&parts.headers, &body, now()),
        Err(refusal) => Err(refusal),
    };
    match answer {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

async fn query_handler(State(receiver): State<Receiver>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let uri = if parts.method == Method::POST { form(body).await } else { Ok(parts.uri) };
    let params = uri.and_then(|uri| {
        Params::<HashMap<String, String>>::try_from_uri(&uri).map_err(|e| Refusal::bad(e.to_string()))
    });
    json_answer(params.and_then(|Params(params)| receiver.query(&parts.headers, &params, now())))
}

async fn labels_handler(State(receiver): State<Receiver>, headers: HeaderMap) -> Response {
    json_answer(receiver.label_names(&headers))
}

/// A form as the query string that means the same.
async fn form(body: Body) -> Result<Uri, Refusal> {
    /// A URI cannot be longer.
    const MAX_FORM: usize = 60_000;
    let body = read(body, MAX_FORM).await?;
    Uri::try_from([b"/?", &body[..]].concat()).map_err(|e| Refusal::bad(e.to_string()))
}

fn json_answer(answer: Result<String, Refusal>) -> Response {
    match answer {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json; charset=UTF-8")], json).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

/// Reads a whole body of at most `limit` bytes.
async fn read(mut body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|e| Refusal::bad(e.to_string()))?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > limit {
                return Err(Refusal::too_large(limit));
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.into())
}

/// Nanoseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        // With a newline at the end, as Go's http.Error writes it.
        (self.status, self.text + "\n").into_response()
    }
}
