//! Properties: parsing agrees with serde_json's tree and with jiff, and takes any bytes.

#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write};

const LISTS: [&[&str]; 3] = [&["a.b", "c"], &["a", "b.a.c", "é"], &["c", "b.c", "b", "a.b"]];

fn lists() -> Wanted {
    Wanted::new(&names(&["t"]), &LISTS.map(names))
}

/// JSON as it may be written: any escapes, any white space, any digits.
#[derive(Clone, Debug)]
enum Json {
    Plain(String),
    Text(String),
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Json {
    fn write(&self, to: &mut String, dice: &mut Dice) {
        dice.space(to);
        match self {
            Json::Plain(text) => to.push_str(text),
            Json::Text(text) => dice.text(to, text),
            Json::Array(items) => {
                to.push('[');
                for (i, item) in items.iter().enumerate() {
                    to.push_str(if i > 0 { "," } else { "" });
                    item.write(to, dice);
                }
                to.push(']');
            }
            Json::Object(members) => {
                to.push('{');
                for (i, (key, value)) in members.iter().enumerate() {
                    to.push_str(if i > 0 { "," } else { "" });
                    dice.space(to);
                    dice.text(to, key);
                    dice.space(to);
                    to.push(':');
                    value.write(to, dice);
                }
                dice.space(to);
                to.push('}');
            }
        }
        dice.space(to);
    }
}

struct Dice(u64);

impl Dice {
    fn once_in(&mut self, n: u64) -> bool {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33).is_multiple_of(n)
    }

    fn space(&mut self, to: &mut String) {
        if self.once_in(4) {
            to.push_str(if self.once_in(2) { " \t" } else { "\r\n" });
        }
    }

    fn text(&mut self, to: &mut String, text: &str) {
        let escapes = self.once_in(3);
        to.push('"');
        for char in text.chars() {
            if matches!(char, '"' | '\\' | '\0'..='\x1f') || escapes && self.once_in(2) {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    write!(to, "\\u{unit:04x}").unwrap();
                }
            } else {
                to.push(char);
            }
        }
        to.push('"');
    }
}

fn object() -> impl Strategy<Value = Json> {
    let key = || proptest::sample::select(vec!["a", "b", "c", "t", "é", "a.b", "b.a.c", "x", "", "\"", ","]);
    let leaf = prop_oneof![
        "null|true|false".prop_map(Json::Plain),
        "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?".prop_map(Json::Plain),
        "[a-z]{0,3}|\\PC{0,4}".prop_map(Json::Text),
        any::<String>().prop_map(Json::Text),
    ];
    let members = move |value: BoxedStrategy<Json>| {
        proptest::collection::btree_map(key().prop_map(str::to_owned), value, 0..6).prop_map(Json::Object)
    };
    let value = leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::Array), members(inner)]
    });
    members(value.boxed())
}

fn line() -> impl Strategy<Value = String> {
    (object(), any::<u64>()).prop_map(|(object, seed)| {
        let mut line = String::new();
        object.write(&mut line, &mut Dice(seed));
        line
    })
}

fn present(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Number(_)) || value.as_str().is_some_and(|text| !text.is_empty())
}

/// What the tree says about a list of names.
fn expected<'v>(tree: &'v Value, names: &[&str]) -> Option<&'v Value> {
    names.iter().find_map(|name| {
        let inner = || name.split('.').try_fold(tree, |value, part| value.get(part));
        tree.get(name).filter(|value| present(value)).or_else(|| inner().filter(|value| present(value)))
    })
}

fn same(found: Option<&str>, expected: Option<&Value>) -> bool {
    match (found, expected) {
        (None, None) => true,
        (Some(text), Some(Value::String(value))) => text == value,
        (Some(text), Some(value)) => serde_json::from_str::<Value>(text).is_ok_and(|found| found == *value),
        _ => false,
    }
}

/// Digits of a time and the nanoseconds that they stand for: seconds and nanoseconds cut to `digits` decimals.
fn cut(nanos: i64, digits: u32) -> (i64, i64) {
    let unit = 10_i64.pow(9 - digits);
    (nanos - nanos.rem_euclid(unit), unit)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn fields_agree_with_the_tree(line in line()) {
        let tree: Value = serde_json::from_str(&line).unwrap();
        let wanted = lists();
        let parsed = parse(&wanted, line.as_bytes());
        prop_assert!(parsed.marks.is_none());
        for (found, names) in parsed.fields.iter().zip(LISTS) {
            let expected = expected(&tree, names);
            prop_assert!(same(found.as_deref(), expected), "{names:?}: {found:?}, not {expected:?}");
        }
    }

    #[test]
    fn a_bad_byte_hides_no_other_value(line in line()) {
        let wanted = lists();
        let parsed = parse(&wanted, line.as_bytes());
        let mut bytes = line.clone().into_bytes();
        let brace = line.find('{').unwrap();
        let comma: &[u8] = if line[brace + 1..].trim().starts_with('}') { b"\"\xff\":\"\xff\"" } else { b"\"\xff\":\"\xff\"," };
        bytes.splice(brace + 1..brace + 1, comma.iter().copied());
        let bad = parse(&wanted, &bytes);
        prop_assert_eq!(bad.marks, Marks::INVALID_UTF8);
        prop_assert_eq!(bad.fields, parsed.fields);
        prop_assert_eq!(bad.time, parsed.time);
    }

    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        parse(&lists(), &bytes);
    }

    #[test]
    fn broken_lines_are_marked(line in line(), edits in proptest::collection::vec((any::<usize>(), "[{}\\[\\]\",:\\\\0-9ut \n]?"), 1..4)) {
        let mut bytes = line.into_bytes();
        for (at, with) in edits {
            let at = at % (bytes.len() + 1);
            let end = if at % 2 == 0 { at } else { (at + 1).min(bytes.len()) };
            bytes.splice(at..end, with.bytes());
        }
        let marks = parse(&lists(), &bytes).marks;
        if let Ok(text) = str::from_utf8(&bytes) {
            let empty = matches!(text, "" | "\r");
            let expected = !empty && serde_json::from_str::<BTreeMap<String, IgnoredAny>>(text).is_err();
            // Keys of objects that names reach into are checked more strictly.
            prop_assert!(marks.has(Marks::MALFORMED) == expected || !expected && text.contains("\\ud"));
        } else {
            prop_assert!(marks.has(Marks::INVALID_UTF8));
        }
    }

    #[test]
    fn a_cut_line_has_no_other_values(line in line(), at in any::<usize>()) {
        let wanted = Wanted::new(&[], &[names(&["a"]), names(&["b"]), names(&["c.a"])]);
        let whole = parse(&wanted, line.as_bytes());
        let cut = parse(&wanted, &line.as_bytes()[..at % line.len()]);
        for (cut, whole) in cut.fields.iter().zip(&whole.fields) {
            prop_assert!(cut.is_none() || cut == whole);
        }
    }

    #[test]
    fn rfc3339_agrees_with_jiff(
        nanos in any::<i64>(), digits in 0_u32..13, minutes in -1439_i32..1440, between in "[Tt ]", zulu in "[Zz]",
    ) {
        let at = jiff::Timestamp::from_nanosecond(nanos.into()).unwrap();
        let offset = if zulu == "z" { minutes } else { 0 };
        let local = jiff::tz::Offset::from_seconds(offset * 60).unwrap().to_datetime(at);
        let mut text = format!("{}{between}{}", local.date(), local.time().strftime("%H:%M:%S"));
        if digits > 0 {
            // Digits of no nanosecond follow.
            let all = format!("{:09}987", local.time().subsec_nanosecond());
            write!(text, ".{}", &all[..digits as usize]).unwrap();
        }
        if offset == 0 {
            text.push_str(&zulu);
        } else {
            let sign = if offset < 0 { '-' } else { '+' };
            write!(text, "{sign}{:02}:{:02}", offset.abs() / 60, offset.abs() % 60).unwrap();
        }
        let (time, unit) = cut(nanos, digits.min(9));
        prop_assert_eq!(time::stamp(&text), Some(Stamp { time: Nanos(time), unit }), "{}", text);
    }

    #[test]
    fn numbers_keep_all_digits(nanos in 631_152_000_000_000_000_i64.., scale in 0_u32..4, digits in 0_u32..13) {
        let per = 10_i64.pow(9 - 3 * scale);
        let mut text = (nanos / per).to_string();
        let decimals = 9 - 3 * scale;
        if digits > 0 {
            let all = format!("{:0width$}", nanos % per, width = decimals as usize);
            let all = if decimals == 0 { "987987987987".to_owned() } else { all + "987987987987" };
            write!(text, ".{}", &all[..digits as usize]).unwrap();
        }
        let (time, unit) = cut(nanos, (3 * scale + digits).min(9));
        prop_assert_eq!(time::stamp(&text), Some(Stamp { time: Nanos(time), unit }), "{}", text);
    }
}
