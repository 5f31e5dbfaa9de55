#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

#[test]
fn a_time_is_its_date() {
    fn check(nanos: i64, expect: &str) {
        assert_eq!(String::from_utf8_lossy(Civil::of(Nanos(nanos)).rfc3339().bytes()), expect);
    }
    check(0, "1970-01-01T00:00:00.000000000Z");
    check(-1, "1969-12-31T23:59:59.999999999Z");
    check(951_782_400 * Nanos::SECOND, "2000-02-29T00:00:00.000000000Z");
    check(i64::MAX, "2262-04-11T23:47:16.854775807Z");
    check(i64::MIN, "1677-09-21T00:12:43.145224192Z");
}

proptest! {
    #[test]
    fn any_time_is_what_jiff_says(nanos in any::<i64>()) {
        let text = String::from_utf8(Civil::of(Nanos(nanos)).rfc3339().bytes().to_vec()).unwrap();
        prop_assert_eq!(text.parse::<jiff::Timestamp>().unwrap().as_nanosecond(), i128::from(nanos));
    }

    #[test]
    fn what_is_escaped_is_read_back(text in any::<String>()) {
        let mut out = b"\"".to_vec();
        put_escaped(&mut out, text.as_bytes());
        out.push(b'"');
        prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
    }

    #[test]
    fn hex_and_base64_are_those_of_others(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let (mut hex, mut base64) = (Vec::new(), Vec::new());
        put_hex(&mut hex, &bytes);
        put_base64(&mut base64, &bytes);
        let expect: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        prop_assert_eq!(hex, expect.into_bytes());
        prop_assert_eq!(base64, STANDARD.encode(&bytes).into_bytes());
    }
}
