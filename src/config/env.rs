//! The environment's layer: every variable `AUDITSHIP__A__B` sets the key `a.b`, over the file.

use super::{
    error::{At, Problem},
    tree::{Entry, Node, Place, Table, Value},
};
use config::{Environment as Collector, Source};
use std::{
    collections::{BTreeMap, HashMap},
    ffi::{OsStr, OsString},
    rc::Rc,
};

/// The variables of the process, or of a test.
pub(super) struct Environment {
    /// All of them: `*_env` may name any.
    all: BTreeMap<OsString, OsString>,
}

impl Environment {
    pub(super) fn new<K: Into<OsString>, V: Into<OsString>>(pairs: impl Iterator<Item = (K, V)>) -> Self {
        Environment { all: pairs.map(|(name, value)| (name.into(), value.into())).collect() }
    }

    /// The value of the variable that a `*_env` names.
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.all.get(OsStr::new(name)).map(OsString::as_os_str)
    }

    /// Lays the variables of our prefix over `root`.
    pub(super) fn lay_over(&self, root: &mut Table, problems: &mut Vec<Problem>) {
        for (key, name, text) in self.ours(problems) {
            let at = Place::Variable(name.as_str().into());
            let segments: Vec<&str> = key.split(SEPARATOR).collect();
            if segments.iter().any(|segment| segment.is_empty()) || segments.len() > MAX_DEPTH {
                let message =
                    "not a key: the form is AUDITSHIP__SECTION__KEY, with two underscores between the parts";
                problems.push(Problem::new(At::Variable(name), "", message));
            } else if let Err(other) = set(root, &segments, &at, text) {
                let message = format!("is set as a whole by {other}; keep one of them");
                problems.push(Problem::new(At::Variable(name), segments.join("."), message));
            }
        }
    }

    /// Key in small letters without the prefix, name as given, and value of our variables, by key.
    fn ours(&self, problems: &mut Vec<Problem>) -> Vec<(String, String, String)> {
        let mut names = HashMap::new();
        let mut values = HashMap::new();
        for (name, value) in &self.all {
            let shown = name.to_string_lossy();
            let small = shown.to_lowercase();
            let Some(key) = small.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix(SEPARATOR)) else {
                continue;
            };
            let mut wrong = |message: String| {
                problems.push(Problem::new(At::Variable(shown.clone().into_owned()), "", message));
            };
            match (name.to_str(), value.to_str()) {
                (None, _) => wrong("the name is not UTF-8 text".to_string()),
                (_, None) => wrong("the value is not UTF-8 text".to_string()),
                (Some(name), Some(value)) => match names.get(key) {
                    Some(first) => wrong(format!("sets the same key as {first}; keep one of them")),
                    None => {
                        names.insert(key.to_string(), name.to_string());
                        values.insert(name.to_string(), value.to_string());
                    }
                },
            }
        }
        // No `separator` and no parsing: a dot in a name stays a dot, and text stays text until its type is known.
        let collector = Collector::with_prefix(PREFIX).prefix_separator(SEPARATOR).source(Some(values));
        let mut found: Vec<_> = match collector.collect() {
            Ok(found) => found
                .into_iter()
                .filter_map(|(key, value)| {
                    let name = names.get(&key)?.clone();
                    Some((key, name, value.into_string().ok()?))
                })
                .collect(),
            Err(error) => {
                problems.push(Problem::new(At::Nowhere, "", format!("cannot read the environment: {error}")));
                Vec::new()
            }
        };
        found.sort();
        found
    }
}

/// Sets one key. The keys come sorted, so a whole is always set before a part of it.
/// The error is the variable that was first.
fn set(table: &mut Table, segments: &[&str], at: &Place, text: String) -> Result<(), Rc<str>> {
    let Some((segment, rest)) = segments.split_first() else { return Ok(()) };
    let entries = Rc::make_mut(table);
    // A name that is spelt in small letters goes before one that differs in capitals.
    let known = entries
        .iter()
        .position(|entry| entry.name == *segment)
        .or_else(|| entries.iter().position(|entry| entry.name.to_lowercase() == *segment));
    let index = known.unwrap_or_else(|| {
        let node = Node { at: at.clone(), value: Value::Table(Table::default()) };
        entries.push(Entry { name: (*segment).to_string(), at: at.clone(), node });
        entries.len() - 1
    });
    let Some(entry) = entries.get_mut(index) else { return Ok(()) };
    if rest.is_empty() {
        entry.node = Node { at: at.clone(), value: Value::Raw(text) };
        return Ok(());
    }
    match (&entry.node.value, &entry.node.at) {
        (Value::Table(_), _) => {}
        (Value::Raw(_), Place::Variable(first)) => return Err(first.clone()),
        _ => entry.node = Node { at: at.clone(), value: Value::Table(Table::default()) },
    }
    match &mut entry.node.value {
        Value::Table(inner) => set(inner, rest, at, text),
        _ => Ok(()),
    }
}

/// The name of a variable with its part number `index` replaced. A part that is not in the name is inside the value.
pub(super) fn rename(variable: &str, index: usize, part: &str) -> String {
    let mut parts: Vec<String> = variable.split(SEPARATOR).map(str::to_string).collect();
    match parts.get_mut(index) {
        Some(old) => *old = part.to_uppercase(),
        None => return part.to_string(),
    }
    parts.join(SEPARATOR)
}

const PREFIX: &str = "auditship";

/// Between the parts of a variable's name.
const SEPARATOR: &str = "__";

/// No key is deeper than this; it bounds the recursion.
const MAX_DEPTH: usize = 8;
