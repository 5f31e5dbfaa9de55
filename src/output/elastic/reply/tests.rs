use super::*;
use crate::{model::Nanos, output::elastic::tests::NOW};
use proptest::prelude::*;

fn answer(status: u16, body: &[u8]) -> Answer<'_> {
    Answer { status, body, retry_after: None, now: NOW }
}

/// An item in one line: its class, and for a stall its cause.
fn of_item(item: &Item) -> String {
    match item {
        Item::Stored => "stored".into(),
        Item::Refused { .. } => "refused".into(),
        Item::Again(stall) => format!("{:?}", stall.cause),
    }
}

fn class(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Accepted => "accepted".into(),
        Verdict::Refused { .. } => "refused".into(),
        Verdict::TooLarge { .. } => "too large".into(),
        Verdict::Stall(stall) => format!("{:?}", stall.cause),
        Verdict::Items(items) => items.iter().map(of_item).collect::<Vec<_>>().join(" "),
        other => format!("{other:?}"),
    }
}

/// An error as Elasticsearch writes it.
fn error(kind: &str, reason: &str) -> String {
    serde_json::json!({ "type": kind, "reason": reason }).to_string()
}

/// The answer to a request that was refused as a whole.
fn whole(kind: &str, reason: &str) -> String {
    format!(r#"{{"error":{{"root_cause":[{0}],"type":"{kind}","reason":{1}}},"status":400}}"#, error(kind, reason), {
        serde_json::json!(reason)
    })
}

#[test]
fn items() {
    /// Between an item that is stored and one more, so that the others' verdicts are seen to be their own.
    #[track_caller]
    fn check(item: &str, expect: &str) {
        let good = r#"{"create":{"status":201}}"#;
        let body = format!(r#"{{"errors":true,"items":[{good},{{"create":{item}}},{good}]}}"#);
        let verdict = reply(answer(200, body.as_bytes()), 3);
        let expect = if expect == "stored" { "accepted".into() } else { format!("stored {expect} stored") };
        assert_eq!(class(&verdict), expect, "{item}");
    }
    let with =
        |status: u16, kind: &str, reason: &str| format!(r#"{{"status":{status},"error":{}}}"#, error(kind, reason));
    check(r#"{"status":200}"#, "stored");
    check(r#"{"status":201,"failure_store":"not_enabled"}"#, "stored");
    check(r#"{"status":201,"failure_store":"used"}"#, "refused");
    check(r#"{"status":201,"failure_store":"failed"}"#, "Unexpected");
    check(r#"{"status":201,"failure_store":"a new one"}"#, "Unexpected");
    check(&with(201, "a", "b"), "Unexpected");
    check(r#"{"status":409}"#, "stored");
    check(
        &with(409, "version_conflict_engine_exception", "[x]: version conflict, document already exists"),
        "stored",
    );
    check(&with(409, "other_exception", ""), "Unexpected");
    check(&with(429, "es_rejected_execution_exception", "queue"), "RateLimited");
    check(&with(429, "circuit_breaking_exception", ""), "RateLimited");
    check(&with(429, "cluster_block_exception", "TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage"), "Blocked");
    check(&with(403, "cluster_block_exception", "FORBIDDEN/8/index write (api)"), "Blocked");
    check(&with(403, "security_exception", "action [indices:data/write/bulk[s]] is unauthorized"), "Credentials");
    check(&with(404, "index_not_found_exception", "no such index [a]"), "Setup");
    check(&with(404, "other", ""), "Setup");
    for status in [500, 502, 503, 504] {
        check(&with(status, "unavailable_shards_exception", ""), "ServerError");
    }
    let failed =
        format!(r#"{{"status":400,"failure_store":"failed","error":{}}}"#, error("document_parsing_exception", ""));
    check(&failed, "refused");
    let busy = format!(
        r#"{{"status":429,"failure_store":"failed","error":{}}}"#,
        error("es_rejected_execution_exception", "")
    );
    check(&busy, "RateLimited");
    for kind in ["mapper_parsing_exception", "document_parsing_exception", "strict_dynamic_mapping_exception"] {
        check(&with(400, kind, "failed to parse"), "refused");
    }
    check(&with(400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded"), "refused");
    check(&with(413, "x", "too large"), "refused");
    check(&with(400, "illegal_argument_exception", "pipeline with id [p] does not exist"), "Setup");
    check(&with(400, "illegal_argument_exception", "no write index is defined for alias [a]. The write…"), "Setup");
    check(&with(400, "validation_exception", "Validation Failed: 1: this action would add [2] shards…"), "Setup");
    check(&with(400, "index_closed_exception", "closed"), "Setup");
    // A record's words do not decide.
    check(&with(400, "document_parsing_exception", "[1:2] 'pipeline with id [p] does not exist'"), "refused");
    check(&with(400, "document_parsing_exception", "pipeline with id [p] does not exist"), "refused");
    check(&with(400, "illegal_argument_exception", "cannot parse 'pipeline with id [p] does not exist'"), "refused");
    // Nobody says whose fault it is.
    check(r#"{"status":400}"#, "Unexpected");
    check(r#"{"status":400,"error":{}}"#, "Unexpected");
    for status in [0, 100, 202, 204, 302, 402, 418, 999] {
        check(&format!(r#"{{"status":{status}}}"#), "Unexpected");
    }
}

#[test]
fn whole_answers() {
    #[track_caller]
    fn check(body: &str, records: usize, expect: &str) {
        assert_eq!(class(&reply(answer(200, body.as_bytes()), records)), expect, "{body}");
    }
    let good = r#"{"create":{"status":201}}"#;
    let busy = r#"{"create":{"status":429,"error":{"type":"x","reason":"r"}}}"#;
    check(&format!(r#"{{"errors":false,"items":[{good},{good}]}}"#), 2, "accepted");
    check(&format!(r#"{{"took":1,"errors":false,"items":[{good}],"ingest_took":1}}"#), 1, "accepted");
    // As many as were sent, or nobody knows which is which.
    check(&format!(r#"{{"errors":false,"items":[{good},{good}]}}"#), 1, "Unexpected");
    check(&format!(r#"{{"errors":false,"items":[{good}]}}"#), 2, "Unexpected");
    check(r#"{"errors":false}"#, 1, "Unexpected");
    check(r#"{"errors":false}"#, 0, "accepted");
    check("{}", 0, "Unexpected");
    check(&format!(r#"{{"items":[{good}]}}"#), 1, "Unexpected");
    check(r#"{"errors":false,"items":[{"index":{"status":201}}]}"#, 1, "Unexpected");
    check(&format!(r#"{{"errors":false,"items":[{busy},{good}]}}"#), 2, "Unexpected");
    // VictoriaLogs answers so to what it cannot read.
    check("", 1, "Broken");
    let cut = format!(r#"{{"errors":false,"items":[{good},{good}]}}"#);
    for end in 1..cut.len() {
        check(&cut[..end], 2, "Broken");
    }
    check("<html>", 1, "Unexpected");
    check("ok", 1, "Unexpected");
    // All of them have to wait.
    check(&format!(r#"{{"errors":true,"items":[{busy},{busy}]}}"#), 2, "RateLimited");
    check(&format!(r#"{{"errors":true,"items":[{busy},{good}]}}"#), 2, "RateLimited stored");
}

#[test]
fn statuses() {
    #[track_caller]
    fn check(status: u16, expect: &str) {
        assert_eq!(class(&reply(answer(status, b"some text"), 1)), expect, "{status}");
    }
    for status in [201, 202, 204, 206, 260, 299, 0, 100, 402, 409, 418, 600] {
        check(status, "Unexpected");
    }
    for status in [301, 404, 405, 406, 410, 415] {
        check(status, "Setup");
    }
    for status in [401, 403, 407] {
        check(status, "Credentials");
    }
    for status in [408, 499, 500, 502, 503, 504] {
        check(status, "ServerError");
    }
    check(413, "too large");
    check(429, "RateLimited");
    // Not Elasticsearch's words.
    check(400, "Setup");
    let block = whole("cluster_block_exception", "blocked by: [FORBIDDEN/6/cluster read-only (api)];");
    for status in [403, 429, 503] {
        assert_eq!(class(&reply(answer(status, block.as_bytes()), 1)), "Blocked");
    }
}

#[test]
fn a_400_is_about_a_record_or_about_the_request() {
    #[track_caller]
    fn check(body: &str, records: usize, expect: &str) {
        assert_eq!(class(&reply(answer(400, body.as_bytes()), records)), expect, "{body}");
    }
    check(&whole("x_content_parse_exception", "[1:99] Duplicate field 'a'"), 3, "refused");
    check(&whole("json_parse_exception", "Duplicate field 'a'\n at [Source: (byte[])…"), 3, "refused");
    check(&whole("illegal_argument_exception", "Malformed action/metadata line [3]"), 3, "refused");
    check(&whole("illegal_argument_exception", "pipeline with id [p] does not exist"), 3, "Setup");
    let unknown = "request [/_bulk] contains unrecognized parameter: [require_data_stream]";
    check(&whole("illegal_argument_exception", unknown), 3, "Setup");
    check(&whole("illegal_argument_exception", unknown), 0, "Setup");
    check(
        &whole("illegal_argument_exception", "The bulk request must be terminated by a newline [\\n]"),
        3,
        "Broken",
    );
    check(&whole("x_content_parse_exception", "[1:1] Unexpected character ('(' (code 40))"), 3, "Setup");
    check(&whole("json_parse_exception", "Unexpected character ('(' (code 40)): expected"), 3, "Setup");
    check(r#"{"error":"no handler found for uri [/x/_bulk] and method [POST]"}"#, 3, "Setup");
    check("<html>400</html>", 3, "Setup");
    check("", 3, "Setup");
    check("{}", 3, "Setup");
}

#[test]
fn a_request_without_records_succeeds_by_being_refused_for_that() {
    #[track_caller]
    fn check(status: u16, body: &str, records: usize, expect: &str) {
        assert_eq!(class(&reply(answer(status, body.as_bytes()), records)), expect, "{body}");
    }
    let empty = [
        whole("parse_exception", "request body is required"),
        whole("action_request_validation_exception", "Validation Failed: 1: no requests added;"),
    ];
    for body in &empty {
        check(400, body, 0, "accepted");
        check(400, body, 1, "Broken");
        check(401, body, 0, "Credentials");
        check(500, body, 0, "ServerError");
    }
    check(400, &whole("parse_exception", "something else"), 0, "Setup");
    check(401, &whole("security_exception", "unable to authenticate user"), 0, "Credentials");
    check(400, "request body is required", 0, "Setup");
}

#[test]
fn what_is_said_names_the_status_of_the_item_and_the_cause() {
    let body = r#"{"errors":true,"items":[{"create":{"status":400,"error":{"type":"document_parsing_exception",
        "reason":"[1:9] failed","caused_by":{"type":"x","reason":"too deep"}}}}, {"create":{"status":201,
        "failure_store":"used"}}]}"#;
    let Verdict::Items(items) = reply(answer(200, body.as_bytes()), 2) else { panic!() };
    let refused = |reason: &str| Item::Refused { reason: reason.into() };
    assert_eq!(items[0], refused("HTTP 400: document_parsing_exception: [1:9] failed: too deep"));
    assert_eq!(items[1], refused("HTTP 201; it lies in the failure store, not in the data stream"));
}

#[test]
fn a_pause_is_kept() {
    let body = br#"{"errors":true,"items":[{"create":{"status":429,"error":{"type":"x"}}}]}"#;
    let answer = Answer { retry_after: Some("7"), ..answer(200, body) };
    let Verdict::Stall(stall) = reply(answer, 1) else { panic!() };
    assert_eq!(stall.retry_after, Some(std::time::Duration::from_secs(7)));
    assert_eq!(stall.text, "HTTP 429: x:");
}

proptest! {
    #[test]
    fn only_200_is_a_receipt(status in any::<u16>(), body in any::<Vec<u8>>(), records in 1usize..5) {
        let verdict = reply(Answer { now: Nanos(0), ..answer(status, &body) }, records);
        prop_assert!(!matches!(verdict, Verdict::Accepted | Verdict::Items(_)));
    }
}
