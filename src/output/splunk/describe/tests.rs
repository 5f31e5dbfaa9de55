#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    model::{FileName, LabelSet, Record},
    output::splunk::{
        Splunk,
        tests::{body, encoded, origin, record},
    },
};
use proptest::prelude::*;

fn full(record: &Record<'_>) -> Vec<u8> {
    encoded(&Splunk::default(), record, &origin("h", "/p"), &LabelSet::default())
}

#[test]
fn a_record_is_named() {
    // The first 16 hex digits of SHA-256("abc"), from FIPS 180-2.
    let id = "00000000000000ab-7-ba7816bf8f01cfea";
    let expect = Described { file: FileName(0xab), offset: 7, seq: 3, time: Nanos(-5), body: b"abc".into() };
    let encoded = full(&Record { time: Nanos(-5), ..record(b"abc") });
    assert!(String::from_utf8_lossy(&encoded).contains(&format!(r#""auditship_id":"{id}""#)));
    assert_eq!((expect.id().as_str(), describe(&encoded)), (id, Some(expect.clone())));
}

#[test]
fn plainer_forms() {
    #[track_caller]
    fn check(body: &[u8], expect: Option<&str>) {
        let plain = plainer(&full(&record(body))).map(|plain| String::from_utf8(plain).unwrap());
        let end = plain.as_deref().map(|plain| plain.split_once("\"auditship_form\"").unwrap().1);
        assert_eq!(end, expect);
    }
    check(br#"{"a": "\n"}"#, Some(":\"string\"},\"event\":\"{\\\"a\\\": \\\"\\\\n\\\"}\"}\n"));
    check(b"{}", Some(":\"wrapped\"},\"event\":{\"auditship_body\":\"{}\"}}\n"));
    check(
        b"a\"},\"event\":\"",
        Some(":\"wrapped\"},\"event\":{\"auditship_body\":\"a\\\"},\\\"event\\\":\\\"\"}}\n"),
    );
    check(b" ", None);
    check(b"\xff", None);
}

#[test]
fn other_bytes_are_not_a_record() {
    let one = full(&record(b"abc"));
    for bytes in [[&one[..], &one].concat().as_slice(), &one[..one.len() - 2], b"", b"{}", b"\xff"] {
        assert_eq!((describe(bytes), plainer(bytes)), (None, None));
    }
    for (from, to) in [
        ("auditship_seq", "seq"),
        ("auditship_offset", "offset"),
        ("auditship_file", "file"),
        ("\"time\"", "\"tome\""),
        ("1.500000000", "1.5"),
        ("1.500000000", "+1.50000000"),
        ("\"string\"", "\"other\""),
        ("\"abc\"", "[\"abc\"]"),
    ] {
        let text = String::from_utf8(one.clone()).unwrap();
        assert!(text.contains(from));
        assert_eq!(describe(text.replace(from, to).as_bytes()), None, "{to}");
    }
}

proptest! {
    #[test]
    fn every_record_is_read_back_from_every_form(
        body in body(),
        offset in any::<u64>(),
        seq in any::<u64>(),
        time in any::<i64>(),
    ) {
        let mut encoded = full(&Record { offset, seq, time: Nanos(time), ..record(&body) });
        let expect = Described { file: FileName(0xab), offset, seq, time: Nanos(time), body };
        prop_assert_eq!(describe(&encoded), Some(expect.clone()));
        for _ in 0..2 {
            let Some(plain) = plainer(&encoded) else { break };
            prop_assert_ne!(&plain, &encoded);
            prop_assert_eq!(&plain[plain.len() - 2..], b"}\n");
            prop_assert_eq!(describe(&plain), Some(expect.clone()));
            encoded = plain;
        }
        prop_assert_eq!(plainer(&encoded), None);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 0..400_usize) {
        let one = full(&record(&bytes));
        for bytes in [&bytes[..], &one[..cut.min(one.len())]] {
            describe(bytes);
            plainer(bytes);
        }
    }
}
