//! `_search`, `_count`, `_refresh` and points in time.

use super::{
    Call, Flavour,
    error::Refusal,
    query::{Query, Sort, fetched},
    store::{Document, Place, Store},
};
use serde_json::{Value, json, value::RawValue};
use std::cmp::Ordering;

/// `index.max_result_window`
const MAX_WINDOW: u64 = 10_000;

/// `index.max_terms_count`
const MAX_TERMS: usize = 65_536;

/// Makes what is stored visible.
pub(super) fn refresh(store: &mut Store, call: &Call<'_>, target: &str) -> Result<Value, Refusal> {
    call.allow(&["ignore_unavailable", "allow_no_indices", "expand_wildcards"])?;
    let indices = store.resolve(target)?;
    store.refresh(&indices);
    Ok(json!({ "_shards": shards() }))
}

/// How many documents are meant.
pub(super) fn count(store: &Store, call: &Call<'_>, target: &str) -> Result<Value, Refusal> {
    call.allow(&["ignore_unavailable", "allow_no_indices", "expand_wildcards"])?;
    let body = call.json()?;
    let query = Query::parse(body.get("query"))?;
    let places = store.visible(&store.resolve(target)?, call.now);
    let count = places.iter().filter_map(|place| store.get(place)).filter(|document| query.accepts(document)).count();
    Ok(json!({ "count": count, "_shards": shards() }))
}

/// Keeps what a search would find now. Its id.
pub(super) fn open(store: &mut Store, call: &Call<'_>, target: &str) -> Result<String, Refusal> {
    call.allow(&["keep_alive", "ignore_unavailable", "allow_partial_search_results", "expand_wildcards"])?;
    if call.param("keep_alive").is_none() {
        let reason = "Validation Failed: 1: [keep_alive] is not specified;";
        return Err(Refusal::bad("action_request_validation_exception", reason));
    }
    let places = store.visible(&store.resolve(target)?, call.now);
    Ok(store.keep_point(places))
}

/// Lets a point in time go. `name`: of its id in the body, which OpenSearch takes as a list.
pub(super) fn close(store: &mut Store, call: &Call<'_>, name: &str) -> Result<Value, Refusal> {
    let body = call.json()?;
    let ids: Vec<&str> = match &body[name] {
        Value::String(id) => vec![id],
        Value::Array(ids) => ids.iter().filter_map(Value::as_str).collect(),
        _ => return Err(Refusal::bad("parsing_exception", format!("[{name}] is missing"))),
    };
    let freed = ids.iter().filter(|id| store.points.remove(**id).is_some()).count();
    if freed == 0 {
        return Err(lost());
    }
    match name {
        "id" => Ok(json!({ "succeeded": true, "num_freed": freed })),
        _ => Ok(
            json!({ "pits": ids.iter().map(|id| json!({ "successful": true, "pit_id": id })).collect::<Vec<_>>() }),
        ),
    }
}

/// A page of documents.
pub(super) fn search(
    store: &Store,
    flavour: Flavour,
    call: &Call<'_>,
    target: Option<&str>,
) -> Result<Value, Refusal> {
    const KNOWN: [&str; 7] = [
        "allow_partial_search_results",
        "ignore_unavailable",
        "allow_no_indices",
        "expand_wildcards",
        "size",
        "track_total_hits",
        "request_cache",
    ];
    call.allow(&KNOWN)?;
    let body = call.json()?;
    check_keys(&body)?;
    let size = call.param("size").and_then(|size| size.parse().ok()).or_else(|| body["size"].as_u64()).unwrap_or(10);
    let from = body["from"].as_u64().unwrap_or(0);
    if from + size > MAX_WINDOW {
        let what = format!("must be less than or equal to: [{MAX_WINDOW}] but was [{}]", from + size);
        return Err(Refusal::argument(format!("Result window is too large, from + size {what}")));
    }
    let query = Query::parse(body.get("query"))?;
    if let Query::Terms(_, values) = &query
        && values.len() > MAX_TERMS
    {
        let what = format!("The number of terms [{}] used in the Terms Query request has exceeded", values.len());
        return Err(Refusal::argument(format!("{what} the allowed maximum of [{MAX_TERMS}]")));
    }
    let mut sorts = Sort::parse(&body["sort"])?;
    let pit = body["pit"]["id"].as_str();
    let places = match (pit, target) {
        (Some(_), Some(_)) => {
            return Err(Refusal::bad(
                "action_request_validation_exception",
                "[indices] cannot be used with point in time",
            ));
        }
        (Some(id), None) => {
            // Elasticsearch adds a tie-breaker; OpenSearch does not.
            if flavour == Flavour::Elasticsearch && !sorts.is_empty() && !sorts.iter().any(Sort::is_by_place) {
                sorts.push(Sort::by_place());
            }
            store.points.get(id).cloned().ok_or_else(lost)?
        }
        (None, target) => {
            if sorts.iter().any(Sort::is_by_place) {
                return Err(Refusal::argument("[_shard_doc] sort field cannot be used without [point in time]"));
            }
            store.visible(&store.resolve(target.unwrap_or("*"))?, call.now)
        }
    };
    let after = after(&body["search_after"], &sorts)?;
    let found = sorted(store, &query, &sorts, &places);
    let total = found.len();
    let is_after =
        |values: &[Value]| after.as_ref().is_none_or(|after| order(&sorts, values, after) == Ordering::Greater);
    let page = found.into_iter().filter(|(_, _, values)| is_after(values));
    let page = page.skip(usize::try_from(from).unwrap_or(0)).take(usize::try_from(size).unwrap_or(0));
    let hits: Vec<Value> =
        page.map(|(place, document, values)| hit(&body, &sorts, place, document, &values)).collect();
    let mut answer = json!({
        "took": 0,
        "timed_out": false,
        "_shards": shards(),
        "hits": { "total": { "value": total, "relation": "eq" }, "hits": hits },
    });
    if body["track_total_hits"] == json!(false)
        && let Some(hits) = answer["hits"].as_object_mut()
    {
        hits.remove("total");
    }
    if let Some(id) = pit {
        answer["pit_id"] = json!(id);
    }
    Ok(answer)
}

/// A shard for all.
pub(super) fn shards() -> Value {
    json!({ "total": 1, "successful": 1, "skipped": 0, "failed": 0 })
}

fn check_keys(body: &Value) -> Result<(), Refusal> {
    const KNOWN: [&str; 11] = [
        "query",
        "size",
        "from",
        "sort",
        "search_after",
        "_source",
        "fields",
        "pit",
        "track_total_hits",
        "stored_fields",
        "timeout",
    ];
    match body.as_object().into_iter().flatten().find(|(name, _)| !KNOWN.contains(&&***name)) {
        Some((name, _)) => Err(Refusal::bad("parsing_exception", format!("Unknown key for a value in [{name}]."))),
        None => Ok(()),
    }
}

/// The documents that are meant, with what they are sorted by.
fn sorted<'a>(
    store: &'a Store,
    query: &Query,
    sorts: &[Sort],
    places: &'a [Place],
) -> Vec<(&'a Place, &'a Document, Vec<Value>)> {
    let documents = places.iter().filter_map(|place| Some((place, store.get(place)?)));
    let meant = documents.filter(|(_, document)| query.accepts(document));
    let values = |document: &Document| sorts.iter().map(|sort| sort.value(document)).collect::<Vec<_>>();
    let mut found: Vec<_> = meant.map(|(place, document)| (place, document, values(document))).collect();
    found.sort_by(|a, b| order(sorts, &a.2, &b.2));
    found
}

fn order(sorts: &[Sort], a: &[Value], b: &[Value]) -> Ordering {
    let orders = sorts.iter().zip(a.iter().zip(b)).map(|(sort, (a, b))| sort.compare(a, b));
    orders.fold(Ordering::Equal, Ordering::then)
}

fn after(values: &Value, sorts: &[Sort]) -> Result<Option<Vec<Value>>, Refusal> {
    let Some(values) = values.as_array() else { return Ok(None) };
    if values.len() != sorts.len() {
        let what = format!("search_after has {} value(s) but sort has {}.", values.len(), sorts.len());
        return Err(Refusal::argument(what));
    }
    sorts.iter().zip(values).map(|(sort, value)| sort.taken(value)).collect::<Result<_, _>>().map(Some)
}

fn hit(body: &Value, sorts: &[Sort], place: &Place, document: &Document, values: &[Value]) -> Value {
    let mut hit = json!({ "_index": place.0, "_id": document.id, "_score": null });
    if body["_source"] != json!(false) {
        hit["_source"] = source(body, document);
    }
    if let Some(fields) = fetched(&document.fields, &body["fields"]) {
        hit["fields"] = fields;
    }
    if !sorts.is_empty() {
        hit["sort"] = sorts.iter().zip(values).map(|(sort, value)| sort.shown(value)).collect();
    }
    hit
}

/// The document, or the fields of it that are wanted.
fn source(body: &Value, document: &Document) -> Value {
    let whole =
        || serde_json::from_slice::<&RawValue>(&document.source).ok().and_then(|raw| serde_json::to_value(raw).ok());
    let wanted = match &body["_source"] {
        Value::String(path) => path.clone(),
        Value::Array(paths) => paths.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","),
        _ => return whole().unwrap_or(Value::Null),
    };
    super::filter::filter(&whole().unwrap_or(Value::Null), &wanted)
}

fn lost() -> Refusal {
    Refusal::new(404, "search_context_missing_exception", "No search context found for id")
}
