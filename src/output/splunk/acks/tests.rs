use super::*;
use crate::model::Nanos;
use proptest::prelude::*;

fn acks(status: u16, body: &[u8], receipts: &[u64]) -> Result<Vec<u64>, Verdict> {
    Splunk::default().acks(Answer { status, body, retry_after: None, now: Nanos(0) }, receipts)
}

#[test]
fn a_question() {
    fn check(receipts: &[u64], expect: &str) {
        let request = Splunk::default().ask(receipts);
        assert_eq!((&*request.path, request.content_type), ("/services/collector/ack", "application/json"));
        assert_eq!((String::from_utf8_lossy(&request.body), request.encoding), (expect.into(), None));
    }
    check(&[], r#"{"acks":[]}"#);
    check(&[0], r#"{"acks":[0]}"#);
    check(&[3, 1, u64::MAX], r#"{"acks":[3,1,18446744073709551615]}"#);
}

#[test]
fn those_that_are_true() {
    fn check(body: &str, expect: &[u64]) {
        assert_eq!(acks(200, body.as_bytes(), &[2, 0, 1]), Ok(expect.into()), "{body}");
    }
    check(r#"{"acks":{}}"#, &[]);
    check(r#"{"acks":{"0":true,"1":false}}"#, &[0]);
    check(r#"{"acks":{"0":true,"1":true,"2":true}}"#, &[2, 0, 1]);
    // Nobody asked about it.
    check(r#"{"acks":{"7":true,"00":true}}"#, &[]);
}

#[test]
fn anything_else_is_a_stall() {
    #[track_caller]
    fn check(status: u16, body: &str, expect: Cause, text: &str) {
        let Err(Verdict::Stall(stall)) = acks(status, body.as_bytes(), &[0]) else { panic!("{status} {body}") };
        assert!(stall.cause == expect && stall.text.contains(text), "{stall:?}");
    }
    for body in [
        "",
        "<html>200 true</html>",
        "{}",
        r#"{"acks":[0]}"#,
        r#"{"acks":{"0":1}}"#,
        r#"{"acks":{"0":"true"}}"#,
        r#"{"acks":{"0":true}"#,
        r#"{"text":"Success","code":0}"#,
    ] {
        check(200, body, Cause::Unexpected, "/services/collector/ack");
    }
    check(204, r#"{"acks":{"0":true}}"#, Cause::Unexpected, "");
    check(400, r#"{"text":"ACK is disabled","code":14}"#, Cause::Setup, "set ack = false");
    check(400, r#"{"text":"Data channel is missing","code":10}"#, Cause::Forgotten, "channel");
    check(400, r#"{"text":"Invalid data format","code":6}"#, Cause::Unexpected, "");
    check(400, "<html>", Cause::Setup, "");
    check(401, r#"{"code":2}"#, Cause::Credentials, "");
    check(403, r#"{"code":4}"#, Cause::Credentials, "");
    check(404, r#"{"code":404}"#, Cause::Setup, "");
    check(413, r#"{"acks":{"0":true}}"#, Cause::Unexpected, "/services/collector/ack");
    check(429, "", Cause::RateLimited, "");
    check(503, r#"{"text":"Server is busy","code":9}"#, Cause::RateLimited, "");
}

proptest! {
    #[test]
    fn only_200_says_that_something_is_indexed(status in 0..=600_u16) {
        prop_assert_eq!(acks(status, br#"{"acks":{"0":true}}"#, &[0]) == Ok(vec![0]), status == 200);
    }

    #[test]
    fn no_body_is_an_ack(body in prop::collection::vec(any::<u8>(), 0..60)) {
        prop_assert!(acks(200, &body, &[0]).is_err());
    }
}
