//! `query_range`: reading back what is stored (Loki 3.4.2 `pkg/loghttp/params.go`, `pkg/util/marshal/query.go`).

use super::{
    limits::{Limits, nanos},
    selector::Selector,
    store::Store,
};
use axum::http::HeaderMap;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// A query that was understood.
#[derive(Debug)]
pub(super) struct Query {
    selector: Selector,
    /// Nanoseconds since 1970, inclusive.
    start: i128,
    /// Nanoseconds since 1970, exclusive.
    end: i128,
    limit: usize,
    forward: bool,
    /// Whether structured metadata is answered beside the line, or merged into the stream's labels.
    categorize: bool,
}

/// An entry of an answer.
#[derive(Debug)]
pub(super) struct Found {
    /// A number of the stream, unique in the answer.
    stream: usize,
    labels: Vec<(String, String)>,
    time: i64,
    line: String,
    metadata: Vec<(String, String)>,
}

impl Query {
    /// Reads the parameters. `now` is in nanoseconds since 1970.
    pub(super) fn parse(
        params: &HashMap<String, String>,
        headers: &HeaderMap,
        limits: &Limits,
        now: i64,
    ) -> Result<Query, String> {
        let get = |name: &str| params.get(name).map(String::as_str).filter(|value| !value.is_empty());
        let time = |name: &str, default: i128| get(name).map_or(Ok(default), parse_time);
        let end = time("end", i128::from(now))?;
        let start = time("start", end - 3_600_000_000_000)?;
        if end <= start {
            return Err("end timestamp must not be before or equal to start time".to_owned());
        }
        if end - start > nanos(limits.max_query_length) {
            return Err(format!(
                "the query time range exceeds the limit (query length: {}s, limit: {}s)",
                (end - start) / 1_000_000_000,
                limits.max_query_length.as_secs()
            ));
        }
        let limit = match get("limit").map(str::parse::<u32>) {
            None => 100,
            Some(Ok(0)) => return Err("limit must be a positive value".to_owned()),
            Some(Ok(limit)) => limit as usize,
            Some(Err(e)) => return Err(format!("limit: {e}")),
        };
        if limit > limits.max_query_entries {
            return Err(format!(
                "max entries limit per query exceeded, limit > max_entries_limit_per_query ({limit} > {})",
                limits.max_query_entries
            ));
        }
        let forward = match get("direction").map(str::to_ascii_lowercase).as_deref() {
            None | Some("backward") => false,
            Some("forward") => true,
            Some(other) => return Err(format!("invalid direction '{other}'")),
        };
        let flags = headers.get_all("x-loki-response-encoding-flags").iter();
        let categorize = flags
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|flag| flag.trim() == "categorize-labels"));
        let selector = Selector::parse(get("query").unwrap_or(""))?;
        Ok(Query { selector, start, end, limit, forward, categorize })
    }

    /// Copies the answer's entries out of the store, in the answer's order.
    pub(super) fn run(&self, store: &Store, tenant: &str, limits: &Limits) -> Vec<Found> {
        let streams = store.streams(tenant);
        let mut hits: Vec<(i64, usize, usize)> = Vec::new();
        for (s, stream) in streams.iter().enumerate().filter(|(_, stream)| self.selector.accepts(&stream.labels)) {
            for (e, entry) in stream.entries.iter().enumerate() {
                let time = i128::from(entry.time);
                if self.start <= time && time < self.end && self.selector.passes(entry.line()) {
                    hits.push((entry.time, s, e));
                }
            }
        }
        let order = |a: &(i64, usize, usize), b: &(i64, usize, usize)| if self.forward { a.cmp(b) } else { b.cmp(a) };
        if hits.len() > self.limit {
            // A page of a large store is not worth sorting all of it.
            hits.select_nth_unstable_by(self.limit, order);
            hits.truncate(self.limit);
        }
        hits.sort_unstable_by(order);
        let found = |(time, s, e): (i64, usize, usize)| {
            let entry = &streams[s].entries[e];
            let mut metadata = store.names.unpack(entry.metadata());
            if limits.discover_log_levels && metadata.iter().all(|(name, _)| name != "detected_level") {
                metadata.push(("detected_level".to_owned(), "unknown".to_owned()));
            }
            let labels = streams[s].labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let line = String::from_utf8_lossy(entry.line()).into_owned();
            Found { stream: s, labels, time, line, metadata }
        };
        hits.into_iter().map(found).collect()
    }

    /// The body of the answer.
    pub(super) fn render(&self, found: Vec<Found>) -> String {
        let mut places: HashMap<(usize, Vec<(String, String)>), usize> = HashMap::new();
        let mut results: Vec<(Map<String, Value>, Vec<Value>)> = Vec::new();
        for Found { stream, labels, time, line, metadata } in found {
            let metadata_object = object(&metadata);
            // Without the flag, entries of one stream with different metadata are different results.
            let key = (stream, if self.categorize { Vec::new() } else { metadata });
            let place = *places.entry(key).or_insert_with(|| {
                let mut shown = object(&labels);
                if !self.categorize {
                    shown.extend(metadata_object.clone());
                }
                results.push((shown, Vec::new()));
                results.len() - 1
            });
            let mut value = vec![Value::from(time.to_string()), Value::from(line)];
            if self.categorize {
                value.push(match metadata_object.is_empty() {
                    true => json!({}),
                    false => json!({ "structuredMetadata": metadata_object }),
                });
            }
            results[place].1.push(value.into());
        }
        let results: Vec<_> =
            results.into_iter().map(|(stream, values)| json!({ "stream": stream, "values": values })).collect();
        let mut data = json!({ "resultType": "streams", "result": results, "stats": {} });
        if self.categorize {
            data["encodingFlags"] = json!(["categorize-labels"]);
        }
        escape_html(&json!({ "status": "success", "data": data }).to_string())
    }
}

fn object(pairs: &[(String, String)]) -> Map<String, Value> {
    pairs.iter().map(|(name, value)| (name.clone(), Value::from(value.clone()))).collect()
}

/// Go's JSON writer escapes these characters, which occur in strings only.
fn escape_html(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}

/// An integer of at most 10 digits is seconds, a longer one nanoseconds; with a point it is seconds, rounded to
/// milliseconds; else RFC 3339. The result is in nanoseconds since 1970.
pub(super) fn parse_time(text: &str) -> Result<i128, String> {
    let wrong = || format!("could not parse {text:?} as a time");
    if let Ok(number) = text.parse::<i64>() {
        let unit = if text.len() <= 10 { 1_000_000_000 } else { 1 };
        return Ok(i128::from(number) * unit);
    }
    if text.contains('.')
        && let Ok(seconds) = text.parse::<f64>()
    {
        // Far inside what an i128 holds, or saturated; both are fine for a comparison.
        return Ok(((seconds * 1000.0).round() as i64 as i128) * 1_000_000);
    }
    text.parse::<jiff::Timestamp>().map(|time| time.as_nanosecond()).map_err(|_| wrong())
}
