//! What the intake's answer means. The statuses are those of its documentation
//! (<https://docs.datadoghq.com/api/latest/logs/#send-logs>). It answers for a request as a whole, never for one of its
//! logs.

use crate::output::{Answer, Cause, Scope, Verdict};

#[cfg(test)]
mod tests;

/// The verdict on one request of so many records. 202 alone is a receipt: it is taken for processing, which is the most
/// that the intake ever says.
pub fn reply(answer: Answer<'_>, records: usize) -> Verdict {
    match answer.status {
        202 => Verdict::Accepted,
        200..=299 => answer.stall(Cause::Unexpected, Scope::Output, "not a Datadog receipt (202); is the URL right?"),
        // The intake answers in JSON: a page is from something in front of it. And nothing cannot be refused.
        400 if is_page(answer.body) || records == 0 => answer.stall(Cause::Setup, Scope::Output, ""),
        // "Likely an issue in the payload formatting", so a record's. If it is not, the sender finds that out, since
        // then both halves of any request are refused.
        400 => Verdict::Refused { reason: answer.told() },
        _ => answer.common().unwrap_or_else(|| answer.stall(Cause::Unexpected, Scope::Output, "")),
    }
}

fn is_page(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"<")
}
