//! `[sources.*]`

use super::{
    auth,
    named::Named,
    reader::{Section, show_text},
    tree::Entry,
    url,
};
use crate::{
    discover::Pattern,
    frame::MAX_PREFIX,
    pipeline::{Source, SourceKind, StartAt},
    send::Http,
};
use std::time::Duration;

/// The sources, and all names, also of those that are wrong: what refers to them is not wrong too.
pub(super) struct Sources {
    pub(super) all: Vec<Source>,
    pub(super) names: Vec<String>,
    /// Whether one of them is of containers, or too wrong to say.
    pub(super) has_containers: bool,
}

pub(super) fn sources(root: &mut Section<'_>) -> Sources {
    let written = root.has("sources");
    let named = root.named("sources");
    if named.as_ref().map_or(!written, |named| named.nodes.is_empty()) {
        root.missing("sources", "at least one, such as `[sources.app]`");
    }
    let Some(named) = named else {
        return Sources { all: Vec::new(), names: Vec::new(), has_containers: true };
    };
    let all: Vec<Source> = named.nodes.iter().filter_map(|entry| source(&named, entry)).collect();
    let is_all = all.len() == named.nodes.len() && !all.is_empty();
    let has_containers = !is_all || all.iter().any(|source| source.kind == SourceKind::Container);
    Sources { all, names: named.names, has_containers }
}

fn source(named: &Named<'_>, entry: &Entry) -> Option<Source> {
    named.check_name(entry);
    let mut section = named.table(entry)?;
    let kind = section.kind(named, entry, &["file", "container"], &["http", "poll", "journald"])?;
    let kind = if kind == "container" { SourceKind::Container } else { SourceKind::File };
    let include = globs(&mut section, "include");
    match &include {
        None if !section.has("include") => {
            section.missing("include", "a list of absolute globs, such as [\"/var/log/*-audit.jsonl\"]");
        }
        _ => {}
    }
    let exclude = globs(&mut section, "exclude").unwrap_or_default();
    let start = section.choice("start_at", &[("beginning", StartAt::Beginning), ("end", StartAt::End)]);
    let max_line = section.size("max_line", 1 << 20, 1 << 10..=64 << 20);
    let prefixes = prefixes(&mut section);
    // A runtime keeps its rotated files beside the one that it writes.
    let rotated_dir = match kind {
        SourceKind::File => section.line("rotated_dir", "a folder: absolute, or relative to that of each file"),
        SourceKind::Container => None,
    };
    let pod_labels = match kind {
        SourceKind::File => Some(None),
        SourceKind::Container => pod_labels(&mut section),
    };
    section.finish();
    Some(Source {
        name: entry.name.clone(),
        kind,
        include: include?,
        rotated_dir: rotated_dir.map(|item| item.value.into()),
        exclude,
        start_at: start.unwrap_or(StartAt::Beginning),
        max_line: usize::try_from(max_line).unwrap_or(usize::MAX),
        prefixes,
        pod_labels: pod_labels?,
    })
}

/// Where pods are listed; `None` after an error.
fn pod_labels(section: &mut Section<'_>) -> Option<Option<Http>> {
    let written = section.has("pod_labels");
    let Some(mut section) = section.section("pod_labels") else {
        return (!written).then_some(None);
    };
    let url = url::pods(&mut section);
    let token = auth::token_file(&mut section);
    let ca_file = section.path("ca_file").map(|item| item.value);
    section.finish();
    Some(Some(Http {
        url: url?,
        auth: token?,
        ca_file,
        headers: Vec::new(),
        client_cert: None,
        proxy: None,
        timeout: LIST_TIMEOUT,
    }))
}

/// Nobody waits for a list, but the next one is asked for only after it.
const LIST_TIMEOUT: Duration = Duration::from_secs(5);

/// One text, or a list of texts.
fn prefixes(section: &mut Section<'_>) -> Vec<Vec<u8>> {
    let Some(list) = section.text_or_texts("prefix", "text, or a list of texts") else { return Vec::new() };
    for prefix in &list {
        if prefix.value.contains('\n') {
            let message = "contains a line break, so no line begins with it";
            section.wrong(&prefix.at, "prefix", message, "text within one line");
        } else if prefix.value.len() > MAX_PREFIX {
            let message = format!("has {} bytes", prefix.value.len());
            section.wrong(&prefix.at, "prefix", message, &format!("at most {MAX_PREFIX} bytes"));
        }
    }
    list.into_iter().map(|prefix| prefix.value.into_bytes()).filter(|prefix| !prefix.is_empty()).collect()
}

fn globs(section: &mut Section<'_>, key: &'static str) -> Option<Vec<String>> {
    let list = section.texts(key, "a list of absolute globs")?;
    if list.value.is_empty() && key == "include" {
        section.wrong(&list.at, key, "is empty", "at least one absolute glob");
    }
    for glob in &list.value {
        let text = &glob.value;
        if !text.starts_with('/') {
            section.wrong(&glob.at, key, format!("found {}", show_text(text)), "globs that begin with \"/\"");
        } else if text.split('/').any(|part| part == "." || part == "..") {
            let message = format!("found {}: \".\" and \"..\" match nothing", show_text(text));
            section.wrong(&glob.at, key, message, "the path as it is listed");
        } else if let Err(error) = Pattern::new(text) {
            let message = format!("found {}: {}", show_text(text), error);
            section.wrong(&glob.at, key, message, "*, ?, [abc], {a,b} and **");
        }
    }
    Some(list.value.into_iter().map(|glob| glob.value).collect())
}
