use super::*;
use crate::model::Nanos;

mod agree;

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// What is wanted in the tables: four fields.
fn wanted() -> Wanted {
    Wanted::new(
        &names(&["ts", "time", "meta.at"]),
        &[
            names(&["event_type", "action", "event.action"]),
            names(&["tenant", "user.tenant", "user.org.id"]),
            names(&["über"]),
            names(&["user", "action"]),
        ],
    )
}

/// Marks and fields in words, such as `malformed 0=login 1=acme`.
fn told(body: &[u8]) -> String {
    let wanted = wanted();
    let parsed = parse(&wanted, body);
    let marks = parsed.marks.names().map(str::to_owned);
    let time = parsed.time.map(|stamp| format!("t={}", stamp.time));
    let fields = parsed.fields.iter().enumerate();
    let fields = fields.filter_map(|(i, field)| field.as_ref().map(|text| format!("{i}={text}")));
    marks.chain(time).chain(fields).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn check(body: impl AsRef<[u8]>, expect: &str) {
    assert_eq!(told(body.as_ref()), expect, "{}", body.as_ref().escape_ascii());
}

#[test]
fn fields_are_found_by_name() {
    check(r#"{"event_type":"login","tenant":"acme"}"#, "0=login 1=acme");
    check(" { \"tenant\" :\t\"acme\" , \"event_type\" : \"login\" } \r", "0=login 1=acme");
    check(r#"{"x":{"tenant":"no"},"y":["tenant","no"],"tenants":"no","tenan":"no","tenanu":"no"}"#, "");
    check(r#"{"action":"a"}"#, "0=a 3=a");
    check("{}", "");
}

#[test]
fn the_first_name_of_a_list_wins_in_any_order() {
    check(r#"{"event_type":"1","action":"2"}"#, "0=1 3=2");
    check(r#"{"action":"2","event_type":"1"}"#, "0=1 3=2");
    check(r#"{"action":"2","event_type":null,"user":"3"}"#, "0=2 3=3");
    check(r#"{"action":"2","event_type":""}"#, "0=2 3=2");
    check(r#"{"action":"2","event_type":"\ud800"}"#, "0=2 3=2");
}

#[test]
fn dotted_names_are_keys_and_reach_into_objects() {
    check(r#"{"user":{"tenant":"acme"}}"#, "1=acme");
    check(r#"{"user.tenant":"acme"}"#, "1=acme");
    check(r#"{"user":{"tenant":"inner"},"user.tenant":"outer"}"#, "1=outer");
    check(r#"{"user.tenant":"outer","user":{"tenant":"inner"}}"#, "1=outer");
    check(r#"{"user":{"org":{"id":7},"x":1},"event":{"action":"a"}}"#, "0=a 1=7");
    check(r#"{"user":{"org":{"id":7},"tenant":"acme"}}"#, "1=acme");
    check(r#"{"user":"eve"}"#, "3=eve");
    check(r#"{"user":[{"tenant":"no"}],"event":"x"}"#, "");
    check(r#"{"user.org":{"id":"no"},"user":{"org.id":"no"}}"#, "");
}

#[test]
fn values_are_text_numbers_and_booleans() {
    check(r#"{"tenant":12,"event_type":true}"#, "0=true 1=12");
    check(r#"{"tenant":-1.50e+3,"event_type":false}"#, "0=false 1=-1.50e+3");
    check(r#"{"tenant":123456789012345678901234567890.10}"#, "1=123456789012345678901234567890.10");
    check(r#"{"tenant":1e999}"#, "1=1e999");
    check(r#"{"tenant":{},"event_type":[]}"#, "");
    check(r#"{"tenant":"a\"b\\c\u00e9\n"}"#, "1=a\"b\\c\u{e9}\n");
    check(r#"{"tenant":"\\"}"#, "1=\\");
    check(r#"{"tenant":"Zoë"}"#, "1=Zoë");
}

#[test]
fn keys_may_have_escapes() {
    check(r#"{"\u0074enant":"acme"}"#, "1=acme");
    check(r#"{"\u0074enant" : 1.50, "\u00fcber":"x"}"#, "1=1.50 2=x");
    check(r#"{"über":"x"}"#, "2=x");
    check(r#"{"\u0061":{"x":[1,":",{"y":","}]},"a\u0061":"\",:","tenan\u0074":"acme"}"#, "1=acme");
    check(r#"{"x":[1,2],"us\u0065r":{"\u0074enant":2},"\u0061ction":3,"z":4,"\u00fcber":5}"#, "0=3 1=2 2=5 3=3");
}

#[test]
fn of_equal_keys_the_last_that_is_present_wins() {
    check(r#"{"tenant":"a","tenant":"b"}"#, "1=b");
    check(r#"{"tenant":"a","tenant":null}"#, "1=a");
    check(r#"{"user":{"tenant":"a"},"user":{"tenant":"b"}}"#, "1=b");
}

#[test]
fn what_is_no_object_is_malformed() {
    check("[]", "malformed");
    check("\"tenant\"", "malformed");
    check("12", "malformed");
    check("null", "malformed");
    check(" ", "malformed");
    check("\0\0\0", "malformed");
    check("plain text", "malformed");
    check(r#"{"tenant":"a"} x"#, "malformed 1=a");
    check(r#"{"tenant":"a"}{}"#, "malformed 1=a");
    check("{\"tenant\":\"a\nb\"}", "malformed");
    check("{\"a\nb\":1}", "malformed");
}

#[test]
fn an_empty_line_is_only_empty() {
    check("", "empty");
    check("\r", "empty");
    check("\r\r", "malformed");
}

#[test]
fn what_was_found_before_a_fault_stays() {
    check(r#"{"tenant":"a","event_type":"b","x":"cut off he"#, "malformed 0=b 1=a");
    check(r#"{"user":{"tenant":"a","x""#, "malformed 1=a");
    check(r#"{"tenant":"a","event_type":"b"#, "malformed 1=a");
    check(r#"{"tenant":"a","event_type":"b\"#, "malformed 1=a");
    check(r#"{"tenant":true"#, "malformed 1=true");
    check(r#"{"tenant":tru"#, "malformed");
}

#[test]
fn a_number_that_may_be_cut_off_is_not_taken() {
    check(r#"{"tenant":12"#, "malformed");
    check(r#"{"tenant":12 "#, "malformed 1=12");
}

#[test]
fn depth_has_no_limit_where_nothing_is_wanted() {
    let deep =
        |key: &str| format!(r#"{{"tenant":"a","{key}":{}1{},"action":"z"}}"#, "[".repeat(5000), "]".repeat(5000));
    check(deep("x"), "0=z 1=a 3=z");
    check(deep("user"), "0=z 1=a 3=z");
    check(r#"{"tenant":"a","x":"#.to_owned() + &"[".repeat(5000), "malformed 1=a");

    let name = vec!["a"; 200].join(".");
    let body = format!("{{\"b\":1,{}", &r#""a":{"#.repeat(200));
    let wanted = Wanted::new(&[], &[vec![name], names(&["b"])]);
    let parsed = parse(&wanted, body.as_bytes());
    assert_eq!((parsed.marks, parsed.fields[1].as_deref()), (Marks::MALFORMED, Some("1")));
}

#[test]
fn lines_that_are_not_utf8_are_searched_all_the_same() {
    check(b"{\"tenant\":\"a\",\"x\":\"\xff\",\"\\u0061ction\":1.0}", "invalid_utf8 0=1.0 1=a 3=1.0");
    check(b"{\"\xff\":1,\"tenant\":\"\xff\",\"user\":{\"tenant\":\"b\\u00e9\"}}", "invalid_utf8 1=b\u{e9}");
    check(b"{\"\xfc\":1,\"\xc3\xbcber\":\"\xc3\xbc\",\"tenant\":\"\xfc\\n\"}", "invalid_utf8 2=\u{fc}");
    check(b"{\"tenant\":\"a\",\xff", "malformed invalid_utf8 1=a");
    check(b"{\"a\nb\":\"\xff\"}", "malformed invalid_utf8");
    check(b"\xff\xfe", "malformed invalid_utf8");
}

#[test]
fn lists_beyond_the_last_slot_are_ignored() {
    let lists: Vec<_> = (0..20).map(|i| vec![format!("k{i}")]).collect();
    let body: Vec<_> = (0..20).map(|i| format!("\"k{i}\":{i}")).collect();
    let body = format!("{{{}}}", body.join(","));
    let wanted = Wanted::new(&names(&["k3"]), &lists);
    let parsed = parse(&wanted, body.as_bytes());
    for (i, field) in parsed.fields.iter().enumerate() {
        assert_eq!(field.as_deref(), Some(i.to_string().as_str()));
    }
}

#[test]
fn the_time_is_the_first_name_that_is_present() {
    check(r#"{"time":1700000000,"ts":"2024-01-01T00:00:00Z"}"#, "t=2024-01-01T00:00:00Z");
    check(r#"{"time":1700000000,"ts":null}"#, "t=2023-11-14T22:13:20Z");
    check(r#"{"time":1700000000,"ts":"yesterday"}"#, "");
    check(r#"{"meta":{"at":1700000000.250}}"#, "t=2023-11-14T22:13:20.25Z");
    check(r#"{"ts":"2024\u002d01-01T00:00:00Z"}"#, "t=2024-01-01T00:00:00Z");
    check(r#"{"ts":true}"#, "");
}

/// Expects nanoseconds since 1970 and the unit.
#[track_caller]
fn check_time(text: &str, expect: Option<(i64, i64)>) {
    assert_eq!(time::stamp(text), expect.map(|(time, unit)| Stamp { time: Nanos(time), unit }), "{text}");
}

const S: i64 = Nanos::SECOND;
const T: i64 = 1_700_000_000 * S;

#[test]
fn rfc3339_times() {
    check_time("2023-11-14T22:13:20Z", Some((T, S)));
    check_time("2023-11-14t22:13:20z", Some((T, S)));
    check_time("2023-11-14 22:13:20Z", Some((T, S)));
    check_time("2023-11-14T23:13:20+01:00", Some((T, S)));
    check_time("2023-11-14T16:43:20.5-05:30", Some((T + 500_000_000, S / 10)));
    check_time("2023-11-14T22:13:20+0000", Some((T, S)));
    check_time("2023-11-14T22:13:20-00:00", Some((T, S)));
    check_time("2023-11-14T22:13:20.123Z", Some((T + 123_000_000, 1_000_000)));
    check_time("2023-11-14T22:13:20,123Z", Some((T + 123_000_000, 1_000_000)));
    check_time("2023-11-14T22:13:20.000000000Z", Some((T, 1)));
    check_time("2023-11-14T22:13:20.1234567890123Z", Some((T + 123_456_789, 1)));
    check_time("2023-11-14T23:13:20.1234567899+01:00", Some((T + 123_456_789, 1)));
    check_time("2016-12-31T23:59:60Z", Some((1_483_228_799 * S, S)));
    check_time("1969-12-31T23:59:59.9Z", Some((-100_000_000, S / 10)));
    check_time("2262-04-11T23:47:16.854775807Z", Some((i64::MAX, 1)));
}

#[test]
fn texts_that_are_no_usable_time() {
    check_time("2023-11-14T22:13:20", None);
    check_time("2023-11-14 22:13:20.123", None);
    check_time("2023-11-14T22:13Z", None);
    check_time("2023-11-14T22:13+01:00", None);
    check_time("2023-11-14", None);
    check_time("2023-02-29T00:00:00Z", None);
    check_time("2023-11-14T24:00:00Z", None);
    check_time("2023-11-14T22:13:20.Z", None);
    check_time("2023-11-14T22:13:20Z and more", None);
    check_time(" 2023-11-14T22:13:20Z", None);
    check_time("2262-04-11T23:47:16.854775808Z", None);
    check_time("1600-01-01T00:00:00Z", None);
    check_time("2023-é1-14T22:13:20Z", None);
    check_time("2023-11-14T22:13:20.1234567890é", None);
    check_time("", None);
    check_time("now", None);
}

#[test]
fn epoch_numbers() {
    check_time("1700000000", Some((T, S)));
    check_time("1700000000123", Some((T + 123_000_000, 1_000_000)));
    check_time("1700000000123456", Some((T + 123_456_000, 1_000)));
    check_time("1700000000123456789", Some((T + 123_456_789, 1)));
    check_time("1700000000.123", Some((T + 123_000_000, 1_000_000)));
    check_time("1700000000.0", Some((T, S / 10)));
    check_time("1700000000.1234567899999999999999999999999", Some((T + 123_456_789, 1)));
    check_time("1700000000123.4", Some((T + 123_400_000, 100_000)));
    check_time("1700000000123456.7891", Some((T + 123_456_789, 1)));
    check_time("1.700000000123E9", Some((T + 123_000_000, 1_000_000)));
    check_time("17e8", Some((T, S)));
    check_time("1700000000000e-3", Some((T, 1_000_000)));
}

#[test]
fn the_unit_of_a_number_is_told_by_its_size() {
    check_time("631152000", Some((631_152_000 * S, S)));
    check_time("631151999.999999999", None);
    check_time("9223372036", Some((9_223_372_036 * S, S)));
    check_time("9223372037", None);
    check_time("631151999999", None);
    check_time("631152000000", Some((631_152_000 * S, 1_000_000)));
    check_time("9223372036854775807", Some((i64::MAX, 1)));
    check_time("9223372036854775808", None);
    // Dates written as numbers.
    check_time("20231114", None);
    check_time("202311142213", None);
    check_time("20231114221320", None);
    check_time("20231114221320123", None);
}

#[test]
fn numbers_that_are_no_time() {
    for text in [
        "0",
        "-1700000000",
        "+1700000000",
        "1700000000.",
        ".5",
        "1700000000.x",
        "17e",
        "17e8e",
        "1e999",
        "1e127",
        "1e-127",
        "0x6553f100",
        "1_700_000_000",
        "NaN",
        "inf",
        "1700000000Z",
        " 1700000000",
        "1700000000 ",
        "17000000\u{e9}",
    ] {
        check_time(text, None);
    }
    check_time(&"9".repeat(5000), None);
    check_time(&format!("0.{}", "0".repeat(5000)), None);
}
