//! A local Splunk: an HTTP Event Collector that refuses what Splunk Enterprise 10.4 refuses, with indexer acknowledgement,
//! and a search that reads back what it stored, all in memory.
//!
//! What it reproduces on purpose, because the agent must be safe against it:
//! - a body is read from front to back: what comes before a bad event is stored, and with acknowledgement no receipt says
//!   so;
//! - behind an envelope with an unknown key nothing is stored, and the answer is 200 all the same;
//! - that a receipt's events are indexed is said once, then forgotten; a restart forgets all receipts, and can lose what
//!   was taken and not indexed;
//! - nothing is de-duplicated.
//!
//! Where it differs from Splunk:
//! - the search takes `search index=… field=value "text"` and time bounds, nothing else; results have no fields that
//!   Splunk would read from the JSON only when it searches, though terms match those;
//! - the search and the collector are on one port;
//! - a receipt waits for its own time only, not for a queue.

mod access;
mod code;
mod envelope;
mod search;
mod store;
#[cfg(test)]
mod tests;

use axum::{
    Router,
    body::{Body, HttpBody as _},
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing,
};
use code::Reply;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    future::poll_fn,
    io::Read as _,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use store::Store;

/// How a receiver behaves from the start.
#[derive(Clone, Debug)]
pub struct SplunkOptions {
    /// The tokens that it knows. By default one: `SplunkToken::default()`.
    pub tokens: Vec<SplunkToken>,
    /// How long after a request its events are indexed, and its receipt is true. Default none.
    pub ack_delay: Duration,
    /// The longest body in bytes, compressed or not (`max_content_length`). Default 838,860,800, as in 10.4.3.
    pub max_body: usize,
    /// Whether a body that is too long is answered as Splunk Cloud does, with 400, code 6 and event 0. Otherwise 413.
    pub is_cloud: bool,
    /// Whether, with acknowledgement, what comes before a bad event is stored. Default true.
    pub keeps_before_bad: bool,
    /// Whether [`Splunk::forget`] loses what is taken and not indexed. Otherwise it is indexed then. Default true.
    pub loses_queued: bool,
    /// An `event` that is an object and has this text in it is refused with code 6; a string never is. For trying out
    /// what happens to what is refused. Default none.
    pub refused_in_objects: Option<String>,
    /// The `Authorization` that a search needs, such as `Bearer x`. Default none: a search needs none.
    pub search_auth: Option<String>,
}

impl Default for SplunkOptions {
    fn default() -> Self {
        SplunkOptions {
            tokens: vec![SplunkToken::default()],
            ack_delay: Duration::ZERO,
            max_body: 838_860_800,
            is_cloud: false,
            keeps_before_bad: true,
            loses_queued: true,
            refused_in_objects: None,
            search_auth: None,
        }
    }
}

/// A token of the collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplunkToken {
    /// What `Authorization: Splunk …` says. Default `00000000-0000-0000-0000-000000000000`.
    pub value: String,
    /// `useACK`. Default true.
    pub ack: bool,
    /// Whether it is switched off. Default false.
    pub is_disabled: bool,
    /// The index of events that name none. Default `main`.
    pub index: String,
    /// The indexes that it may write to besides. Empty, as by default: any.
    pub indexes: Vec<String>,
}

impl Default for SplunkToken {
    fn default() -> Self {
        SplunkToken {
            value: "00000000-0000-0000-0000-000000000000".to_owned(),
            ack: true,
            is_disabled: false,
            index: "main".to_owned(),
            indexes: Vec::new(),
        }
    }
}

/// How much the receiver takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SplunkLoad {
    /// Everything: 200, code 0.
    #[default]
    Normal,
    /// Everything, but the queue fills: 200, code 24.
    NearCapacity,
    /// Everything, but the channels fill: 200, code 25.
    AcksNearCapacity,
    /// Nothing: 503, code 9.
    Busy,
    /// Nothing: 503, code 23.
    ShuttingDown,
    /// Nothing: 429, code 26.
    AtCapacity,
    /// Nothing: 429, code 27.
    AcksAtCapacity,
}

/// What becomes of receipts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SplunkAcks {
    /// After `ack_delay` the events are indexed and the receipt is true, once.
    #[default]
    Prompt,
    /// Nothing is indexed, and so no receipt is true.
    Held,
    /// Events are indexed, but their receipts never become true.
    Lost,
    /// Events are indexed, and what is asked about receipts is answered with a page that says 200.
    Broken,
}

/// What has happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SplunkCounts {
    /// Requests with events whose body arrived.
    pub requests: u64,
    /// Those of them that were answered with anything but 200.
    pub refused_requests: u64,
    /// Events that were indexed and are equal to none before.
    pub accepted: u64,
    /// Events that were indexed though an equal one was there already.
    pub duplicates: u64,
    /// Events that an answer named as bad.
    pub rejected: u64,
    /// Events that are taken and not yet indexed.
    pub queued: u64,
    /// Events that were taken and then lost by [`Splunk::forget`].
    pub lost: u64,
    /// Questions about receipts.
    pub polls: u64,
    /// The bytes of the events in `accepted`.
    pub event_bytes: u64,
}

/// Indexed events that are equal in everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplunkEventView {
    /// The index.
    pub index: String,
    /// Seconds since 1970, as they were sent: a number's text, or a string's.
    pub time: String,
    /// The host.
    pub host: String,
    /// The source.
    pub source: String,
    /// The sourcetype.
    pub sourcetype: String,
    /// The indexed fields; most have one value.
    pub fields: BTreeMap<String, Vec<String>>,
    /// What Splunk calls `_raw`: a string's text, or the bytes of any other value as they were sent.
    pub event: Vec<u8>,
    /// How many of them there are: at least 1.
    pub sends: u32,
}

impl SplunkEventView {
    /// The first value of an indexed field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.first().map(String::as_str)
    }
}

/// A receiver. Clones share what is stored.
#[derive(Clone, Debug)]
pub struct Splunk(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: SplunkOptions,
    store: Mutex<Store>,
}

impl Splunk {
    /// An empty receiver.
    pub fn new(options: SplunkOptions) -> Splunk {
        Splunk(Arc::new(Shared { options, store: Mutex::default() }))
    }

    /// The HTTP interface: `POST /services/collector`, `…/event`, `…/event/1.0`, `…/ack`, `GET …/health` and
    /// `…/health/1.0`, and `POST` and `GET /services/search/v2/jobs/export`.
    pub fn router(&self) -> Router {
        let event = || routing::post(collect_handler).options(async || StatusCode::OK);
        let health = || routing::get(health_handler);
        Router::new()
            .route("/services/collector", event())
            .route("/services/collector/event", event())
            .route("/services/collector/event/1.0", event())
            .route("/services/collector/ack", routing::post(poll_handler))
            .route("/services/collector/health", health())
            .route("/services/collector/health/1.0", health())
            .route("/services/search/v2/jobs/export", routing::get(search_handler).post(search_handler))
            .fallback(async || Reply::not_found())
            .with_state(self.clone())
    }

    /// What has happened so far.
    pub fn counts(&self) -> SplunkCounts {
        self.settled(now()).counts()
    }

    /// A copy of what is indexed, in the order of the first of equal events.
    pub fn events(&self) -> Vec<SplunkEventView> {
        self.settled(now()).events().to_vec()
    }

    /// From now on this much is taken.
    pub fn set_load(&self, load: SplunkLoad) {
        self.settled(now()).load = load;
    }

    /// From now on this becomes of receipts.
    pub fn set_acks(&self, acks: SplunkAcks) {
        self.settled(now()).acks = acks;
    }

    /// Whether nothing is indexed and acknowledged from now on: [`SplunkAcks::Held`], or [`SplunkAcks::Prompt`].
    pub fn hold_acks(&self, is_held: bool) {
        self.set_acks(if is_held { SplunkAcks::Held } else { SplunkAcks::Prompt });
    }

    /// What a restart does: all channels and receipts are forgotten, and what is not indexed is lost or not, as
    /// [`SplunkOptions::loses_queued`] says.
    pub fn forget(&self) {
        self.settled(now()).forget(self.0.options.loses_queued);
    }

    /// The store, with everything indexed that is due at `now`, in nanoseconds since 1970. It stays consistent between
    /// any two statements, so a panic elsewhere does not spoil it.
    fn settled(&self, now: i64) -> MutexGuard<'_, Store> {
        let mut store = self.0.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.settle(now);
        store
    }

    /// A request with events.
    fn collect(&self, headers: &HeaderMap, uri: &Uri, body: Result<&[u8], TooLong>, now: i64) -> Reply {
        let reply = self.try_collect(headers, uri, body, now).unwrap_or_else(|reply| reply);
        let mut store = self.settled(now);
        store.add_request(reply.status);
        reply
    }

    fn try_collect(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
        body: Result<&[u8], TooLong>,
        now: i64,
    ) -> Result<Reply, Reply> {
        let options = &self.0.options;
        let nth = access::token(&options.tokens, headers, uri).map_err(Reply::of)?;
        let token = &options.tokens[nth];
        let taken = taken(self.settled(now).load)?;
        let channel = if token.ack { Some(access::channel(headers, uri).map_err(Reply::of)?) } else { None };
        let too_long =
            |TooLong(len)| if options.is_cloud { Reply::bad(6, 0) } else { Reply::too_long(len, options.max_body) };
        let body = unpack(headers, body.map_err(too_long)?, options.max_body)?.map_err(too_long)?;
        // All the work on bytes is done before the lock is taken.
        let read = envelope::read(&body, token, options.refused_in_objects.as_deref(), now);
        let mut store = self.settled(now);
        let Some(channel) = channel else {
            store.index(read.events);
            return read.fault.map_or(Ok(Reply::of(taken)), |fault| Err(store.refused(fault)));
        };
        match read.fault {
            None => {
                let due = now.saturating_add(i64::try_from(options.ack_delay.as_nanos()).unwrap_or(i64::MAX));
                let receipt = store.queue((nth, channel), due, read.events);
                store.settle(now);
                Ok(Reply { receipt: Some(receipt), ..Reply::of(taken) })
            }
            Some(fault) => {
                if options.keeps_before_bad {
                    store.index(read.events);
                }
                Err(store.refused(fault))
            }
        }
    }

    /// A question about receipts; the answer is JSON, or a page when that is what it should be.
    fn poll(&self, headers: &HeaderMap, uri: &Uri, body: &[u8], now: i64) -> Result<String, Reply> {
        let mut store = self.settled(now);
        store.add_poll();
        let nth = access::token(&self.0.options.tokens, headers, uri).map_err(Reply::of)?;
        if !self.0.options.tokens[nth].ack {
            return Err(Reply::of(14));
        }
        let channel = access::channel(headers, uri).map_err(Reply::of)?;
        if store.acks == SplunkAcks::Broken {
            return Ok("<html><body>Welcome</body></html>".to_owned());
        }
        let receipts = envelope::receipts(body).ok_or(Reply::of(6))?;
        let acks = store.told(&(nth, channel), &receipts);
        Ok(serde_json::json!({ "acks": acks }).to_string())
    }

    /// Whether it works. A token is only looked at when there is one.
    fn health(&self, headers: &HeaderMap, uri: &Uri, now: i64) -> Reply {
        Reply::of(match access::token(&self.0.options.tokens, headers, uri) {
            Err(1) => 22,
            Err(3 | 4) => 21,
            _ => match self.settled(now).load {
                SplunkLoad::Busy | SplunkLoad::AtCapacity => 18,
                SplunkLoad::AcksAtCapacity => 19,
                SplunkLoad::ShuttingDown => 23,
                _ => 17,
            },
        })
    }

    /// A search: one JSON object a line, or a status and JSON that says what is wrong.
    fn search(&self, headers: &HeaderMap, form: &[u8], now: i64) -> Result<String, (StatusCode, String)> {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if self.0.options.search_auth.as_deref().is_some_and(|needed| given != Some(needed)) {
            return Err((StatusCode::UNAUTHORIZED, search::message("WARN", "call not properly authenticated")));
        }
        let query = search::Query::parse(form, now)
            .map_err(|text| (StatusCode::BAD_REQUEST, search::message("FATAL", &text)))?;
        Ok(query.render(self.settled(now).events()))
    }
}

/// The code of success, as far as this load takes anything.
fn taken(load: SplunkLoad) -> Result<u32, Reply> {
    match load {
        SplunkLoad::Normal => Ok(0),
        SplunkLoad::NearCapacity => Ok(24),
        SplunkLoad::AcksNearCapacity => Ok(25),
        SplunkLoad::Busy => Err(Reply::of(9)),
        SplunkLoad::ShuttingDown => Err(Reply::of(23)),
        SplunkLoad::AtCapacity => Err(Reply::of(26)),
        SplunkLoad::AcksAtCapacity => Err(Reply::of(27)),
    }
}

/// A body of at least so many bytes is longer than is allowed.
#[derive(Clone, Copy, Debug)]
struct TooLong(usize);

/// The body without its compression. gzip is the only one that Splunk takes.
fn unpack<'a>(headers: &HeaderMap, body: &'a [u8], max: usize) -> Result<Result<Cow<'a, [u8]>, TooLong>, Reply> {
    match headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes()) {
        None | Some(b"" | b"identity") => Ok(Ok(body.into())),
        Some(b"gzip") => {
            let mut out = Vec::new();
            // One byte more than is allowed, to see that it is there.
            let mut read = flate2::read::MultiGzDecoder::new(body).take(max as u64 + 1);
            read.read_to_end(&mut out).map_err(|_| Reply::of(6))?;
            Ok(if out.len() > max { Err(TooLong(out.len())) } else { Ok(out.into()) })
        }
        Some(_) => Err(Reply::unsupported()),
    }
}

async fn collect_handler(State(splunk): State<Splunk>, request: Request) -> Reply {
    let (parts, body) = request.into_parts();
    let body = read(body, splunk.0.options.max_body).await;
    splunk.collect(&parts.headers, &parts.uri, body.as_deref().map_err(|too_long| *too_long), now())
}

async fn poll_handler(State(splunk): State<Splunk>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    match read(body, splunk.0.options.max_body).await {
        Ok(body) => json(splunk.poll(&parts.headers, &parts.uri, &body, now())),
        Err(TooLong(len)) => Reply::too_long(len, splunk.0.options.max_body).into_response(),
    }
}

async fn health_handler(State(splunk): State<Splunk>, headers: HeaderMap, uri: Uri) -> Reply {
    splunk.health(&headers, &uri, now())
}

async fn search_handler(State(splunk): State<Splunk>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let form = if parts.method == Method::POST {
        read(body, splunk.0.options.max_body).await
    } else {
        Ok(parts.uri.query().unwrap_or_default().as_bytes().to_vec())
    };
    json(match form {
        Ok(form) => splunk.search(&parts.headers, &form, now()),
        Err(TooLong(_)) => Err((StatusCode::PAYLOAD_TOO_LARGE, String::new())),
    })
}

fn json(answer: Result<String, impl IntoResponse>) -> Response {
    match answer {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json; charset=UTF-8")], text).into_response(),
        Err(other) => other.into_response(),
    }
}

/// Reads a whole body of at most `max` bytes. One that breaks off ends there, and so is no JSON.
async fn read(mut body: Body, max: usize) -> Result<Vec<u8>, TooLong> {
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
            if bytes.len() > max {
                return Err(TooLong(bytes.len()));
            }
        }
    }
    Ok(bytes)
}

/// Nanoseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
