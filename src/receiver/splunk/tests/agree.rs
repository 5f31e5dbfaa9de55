//! What the output sends is what this receiver stores, and what the receiver answers is what the output reads.

use super::*;
use crate::{
    batch::{Bases, Batch, Form, Pool, Records, Selection},
    model::{FileName, LabelSet, Marks, Nanos, Origin, Record, leaf},
    output::{self, Answer, FileHead, Heads, Output, Scratch, Verdict},
};
use proptest::prelude::*;

fn output(ack: bool) -> output::splunk::Splunk {
    output::splunk::Splunk { index: Some("audit".into()), ack, ..output::splunk::Splunk::default() }
}

/// A batch of records of these bodies, encoded.
fn batch(output: &Output, bodies: &[Vec<u8>]) -> Batch {
    let origin = Origin {
        name: FileName(0xab),
        host: "h".into(),
        path: "/p".into(),
        source: "s".into(),
        first_seen: Nanos::default(),
        container: None,
    };
    let file: FileHead = output.file(&origin);
    let stream = output.stream(&LabelSet::new([("tenant".into(), "acme".into())]));
    let (mut pool, mut batch) = (Pool::new(1 << 20), Batch::new(0, Duration::ZERO));
    for (nth, body) in bodies.iter().enumerate() {
        let is_object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body).is_ok();
        let marks = match (str::from_utf8(body).is_ok(), is_object) {
            (false, _) => Marks::INVALID_UTF8.with(Marks::MALFORMED),
            (true, false) => Marks::MALFORMED,
            (true, true) => Marks::NONE,
        };
        let (seq, time) = (nth as u64 + 1, Nanos(NOW + nth as i64));
        let record = Record { body, offset: 9, seq, leaf: leaf(body), time, marks, part: None };
        let heads = Heads { file: &file, stream: &stream, now: Nanos(NOW) };
        output.encode(&mut batch.body.writer(&mut pool), &record, heads);
        batch.end_record();
    }
    batch
}

/// Sends these records of a batch.
fn deliver(splunk: &Splunk, output: &Output, batch: &Batch, selection: &Selection) -> Verdict {
    let records = Records { batch, selection, bases: &Bases::default() };
    let request = output.request(&output::StreamHead::default(), records, &mut Scratch::default());
    let mut headers = known();
    if let Some(encoding) = request.encoding {
        headers.insert("content-encoding", encoding.parse().unwrap());
    }
    let reply = splunk.collect(&headers, &uri(&request.path), Ok(&request.body), NOW);
    let body = reply.json();
    let answer = Answer { status: reply.status, body: body.as_bytes(), retry_after: None, now: Nanos(NOW) };
    output.reply(answer, selection.len())
}

/// The line that is stored in an event.
fn line(event: &SplunkEventView) -> Vec<u8> {
    match (event.field("auditship_form"), event.field("auditship_encoding")) {
        (Some("wrapped"), None) => {
            let object: BTreeMap<String, String> = serde_json::from_slice(&event.event).unwrap();
            object["auditship_body"].clone().into_bytes()
        }
        (None, Some("base64")) => {
            use base64::{Engine as _, engine::general_purpose::STANDARD};
            STANDARD.decode(&event.event).unwrap()
        }
        (Some("string") | None, None) => event.event.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn receipts_are_asked_for_and_read() {
    let (splunk, acker) = (receiver(true), output(true));
    let output = Output::Splunk(output(true));
    let batch = batch(&output, &[b"{\"a\":1}".to_vec()]);
    let all = Selection::of(0..1, Form::Full);
    assert_eq!(deliver(&splunk, &output, &batch, &all), Verdict::Queued { receipt: 0 });
    assert_eq!(deliver(&splunk, &output, &batch, &all), Verdict::Queued { receipt: 1 });
    let ask = || {
        let request = acker.ask(&[1, 5, 0]);
        let body = splunk.poll(&known(), &uri(&request.path), &request.body, NOW).unwrap();
        acker.acks(Answer { status: 200, body: body.as_bytes(), retry_after: None, now: Nanos(NOW) }, &[1, 5, 0])
    };
    assert_eq!((ask(), ask()), (Ok(vec![1, 0]), Ok(vec![])));
    // Nothing is sent to try the token.
    let none = Selection::of(0..0, Form::Full);
    assert_eq!(deliver(&splunk, &output, &batch, &none), Verdict::Accepted);
    assert_eq!(splunk.counts().accepted + splunk.counts().duplicates, 2);
}

#[test]
fn a_token_without_acknowledgement_is_found_out() {
    let output = Output::Splunk(output(true));
    let batch = batch(&output, &[b"a".to_vec()]);
    let verdict = deliver(&receiver(false), &output, &batch, &Selection::of(0..1, Form::Full));
    assert!(matches!(verdict, Verdict::Stall(stall) if stall.cause == output::Cause::Setup));
}

#[test]
fn a_record_that_is_refused_is_taken_in_its_plainer_form() {
    let tokens = vec![SplunkToken { ack: false, ..SplunkToken::default() }];
    let splunk = of(SplunkOptions { tokens, refused_in_objects: Some("bad".into()), ..SplunkOptions::default() });
    let output = Output::Splunk(output(false));
    let bodies = [&b"{\"a\":1}"[..], b"{\"a\":\"bad\"}", b"{\"a\":2}"].map(<[u8]>::to_vec);
    let batch = batch(&output, &bodies);
    let verdict = deliver(&splunk, &output, &batch, &Selection::of(0..3, Form::Full));
    assert!(matches!(verdict, Verdict::RefusedAt { nth: 1, is_before_stored: true, .. }), "{verdict:?}");
    assert_eq!(deliver(&splunk, &output, &batch, &Selection::of(1..2, Form::Plain)), Verdict::Accepted);
    assert_eq!(deliver(&splunk, &output, &batch, &Selection::of(2..3, Form::Full)), Verdict::Accepted);
    assert_eq!(splunk.events().iter().map(line).collect::<Vec<_>>(), bodies);
}

proptest! {
    #[test]
    fn every_line_is_stored_as_it_was(
        bodies in prop::collection::vec(
            prop_oneof![
                r#"\{"[a-z]{0,3}": ?("\PC{0,9}"|[0-9]|\{\}|\[\])\}"#.prop_map(String::into_bytes),
                any::<String>().prop_map(String::into_bytes),
                r#"[ \t\u{a0}\u{0}]{0,4}|\{[ \t]{0,3}\}|\[\]|null"#.prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..60),
            ],
            1..6,
        ),
        is_plain in any::<bool>(),
    ) {
        let splunk = receiver(false);
        let output = Output::Splunk(output(false));
        let batch = batch(&output, &bodies);
        let selection = Selection::of(0..bodies.len(), if is_plain { Form::Plain } else { Form::Full });
        prop_assert_eq!(deliver(&splunk, &output, &batch, &selection), Verdict::Accepted);
        let events = splunk.events();
        prop_assert_eq!(events.iter().map(line).collect::<Vec<_>>(), bodies);
        for (nth, event) in events.iter().enumerate() {
            prop_assert_eq!((&*event.index, &*event.host, &*event.source), ("audit", "h", "/p"));
            prop_assert_eq!((&*event.sourcetype, event.field("tenant")), ("auditship", Some("acme")));
            prop_assert_eq!(&event.time, &format!("1700000000.{nth:09}"));
            prop_assert_eq!(event.field("auditship_seq"), Some(&*(nth + 1).to_string()));
        }
    }
}
