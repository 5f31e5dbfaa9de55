//! The queries that are known, and how documents are sorted.

use super::{document::Fields, error::Refusal, store::Document};
use serde_json::{Value, json};
use std::{cmp::Ordering, collections::HashSet};

/// The fields that searches can ask for. Text in others cannot be told from what is not indexed.
const FIELDS: [&str; 13] = [
    "@timestamp",
    "event.id",
    "event.sequence",
    "event.action",
    "organization.id",
    "host.name",
    "log.file.path",
    "log.offset",
    "auditship.file",
    "auditship.part",
    "auditship.parts",
    "kubernetes.namespace",
    "container.id",
];

/// Which documents are meant.
#[derive(Debug)]
pub(super) enum Query {
    All,
    Ids(HashSet<String>),
    /// The field has one of these values.
    Terms(String, HashSet<String>),
    Range(String, Vec<(Bound, Value)>),
    Exists(String),
    Bool {
        all: Vec<Query>,
        none: Vec<Query>,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Bound {
    Above,
    From,
    Below,
    UpTo,
}

impl Query {
    /// Reads a query; none is all documents.
    pub(super) fn parse(query: Option<&Value>) -> Result<Query, Refusal> {
        let Some(query) = query else { return Ok(Query::All) };
        let (name, inner) = only(query)?;
        match name {
            "match_all" => Ok(Query::All),
            "ids" => Ok(Query::Ids(texts(&inner["values"])?)),
            "terms" => {
                let (field, values) = only(inner)?;
                Ok(Query::Terms(known(field)?, texts(values)?))
            }
            "term" => {
                let (field, value) = only(inner)?;
                let value = value.get("value").unwrap_or(value);
                Ok(Query::Terms(known(field)?, [text(value)].into()))
            }
            "exists" => Ok(Query::Exists(known(inner["field"].as_str().unwrap_or_default())?)),
            "range" => range(inner),
            "bool" => {
                let list = |name: &str| match &inner[name] {
                    Value::Null => Ok(Vec::new()),
                    Value::Array(queries) => queries.iter().map(|query| Query::parse(Some(query))).collect(),
                    one => Query::parse(Some(one)).map(|query| vec![query]),
                };
                let mut all = list("filter")?;
                all.extend(list("must")?);
                Ok(Query::Bool { all, none: list("must_not")? })
            }
            other => Err(Refusal::bad("parsing_exception", format!("unknown query [{other}]"))),
        }
    }

    /// Whether a document is meant.
    pub(super) fn accepts(&self, document: &Document) -> bool {
        let field = |name: &str| document.fields.get(name);
        match self {
            Query::All => true,
            Query::Ids(ids) => ids.contains(&document.id),
            Query::Terms(name, values) => field(name).is_some_and(|value| values.contains(&text(&value))),
            Query::Exists(name) => field(name).is_some(),
            Query::Range(name, bounds) => field(name).is_some_and(|value| {
                bounds.iter().all(|(bound, limit)| {
                    let order = compare(&value, limit);
                    match bound {
                        Bound::Above => order == Ordering::Greater,
                        Bound::From => order != Ordering::Less,
                        Bound::Below => order == Ordering::Less,
                        Bound::UpTo => order != Ordering::Greater,
                    }
                })
            }),
            Query::Bool { all, none } => {
                all.iter().all(|query| query.accepts(document)) && !none.iter().any(|query| query.accepts(document))
            }
        }
    }
}

fn range(inner: &Value) -> Result<Query, Refusal> {
    let (field, limits) = only(inner)?;
    let field = known(field)?;
    let mut bounds = Vec::new();
    for (name, limit) in limits.as_object().into_iter().flatten() {
        let bound = match name.as_str() {
            "gt" => Bound::Above,
            "gte" => Bound::From,
            "lt" => Bound::Below,
            "lte" => Bound::UpTo,
            "format" | "time_zone" | "boost" => continue,
            other => return Err(Refusal::bad("parsing_exception", format!("[range] does not support [{other}]"))),
        };
        bounds.push((bound, limit_of(&field, limit)?));
    }
    Ok(Query::Range(field, bounds))
}

/// What a document is compared with: a time as nanoseconds, all else as it is.
fn limit_of(field: &str, limit: &Value) -> Result<Value, Refusal> {
    let Value::String(given) = limit else {
        // A number is in milliseconds in a query of a time.
        let millis = limit.as_i64().filter(|_| field == "@timestamp");
        return Ok(millis.map_or_else(|| limit.clone(), |millis| json!(millis.saturating_mul(1_000_000))));
    };
    if field == "@timestamp" { time(given).map(Value::from) } else { Ok(limit.clone()) }
}

fn time(text: &str) -> Result<i64, Refusal> {
    let time: Option<jiff::Timestamp> = text.parse().ok();
    let nanos = time.and_then(|time| time.as_nanosecond().try_into().ok());
    nanos.ok_or_else(|| Refusal::bad("parse_exception", format!("failed to parse date field [{text}]")))
}

/// By what documents are sorted.
#[derive(Debug)]
pub(super) struct Sort {
    field: String,
    is_descending: bool,
    /// Whether times are shown, and taken, as text.
    is_text: bool,
}

impl Sort {
    /// Reads the list of a search.
    pub(super) fn parse(sort: &Value) -> Result<Vec<Sort>, Refusal> {
        let one = |value: &Value| {
            let (field, how) = match value {
                Value::String(field) => (field.as_str(), &Value::Null),
                value => only(value)?,
            };
            let order = how.as_str().or_else(|| how["order"].as_str()).unwrap_or("asc");
            if !["asc", "desc"].contains(&order) {
                return Err(Refusal::argument(format!("No enum constant SortOrder.{order}")));
            }
            let is_text = how["format"].is_string();
            let field = if matches!(field, "_shard_doc" | "_doc") { field.to_owned() } else { known(field)? };
            Ok(Sort { field, is_descending: order == "desc", is_text })
        };
        match sort {
            Value::Null => Ok(Vec::new()),
            Value::Array(list) => list.iter().map(one).collect(),
            value => Ok(vec![one(value)?]),
        }
    }

    /// In the order in which documents came.
    pub(super) fn by_place() -> Sort {
        Sort { field: "_shard_doc".into(), is_descending: false, is_text: false }
    }

    pub(super) fn is_by_place(&self) -> bool {
        self.field == "_shard_doc"
    }

    /// What a document is sorted by.
    pub(super) fn value(&self, document: &Document) -> Value {
        match self.field.as_str() {
            "_shard_doc" | "_doc" => json!(document.nth),
            field => document.fields.get(field).unwrap_or(Value::Null),
        }
    }

    /// As an answer shows it.
    pub(super) fn shown(&self, value: &Value) -> Value {
        let nanos = value.as_i64().filter(|_| self.is_text && self.field == "@timestamp");
        let time = nanos.and_then(|nanos| jiff::Timestamp::from_nanosecond(nanos.into()).ok());
        time.map_or_else(|| value.clone(), |time| json!(format!("{time:.9}")))
    }

    /// A value of `search_after`.
    pub(super) fn taken(&self, value: &Value) -> Result<Value, Refusal> {
        match value {
            Value::String(text) if self.field == "@timestamp" => time(text).map(Value::from),
            value => Ok(value.clone()),
        }
    }

    /// The order of two values.
    pub(super) fn compare(&self, a: &Value, b: &Value) -> Ordering {
        let order = compare(a, b);
        if self.is_descending { order.reverse() } else { order }
    }
}

/// Numbers by their values, all else as text; what is missing comes last.
fn compare(a: &Value, b: &Value) -> Ordering {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a.is_null().cmp(&b.is_null()).then_with(|| text(a).cmp(&text(b))),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

fn texts(values: &Value) -> Result<HashSet<String>, Refusal> {
    let list = values.as_array().ok_or_else(|| Refusal::bad("parsing_exception", "[values] must be an array"))?;
    Ok(list.iter().map(text).collect())
}

/// The only member of an object.
fn only(value: &Value) -> Result<(&str, &Value), Refusal> {
    let mut members = value.as_object().into_iter().flatten();
    match (members.next(), members.next()) {
        (Some((name, value)), None) => Ok((name, value)),
        _ => Err(Refusal::bad("parsing_exception", "expected an object with one field")),
    }
}

fn known(field: &str) -> Result<String, Refusal> {
    if FIELDS.contains(&field) || field.starts_with("labels.") {
        return Ok(field.to_owned());
    }
    Err(Refusal::bad("query_shard_exception", format!("No mapping found for [{field}]")))
}

/// The fields of a document that a search asked for, as lists, which is how they are answered.
pub(super) fn fetched(fields: &Fields, wanted: &Value) -> Option<Value> {
    let wanted = wanted.as_array()?.iter().filter_map(|field| field.as_str().or_else(|| field["field"].as_str()));
    let mut found = serde_json::Map::new();
    for field in wanted {
        if let Some(value) = fields.get(field) {
            found.insert(field.to_owned(), json!([value]));
        }
    }
    Some(found.into())
}
