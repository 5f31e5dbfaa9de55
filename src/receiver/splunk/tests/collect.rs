//! Bodies with events, and who may send them.

use super::*;

/// Sends a body without and with acknowledgement: the code, the event number, and what is stored.
#[track_caller]
fn check(body: &str, code: u32, bad: Option<usize>, expect: &[&str]) {
    let status = if code == 0 { 200 } else { 400 };
    for ack in [false, true] {
        let splunk = receiver(ack);
        let receipt = (ack && code == 0).then_some(0);
        assert_eq!(send(&splunk, body), (status, code, bad, receipt), "{body}");
        assert_eq!(stored(&splunk), expect, "{body}");
        assert_eq!(splunk.counts().rejected, u64::from(bad.is_some()));
    }
}

#[test]
fn events_one_after_the_other() {
    check(r#"{"event":{"a": 1.50}}{"event":"b\n"} {"event":[1]}"#, 0, None, &[r#"{"a": 1.50}"#, "b\n", "[1]"]);
    check("{\"event\":7}\n{\"event\":false}\n", 0, None, &["7", "false"]);
    check(r#"[{"event":"a"},{"event":"b"}]"#, 0, None, &["a", "b"]);
    for nothing in ["", " \n", "[]"] {
        check(nothing, 5, None, &[]);
    }
}

#[test]
fn what_comes_before_a_bad_event_is_stored() {
    let bad = |event: &str, code: u32, nth: usize| {
        check(&format!(r#"{{"event":"a"}}{{"event":"b"}}{event}{{"event":"c"}}"#), code, Some(nth), &["a", "b"]);
    };
    for event in ["{", "}", "x", "{\"event\":\"\u{1}\"}", "7", r#"{"event":"\ud800"}"#, r#"{"event":1,"host":2}"#] {
        bad(event, 6, 2);
    }
    bad(r#"{"time":1}"#, 12, 2);
    for blank in ["null", r#""""#, r#"" \t""#, "{}", "{ }", "[]"] {
        bad(&format!(r#"{{"event":{blank}}}"#), 13, 2);
    }
    for time in ["1e9", "1E9", r#""1e9""#, r#""""#, r#""soon""#, "null", "[1]", "true"] {
        bad(&format!(r#"{{"event":"x","time":{time}}}"#), 15, 2);
    }
    for fields in [r#"{"a":{"b":"c"}}"#, r#"{"a":1}"#, r#"{"a":[["b"]]}"#, "[]", "null"] {
        bad(&format!(r#"{{"event":"x","fields":{fields}}}"#), 15, 2);
    }
}

#[test]
fn behind_an_unknown_key_nothing_is_stored_and_nothing_is_said() {
    check(r#"{"event":"a"}{"event":"b","extra":1}{"event":"c"}"#, 0, None, &["a"]);
    check(r#"{"event":"a","extra":1}{"event":"b"}"#, 5, None, &[]);
    // Fields without an event are only passed over.
    check(r#"{"event":"a"}{"fields":{"x":"y"}}{"event":"c"}"#, 0, None, &["a", "c"]);
}

#[test]
fn an_event_has_what_its_envelope_says() {
    let splunk = receiver(false);
    let whole = r#"{"time":-1.5,"host":"h","source":"/p","sourcetype":"st","index":"i","fields":{"a":"b","c":["d","e"]},"event":{"x":1}}"#;
    assert_eq!(
        send(&splunk, &format!(r#"{whole}{{"event":"y","time":"17.25"}}{{"event":"z"}}{whole}"#)),
        (200, 0, None, None)
    );
    let view = |index: &str, time: &str, event: &str| SplunkEventView {
        index: index.into(),
        time: time.into(),
        host: "localhost".into(),
        source: "http:local".into(),
        sourcetype: "httpevent".into(),
        fields: BTreeMap::new(),
        event: event.into(),
        sends: 1,
    };
    let first = SplunkEventView {
        host: "h".into(),
        source: "/p".into(),
        sourcetype: "st".into(),
        fields: [("a".into(), vec!["b".into()]), ("c".into(), vec!["d".into(), "e".into()])].into(),
        sends: 2,
        ..view("i", "-1.5", r#"{"x":1}"#)
    };
    assert_eq!((first.field("c"), first.field("d")), (Some("d"), None));
    assert_eq!(splunk.events(), [first, view("main", "17.25", "y"), view("main", "1700000000.000", "z")]);
    let counts = SplunkCounts { requests: 1, accepted: 3, duplicates: 1, event_bytes: 9, ..SplunkCounts::default() };
    assert_eq!(splunk.counts(), counts);
}

#[test]
fn a_token_may_only_write_to_its_indexes() {
    let token = SplunkToken { ack: false, indexes: vec!["audit".into()], ..SplunkToken::default() };
    let splunk = of(SplunkOptions { tokens: vec![token], ..SplunkOptions::default() });
    // The number is one too many.
    let body = r#"{"event":"a","index":"audit"}{"event":"b"}{"event":"c","index":"other"}"#;
    assert_eq!(send(&splunk, body), (400, 7, Some(3), None));
    assert_eq!(stored(&splunk), ["a", "b"]);
}

#[test]
fn objects_can_be_refused_for_trying_out() {
    let splunk = of(SplunkOptions { refused_in_objects: Some("bad".into()), ..SplunkOptions::default() });
    assert_eq!(send(&splunk, r#"{"event":"a"}{"event":{"a":"bad"}}"#), (400, 6, Some(1), None));
    assert_eq!(send(&splunk, r#"{"event":"{\"a\":\"bad\"}"}"#), (200, 0, None, Some(0)));
}

#[test]
fn tokens_and_channels() {
    let token = |value: &str, ack: bool, is_disabled: bool| SplunkToken {
        value: value.into(),
        ack,
        is_disabled,
        ..SplunkToken::default()
    };
    let tokens = vec![token("with", true, false), token("without", false, false), token("off", true, true)];
    let splunk = of(SplunkOptions { tokens, ..SplunkOptions::default() });
    let check = |pairs: &[(&'static str, &str)], path: &str, status: u16, code: u32| {
        let reply = splunk.collect(&headers(pairs), &uri(path), Ok(br#"{"event":"a"}"#), NOW);
        assert_eq!((reply.status, reply.code), (status, code), "{pairs:?} {path}");
    };
    check(&[], "/", 401, 2);
    check(&[], "/?token=with", 400, 16);
    for bad in ["with", "Bearer with", "splunk with", "Basic x", "Basic d2l0aA=="] {
        check(&[("authorization", bad)], "/", 401, 3);
    }
    check(&[("authorization", "Splunk other")], "/", 403, 4);
    check(&[("authorization", "Splunk off")], "/", 403, 1);
    check(&[("authorization", "Splunk without")], "/", 200, 0);
    // x:without
    check(&[("authorization", "Basic eDp3aXRob3V0")], "/", 200, 0);
    check(&[("authorization", "Splunk with")], "/", 400, 10);
    check(&[("authorization", "Splunk with")], "/?channel=x", 400, 11);
    check(&[("authorization", "Splunk with")], &format!("/?channel={CHANNEL}"), 200, 0);
    for bad in ["", "x", "11111111-2222-3333-4444-55555555555g", "11111111-2222-3333-44445-5555555555a"] {
        check(&[("authorization", "Splunk with"), ("x-splunk-request-channel", bad)], "/", 400, 11);
    }
    assert_eq!(splunk.counts().accepted + splunk.counts().duplicates, 3);
    assert_eq!(splunk.counts().requests - splunk.counts().refused_requests, 3);
}

#[test]
fn compression_and_size() {
    use std::io::Write as _;
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let check = |is_cloud: bool, encoding: &str, body: &[u8], status: u16, code: u32| {
        let splunk = of(SplunkOptions { max_body: 100, is_cloud, ..SplunkOptions::default() });
        let mut headers = known();
        headers.insert("content-encoding", encoding.parse().unwrap());
        let body = if body.len() > 100 { Err(TooLong(body.len())) } else { Ok(body) };
        let reply = splunk.collect(&headers, &uri("/"), body, NOW);
        assert_eq!((reply.status, reply.code), (status, code), "{encoding}");
        assert_eq!(reply.bad.is_some(), is_cloud && status == 400);
        assert_eq!(stored(&splunk).len(), usize::from(status == 200));
    };
    let one = r#"{"event":"a"}"#;
    let long = format!(r#"{{"event":"{}"}}"#, "a".repeat(100));
    check(false, "gzip", &gzip(one), 200, 0);
    check(false, "identity", one.as_bytes(), 200, 0);
    check(false, "gzip", one.as_bytes(), 400, 6);
    check(false, "gzip", b"", 400, 6);
    for other in ["deflate", "zstd", "br"] {
        check(false, other, one.as_bytes(), 415, 415);
    }
    check(false, "identity", long.as_bytes(), 413, 413);
    check(false, "gzip", &gzip(&long), 413, 413);
    check(true, "identity", long.as_bytes(), 400, 6);
    check(true, "gzip", &gzip(&long), 400, 6);
}

#[test]
fn loads() {
    let check = |load: SplunkLoad, status: u16, code: u32, health: u32| {
        let splunk = receiver(true);
        splunk.set_load(load);
        let receipt = (status == 200).then_some(0);
        assert_eq!(send(&splunk, r#"{"event":"a"}"#), (status, code, None, receipt));
        assert_eq!(stored(&splunk).len(), usize::from(status == 200));
        assert_eq!(splunk.health(&known(), &uri("/"), NOW).code, health);
        splunk.set_load(SplunkLoad::Normal);
        assert_eq!(send(&splunk, r#"{"event":"a"}"#).0, 200);
    };
    check(SplunkLoad::Normal, 200, 0, 17);
    check(SplunkLoad::NearCapacity, 200, 24, 17);
    check(SplunkLoad::AcksNearCapacity, 200, 25, 17);
    check(SplunkLoad::Busy, 503, 9, 18);
    check(SplunkLoad::ShuttingDown, 503, 23, 23);
    check(SplunkLoad::AtCapacity, 429, 26, 18);
    check(SplunkLoad::AcksAtCapacity, 429, 27, 19);
}
