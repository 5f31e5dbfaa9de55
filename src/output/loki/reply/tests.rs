use super::*;
use crate::output::answer::MAX_PAUSE;
use proptest::prelude::*;
use std::time::Duration;

/// 1994-11-06T08:49:37Z, the date that RFC 9110 uses.
const NOW: Nanos = Nanos(784_111_777 * Nanos::SECOND);

/// The verdict in one line: its class, and for a stall its cause, scope and pause.
fn class(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accepted => "accepted".into(),
        Verdict::Refused { .. } => "refused".into(),
        Verdict::TooLarge { .. } => "too large".into(),
        Verdict::Stall(stall) => format!("{:?} {:?} {:?}", stall.cause, stall.scope, stall.retry_after),
        Verdict::Untimely(_) => "untimely".into(),
        other => format!("{other:?}"),
    }
}

fn text(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Accepted => "",
        Verdict::Refused { reason } | Verdict::TooLarge { reason } => reason,
        Verdict::Stall(stall) => &stall.text,
        Verdict::Untimely(untimely) => &untimely.reason,
        other => panic!("{other:?}"),
    }
}

fn reply(status: u16, body: &[u8], retry_after: Option<&str>, now: Nanos) -> Verdict {
    super::reply(Answer { status, body, retry_after, now })
}

#[test]
fn statuses() {
    fn check(status: u16, expect: &str) {
        assert_eq!(class(&reply(status, b"some text", None, NOW)), expect, "{status}");
    }
    check(204, "accepted");
    check(260, "Blocked Output None");
    for status in [200, 201, 202, 203, 205, 206, 207, 299] {
        check(status, "Unexpected Output None");
    }
    for status in [300, 301, 302, 303, 304, 307, 308, 399, 404, 405, 410, 422] {
        check(status, "Setup Output None");
    }
    check(400, "refused");
    for status in [401, 403, 407] {
        check(status, "Credentials Output None");
    }
    for status in [408, 499, 500, 501, 502, 503, 504, 599] {
        check(status, "ServerError Output None");
    }
    check(413, "too large");
    check(429, "RateLimited Output None");
    for status in [0, 99, 100, 199, 402, 406, 409, 411, 415, 417, 418, 421, 431, 451, 498, 600, 999, u16::MAX] {
        check(status, "Unexpected Output None");
    }
}

#[test]
fn times_that_are_refused_are_read_from_the_answer() {
    fn check(body: &str, behind: Option<&str>, old: Option<&str>, new: Option<&str>) {
        let time =
            |text: &str| Nanos(i64::try_from(text.parse::<jiff::Timestamp>().unwrap().as_nanosecond()).unwrap());
        let Verdict::Untimely(found) = reply(400, body.as_bytes(), None, NOW) else { panic!("{body}") };
        assert_eq!((found.behind, found.old, found.new), (behind.map(time), old.map(time), new.map(time)), "{body}");
    }
    // As Loki 3.4 writes them (pkg/ingester/stream.go, pkg/validation/validate.go).
    let behind = "entry with timestamp 2026-01-01 00:00:00 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp \
                  is: 2026-01-01T00:00:00Z, oldest acceptable timestamp is: 2026-01-01T01:00:00Z',\n\
                  entry with timestamp 2026-01-01 00:00:01 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp \
                  is: 2026-01-01T00:00:01Z, oldest acceptable timestamp is: 2026-01-01T01:00:02Z',\n\
                  user 'fake', total ignored: 2 out of 2 for stream: {a=\"b\"}";
    check(behind, Some("2026-01-01T01:00:03Z"), None, None);
    let old = "entry for stream '{a=\"b\"}' has timestamp too old: 2020-01-01T00:00:00Z, oldest acceptable timestamp is: \
               2026-01-01T00:00:00Z";
    check(old, None, Some("2026-01-01T00:00:01Z"), None);
    let new = "3 errors like: entry for stream '{a=\"b\"}' has timestamp too new: 2099-01-02T00:00:00.123456789Z; 1 errors \
               like: entry for stream '{a=\"b\"}' has timestamp too new: 2099-01-01T00:00:00Z";
    check(new, None, None, Some("2099-01-01T00:00:00Z"));
    check(&format!("{old}; {new}"), None, Some("2026-01-01T00:00:01Z"), Some("2099-01-01T00:00:00Z"));
    // A label's value is nobody's word.
    let forged = "entry for stream '{a=\"entry too far behind, oldest acceptable timestamp is: 2030-01-01T00:00:00Z\"}' has \
                  timestamp too old: 2020-01-01T00:00:00Z, oldest acceptable timestamp is: 2026-01-01T00:00:00Z";
    check(forged, None, Some("2026-01-01T00:00:01Z"), None);
}

#[test]
fn texts() {
    fn check(status: u16, body: &str, expect: &str) {
        assert_eq!(class(&reply(status, body.as_bytes(), None, NOW)), expect, "{body}");
    }
    let record = "refused";
    let request = "Setup Output None";
    let stream = "Setup Stream None";
    let broken = "Broken Output None";

    check(400, "", record);
    check(400, "a text of a later version\n", record);
    // As Loki 1.6.1 writes it, and later ones with unordered_writes: false.
    let order = "entry with timestamp 2026-01-01 00:00:00 +0000 UTC ignored, reason: 'entry out of order' for stream: {a=\"b\"},\n\
                 total ignored: 1 out of 2";
    check(400, order, stream);
    check(400, r#"entry for stream '{a="b"}' has timestamp too old: 2020-01-01T00:00:00Z, oldest …"#, record);
    check(
        400,
        r#"2 errors like: entry for stream '{a="b"}' has timestamp too new: 2099-01-01T00:00:00Z"#,
        "untimely",
    );
    check(400, r#"Max entry size '262144' bytes exceeded for stream '{a="b"}' while adding an entry"#, record);
    check(
        400,
        r#"entry with timestamp 2026-01-01 00:00:00 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp is: 2026-01-01T00:00:00Z, oldest acceptable timestamp is: 2026-01-01T01:00:00Z',
user 'fake', total ignored: 1 out of 1 for stream: {a="b"}"#,
        "untimely",
    );

    check(400, "multiple org IDs present\n", request);
    check(400, "tenant ID 'a/b' contains unsupported character '/'", request);
    check(400, "tenant ID is too long: max 150 characters", request);
    check(400, "tenant ID is '.' or '..'", request);
    check(400, "snappy: corrupt input\n", request);
    check(400, "proto: wrong wireType = 2 for field Hash", request);
    check(400, "mime: no media type", request);
    check(400, r#"Content-Encoding "zstd" not supported"#, request);
    check(400, "Client sent an HTTP request to an HTTPS server.\n", request);
    check(400, "<html>\r\n<head><title>400 Bad Request</title></head>", request);
    check(400, r#"stream '{a="b"}' includes structured metadata, but this feature is disallowed."#, request);

    check(400, r#"couldn't parse labels: 1:4: parse error: unterminated quoted string"#, stream);
    check(400, r#"Error parsing labels '{ab"' with error: 1:4: parse error"#, stream);
    check(400, r#"entry for stream '{a="b"}' has 17 label names; limit 15"#, stream);
    check(400, r#"missing required labels 'team' for user 'fake' for stream '{a="b"}' (policy: '')"#, stream);

    check(400, "read tcp 10.0.0.1:3100->10.0.0.2:51234: i/o timeout", broken);
    check(400, "unexpected EOF", broken);

    check(400, "received message larger than max (2147483648 vs 2147483647)", "too large");
    check(413, "request body too large: message size too large", "too large");

    check(429, r#"Per stream rate limit exceeded (limit: 3MB/sec) while …"#, "RateLimited Stream None");
    check(
        429,
        r#"entry with timestamp 2026-01-01 00:00:00 +0000 UTC ignored, reason: 'Per stream rate limit exceeded (limit: 3MB/sec) while attempting to ingest for stream '{a="b"}' totaling 1kB'"#,
        "RateLimited Stream None",
    );
    check(429, "per stream rate limit exceeded (limit: 3MB/sec)", "RateLimited Stream None");
    check(429, "Maximum active stream limit exceeded when trying to create stream {}", "RateLimited Stream None");
    check(429, "Ingestion rate limit exceeded for user fake (limit: 4 bytes/sec)", "RateLimited Output None");
    check(429, "", "RateLimited Output None");

    for status in [200, 260, 400, 403, 429, 503] {
        check(
            status,
            "ingestion blocked for user fake until '2026-01-01' with status code '1'",
            "Blocked Output None",
        );
    }
    check(204, "ingestion blocked for user fake", "accepted");
}

/// A label value is a writer's words. None may turn the refusal of a record into a stall, or the other way round.
#[test]
fn a_label_value_cannot_speak_for_loki() {
    fn check(value: &str) {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        let stream = format!("{{a=\"{value}\"}}");
        for (body, expect) in [
            (format!("entry for stream '{stream}' has timestamp too old: x"), "refused"),
            (format!("stream '{stream}' has label value too long: '{value}'"), "refused"),
            (format!("stream '{stream}' includes structured metadata, but"), "Setup Output None"),
        ] {
            assert_eq!(class(&reply(400, body.as_bytes(), None, NOW)), expect, "{body}");
        }
        let body = format!("user 'x', total ignored: 1 for stream: {stream}");
        assert_eq!(class(&reply(429, body.as_bytes(), None, NOW)), "RateLimited Output None", "{body}");
    }
    check("multiple org IDs present");
    check(r#"x"}' includes structured metadata"#);
    check(r#"\"}' snappy: "#);
    check(r#"\\" per stream rate limit exceeded"#);
    check("has timestamp too old");
}

#[test]
fn retry_after() {
    fn check(value: &str, expect: Option<u64>) {
        let Verdict::Stall(stall) = reply(503, b"", Some(value), NOW) else { unreachable!() };
        assert_eq!(stall.retry_after, expect.map(Duration::from_secs), "{value:?}");
    }
    check("7", Some(7));
    check(" 7 ", Some(7));
    check("0", Some(0));
    check("300", Some(300));
    check("301", Some(300));
    check("99999999999999999999999", Some(300));
    check("Sun, 06 Nov 1994 08:49:47 GMT", Some(10));
    check("Sun, 06 Nov 1994 08:49:27 GMT", Some(0));
    check("Sun, 06 Nov 2094 08:49:37 GMT", None);
    check("Sat, 06 Nov 2094 08:49:37 GMT", Some(300));
    for invalid in ["", " ", "-1", "+1", "1.5", "1s", "soon", "１"] {
        check(invalid, None);
    }
    assert_eq!(class(&reply(429, b"", Some("3"), NOW)), "RateLimited Output Some(3s)");
    assert_eq!(class(&reply(401, b"", Some("3"), NOW)), "Credentials Output Some(3s)");
}

#[test]
fn words_for_people() {
    fn check(status: u16, body: &[u8], expect: &str) {
        assert_eq!(text(&reply(status, body, None, NOW)), expect);
    }
    check(401, b"no org id\n", "HTTP 401: no org id; this Loki has tenants; name one with tenant_id");
    check(400, b"", "HTTP 400");
    check(500, b"  a\x1b[31m\r\nb\x00c\xff  ", "HTTP 500: a [31m  b c\u{FFFD}");
    check(404, b"404 page not found\n", "HTTP 404: 404 page not found; is the URL right?");
    check(200, b"{}", "HTTP 200: {}; not a Loki receipt (204); is the URL right?");
    let just = "ü".repeat(300);
    check(500, just.as_bytes(), &format!("HTTP 500: {just}"));
    check(500, format!("{just}x").as_bytes(), &format!("HTTP 500: {}…", "ü".repeat(299)));
}

proptest! {
    // Every case goes through all statuses that have a meaning.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn only_204_is_accepted(
        body in prop_oneof![prop::collection::vec(any::<u8>(), 0..400), ".{0,400}".prop_map(String::into_bytes)],
        retry_after in prop::option::of(".{0,30}"),
        now in any::<i64>(),
        other in 600..=u16::MAX,
    ) {
        for status in (0..600).chain([other]) {
            let verdict = reply(status, &body, retry_after.as_deref(), Nanos(now));
            prop_assert_eq!(verdict == Verdict::Accepted, status == 204);
            prop_assert!(text(&verdict).chars().count() <= 400);
            prop_assert!(!text(&verdict).chars().any(char::is_control));
            if let Verdict::Stall(stall) = verdict {
                prop_assert!(stall.retry_after.unwrap_or_default() <= MAX_PAUSE);
            }
        }
    }
}

#[test]
fn no_status_but_204_is_accepted() {
    for status in 0..=u16::MAX {
        assert_eq!(reply(status, b"", None, NOW) == Verdict::Accepted, status == 204, "{status}");
    }
}
