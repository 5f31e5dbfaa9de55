//! What only one type of output has: its own keys, where it is, and how it proves who it is.

use super::super::{
    auth::{self, Scheme},
    context::Item,
    reader::{Section, show_text},
    tree::Value,
    url,
};
use crate::{
    output::{
        Compression, datadog,
        elastic::{Name, Pattern, Target},
    },
    pipeline::{LokiTenant, OutputKind},
    send::Auth,
};

/// The types, in the order in which messages name them.
pub(super) const TYPES: &[&str] = &["loki", "elasticsearch", "splunk_hec", "datadog"];

/// Of one output. `None` in a field after an error.
pub(super) struct Kind {
    pub(super) kind: Option<OutputKind>,
    pub(super) url: Option<String>,
    pub(super) auth: Option<Auth>,
}

pub(super) fn read(name: &str, section: &mut Section<'_>, labels: &[String]) -> Kind {
    match name {
        "elasticsearch" => elastic(section),
        "splunk_hec" => splunk(section),
        "datadog" => datadog(section),
        _ => loki(section, labels),
    }
}

fn loki(section: &mut Section<'_>, labels: &[String]) -> Kind {
    let url = url::destination(section, "https://loki:3100", "/loki/api/v1/push");
    let tenant = tenant(section, labels);
    section.choice("compression", &[("snappy", ())]);
    section.later(&["streams_per_push"]);
    let auth = auth::auth(section, &[Scheme::Basic, Scheme::Bearer]);
    Kind { kind: Some(OutputKind::Loki { tenant }), url, auth }
}

fn elastic(section: &mut Section<'_>) -> Kind {
    let url = url::destination(section, "https://es:9200", "/_bulk");
    let index = section.line("index", INDEX);
    let stream = section.line("data_stream", STREAM);
    let target = match (index, stream) {
        (Some(index), None) => pattern(section, &index),
        (None, Some(stream)) => data_stream(section, &stream),
        (Some(_), Some(_)) => {
            section.wrong(&section.at, "", "both index and data_stream are set", "one of them");
            None
        }
        (None, None) => {
            if !section.has("index") && !section.has("data_stream") {
                section.missing("index", &format!("{INDEX}; or `data_stream`"));
            }
            None
        }
    };
    let pipeline = section.line("pipeline", "the name of an ingest pipeline").map(|item| item.value);
    let compression = compression(section, &[GZIP, ZSTD, NONE]);
    let auth = auth::auth(section, &[Scheme::ApiKey, Scheme::Basic, Scheme::Bearer]);
    Kind { kind: target.map(|target| OutputKind::Elastic { target, pipeline, compression }), url, auth }
}

fn pattern(section: &Section<'_>, item: &Item<String>) -> Option<Target> {
    match Pattern::parse(&item.value) {
        Ok(pattern) => Some(Target::Index(pattern)),
        Err(why) => {
            section.wrong(&item.at, "index", format!("found {}: {why}", show_text(&item.value)), INDEX);
            None
        }
    }
}

fn data_stream(section: &Section<'_>, item: &Item<String>) -> Option<Target> {
    match Name::parse(&item.value) {
        Ok(name) => Some(Target::DataStream(name)),
        Err(why) => {
            section.wrong(&item.at, "data_stream", format!("found {}: {why}", show_text(&item.value)), STREAM);
            None
        }
    }
}

fn splunk(section: &mut Section<'_>) -> Kind {
    let url = url::destination(section, "https://splunk:8088", "/services/collector/event");
    let index = section.line("index", "the name of an index, such as \"audit\"").map(|item| item.value);
    let sourcetype = section.line("sourcetype", "text, such as \"auditship\"");
    let sourcetype = sourcetype.map_or_else(|| "auditship".to_owned(), |item| item.value);
    let ack = section.flag("ack", true);
    let compression = compression(section, &[GZIP, NONE]);
    let auth = auth::required(section, &[Scheme::SplunkToken]);
    Kind { kind: Some(OutputKind::Splunk { index, sourcetype, ack, compression }), url, auth }
}

fn datadog(section: &mut Section<'_>) -> Kind {
    let site = section.line("site", SITE);
    let url = match (&site, section.has("url")) {
        (Some(site), false) => intake(section, site),
        (None, false) => {
            if !section.has("site") {
                section.missing("site", SITE);
            }
            None
        }
        (None, true) => url::destination(section, "https://http-intake.logs.datadoghq.eu", "/api/v2/logs"),
        (Some(_), true) => {
            section.wrong(&section.at, "", "both site and url are set", "one of them");
            section.answer("url");
            None
        }
    };
    let service = section.line("service", "text").map_or_else(|| "auditship".to_owned(), |item| item.value);
    let source = section.line("source", "text").map_or_else(|| "auditship".to_owned(), |item| item.value);
    let compression = compression(section, &[GZIP, ZSTD, NONE]);
    let auth = auth::required(section, &[Scheme::DatadogKey]);
    Kind { kind: Some(OutputKind::Datadog { service, source, compression }), url, auth }
}

/// The intake of a site.
fn intake(section: &Section<'_>, site: &Item<String>) -> Option<String> {
    let is_host = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    if site.value.contains('.') && site.value.chars().all(is_host) {
        return Some(datadog::url(&site.value));
    }
    section.wrong(&site.at, "site", format!("found {}", show_text(&site.value)), SITE);
    None
}

fn compression(section: &mut Section<'_>, options: &[(&'static str, Compression)]) -> Compression {
    section.choice("compression", options).unwrap_or(Compression::Gzip)
}

fn tenant(section: &mut Section<'_>, labels: &[String]) -> LokiTenant {
    let Some(node) = section.node("tenant_id") else { return LokiTenant::None };
    match &node.value {
        Value::Raw(text) if text.trim_start().starts_with('{') => {}
        Value::Text(text) | Value::Raw(text) if text.is_empty() => return LokiTenant::None,
        Value::Text(text) | Value::Raw(text) => {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
            if text.len() > 150 || !text.chars().all(allowed) || matches!(text.as_str(), "." | "..") {
                let message = format!("found {}", show_text(text));
                section.wrong(&node.at, "tenant_id", message, "up to 150 letters, digits and !-_.*'()");
            }
            return LokiTenant::Fixed(text.clone());
        }
        Value::Table(_) => {}
        other => {
            section.wrong(&node.at, "tenant_id", section.found("tenant_id", other), "text or { label = \"…\" }");
            return LokiTenant::None;
        }
    }
    let Some(mut table) = section.section("tenant_id") else { return LokiTenant::None };
    let item = table.text("label", "the name of a label");
    match &item {
        Some(item) if !labels.contains(&item.value) => {
            let message = format!("no label is named {}", show_text(&item.value));
            table.wrong_name(&item.at, "label", message, &item.value, labels.iter().map(String::as_str));
        }
        None if !table.has("label") => table.missing("label", "the name of a label"),
        _ => {}
    }
    table.finish();
    item.map_or(LokiTenant::None, |item| LokiTenant::Label(item.value))
}

const INDEX: &str = "the name of an index by the time of the event, such as \"audit-%Y.%m\"";
const STREAM: &str = "the name of a data stream, such as \"logs-audit-default\"";
const SITE: &str = "a site, such as \"datadoghq.eu\" or \"us5.datadoghq.com\"";
const GZIP: (&str, Compression) = ("gzip", Compression::Gzip);
const ZSTD: (&str, Compression) = ("zstd", Compression::Zstd);
const NONE: (&str, Compression) = ("none", Compression::None);
