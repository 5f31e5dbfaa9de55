#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    batch::{Bases, Batch, Pool, Selection},
    model::{Container, FileName, Nanos, Origin, Part, Record, Sink as _, leaf},
    output::{FileHead, Heads},
    parse::{Wanted, parse},
};
use std::{io::Read as _, time::Duration};

/// 2026-11-25T19:05:03.123456789Z
pub(super) const NOW: Nanos = Nanos(1_795_633_503_123_456_789);

/// A file that was first seen an hour before [`NOW`].
pub(super) fn origin() -> Origin {
    Origin {
        name: FileName(0xab),
        host: "h".into(),
        path: "/p".into(),
        source: "s".into(),
        first_seen: Nanos(NOW.0 - 3_600 * Nanos::SECOND),
        container: None,
    }
}

/// Of a pod's container.
pub(super) fn pod() -> Container {
    Container {
        namespace: Some("shop".into()),
        pod: Some("api-1".into()),
        pod_uid: Some("u-1".into()),
        name: Some("app".into()),
        restart_count: Some(2),
        id: Some("f0".into()),
        labels: [("app".into(), "api".into())].into(),
    }
}

/// A record with the marks that parsing gives it.
pub(super) fn record(body: &[u8]) -> Record<'_> {
    let marks = parse(&Wanted::new(&[], &[]), body).marks;
    Record { body, offset: 7, seq: 3, leaf: leaf(body), time: NOW, marks, part: None }
}

/// A target by its pattern.
pub(super) fn index(pattern: &str) -> Target {
    Target::Index(Pattern::parse(pattern).unwrap())
}

/// A data stream by its name.
pub(super) fn stream(name: &str) -> Target {
    Target::DataStream(Name::parse(name).unwrap())
}

/// Labels.
pub(super) fn labels(pairs: &[(&str, &str)]) -> LabelSet {
    LabelSet::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

/// A record's encoded bytes.
pub(super) fn encoded(target: &Target, record: &Record<'_>, origin: &Origin, labels: &LabelSet) -> Vec<u8> {
    let file = FileHead { name: origin.name, first_seen: origin.first_seen, bytes: encode::file(origin) };
    let stream = StreamHead { bytes: encode::stream(labels), ..StreamHead::default() };
    let mut out = Vec::new();
    encode::encode(&mut out, target, record, Heads { file: &file, stream: &stream, now: NOW });
    out
}

/// The same where only the record matters.
pub(super) fn plainly(record: &Record<'_>) -> Vec<u8> {
    encoded(&index("audit-%Y.%m"), record, &origin(), &labels(&[]))
}

/// A batch of these encoded records.
pub(super) fn batch(records: &[Vec<u8>]) -> Batch {
    let (mut pool, mut batch) = (Pool::new(1 << 20), Batch::new(0, Duration::ZERO));
    for record in records {
        batch.body.writer(&mut pool).put(record);
        batch.end_record();
    }
    batch
}

fn request(elastic: &Elastic, batch: &Batch, selection: Selection) -> Request {
    elastic.request(Records { batch, selection: &selection, bases: &Bases::default() }, &mut Scratch::default())
}

#[test]
fn a_request_is_the_records_in_their_form() {
    let records = [plainly(&record(br#"{"a":1}"#)), plainly(&record(b"no json")), plainly(&record(br#"{"b":2}"#))];
    let batch = batch(&records);
    let check = |compression, form, unpack: fn(&[u8]) -> Vec<u8>, encoding: Option<&str>, expect: Vec<u8>| {
        let elastic = Elastic::new(index("audit-%Y.%m"), None, compression);
        let request = request(&elastic, &batch, Selection::of(1..3, form));
        assert_eq!((request.encoding, request.content_type), (encoding, "application/x-ndjson"));
        assert_eq!(unpack(&request.body), expect);
    };
    let full = records[1..].concat();
    let plain = [records[1].clone(), describe::plainer(&records[2]).unwrap()].concat();
    let as_it_is: fn(&[u8]) -> Vec<u8> = |body| body.to_vec();
    check(Compression::None, Form::Full, as_it_is, None, full.clone());
    check(Compression::None, Form::Plain, as_it_is, None, plain);
    let gunzip: fn(&[u8]) -> Vec<u8> = |body| {
        let mut out = Vec::new();
        flate2::read::GzDecoder::new(body).read_to_end(&mut out).unwrap();
        out
    };
    check(Compression::Gzip, Form::Full, gunzip, Some("gzip"), full);
}

#[test]
fn the_path_says_what_is_wanted_of_the_answer_and_of_the_server() {
    fn check(elastic: &Elastic, more: &str) {
        let path = request(elastic, &batch(&[]), Selection::of(0..0, Form::Full)).path;
        let base = "/_bulk?filter_path=errors,items.*.status,items.*.error,items.*.failure_store";
        assert_eq!(path, format!("{base}{more}"));
    }
    let new = |target, pipeline| Elastic::new(target, pipeline, Compression::None);
    check(&new(index("a"), None), "");
    check(&new(index("a"), Some("über & mehr")), "&pipeline=%C3%BCber+%26+mehr");
    check(&new(index("a"), Some("_none")).requiring_data_stream(true), "&pipeline=_none");
    check(&new(stream("a"), None).requiring_data_stream(true), "&require_data_stream=true");
    check(&new(stream("a"), None).requiring_data_stream(false), "");
}

#[test]
fn of_no_records_there_is_no_body() {
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let elastic = Elastic::new(index("a"), None, compression);
        let request = request(&elastic, &batch(&[]), Selection::of(0..0, Form::Full));
        assert_eq!((request.body.len(), request.encoding), (0, None));
    }
}

/// The files that are loaded into the server, and where in them a mapping is.
#[test]
fn what_is_deployed_has_the_fields_that_are_sent() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/elasticsearch");
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
    };
    for policy in ["ilm-policy.json", "ilm-policy-data-stream.json", "opensearch/ism-policy.json"] {
        assert!(read(policy)["policy"].is_object(), "{policy}");
    }
    let origin = Origin { container: Some(pod().into()), ..origin() };
    let part = Some(Part { number: 1, whole: Some([0; 32]) });
    let records = [record(b"{}"), Record { time: Nanos(-1), part, ..record(b"\xff") }];
    let sent = records.map(|record| {
        let sent = encoded(&index("a"), &record, &origin, &labels(&[("event_type", "e"), ("tenant", "t")]));
        let document = sent.split(|byte| *byte == b'\n').nth(1).unwrap();
        serde_json::from_slice::<serde_json::Value>(document).unwrap()
    });
    let templates = ["index-template.json", "data-stream-template.json"];
    for template in templates.iter().flat_map(|name| [name.to_string(), format!("opensearch/{name}")]) {
        let text = read(&template);
        assert_eq!(text["data_stream"].is_object(), template.contains("data-stream"), "{template}");
        assert!(text["priority"].as_u64() > Some(500), "{template}");
        let mappings = &text["template"]["mappings"];
        assert_eq!(mappings["dynamic"], false, "{template}");
        let flat = if template.contains("opensearch") { "flat_object" } else { "flattened" };
        assert_eq!(mappings["properties"]["audit"]["type"], flat, "{template}");
        assert_eq!(mappings["properties"]["@timestamp"]["type"], "date_nanos", "{template}");
        let original = &mappings["properties"]["event"]["properties"]["original"];
        assert_eq!((&original["index"], &original["doc_values"]), (&false.into(), &false.into()), "{template}");
        for sent in &sent {
            check_mapped(&template, mappings, sent);
        }
    }
}

/// Every member of `sent` has a mapping.
fn check_mapped(at: &str, mapping: &serde_json::Value, sent: &serde_json::Value) {
    let is_whole = ["flattened", "flat_object"].contains(&mapping["type"].as_str().unwrap_or_default());
    if is_whole || mapping["dynamic"] == true {
        return;
    }
    let Some(members) = sent.as_object() else {
        return assert!(mapping["type"].is_string(), "{at} is no field");
    };
    for (name, value) in members {
        let inner = &mapping["properties"][name];
        assert!(inner.is_object(), "{at}.{name} is not mapped");
        check_mapped(&format!("{at}.{name}"), inner, value);
    }
}
