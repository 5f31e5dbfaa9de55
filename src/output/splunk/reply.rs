//! What HEC's answer means. Codes 0 to 22 are those of Splunk's documentation ("Troubleshoot HTTP Event Collector"), 23
//! to 28 those of Splunk Enterprise 10.4 and Splunk Cloud.
//!
//! HEC reads a body from front to back. At a bad event it stops: what came before is stored, it and what follows are
//! not. The number in the answer counts from 0.

use super::Splunk;
use crate::output::{Answer, Cause, Scope, Verdict};
use serde::Deserialize;

#[cfg(test)]
mod tests;

/// The body of an answer, `text` aside: that one is for people.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Words {
    /// What happened. Zero is success.
    pub(super) code: u32,
    /// The event that HEC stopped at, from 0.
    #[serde(rename = "invalid-event-number")]
    nth: Option<u64>,
    /// The receipt, from 0 in every channel.
    #[serde(rename = "ackId")]
    receipt: Option<u64>,
}

impl Words {
    /// Of this answer; nothing if it is no answer of HEC.
    pub(super) fn of(answer: &Answer<'_>) -> Option<Words> {
        serde_json::from_slice(answer.body).ok()
    }
}

/// The codes that mean that all events are taken: success, and "approaching capacity" of the queue and of the channel.
const TAKEN: [u32; 3] = [0, 24, 25];

impl Splunk {
    /// The verdict on one request of `records` records.
    ///
    /// "No data" (400, code 5) is the right answer to none: HEC looks at the token first, so that is taken.
    pub fn reply(&self, answer: Answer<'_>, records: usize) -> Verdict {
        let words = Words::of(&answer);
        match (answer.status, words) {
            (200, Some(words)) if TAKEN.contains(&words.code) => self.taken(&answer, words),
            (200..=299, _) => {
                answer.stall(Cause::Unexpected, Scope::Output, "not a receipt of Splunk HEC; is the URL right?")
            }
            (400, Some(words)) => self.bad_request(&answer, words, records),
            _ => stalled(&answer, words),
        }
    }

    fn taken(&self, answer: &Answer<'_>, words: Words) -> Verdict {
        match words.receipt {
            Some(receipt) if self.ack => Verdict::Queued { receipt },
            None if self.ack => answer.stall(Cause::Setup, Scope::Output, NO_RECEIPT),
            // Taken is all that was asked for; what a receipt would still say is not waited for.
            _ => Verdict::Accepted,
        }
    }

    fn bad_request(&self, answer: &Answer<'_>, words: Words, records: usize) -> Verdict {
        let refused = || Verdict::Refused { reason: answer.told() };
        let refused_at = |nth: u64| match usize::try_from(nth) {
            // With acknowledgement there is no receipt in such an answer, so nobody says what is indexed.
            Ok(nth) if nth < records => {
                Some(Verdict::RefusedAt { nth, is_before_stored: !self.ack, reason: answer.told() })
            }
            _ => None,
        };
        match words.code {
            5 if records == 0 => Verdict::Accepted,
            // Splunk Cloud says this of a body that is too large. If it is about the first event, halves find it out.
            6 if words.nth.unwrap_or(0) == 0 && records > 1 => Verdict::TooLarge { reason: answer.told() },
            6 | 12 | 13 | 15 => words.nth.and_then(refused_at).unwrap_or_else(refused),
            // The index is the same in all events, so the first is as wrong as any; HEC counts one too many here. At a
            // later one, the token was changed while it read: what came before is stored.
            7 => match words.nth.unwrap_or(0).saturating_sub(1) {
                0 => self.wrong_index(answer),
                nth => refused_at(nth).unwrap_or_else(|| self.wrong_index(answer)),
            },
            _ => stalled(answer, Some(words)),
        }
    }

    fn wrong_index(&self, answer: &Answer<'_>) -> Verdict {
        let index = self.index.as_deref().map_or("its default index".to_owned(), |name| format!("index {name:?}"));
        let hint = format!("the token may not write to {index}; allow it for the token, or set another one");
        answer.stall(Cause::Setup, Scope::Output, &hint)
    }
}

/// What an answer means that is neither success nor about an event: always a stall, except that 413 is about the size.
pub(super) fn stalled(answer: &Answer<'_>, words: Option<Words>) -> Verdict {
    let stall = |cause, hint| answer.stall(cause, Scope::Output, hint);
    match (answer.status, words.map(|words| words.code)) {
        (400, None) => stall(Cause::Setup, "not an answer of Splunk HEC; is the URL right?"),
        (400, Some(10 | 11 | 28)) => stall(Cause::Forgotten, "HEC does not know the channel; a new one is made"),
        (400, Some(14)) => stall(Cause::Setup, NO_RECEIPT),
        (400, Some(16)) => stall(Cause::Setup, "a proxy moves the token into the query, which HEC does not allow"),
        (400, Some(21 | 22)) => stall(Cause::Credentials, ""),
        (415, _) => stall(Cause::Setup, "HEC takes compression = \"gzip\" or \"none\""),
        // Busy, and full: nothing was taken.
        (503, Some(9)) => stall(Cause::RateLimited, ""),
        _ => answer.common().unwrap_or_else(|| stall(Cause::Unexpected, "")),
    }
}

/// What to do about a token that does not acknowledge.
const NO_RECEIPT: &str = "the token has no indexer acknowledgement; enable it for the token or set ack = false";
