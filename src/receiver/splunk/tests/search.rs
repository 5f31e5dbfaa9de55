//! Reading back.

use super::*;
use url::form_urlencoded;

fn filled() -> Splunk {
    let splunk = receiver(false);
    let body = concat!(
        r#"{"time":10.5,"index":"audit","source":"/p","fields":{"tenant":"Acme","id":["1","2"]},"event":{"user":"ann","n":7}}"#,
        r#"{"time":12,"index":"audit","host":"h","event":"say \"hi\""}"#,
        r#"{"time":11,"index":"other","event":"else"}"#,
    );
    assert_eq!(send(&splunk, body).0, 200);
    splunk
}

fn ask(splunk: &Splunk, search: &str, more: &[(&str, &str)]) -> Result<String, String> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("search", search).append_pair("output_mode", "json").extend_pairs(more);
    splunk.search(&HeaderMap::new(), form.finish().as_bytes(), NOW).map_err(|(status, text)| {
        assert_eq!(status, StatusCode::BAD_REQUEST);
        text
    })
}

/// The times of what a search finds.
fn found(search: &str, more: &[(&str, &str)]) -> Vec<String> {
    let answer = ask(&filled(), search, more).unwrap();
    let rows = answer.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    rows.filter(|row| row.get("result").is_some()).map(|row| row["result"]["_raw"].to_string()).collect()
}

#[test]
fn terms_and_bounds() {
    let (object, text, other) = (r#""{\"user\":\"ann\",\"n\":7}""#, r#""say \"hi\"""#, r#""else""#);
    let check = |search: &str, more: &[(&str, &str)], expect: &[&str]| {
        assert_eq!(found(search, more), expect, "{search} {more:?}");
    };
    // The latest first.
    check("search index=audit", &[], &[text, object]);
    check("search index=*", &[("preview", "false")], &[text, other, object]);
    check(" search  index=\"AUDIT\" AND tenant=acme", &[], &[object]);
    check("search index=audit id=2", &[], &[object]);
    check("search index=audit tenant=a*e source=\"/*\"", &[], &[object]);
    check("search index=audit user=ann n=7", &[], &[object]);
    check("search index=audit user=an", &[], &[]);
    check("search index=audit \"y \\\"hi\"", &[], &[text]);
    check("search index=audit ANN", &[], &[object]);
    check("search index=audit host=h *", &[], &[text]);
    // The user's default indexes.
    check("search ann", &[], &[]);
    let bounds = |from, to| [("earliest_time", from), ("latest_time", to)];
    check("search index=audit", &bounds("10.5", "12"), &[object]);
    check("search index=audit", &bounds("10.500000001", "12.1"), &[text]);
    check("search index=audit", &bounds("0", "now"), &[text, object]);
    check("search index=audit earliest=11 latest=\"now\"", &bounds("", ""), &[text]);
}

#[test]
fn an_answer_is_a_line_for_each() {
    let splunk = filled();
    let expect = concat!(
        r#"{"lastrow":true,"offset":0,"preview":false,"result":{"_raw":"{\"user\":\"ann\",\"n\":7}","_time":"1970-01-01T00:00:10.500+00:00","#,
        r#""host":"localhost","id":["1","2"],"index":"audit","source":"/p","sourcetype":"httpevent","tenant":"Acme"}}"#,
        "\n"
    );
    assert_eq!(ask(&splunk, "search index=audit tenant=acme", &[]), Ok(expect.to_owned()));
    assert_eq!(ask(&splunk, "search index=x", &[]), Ok("{\"preview\":false,\"lastrow\":true}\n".to_owned()));
    // A duplicate is there twice.
    let twice = r#"{"time":1,"event":"twice"}"#;
    assert_eq!(send(&splunk, &format!("{twice}{twice}")).0, 200);
    let answer = ask(&splunk, "search twice", &[]).unwrap();
    let last: Vec<_> =
        answer.lines().map(|line| (line.contains("\"lastrow\""), line.contains("\"offset\":1"))).collect();
    assert_eq!(last, [(false, false), (true, true)]);
}

#[test]
fn what_is_not_known_is_refused() {
    let check = |search: &str, more: &[(&str, &str)]| {
        let text = ask(&filled(), search, more).unwrap_err();
        assert!(text.starts_with(r#"{"messages":[{"text":""#) && text.contains("FATAL"), "{text}");
    };
    check("index=audit", &[]);
    check("searchindex=audit", &[]);
    check("| tstats count", &[]);
    for term in ["| head 1", "a OR b", "NOT a", "(a)", "a!=b", "n>1", "\"a", "a=", "=a", "earliest=-1h"] {
        check(&format!("search index=audit {term}"), &[]);
    }
    check("search index=audit", &[("earliest_time", "-1h")]);
    check("search index=audit", &[("count", "1")]);
    check("search index=audit", &[("output_mode", "xml")]);
    let splunk = filled();
    assert_eq!(splunk.search(&HeaderMap::new(), b"search=search+index%3Daudit", NOW).unwrap_err().0, 400);
    assert_eq!(splunk.search(&HeaderMap::new(), b"output_mode=json", NOW).unwrap_err().0, 400);
}

#[test]
fn a_search_can_need_a_login() {
    let splunk = of(SplunkOptions { search_auth: Some("Bearer x".into()), ..SplunkOptions::default() });
    let form = b"search=search+index%3Daudit&output_mode=json";
    let status = |pairs| splunk.search(&headers(pairs), form, NOW).map_err(|(status, _)| status.as_u16());
    assert_eq!((status(&[]), status(&[("authorization", "Bearer y")])), (Err(401), Err(401)));
    assert!(status(&[("authorization", "Bearer x")]).is_ok());
}
