//! Receipts.

use super::*;

/// Asks about receipts at `now`; the answer's body.
fn ask_at(splunk: &Splunk, receipts: &str, now: i64) -> String {
    let body = format!(r#"{{"acks":{receipts}}}"#);
    splunk.poll(&known(), &uri("/"), body.as_bytes(), now).unwrap_or_else(|reply| reply.json())
}

fn ask(splunk: &Splunk, receipts: &str) -> String {
    ask_at(splunk, receipts, NOW)
}

const ONE: &str = r#"{"event":"a"}"#;
const TWO: &str = r#"{"event":"b"}"#;

#[test]
fn a_receipt_is_true_once() {
    let splunk = receiver(true);
    assert_eq!((send(&splunk, ONE).3, send(&splunk, TWO).3), (Some(0), Some(1)));
    assert_eq!(ask(&splunk, "[0,7]"), r#"{"acks":{"0":true,"7":false}}"#);
    assert_eq!(ask(&splunk, "[0,1]"), r#"{"acks":{"0":false,"1":true}}"#);
    assert_eq!(ask(&splunk, "[]"), r#"{"acks":{}}"#);
    assert_eq!(splunk.counts().polls, 3);
}

#[test]
fn receipts_belong_to_their_channel() {
    let splunk = receiver(true);
    send(&splunk, ONE);
    let mut other = known();
    other.insert("x-splunk-request-channel", "99999999-2222-3333-4444-555555555555".parse().unwrap());
    let reply = splunk.collect(&other, &uri("/"), Ok(TWO.as_bytes()), NOW);
    assert_eq!(reply.receipt, Some(0));
    assert_eq!(ask(&splunk, "[0]"), r#"{"acks":{"0":true}}"#);
    let answer = splunk.poll(&other, &uri("/"), br#"{"acks":[0]}"#, NOW);
    assert_eq!(answer, Ok(r#"{"acks":{"0":true}}"#.to_owned()));
}

#[test]
fn events_are_indexed_after_the_delay() {
    let splunk = of(SplunkOptions { ack_delay: Duration::from_secs(2), ..SplunkOptions::default() });
    assert_eq!(send_at(&splunk, ONE, NOW).3, Some(0));
    assert_eq!(send_at(&splunk, TWO, NOW + SECOND).3, Some(1));
    let just_before = NOW + 2 * SECOND - 1;
    assert_eq!(ask_at(&splunk, "[0,1]", just_before), r#"{"acks":{"0":false,"1":false}}"#);
    assert_eq!((stored_at(&splunk, just_before).len(), splunk.settled(just_before).counts().queued), (0, 2));
    assert_eq!(ask_at(&splunk, "[0,1]", just_before + 1), r#"{"acks":{"0":true,"1":false}}"#);
    assert_eq!(stored_at(&splunk, NOW + 3 * SECOND), ["a", "b"]);
}

#[test]
fn acks_can_be_held_lost_or_broken() {
    let splunk = receiver(true);
    splunk.hold_acks(true);
    send(&splunk, ONE);
    assert_eq!((ask(&splunk, "[0]"), stored(&splunk).len()), (r#"{"acks":{"0":false}}"#.to_owned(), 0));
    splunk.hold_acks(false);
    assert_eq!((ask(&splunk, "[0]"), stored(&splunk).len()), (r#"{"acks":{"0":true}}"#.to_owned(), 1));

    splunk.set_acks(SplunkAcks::Lost);
    send(&splunk, TWO);
    assert_eq!((ask(&splunk, "[1]"), stored(&splunk).len()), (r#"{"acks":{"1":false}}"#.to_owned(), 2));
    splunk.set_acks(SplunkAcks::Broken);
    send(&splunk, ONE);
    assert!(ask(&splunk, "[2]").starts_with("<html>"));
}

#[test]
fn a_restart_forgets_and_can_lose() {
    let check = |loses_queued: bool, events: &[&str], lost: u64| {
        let splunk = of(SplunkOptions { loses_queued, ..SplunkOptions::default() });
        send(&splunk, ONE);
        splunk.hold_acks(true);
        assert_eq!(send(&splunk, TWO).3, Some(1));
        splunk.forget();
        splunk.hold_acks(false);
        assert_eq!(ask(&splunk, "[0,1]"), r#"{"acks":{"0":false,"1":false}}"#);
        assert_eq!((stored(&splunk), splunk.counts().lost), (events.iter().map(ToString::to_string).collect(), lost));
        // Receipts count from 0 again.
        assert_eq!(send(&splunk, TWO).3, Some(0));
    };
    check(true, &["a"], 1);
    check(false, &["a", "b"], 0);
}

#[test]
fn no_receipt_comes_with_a_bad_event() {
    let splunk = of(SplunkOptions { keeps_before_bad: false, ..SplunkOptions::default() });
    assert_eq!(send(&splunk, &format!("{ONE}{{}}")), (400, 12, Some(1), None));
    assert_eq!((stored(&splunk).len(), splunk.counts().queued), (0, 0));
    assert_eq!(send(&splunk, ONE).3, Some(0));
}

#[test]
fn questions_that_are_refused() {
    let splunk = receiver(true);
    assert_eq!(ask(&splunk, "0"), r#"{"code":6,"text":"Invalid data format"}"#);
    assert_eq!(ask(&splunk, "[\"0\"]"), r#"{"code":6,"text":"Invalid data format"}"#);
    let code = |splunk: &Splunk, headers: HeaderMap| splunk.poll(&headers, &uri("/"), b"", NOW).unwrap_err().code;
    let mut without = known();
    without.remove("x-splunk-request-channel");
    assert_eq!(code(&splunk, without.clone()), 10);
    assert_eq!(code(&receiver(false), without), 14);
    assert_eq!(code(&splunk, HeaderMap::new()), 2);
}
