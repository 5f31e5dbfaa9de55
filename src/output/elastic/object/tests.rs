#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use serde_json::Value;

#[test]
fn what_may_be_spliced() {
    #[track_caller]
    fn check(body: &str, expect: bool) {
        assert_eq!(may_be_spliced(body.as_bytes()), expect, "{body}");
    }
    check("{}", true);
    check(" {\"a\" : [1, {\"a\":null}, \"}\"]}\r", true);
    // Equal keys in different objects, and values that look like keys.
    check(r#"{"a":{"a":{"a":1}},"b":{"a":1},"c":["a","a",{"a":"a"}],"d":"a"}"#, true);
    check(r#"{"a":1,"a":2}"#, false);
    check(r#"{"x":{"b":1,"c":{"d":1},"b":2}}"#, false);
    check(r#"{"x":[{"a":1},{"b":1,"b":2}]}"#, false);
    check(r#"{"a":1,"b":[1,2],"a":2}"#, false);
    check(r#"{"a":"\\","a":2}"#, false);
    check(r#"{"a":"x\",\"a\":1"}"#, true);
    // A key with an escape may be another's equal.
    check(r#"{"a":1,"\u0061":2}"#, false);
    check(r#"{"a":"\u0061\n"}"#, true);
    // Not one object, whatever the marks say.
    for body in ["", "[]", "1", "{", "}", "{]", "{\"a\":[}", "{}{}", "{} x", "{\"a", "{\"a\":\"\\", "\"{}\"", "[{}]"]
    {
        check(body, false);
    }
    check("{\n}", false);
    check("{\"a\":1}, \"x\":{", false);
}

#[test]
fn halves_of_characters_and_numbers_that_readers_refuse() {
    #[track_caller]
    fn check(value: &str, expect: bool) {
        let body = format!("{{\"k\":{value},\"l\":[{value}]}}");
        assert_eq!(may_be_spliced(body.as_bytes()), expect, "{value}");
        assert!(!expect || serde_json::from_str::<Value>(&body).is_ok(), "{value}");
    }
    check(r#""\ud83d\ude00""#, true);
    check(r#""\uD83D\uDE00x""#, true);
    check(r#""\ud83d""#, false);
    check(r#""\ud83dx""#, false);
    check(r#""\ud83d\n""#, false);
    check(r#""\ude00""#, false);
    check(r#""\ud83d\ud83d""#, false);
    check(r#""\\ud83d""#, true);
    check("1e99", true);
    check("-1.5E-09", true);
    check("1e999", false);
    check("1e+308", false);
    check(&"9".repeat(200), true);
    check(&"9".repeat(201), false);
    check(&format!("{}e99", "9".repeat(197)), true);
}

#[test]
fn nesting_and_keys_have_limits() {
    fn nested(levels: usize) -> String {
        format!("{}1{}", "{\"k\":".repeat(levels), "}".repeat(levels))
    }
    assert!(may_be_spliced(nested(20).as_bytes()));
    assert!(!may_be_spliced(nested(21).as_bytes()));
    assert!(!may_be_spliced(format!("{{\"k\":{}{}}}", "[".repeat(20), "]".repeat(20)).as_bytes()));
    let keys = |count: usize| (0..count).map(|i| format!("\"{i}\":1")).collect::<Vec<_>>().join(",");
    assert!(may_be_spliced(format!("{{{}}}", keys(256)).as_bytes()));
    assert!(!may_be_spliced(format!("{{{}}}", keys(257)).as_bytes()));
    // Keys of objects that are closed do not count.
    let objects = vec![format!("{{{}}}", keys(200)); 10].join(",");
    assert!(may_be_spliced(format!("{{\"k\":[{objects}]}}").as_bytes()));
}

/// Any JSON value, as text; its keys are often equal.
fn json() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        "[a-c]",
        r"\\u0061",
        any::<String>().prop_map(|text| {
            let quoted = serde_json::to_string(&text).unwrap();
            quoted[1..quoted.len() - 1].to_owned()
        })
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f32>().prop_filter("finite", |number| number.is_finite()).prop_map(|number| format!("{number:e}")),
        text.clone().prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        let pair = (text.clone(), inner.clone()).prop_map(|(key, value)| format!("\"{key}\" :{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(|values| format!("[{}]", values.join(" ,"))),
            prop::collection::vec(pair, 0..6).prop_map(|pairs| format!("{{{}}}", pairs.join(","))),
        ]
    })
}

/// Whether two keys of one object are equal, the slow way: those that are there, and those that are left.
fn has_duplicates(text: &str) -> bool {
    fn count(value: &Value) -> usize {
        match value {
            Value::Object(members) => members.len() + members.values().map(count).sum::<usize>(),
            Value::Array(values) => values.iter().map(count).sum(),
            _ => 0,
        }
    }
    // Every key is followed by " :", which a string has only as part of itself.
    let strings = text.split('"').enumerate();
    let keys = strings.filter(|(i, outside)| i % 2 == 0 && outside.starts_with(" :")).count();
    keys != count(&serde_json::from_str(text).unwrap())
}

proptest! {
    #[test]
    fn duplicates_are_always_found(value in json()) {
        let text = format!("{{\"k\" :{value}}}");
        // The slow way cannot read escaped quotes.
        prop_assume!(!text.contains("\\\"") && !text.contains("\\\\"));
        if has_duplicates(&text) {
            prop_assert!(!may_be_spliced(text.as_bytes()));
        } else if !text.contains('\\') {
            prop_assert!(may_be_spliced(text.as_bytes()), "{}", text);
        }
    }

    #[test]
    fn no_bytes_panic_and_what_passes_stays_inside(bytes in prop::collection::vec(prop::sample::select(
        br#"{}[]:,"\ud8c1e-a "#.to_vec()), 0..40))
    {
        if may_be_spliced(&bytes) {
            // Outside of strings, its brackets are its own.
            let (mut depth, mut is_text, mut at) = (0i32, false, 0);
            while let Some(byte) = bytes.get(at) {
                match byte {
                    b'\\' if is_text => at += 1,
                    b'"' => is_text = !is_text,
                    b'{' | b'[' if !is_text => depth += 1,
                    b'}' | b']' if !is_text => depth -= 1,
                    _ => {}
                }
                at += 1;
                prop_assert!(depth >= 0);
                let (before, after) = bytes.split_at(at);
                let is_outside = after.iter().all(|byte| *byte == b' ') || !before.contains(&b'{');
                prop_assert!(depth > 0 || is_outside);
            }
            prop_assert!(depth == 0 && !is_text);
        }
    }
}
