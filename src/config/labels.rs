//! `[labels]`

use super::{
    named::Named,
    reader::{Section, show_text},
    tree::{Entry, Value},
};
use crate::pipeline::{Label, LabelFrom, Meta};
use regex::Regex;

/// The labels, and all names, also of those that are wrong.
pub(super) struct Labels {
    pub(super) all: Vec<Label>,
    pub(super) names: Vec<String>,
}

/// `has_containers`: whether a source of containers is there, or may be.
pub(super) fn labels(root: &mut Section<'_>, has_containers: bool) -> Labels {
    if !root.has("labels") {
        root.named("labels");
        let all = defaults();
        return Labels { names: all.iter().map(|label| label.name.clone()).collect(), all };
    }
    let Some(named) = root.named("labels") else { return Labels { all: Vec::new(), names: Vec::new() } };
    // `service_name` is sent in any case, so it does not count.
    let counted = named.nodes.iter().filter(|entry| entry.name != SERVICE);
    if let (Some(one_too_many), Some(outer)) = (counted.clone().nth(MAX_LABELS), named.outer()) {
        let message = format!("found {} labels", counted.count());
        let allowed = "at most 14, because Loki takes 15 and service_name is always sent";
        outer.wrong(&one_too_many.at, "", message, allowed);
    }
    let all = named.nodes.iter().filter_map(|entry| label(&named, entry, has_containers)).collect();
    Labels { all, names: named.names }
}

/// What is used when there is no `[labels]`.
fn defaults() -> Vec<Label> {
    let label = |name: &str, fields: &[&str], default: Option<&str>| Label {
        name: name.to_string(),
        from: LabelFrom::Field(fields.iter().copied().map(String::from).collect()),
        default: default.map(String::from),
        values: None,
    };
    vec![
        label("event_type", &["event_type", "action", "event"], None),
        label("tenant", &["tenant", "org"], Some("unknown")),
    ]
}

fn label(named: &Named<'_>, entry: &Entry, has_containers: bool) -> Option<Label> {
    let outer = named.outer()?;
    let name = entry.name.as_str();
    check_name(outer, entry);
    let constant = match &entry.node.value {
        Value::Raw(text) if text.trim_start().starts_with('{') => None,
        Value::Text(text) | Value::Raw(text) => Some(text),
        Value::Table(_) => None,
        other => {
            outer.wrong(&entry.node.at, name, outer.found(name, other), FORMS);
            return None;
        }
    };
    if let Some(text) = constant {
        check_value(outer, entry, name, text);
        let from = LabelFrom::Constant(text.clone());
        return Some(Label { name: name.to_string(), from, default: None, values: None });
    }
    if name == SERVICE {
        outer.wrong(&entry.node.at, name, "found a table", "a constant, because Loki groups by it");
    }
    let mut section = named.table(entry)?;
    let forms = [field(&mut section), path(&mut section), meta(&mut section, has_containers)];
    let default = section.line("default", "text that is not empty").map(|item| item.value);
    let values = section.texts("values", "a list of text").map(|list| {
        if list.value.is_empty() {
            section.wrong(&list.at, "values", "is empty", "at least one value");
        }
        for value in list.value.iter().filter(|value| value.value.is_empty()) {
            section.wrong(&value.at, "values", "contains an empty value", "values that are not empty");
        }
        list.value.into_iter().map(|value| value.value).collect()
    });
    let given = ["field", "path", "meta"].into_iter().filter(|form| section.has(form)).collect::<Vec<_>>();
    match given.as_slice() {
        [] => match named.misspelt(entry) {
            Some(meant) => section.missing_but("field", FORMS, meant),
            None => section.missing("field", FORMS),
        },
        [_] => {}
        several => section.wrong(&section.at, "", format!("found {}", several.join(" and ")), "one of them"),
    }
    section.finish();
    let from = forms.into_iter().flatten().next()?;
    Some(Label { name: name.to_string(), from, default, values })
}

fn check_name(outer: &Section<'_>, entry: &Entry) {
    let name = entry.name.as_str();
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let rest = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !name.starts_with(first) || !name.chars().all(rest) {
        outer.wrong(&entry.at, name, "not a label name", "letters, digits and _, not a digit first");
    } else if name.starts_with("__") {
        outer.wrong(&entry.at, name, "reserved", "names that do not begin with __");
    } else if name == "late" {
        outer.wrong(&entry.at, name, "reserved for records that arrive late", "another name");
    }
}

fn check_value(outer: &Section<'_>, entry: &Entry, name: &str, text: &str) {
    if text.is_empty() {
        outer.wrong(&entry.node.at, name, "is empty, and an empty label is none", "text that is not empty");
    }
}

fn field(section: &mut Section<'_>) -> Option<LabelFrom> {
    section.fields("field").map(LabelFrom::Field)
}

fn path(section: &mut Section<'_>) -> Option<LabelFrom> {
    let item = section.text("path", "a regular expression with a group named v")?;
    let wrong = |message: String| {
        section.wrong(&item.at, "path", message, "a regular expression with a group named v, such as (?<v>[^/]+)");
    };
    match Regex::new(&item.value) {
        Ok(regex) if regex.capture_names().any(|group| group == Some("v")) => return Some(LabelFrom::Path(regex)),
        Ok(_) => wrong(format!("found {} without a group named v", show_text(&item.value))),
        // The last line says what is wrong; those before it show the place below the expression.
        Err(error) => {
            let words = error.to_string();
            let words = words.lines().last().unwrap_or_default().trim_start_matches("error: ");
            wrong(format!("found {}: {words}", show_text(&item.value)));
        }
    }
    None
}

fn meta(section: &mut Section<'_>, has_containers: bool) -> Option<LabelFrom> {
    let item = section.text("meta", &META.join(", "))?;
    let wrong = |message: &str, allowed: &str| {
        section.wrong(&item.at, "meta", format!("found {}{message}", show_text(&item.value)), allowed);
    };
    let meta = match item.value.as_str() {
        "host" => Meta::Host,
        "source" => Meta::Source,
        "filename" => Meta::Filename,
        "namespace" => Meta::Namespace,
        "pod" => Meta::Pod,
        "pod_uid" => Meta::PodUid,
        "container" => Meta::Container,
        "restart_count" => Meta::RestartCount,
        "container_id" => Meta::ContainerId,
        other => match other.strip_prefix("label.") {
            Some(key) if key.is_empty() || key.contains(char::is_control) || key.len() > MAX_KEY => {
                wrong("", "label. and the key of a label, such as label.app");
                return None;
            }
            Some(key) => Meta::Label(key.to_string()),
            None if LATER.contains(&other) => {
                section.not_yet_because(&item.at, "meta", &format!("found {}", show_text(other)));
                return None;
            }
            None => {
                let word = if other == "container_name" { "container" } else { other };
                section.wrong_name(&item.at, "meta", format!("found {}", show_text(other)), word, META);
                return None;
            }
        },
    };
    let is_of_file = matches!(meta, Meta::Host | Meta::Source | Meta::Filename);
    if !is_of_file && !has_containers {
        wrong(", which only a source of type container has, and there is none", "host, source, filename");
    }
    Some(LabelFrom::Meta(meta))
}

const META: [&str; 10] = [
    "host",
    "source",
    "filename",
    "namespace",
    "pod",
    "pod_uid",
    "container",
    "restart_count",
    "container_id",
    "label.KEY",
];
const LATER: [&str; 3] = ["image", "node", "stream"];
/// In Kubernetes a key has a domain of up to 253 bytes, and a name of up to 63; in Docker it may be longer, and is not
/// kept then.
const MAX_KEY: usize = 1023;
const FORMS: &str = "one of { field = [\"…\"] }, { path = \"…\" }, { meta = \"…\" }, or a constant text";
const SERVICE: &str = "service_name";
const MAX_LABELS: usize = 14;
