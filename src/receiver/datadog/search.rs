//! `POST /api/v2/logs/events/search`: reading back what is stored
//! (<https://docs.datadoghq.com/api/latest/logs/#search-logs-post>).

use super::{intake::Log, store::Store};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A search that was understood.
#[derive(Debug)]
pub(super) struct Search {
    terms: Vec<(String, String)>,
    /// Milliseconds since 1970, inclusive.
    from: i64,
    /// Milliseconds since 1970, inclusive.
    to: i64,
    descending: bool,
    limit: usize,
    /// The last that the page before had: its time, and its number among all that came.
    after: Option<(i64, usize)>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Body {
    filter: Filter,
    page: Page,
    sort: Option<String>,
    #[serde(rename = "options")]
    _options: Value,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Filter {
    query: Option<String>,
    from: Option<String>,
    to: Option<String>,
    #[serde(rename = "indexes")]
    _indexes: Vec<String>,
    #[serde(rename = "storage_tier")]
    _storage_tier: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Page {
    cursor: Option<String>,
    limit: Option<usize>,
}

/// The most logs of a page.
const MAX_PAGE: usize = 1000;

impl Search {
    /// Reads a search. `now` is in milliseconds since 1970.
    pub(super) fn parse(body: &[u8], now: i64) -> Result<Search, String> {
        let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
        let Body { filter, page, sort, .. } = serde_json::from_slice(body).map_err(|e| e.to_string())?;
        let limit = page.limit.unwrap_or(10);
        if !(1..=MAX_PAGE).contains(&limit) {
            return Err(format!("page.limit: {limit} is not between 1 and {MAX_PAGE}"));
        }
        let descending = match sort.as_deref() {
            None | Some("timestamp") => false,
            Some("-timestamp") => true,
            Some(other) => return Err(format!("sort: {other:?} is neither \"timestamp\" nor \"-timestamp\"")),
        };
        Ok(Search {
            terms: terms(filter.query.as_deref().unwrap_or("*"))?,
            from: time(filter.from.as_deref().unwrap_or("now-15m"), now)?,
            to: time(filter.to.as_deref().unwrap_or("now"), now)?,
            descending,
            limit,
            after: page.cursor.as_deref().map(after).transpose()?,
        })
    }

    /// The body of the answer.
    pub(super) fn run(&self, store: &Store) -> String {
        let matches = |(_, log): &(usize, &Log)| {
            (self.from..=self.to).contains(&log.time)
                && (self.terms.is_empty() || {
                    let event = event(0, log);
                    self.terms.iter().all(|(key, value)| has(&event["attributes"], key, value))
                })
        };
        let is_after = |key: (i64, usize)| match self.after {
            None => true,
            Some(after) if self.descending => key < after,
            Some(after) => key > after,
        };
        let found = store.arrivals().enumerate().filter(|(nth, log)| is_after((log.time, *nth)));
        let mut found: Vec<_> = found.filter(matches).collect();
        found.sort_unstable_by_key(|(nth, log)| (log.time, *nth));
        if self.descending {
            found.reverse();
        }
        let is_more = found.len() > self.limit;
        found.truncate(self.limit);
        let mut answer = json!({ "meta": { "status": "done", "elapsed": 0 } });
        if let Some((nth, log)) = found.last().filter(|_| is_more) {
            let cursor = URL_SAFE_NO_PAD.encode(format!("{}/{nth}", log.time));
            answer["meta"]["page"] = json!({ "after": cursor });
        }
        answer["data"] = found.into_iter().map(|(nth, log)| event(nth, log)).collect();
        answer.to_string()
    }
}

/// A log as the search shows it. `nth`: its number among all that came.
fn event(nth: usize, log: &Log) -> Value {
    let mut object: Map<String, Value> = serde_json::from_str(&log.object).unwrap_or_default();
    let mut take = |name: &str| object.remove(name).unwrap_or_default();
    let (tags, source) = (take("ddtags"), take("ddsource"));
    let (host, service, _) = (take("hostname"), take("service"), (take("message"), take("timestamp")));
    let tags = tags.as_str().unwrap_or_default().split(',').map(str::to_owned);
    let tags = tags.chain(source.as_str().map(|source| format!("source:{source}")));
    let time = jiff::Timestamp::from_millisecond(log.time).map(|time| format!("{time:.3}")).unwrap_or_default();
    json!({
        "id": format!("AA{nth:08x}"),
        "type": "log",
        "attributes": {
            "timestamp": time,
            "host": host,
            "service": service,
            "message": log.message,
            "tags": tags.filter(|tag| !tag.is_empty()).collect::<Vec<_>>(),
            "attributes": object,
        },
    })
}

/// Whether a log, as it is shown, has this value. `*` is any.
fn has(shown: &Value, key: &str, value: &str) -> bool {
    let is = |found: &Value| match found {
        Value::Null => false,
        Value::String(text) => value == "*" || text == value,
        other => value == "*" || serde_json::to_string(other).is_ok_and(|text| text == value),
    };
    match key {
        "host" | "service" => is(&shown[key]),
        key => match key.strip_prefix('@') {
            // A dot can be in a key or lie between two.
            Some(path) => {
                let own = &shown["attributes"];
                is(own.get(path).unwrap_or_else(|| path.split('.').fold(own, |at, name| &at[name])))
            }
            None => shown["tags"].as_array().is_some_and(|tags| {
                let mut pairs = tags.iter().filter_map(|tag| tag.as_str()?.split_once(':'));
                pairs.any(|(name, tag)| name == key && (value == "*" || tag == value))
            }),
        },
    }
}

/// `*`, or `key:value` and `key:"value"`, with or without `AND` between them.
fn terms(query: &str) -> Result<Vec<(String, String)>, String> {
    let not_understood = || format!("filter.query: {query:?}: only * and key:value are understood here");
    let is_other = |c: char| c.is_whitespace() || "\"()*".contains(c);
    let mut terms = Vec::new();
    let mut rest = query.trim();
    while !rest.is_empty() {
        let word = rest.split_whitespace().next().unwrap_or_default();
        if matches!(word, "*" | "AND") {
            rest = rest[word.len()..].trim_start();
            continue;
        }
        let (key, after) = rest.split_once(':').ok_or_else(not_understood)?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or_else(not_understood)?,
            None => after.split_at(after.find(char::is_whitespace).unwrap_or(after.len())),
        };
        if key.is_empty() || value.is_empty() || key.starts_with('-') || key.contains(is_other) {
            return Err(not_understood());
        }
        terms.push((key.to_owned(), value.to_owned()));
        rest = after.trim_start();
    }
    Ok(terms)
}

/// `now`, `now-15m`, milliseconds since 1970, or RFC 3339; in milliseconds since 1970.
fn time(text: &str, now: i64) -> Result<i64, String> {
    let wrong = || format!("{text:?} is no time");
    if let Ok(millis) = text.parse() {
        return Ok(millis);
    }
    let Some(ago) = text.strip_prefix("now") else {
        return text.parse::<jiff::Timestamp>().map(|time| time.as_millisecond()).map_err(|_| wrong());
    };
    if ago.is_empty() {
        return Ok(now);
    }
    let (sign, ago) = match (ago.strip_prefix('-'), ago.strip_prefix('+')) {
        (Some(ago), _) => (-1, ago),
        (_, Some(ahead)) => (1, ahead),
        _ => return Err(wrong()),
    };
    let units = [('s', 1000), ('m', 60_000), ('h', 3_600_000), ('d', 86_400_000), ('w', 604_800_000)];
    let found = units.iter().find_map(|(unit, millis)| Some((ago.strip_suffix(*unit)?, *millis)));
    let (count, unit): (_, i64) = found.ok_or_else(wrong)?;
    let count: i64 = count.parse().map_err(|_| wrong())?;
    Ok(now.saturating_add(count.saturating_mul(unit).saturating_mul(sign)))
}

/// A cursor that an earlier answer gave.
fn after(cursor: &str) -> Result<(i64, usize), String> {
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(cursor).ok()?).ok()?;
        let (time, nth) = text.split_once('/')?;
        Some((time.parse().ok()?, nth.parse().ok()?))
    };
    read().ok_or_else(|| format!("page.cursor: {cursor:?} is not from an answer of this search"))
}
