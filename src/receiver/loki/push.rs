//! From an HTTP request to the streams that may be stored (Loki 3.4.2 `pkg/loghttp/push/push.go` and
//! `pkg/distributor/distributor.go`). Pure: the clock is an argument.

use super::{
    json,
    labels::Labels,
    limits::{Limits, Refusals, metadata_size},
    mime,
    store::Valid,
    wire::{Entry, PushRequest},
};
use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode, header},
};
use prost::Message as _;
use std::{
    borrow::Cow,
    io::{self, Read},
};

/// An answer other than success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) text: String,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Refusal {
        Refusal { status, text: text.into() }
    }

    pub(super) fn bad(text: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, text)
    }

    pub(super) fn too_large(limit: usize) -> Refusal {
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("request body too large, limit: {limit} bytes"))
    }
}

/// A push that was read, all of its label strings included.
#[derive(Debug)]
pub(super) struct Push {
    /// Each with at least one entry.
    streams: Vec<(Labels, Vec<Entry>)>,
    /// The bytes of the message that the distributor would send to the ingester, about.
    size: usize,
}

/// What validation left of a push.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) streams: Vec<Valid>,
    pub(super) refusals: Refusals,
    /// How many entries were dropped.
    pub(super) rejected: usize,
}

/// Reads a push. Whatever is wrong here fails the whole request, and nothing of it is stored.
pub(super) fn decode(headers: &HeaderMap, body: &[u8], limits: &Limits) -> Result<Push, Refusal> {
    let body = decompress(headers, body, limits)?;
    let (request, size) = match mime::parse(&first(headers, &header::CONTENT_TYPE)).map_err(Refusal::bad)? {
        mime::Kind::Json => {
            let request = json::decode(&body).map_err(Refusal::bad)?;
            let entries = request.streams.iter().flat_map(|stream| &stream.entries);
            let size = entries.map(|entry| entry.line.len() + metadata_size(entry)).sum();
            (request, size)
        }
        mime::Kind::Other => {
            let message = unsnap(&body, limits)?;
            let size = message.len();
            let request = PushRequest::decode(message).map_err(|e| Refusal::bad(format!("proto: {e}")))?;
            (request, size)
        }
    };
    if request.streams.iter().flat_map(|stream| &stream.entries).any(|entry| !entry.time_is_legal()) {
        return Err(Refusal::bad("proto: timestamp out of range"));
    }
    if request.streams.is_empty() {
        let text = "error at least one valid stream is required for ingestion";
        return Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, text));
    }
    let mut streams = Vec::with_capacity(request.streams.len());
    for stream in request.streams {
        let labels = Labels::parse(&stream.labels)
            .map_err(|e| Refusal::bad(format!("couldn't parse labels: {e}: {}", stream.labels.escape_ascii())))?;
        let labels = if limits.discover_service_name { labels.with_service_name() } else { labels };
        if !stream.entries.is_empty() {
            streams.push((labels, stream.entries));
        }
    }
    Ok(Push { streams, size })
}

/// Checks streams and entries one by one; what passes may be stored though its siblings did not. `now` is in
/// nanoseconds since 1970.
pub(super) fn check(push: Push, limits: &Limits, now: i64) -> Result<Checked, Refusal> {
    let mut checked = Checked::default();
    for (labels, entries) in push.streams {
        if let Err(text) = limits.check_labels(&labels) {
            checked.rejected += entries.len();
            checked.refusals.add(text);
            continue;
        }
        let name = labels.to_string();
        let mut good = Vec::with_capacity(entries.len());
        for entry in entries {
            match limits.check_entry(now, &name, &entry) {
                Ok(time) => good.push((time, entry)),
                Err(text) => {
                    checked.rejected += 1;
                    checked.refusals.add(text);
                }
            }
        }
        if !good.is_empty() {
            checked.streams.push(Valid { labels, entries: good });
        }
    }
    if push.size > limits.max_push && !checked.streams.is_empty() {
        return Err(Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!(
                "rpc error: code = ResourceExhausted desc = grpc: received message larger than max ({} vs. {})",
                push.size, limits.max_push
            ),
        ));
    }
    Ok(checked)
}

/// The first value of a header, or nothing.
pub(super) fn first<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Cow<'a, str> {
    headers.get(name).map_or("".into(), |value| String::from_utf8_lossy(value.as_bytes()))
}

fn decompress<'a>(headers: &HeaderMap, body: &'a [u8], limits: &Limits) -> Result<Cow<'a, [u8]>, Refusal> {
    let mut out = Vec::new();
    // One byte more than is allowed, to see that it is there.
    let limit = limits.max_body as u64 + 1;
    let read = match &*first(headers, &header::CONTENT_ENCODING) {
        "" | "snappy" => return Ok(body.into()),
        "gzip" => flate2::read::MultiGzDecoder::new(body).take(limit).read_to_end(&mut out),
        "deflate" => flate2::read::DeflateDecoder::new(body).take(limit).read_to_end(&mut out),
        other => return Err(Refusal::bad(format!("Content-Encoding {other:?} not supported"))),
    };
    read.map_err(|e: io::Error| Refusal::bad(e.to_string()))?;
    if out.len() > limits.max_body { Err(Refusal::too_large(limits.max_body)) } else { Ok(out.into()) }
}

/// The block format only. The declared length is checked before memory is taken for it.
fn unsnap(body: &[u8], limits: &Limits) -> Result<Bytes, Refusal> {
    let corrupt = |_| Refusal::bad("snappy: corrupt input");
    if snap::raw::decompress_len(body).map_err(corrupt)? > limits.max_body {
        return Err(Refusal::too_large(limits.max_body));
    }
    snap::raw::Decoder::new().decompress_vec(body).map(Bytes::from).map_err(corrupt)
}
