use super::*;
use crate::model::Nanos;
use proptest::prelude::*;

/// The verdict in one line: its class, and for a stall its cause, scope and pause.
fn class(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accepted => "accepted".into(),
        Verdict::Refused { .. } => "refused".into(),
        Verdict::TooLarge { .. } => "too large".into(),
        Verdict::Stall(stall) => format!("{:?} {:?} {:?}", stall.cause, stall.scope, stall.retry_after),
        other => format!("{other:?}"),
    }
}

fn answered(status: u16, body: &[u8], records: usize) -> Verdict {
    reply(Answer { status, body, retry_after: None, now: Nanos(0) }, records)
}

#[test]
fn statuses() {
    fn check(status: u16, expect: &str) {
        let body = br#"{"errors":[{"status":"?","title":"?"}]}"#;
        assert_eq!(class(&answered(status, body, 3)), expect, "{status}");
    }
    check(202, "accepted");
    for status in [200, 201, 203, 204, 205, 206, 207, 260, 299] {
        check(status, "Unexpected Output None");
    }
    for status in [300, 301, 302, 307, 308, 404, 405, 410] {
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
    for status in [0, 100, 199, 402, 406, 409, 411, 415, 418, 422, 451, 600, u16::MAX] {
        check(status, "Unexpected Output None");
    }
}

#[test]
fn a_400_is_a_record_s_only_when_there_is_one_and_the_intake_says_it() {
    fn check(body: &str, records: usize, expect: &str) {
        assert_eq!(class(&answered(400, body.as_bytes(), records)), expect, "{body}");
    }
    check("", 1, "refused");
    check(r#"{"errors":[{"detail":"Invalid JSON","status":"400","title":"Bad Request"}]}"#, 2, "refused");
    check("<html>\r\n<head><title>400 Bad Request</title></head>", 2, "Setup Output None");
    check(" \n<!DOCTYPE html>", 1, "Setup Output None");
    check(r#"{"errors":["<html>"]}"#, 1, "refused");
    check(r#"{"errors":["x"]}"#, 0, "Setup Output None");
    assert_eq!(class(&answered(202, b"{}", 0)), "accepted");
    assert_eq!(class(&answered(200, b"{}", 0)), "Unexpected Output None");
}

#[test]
fn the_words_are_passed_on() {
    let Verdict::Refused { reason } = answered(400, b"{\"errors\":[\"x\"]}\n", 1) else { unreachable!() };
    assert_eq!(reason, r#"HTTP 400: {"errors":["x"]}"#);
    let Verdict::Stall(stall) = answered(200, b"", 1) else { unreachable!() };
    assert_eq!(stall.text, "HTTP 200; not a Datadog receipt (202); is the URL right?");
}

proptest! {
    #[test]
    fn nothing_but_202_is_accepted(
        status in prop_oneof![0..600u16, any::<u16>()],
        body in prop_oneof![prop::collection::vec(any::<u8>(), 0..400), ".{0,400}".prop_map(String::into_bytes)],
        records in 0..5usize,
    ) {
        let verdict = answered(status, &body, records);
        prop_assert_eq!(verdict == Verdict::Accepted, status == 202);
        let is_refused = matches!(verdict, Verdict::Refused { .. });
        prop_assert!(!is_refused || (status == 400 && records > 0));
    }
}
