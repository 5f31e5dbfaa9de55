//! Tests of the receiver. Requests are written by hand here, so that nothing agrees with itself.

mod acks;
mod agree;
mod collect;
mod http;
mod search;

use super::*;
use axum::http::{HeaderName, HeaderValue};

/// 2023-11-14T22:13:20Z in nanoseconds: the clock of these tests.
const NOW: i64 = 1_700_000_000 * SECOND;
const SECOND: i64 = 1_000_000_000;

const CHANNEL: &str = "11111111-2222-3333-4444-55555555555A";

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair =
        |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    pairs.iter().map(pair).collect()
}

/// The headers of a request with the default token and a channel.
fn known() -> HeaderMap {
    let token = format!("Splunk {}", SplunkToken::default().value);
    headers(&[("authorization", &token), ("x-splunk-request-channel", CHANNEL)])
}

fn uri(text: &str) -> Uri {
    text.parse().unwrap()
}

/// A receiver whose only token acknowledges or does not.
fn receiver(ack: bool) -> Splunk {
    of(SplunkOptions { tokens: vec![SplunkToken { ack, ..SplunkToken::default() }], ..SplunkOptions::default() })
}

fn of(options: SplunkOptions) -> Splunk {
    Splunk::new(options)
}

/// Sends a body at `now`: status, code, event number, receipt.
fn send_at(splunk: &Splunk, body: &str, now: i64) -> (u16, u32, Option<usize>, Option<u64>) {
    let reply = splunk.collect(&known(), &uri("/"), Ok(body.as_bytes()), now);
    (reply.status, reply.code, reply.bad, reply.receipt)
}

fn send(splunk: &Splunk, body: &str) -> (u16, u32, Option<usize>, Option<u64>) {
    send_at(splunk, body, NOW)
}

/// What is indexed at `now`.
fn stored_at(splunk: &Splunk, now: i64) -> Vec<String> {
    let text = |event: &SplunkEventView| String::from_utf8_lossy(&event.event).into_owned();
    splunk.settled(now).events().iter().map(text).collect()
}

fn stored(splunk: &Splunk) -> Vec<String> {
    stored_at(splunk, NOW)
}
