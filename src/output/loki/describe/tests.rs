#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    model::{Marks, Origin, Record, leaf},
    output::{
        FileHead,
        loki::encode::{entry, file_metadata},
    },
};
use proptest::prelude::*;

fn encoded(body: &[u8], offset: u64, seq: u64, time: i64, marks: Marks) -> Vec<u8> {
    let origin = Origin {
        name: FileName(0xab),
        host: "h".into(),
        path: "/p".into(),
        source: "s".into(),
        first_seen: Nanos::default(),
        container: None,
    };
    let record = Record { body, offset, seq, leaf: leaf(body), time: Nanos(time), marks, part: None };
    let mut out = Vec::new();
    let head = FileHead { name: origin.name, first_seen: origin.first_seen, bytes: file_metadata(&origin) };
    entry(&mut out, &record, &head);
    out
}

#[test]
fn a_record_is_named() {
    // The first 16 hex digits of SHA-256("abc"), from FIPS 180-2.
    let id = "00000000000000ab-7-ba7816bf8f01cfea";
    let expect = Described { file: FileName(0xab), offset: 7, seq: 3, time: Nanos(-5), body: b"abc".into() };
    assert_eq!((expect.id().as_str(), expect.excerpt().as_str()), (id, "abc"));
    assert_eq!(describe(&encoded(b"abc", 7, 3, -5, Marks::NONE)), Some(expect));
}

#[test]
fn an_id_is_that_of_the_body_also_when_base64_was_sent() {
    let body = b"\xff\x00abc";
    let described = describe(&encoded(body, 7, 3, 0, Marks::INVALID_UTF8)).unwrap();
    assert!(described.id().ends_with(&format!("{:02x}{:02x}", leaf(body)[6], leaf(body)[7])), "{described:?}");
    assert_eq!(described.excerpt(), "\u{FFFD} abc");
}

#[test]
fn an_excerpt_is_short_and_printable() {
    let body = format!("\x1b{}", "ü".repeat(500));
    let described = describe(&encoded(body.as_bytes(), 0, 1, 0, Marks::NONE)).unwrap();
    assert_eq!(described.excerpt(), format!(" {}", "ü".repeat(119)));
}

#[test]
fn other_bytes_are_not_an_entry() {
    let one = encoded(b"abc", 7, 3, 0, Marks::NONE);
    assert_eq!(describe(&[one.as_slice(), &one].concat()), None);
    assert_eq!(describe(&one[..one.len() - 1]), None);
    assert_eq!(describe(b""), None);
    assert_eq!(describe(b"\x12\x00"), None);
}

proptest! {
    #[test]
    fn every_record_is_named(
        body in prop::collection::vec(any::<u8>(), 0..200),
        offset in any::<u64>(),
        seq in any::<u64>(),
        time in any::<i64>(),
    ) {
        let marks = if std::str::from_utf8(&body).is_ok() { Marks::NONE } else { Marks::INVALID_UTF8 };
        let described = describe(&encoded(&body, offset, seq, time, marks)).unwrap();
        prop_assert_eq!((described.offset, described.seq, described.time), (offset, seq, Nanos(time)));
        prop_assert_eq!(super::time(&encoded(&body, offset, seq, time, marks)), Some(Nanos(time)));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        describe(&bytes);
        super::time(&bytes);
    }
}
