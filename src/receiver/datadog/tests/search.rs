//! The search, and the router over a real connection.

use super::*;
use crate::receiver::testing::{exchange, with_server};

fn search_headers() -> HeaderMap {
    headers(&[("dd-api-key", "k"), ("dd-application-key", "a")])
}

fn search(datadog: &Datadog, body: &Value) -> Result<Value, String> {
    let found = datadog.search(&search_headers(), body.to_string().as_bytes(), NOW);
    found.map(|json| serde_json::from_str(&json).unwrap()).map_err(|refusal| refusal.text)
}

/// The messages of an answer.
fn found(answer: &Value) -> Vec<&str> {
    answer["data"].as_array().unwrap().iter().map(|log| log["attributes"]["message"].as_str().unwrap()).collect()
}

fn filled() -> Datadog {
    let datadog = datadog();
    let log = |nth: i64, service: &str, tags: &str| {
        json!({
            "message": format!("m{nth}"), "timestamp": NOW - nth * 1000, "hostname": "h", "service": service,
            "ddsource": "src", "ddtags": tags, "auditship.id": format!("i{nth}"), "own": { "seq": nth },
        })
    };
    let logs = json!([log(3, "s", "a:1"), log(1, "t", "a:1,b:x y"), log(2, "s", "a:2"), log(1, "t", "a:1,b:x y")]);
    assert_eq!(send(&datadog, &json_headers(), logs.to_string()).0, 202);
    datadog
}

#[test]
fn queries() {
    #[track_caller]
    fn check(query: &str, expect: &[&str]) {
        let answer = search(&filled(), &json!({ "filter": { "query": query } })).unwrap();
        assert_eq!(found(&answer), expect);
    }
    check("", &["m3", "m2", "m1", "m1"]);
    check("*", &["m3", "m2", "m1", "m1"]);
    check("service:s", &["m3", "m2"]);
    check("service:s a:1", &["m3"]);
    check("a:1 AND service:s", &["m3"]);
    check(r#"b:"x y""#, &["m1", "m1"]);
    check("b:*", &["m1", "m1"]);
    check("@auditship.id:i2 host:h source:src", &["m2"]);
    check("@own.seq:3", &["m3"]);
    check("@auditship.nothing:*", &[]);
    for wrong in ["word", "a:", ":b", "-a:1", "(a:1 OR a:2)", r#"a:"x"#] {
        let error = search(&filled(), &json!({ "filter": { "query": wrong } })).unwrap_err();
        assert!(error.contains("only * and key:value"), "{error}");
    }
}

#[test]
fn times_and_orders() {
    #[track_caller]
    fn check(body: Value, expect: &[&str]) {
        assert_eq!(found(&search(&filled(), &body).unwrap()), expect);
    }
    check(json!({ "sort": "timestamp" }), &["m3", "m2", "m1", "m1"]);
    check(json!({ "sort": "-timestamp" }), &["m1", "m1", "m2", "m3"]);
    check(json!({ "filter": { "from": "now-2s" } }), &["m2", "m1", "m1"]);
    check(json!({ "filter": { "from": "now-1h", "to": "now-2s" } }), &["m3", "m2"]);
    check(json!({ "filter": { "from": (NOW - 2000).to_string(), "to": "2026-11-21T23:59:58Z" } }), &["m2"]);
    check(json!({ "filter": { "to": "now+1w", "from": "now-1d", "indexes": ["main"] } }), &["m3", "m2", "m1", "m1"]);
    for (body, expect) in [
        (json!({ "filter": { "from": "yesterday" } }), "\"yesterday\" is no time"),
        (json!({ "filter": { "from": "now-1y" } }), "\"now-1y\" is no time"),
        (json!({ "sort": "message" }), "sort: "),
        (json!({ "page": { "limit": 1001 } }), "page.limit: 1001"),
        (json!({ "page": { "cursor": "x" } }), "page.cursor: "),
        (json!({ "filters": {} }), "unknown field `filters`"),
    ] {
        let error = search(&filled(), &body).unwrap_err();
        assert!(error.contains(expect), "{error}");
    }
}

#[test]
fn pages_join_to_all() {
    for sort in ["timestamp", "-timestamp"] {
        let datadog = filled();
        let (mut cursor, mut all, mut pages) = (None, Vec::new(), 0);
        loop {
            let mut body = json!({ "sort": sort, "page": { "limit": 1 } });
            if let Some(cursor) = &cursor {
                body["page"]["cursor"] = Value::clone(cursor);
            }
            let answer = search(&datadog, &body).unwrap();
            all.extend(found(&answer).into_iter().map(str::to_owned));
            pages += 1;
            match &answer["meta"]["page"]["after"] {
                Value::Null => break,
                after => cursor = Some(after.clone()),
            }
        }
        let expect = if sort == "timestamp" { "m3 m2 m1 m1" } else { "m1 m1 m2 m3" };
        assert_eq!((all.join(" ").as_str(), pages), (expect, 4));
    }
}

#[test]
fn a_log_is_shown_as_datadog_does() {
    let answer = search(&filled(), &json!({ "filter": { "query": "b:*" }, "page": { "limit": 1 } })).unwrap();
    assert_eq!(
        answer["data"][0]["attributes"],
        json!({
            "timestamp": "2026-11-21T23:59:59.000Z", "host": "h", "service": "t", "message": "m1",
            "tags": ["a:1", "b:x y", "source:src"], "attributes": { "auditship.id": "i1", "own": { "seq": 1 } },
        })
    );
}

#[test]
fn routes() {
    let datadog = Datadog::new(DatadogOptions { max_request: 1000, ..DatadogOptions::default() });
    with_server(datadog.router(), |to| {
        #[track_caller]
        fn check(to: std::net::SocketAddr, head: &str, body: &str, status: u16, text: &str) {
            let got = exchange(to, head, body.as_bytes()).unwrap();
            assert!(got.0 == status && got.1.contains(text), "{got:?}");
        }
        let post = "POST /api/v2/logs HTTP/1.1\r\ncontent-type: application/json\r\ndd-api-key: k";
        assert_eq!(exchange(to, post, br#"[{"message":"the line"}]"#), Some((202, "{}".into())));
        check(to, post, "[", 400, r#"{"errors":[{"detail":"EOF while"#);
        check(to, post, &" ".repeat(1001), 413, "more than 1000 bytes");
        check(to, "POST /api/v2/logs HTTP/1.1\r\ncontent-type: application/json", "[]", 401, "Unauthorized");
        check(to, "GET /api/v2/logs HTTP/1.1", "", 405, "");
        check(to, "POST /v1/input HTTP/1.1", "[]", 404, "");
        let search = "POST /api/v2/logs/events/search HTTP/1.1\r\ndd-api-key: k\r\ndd-application-key: a";
        check(to, search, "", 200, r#""message":"the line""#);
        check(to, search, "[]x", 400, "errors");
    });
    // What was too large did not arrive as a whole.
    let counts = datadog.counts();
    assert_eq!((counts.requests, counts.refused_requests, counts.accepted), (3, 2, 1));
}
