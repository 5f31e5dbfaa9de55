use super::*;
use crate::model::Container;
use crate::{
    model::{Digest, FileName, leaf},
    output::loki::generated::{EntryAdapter, LabelPairAdapter, PushRequest, StreamAdapter, Timestamp},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;
use prost::Message as _;

const _: () = assert!(MAX_PART.div_ceil(3) * 4 <= MAX_LINE && MAX_PART == 196_608);

fn origin(host: &str, path: &str) -> Origin {
    let (host, path) = (host.to_owned(), path.to_owned());
    Origin {
        name: FileName(0xab),
        host: host.into(),
        path: path.into(),
        source: "s".into(),
        first_seen: Nanos::default(),
        container: None,
    }
}

fn record(body: &[u8]) -> Record<'_> {
    Record { body, offset: 0, seq: 1, leaf: leaf(body), time: Nanos(1), marks: Marks::NONE, part: None }
}

/// What an entry must be, put together the slow way.
fn expected(record: &Record<'_>, origin: &Origin) -> EntryAdapter {
    let mut pairs = vec![
        ("auditship_file", origin.name.to_string()),
        ("auditship_host", origin.host.to_string()),
        ("auditship_path", origin.path.to_string()),
    ];
    if let Some(container) = &origin.container {
        let text = |text: &Option<Box<str>>| text.as_ref().map(ToString::to_string);
        let known = [
            ("auditship_namespace", text(&container.namespace)),
            ("auditship_pod", text(&container.pod)),
            ("auditship_pod_uid", text(&container.pod_uid)),
            ("auditship_container", text(&container.name)),
            ("auditship_restart_count", container.restart_count.map(|count| count.to_string())),
            ("auditship_container_id", text(&container.id)),
        ];
        pairs.extend(known.into_iter().filter_map(|(name, value)| Some((name, value?))));
    }
    pairs.extend([("auditship_seq", record.seq.to_string()), ("auditship_offset", record.offset.to_string())]);
    if !record.marks.is_none() {
        pairs.push(("auditship_mark", record.marks.names().collect::<Vec<_>>().join(",")));
    }
    if let Some(part) = record.part {
        pairs.push(("auditship_part", part.number.to_string()));
        if let Some(whole) = part.whole {
            pairs.push(("auditship_parts", part.number.to_string()));
            pairs.push(("auditship_sha256", whole.iter().map(|byte| format!("{byte:02x}")).collect()));
        }
    }
    let mut line = record.body.to_vec();
    if record.marks.has(Marks::INVALID_UTF8) {
        pairs.push(("auditship_encoding", "base64".into()));
        line = STANDARD.encode(record.body).into_bytes();
    }
    let structured_metadata =
        pairs.into_iter().map(|(name, value)| LabelPairAdapter { name: name.into(), value }).collect();
    let timestamp = Some(Timestamp { seconds: record.time.seconds(), nanos: record.time.subsec() });
    EntryAdapter { timestamp, line, structured_metadata, parsed: Vec::new() }
}

fn head(origin: &Origin) -> FileHead {
    FileHead { name: origin.name, first_seen: origin.first_seen, bytes: file_metadata(origin) }
}

fn check_push(labels: &str, records: &[Record<'_>], origin: &Origin) {
    let file = head(origin);
    let mut entries = Vec::new();
    for record in records {
        let before = entries.len();
        entry(&mut entries, record, &file);
        assert_eq!(entries.len() - before, entry_len(record, &file));
    }
    let body = [envelope(labels.as_bytes(), entries.len()), entries].concat();
    let stream = StreamAdapter {
        labels: labels.into(),
        entries: records.iter().map(|record| expected(record, origin)).collect(),
        hash: 0,
    };
    let expect = PushRequest { streams: vec![stream] };
    assert_eq!(PushRequest::decode(body.as_slice()), Ok(expect.clone()));
    assert!(body == expect.encode_to_vec(), "prost writes the same message in other bytes");
}

#[test]
fn what_is_known_of_a_container_comes_after_the_path_and_its_labels_do_not() {
    fn check(container: Container) {
        let origin = Origin { container: Some(container.into()), ..origin("h", "/p") };
        check_push("{a=\"b\"}", &[record(b"hi"), record(b"\xff")], &origin);
    }
    let whole = Container {
        namespace: Some("shop".into()),
        pod: Some("p".repeat(253).into()),
        pod_uid: Some("u-1".into()),
        name: Some("app".into()),
        restart_count: Some(u32::MAX),
        id: Some("f".repeat(64).into()),
        labels: [("app".into(), "api".into())].into(),
    };
    check(Container { pod: None, restart_count: None, ..whole.clone() });
    check(whole);
    check(Container { restart_count: Some(0), ..Container::default() });
    check(Container::default());
    let long = |name: String| Container { name: Some(name.into()), ..Container::default() };
    let of = |name| head(&Origin { container: Some(long(name).into()), ..origin("h", "/p") });
    assert_eq!(of("é".repeat(MAX_VALUE)), of("é".repeat(MAX_VALUE / 2)));
}

#[test]
fn one_entry_in_bytes() {
    let mut out = Vec::new();
    let origin = origin("h", "/p");
    entry(&mut out, &Record { time: Nanos(2_000_000_003), ..record(b"hi") }, &head(&origin));
    let expect = [
        b"\x12\x84\x01\x0a\x04\x08\x02\x10\x03\x12\x02hi".as_slice(),
        b"\x1a\x22\x0a\x0eauditship_file\x12\x1000000000000000ab",
        b"\x1a\x13\x0a\x0eauditship_host\x12\x01h",
        b"\x1a\x14\x0a\x0eauditship_path\x12\x02/p",
        b"\x1a\x12\x0a\x0dauditship_seq\x12\x011",
        b"\x1a\x15\x0a\x10auditship_offset\x12\x010",
    ];
    assert_eq!(out, expect.concat());
}

#[test]
fn shapes() {
    let all = Marks::MALFORMED.with(Marks::INVALID_UTF8).with(Marks::EMPTY).with(Marks::UNTERMINATED);
    let origin = origin("node-7", "/var/log/a-audit.jsonl");
    let largest = Some(Part { number: u32::MAX, whole: Some([0xfe; 32]) });
    for record in [
        record(b""),
        record(b"{}"),
        Record { time: Nanos(0), ..record(b"the epoch") },
        Record { time: Nanos(i64::MIN), ..record(b"the first time") },
        Record { time: Nanos(i64::MAX), ..record(b"the last time") },
        Record { seq: u64::MAX, offset: u64::MAX, marks: all, part: largest, ..record(b"\xff") },
        Record { seq: 0, ..record(b"\x00\x80") },
        record(&[b'x'; MAX_LINE]),
        Record { marks: Marks::INVALID_UTF8, ..record(&[0xff; MAX_PART]) },
        Record { part: Some(Part { number: 1, whole: None }), ..record(b"{\"a\":") },
    ] {
        check_push("{a=\"b\"}", &[record], &origin);
    }
    check_push("", &[], &origin);
}

#[test]
fn a_part_of_any_bytes_fits_a_line() {
    let body = [0xff; MAX_PART];
    assert_eq!(line_len(&Record { marks: Marks::INVALID_UTF8, ..record(&body) }), MAX_LINE);
}

#[test]
fn host_and_path_are_cut_at_a_character() {
    fn check(given: &str, expect: &str) {
        assert_eq!(file_metadata(&origin(given, given)), file_metadata(&origin(expect, expect)));
        assert!(expect.len() <= MAX_VALUE);
        check_push("{}", &[record(b"x")], &origin(expect, expect));
    }
    let just = "p".repeat(2048);
    check(&just, &just);
    check(&format!("{just}p"), &just);
    check(&"€".repeat(700), &"€".repeat(682));
    check("", "");
}

#[test]
fn label_strings() {
    fn check(pairs: &[(&str, &str)], expect: &str) {
        let set = LabelSet::new(pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())));
        assert_eq!(labels(&set), expect);
    }
    check(&[], "{}");
    check(&[("b", "2"), ("a", "1"), ("c", "")], r#"{a="1", b="2"}"#);
    check(&[("a", "\"\\'`{},=")], r#"{a="\"\\'`{},="}"#);
    check(&[("a", "1\n2\r3\t4\0\x1b\x7f")], r#"{a="1\n2\r3\t4\x00\x1b\x7f"}"#);
    check(&[("a", "ü€🦀")], r#"{a="ü€🦀"}"#);
    check(&[("a", "\u{FFFD}")], r#"{a="\ufffd"}"#);
}

/// Reads a label string as Loki does, or says why Loki would refuse the request.
fn parse(text: &str) -> Result<Vec<(String, String)>, &'static str> {
    let mut rest = text.strip_prefix('{').ok_or("no brace")?.strip_suffix('}').ok_or("no closing brace")?;
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").ok_or("no value")?;
        let (value, after) = unquote(after)?;
        pairs.push((name.to_owned(), value));
        rest = after.strip_prefix(", ").unwrap_or(after);
    }
    Ok(pairs)
}

/// The value up to its closing quote, and what follows. PromQL: `lexString` and `lexEscape`, then `strutil.Unquote`.
fn unquote(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = Vec::new();
    let mut chars = text.chars();
    loop {
        match chars.next().ok_or("unterminated quoted string")? {
            '"' => return Ok((String::from_utf8(value).map_err(|_| "not UTF-8")?, chars.as_str())),
            '\n' => return Err("unterminated quoted string"),
            '\u{FFFD}' => return Err("invalid UTF-8 rune"),
            '\\' => match chars.next().ok_or("escape sequence not terminated")? {
                'n' => value.push(b'\n'),
                'r' => value.push(b'\r'),
                't' => value.push(b'\t'),
                c @ ('\\' | '"') => value.push(c as u8),
                'x' => value.push(hex(&mut chars, 2)? as u8),
                'u' => {
                    let c = char::from_u32(hex(&mut chars, 4)?).ok_or("invalid code point")?;
                    value.extend(c.to_string().bytes());
                }
                _ => return Err("unknown escape sequence"),
            },
            c => value.extend(c.to_string().bytes()),
        }
    }
}

fn hex(chars: &mut std::str::Chars<'_>, digits: usize) -> Result<u32, &'static str> {
    let text: String = chars.take(digits).collect();
    u32::from_str_radix(&text, 16).map_err(|_| "illegal character in escape sequence")
}

fn marks() -> impl Strategy<Value = Marks> {
    prop::sample::subsequence(vec![Marks::MALFORMED, Marks::INVALID_UTF8, Marks::EMPTY, Marks::UNTERMINATED], 0..=4)
        .prop_map(|marks| marks.into_iter().fold(Marks::NONE, Marks::with))
}

fn part() -> impl Strategy<Value = Option<Part>> {
    prop::option::of((any::<u32>(), any::<Option<Digest>>()).prop_map(|(number, whole)| Part { number, whole }))
}

/// Everything that a record is made of, owned.
type Made = (Vec<u8>, u64, u64, i64, Marks, Option<Part>);

fn made() -> impl Strategy<Value = Made> {
    // Some are longer than a chunk of base64.
    let body = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..300),
        1 => prop::collection::vec(any::<u8>(), 760..2400),
    ];
    let number = || prop_oneof![any::<u64>(), 0u64..1000];
    (body, number(), number(), prop_oneof![any::<i64>(), -3i64..3], marks(), part())
}

fn records(made: &[Made]) -> Vec<Record<'_>> {
    made.iter()
        .map(|(body, offset, seq, time, marks, part)| Record {
            body,
            offset: *offset,
            seq: *seq,
            leaf: leaf(body),
            time: Nanos(*time),
            marks: *marks,
            part: *part,
        })
        .collect()
}

proptest! {
    #[test]
    fn prost_reads_what_was_written(
        made in prop::collection::vec(made(), 0..8),
        host in ".{0,40}",
        path in ".{0,300}",
        label in ".{0,200}",
    ) {
        check_push(&label, &records(&made), &origin(&host, &path));
    }

    #[test]
    fn loki_reads_the_labels_that_were_meant(
        pairs in prop::collection::vec(
            ("[a-zA-Z_][a-zA-Z0-9_]{0,8}", r#"(\PC|[\x00-\x1f"\\\u{7f}-\u{9f}\u{FFFD}xnu]){0,20}"#),
            0..5,
        ),
    ) {
        let set = LabelSet::new(pairs);
        let expect = set.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        prop_assert_eq!(parse(&labels(&set)), Ok(expect));
    }
}
