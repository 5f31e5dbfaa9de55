//! Typed reading of one section. Every getter notes its key as known and reports what is wrong with it, so that one
//! pass finds all errors; what a getter returns after an error only keeps the pass going.

use super::{
    context::{Context, Item},
    env::rename,
    error::nearest,
    tree::{self, Entry, Node, Place, Table, Value},
    values,
};
use std::{
    collections::BTreeSet,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

/// One table.
pub(super) struct Section<'c> {
    pub(super) context: &'c Context<'c>,
    /// Where it begins: its header, or the variable that made it.
    pub(super) at: Place,
    path: Vec<String>,
    /// The path with `*` for names.
    pub(super) pattern: Vec<String>,
    pub(super) entries: Table,
    known: BTreeSet<&'static str>,
    /// Keys that are answered elsewhere and not offered.
    answered: BTreeSet<&'static str>,
}

impl<'c> Section<'c> {
    pub(super) fn root(context: &'c Context<'c>, entries: Table) -> Self {
        Self::new(context, Place::Whole, Vec::new(), Vec::new(), entries)
    }

    fn new(context: &'c Context<'c>, at: Place, path: Vec<String>, pattern: Vec<String>, entries: Table) -> Self {
        let (known, answered) = (BTreeSet::new(), BTreeSet::new());
        Section { context, at, path, pattern, entries, known, answered }
    }

    /// The whole key of `key`, quoted where TOML would quote it.
    pub(super) fn key(&self, key: &str) -> String {
        let all = self.path.iter().map(String::as_str).chain(Some(key).filter(|key| !key.is_empty()));
        all.map(show_part).collect::<Vec<_>>().join(".")
    }

    pub(super) fn wrong(&self, at: &Place, key: &str, message: impl Into<String>, allowed: &str) {
        let allowed = Some(format!("allowed: {allowed}")).filter(|_| !allowed.is_empty());
        self.context.report(at, &self.key(key), message.into(), allowed, None);
    }

    /// As [`Self::wrong`], with the nearest of `candidates` to `word`.
    pub(super) fn wrong_name<'n>(
        &self,
        at: &Place,
        key: &str,
        message: String,
        word: &str,
        candidates: impl IntoIterator<Item = &'n str> + Clone,
    ) {
        let all: Vec<&str> = candidates.clone().into_iter().collect();
        let allowed = if all.is_empty() { "nothing, there is none".to_string() } else { all.join(", ") };
        let hint = nearest(word, candidates).map(str::to_string);
        self.context.report(at, &self.key(key), message, Some(format!("allowed: {allowed}")), hint);
    }

    /// A required key that is not there.
    pub(super) fn missing(&self, key: &str, allowed: &str) {
        let allowed = Some(format!("allowed: {allowed}")).filter(|_| !allowed.is_empty());
        self.context.report(&self.at, &self.key(key), "missing".to_string(), allowed, None);
    }

    /// As [`Self::missing`], where a variable of the name `meant` would make sense of it.
    pub(super) fn missing_but(&self, key: &str, allowed: &str, meant: String) {
        let allowed = Some(format!("allowed: {allowed}"));
        self.context.report(&self.at, &self.key(key), "missing".to_string(), allowed, Some(meant));
    }

    /// Says that `key` is of a later version.
    pub(super) fn not_yet(&self, at: &Place, key: &str) {
        self.wrong(at, key, NOT_YET, "");
    }

    /// As [`Self::not_yet`], for a value.
    pub(super) fn not_yet_because(&self, at: &Place, key: &str, found: &str) {
        self.wrong(at, key, format!("{found}: {NOT_YET}"), "");
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Keys of later versions: an error when present, and never silently ignored.
    pub(super) fn later(&mut self, keys: &[&'static str]) {
        for key in keys {
            if let Some(node) = self.answer(key) {
                self.not_yet(&node.at, key);
            }
        }
    }

    /// The value of a key that is not offered.
    pub(super) fn answer(&mut self, key: &'static str) -> Option<Node> {
        self.answered.insert(key);
        self.entry(key).map(|entry| entry.node.clone())
    }

    /// The value as it is written.
    pub(super) fn node(&mut self, key: &'static str) -> Option<Node> {
        self.known.insert(key);
        self.context.known.borrow_mut().insert(self.pattern_of(key));
        self.entry(key).map(|entry| entry.node.clone())
    }

    pub(super) fn text(&mut self, key: &'static str, allowed: &str) -> Option<Item<String>> {
        let node = self.node(key)?;
        match node.value {
            Value::Text(value) | Value::Raw(value) => Some(Item { value, at: node.at }),
            other => {
                self.wrong(&node.at, key, self.found(key, &other), allowed);
                None
            }
        }
    }

    /// Text in which control characters have no place, not empty.
    pub(super) fn line(&mut self, key: &'static str, allowed: &str) -> Option<Item<String>> {
        let item = self.text(key, allowed)?;
        if item.value.is_empty() {
            self.wrong(&item.at, key, "is empty", allowed);
        } else if item.value.contains(char::is_control) {
            self.wrong(&item.at, key, "contains control characters", allowed);
        } else {
            return Some(item);
        }
        None
    }

    /// An absolute path.
    pub(super) fn path(&mut self, key: &'static str) -> Option<Item<PathBuf>> {
        let item = self.line(key, ABSOLUTE)?;
        if Path::new(&item.value).is_absolute() {
            return Some(Item { value: item.value.into(), at: item.at });
        }
        self.wrong(&item.at, key, self.found(key, &Value::Text(item.value)), ABSOLUTE);
        None
    }

    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let Some(node) = self.node(key) else { return default };
        match &node.value {
            Value::Flag(flag) => return *flag,
            Value::Raw(text) if text == "true" => return true,
            Value::Raw(text) if text == "false" => return false,
            other => self.wrong(&node.at, key, self.found(key, other), "true, false"),
        }
        default
    }

    pub(super) fn number(&mut self, key: &'static str, default: usize, range: RangeInclusive<usize>) -> usize {
        let Some(node) = self.node(key) else { return default };
        let number = match &node.value {
            Value::Integer(number, _) => number.and_then(|number| usize::try_from(number).ok()),
            Value::Raw(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number| range.contains(number)).unwrap_or_else(|| {
            let allowed = format!("a whole number, {} to {}", range.start(), range.end());
            self.wrong(&node.at, key, self.found(key, &node.value), &allowed);
            default
        })
    }

    pub(super) fn size(&mut self, key: &'static str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let Some(node) = self.node(key) else { return default };
        let size = match &node.value {
            Value::Integer(number, _) => number.and_then(|number| u64::try_from(number).ok()),
            Value::Text(text) | Value::Raw(text) => values::size(text),
            _ => None,
        };
        size.filter(|size| range.contains(size)).unwrap_or_else(|| {
            let (low, high) = (values::show_size(*range.start()), values::show_size(*range.end()));
            let allowed = format!("{low} to {high}, as bytes or with KB, MB, GB, KiB, MiB, GiB, TiB");
            self.wrong(&node.at, key, self.found(key, &node.value), &allowed);
            default
        })
    }

    pub(super) fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        range: RangeInclusive<Duration>,
    ) -> Duration {
        let Some(node) = self.node(key) else { return default };
        let duration = match &node.value {
            Value::Text(text) | Value::Raw(text) => values::duration(text),
            _ => None,
        };
        duration.filter(|duration| range.contains(duration)).unwrap_or_else(|| {
            let (low, high) = (values::show_duration(*range.start()), values::show_duration(*range.end()));
            let allowed = format!("\"{low}\" to \"{high}\", as text with ms, s, m or h");
            self.wrong(&node.at, key, self.found(key, &node.value), &allowed);
            default
        })
    }

    /// One of a few words. `None` when it is absent or wrong.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, options: &[(&'static str, T)]) -> Option<T> {
        let words: Vec<&str> = options.iter().map(|(word, _)| *word).collect();
        let item = self.text(key, &words.join(", "))?;
        let chosen = options.iter().find(|(word, _)| *word == item.value).map(|(_, value)| *value);
        if chosen.is_none() {
            let message = format!("found {}", show_text(&item.value));
            self.wrong_name(&item.at, key, message, &item.value, words);
        }
        chosen
    }

    /// One text, or a list of texts. In the environment, where text has no quotes, only `["…"]` is a list.
    pub(super) fn text_or_texts(&mut self, key: &'static str, allowed: &str) -> Option<Vec<Item<String>>> {
        let is_list = match self.node(key)?.value {
            Value::List(_) => true,
            Value::Raw(text) => text.starts_with("[\"") || text.starts_with("['"),
            _ => false,
        };
        if is_list { Some(self.texts(key, allowed)?.value) } else { Some(vec![self.text(key, allowed)?]) }
    }

    /// A list of text.
    pub(super) fn texts(&mut self, key: &'static str, allowed: &str) -> Option<Item<Vec<Item<String>>>> {
        let mut node = self.node(key)?;
        if let Value::Raw(text) = &node.value {
            if text.trim_start().starts_with('[') {
                node = self.parse(key, text, &node.at)?;
            } else {
                let item = |text: &str| Node { at: node.at.clone(), value: Value::Text(text.to_string()) };
                node.value = Value::List(values::commas(text).into_iter().map(item).collect());
            }
        }
        let Value::List(nodes) = node.value else {
            self.wrong(&node.at, key, self.found(key, &node.value), allowed);
            return None;
        };
        let mut items = Vec::new();
        for node in nodes {
            match node.value {
                Value::Text(value) => items.push(Item { value, at: node.at }),
                other => self.wrong(&node.at, key, self.found(key, &other), allowed),
            }
        }
        Some(Item { value: items, at: node.at })
    }

    /// The table of a key.
    pub(super) fn section(&mut self, key: &'static str) -> Option<Section<'c>> {
        let node = self.node(key)?;
        let at = self.entry(key)?.at.clone();
        self.table(key, key, &at, node)
    }

    /// What stands for a table that is not there: all its keys have their defaults.
    pub(super) fn empty(&self, key: &str) -> Section<'c> {
        let longer = |parts: &[String]| parts.iter().cloned().chain(Some(key.to_string())).collect();
        Self::new(self.context, self.at.clone(), longer(&self.path), longer(&self.pattern), Table::default())
    }

    /// Names of JSON fields, at least one. `None` when absent or wrong.
    pub(super) fn fields(&mut self, key: &'static str) -> Option<Vec<String>> {
        let list = self.texts(key, "a list of names of fields")?;
        if list.value.is_empty() {
            self.wrong(&list.at, key, "is empty", "at least one name of a field");
        }
        for item in list.value.iter().filter(|item| item.value.split('.').any(str::is_empty)) {
            let message = format!("found {}", show_text(&item.value));
            self.wrong(&item.at, key, message, "names of fields, with a dot only between two names");
        }
        Some(list.value.into_iter().map(|item| item.value).collect())
    }

    /// `node` as a table, `name` being its last part in messages and `pattern` in the list of known keys.
    pub(super) fn table(&self, name: &str, pattern: &str, at: &Place, node: Node) -> Option<Section<'c>> {
        let node = match &node.value {
            Value::Raw(text) if text.trim_start().starts_with('{') => self.parse(name, text, &node.at)?,
            _ => node,
        };
        let Value::Table(entries) = node.value else {
            self.wrong(&node.at, name, self.found(name, &node.value), "a table");
            return None;
        };
        let longer = |parts: &[String], part: &str| parts.iter().cloned().chain(Some(part.to_string())).collect();
        let at = if matches!(node.at, Place::Variable(_)) { node.at } else { at.clone() };
        Some(Self::new(self.context, at, longer(&self.path, name), longer(&self.pattern, pattern), entries))
    }

    fn parse(&self, key: &str, text: &str, at: &Place) -> Option<Node> {
        match tree::parse_value(text, at) {
            Ok(node) => Some(node),
            Err(syntax) => {
                self.wrong(at, key, format!("not valid TOML: {}", syntax.message), "");
                None
            }
        }
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self) {
        for entry in self.entries.iter().filter(|entry| !self.known.contains(entry.name.as_str())) {
            if self.answered.contains(entry.name.as_str()) {
                continue;
            }
            let known = self.known.iter().copied();
            let near = nearest(&entry.name, known.clone());
            let allowed = format!("allowed here: {}", known.collect::<Vec<_>>().join(", "));
            for (at, rest) in variables(entry) {
                let hint = near.map(|near| match &at {
                    Place::Variable(name) => rename(name, self.path.len() + 1, near),
                    _ => near.to_string(),
                });
                let key = self.key(&entry.name) + &rest;
                self.context.report(&at, &key, "unknown key".to_string(), Some(allowed.clone()), hint);
            }
        }
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == key)
    }

    fn pattern_of(&self, key: &str) -> String {
        self.pattern.iter().map(String::as_str).chain(Some(key)).collect::<Vec<_>>().join(".")
    }

    /// What was found, for a message; without the value where that could be a secret.
    pub(super) fn found(&self, key: &str, value: &Value) -> String {
        let secret =
            |part: &str| ["auth", "password", "token", "secret", "headers"].iter().any(|word| part.contains(word));
        let hidden = self.path.iter().map(String::as_str).chain(Some(key)).any(secret);
        let shown = match value {
            Value::Text(_) | Value::Raw(_) if hidden => "a text".to_string(),
            Value::Integer(..) | Value::Other(..) if hidden => "a number".to_string(),
            Value::Text(text) | Value::Raw(text) => show_text(text),
            Value::Integer(_, text) => format!("the number {}", cut(text)),
            Value::Flag(flag) => flag.to_string(),
            Value::Other(kind, text) => format!("{kind} {}", cut(text)),
            Value::List(_) => "a list".to_string(),
            Value::Table(_) => "a table".to_string(),
        };
        format!("found {shown}")
    }
}

/// The places to report for an unknown entry: itself, or each variable that set a part of it.
fn variables(entry: &Entry) -> Vec<(Place, String)> {
    match (&entry.at, &entry.node.value) {
        (Place::Variable(_), Value::Table(inner)) if !inner.is_empty() => {
            inner.iter().flat_map(variables_with_name).collect()
        }
        _ => vec![(entry.at.clone(), String::new())],
    }
}

fn variables_with_name(entry: &Entry) -> Vec<(Place, String)> {
    variables(entry).into_iter().map(|(at, rest)| (at, format!(".{}{rest}", show_part(&entry.name)))).collect()
}

fn show_part(part: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !part.is_empty() && part.chars().all(bare) { part.to_string() } else { format!("\"{}\"", cut(part)) }
}

/// Text in quotes, without line breaks and not endless.
pub(super) fn show_text(text: &str) -> String {
    format!("\"{}\"", cut(text))
}

fn cut(text: &str) -> String {
    let short: String = text.chars().take(MAX_SHOWN).flat_map(char::escape_debug).collect();
    if text.chars().nth(MAX_SHOWN).is_some() { short + "…" } else { short }
}

const NOT_YET: &str = concat!(
    "not in this version of auditship (",
    env!("CARGO_PKG_VERSION_MAJOR"),
    ".",
    env!("CARGO_PKG_VERSION_MINOR"),
    "); remove it"
);

const ABSOLUTE: &str = "an absolute path";

/// Characters of a found value in a message.
const MAX_SHOWN: usize = 60;
