use super::*;
use crate::model::Nanos;
use proptest::prelude::*;
use std::time::Duration;

/// An output with or without acknowledgement.
fn splunk(ack: bool) -> Splunk {
    Splunk { index: Some("audit".into()), ack, ..Splunk::default() }
}

fn answer(status: u16, body: &[u8]) -> Answer<'_> {
    Answer { status, body, retry_after: None, now: Nanos(0) }
}

/// The verdict in one line: its class, and for a stall its cause.
fn class(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accepted => "accepted".into(),
        Verdict::Refused { .. } => "refused".into(),
        Verdict::TooLarge { .. } => "too large".into(),
        Verdict::Stall(stall) => format!("{:?} {:?}", stall.cause, stall.scope),
        Verdict::Queued { receipt } => format!("queued {receipt}"),
        Verdict::RefusedAt { nth, is_before_stored: true, .. } => format!("at {nth}, stored"),
        Verdict::RefusedAt { nth, is_before_stored: false, .. } => format!("at {nth}"),
        Verdict::Items(_) | Verdict::Untimely(_) => "another".into(),
    }
}

/// Answers to three records.
#[track_caller]
fn check(status: u16, body: &str, with_ack: &str, without: &str) {
    for (ack, expect) in [(true, with_ack), (false, without)] {
        let verdict = splunk(ack).reply(answer(status, body.as_bytes()), 3);
        assert_eq!(class(&verdict), expect, "{status} {body} ack = {ack}");
    }
}

#[track_caller]
fn check_stall(status: u16, body: &str, cause: &str) {
    let expect = format!("{cause} Output");
    check(status, body, &expect, &expect);
}

#[test]
fn success() {
    for code in [0, 24, 25] {
        check(200, &format!(r#"{{"text":"x","code":{code},"ackId":7}}"#), "queued 7", "accepted");
        check(200, &format!(r#"{{"text":"x","code":{code}}}"#), "Setup Output", "accepted");
    }
    check(200, r#"{"text":"Success","code":0,"ackId":0}"#, "queued 0", "accepted");
    for body in [
        "",
        "OK",
        "{}",
        "[]",
        "<html>",
        r#"{"text":"Success"}"#,
        r#"{"text":"Success","code":"0"}"#,
        r#"{"text":"Success","code":0,"ackId":-1}"#,
        r#"{"text":"Success","code":0} "#.trim_end().trim_end_matches('}'),
        r#"{"text":"HEC is healthy","code":17}"#,
        r#"{"text":"Server is busy","code":9}"#,
        r#"{"text":"x","code":1}"#,
        r#"{"text":"x","code":23}"#,
        r#"{"text":"x","code":26,"ackId":1}"#,
    ] {
        check_stall(200, body, "Unexpected");
    }
    for status in [201, 202, 204, 206, 299] {
        check_stall(status, r#"{"text":"Success","code":0,"ackId":0}"#, "Unexpected");
    }
}

#[test]
fn bad_events() {
    let at = |code: u32, nth: i64| format!(r#"{{"text":"x","code":{code},"invalid-event-number":{nth}}}"#);
    for code in [6, 12, 13, 15] {
        check(400, &at(code, 1), "at 1", "at 1, stored");
        check(400, &at(code, 2), "at 2", "at 2, stored");
        check(400, &at(code, 3), "refused", "refused");
        check(400, &at(code, i64::MAX), "refused", "refused");
    }
    for code in [12, 13, 15] {
        check(400, &at(code, 0), "at 0", "at 0, stored");
        check(400, &format!(r#"{{"code":{code}}}"#), "refused", "refused");
    }
    // It may be Splunk Cloud's word for too large.
    check(400, &at(6, 0), "too large", "too large");
    check(400, r#"{"text":"Invalid data format","code":6}"#, "too large", "too large");
    // One too many.
    check(400, &at(7, 2), "at 1", "at 1, stored");
    check(400, &at(7, 3), "at 2", "at 2, stored");
    for nth in [0, 1, 4] {
        check_stall(400, &at(7, nth), "Setup");
    }
    check_stall(400, r#"{"text":"Incorrect index","code":7}"#, "Setup");
}

#[test]
fn one_record_or_none() {
    #[track_caller]
    fn check(records: usize, body: &str, expect: &str) {
        assert_eq!(class(&splunk(true).reply(answer(400, body.as_bytes()), records)), expect, "{body}");
    }
    check(0, r#"{"text":"No data","code":5}"#, "accepted");
    check(1, r#"{"text":"No data","code":5}"#, "Unexpected Output");
    check(0, r#"{"text":"Data channel is missing","code":10}"#, "Forgotten Output");
    check(1, r#"{"text":"Invalid data format","code":6}"#, "refused");
    check(1, r#"{"text":"Invalid data format","code":6,"invalid-event-number":0}"#, "at 0");
    check(1, r#"{"text":"Incorrect index","code":7,"invalid-event-number":1}"#, "Setup Output");
}

#[test]
fn stalls() {
    for (code, cause) in [
        (0, "Unexpected"),
        (1, "Unexpected"),
        (5, "Unexpected"),
        (8, "Unexpected"),
        (9, "Unexpected"),
        (10, "Forgotten"),
        (11, "Forgotten"),
        (28, "Forgotten"),
        (14, "Setup"),
        (16, "Setup"),
        (21, "Credentials"),
        (22, "Credentials"),
        (99, "Unexpected"),
    ] {
        check_stall(400, &format!(r#"{{"text":"x","code":{code},"invalid-event-number":1}}"#), cause);
    }
    check_stall(401, r#"{"text":"Token is required","code":2}"#, "Credentials");
    check_stall(401, r#"{"text":"Invalid authorization","code":3}"#, "Credentials");
    check_stall(403, r#"{"text":"Token disabled","code":1}"#, "Credentials");
    check_stall(403, r#"{"text":"Invalid token","code":4}"#, "Credentials");
    check_stall(404, r#"{"text":"The requested URL was not found on this server.","code":404}"#, "Setup");
    check_stall(415, "", "Setup");
    check_stall(429, r#"{"text":"x","code":26}"#, "RateLimited");
    check_stall(429, r#"{"text":"x","code":27}"#, "RateLimited");
    check_stall(500, r#"{"text":"Internal server error","code":8}"#, "ServerError");
    check_stall(503, r#"{"text":"Server is busy","code":9}"#, "RateLimited");
    check_stall(503, r#"{"text":"x","code":23}"#, "ServerError");
    check_stall(503, "<html>", "ServerError");
    check_stall(302, "", "Setup");
    check_stall(418, "", "Unexpected");
    for body in ["", "<html>Bad Request</html>", "[]", r#"{"text":"x"}"#] {
        check_stall(400, body, "Setup");
    }
    check(413, r#"{"text":"Content-Length of 2 too large (maximum is 1)","code":27}"#, "too large", "too large");
}

#[test]
fn words_for_people() {
    #[track_caller]
    fn check(status: u16, body: &str, expect: &str) {
        let text = match splunk(true).reply(answer(status, body.as_bytes()), 3) {
            Verdict::Stall(stall) => stall.text,
            Verdict::RefusedAt { reason, .. } => reason,
            other => panic!("{other:?}"),
        };
        assert!(text.starts_with("HTTP ") && text.contains(expect), "{text}");
    }
    check(200, r#"{"text":"Success","code":0}"#, "enable it for the token or set ack = false");
    check(
        400,
        r#"{"text":"Incorrect index","code":7,"invalid-event-number":1}"#,
        r#"may not write to index "audit""#,
    );
    check(400, r#"{"code":10}"#, "channel");
    check(400, r#"{"code":12,"invalid-event-number":1}"#, r#"HTTP 400: {"code":12,"#);
    let stall = splunk(true).reply(Answer { retry_after: Some("7"), ..answer(503, b"") }, 1);
    assert!(matches!(stall, Verdict::Stall(stall) if stall.retry_after == Some(Duration::from_secs(7))));
}

proptest! {
    #[test]
    fn success_is_a_closed_set(
        status in prop_oneof![Just(200_u16), Just(400), 0..=600_u16],
        code in 0..30_u32,
        nth in prop::option::of(0..6_u64),
        receipt in prop::option::of(any::<u64>()),
        ack in any::<bool>(),
        records in 1..5_usize,
    ) {
        let mut body = serde_json::json!({ "text": "x", "code": code });
        if let Some(nth) = nth {
            body["invalid-event-number"] = nth.into();
        }
        if let Some(receipt) = receipt {
            body["ackId"] = receipt.into();
        }
        let verdict = splunk(ack).reply(answer(status, body.to_string().as_bytes()), records);
        let is_taken = status == 200 && [0, 24, 25].contains(&code);
        prop_assert_eq!(verdict == Verdict::Accepted, is_taken && !ack);
        prop_assert_eq!(matches!(verdict, Verdict::Queued { .. }), is_taken && ack && receipt.is_some());
        if let Verdict::RefusedAt { nth, is_before_stored, .. } = verdict {
            prop_assert!(nth < records && is_before_stored != ack && status == 400);
        }
    }

    #[test]
    fn no_body_panics_or_is_success(status in 0..=600_u16, body in prop::collection::vec(any::<u8>(), 0..100)) {
        let verdict = splunk(false).reply(answer(status, &body), 2);
        let is_safe = matches!(verdict, Verdict::Stall(_) | Verdict::TooLarge { .. });
        prop_assert!(is_safe, "{:?}", verdict);
    }
}
