//! What is stored of a push, and how it is answered.

use super::*;
use crate::receiver::loki::{
    Counts, Rate,
    labels::Labels,
    stream::{Offer, Stream},
};
use std::io::Write as _;

/// One stream with one good entry.
fn good() -> Vec<u8> {
    lines(r#"{app="x"}"#, &[(NOW, "l")])
}

#[test]
fn requests_as_a_whole() {
    #[track_caller]
    fn check(pairs: &[(&'static str, &str)], body: &[u8], status: u16, text: &str) {
        let receiver = receiver(Limits::default());
        let got = answer(receiver.push(&headers(pairs), body, NOW));
        assert_eq!(got.0, status, "{got:?}");
        assert!(got.1.contains(text), "{got:?}");
        assert_eq!(stored(&receiver).is_empty(), status != 204, "nothing of a refused request is stored");
    }
    const PROTO: (&str, &str) = ("content-type", "application/x-protobuf");
    const JSON: (&str, &str) = ("content-type", "application/json; charset=utf-8");
    let body = snappy(&good());
    let json = format!(r#"{{"streams":[{{"stream":{{"a":"b"}},"values":[["{NOW}","l",{{"m":"v"}}]]}}]}}"#);
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let deflate = |bytes: &[u8]| {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };

    check(&[PROTO], &body, 204, "");
    check(&[("content-type", "text/plain")], &body, 204, "");
    check(&[PROTO, ("content-encoding", "snappy")], &body, 204, "");
    check(&[PROTO, ("content-encoding", "gzip")], &gzip(&body), 204, "");
    check(&[JSON], json.as_bytes(), 204, "");
    check(&[JSON, ("content-encoding", "gzip")], &gzip(json.as_bytes()), 204, "");
    check(&[JSON, ("content-encoding", "deflate")], &deflate(json.as_bytes()), 204, "");
    check(&[], &body, 400, "mime: no media type");
    check(&[PROTO, ("content-encoding", "zstd")], &body, 400, "Content-Encoding \"zstd\" not supported");
    check(&[PROTO, ("content-encoding", "gzip")], &body, 400, "");
    check(&[PROTO, ("content-encoding", "gzip")], &gzip(&good()), 400, "");
    check(&[PROTO], &good(), 400, "snappy: corrupt input");
    check(&[PROTO], b"", 400, "snappy: corrupt input");
    let mut framed = snap::write::FrameEncoder::new(Vec::new());
    framed.write_all(&good()).unwrap();
    check(&[PROTO], &framed.into_inner().unwrap(), 400, "");
    check(&[PROTO], &snappy(b"\xff"), 400, "proto");
    check(&[PROTO], &snappy(b""), 422, "error at least one valid stream is required for ingestion");
    // A decoded length of 4 GiB in a body of a few bytes.
    check(&[PROTO], b"\xff\xff\xff\xff\x0f\x00", 413, "");
    check(&[JSON, ("content-encoding", "gzip")], &gzip(&vec![b' '; 100_000_001]), 413, "");
    let bad_labels = [good(), lines("{a=b}", &[(NOW, "l")]), good()].concat();
    check(&[PROTO], &snappy(&bad_labels), 400, "couldn't parse labels");
    let bad_nanos = [field(1, b"\x10\x80\x94\xeb\xdc\x03"), field(2, b"l")].concat();
    check(&[PROTO], &snappy(&[good(), stream("{}", &[bad_nanos])].concat()), 400, "timestamp");
    let large = "x".repeat(200 << 10);
    let large: Vec<u8> = (0..21).flat_map(|i| lines(r#"{a="b"}"#, &[(NOW + i, &large)])).collect();
    check(&[PROTO], &snappy(&large), 500, "grpc: received message larger than max");
}

#[test]
fn json_bodies() {
    type Stored<'a> = (&'a str, &'a [(&'a str, &'a str)]);
    #[track_caller]
    fn check(value: &str, expect: Result<Stored<'_>, u16>) {
        let receiver = receiver(Limits::default());
        let body = format!(r#"{{"streams":[{{"stream":{{"a":"b\"c"}},"values":[{value}]}}]}}"#);
        let got = answer(receiver.push(&headers(&[("content-type", "application/json")]), body.as_bytes(), NOW));
        match expect {
            Err(status) => assert_eq!(got.0, status, "{value}: {got:?}"),
            Ok((line, metadata)) => {
                assert_eq!(got.0, 204, "{got:?}");
                let streams = receiver.streams("fake");
                assert_eq!(streams[0].labels["a"], "b\"c");
                let entry = &streams[0].entries[0];
                let pairs: Vec<_> = entry.metadata.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
                assert_eq!(
                    (entry.ts, entry.line.as_slice(), &pairs[..]),
                    (NOW + 123_456_789, line.as_bytes(), metadata)
                );
            }
        }
    }
    let value = |rest: &str| format!(r#"["{}"{rest}]"#, NOW + 123_456_789);
    check(&value(r#","a\nb\u00e9""#), Ok(("a\nbé", &[])));
    check(&value(r#","l",{}"#), Ok(("l", &[])));
    check(&value(r#","l",{"m":"a\"\u00e9"}"#), Ok(("l", &[("m", r#"a\"\u00e9"#)])));
    check(&value(r#","l",{"m":1}"#), Err(400));
    check(&value(r#","l",{"m":null}"#), Err(400));
    check(&value(r#","l","m""#), Err(400));
    check(&value(r#","l",{},1"#), Err(400));
    check(&value(r#",1"#), Err(400));
    check(&value(""), Err(400));
    check(&format!(r#"[{NOW},"l"]"#), Err(400));
    check(r#"["1.5","l"]"#, Err(400));
    check("", Err(204));
    check("{", Err(400));
}

#[test]
fn streams_and_entries_are_checked_one_by_one() {
    /// `expect`: the stored lines of each stream.
    #[track_caller]
    fn check(request: &[u8], status: u16, text: &str, expect: &[&str]) {
        let receiver = receiver(Limits::default());
        let got = send(&receiver, request);
        assert_eq!(got.0, status, "{got:?}");
        assert!(got.1.contains(text), "{got:?}");
        assert_eq!(stored(&receiver), expect);
    }
    /// One entry between two good ones: only it is refused.
    #[track_caller]
    fn check_entry(middle: Vec<u8>, text: &str) {
        let entries = [entry(NOW, b"first", &[]), middle, entry(NOW, b"last", &[])];
        check(&stream(r#"{app="x"}"#, &entries), 400, text, &["first,last"]);
    }
    /// One stream between two good ones: only it is refused.
    #[track_caller]
    fn check_stream(labels: &str, text: &str) {
        let request = [good(), lines(labels, &[(NOW, "bad")]), lines(r#"{app="y"}"#, &[(NOW, "l")])].concat();
        check(&request, 400, text, &["l", "l"]);
    }
    check(&stream(r#"{app="x"}"#, &[]), 204, "", &[]);
    check(&[stream(r#"{app="x"}"#, &[]), good()].concat(), 204, "", &["l"]);
    // The labels of an empty stream are parsed, and not checked.
    check(&stream(r#"{a="1",a="2"}"#, &[]), 204, "", &[]);
    check(&stream("{a}", &[]), 400, "couldn't parse labels", &[]);

    let week = 7 * 24 * HOUR;
    check(&lines("{}", &[(NOW - week, "l")]), 204, "", &["l"]);
    check(&lines("{}", &[(NOW + 10 * MINUTE, "l")]), 204, "", &["l"]);
    let too_old = "entry for stream '{app=\"x\", service_name=\"x\"}' has timestamp too old: 2026-11-14T23:59:59Z, \
                   oldest acceptable timestamp is: 2026-11-15T00:00:00Z";
    check_entry(entry(NOW - week - 1, b"l", &[]), too_old);
    check_entry(entry(NOW + 10 * MINUTE + 1, b"l", &[]), "has timestamp too new: 2026-11-22T00:10:00Z");
    check_entry(field(2, b"no time"), "has timestamp too old: 0001-01-01T00:00:00Z");
    let year_9999 = [&[0x08], &varint(253_402_300_799)[..]].concat();
    let far = [field(1, &year_9999), field(2, b"l")].concat();
    check_entry(far, "has timestamp too new: ");
    let long = vec![b'x'; (256 << 10) + 1];
    check(&stream("{}", &[entry(NOW, &long[1..], &[])]), 204, "", &[std::str::from_utf8(&long[1..]).unwrap()]);
    check_entry(entry(NOW, &long, &[]), "Max entry size '262144' bytes exceeded for stream");
    check(&stream("{}", &[entry(NOW, b"l", &[("m", &long[..65_535])])]), 204, "", &["l"]);
    check_entry(entry(NOW, b"l", &[("m", &long[..65_536])]), "structured metadata too large: '65537' bytes");
    check(&stream("{}", &[entry(NOW, b"l", &[("m", &b"v"[..]); 128])]), 204, "", &["l"]);
    check_entry(
        entry(NOW, b"l", &[("m", &b"v"[..]); 129]),
        "too many structured metadata labels: '129', limit: '128'",
    );

    let many = |count: usize| {
        let pairs: Vec<_> = (0..count).map(|i| format!("l{i}=\"v\"")).collect();
        format!("{{{}}}", pairs.join(","))
    };
    // The sixteenth is service_name.
    check(&lines(&many(15), &[(NOW, "l")]), 204, "", &["l"]);
    check_stream(&many(16), "has 16 label names; limit 15");
    let name = "n".repeat(1025);
    check(&lines(&format!("{{{}=\"v\"}}", &name[1..]), &[(NOW, "l")]), 204, "", &["l"]);
    check_stream(&format!("{{{name}=\"v\"}}"), "has label name too long: 'nnn");
    let value = "v".repeat(2049);
    check(&lines(&format!("{{a=\"{}\"}}", &value[1..]), &[(NOW, "l")]), 204, "", &["l"]);
    check_stream(&format!("{{a=\"{value}\"}}"), "has label value too long: 'vvv");
    check_stream(r#"{a="1",a="2"}"#, "has duplicate label name: 'a'");

    let both = [entry(0, b"a", &[]), entry(0, b"b", &[]), entry(NOW + HOUR, b"c", &[])];
    check(&stream("{}", &both), 400, "2 errors like: entry for stream", &[]);
}

#[test]
fn without_service_names_a_stream_needs_a_label() {
    let receiver = receiver(Limits { discover_service_name: false, ..Limits::default() });
    let text = "1 errors like: error at least one label pair is required per stream";
    assert_eq!(send(&receiver, &lines("{}", &[(NOW, "l")])), (400, text.to_owned()));
    assert_eq!(send(&receiver, &lines(r#"{a="1",b=""}"#, &[(NOW, "l")])).0, 204);
    assert_eq!(receiver.streams("fake")[0].labels, [("a".to_owned(), "1".to_owned())].into());
}

#[test]
fn too_far_behind_is_counted_from_the_newest_of_the_stream() {
    /// Labels, entries, the status that is expected.
    type Push<'a> = (&'a str, &'a [(i64, &'a str)], u16);
    #[track_caller]
    fn check(pushes: &[Push<'_>], expect: &[&str]) {
        let receiver = receiver(Limits::default());
        for (labels, entries, status) in pushes {
            let got = send(&receiver, &lines(labels, entries));
            assert_eq!(got.0, *status, "{got:?}");
        }
        assert_eq!(stored(&receiver), expect);
    }
    let (a, b) = (r#"{a="1"}"#, r#"{b="1"}"#);
    check(&[(a, &[(NOW, "new"), (NOW - HOUR, "edge")], 204)], &["new,edge"]);
    check(&[(a, &[(NOW - HOUR - 1, "old"), (NOW, "new")], 204)], &["old,new"]);
    check(&[(a, &[(NOW, "new"), (NOW - HOUR - 1, "old"), (NOW, "x")], 400)], &["new,x"]);
    check(&[(a, &[(NOW, "new")], 204), (b, &[(NOW - 2 * HOUR, "old")], 204)], &["new", "old"]);
    check(&[(a, &[(NOW, "new"), (NOW - HOUR, "edge"), (NOW - HOUR - 1, "old")], 400)], &["new,edge"]);
    // Whether a repeated push passes depends on what came between.
    let old: Push<'_> = (a, &[(NOW - 2 * HOUR, "old")], 204);
    check(&[old, old], &["old"]);
    check(&[old, (a, &[(NOW, "new")], 204), (old.0, old.1, 400)], &["old,new"]);
}

#[test]
fn the_answer_names_the_cutoff() {
    let receiver = receiver(Limits::default());
    assert_eq!(send(&receiver, &good()).0, 204);
    let late = [(NOW - 2 * HOUR + 5, "a"), (NOW - 2 * HOUR, "b"), (NOW, "c")];
    let expect = "entry with timestamp 2026-11-21 22:00:00.000000005 +0000 UTC ignored, reason: 'entry too far behind, \
                  entry timestamp is: 2026-11-21T22:00:00Z, oldest acceptable timestamp is: 2026-11-21T23:00:00Z',\n\
                  entry with timestamp 2026-11-21 22:00:00 +0000 UTC ignored, reason: 'entry too far behind, entry \
                  timestamp is: 2026-11-21T22:00:00Z, oldest acceptable timestamp is: 2026-11-21T23:00:00Z',\n\
                  user 'fake', total ignored: 2 out of 3 for stream: {app=\"x\", service_name=\"x\"}";
    assert_eq!(send(&receiver, &lines(r#"{app="x"}"#, &late)), (400, expect.to_owned()));
    let many: Vec<_> = (0..30).map(|i| (NOW - 3 * HOUR + i, "l")).collect();
    let (_, text) = send(&receiver, &lines(r#"{app="x"}"#, &many));
    assert_eq!(text.matches("ignored, reason").count(), 10);
    assert!(text.contains("total ignored: 30 out of 30"), "{text}");
}

#[test]
fn a_push_of_several_streams_is_answered_for_the_last_one() {
    /// The stream limit is 1 and `{a}` is there.
    #[track_caller]
    fn check(labels: &[&str], status: u16, expect: &[&str]) {
        let receiver = receiver(Limits { max_streams: 1, ..Limits::default() });
        assert_eq!(send(&receiver, &lines(r#"{a="1"}"#, &[(NOW, "0")])).0, 204);
        let request: Vec<u8> = labels.iter().flat_map(|labels| lines(labels, &[(NOW, "1")])).collect();
        assert_eq!(send(&receiver, &request).0, status);
        assert_eq!(stored(&receiver), expect);
    }
    check(&[r#"{b="1"}"#], 429, &["0"]);
    check(&[r#"{a="1"}"#, r#"{b="1"}"#], 429, &["0,1"]);
    // The trap: the new stream is gone and the answer is success.
    check(&[r#"{b="1"}"#, r#"{a="1"}"#], 204, &["0,1"]);
}

#[test]
fn duplicates_are_kept_once() {
    let receiver = receiver(Limits::default());
    let first = stream(r#"{a="1"}"#, &[entry(NOW, b"l", &[("_id", b"1")]), entry(NOW + 1, b"l", &[])]);
    let again = stream(r#"{a="1", b=""}"#, &[entry(NOW, b"l", &[("_id", b"2")]), entry(NOW, b"other", &[])]);
    for request in [&first, &again, &first] {
        assert_eq!(send(&receiver, request).0, 204);
    }
    let streams = receiver.streams("fake");
    let view: Vec<_> = streams[0].entries.iter().map(|e| (e.ts - NOW, &e.line[..], e.sends)).collect();
    assert_eq!(view, [(0, &b"l"[..], 3), (1, b"l", 2), (0, b"other", 1)]);
    assert_eq!(streams[0].entries[0].metadata, [("key_id".to_owned(), "1".to_owned())]);
    let expect = Counts { requests: 3, accepted: 3, duplicates: 3, streams: 1, line_bytes: 7, ..Counts::default() };
    assert_eq!(receiver.counts(), expect);
}

#[test]
fn entries_with_equal_hashes_stay_apart() {
    let mut stream = Stream::new(Labels::parse(b"{}").unwrap());
    let mut check = |time: i64, line: &str, expect: Offer| {
        assert_eq!(stream.offer(time, line.as_bytes(), 7, 10, Some(|_: &mut Vec<u8>| ())), expect);
    };
    check(1, "a", Offer::New);
    check(2, "a", Offer::New);
    check(1, "b", Offer::New);
    check(1, "b", Offer::Duplicate);
    check(2, "a", Offer::Duplicate);
    check(1, "a", Offer::Duplicate);
    let lines: Vec<_> = stream.entries.iter().map(|entry| (entry.time, entry.line(), entry.sends)).collect();
    assert_eq!(lines, [(1, &b"a"[..], 2), (2, b"a", 2), (1, b"b", 2)]);
}

#[test]
fn without_lines_duplicates_are_still_counted() {
    let receiver = Receiver::new(Options { keep_lines: false, ..Options::default() }).unwrap();
    for _ in 0..2 {
        assert_eq!(send(&receiver, &lines("{}", &[(NOW, "a"), (NOW, "b")])).0, 204);
    }
    let counts = receiver.counts();
    assert_eq!((counts.accepted, counts.duplicates, counts.line_bytes), (2, 2, 2));
    assert_eq!(stored(&receiver), [""]);
}

#[test]
fn metadata_is_rewritten() {
    #[track_caller]
    fn check(name: &str, value: &[u8], expect: (&str, &str)) {
        let receiver = receiver(Limits::default());
        assert_eq!(send(&receiver, &stream("{}", &[entry(NOW, b"\xff", &[(name, value)])])).0, 204);
        let entry = &receiver.streams("fake")[0].entries[0];
        assert_eq!(entry.line, b"\xff", "bytes are kept");
        assert_eq!(entry.metadata, [(expect.0.to_owned(), expect.1.to_owned())]);
    }
    check("trace_id", b"v", ("trace_id", "v"));
    check("a.b-c d", b"", ("a_b_c_d", ""));
    check("9a", b"v", ("key_9a", "v"));
    check("_id", b"v", ("key_id", "v"));
    check("__id", b"v", ("__id", "v"));
    check("größe", b"v", ("größe", "v"));
    check("a", "x\u{fffd}y".as_bytes(), ("a", "x y"));
    check("a", b"x\xff\xfey", ("a", "x  y"));
}

/// Nanoseconds in a millisecond.
const MILLI: i64 = 1_000_000;

#[test]
fn the_tenants_rate_takes_all_or_nothing() {
    let rate = Some(Rate { bytes_per_second: 10, burst: 20 });
    let receiver = receiver(Limits { rate, ..Limits::default() });
    let push = |after: i64, line: &str| {
        answer(receiver.push(&proto(), &snappy(&lines("{}", &[(NOW + after, line)])), NOW + after)).0
    };
    assert_eq!(push(0, &"x".repeat(21)), 429);
    assert_eq!(push(1, &"x".repeat(20)), 204);
    assert_eq!(push(60 * MILLI, "1"), 429);
    assert_eq!(push(120 * MILLI, "1"), 204, "parts of a byte are saved up too");
    assert_eq!(push(SECOND / 2, "123456"), 429);
    assert_eq!(push(SECOND, "123456"), 204);
    assert_eq!(push(100 * SECOND, &"x".repeat(21)), 429, "no more than the burst is saved up");
    assert_eq!(receiver.counts().rejected, 4);
}

#[test]
fn tenants_do_not_see_each_other() {
    let receiver = Receiver::new(Options { auth: AuthMode::MultiTenant, ..Options::default() }).unwrap();
    let push = |tenant: &str| {
        let headers = headers(&[("content-type", "application/x-protobuf"), ("x-scope-orgid", tenant)]);
        answer(receiver.push(&headers, &snappy(&good()), NOW))
    };
    assert_eq!(push(""), (401, "no org id".to_owned()));
    assert_eq!((push("a").0, push("b").0, push("a|b").0), (204, 204, 400));
    assert_eq!((receiver.streams("a").len(), receiver.streams("b").len(), receiver.streams("fake").len()), (1, 1, 0));
    assert_eq!(receiver.counts().refused_requests, 2);
}

#[test]
fn accepted_entries_are_logged() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("accepted.jsonl");
    let receiver = Receiver::new(Options { log: Some(log.clone()), ..Options::default() }).unwrap();
    let bad = lines("{}", &[(0, "too old")]);
    assert_eq!(send(&receiver, &bad).0, 400);
    let good = stream("{}", &[entry(NOW, b"<\xc3\xa4>", &[("m", b"v")]), entry(NOW, b"\xff", &[])]);
    assert_eq!(send(&receiver, &good).0, 204);
    assert_eq!(send(&receiver, &lines("{}", &[(NOW, "<ä>")])).0, 204);
    let line = |body: &str, metadata: &str, duplicate: bool, request: u32| {
        format!(
            "{{\"tenant\":\"fake\",\"stream\":{{\"service_name\":\"unknown_service\"}},\"ts\":\"{NOW}\",{body},\
             \"metadata\":{{{metadata}}},\"duplicate\":{duplicate},\"request\":{request}}}\n"
        )
    };
    let expect = [
        line("\"line\":\"<ä>\"", "\"m\":\"v\"", false, 2),
        line("\"line_base64\":\"/w==\"", "", false, 2),
        line("\"line\":\"<ä>\"", "", true, 3),
    ];
    assert_eq!(std::fs::read_to_string(&log).unwrap(), expect.concat());
}

#[test]
fn an_unwritable_log_is_not_hidden() {
    let options = Options { log: Some("/dev/full".into()), ..Options::default() };
    let receiver = Receiver::new(options).unwrap();
    assert_eq!(send(&receiver, &good()).0, 500);
    assert_eq!(send(&receiver, &lines("{}", &[(NOW, "next")])).0, 500);
    assert_eq!(receiver.counts().accepted, 1, "nothing more is accepted until the log is written");
}
