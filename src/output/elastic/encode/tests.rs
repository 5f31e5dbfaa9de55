#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    model::{FileName, leaf},
    output::elastic::tests::{NOW, encoded, index, labels, origin, plainly, pod, record, stream as data_stream},
};
use proptest::prelude::*;
use serde_json::Value;

fn document(encoded: &[u8]) -> Value {
    serde_json::from_slice(encoded.split(|byte| *byte == b'\n').nth(1).unwrap()).unwrap()
}

#[test]
fn one_record_in_bytes() {
    let body = br#"{"ts":"2026-11-25T19:05:03Z", "event_type":"login" }"#;
    let origin = Origin { container: Some(pod().into()), ..origin() };
    let labels = labels(&[("cluster", "eu-1"), ("event_type", "login"), ("tenant", "ac\"me")]);
    let out = encoded(&index("audit-%Y.%m"), &record(body), &origin, &labels);
    let id = format!("00000000000000ab-7-{}", leaf(body)[..8].iter().map(|b| format!("{b:02x}")).collect::<String>());
    let expect = [
        r#"{"create":{"_index":"audit-2026.11","_id":"ID"}}"#,
        "\n",
        r#"{"@timestamp":"2026-11-25T19:05:03.123456789Z","#,
        r#""event":{"id":"ID","sequence":3,"kind":"event","#,
        r#""original":"{\"ts\":\"2026-11-25T19:05:03Z\", \"event_type\":\"login\" }","action":"login"},"#,
        r#""organization":{"id":"ac\"me"},"#,
        r#""labels":{"cluster":"eu-1","event_type":"login","tenant":"ac\"me"},"#,
        r#""host":{"name":"h"},"#,
        r#""container":{"id":"f0","name":"app"},"#,
        r#""kubernetes":{"pod":{"name":"api-1","uid":"u-1"},"namespace":"shop","container":{"status":{"restarts":2}}},"#,
        r#""log":{"file":{"path":"/p"},"offset":7},"#,
        r#""auditship":{"file":"00000000000000ab"},"#,
        r#""ecs":{"version":"8.11.0"},"#,
        r#""audit":{"ts":"2026-11-25T19:05:03Z", "event_type":"login" }}"#,
        "\n",
    ];
    assert_eq!(String::from_utf8(out).unwrap(), expect.concat().replace("ID", &id));
}

#[test]
fn a_data_stream_is_its_name() {
    let out = encoded(&data_stream("logs-audit-default"), &record(b"{}"), &origin(), &labels(&[]));
    assert!(out.starts_with(br#"{"create":{"_index":"logs-audit-default","_id":"00000000000000ab-7-"#));
}

#[test]
fn what_is_unusual_is_said() {
    fn check(record: &Record<'_>, own: &str, original: &str) {
        let document = document(&plainly(record));
        let expect: Value = serde_json::from_str(&format!("{{\"file\":\"00000000000000ab\"{own}}}")).unwrap();
        assert_eq!(document["auditship"], expect);
        assert_eq!(document["event"]["original"], original);
        assert_eq!(document.get("audit"), None);
    }
    check(&record(b"no json\t\x7f"), r#","mark":["malformed"]"#, "no json\t\x7f");
    check(&record(b""), r#","mark":["empty"]"#, "");
    check(&record(b"\xff{}"), r#","mark":["malformed","invalid_utf8"],"encoding":"base64""#, "/3t9");
    let part = |number, whole| Some(Part { number, whole });
    check(&Record { part: part(2, None), ..record(b"{}") }, r#","part":2"#, "{}");
    let own = format!(r#","part":2,"parts":2,"sha256":"{}""#, "ab".repeat(32));
    check(&Record { part: part(2, Some([0xab; 32])), ..record(b"{}") }, &own, "{}");
    let gap = Record { marks: Marks::GAP, ..record(b"{}") };
    check(&gap, r#","mark":["gap"]"#, "{}");
}

#[test]
fn an_object_without_newline_at_the_end_is_an_object() {
    let marks = Marks::UNTERMINATED;
    assert_eq!(document(&plainly(&Record { marks, ..record(b"{\"a\":1}") }))["audit"]["a"], 1);
}

#[test]
fn a_time_before_1970_travels_beside_one_that_can_be_stored() {
    fn check(time: i64, seen: i64, timestamp: &str, own: Option<&str>) {
        let origin = Origin { first_seen: Nanos(seen), ..origin() };
        let record = Record { time: Nanos(time), ..record(b"{}") };
        let document = document(&encoded(&index("a"), &record, &origin, &labels(&[])));
        assert_eq!(document["@timestamp"], timestamp);
        assert_eq!(document["auditship"].get("time").and_then(Value::as_str), own);
    }
    let seen = 1_000 * Nanos::SECOND;
    check(0, seen, "1970-01-01T00:00:00.000000000Z", None);
    check(i64::MAX, seen, "2262-04-11T23:47:16.854775807Z", None);
    check(-1, seen, "1970-01-01T00:16:40.000000000Z", Some("1969-12-31T23:59:59.999999999Z"));
    check(i64::MIN, -5, "1970-01-01T00:00:00.000000000Z", Some("1677-09-21T00:12:43.145224192Z"));
}

#[test]
fn labels_say_the_action_and_the_organization() {
    fn check(given: &[(&str, &str)], action: Option<&str>, organization: Option<&str>) {
        let document = document(&encoded(&index("a"), &record(b"{}"), &origin(), &labels(given)));
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        assert_eq!(text(&document["event"]["action"]).as_deref(), action);
        assert_eq!(text(&document["organization"]["id"]).as_deref(), organization);
        assert_eq!(document["labels"].as_object().unwrap().len(), given.len());
    }
    check(&[], None, None);
    check(&[("action", "a"), ("org", "o")], Some("a"), Some("o"));
    check(&[("action", "a"), ("event_type", "e"), ("org", "o"), ("tenant", "t")], Some("e"), Some("t"));
    check(&[("ecs", "x"), ("audit", "{}")], None, None);
}

#[test]
fn what_is_known_of_a_container_is_sent() {
    fn check(container: Container, expect: &str) {
        let origin = Origin { container: Some(container.into()), ..origin() };
        let text = String::from_utf8(file(&origin)).unwrap();
        let head = ",\"host\":{\"name\":\"h\"}";
        assert_eq!(text, format!("{head}{expect},\"log\":{{\"file\":{{\"path\":\"/p\"}},\"offset\":"));
        document(&encoded(&index("a"), &record(b"{}"), &origin, &labels(&[])));
    }
    let none = Container::default;
    check(none(), "");
    check(Container { id: Some("i".into()), ..none() }, r#","container":{"id":"i"}"#);
    check(Container { namespace: Some("n".into()), ..none() }, r#","kubernetes":{"pod":{},"namespace":"n"}"#);
    check(Container { pod: Some("p".into()), ..none() }, r#","kubernetes":{"pod":{"name":"p"}}"#);
    let restarts = r#","kubernetes":{"pod":{},"container":{"status":{"restarts":0}}}"#;
    check(Container { restart_count: Some(0), ..none() }, restarts);
}

#[test]
fn long_texts_are_cut_at_a_character() {
    let origin = Origin { path: "é".repeat(MAX_TEXT).into(), host: "x\u{1}".into(), ..origin() };
    let document = document(&encoded(&index("a"), &record(b"{}"), &origin, &labels(&[])));
    assert_eq!(document["log"]["file"]["path"], "é".repeat(MAX_TEXT / 2));
    assert_eq!(document["host"]["name"], "x\u{1}");
}

/// The bytes between `audit`'s colon and the end of the document.
fn audit(encoded: &[u8]) -> Option<&[u8]> {
    let mark = [ECS, AUDIT].concat();
    let at = encoded.windows(mark.len()).position(|window| window == mark)?;
    encoded[at + mark.len()..].strip_suffix(b"}\n")
}

fn check_any(body: &[u8], host: &str, label: &str) {
    let origin = Origin { name: FileName(1), host: host.into(), ..origin() };
    let record = record(body);
    let out = encoded(&index("a-%d"), &record, &origin, &labels(&[("l", label), ("org", label)]));
    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 2);
    let document = document(&out);
    assert_eq!(document["host"]["name"], host);
    assert_eq!(document["event"]["sequence"], record.seq);
    match std::str::from_utf8(body) {
        Ok(text) => assert_eq!(document["event"]["original"], text),
        Err(_) => assert_eq!(document["auditship"]["encoding"], "base64"),
    }
    if let Some(audit) = audit(&out) {
        assert_eq!(audit, body);
        assert_eq!(document["audit"], serde_json::from_slice::<Value>(body).unwrap());
    } else {
        assert_eq!(document.get("audit"), None);
    }
}

#[test]
fn a_body_cannot_leave_its_place() {
    for body in [
        r#"},"ecs":{"version":"8.11.0"},"audit":{"a":1}"#,
        r#"{"},\"ecs\":{\"version\":\"8.11.0\"},\"audit\":":1}"#,
        r#"{"ecs":{"a":{},"ecs":{"version":"8.11.0"},"audit":{"x":1}}}"#,
        r#"{"a":1}} {"create":{}}"#,
        "{\"a\":\r1}\r",
        r#"{"a":"\ud800"}"#,
        r#"{"a":1e999}"#,
        r#"{"a":1,"a":2}"#,
    ] {
        check_any(body.as_bytes(), "h", "l");
    }
}

#[test]
fn an_object_is_spliced_byte_for_byte() {
    let body = " {\"a\" : 1.0e5, \"ü\":\"\\u00fc\\/\"}\r";
    assert_eq!(audit(&plainly(&record(body.as_bytes()))), Some(body.as_bytes()));
    assert_eq!(NOW, record(b"").time);
}

proptest! {
    #[test]
    fn any_record_is_one_document(
        body in prop_oneof![
            prop::collection::vec(any::<u8>().prop_filter("a line", |byte| *byte != b'\n'), 0..100),
            any::<String>().prop_map(String::into_bytes),
            prop::collection::btree_map("[a-z\u{e4}]{0,3}", any::<String>(), 0..9)
                .prop_map(|map| serde_json::to_vec(&map).unwrap()),
            prop::collection::vec(("[a-c]{1,2}", any::<i32>()), 0..5).prop_map(|pairs| {
                let pairs: Vec<_> = pairs.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
                format!("{{{}}}", pairs.join(",")).into_bytes()
            }),
        ],
        host in any::<String>(),
        label in "[^\u{0}]{1,20}",
    ) {
        check_any(&body, &host, &label);
    }
}
