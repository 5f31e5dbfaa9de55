#![allow(clippy::unwrap_used)]

use super::*;
use crate::model::Container;
use crate::{
    model::leaf,
    output::splunk::tests::{body, encoded, origin, record},
};
use proptest::prelude::*;
use serde_json::{Value, value::RawValue};
use std::collections::BTreeMap;

fn splunk() -> Splunk {
    Splunk { index: Some("audit".into()), ..Splunk::default() }
}

fn labels(pairs: &[(&str, &str)]) -> LabelSet {
    LabelSet::new(pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())))
}

/// The `fields` and the `event` of an encoded record, the latter in its bytes.
fn parsed(encoded: &[u8]) -> (BTreeMap<String, String>, String) {
    let envelope: BTreeMap<&str, &RawValue> = serde_json::from_slice(encoded).unwrap();
    (serde_json::from_str(envelope["fields"].get()).unwrap(), envelope["event"].get().to_owned())
}

#[test]
fn envelopes() {
    #[track_caller]
    fn check(record: &Record<'_>, expect: &str) {
        let got = encoded(&splunk(), record, &origin("node-7", "/var/log/a.jsonl"), &labels(&[("tenant", "a\"b")]));
        let head = r#","host":"node-7","source":"/var/log/a.jsonl","sourcetype":"auditship","index":"audit","fields":{"auditship_file":"00000000000000ab","tenant":"a\"b","auditship_seq":"3","auditship_offset":"7","auditship_id":"00000000000000ab-7-"#;
        assert_eq!(String::from_utf8(got).unwrap().replace(head, "~"), expect);
    }
    let time = |body, nanos| Record { time: Nanos(nanos), ..record(body) };
    check(
        &time(b"{\"a\": 1}", 1_700_000_000_123_456_789),
        "{\"time\":1700000000.123456789~f9d86028c6e0d64e\"},\"event\":{\"a\": 1}}\n",
    );
    check(
        &time(b"abc\t\"", -1_500_000_000),
        "{\"time\":-1.500000000~0335963f7f60aa64\",\"auditship_mark\":\"malformed\",\"auditship_form\":\"string\"},\"event\":\"abc\\t\\\"\"}\n",
    );
    check(
        &time(b"", 1),
        "{\"time\":0.000000001~e3b0c44298fc1c14\",\"auditship_mark\":\"empty\",\"auditship_form\":\"wrapped\"},\"event\":{\"auditship_body\":\"\"}}\n",
    );
    let whole = Some(Part { number: 12, whole: Some([0xfe; 32]) });
    check(
        &Record { part: whole, ..time(b"\xff", 0) },
        &format!(
            "{{\"time\":0.000000000~a8100ae6aa1940d0\",\"auditship_mark\":\"malformed,invalid_utf8\",\"auditship_part\":\"12\",\"auditship_parts\":\"12\",\"auditship_sha256\":\"{}\",\"auditship_encoding\":\"base64\"}},\"event\":\"/w==\"}}\n",
            "fe".repeat(32)
        ),
    );
}

#[test]
fn shapes() {
    #[track_caller]
    fn check(record: Record<'_>, expect: Shape) {
        assert_eq!(Shape::of(&record), expect, "{record:?}");
    }
    check(record(b"{\"a\":1}"), Shape::Object);
    check(Record { marks: Marks::UNTERMINATED, ..record(b"{\"a\":1}") }, Shape::Object);
    check(record(b"{\"a\":\"{[{[{[{[{[{[{[{[{[{[{[{[\\\"{[\"}"), Shape::Object);
    let nested = |levels: usize| ["{\"a\":".repeat(levels - 1).as_str(), "{}", &"}".repeat(levels - 1)].concat();
    check(record(nested(20).as_bytes()), Shape::Object);
    check(record(nested(21).as_bytes()), Shape::Text);
    // Many, but not deep.
    check(record(format!("{{\"a\":[{}0]}}", "[[]],".repeat(30)).as_bytes()), Shape::Object);

    // HEC refuses an object with nothing in it; what is around one would be lost.
    for text in [&b"{}"[..], b"{ \t}", b" {\"a\":1}", b"{\"a\":1}\r", b"[1]", b"null", b"\"\"", b"{\"a\":1", b"{x}"] {
        check(record(text), Shape::Text);
    }
    // A part that happens to be an object is not the line.
    check(Record { part: Some(Part { number: 2, whole: None }), ..record(b"{\"a\":1}") }, Shape::Text);
    check(Record { marks: Marks::GAP, ..record(b"{\"a\":1}") }, Shape::Text);
    for blank in ["", "\r", " \t", "\u{a0}\u{3000}", "\0\0", "\u{feff}"] {
        check(record(blank.as_bytes()), Shape::Wrapped);
    }
    check(record(b"{\"a\":\"\xff\"}"), Shape::Base64);
    check(record(b"\xff"), Shape::Base64);
}

#[test]
fn what_is_empty_is_left_out_and_what_is_long_is_cut() {
    fn check(splunk: Splunk, host: &str, path: &str, expect: &str) {
        assert_eq!(String::from_utf8(splunk.file(&origin(host, path))).unwrap(), expect);
    }
    let file = r#","fields":{"auditship_file":"00000000000000ab""#;
    let none = Splunk { index: None, sourcetype: String::new(), ..splunk() };
    check(none.clone(), "", "", file);
    check(none, "h", "/\u{1}\"", &format!(r#","host":"h","source":"/\u0001\""{file}"#));
    let long = "€".repeat(700);
    check(
        splunk(),
        &long,
        "",
        &format!(r#","host":"{}","sourcetype":"auditship","index":"audit"{file}"#, "€".repeat(682)),
    );
}

#[test]
fn what_is_known_of_a_container_is_in_the_fields_and_its_labels_are_not() {
    let container = Container {
        namespace: Some("shop".into()),
        pod: Some("p-1".into()),
        pod_uid: None,
        name: Some("app".into()),
        restart_count: Some(0),
        id: Some("f00".into()),
        labels: [("app".into(), "api".into())].into(),
    };
    let origin = Origin { container: Some(container.into()), ..origin("", "") };
    let expect = r#","sourcetype":"auditship","index":"audit","fields":{"auditship_file":"00000000000000ab","auditship_namespace":"shop","auditship_pod":"p-1","auditship_container":"app","auditship_restart_count":"0","auditship_container_id":"f00""#;
    assert_eq!(String::from_utf8(splunk().file(&origin)).unwrap(), expect);
}

#[test]
fn a_label_hides_no_field_and_no_other_label() {
    fn check(pairs: &[(&str, &str)], expect: &str) {
        assert_eq!(String::from_utf8(splunk().stream(&labels(pairs)).bytes).unwrap(), expect);
    }
    check(&[], "");
    check(&[("tenant", "a"), ("event_type", "x\ny")], r#","event_type":"x\ny","tenant":"a""#);
    check(&[("host", "a"), ("label_host", "b")], r#","label_host":"a","label_label_host":"b""#);
    check(&[("auditship_id", "a"), ("_raw", "b")], r#","label__raw":"b","label_auditship_id":"a""#);
}

#[test]
fn any_line_fits_the_least_limit_of_hec() {
    let body = [1; MAX_LINE];
    let whole = Some(Part { number: u32::MAX, whole: Some([0xfe; 32]) });
    let record = Record { part: whole, offset: u64::MAX, seq: u64::MAX, ..record(&body) };
    let origin = origin(&"\u{1}".repeat(MAX_VALUE), &"\u{1}".repeat(MAX_VALUE));
    let encoded = encoded(&splunk(), &record, &origin, &LabelSet::default());
    assert!((800_000..900_000).contains(&encoded.len()), "{}", encoded.len());
}

#[test]
fn times() {
    fn check(nanos: i64, expect: &str) {
        assert_eq!(String::from_utf8_lossy(seconds(Nanos(nanos)).bytes()), expect);
    }
    check(0, "0.000000000");
    check(-1, "-0.000000001");
    check(-1_500_000_000, "-1.500000000");
    check(1_700_000_000_123_456_789, "1700000000.123456789");
    check(i64::MAX, "9223372036.854775807");
    check(i64::MIN, "-9223372036.854775808");
}

fn marks() -> impl Strategy<Value = Marks> {
    let all = vec![Marks::MALFORMED, Marks::INVALID_UTF8, Marks::EMPTY, Marks::UNTERMINATED, Marks::GAP];
    prop::sample::subsequence(all, 0..=5).prop_map(|marks| marks.into_iter().fold(Marks::NONE, Marks::with))
}

fn part() -> impl Strategy<Value = Option<Part>> {
    let part = (any::<u32>(), any::<Option<[u8; 32]>>()).prop_map(|(number, whole)| Part { number, whole });
    prop_oneof![4 => Just(None), 1 => part.prop_map(Some)]
}

proptest! {
    #[test]
    fn decimals_are_the_time(nanos in any::<i64>()) {
        let text = String::from_utf8(seconds(Nanos(nanos)).bytes().to_vec()).unwrap();
        let (whole, decimals) = text.split_once('.').unwrap();
        prop_assert_eq!((decimals.len(), text.starts_with('-')), (9, nanos < 0));
        prop_assert_eq!(format!("{whole}{decimals}").parse::<i64>().unwrap(), nanos);
    }

    #[test]
    fn an_envelope_has_the_known_keys_and_flat_fields(
        body in body(),
        marks in marks(),
        part in part(),
        host in ".{0,20}",
        path in ".{0,20}",
        pairs in prop::collection::btree_map("[a-z_]{1,9}|host|auditship_id", ".{0,9}", 0..5),
    ) {
        let of_body = record(&body);
        // What is wrong with a body is always marked; it may have other marks.
        let record = Record { marks: of_body.marks.with(marks), part, ..of_body };
        let labels = LabelSet::new(pairs);
        let encoded = encoded(&splunk(), &record, &origin(&host, &path), &labels);
        prop_assert_eq!(encoded.last(), Some(&b'\n'));
        prop_assert_eq!(encoded.iter().filter(|byte| **byte == b'\n').count(), 1);

        let envelope: serde_json::Map<String, Value> = serde_json::from_slice(&encoded).unwrap();
        for key in envelope.keys() {
            prop_assert!(["time", "host", "source", "sourcetype", "index", "fields", "event"].contains(&&**key));
        }
        let (fields, event) = parsed(&encoded);
        prop_assert_eq!(fields["auditship_id"].split('-').nth(2).unwrap(), &format!("{:x}", HexOf(&leaf(&body)[..8])));
        let marks: Vec<_> = record.marks.names().collect();
        prop_assert_eq!(fields.get("auditship_mark").map_or("", String::as_str), marks.join(","));
        let known = 4 + [!marks.is_empty(), part.is_some()].into_iter().map(usize::from).sum::<usize>();
        let known = known + part.and_then(|part| part.whole).map_or(0, |_| 2);
        let is_object = Shape::of(&record) == Shape::Object;
        prop_assert_eq!(fields.len(), known + labels.iter().count() + usize::from(!is_object));
        if is_object {
            prop_assert_eq!(event.as_bytes(), &body);
        }
    }
}

/// Bytes in hexadecimal digits, as somebody else writes them.
struct HexOf<'a>(&'a [u8]);

impl std::fmt::LowerHex for HexOf<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
