//! Indexer acknowledgement: asks which receipts' events are indexed by now.
//!
//! HEC says `true` of a receipt once and then forgets it. `false` can mean not yet, unknown, another channel, or said
//! before; so what stays `false` for long has to be sent again. A broken endpoint is a stall, never a success.

use super::{
    CONTENT_TYPE, Splunk,
    reply::{Words, stalled},
};
use crate::output::{Answer, Cause, Request, Scope, Verdict};
use serde::Deserialize;
use std::collections::HashMap;

#[cfg(test)]
mod tests;

/// The path of the acknowledgement endpoint below the output's URL.
pub const PATH: &str = "/services/collector/ack";

/// What to look at when the answer is none of this endpoint.
const HINT: &str = "not an answer of Splunk's acknowledgement endpoint; does everything between here and Splunk pass on /services/collector/ack?";

/// The body of an answer.
#[derive(Deserialize)]
struct Acks {
    /// From the receipt to whether its events are indexed.
    acks: HashMap<String, bool>,
}

impl Splunk {
    /// Asks about these receipts, all of one channel.
    pub fn ask(&self, receipts: &[u64]) -> Request {
        let receipts: Vec<String> = receipts.iter().map(u64::to_string).collect();
        let body = format!("{{\"acks\":[{}]}}", receipts.join(",")).into_bytes();
        Request { path: PATH.into(), content_type: CONTENT_TYPE, encoding: None, headers: Vec::new(), body }
    }

    /// Which of `receipts`, those that were asked about, are indexed, in their order. The others are not yet, as far as
    /// HEC says. An error is always a stall.
    pub fn acks(&self, answer: Answer<'_>, receipts: &[u64]) -> Result<Vec<u64>, Verdict> {
        let unexpected = || answer.stall(Cause::Unexpected, Scope::Output, HINT);
        if answer.status != 200 {
            return Err(match stalled(&answer, Words::of(&answer)) {
                Verdict::Stall(stall) => Verdict::Stall(stall),
                // A question is a few bytes: it is not too large.
                _ => unexpected(),
            });
        }
        let Ok(Acks { acks }) = serde_json::from_slice(answer.body) else { return Err(unexpected()) };
        let is_indexed = |receipt: &u64| acks.get(&receipt.to_string()) == Some(&true);
        Ok(receipts.iter().copied().filter(is_indexed).collect())
    }
}
