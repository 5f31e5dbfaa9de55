//! A local Elasticsearch or OpenSearch: it refuses what they refuse and answers searches over what it stored, all in
//! memory.
//!
//! What it reproduces on purpose, because the agent must be safe against it:
//! - an `_id` is unique in one backing index only: after a rollover of a data stream the same document is stored twice;
//! - one document with duplicate keys refuses the whole request when there is a pipeline
//!   (<https://github.com/elastic/elasticsearch/issues/138445>);
//! - a failure store answers 201 to what is not in the data stream;
//! - `filter_path` leaves out items of which nothing is left;
//! - what was stored less than a second ago is not found before a refresh.
//!
//! Where it differs:
//! - there are no mappings but those that auditship's own template has, and what [`ElasticOptions::reject_fields`] names;
//! - pipelines do nothing; `update` and `delete` are refused; a point in time never ends by itself;
//! - of the query language there is `match_all`, `ids`, `term`, `terms`, `range`, `exists` and `bool`, over the fields
//!   that auditship sends outside of `audit`.

mod bulk;
mod document;
mod error;
mod filter;
mod query;
mod search;
mod store;
#[cfg(test)]
mod tests;

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing,
};
use error::Refusal;
use serde_json::{Value, json};
use std::{
    io::Read as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use store::Store;

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// Elasticsearch 8.19.
    Elasticsearch,
    /// OpenSearch 2.19: without `require_data_stream`, and with its own points in time.
    OpenSearch,
}

/// How a receiver behaves.
#[derive(Clone, Debug)]
pub struct ElasticOptions {
    /// Which of the two it is.
    pub flavour: Flavour,
    /// The `Authorization` headers that are let in; others are answered with 401. Empty: everybody is let in.
    pub authorization: Vec<String>,
    /// The largest body in bytes after decompression, `http.max_content_length`. Default 100 MiB.
    pub max_content_length: usize,
    /// Which names become data streams when they are first written to, as by an index template: names, or beginnings
    /// with a `*` after them.
    pub data_streams: Vec<String>,
    /// Whether other names become indices when they are first written to. Default true.
    pub auto_create: bool,
    /// Fields that no document may have, as dotted paths: as if their types did not fit the mapping.
    pub reject_fields: Vec<String>,
    /// The ingest pipelines that there are.
    pub pipelines: Vec<String>,
    /// Whether data streams keep what they refuse in a failure store, and answer 201.
    pub failure_store: bool,
    /// Whether bodies in zstd are read. Elasticsearch takes them for JSON. Default false.
    pub zstd: bool,
}

impl Default for ElasticOptions {
    fn default() -> Self {
        ElasticOptions {
            flavour: Flavour::Elasticsearch,
            authorization: Vec::new(),
            max_content_length: 100 << 20,
            data_streams: Vec::new(),
            auto_create: true,
            reject_fields: Vec::new(),
            pipelines: Vec::new(),
            failure_store: false,
            zstd: false,
        }
    }
}

/// Why nothing can be written for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// `index.blocks.write`: 403 for each document.
    ReadOnly,
    /// The disk is nearly full: 429 for each document.
    FloodStage,
}

/// What has happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ElasticCounts {
    /// Bulk requests whose body arrived.
    pub requests: u64,
    /// Of them, those that were answered with anything but 200.
    pub refused_requests: u64,
    /// Documents that were stored.
    pub created: u64,
    /// Documents that were there already: 409.
    pub conflicts: u64,
    /// Documents that were refused one by one.
    pub rejected: u64,
    /// Documents that a failure store took.
    pub failed: u64,
}

/// A stored document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentView {
    /// Its index; of a data stream, the backing index.
    pub index: String,
    /// Its `_id`.
    pub id: String,
    /// Its bytes as sent.
    pub source: Vec<u8>,
    /// How often it was sent to this index. At least 1.
    pub sends: u32,
}

/// A receiver. Clones share what is stored.
#[derive(Clone, Debug)]
pub struct Elastic(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: ElasticOptions,
    store: Mutex<Store>,
}

/// A request that has arrived.
struct Call<'a> {
    method: &'a str,
    /// The parts of the path.
    path: Vec<&'a str>,
    query: Vec<(String, String)>,
    headers: &'a HeaderMap,
    /// Decompressed.
    body: Bytes,
    now: Instant,
}

impl Call<'_> {
    /// The value of a parameter.
    fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Any parameter that is not one of these is an error, as it is at the real ones.
    fn allow(&self, params: &[&str]) -> Result<(), Refusal> {
        const COMMON: [&str; 5] = ["filter_path", "pretty", "human", "error_trace", "format"];
        let unknown = self.query.iter().find(|(name, _)| !params.contains(&&**name) && !COMMON.contains(&&**name));
        match unknown {
            None => Ok(()),
            Some((name, _)) => {
                let path = self.path.join("/");
                Err(Refusal::argument(format!("request [/{path}] contains unrecognized parameter: [{name}]")))
            }
        }
    }

    /// The body as JSON; an empty one as an empty object.
    fn json(&self) -> Result<Value, Refusal> {
        if self.body.is_empty() {
            return Ok(json!({}));
        }
        serde_json::from_slice(&self.body).map_err(|e| Refusal::bad("parsing_exception", e.to_string()))
    }
}

impl Elastic {
    /// An empty receiver.
    pub fn new(options: ElasticOptions) -> Elastic {
        Elastic(Arc::new(Shared { options, store: Mutex::default() }))
    }

    /// The HTTP interface: `_bulk`, `_refresh`, `_count`, `_search`, `_pit` or `_search/point_in_time`, `_rollover`, and
    /// `GET /`.
    pub fn router(&self) -> Router {
        const PATHS: [&str; 11] = [
            "/",
            "/_bulk",
            "/_refresh",
            "/_search",
            "/_search/point_in_time",
            "/_pit",
            "/{target}/_bulk",
            "/{target}/_refresh",
            "/{target}/_count",
            "/{target}/_search",
            "/{target}/_pit",
        ];
        let more = ["/{target}/_search/point_in_time", "/{target}/_rollover"];
        let paths = PATHS.into_iter().chain(more);
        let router = paths.fold(Router::new(), |router, path| router.route(path, routing::any(handler)));
        router.with_state(self.clone())
    }

    /// What has happened so far.
    pub fn counts(&self) -> ElasticCounts {
        self.store().counts
    }

    /// A copy of what is stored in an index, a data stream, or all that a pattern with `*` names, in the order of
    /// arrival. What lies in a failure store is under `<stream>::failures`.
    pub fn documents(&self, target: &str) -> Vec<DocumentView> {
        self.store().view(target)
    }

    /// Makes a new backing index for a data stream. Its name; nothing when there is no such stream.
    pub fn rollover(&self, stream: &str) -> Option<String> {
        self.store().rollover(stream)
    }

    /// From now on nothing can be written for this reason, or again.
    pub fn block(&self, block: Option<Block>) {
        self.store().block = block;
    }

    /// The store stays consistent between any two statements, so a panic elsewhere does not spoil it.
    fn store(&self) -> MutexGuard<'_, Store> {
        self.0.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a request.
    fn answer(&self, call: &Call<'_>) -> Result<Value, Refusal> {
        let options = &self.0.options;
        let is_elasticsearch = options.flavour == Flavour::Elasticsearch;
        let header = call.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        if !options.authorization.is_empty()
            && !header.is_some_and(|value| options.authorization.iter().any(|a| a == value))
        {
            return Err(Refusal::unauthorized(header.is_some()));
        }
        match (call.method, call.path.as_slice()) {
            ("GET" | "HEAD", []) => Ok(self.about()),
            ("POST" | "PUT", ["_bulk"]) => self.bulk(call, None),
            ("POST" | "PUT", [target, "_bulk"]) => self.bulk(call, Some(target)),
            ("POST" | "GET", ["_refresh"]) => search::refresh(&mut self.store(), call, "*"),
            ("POST" | "GET", [target, "_refresh"]) => search::refresh(&mut self.store(), call, target),
            ("POST" | "GET", [target, "_count"]) => search::count(&self.store(), call, target),
            ("POST" | "GET", ["_search"]) => search::search(&self.store(), options.flavour, call, None),
            ("POST" | "GET", [target, "_search"]) => {
                search::search(&self.store(), options.flavour, call, Some(target))
            }
            ("POST", [target, "_pit"]) if is_elasticsearch => {
                let id = search::open(&mut self.store(), call, target)?;
                Ok(json!({ "id": id, "_shards": search::shards() }))
            }
            ("DELETE", ["_pit"]) if is_elasticsearch => search::close(&mut self.store(), call, "id"),
            ("POST", [target, "_search", "point_in_time"]) if !is_elasticsearch => {
                let id = search::open(&mut self.store(), call, target)?;
                Ok(json!({ "pit_id": id, "_shards": search::shards(), "creation_time": 0 }))
            }
            ("DELETE", ["_search", "point_in_time"]) if !is_elasticsearch => {
                search::close(&mut self.store(), call, "pit_id")
            }
            ("POST", [target, "_rollover"]) => {
                let new = self.rollover(target).ok_or_else(|| Refusal::no_index(target))?;
                Ok(json!({ "acknowledged": true, "rolled_over": true, "new_index": new }))
            }
            _ => Err(Refusal::no_handler(call.method, &call.path.join("/"))),
        }
    }

    fn about(&self) -> Value {
        let version = match self.0.options.flavour {
            Flavour::Elasticsearch => json!({ "number": "8.19.0", "build_flavor": "default" }),
            Flavour::OpenSearch => json!({ "number": "2.19.0", "distribution": "opensearch" }),
        };
        json!({ "name": "auditship", "cluster_name": "auditship-receiver", "version": version })
    }

    fn bulk(&self, call: &Call<'_>, target: Option<&str>) -> Result<Value, Refusal> {
        let answer = bulk::bulk(&self.0.options, &mut self.store(), call, target);
        let mut store = self.store();
        store.counts.requests += 1;
        store.counts.refused_requests += u64::from(answer.is_err());
        answer
    }
}

async fn handler(State(elastic): State<Elastic>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = match respond(&elastic, &parts, body).await {
        Ok(value) => json_response(StatusCode::OK, &value),
        Err(refusal) => refusal.response(),
    };
    if elastic.0.options.flavour == Flavour::Elasticsearch {
        let name = HeaderName::from_static("x-elastic-product");
        response.headers_mut().insert(name, HeaderValue::from_static("Elasticsearch"));
    }
    response
}

async fn respond(elastic: &Elastic, parts: &axum::http::request::Parts, body: Body) -> Result<Value, Refusal> {
    let options = &elastic.0.options;
    let body = to_bytes(body, options.max_content_length).await.map_err(|_| Refusal::too_large())?;
    let query = parts.uri.query().unwrap_or_default();
    let call = Call {
        method: parts.method.as_str(),
        path: parts.uri.path().split('/').filter(|part| !part.is_empty()).collect(),
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers: &parts.headers,
        body: unpack(options, &parts.headers, body)?,
        now: Instant::now(),
    };
    let answer = elastic.answer(&call)?;
    Ok(match call.param("filter_path") {
        Some(paths) => filter::filter(&answer, paths),
        None => answer,
    })
}

/// The body, decompressed as its header says. What the server does not know is left as it is, and then read as JSON.
fn unpack(options: &ElasticOptions, headers: &HeaderMap, body: Bytes) -> Result<Bytes, Refusal> {
    // One byte more than is allowed, to see that it is there.
    let limit = options.max_content_length as u64 + 1;
    let mut out = Vec::new();
    let encoding = headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
    let read = match encoding {
        Some(b"gzip") => flate2::read::MultiGzDecoder::new(&body[..]).take(limit).read_to_end(&mut out),
        Some(b"zstd") if options.zstd => match zstd::stream::read::Decoder::new(&body[..]) {
            Ok(decoder) => decoder.take(limit).read_to_end(&mut out),
            Err(error) => Err(error),
        },
        _ => return Ok(body),
    };
    read.map_err(|e| Refusal::bad("decompression_exception", e.to_string()))?;
    if out.len() > options.max_content_length { Err(Refusal::too_large()) } else { Ok(out.into()) }
}

fn json_response(status: StatusCode, value: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
