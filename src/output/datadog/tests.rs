#![allow(clippy::unwrap_used)]

use super::{encode::MAX_LINE, *};
use crate::{
    batch::{Bases, Batch, Form, Pool, Selection},
    model::{Container, Digest, FileName, Marks, Nanos, Origin, Part, Record, leaf},
    output::{FileHead, Heads, Output},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use serde_json::{Value, json};

fn datadog() -> Datadog {
    Datadog::new(Compression::None)
}

fn origin(host: &str, path: &str, container: Option<Container>) -> Origin {
    Origin {
        name: FileName(0xab),
        host: host.into(),
        path: path.into(),
        source: "s".into(),
        first_seen: Nanos::default(),
        container: container.map(Into::into),
    }
}

fn labels(pairs: &[(&str, &str)]) -> LabelSet {
    LabelSet::new(pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())))
}

fn record(body: &[u8]) -> Record<'_> {
    let marks = if std::str::from_utf8(body).is_ok() { Marks::NONE } else { Marks::INVALID_UTF8 };
    Record { body, offset: 7, seq: 3, leaf: leaf(body), time: Nanos(1_999_999), marks, part: None }
}

fn head(origin: &Origin) -> FileHead {
    FileHead { name: origin.name, first_seen: origin.first_seen, bytes: encode::file(origin) }
}

fn encoded(record: &Record<'_>, origin: &Origin, labels: &LabelSet) -> Vec<u8> {
    let heads = Heads { file: &head(origin), stream: &datadog().stream(labels), now: Nanos::default() };
    let mut out = Vec::new();
    encode::record(&mut out, record, heads);
    out
}

fn read(encoded: &[u8]) -> Value {
    serde_json::from_slice(encoded.strip_suffix(b",").unwrap()).unwrap()
}

#[test]
fn a_log_is_these_bytes() {
    #[track_caller]
    fn check(record: &Record<'_>, container: Option<Container>, pairs: &[(&str, &str)], expect: &[&str]) {
        let got = encoded(record, &origin("node \"7\"", "/var/log/a.jsonl", container), &labels(pairs));
        assert_eq!(String::from_utf8_lossy(&got), expect.concat() + ",");
    }
    // The first 16 hex digits of SHA-256("abc"), from FIPS 180-2.
    check(
        &record(b"abc"),
        None,
        &[],
        &[
            r#"{"hostname":"node \"7\"","auditship.file":"00000000000000ab","auditship.path":"/var/log/a.jsonl""#,
            r#","auditship.id":"00000000000000ab-7-ba7816bf8f01cfea","auditship.seq":"3","auditship.offset":"7""#,
            r#","auditship.time_ns":"1999999""#,
            r#","ddsource":"auditship","service":"auditship","ddtags":"","timestamp":1,"message":"abc"}"#,
        ],
    );
    let container = Container {
        namespace: Some("shop".into()),
        pod: Some("api-1".into()),
        pod_uid: Some("u-1".into()),
        name: Some("api".into()),
        restart_count: Some(2),
        id: Some("f0".into()),
        labels: [("app".into(), "api".into())].into(),
    };
    let marks = Marks::MALFORMED.with(Marks::INVALID_UTF8);
    let part = Some(Part { number: 4, whole: Some([0xa5; 32]) });
    let (offset, seq, time) = (u64::MAX, u64::MAX, Nanos(i64::MIN));
    check(
        &Record { marks, part, offset, seq, time, leaf: [1; 32], body: b"\xff{\"" },
        Some(container),
        &[("tenant", "a, b"), ("event", "log in")],
        &[
            r#"{"hostname":"node \"7\"","auditship.file":"00000000000000ab","auditship.path":"/var/log/a.jsonl""#,
            r#","auditship.namespace":"shop","auditship.pod":"api-1","auditship.pod_uid":"u-1""#,
            r#","auditship.container":"api","auditship.container_id":"f0","auditship.restart_count":"2""#,
            r#","auditship.id":"00000000000000ab-18446744073709551615-0101010101010101""#,
            r#","auditship.seq":"18446744073709551615","auditship.offset":"18446744073709551615""#,
            r#","auditship.time_ns":"-9223372036854775808","auditship.mark":"malformed,invalid_utf8""#,
            r#","auditship.part":"4","auditship.parts":"4","auditship.sha256":"a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5""#,
            r#","auditship.encoding":"base64","auditship.labels.event":"log in","auditship.labels.tenant":"a, b""#,
            r#","ddsource":"auditship","service":"auditship","ddtags":"event:log_in,tenant:a__b""#,
            r#","timestamp":-9223372036855,"message":"/3si"}"#,
        ],
    );
}

#[test]
fn a_json_line_stays_a_string() {
    let line = br#"{"ts":"2026-01-01","auditship":{"id":"x"},"n":1.50,"u":"\u00fc"}"#;
    assert_eq!(
        read(&encoded(&record(line), &origin("h", "/p", None), &labels(&[])))["message"],
        json!(r#"{"ts":"2026-01-01","auditship":{"id":"x"},"n":1.50,"u":"\u00fc"}"#)
    );
}

#[test]
fn tags_have_only_what_datadog_takes() {
    #[track_caller]
    fn check(pairs: &[(&str, &str)], expect: &str) {
        let log = read(&encoded(&record(b"x"), &origin("h", "/p", None), &labels(pairs)));
        assert_eq!(log["ddtags"], expect);
        for (name, value) in pairs {
            assert_eq!(log[format!("auditship.labels.{name}")], **value);
        }
    }
    check(&[("a", "b")], "a:b");
    check(&[("a", "Ab-9_c:d./e")], "a:Ab-9_c:d./e");
    check(&[("a", "x,y:z"), ("b", "\"\\ \n\u{1}é🦀")], "a:x_y:z,b:_____é_");
    check(&[("a", &"ü".repeat(300))], &format!("a:{}", "ü".repeat(198)));
}

#[test]
fn values_are_cut_at_a_character() {
    #[track_caller]
    fn check(given: &str, expect: &str) {
        let log = read(&encoded(&record(b"x"), &origin(given, given, None), &labels(&[("a", given)])));
        for value in [&log["hostname"], &log["auditship.path"], &log["auditship.labels.a"]] {
            assert_eq!(*value, *expect);
        }
    }
    check("p", "p");
    check(&"p".repeat(2049), &"p".repeat(2048));
    check(&"€".repeat(700), &"€".repeat(682));
    check(&"\"".repeat(1024), &"\"".repeat(1024));
    check(&"\u{1}".repeat(400), &"\u{1}".repeat(341));
}

/// The largest log that there can be, with more labels than the configuration takes.
#[test]
fn no_log_is_cut() {
    fn check(body: &[u8], text: &str) {
        let part = Some(Part { number: u32::MAX, whole: Some([0xff; 32]) });
        let all = [Marks::MALFORMED, Marks::INVALID_UTF8, Marks::EMPTY, Marks::UNTERMINATED, Marks::GAP];
        let marks = all.into_iter().filter(|mark| *mark != Marks::INVALID_UTF8 || std::str::from_utf8(body).is_err());
        let marks = marks.fold(Marks::NONE, Marks::with);
        let (offset, seq, time) = (u64::MAX, u64::MAX, Nanos(i64::MIN));
        let record = Record { body, offset, seq, leaf: leaf(body), time, marks, part };
        let text = || Some(text.into());
        let container = Container {
            namespace: text(),
            pod: text(),
            pod_uid: text(),
            name: text(),
            restart_count: Some(u32::MAX),
            id: text(),
            labels: [].into(),
        };
        let pairs = (0..16).map(|nth| (format!("{nth:0>200}"), text().unwrap().into()));
        let datadog = Datadog { source: text().unwrap().into(), service: text().unwrap().into(), ..datadog() };
        let origin = origin(&text().unwrap(), &text().unwrap(), Some(container));
        let heads = Heads { file: &head(&origin), stream: &datadog.stream(&LabelSet::new(pairs)), now: Nanos(0) };
        let mut out = Vec::new();
        encode::record(&mut out, &record, heads);
        assert!(out.len() <= MAX_LOG, "{}", out.len());
        assert_eq!(describe::describe(&out).unwrap().body, body);
    }
    for text in ["\u{1}".repeat(5000), "x".repeat(5000), "\u{10000}".repeat(5000), "\"".repeat(5000)] {
        check(&[0; MAX_LINE], &text);
        check(&[0xff; MAX_LINE], &text);
        check(&[b'x'; MAX_LINE], &text);
    }
}

#[test]
fn every_site_has_its_url() {
    assert_eq!(url(SITES[0]), "https://http-intake.logs.datadoghq.com");
    assert!(SITES.iter().all(|site| url::Url::parse(&url(site)).unwrap().path() == "/"));
}

#[test]
fn the_output_says_what_the_sender_must_keep() {
    let output = Output::Datadog(datadog());
    assert_eq!((output.max_records(), output.line_limit(), output.plainest()), (1000, 153_600, Form::Full));
    assert_eq!(output.max_age(), Some(Duration::from_secs(64_800)));
    let loki = Output::Loki(crate::output::loki::Loki::new(crate::output::loki::Tenant::None, String::new()));
    assert_eq!((loki.max_records(), loki.max_age()), (usize::MAX, None));
}

#[test]
fn other_bytes_are_not_a_log() {
    let one = encoded(&record(b"abc"), &origin("h", "/p", None), &labels(&[]));
    assert!(describe::describe(&one).is_some());
    assert_eq!(describe::describe(&[one.as_slice(), &one].concat()), None);
    assert_eq!(describe::describe(&one[..one.len() - 1]), None);
    for other in [&b""[..], b",", b"{},", b"[],", br#"{"message":"x","auditship":{}},"#] {
        assert_eq!(describe::describe(other), None);
    }
    let strange = String::from_utf8(encoded(&record(b"\xff"), &origin("h", "/p", None), &labels(&[]))).unwrap();
    assert_eq!(describe::describe(strange.replace("base64", "base85").as_bytes()), None);
}

/// The body of a request, and what its header says.
fn request(datadog: &Datadog, encoded: &[Vec<u8>], selected: &[usize]) -> (Option<&'static str>, Vec<u8>) {
    let mut pool = Pool::new(1 << 20);
    let mut batch = Batch::new(0, Duration::ZERO);
    for bytes in encoded {
        crate::model::Sink::put(&mut batch.body.writer(&mut pool), bytes);
        batch.end_record();
    }
    let selection = Selection::from_iter(selected.iter().copied(), Form::Full);
    let records = Records { batch: &batch, selection: &selection, bases: &Bases::default() };
    // A scratch that was used before.
    let mut scratch = Scratch::default();
    datadog.request(records, &mut scratch);
    let request = datadog.request(records, &mut scratch);
    assert_eq!((&*request.path, request.content_type), ("/api/v2/logs", "application/json"));
    assert!(request.headers.is_empty());
    (request.encoding, request.body)
}

#[test]
fn a_request_is_an_array() {
    #[track_caller]
    fn check(selected: &[usize], expect: &str) {
        let records = ["{\"a\":1},", "{\"b\":2},", "{\"c\":3},"].map(|text| text.as_bytes().to_vec());
        let (encoding, body) = request(&datadog(), &records, selected);
        assert_eq!((encoding, String::from_utf8(body).unwrap().as_str()), (None, expect));
    }
    check(&[], "[]");
    check(&[1], r#"[{"b":2}]"#);
    check(&[0, 2], r#"[{"a":1},{"c":3}]"#);
    check(&[0, 1, 2], r#"[{"a":1},{"b":2},{"c":3}]"#);
}

#[test]
fn a_request_is_compressed() {
    let records = [b"{\"a\":1},".to_vec()];
    let (encoding, body) = request(&Datadog::new(Compression::Gzip), &records, &[0]);
    assert_eq!(encoding, Some("gzip"));
    assert_eq!(std::io::read_to_string(flate2::read::GzDecoder::new(&body[..])).unwrap(), r#"[{"a":1}]"#);
    let (encoding, body) = request(&Datadog::new(Compression::Zstd), &records, &[0]);
    assert_eq!(encoding, Some("zstd"));
    assert_eq!(zstd::decode_all(&body[..]).unwrap(), br#"[{"a":1}]"#);
}

/// Everything that a record is made of, owned.
type Made = (Vec<u8>, u64, u64, i64, u8, Option<(u32, Option<Digest>)>);

fn made() -> impl Strategy<Value = Made> {
    let body = prop_oneof![
        2 => prop::collection::vec(any::<u8>(), 0..300),
        1 => prop::collection::vec(0u8..0x80, 0..300),
        2 => ".{0,200}".prop_map(String::into_bytes),
        1 => r#"\{"[a-z\\"\{\}]{0,9}":[0-9a-z"\{\}]{0,20}\}?"#.prop_map(String::into_bytes),
        // Longer than a chunk of base64.
        1 => prop::collection::vec(any::<u8>(), 760..2400),
    ];
    let number = || prop_oneof![any::<u64>(), 0u64..1000];
    (body, number(), number(), any::<i64>(), any::<u8>(), any::<Option<(u32, Option<Digest>)>>())
}

fn records(made: &[Made]) -> Vec<Record<'_>> {
    let all = [Marks::MALFORMED, Marks::EMPTY, Marks::UNTERMINATED, Marks::GAP];
    made.iter()
        .map(|(body, offset, seq, time, chosen, part)| {
            let chosen = all.into_iter().enumerate().filter(|(nth, _)| chosen >> nth & 1 == 1);
            let plain = record(body);
            let marks = chosen.fold(plain.marks, |marks, (_, mark)| marks.with(mark));
            let part = part.map(|(number, whole)| Part { number, whole });
            Record { offset: *offset, seq: *seq, time: Nanos(*time), marks, part, ..plain }
        })
        .collect()
}

proptest! {
    #[test]
    fn any_records_are_an_array_with_their_bodies(
        made in prop::collection::vec(made(), 0..8),
        host in ".{0,40}",
        path in ".{0,300}",
        pairs in prop::collection::vec(("[a-zA-Z_][a-zA-Z0-9_]{0,8}", ".{1,60}"), 0..5),
    ) {
        let (origin, labels, records) = (origin(&host, &path, None), LabelSet::new(pairs), records(&made));
        let encoded: Vec<_> = records.iter().map(|record| encoded(record, &origin, &labels)).collect();
        let all: Vec<_> = (0..records.len()).collect();
        let (_, body) = request(&datadog(), &encoded, &all);
        let logs: Vec<Value> = serde_json::from_slice(&body).unwrap();
        prop_assert_eq!(logs.len(), records.len());
        for ((log, record), encoded) in logs.iter().zip(&records).zip(&encoded) {
            let (message, own) = (log["message"].as_str().unwrap(), |name: &str| &log[format!("auditship.{name}")]);
            let sent = match own("encoding").as_str() {
                None => message.as_bytes().to_vec(),
                Some(encoding) => {
                    prop_assert_eq!(encoding, "base64");
                    STANDARD.decode(message).unwrap()
                }
            };
            prop_assert_eq!(sent.as_slice(), record.body);
            prop_assert_eq!((&log["hostname"], own("path")), (&json!(host), &json!(path)));
            prop_assert_eq!(&log["timestamp"], &json!(record.time.0.div_euclid(1_000_000)));
            // Flat, and texts, all but the time.
            let (times, texts): (Vec<_>, Vec<_>) = log.as_object().unwrap().iter().partition(|(_, value)| value.is_i64());
            prop_assert_eq!(times.len(), 1);
            prop_assert!(texts.iter().all(|(_, value)| value.is_string()));
            let exact = |(name, _): &(&String, _)| name.strip_prefix("auditship.labels.").map(str::to_owned);
            let labelled: Vec<_> = texts.iter().filter_map(|pair| Some((exact(pair)?, pair.1.as_str()?))).collect();
            prop_assert_eq!(labelled, labels.iter().map(|(name, value)| (name.to_owned(), value)).collect::<Vec<_>>());
            let described = describe::describe(encoded).unwrap();
            prop_assert_eq!(own("id"), &json!(described.id()));
            let (file, body) = (FileName(0xab), record.body.to_vec());
            let (offset, seq, time) = (record.offset, record.seq, record.time);
            prop_assert_eq!(described, crate::output::Described { file, offset, seq, time, body });
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        describe::describe(&bytes);
    }
}
