#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    batch::{Bases, Batch, Pool, Selection},
    model::{FileName, LabelSet, Marks, Nanos, Origin, Record, leaf},
    output::{FileHead, StreamHead},
};
use proptest::prelude::*;
use std::{io::Read as _, time::Duration};

/// An origin with this host and path.
pub(super) fn origin(host: &str, path: &str) -> Origin {
    Origin {
        name: FileName(0xab),
        host: host.into(),
        path: path.into(),
        source: "s".into(),
        first_seen: Nanos::default(),
        container: None,
    }
}

/// A record of this body, with the marks that it has and no part.
pub(super) fn record(body: &[u8]) -> Record<'_> {
    let is_object = serde_json::from_slice::<std::collections::HashMap<String, serde::de::IgnoredAny>>(body).is_ok();
    let mut marks = Marks::NONE;
    if str::from_utf8(body).is_err() {
        marks = marks.with(Marks::INVALID_UTF8);
    }
    match body {
        b"" | b"\r" => marks = marks.with(Marks::EMPTY),
        _ if !is_object => marks = marks.with(Marks::MALFORMED),
        _ => {}
    }
    Record { body, offset: 7, seq: 3, leaf: leaf(body), time: Nanos(1_500_000_000), marks, part: None }
}

/// Any body: objects, text, text that may look blank, bytes.
pub(super) fn body() -> impl Strategy<Value = Vec<u8>> {
    let object = (".{0,8}", r#"[ -~]{0,40}"#, 0..30_usize).prop_map(|(key, value, depth)| {
        let inner = serde_json::json!({ key: value }).to_string();
        format!("{}{inner}{}", "{\"a\":".repeat(depth), "}".repeat(depth)).into_bytes()
    });
    prop_oneof![
        4 => object,
        3 => any::<String>().prop_map(String::into_bytes),
        1 => r#"[\r\t \u{a0}\u{0}{}\[\]"\\]{0,6}"#.prop_map(String::into_bytes),
        2 => prop::collection::vec(any::<u8>(), 0..300),
        1 => prop::collection::vec(any::<u8>(), 760..2400),
    ]
}

/// The whole record in full form, of this output.
pub(super) fn encoded(splunk: &Splunk, record: &Record<'_>, origin: &Origin, labels: &LabelSet) -> Vec<u8> {
    let file = FileHead { name: origin.name, first_seen: origin.first_seen, bytes: splunk.file(origin) };
    let mut out = Vec::new();
    encode::event(&mut out, record, &file, &splunk.stream(labels));
    out
}

/// A batch of these records, each in the bytes it is given.
fn batch(records: &[Vec<u8>]) -> Batch {
    use crate::model::Sink as _;
    let mut pool = Pool::new(1 << 20);
    let mut batch = Batch::new(0, Duration::ZERO);
    for record in records {
        batch.body.writer(&mut pool).put(record);
        batch.end_record();
    }
    batch
}

#[test]
fn a_request_is_its_records_one_after_the_other() {
    let splunk = Splunk::default();
    let labels = LabelSet::default();
    let records: Vec<_> = [&b"{\"a\":1}"[..], b"text", b"", b"\xff"]
        .map(|body| encoded(&splunk, &record(body), &origin("h", "/p"), &labels))
        .into();
    let batch = batch(&records);
    let plain: Vec<_> = records.iter().map(|one| describe::plainer(one).unwrap_or_else(|| one.clone())).collect();
    assert!(plain[0] != records[0] && plain[1] != records[1] && plain[2..] == records[2..]);
    for (form, expect) in [(Form::Full, &records), (Form::Plain, &plain)] {
        let selection = Selection::from_iter([0, 1, 3], form);
        let records = Records { batch: &batch, selection: &selection, bases: &Bases::default() };
        let expect = [&expect[0][..], &expect[1], &expect[3]].concat();
        let mut scratch = Scratch::default();

        let request = Splunk { compression: Compression::None, ..splunk.clone() }.request(records, &mut scratch);
        assert_eq!((&*request.path, request.content_type), ("/services/collector/event", "application/json"));
        assert_eq!((request.encoding, request.headers.len(), request.body == expect), (None, 0, true));

        let request = splunk.request(records, &mut scratch);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&request.body[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!((request.encoding, unpacked == expect), (Some("gzip"), true));
    }
}

#[test]
fn no_records_are_an_empty_body() {
    let selection = Selection::of(0..0, Form::Full);
    let records = Records { batch: &batch(&[]), selection: &selection, bases: &Bases::default() };
    let request = Splunk::default().request(records, &mut Scratch::default());
    assert_eq!((request.encoding, request.body), (None, Vec::new()));
}

#[test]
fn an_output_of_its_own() {
    let splunk = Splunk::new(Some("audit".into()), "st".into(), false, Compression::None);
    let expect = Splunk { index: Some("audit".into()), sourcetype: "st".into(), ack: false, ..splunk.clone() };
    assert_eq!(splunk, expect);
    assert_eq!(splunk.stream(&LabelSet::default()), StreamHead::default());
}

/// The settings that Splunk needs, and what the documentation says of them.
mod deploy {
    use std::collections::BTreeMap;

    /// The stanzas of a file, with their settings.
    fn stanzas(text: &str) -> BTreeMap<&str, BTreeMap<&str, &str>> {
        let mut stanzas: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
        let mut current = "";
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                Some(name) => {
                    current = name;
                    assert!(stanzas.insert(name, BTreeMap::new()).is_none(), "[{name}] twice");
                }
                None => {
                    let (key, value) = line.split_once(" = ").unwrap();
                    assert!(stanzas.get_mut(current).unwrap().insert(key, value).is_none(), "{key} twice");
                }
            }
        }
        stanzas
    }

    const FILES: [(&str, &str); 4] = [
        ("props.conf", include_str!("../../../deploy/splunk/props.conf")),
        ("transforms.conf", include_str!("../../../deploy/splunk/transforms.conf")),
        ("indexes.conf", include_str!("../../../deploy/splunk/indexes.conf")),
        ("fields.conf", include_str!("../../../deploy/splunk/fields.conf")),
    ];

    #[test]
    fn the_readme_names_every_stanza() {
        let readme = include_str!("../../../deploy/splunk/README.md");
        for (file, text) in FILES {
            let row = readme.lines().find(|line| line.starts_with(&format!("| [{file}]"))).unwrap();
            let mut named: Vec<_> = row.split("`[").skip(1).map(|rest| rest.split("]`").next().unwrap()).collect();
            named.sort_unstable();
            assert_eq!(named, stanzas(text).into_keys().collect::<Vec<_>>(), "{file}");
        }
    }

    #[test]
    fn every_field_that_is_written_is_said_to_be_indexed() {
        let code = [include_str!("encode.rs"), include_str!("../container.rs")].concat();
        let mut written: Vec<_> = code
            .split(['"', '\\'])
            .filter(|word| word.starts_with("auditship_") && !matches!(*word, "auditship_" | "auditship_body"))
            .collect();
        written.sort_unstable();
        written.dedup();
        assert_eq!(written, stanzas(FILES[3].1).into_keys().collect::<Vec<_>>());
        assert!(stanzas(FILES[3].1).values().all(|settings| *settings == [("INDEXED", "true")].into()));
    }

    #[test]
    fn events_are_neither_cut_nor_read_twice() {
        let props = stanzas(FILES[0].1);
        let settings = &props[super::SOURCETYPE];
        for (key, value) in [("TRUNCATE", "0"), ("KV_MODE", "json"), ("SHOULD_LINEMERGE", "false")] {
            assert_eq!(settings.get(key), Some(&value), "{key}");
        }
        assert!(!settings.contains_key("INDEXED_EXTRACTIONS"));
        let report = settings["REPORT-auditship"];
        assert!(stanzas(FILES[1].1).contains_key(report), "{report} is in no transforms.conf");
    }
}
