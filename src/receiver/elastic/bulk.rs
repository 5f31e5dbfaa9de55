//! `_bulk` (Elasticsearch `action/bulk/BulkRequestParser.java`, `rest/action/document/RestBulkAction.java`).

use super::{
    Block, Call, ElasticOptions, Flavour,
    document::{mapped, parse},
    error::Refusal,
    store::{Put, Store},
};
use axum::{body::Bytes, http::header};
use serde_json::{Value, json};

/// The longest `_id`, in bytes.
const MAX_ID: usize = 512;

/// One action and its document.
struct Action {
    /// Or `index`, which replaces.
    is_create: bool,
    index: String,
    id: Option<String>,
    source: Bytes,
    pipeline: Option<String>,
    must_be_stream: bool,
}

/// Stores the documents of a request. An error: none of them is stored.
pub(super) fn bulk(
    options: &ElasticOptions,
    store: &mut Store,
    call: &Call<'_>,
    target: Option<&str>,
) -> Result<Value, Refusal> {
    let mut known = vec!["pipeline", "refresh", "timeout", "routing", "wait_for_active_shards", "require_alias"];
    if options.flavour == Flavour::Elasticsearch {
        known.push("require_data_stream");
    }
    call.allow(&known)?;
    check_type(call)?;
    let actions = actions(call, target)?;
    // Where there is a pipeline the documents are parsed before any of them is stored.
    if actions.iter().any(|action| action.pipeline.is_some()) {
        for action in &actions {
            parse(&action.source).map_err(|e| Refusal::bad("x_content_parse_exception", e))?;
        }
    }
    let mut has_errors = false;
    let mut items = Vec::with_capacity(actions.len());
    let mut written = Vec::new();
    for action in actions {
        let name = if action.is_create { "create" } else { "index" };
        let (index, id) = (action.index.clone(), action.id.clone().unwrap_or_else(|| store.new_id()));
        let mut item = json!({ "_index": index, "_id": id });
        match write(options, store, call, action, &id) {
            Ok(Written { index, status, result, is_failed }) => {
                item["_index"] = json!(index);
                item["_version"] = json!(1);
                item["result"] = json!(result);
                item["_shards"] = json!({ "total": 1, "successful": 1, "failed": 0 });
                item["status"] = json!(status);
                if is_failed {
                    item["failure_store"] = json!("used");
                }
                written.push(index);
            }
            Err(refusal) => {
                has_errors = true;
                store.counts.rejected += u64::from(refusal.status != 409);
                item["status"] = json!(refusal.status);
                item["error"] = refusal.error();
            }
        }
        items.push(json!({ name: item }));
    }
    if matches!(call.param("refresh"), Some("" | "true" | "wait_for")) {
        store.refresh(&written);
    }
    Ok(json!({ "took": 0, "errors": has_errors, "items": items }))
}

struct Written {
    index: String,
    status: u16,
    result: &'static str,
    /// Whether the failure store has it.
    is_failed: bool,
}

fn write(
    options: &ElasticOptions,
    store: &mut Store,
    call: &Call<'_>,
    action: Action,
    id: &str,
) -> Result<Written, Refusal> {
    if let Some(pipeline) = &action.pipeline
        && !options.pipelines.contains(pipeline)
    {
        return Err(Refusal::argument(format!("pipeline with id [{pipeline}] does not exist")));
    }
    let index = store.write_index(options, &action.index, action.must_be_stream)?;
    let is_stream = store.is_stream(&action.index);
    if is_stream && !action.is_create {
        return Err(Refusal::argument("only write ops with an op_type of create are allowed in data streams"));
    }
    match store.block {
        None => {}
        Some(Block::ReadOnly) => return Err(blocked(403, &index, "FORBIDDEN/8/index write (api)")),
        Some(Block::FloodStage) => {
            let what = "TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete \
                        block; for more information, see …";
            return Err(blocked(429, &index, what));
        }
    }
    let document = parse(&action.source).map_err(|e| Refusal::document(format!("[1:1] failed to parse: {e}")));
    let fields = document.and_then(|value| mapped(value, &options.reject_fields)).and_then(|fields| {
        if is_stream && fields.time.is_none() {
            let what = "data stream timestamp field [@timestamp] is missing";
            return Err(Refusal::document(format!("[1:1] {what}")));
        }
        Ok(fields)
    });
    let fields = match fields {
        Ok(fields) => fields,
        Err(_) if is_stream && options.failure_store => {
            let index = store.keep_failed(&action.index, id, action.source, call.now);
            return Ok(Written { index, status: 201, result: "created", is_failed: true });
        }
        Err(refusal) => return Err(refusal),
    };
    let (index, status, result) = match store.put(&index, id, action.source, fields, action.is_create, call.now)? {
        Put::Created(index) => (index, 201, "created"),
        Put::Updated(index) => (index, 200, "updated"),
    };
    Ok(Written { index, status, result, is_failed: false })
}

fn blocked(status: u16, index: &str, what: &str) -> Refusal {
    Refusal::new(status, "cluster_block_exception", format!("index [{index}] blocked by: [{what}];"))
}

fn check_type(call: &Call<'_>) -> Result<(), Refusal> {
    if call.body.is_empty() {
        return Err(Refusal::bad("parse_exception", "request body is required"));
    }
    let given = call.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match given.split(';').next().unwrap_or_default().trim() {
        "application/x-ndjson" | "application/json" => Ok(()),
        _ => Err(Refusal::new(406, "", format!("Content-Type header [{given}] is not supported"))),
    }
}

/// Reads the lines of a body.
fn actions(call: &Call<'_>, target: Option<&str>) -> Result<Vec<Action>, Refusal> {
    let unfinished = || Refusal::argument("The bulk request must be terminated by a newline [\\n]");
    let mut actions = Vec::new();
    let (mut at, mut number) = (0, 0);
    while at < call.body.len() {
        let (line, next) = line(&call.body, at).ok_or_else(unfinished)?;
        number += 1;
        at = next;
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let (name, parameters) = action(&line, number)?;
        let is_create = match name.as_str() {
            "create" => true,
            "index" => false,
            other => {
                let what = format!("expected field [create] or [index] but found [{other}]");
                return Err(malformed(number, &what));
            }
        };
        // An action at the very end is dropped without a word.
        if at == call.body.len() {
            break;
        }
        let (source, next) = self::line(&call.body, at).ok_or_else(unfinished)?;
        number += 1;
        at = next;
        actions.push(made(call, target, is_create, &parameters, source, number)?);
    }
    if actions.is_empty() {
        return Err(Refusal::bad("action_request_validation_exception", "Validation Failed: 1: no requests added;"));
    }
    Ok(actions)
}

/// The line at `at`, and where the next one begins.
fn line(body: &Bytes, at: usize) -> Option<(Bytes, usize)> {
    let len = memchr::memchr(b'\n', &body[at..])?;
    Some((body.slice(at..at + len), at + len + 1))
}

/// `{"create":{…}}`
fn action(line: &[u8], number: usize) -> Result<(String, serde_json::Map<String, Value>), Refusal> {
    let Ok(Value::Object(members)) = parse(line) else {
        return Err(malformed(number, "expected START_OBJECT"));
    };
    let mut members = members.into_iter();
    match (members.next(), members.next()) {
        (Some((name, Value::Object(parameters))), None) => Ok((name, parameters)),
        _ => Err(malformed(number, "expected one FIELD_NAME with an object")),
    }
}

fn made(
    call: &Call<'_>,
    target: Option<&str>,
    is_create: bool,
    parameters: &serde_json::Map<String, Value>,
    source: Bytes,
    number: usize,
) -> Result<Action, Refusal> {
    let text = |name: &str| parameters.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
    const KNOWN: [&str; 5] = ["_index", "_id", "pipeline", "require_data_stream", "routing"];
    if let Some(unknown) = parameters.keys().find(|name| !KNOWN.contains(&&***name)) {
        return Err(Refusal::argument(format!(
            "Action/metadata line [{}] contains an unknown parameter [{unknown}]",
            number - 1
        )));
    }
    let index = text("_index").or_else(|| target.map(ToOwned::to_owned));
    let invalid =
        |what: &str| Refusal::bad("action_request_validation_exception", format!("Validation Failed: 1: {what};"));
    let index = index.ok_or_else(|| invalid("index is missing"))?;
    let id = text("_id");
    if let Some(id) = &id
        && id.len() > MAX_ID
    {
        let what = format!("id [{id}] is too long, must be no longer than {MAX_ID} bytes but was: {}", id.len());
        return Err(invalid(&what));
    }
    let pipeline = text("pipeline").or_else(|| call.param("pipeline").map(ToOwned::to_owned));
    let must_be_stream = parameters.get("require_data_stream") == Some(&Value::Bool(true))
        || matches!(call.param("require_data_stream"), Some("" | "true"));
    let pipeline = pipeline.filter(|name| name != "_none");
    Ok(Action { is_create, index, id, source, pipeline, must_be_stream })
}

fn malformed(number: usize, what: &str) -> Refusal {
    Refusal::argument(format!("Malformed action/metadata line [{number}], {what}"))
}
