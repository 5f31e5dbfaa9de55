#![allow(clippy::unwrap_used)]

use super::*;
use crate::{
    model::{Marks, Part, Record},
    output::elastic::tests::{NOW, plainly, record},
};
use proptest::prelude::*;

#[test]
fn a_record_is_named() {
    let encoded = plainly(&record(b"abc"));
    let expect = Described { file: FileName(0xab), offset: 7, seq: 3, time: NOW, body: b"abc".into() };
    // The first 16 hex digits of SHA-256("abc"), from FIPS 180-2.
    assert_eq!(expect.id(), "00000000000000ab-7-ba7816bf8f01cfea");
    assert_eq!(id(&encoded), Some(expect.id()));
    assert_eq!(describe(&encoded), Some(expect));
}

#[test]
fn other_bytes_are_not_a_record() {
    let one = plainly(&record(b"{}"));
    assert_eq!(describe(&[one.as_slice(), &one].concat()), None);
    assert_eq!(describe(&one[..one.len() - 1]), None);
    for other in [&b""[..], b"\n", b"\n\n", b"{}\n{}\n"] {
        assert_eq!((describe(other), id(other), plainer(other)), (None, None, None));
    }
}

#[test]
fn the_plainer_form_has_no_object() {
    fn check(body: &[u8], has_plainer: bool) {
        let full = plainly(&record(body));
        let Some(plain) = plainer(&full) else {
            return assert!(!has_plainer);
        };
        assert!(has_plainer);
        let document: serde_json::Value = serde_json::from_slice(lines(&plain).unwrap().1).unwrap();
        assert_eq!(document.get("audit"), None);
        assert_eq!(document["ecs"]["version"], "8.11.0");
        assert_eq!((describe(&plain), id(&plain)), (describe(&full), id(&full)));
        assert_eq!(plainer(&plain), None);
    }
    check(br#"{"a":1}"#, true);
    check(br#"{"ecs":{"a":{},"ecs":{"version":"8.11.0"},"audit":{"x":1}}}"#, true);
    check(br#"{"a":1,"a":2}"#, false);
    check(br#"},"ecs":{"version":"8.11.0"},"audit":{"x":1}"#, false);
    check(b"\xff", false);
}

proptest! {
    #[test]
    fn every_record_is_read_back(
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            any::<String>().prop_map(String::into_bytes),
            prop::collection::btree_map("[a-z]{0,3}", any::<String>(), 0..9)
                .prop_map(|map| serde_json::to_vec(&map).unwrap()),
        ],
        offset in any::<u64>(),
        seq in any::<u64>(),
        time in any::<i64>(),
        mark in prop::sample::select(vec![Marks::NONE, Marks::UNTERMINATED, Marks::GAP]),
        part in prop::option::of((any::<u32>(), prop::option::of(any::<[u8; 32]>()))),
    ) {
        let record = record(&body);
        let part = part.map(|(number, whole)| Part { number, whole });
        let record = Record { offset, seq, time: Nanos(time), marks: record.marks.with(mark), part, ..record };
        let encoded = plainly(&record);
        let expect = Described { file: FileName(0xab), offset, seq, time: Nanos(time), body: body.clone() };
        prop_assert_eq!(id(&encoded), Some(expect.id()));
        if let Some(plainer) = plainer(&encoded) {
            prop_assert_eq!(describe(&plainer), Some(expect.clone()));
        }
        prop_assert_eq!(describe(&encoded), Some(expect));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        describe(&bytes);
        plainer(&bytes);
    }
}
