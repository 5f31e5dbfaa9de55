//! Tests of the receiver.
#![allow(clippy::unwrap_used)]

mod search;

use super::*;
use axum::http::HeaderValue;
use serde_json::Value;
use std::io::Write as _;

/// 2026-11-22T00:00:00Z in milliseconds: the clock of these tests.
const NOW: i64 = 1_795_305_600_000;
const HOUR: i64 = 3_600_000;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair =
        |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    pairs.iter().map(pair).collect()
}

/// The headers of a request of JSON.
fn json_headers() -> HeaderMap {
    headers(&[("dd-api-key", "k"), ("content-type", "application/json")])
}

fn datadog() -> Datadog {
    Datadog::new(DatadogOptions::default())
}

/// Sends a request: the status, and the text if it is not 202.
fn send(datadog: &Datadog, headers: &HeaderMap, body: impl AsRef<[u8]>) -> (u16, String) {
    match datadog.take(headers, body.as_ref(), NOW) {
        Ok(()) => (202, String::new()),
        Err(refusal) => (refusal.status.as_u16(), refusal.text),
    }
}

fn messages(datadog: &Datadog) -> Vec<String> {
    datadog.entries().into_iter().map(|entry| String::from_utf8(entry.message).unwrap()).collect()
}

#[test]
fn keys() {
    #[track_caller]
    fn check(known: &[&str], pairs: &[(&'static str, &str)], status: u16) {
        let keys = known.iter().map(ToString::to_string).collect();
        let datadog = Datadog::new(DatadogOptions { keys, ..DatadogOptions::default() });
        let mut headers = headers(pairs);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        assert_eq!(send(&datadog, &headers, "[]").0, status);
        assert_eq!(datadog.search(&headers, b"", NOW).map_err(|refusal| refusal.status.as_u16()).err(), {
            // A search needs a second key.
            Some(if status == 202 { 403 } else { status })
        });
        let counts = datadog.counts();
        assert_eq!((counts.requests, counts.refused_requests), (1, u64::from(status != 202)));
    }
    check(&[], &[], 401);
    check(&[], &[("dd-api-key", "")], 401);
    check(&[], &[("dd-api-key", "any")], 202);
    check(&["a", "b"], &[("dd-api-key", "b")], 202);
    check(&["a", "b"], &[("dd-api-key", "c")], 403);
    check(&["a"], &[("authorization", "a")], 401);
}

#[test]
fn what_is_taken_and_what_is_not() {
    #[track_caller]
    fn check(body: &str, status: u16, text: &str, stored: &[&str]) {
        let datadog = datadog();
        let got = send(&datadog, &json_headers(), body);
        assert!(got.0 == status && got.1.contains(text), "{got:?}");
        assert_eq!(messages(&datadog), stored);
    }
    check("[]", 202, "", &[]);
    check(r#"[{"message":"a"},{"message":"b\u0000\"é"}]"#, 202, "", &["a", "b\0\"é"]);
    check(r#" {"message":"a"} "#, 202, "", &["a"]);
    check("", 400, "EOF", &[]);
    check("7", 400, "not an object", &[]);
    check(r#"[{"message":"a"},]"#, 400, "trailing comma", &[]);
    check(r#"[{"message":"a"}"#, 400, "EOF", &[]);
    check(r#"{"message":"a"}{"message":"b"}"#, 400, "trailing characters", &[]);
    check(r#"[{"message":"a"},{"service":"s"}]"#, 400, "log 1: missing field `message`", &[]);
    check(r#"[{"message":"a"},["b"]]"#, 400, "log 1: not an object", &[]);
    check(r#"[{"message":{"a":1}}]"#, 400, "log 0", &[]);
    check(r#"[{"message":"a","message":"b"}]"#, 400, "duplicate field", &[]);
    check(r#"[{"message":"a","ddtags":["k:v"]}]"#, 400, "expected a string", &[]);
    check(r#"[{"message":"a","timestamp":1.5}]"#, 400, "a timestamp must be", &[]);
    check(r#"[{"message":"a","timestamp":"soon"}]"#, 400, "log 0: ", &[]);
    assert_eq!(send(&datadog(), &json_headers(), b"[{\"message\":\"\xff\"}]").0, 400);
}

#[test]
fn types_and_encodings() {
    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }
    fn zlib(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }
    #[track_caller]
    fn check(kind: &str, encoding: &str, body: &[u8], status: u16) {
        let headers = headers(&[("dd-api-key", "k"), ("content-type", kind), ("content-encoding", encoding)]);
        let datadog = datadog();
        assert_eq!(send(&datadog, &headers, body).0, status);
        assert_eq!(messages(&datadog), if status == 202 { vec!["a"] } else { vec![] });
    }
    let body = br#"[{"message":"a"}]"#;
    let json = "application/json";
    check(json, "", body, 202);
    check("application/JSON; charset=utf-8", "identity", body, 202);
    check(json, "gzip", &gzip(body), 202);
    check(json, "deflate", &zlib(body), 202);
    check(json, "zstd", &zstd::encode_all(&body[..], 1).unwrap(), 202);
    check(json, "gzip", body, 400);
    check(json, "deflate", body, 400);
    check(json, "zstd", body, 400);
    check(json, "br", body, 415);
    check("text/plain", "", body, 415);
    check("", "", body, 415);
    let large = vec![b'['; 5_000_001];
    check(json, "gzip", &gzip(&large), 413);
    check(json, "deflate", &zlib(&large), 413);
    check(json, "zstd", &zstd::encode_all(&large[..], 1).unwrap(), 413);
}

#[test]
fn too_many_logs() {
    #[track_caller]
    fn check(surplus: DatadogSurplus, count: usize, status: u16, stored: usize, dropped: u64) {
        let datadog = Datadog::new(DatadogOptions { surplus, ..DatadogOptions::default() });
        let logs: Vec<_> = (0..count).map(|nth| json!({ "message": nth.to_string() })).collect();
        assert_eq!(send(&datadog, &json_headers(), Value::from(logs).to_string()).0, status);
        assert_eq!((datadog.entries().len(), datadog.counts().dropped_surplus), (stored, dropped));
    }
    check(DatadogSurplus::Refuse, 1000, 202, 1000, 0);
    check(DatadogSurplus::Refuse, 1001, 413, 0, 0);
    check(DatadogSurplus::Cut, 1000, 202, 1000, 0);
    check(DatadogSurplus::Cut, 1003, 202, 1000, 3);
}

#[test]
fn a_log_that_is_too_long_loses_its_end_behind_a_202() {
    #[track_caller]
    fn check(message: &str, expect: &str) {
        let options = DatadogOptions { max_log: 100, ..DatadogOptions::default() };
        let datadog = Datadog::new(options);
        let object = json!({ "message": message, "auditship.id": "a" });
        assert_eq!(send(&datadog, &json_headers(), object.to_string()).0, 202);
        assert_eq!(messages(&datadog), [expect]);
        let stored = String::from_utf8(datadog.entries().remove(0).object).unwrap();
        assert!(stored.len() <= 100, "{stored}");
        assert_eq!(serde_json::from_str::<Value>(&stored).unwrap()["message"], expect);
        let counts = datadog.counts();
        assert_eq!((counts.truncated, counts.accepted), (u64::from(message != expect), 1));
    }
    // Beside its message the object has 33 bytes.
    let just = "x".repeat(67);
    check(&just, &just);
    check(&format!("{just}y"), &just);
    check(&"\n".repeat(50), &"\n".repeat(33));
    check(&"\u{1}".repeat(50), &"\u{1}".repeat(11));
    check(&"€".repeat(50), &"€".repeat(22));
}

#[test]
fn what_is_too_old_is_dropped_behind_a_202() {
    #[track_caller]
    fn check(timestamp: Value, is_stored: bool) {
        let datadog = datadog();
        let body = json!([{ "message": "a", "timestamp": timestamp }, { "message": "b" }]);
        assert_eq!(send(&datadog, &json_headers(), body.to_string()).0, 202);
        assert_eq!(messages(&datadog), if is_stored { vec!["a", "b"] } else { vec!["b"] });
        assert_eq!(datadog.counts().dropped_old, u64::from(!is_stored));
    }
    check(NOW.into(), true);
    check((NOW - 18 * HOUR).into(), true);
    check((NOW - 18 * HOUR - 1).into(), false);
    check((NOW + 2 * HOUR).into(), true);
    check((NOW + 2 * HOUR + 1).into(), false);
    check(i64::MIN.into(), false);
    check("2026-11-21T06:00:00Z".into(), true);
    check("2026-11-21T05:59:59.999Z".into(), false);
    // In seconds it is 1970.
    check((NOW / 1000).into(), false);
}

#[test]
fn what_comes_twice_is_counted() {
    let datadog = datadog();
    let log = |id: &str, message: &str| json!({ "message": message, "auditship.id": id });
    for body in [
        json!([log("1", "a"), log("2", "b")]),
        json!([log("1", "a"), log("1", "a"), log("2", "other")]),
        json!([{ "message": "a" }, { "message": "a" }]),
    ] {
        assert_eq!(send(&datadog, &json_headers(), body.to_string()).0, 202);
    }
    let sends: Vec<_> = datadog.entries().iter().map(|entry| entry.sends).collect();
    assert_eq!((messages(&datadog).join(" "), sends), ("a b other a a".into(), vec![3, 1, 1, 1, 1]));
    assert_eq!(datadog.entries()[0].object, log("1", "a").to_string().into_bytes());
    assert_eq!(
        datadog.counts(),
        DatadogCounts {
            requests: 3,
            accepted: 5,
            duplicates: 2,
            differing: 1,
            message_bytes: 9,
            ..DatadogCounts::default()
        }
    );
}
