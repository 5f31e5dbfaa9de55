#![allow(clippy::unwrap_used)]

use super::*;
use crate::output::elastic::tests::NOW;

fn name(pattern: &str, time: Nanos) -> String {
    let mut out = Vec::new();
    Pattern::parse(pattern).unwrap().put(&mut out, Civil::of(time));
    String::from_utf8(out).unwrap()
}

#[test]
fn a_pattern_is_filled_from_a_time() {
    fn check(pattern: &str, expect: &str) {
        assert_eq!(name(pattern, Nanos(1_772_323_199_999_999_999)), expect);
    }
    check("audit-%Y.%m", "audit-2026.02");
    check("%Y_%m_%d-audit", "2026_02_28-audit");
    check("audit", "audit");
    check("a%d%d", "a2828");
}

#[test]
fn other_patterns_are_refused_and_the_error_says_what_is_allowed() {
    fn check(pattern: &str, what: &str) {
        let error = Pattern::parse(pattern).unwrap_err();
        assert!(error.starts_with(what) && error.contains("a-z, 0-9, '.', '_', '-'"), "{error}");
    }
    check("", "nothing");
    check("Audit", "'A'");
    check("audit log", "' '");
    check("audit/%Y", "'/'");
    check("audit*", "'*'");
    check("äudit", "'ä'");
    check("audit-%y", "unknown date part \"%y\"");
    check("audit-%", "unknown date part \"%\"");
    check("audit-%ä", "unknown date part \"%ä\"");
    check(".audit", "bad beginning");
    check("_bulk", "bad beginning");
    check("-a", "bad beginning");
    check(&"x".repeat(256), "too many bytes");
    check(&format!("%Y{}", "x".repeat(252)), "too many bytes");
    assert!(Pattern::parse(&format!("%Y{}", "x".repeat(251))).is_ok());
}

#[test]
fn a_name_of_a_data_stream_has_no_date() {
    fn check(name: &str, is_good: bool) {
        assert_eq!(Name::parse(name).is_ok(), is_good, "{name}");
    }
    check("logs-audit-default", true);
    check("audit", true);
    for bad in ["", "audit-%Y", "Audit", ".ds-audit", "a b", &"x".repeat(256)] {
        check(bad, false);
    }
}

#[test]
fn a_time_that_nobody_believes_chooses_no_index() {
    const DAY: i64 = 86_400 * Nanos::SECOND;
    fn check(time: i64, expect: &str) {
        let target = Target::Index(Pattern::parse("%Y.%m.%d").unwrap());
        let mut out = Vec::new();
        target.put(&mut out, Nanos(time), Nanos(NOW.0 - 30 * DAY), NOW);
        assert_eq!(String::from_utf8(out).unwrap(), expect);
    }
    let seen = "2026.10.26";
    check(NOW.0, "2026.11.25");
    check(NOW.0 + DAY, "2026.11.26");
    check(NOW.0 + DAY + 1, seen);
    check(NOW.0 - MAX_AGE, "2021.11.25");
    check(NOW.0 - MAX_AGE - 1, seen);
    check(0, seen);
    check(i64::MIN, seen);
    check(i64::MAX, seen);
}

#[test]
fn a_target_is_searched_under_one_path() {
    fn check(target: &Target, expect: &str) {
        assert_eq!(target.path(), expect);
    }
    check(&Target::Index(Pattern::parse("audit-%Y.%m").unwrap()), "audit-*.*");
    check(&Target::Index(Pattern::parse("audit").unwrap()), "audit");
    check(&Target::DataStream(Name::parse("audit").unwrap()), "audit");
}
