//! `[outputs.*]`

mod headers;
mod kinds;

use super::{
    named::Named,
    reader::{Section, show_text},
    tree::Entry,
    url,
};
use crate::{pipeline::Output, send::Http};
use kinds::Kind;
use std::{path::PathBuf, time::Duration};

pub(super) fn outputs(root: &mut Section<'_>, sources: &[String], labels: &[String]) -> Vec<Output> {
    let written = root.has("outputs");
    let named = root.named("outputs");
    if named.as_ref().map_or(!written, |named| named.nodes.is_empty()) {
        root.missing("outputs", "at least one, such as `[outputs.loki]`");
    }
    let Some(named) = named else { return Vec::new() };
    named.nodes.iter().filter_map(|entry| output(&named, entry, sources, labels)).collect()
}

fn output(named: &Named<'_>, entry: &Entry, sources: &[String], labels: &[String]) -> Option<Output> {
    named.check_name(entry);
    let mut section = named.table(entry)?;
    let name = section.kind(named, entry, kinds::TYPES, &[])?;
    let Kind { kind, url, auth } = kinds::read(name, &mut section, labels);
    let sources = select(&mut section, sources);
    let (ca_file, client_cert) = tls(&mut section);
    let proxy = url::proxy(&mut section);
    let headers = headers::headers(&mut section);
    let (batch_max_bytes, batch_max_wait) = batch(&mut section);
    let window = section.size("window", 24 << 20, 1 << 20..=1 << 40);
    let concurrency = section.number("concurrency", 8, 1..=64);
    let timeout = section.duration("timeout", 30 * SECOND, SECOND / 10..=600 * SECOND);
    let ack_timeout = match name {
        "splunk_hec" => section.duration("ack_timeout", 300 * SECOND, SECOND..=3600 * SECOND),
        _ => 300 * SECOND,
    };
    let max_requests_per_second = section.number("max_requests_per_second", 50, 1..=10_000);
    let max_bytes_per_second = section.size("max_bytes_per_second", u64::MAX, 1 << 10..=1 << 40);
    section.finish();
    Some(Output {
        name: entry.name.clone(),
        sources,
        kind: kind?,
        http: Http { url: url?, auth: auth?, headers, ca_file, client_cert, proxy, timeout },
        batch_max_bytes,
        batch_max_wait,
        window,
        concurrency,
        ack_timeout,
        max_requests_per_second,
        max_bytes_per_second,
    })
}

/// The names it takes, in the order of the sources; all when the key is absent.
fn select(section: &mut Section<'_>, sources: &[String]) -> Vec<String> {
    let Some(list) = section.texts("sources", "a list of names of sources") else { return sources.to_vec() };
    if list.value.is_empty() {
        section.wrong(&list.at, "sources", "is empty, so nothing would be sent", "at least one name, or no such key");
    }
    for (index, item) in list.value.iter().enumerate() {
        let name = &item.value;
        if !sources.contains(name) {
            let message = format!("no source is named {}", show_text(name));
            section.wrong_name(&item.at, "sources", message, name, sources.iter().map(String::as_str));
        } else if list.value.iter().take(index).any(|earlier| earlier.value == *name) {
            section.wrong(&item.at, "sources", format!("names {} twice", show_text(name)), "each source once");
        }
    }
    sources.iter().filter(|name| list.value.iter().any(|item| item.value == **name)).cloned().collect()
}

type Tls = (Option<PathBuf>, Option<(PathBuf, PathBuf)>);

fn tls(section: &mut Section<'_>) -> Tls {
    let mut tls = section.section("tls").unwrap_or_else(|| section.empty("tls"));
    let ca_file = tls.path("ca_file").map(|item| item.value);
    let cert_file = tls.path("cert_file");
    let key_file = tls.path("key_file");
    match (tls.has("cert_file"), tls.has("key_file")) {
        (true, false) => tls.missing("key_file", "the key of cert_file"),
        (false, true) => tls.missing("cert_file", "the certificate of key_file"),
        _ => {}
    }
    tls.later(&["server_name"]);
    tls.finish();
    (ca_file, cert_file.zip(key_file).map(|(cert, key)| (cert.value, key.value)))
}

fn batch(section: &mut Section<'_>) -> (usize, Duration) {
    let mut batch = section.section("batch").unwrap_or_else(|| section.empty("batch"));
    let max_bytes = batch.size("max_bytes", 1 << 20, 4 << 10..=2 << 20);
    let max_wait = batch.duration("max_wait", SECOND, SECOND / 100..=60 * SECOND);
    batch.finish();
    (usize::try_from(max_bytes).unwrap_or(usize::MAX), max_wait)
}

const SECOND: Duration = Duration::from_secs(1);
