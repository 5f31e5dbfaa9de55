use super::*;
use crate::receiver::{DatadogView, DocumentView, EntryView, SplunkEventView};
use serde_json::{Value, json};

const LINES: [&[u8]; 4] = [b"{\"a\":1}", b"\xff", b"", b"abcdef"];

/// What is written.
fn written() -> Vec<WrittenFile> {
    let mut file = WrittenFile { name: "app-audit.jsonl".into(), ..WrittenFile::default() };
    for line in LINES {
        file.lines.push((file.size, Sha256::digest(line).into()));
        file.size += line.len() as u64 + 1;
    }
    vec![file]
}

/// A record as a right agent sends it.
#[derive(Clone)]
struct Sent {
    seq: u64,
    offset: u64,
    /// As it was in the file.
    body: &'static [u8],
    /// As it travels.
    text: &'static str,
    encoding: Option<&'static str>,
    part: Option<u64>,
    whole: Option<(u64, String)>,
}

impl Sent {
    fn id(&self) -> String {
        format!("0011-{}-{}", self.offset, hex(&Sha256::digest(self.body)[..8]))
    }

    /// As Loki and Splunk have it.
    fn texts(&self) -> Vec<(String, String)> {
        let (parts, sha256) = self.whole.clone().unzip();
        let known = [
            ("file", Some("0011".to_owned())),
            ("seq", Some(self.seq.to_string())),
            ("offset", Some(self.offset.to_string())),
            ("encoding", self.encoding.map(str::to_owned)),
            ("part", self.part.map(|part| part.to_string())),
            ("parts", parts.map(|parts| parts.to_string())),
            ("sha256", sha256),
        ];
        known.into_iter().filter_map(|(name, value)| Some((format!("auditship_{name}"), value?))).collect()
    }
}

/// What a right agent sends: the last line in two parts.
fn sent() -> Vec<Sent> {
    let plain = |seq, offset, body, text| Sent { seq, offset, body, text, encoding: None, part: None, whole: None };
    let whole = Some((2, hex(&Sha256::digest(LINES[3]))));
    vec![
        plain(1, 0, LINES[0], "{\"a\":1}"),
        Sent { encoding: Some("base64"), ..plain(2, 8, LINES[1], "/w==") },
        plain(3, 10, LINES[2], ""),
        Sent { part: Some(1), ..plain(4, 11, b"abc", "abc") },
        Sent { part: Some(2), whole, ..plain(5, 14, b"def", "def") },
    ]
}

fn in_loki(sent: &Sent) -> EntryView {
    EntryView { ts: 0, line: sent.text.into(), metadata: sent.texts(), sends: 1 }
}

fn in_elastic(sent: &Sent) -> DocumentView {
    let (parts, sha256) = sent.whole.clone().unzip();
    let source = json!({
        "@timestamp": "2026-01-02T03:04:05Z",
        "event": { "id": sent.id(), "sequence": sent.seq, "kind": "event", "original": sent.text },
        "log": { "file": { "path": "/a" }, "offset": sent.offset },
        "auditship": { "file": "0011", "part": sent.part, "parts": parts, "sha256": sha256, "encoding": sent.encoding },
    });
    DocumentView { index: "audit-2026.01".into(), id: sent.id(), source: source.to_string().into(), sends: 1 }
}

fn in_splunk(sent: &Sent) -> SplunkEventView {
    let id = [("auditship_id".to_owned(), sent.id())];
    let form = match sent.text {
        "" => Some("wrapped"),
        text if text.starts_with('{') || sent.encoding.is_some() => None,
        _ => Some("string"),
    };
    let form = form.map(|form| ("auditship_form".to_owned(), form.to_owned()));
    let fields = sent.texts().into_iter().chain(id).chain(form).map(|(name, value)| (name, vec![value])).collect();
    let event = if sent.text.is_empty() { "{\"auditship_body\":\"\"}" } else { sent.text };
    let (index, sourcetype) = ("main".to_owned(), "auditship".to_owned());
    let (time, host, source) = ("1.5".to_owned(), "h".to_owned(), "/a".to_owned());
    SplunkEventView { index, time, host, source, sourcetype, fields, event: event.into(), sends: 1 }
}

fn in_datadog(sent: &Sent) -> DatadogView {
    let others = [("hostname", "h".to_owned()), ("message", sent.text.into()), ("auditship_id", sent.id())];
    let others = others.map(|(name, value)| (name.to_owned(), value));
    let all = sent.texts().into_iter().chain(others);
    let object: Value = all.map(|(name, value)| (name.replacen('_', ".", 1), value)).collect();
    DatadogView { object: object.to_string().into(), message: sent.text.into(), sends: 1 }
}

/// What is found when `change` was done to what a destination holds.
fn verdict<V>(
    store: fn(&Sent) -> V,
    read: fn(V) -> Result<Record, String>,
    change: impl FnOnce(&mut Vec<V>),
) -> Verdict {
    let mut views: Vec<V> = sent().iter().map(store).collect();
    change(&mut views);
    // The order of arrival does not matter.
    views.reverse();
    compare(&written(), views.into_iter().map(read))
}

fn loki(change: impl FnOnce(&mut Vec<EntryView>)) -> Verdict {
    verdict(in_loki, read::loki, change)
}

fn elastic(change: impl FnOnce(&mut Vec<DocumentView>)) -> Verdict {
    verdict(in_elastic, read::elastic, change)
}

fn splunk(change: impl FnOnce(&mut Vec<SplunkEventView>)) -> Verdict {
    verdict(in_splunk, read::splunk, change)
}

fn datadog(change: impl FnOnce(&mut Vec<DatadogView>)) -> Verdict {
    verdict(in_datadog, read::datadog, change)
}

/// Replaces text in what is stored.
fn replace(bytes: &mut Vec<u8>, from: &str, to: &str) {
    let text = String::from_utf8(std::mem::take(bytes)).unwrap();
    assert!(text.contains(from), "{text}");
    *bytes = text.replacen(from, to, 1).into_bytes();
}

#[test]
fn what_is_complete_is_right() {
    // What came again and is the same is one at all of them.
    let cases = [
        ("loki", loki(|all| all[0].sends = 3)),
        ("elastic", elastic(|all| all[0].sends = 3)),
        ("splunk", splunk(|all| all[0].sends = 3)),
        ("datadog", datadog(|all| all[0].sends = 3)),
    ];
    let expect = Verdict { lines: 4, once: 4, resent: 2, files: 1, contents: 1, ..Verdict::default() };
    for (name, found) in cases {
        assert_eq!(found, expect, "{name}");
        assert!(found.is_right());
    }
}

/// Once, twice, altered, missing, foreign, gaps.
type Numbers = (u64, u64, u64, u64, u64, u64);

fn check(cases: &[(&str, Verdict, Numbers)]) {
    for (name, found, expect) in cases {
        let numbers = (found.once, found.twice, found.altered, found.missing, found.foreign, found.gaps);
        assert_eq!(numbers, *expect, "{name}: {found:?}");
        assert!(!found.is_right() && !found.problems.is_empty(), "{name}");
    }
}

#[test]
fn everything_that_is_wrong_is_found() {
    check(&[
        ("a record is lost", loki(|all| _ = all.remove(1)), (3, 0, 0, 1, 0, 1)),
        ("a line is altered", loki(|all| all[0].line.push(b' ')), (3, 0, 1, 0, 0, 0)),
        ("a part is altered", loki(|all| all[3].line[0] = b'A'), (3, 0, 1, 0, 0, 1)),
        ("a part is lost", loki(|all| _ = all.remove(3)), (3, 0, 0, 1, 0, 2)),
        ("a line is stored twice", loki(|all| all.push(all[0].clone())), (3, 1, 0, 0, 0, 0)),
        ("a part is stored twice", loki(|all| all.push(all[3].clone())), (3, 1, 0, 0, 0, 0)),
        (
            "a line is added",
            loki(|all| {
                let more = Sent { seq: 6, offset: 99, ..sent()[0].clone() };
                all.push(in_loki(&more));
            }),
            (4, 0, 0, 0, 1, 0),
        ),
        ("an entry is not ours", loki(|all| all[0].metadata.clear()), (3, 0, 0, 1, 1, 1)),
        ("there is nothing", loki(Vec::clear), (0, 0, 0, 4, 0, 0)),
    ]);
}

#[test]
fn an_elasticsearch_is_read_by_id() {
    check(&[
        ("a record is lost", elastic(|all| _ = all.remove(1)), (3, 0, 0, 1, 0, 1)),
        // The id is not that of these bytes either.
        ("a line is altered", elastic(|all| replace(&mut all[3].source, "abc", "abd")), (3, 0, 1, 0, 0, 2)),
        ("a part is lost", elastic(|all| _ = all.remove(4)), (3, 0, 0, 1, 0, 1)),
        (
            "one id in two indices",
            elastic(|all| {
                let index = "audit-2026.02".into();
                all.push(DocumentView { index, ..all[0].clone() });
            }),
            (3, 1, 0, 0, 0, 0),
        ),
        ("another _id than its own", elastic(|all| all[0].id.push('0')), (3, 0, 0, 1, 1, 1)),
        ("no JSON", elastic(|all| all[0].source.clear()), (3, 0, 0, 1, 1, 1)),
    ]);
}

#[test]
fn a_splunk_is_read_by_auditship_id() {
    let field = |event: &mut SplunkEventView, name: &str, value: &str| {
        event.fields.insert(name.to_owned(), vec![value.to_owned()]);
    };
    check(&[
        ("a record is lost", splunk(|all| _ = all.remove(2)), (3, 0, 0, 1, 0, 1)),
        ("a line is altered", splunk(|all| replace(&mut all[0].event, "1", "2")), (3, 0, 1, 0, 0, 1)),
        // As a string it would be another line.
        ("a form is lost", splunk(|all| _ = all[2].fields.remove("auditship_form")), (3, 0, 1, 0, 0, 1)),
        ("a form is unknown", splunk(|all| field(&mut all[2], "auditship_form", "x")), (3, 0, 0, 1, 1, 1)),
        (
            "a copy differs",
            splunk(|all| {
                let time = "2.5".into();
                all.push(SplunkEventView { time, ..all[0].clone() });
            }),
            (3, 1, 0, 0, 0, 0),
        ),
        ("no id", splunk(|all| _ = all[0].fields.remove("auditship_id")), (3, 0, 0, 1, 1, 1)),
        ("an id of another place", splunk(|all| field(&mut all[0], "auditship_id", "0011-7-0")), (3, 0, 0, 1, 1, 1)),
    ]);
}

#[test]
fn a_datadog_is_read_by_auditship_id() {
    check(&[
        ("a record is lost", datadog(|all| _ = all.remove(1)), (3, 0, 0, 1, 0, 1)),
        ("the end of a message is cut", datadog(|all| _ = all[0].message.pop()), (3, 0, 1, 0, 0, 1)),
        ("no base64", datadog(|all| all[1].message.clear()), (3, 0, 1, 0, 0, 1)),
        (
            "a copy differs",
            datadog(|all| {
                all.push(all[0].clone());
                replace(&mut all[5].object, "\"h\"", "\"i\"");
            }),
            (3, 1, 0, 0, 0, 0),
        ),
        ("not ours", datadog(|all| replace(&mut all[0].object, "auditship", "other")), (3, 0, 0, 1, 1, 1)),
    ]);
}
