//! Reading back: a small part of Splunk's search language, answered as `search/v2/jobs/export` does with
//! `output_mode=json`.

use super::{SplunkEventView, envelope::nanos};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use url::form_urlencoded;

/// A search.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    terms: Vec<Term>,
    /// Nanoseconds since 1970; inclusive.
    earliest: Option<i128>,
    /// Nanoseconds since 1970; exclusive.
    latest: Option<i128>,
}

/// What an event must have. In values, case does not count and `*` stands for anything.
#[derive(Debug, PartialEq, Eq)]
enum Term {
    /// `name=value`
    Field(String, String),
    /// `value`, somewhere in the event.
    Text(String),
}

impl Query {
    /// Reads the parameters of a request. Anything that is not known is refused, so that no term is passed over.
    pub(super) fn parse(form: &[u8], now: i64) -> Result<Query, String> {
        let mut query = Query { terms: Vec::new(), earliest: None, latest: None };
        let mut search = None;
        let mut is_json = false;
        for (name, value) in form_urlencoded::parse(form) {
            match (&*name, &*value) {
                ("search", _) => search = Some(value.into_owned()),
                ("earliest_time", _) => query.earliest = time(&value, now)?,
                ("latest_time", _) => query.latest = time(&value, now)?,
                ("output_mode", "json") => is_json = true,
                ("preview", "0" | "false") => {}
                _ => return Err(format!("unsupported parameter {name}={value}")),
            }
        }
        if !is_json {
            return Err("output_mode must be json".to_owned());
        }
        let search = search.ok_or("Empty search.")?;
        let rest = search.trim_start().strip_prefix("search").filter(|rest| rest.starts_with(char::is_whitespace));
        query.read_terms(rest.ok_or_else(|| format!("Unknown search command in {search:?}"))?, now)?;
        if !query.terms.iter().any(|term| matches!(term, Term::Field(name, _) if name == "index")) {
            // What a user searches by default.
            query.terms.push(Term::Field("index".to_owned(), "main".to_owned()));
        }
        Ok(query)
    }

    fn read_terms(&mut self, mut rest: &str, now: i64) -> Result<(), String> {
        loop {
            rest = rest.trim_start();
            if rest.is_empty() {
                return Ok(());
            }
            let (word, is_quoted, after) = word(rest)?;
            rest = after;
            match rest.strip_prefix('=') {
                Some(after) if !is_quoted => {
                    let (value, _, after) = self::word(after)?;
                    rest = after;
                    match &*word {
                        "earliest" => self.earliest = time(&value, now)?,
                        "latest" => self.latest = time(&value, now)?,
                        _ => self.terms.push(Term::Field(word, value)),
                    }
                }
                _ if !is_quoted && word == "AND" => {}
                _ if !is_quoted && ["OR", "NOT", "IN"].contains(&&*word) => {
                    return Err(format!("unsupported {word}"));
                }
                _ => self.terms.push(Term::Text(word)),
            }
        }
    }

    /// The answer: one JSON object a line, the latest event first.
    pub(super) fn render(&self, events: &[SplunkEventView]) -> String {
        let mut found: Vec<(i128, &SplunkEventView)> = events
            .iter()
            .map(|event| (nanos(&event.time).unwrap_or_default(), event))
            .filter(|(time, event)| self.matches(*time, event))
            .flat_map(|(time, event)| (0..event.sends).map(move |_| (time, event)))
            .collect();
        found.reverse();
        // Stable: of equal times, the one that came last is first.
        found.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
        let mut out = String::new();
        let last = found.len().saturating_sub(1);
        for (offset, (time, event)) in found.iter().enumerate() {
            let mut row = json!({ "preview": false, "offset": offset, "result": result(*time, event) });
            if offset == last {
                row["lastrow"] = true.into();
            }
            out.push_str(&row.to_string());
            out.push('\n');
        }
        if found.is_empty() {
            out.push_str("{\"preview\":false,\"lastrow\":true}\n");
        }
        out
    }

    fn matches(&self, time: i128, event: &SplunkEventView) -> bool {
        self.earliest.is_none_or(|earliest| earliest <= time)
            && self.latest.is_none_or(|latest| time < latest)
            && self.terms.iter().all(|term| term.matches(event))
    }
}

impl Term {
    fn matches(&self, event: &SplunkEventView) -> bool {
        match self {
            Term::Text(text) => is_like(&format!("*{text}*"), &String::from_utf8_lossy(&event.event)),
            Term::Field(name, value) => values(event, name).iter().any(|found| is_like(value, found)),
        }
    }
}

/// The values of a field: of the event's own, the indexed ones, or those at the top of its JSON (`KV_MODE = json`).
fn values<'a>(event: &'a SplunkEventView, name: &str) -> Vec<Cow<'a, str>> {
    let own = match name {
        "index" => &event.index,
        "host" => &event.host,
        "source" => &event.source,
        "sourcetype" => &event.sourcetype,
        _ => {
            if let Some(values) = event.fields.get(name) {
                return values.iter().map(|value| value.into()).collect();
            }
            let object = serde_json::from_slice::<Map<String, Value>>(&event.event).unwrap_or_default();
            return match object.get(name) {
                Some(Value::String(text)) => vec![text.clone().into()],
                Some(value @ (Value::Number(_) | Value::Bool(_))) => vec![value.to_string().into()],
                _ => Vec::new(),
            };
        }
    };
    vec![own.into()]
}

/// Whether `text` is what `pattern` says, in which `*` stands for anything.
fn is_like(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(part) = last.replace(part) {
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

/// A word, or what is in quotes, at the start of `text`; whether it was quoted; and what follows.
fn word(text: &str) -> Result<(String, bool, &str), String> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(text.len());
        let word = &text[..end];
        if word.is_empty() || word.contains(['|', '(', ')', '[', ']', '!', '<', '>', '"', '`']) {
            return Err(format!("unsupported: {text}"));
        }
        return Ok((word.to_owned(), false, &text[end..]));
    };
    let mut word = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next().ok_or("Unbalanced quotes.")? {
            '"' => return Ok((word, true, chars.as_str())),
            '\\' => word.push(chars.next().ok_or("Unbalanced quotes.")?),
            c => word.push(c),
        }
    }
}

/// A bound: seconds since 1970, `now`, or nothing.
fn time(text: &str, now: i64) -> Result<Option<i128>, String> {
    match text {
        "" => Ok(None),
        "now" => Ok(Some(now.into())),
        text => nanos(text).map(Some).ok_or_else(|| format!("Invalid time {text:?}")),
    }
}

fn result(time: i128, event: &SplunkEventView) -> Value {
    let mut result = Map::new();
    for (name, values) in &event.fields {
        let value = match &values[..] {
            [value] => json!(value),
            values => json!(values),
        };
        result.insert(name.clone(), value);
    }
    // Splunk shows milliseconds.
    let shown = jiff::Timestamp::from_nanosecond(time)
        .map_or_else(|_| event.time.clone(), |time| time.strftime("%Y-%m-%dT%H:%M:%S.%3f+00:00").to_string());
    for (name, value) in [
        ("_time", &shown),
        ("index", &event.index),
        ("host", &event.host),
        ("source", &event.source),
        ("sourcetype", &event.sourcetype),
        ("_raw", &String::from_utf8_lossy(&event.event).into_owned()),
    ] {
        result.insert(name.to_owned(), value.as_str().into());
    }
    Value::Object(result)
}

/// What is wrong, as the search endpoints say it.
pub(super) fn message(kind: &str, text: &str) -> String {
    json!({ "messages": [{ "type": kind, "text": text }] }).to_string()
}
