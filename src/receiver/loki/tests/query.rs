//! Pushing, then reading back.

use super::*;
use serde_json::{Value, json};
use std::collections::HashMap;

/// Queries with parameters written as in a URL, without escapes.
fn query(receiver: &Receiver, params: &str, categorize: bool) -> Result<Value, (u16, String)> {
    let params: HashMap<String, String> = params
        .split('&')
        .map(|pair| pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap())
        .collect();
    let flags = [("x-loki-response-encoding-flags", "categorize-labels")];
    let headers = headers(if categorize { &flags } else { &[] });
    match receiver.query(&headers, &params, NOW + MINUTE) {
        Ok(text) => Ok(serde_json::from_str::<Value>(&text).unwrap()["data"].take()),
        Err(refusal) => Err((refusal.status.as_u16(), refusal.text)),
    }
}

fn filled() -> Receiver {
    let receiver = receiver(Limits { discover_log_levels: false, ..Limits::default() });
    let a = [entry(NOW + 3, b"a3", &[("m", b"1")]), entry(NOW + 1, b"a1", &[("m", b"2")]), entry(NOW, b"a0", &[])];
    assert_eq!(send(&receiver, &stream(r#"{app="a"}"#, &a)).0, 204);
    assert_eq!(send(&receiver, &lines(r#"{app="b"}"#, &[(NOW + 2, "b2"), (NOW + 1, "b1")])).0, 204);
    receiver
}

#[test]
fn pages_and_order() {
    /// `expect`: the lines of the results, a result after the other.
    #[track_caller]
    fn check(params: &str, expect: &str) {
        let data = query(&filled(), params, true).unwrap();
        let results = data["result"].as_array().unwrap().iter();
        let lines: Vec<_> = results
            .map(|result| {
                let values = result["values"].as_array().unwrap().iter();
                values.map(|value| value[1].as_str().unwrap()).collect::<Vec<_>>().join(" ")
            })
            .collect();
        assert_eq!(lines.join(" / "), expect);
    }
    let all = r#"query={app=~".+"}"#;
    check(all, "a3 a1 a0 / b2 b1");
    check(&format!("{all}&direction=forward"), "a0 a1 a3 / b1 b2");
    check(&format!("{all}&limit=2"), "a3 / b2");
    check(&format!("{all}&limit=2&direction=forward"), "a0 a1");
    check(&format!("{all}&start={}&end={}", NOW + 1, NOW + 3), "b2 b1 / a1");
    check(&format!("{all}&start={NOW}&end={}", NOW + 1), "a0");
    check(&format!("{all}&end={}", NOW / SECOND), "");
    check(r#"query={app="b"} |= "1""#, "b1");
    check(r#"query={app="b"} != "1""#, "b2");
    check(r#"query={app="c"}"#, "");
}

#[test]
fn metadata_is_beside_the_line_or_in_the_stream() {
    let receiver = filled();
    let params = r#"query={app="a"}&direction=forward"#;
    let stream = json!({ "app": "a", "service_name": "a" });
    let time = |after: i64| (NOW + after).to_string();
    assert_eq!(
        query(&receiver, params, true).unwrap(),
        json!({
            "resultType": "streams",
            "encodingFlags": ["categorize-labels"],
            "stats": {},
            "result": [{ "stream": stream, "values": [
                [time(0), "a0", {}],
                [time(1), "a1", { "structuredMetadata": { "m": "2" } }],
                [time(3), "a3", { "structuredMetadata": { "m": "1" } }],
            ] }],
        })
    );
    assert_eq!(
        query(&receiver, params, false).unwrap()["result"],
        json!([
            { "stream": stream, "values": [[time(0), "a0"]] },
            { "stream": { "app": "a", "service_name": "a", "m": "2" }, "values": [[time(1), "a1"]] },
            { "stream": { "app": "a", "service_name": "a", "m": "1" }, "values": [[time(3), "a3"]] },
        ])
    );
}

#[test]
fn every_entry_gets_a_level() {
    let receiver = receiver(Limits::default());
    let entries = [entry(NOW, b"l", &[]), entry(NOW, b"m", &[("detected_level", b"info")])];
    assert_eq!(send(&receiver, &stream("{}", &entries)).0, 204);
    let data = query(&receiver, r#"query={service_name=~".+"}&direction=forward"#, true).unwrap();
    let values = &data["result"][0]["values"];
    assert_eq!(values[0][2]["structuredMetadata"], json!({ "detected_level": "unknown" }));
    assert_eq!(values[1][2]["structuredMetadata"], json!({ "detected_level": "info" }));
}

#[test]
fn lines_are_escaped_for_html_and_made_utf8() {
    let receiver = receiver(Limits::default());
    let line = b"<a> & \"\xff\" \xe2\x80\xa8\n";
    assert_eq!(send(&receiver, &stream("{}", &[entry(NOW, line, &[])])).0, 204);
    let params = HashMap::from([("query".to_owned(), "{service_name=~\".+\"}".to_owned())]);
    let text = receiver.query(&HeaderMap::new(), &params, NOW + 1).unwrap();
    assert!(text.contains("\"\\u003ca\\u003e \\u0026 \\\"\u{fffd}\\\" \\u2028\\n\""), "{text}");
    assert_eq!(receiver.streams("fake")[0].entries[0].line, line);
}

#[test]
fn queries_that_are_refused() {
    #[track_caller]
    fn check(params: &str, text: &str) {
        let (status, got) = query(&filled(), params, true).unwrap_err();
        assert!(status == 400 && got.contains(text), "{status} {got}");
    }
    let all = r#"query={app=~".+"}"#;
    check("query=", "parse error");
    check(
        &format!("{all}&limit=5001"),
        "max entries limit per query exceeded, limit > max_entries_limit_per_query (5001 > 5000)",
    );
    check(&format!("{all}&limit=0"), "limit must be a positive value");
    check(&format!("{all}&limit=x"), "limit");
    check(&format!("{all}&direction=up"), "invalid direction 'up'");
    check(&format!("{all}&start={NOW}&end={NOW}"), "end timestamp must not be before or equal to start time");
    check(&format!("{all}&start=now"), "could not parse");
    check(&format!("{all}&start={}&end={NOW}", NOW - 721 * HOUR - 1), "the query time range exceeds the limit");
}
