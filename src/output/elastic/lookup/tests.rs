#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    batch::{Form, Selection},
    output::{
        Compression,
        elastic::{
            Elastic,
            tests::{NOW, batch, index, plainly, record, stream},
        },
    },
};
use serde_json::{Value, json};

fn answer(status: u16, body: &[u8]) -> Answer<'_> {
    Answer { status, body, retry_after: None, now: NOW }
}

#[test]
fn records_are_asked_for_by_their_ids() {
    let records = [plainly(&record(b"{}")), plainly(&record(b"x"))];
    let ids: Vec<String> = records.iter().map(|encoded| id(encoded).unwrap()).collect();
    let (batch, selection) = (batch(&records), Selection::of(0..2, Form::Full));
    let records = Records { batch: &batch, selection: &selection, bases: &crate::batch::Bases::default() };
    assert_eq!(super::ids(records), ids);
    let check = |target: Target, is_stream: bool, path: &str| {
        let elastic = Elastic::new(target, None, Compression::Gzip);
        assert_eq!(elastic.is_data_stream(), is_stream);
        let refresh = elastic.refresh();
        assert_eq!(refresh.path, format!("/{path}/_refresh?filter_path=_shards.failed"));
        let lookup = elastic.lookup(records);
        assert!(
            lookup.path.starts_with(&format!("/{path}/_search?filter_path=hits.hits._id,timed_out,_shards.failed"))
        );
        assert_eq!((lookup.content_type, lookup.encoding), ("application/json", None));
        let body: Value = serde_json::from_slice(&lookup.body).unwrap();
        assert_eq!((&body["query"], &body["_source"]), (&json!({ "ids": { "values": ids } }), &json!(false)));
    };
    check(stream("logs-audit-default"), true, "logs-audit-default");
    check(index("audit-%Y.%m"), false, "audit-*.*");
}

#[test]
fn what_is_stored_is_found_wherever_it_stands() {
    #[track_caller]
    fn check(status: u16, body: &str, expect: Result<&[bool], Cause>) {
        let ids = ["a", "b", "c"].map(String::from);
        match (found(answer(status, body.as_bytes()), &ids), expect) {
            (Ok(stored), Ok(expect)) => assert_eq!(stored, expect, "{body}"),
            (Err(Verdict::Stall(stall)), Err(cause)) => assert_eq!(stall.cause, cause, "{body}"),
            (other, _) => panic!("{other:?} {body}"),
        }
    }
    let whole = r#""timed_out":false,"_shards":{"failed":0}"#;
    let hits = |ids: &[&str]| json!({ "hits": ids.iter().map(|id| json!({ "_id": id })).collect::<Vec<_>>() });
    check(200, &format!("{{{whole},\"hits\":{}}}", hits(&["c", "a"])), Ok(&[true, false, true]));
    // Twice, after a rollover.
    check(200, &format!("{{{whole},\"hits\":{}}}", hits(&["b", "b"])), Ok(&[false, true, false]));
    check(200, &format!("{{{whole}}}"), Ok(&[false; 3]));
    check(200, &format!("{{{whole},\"hits\":{{}}}}"), Ok(&[false; 3]));
    // Not all of it was looked at.
    check(200, r#"{"timed_out":true,"_shards":{"failed":0}}"#, Err(Cause::ServerError));
    check(200, r#"{"timed_out":false,"_shards":{"failed":1}}"#, Err(Cause::ServerError));
    check(200, r#"{"timed_out":false}"#, Err(Cause::Unexpected));
    check(200, "{}", Err(Cause::Unexpected));
    check(200, r#"{"timed_out":false,"_sha"#, Err(Cause::Broken));
    // There is no such data stream yet.
    check(404, r#"{"error":{"type":"index_not_found_exception","reason":"no such index [a]"}}"#, Ok(&[false; 3]));
    check(404, "not found", Err(Cause::Setup));
    check(403, r#"{"error":{"type":"security_exception","reason":"read"}}"#, Err(Cause::Credentials));
    check(503, "", Err(Cause::ServerError));
    check(201, &format!("{{{whole}}}"), Err(Cause::Unexpected));
}

#[test]
fn a_refresh_has_reached_all_shards_or_it_has_not() {
    #[track_caller]
    fn check(status: u16, body: &str, expect: Result<(), Cause>) {
        let refreshed = refreshed(answer(status, body.as_bytes())).map_err(|verdict| match verdict {
            Verdict::Stall(stall) => stall.cause,
            other => panic!("{other:?}"),
        });
        assert_eq!(refreshed, expect, "{body}");
    }
    check(200, r#"{"_shards":{"failed":0}}"#, Ok(()));
    check(200, r#"{"_shards":{"failed":2}}"#, Err(Cause::ServerError));
    check(200, "{}", Err(Cause::Unexpected));
    check(404, r#"{"error":{"type":"index_not_found_exception"}}"#, Ok(()));
    check(403, "", Err(Cause::Credentials));
}
