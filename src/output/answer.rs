//! What every destination's answer is looked at for: its words for people, and the pause that it asks for.

use super::{Cause, Scope, Stall, Verdict};
use crate::model::Nanos;
use jiff::fmt::rfc2822::DateTimeParser;
use std::time::Duration;

/// The longest pause that a `Retry-After` can ask for.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(300);

/// The most characters of an answer that are passed on.
const MAX_WORDS: usize = 300;

/// What came back for a request, whatever it was.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The beginning of the body.
    pub body: &'a [u8],
    /// The header of that name.
    pub retry_after: Option<&'a str>,
    /// The wall clock that a date in `retry_after` is measured against.
    pub now: Nanos,
}

impl Answer<'_> {
    /// A stall for this reason. `hint`, which may be empty: what to look at.
    pub fn stall(&self, cause: Cause, scope: Scope, hint: &str) -> Verdict {
        Verdict::Stall(self.as_stall(cause, scope, &words(self.body), hint))
    }

    /// The same, in other words than the body's.
    pub fn as_stall(&self, cause: Cause, scope: Scope, words: &str, hint: &str) -> Stall {
        let retry_after = pause(self.retry_after, self.now);
        Stall { cause, scope, retry_after, text: told(self.status, words, hint) }
    }

    /// The status and the body, for people.
    pub fn told(&self) -> String {
        told(self.status, &words(self.body), "")
    }

    /// What a status means that means the same at every destination. `None`: it is the destination's own.
    ///
    /// A redirect is a stall: a secret is not sent to where somebody points.
    pub fn common(&self) -> Option<Verdict> {
        Some(match self.status {
            300..=399 | 404 | 405 | 410 => self.stall(Cause::Setup, Scope::Output, "is the URL right?"),
            401 | 403 | 407 => self.stall(Cause::Credentials, Scope::Output, ""),
            408 | 499 | 500..=599 => self.stall(Cause::ServerError, Scope::Output, ""),
            413 => Verdict::TooLarge { reason: self.told() },
            429 => self.stall(Cause::RateLimited, Scope::Output, ""),
            _ => return None,
        })
    }
}

/// `HTTP 400: words; hint`, as far as there are any.
pub fn told(status: u16, words: &str, hint: &str) -> String {
    let mut text = format!("HTTP {status}");
    for (separator, part) in [(": ", words), ("; ", hint)] {
        if !part.is_empty() {
            text.push_str(separator);
            text.push_str(part);
        }
    }
    text
}

/// A text for people: one line of at most 300 characters.
pub fn words(body: &[u8]) -> String {
    // A character takes at most four bytes; the rest is room for white space around it.
    let start = String::from_utf8_lossy(&body[..body.len().min(8 * MAX_WORDS)]);
    let mut text: String = start.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if let Some((cut, _)) = text.char_indices().nth(MAX_WORDS - 1)
        && text[cut..].chars().nth(1).is_some()
    {
        text.truncate(cut);
        text.push('…');
    }
    text
}

/// `Retry-After`: whole seconds or an HTTP date (RFC 9110, 10.2.3), at most [`MAX_PAUSE`]. Anything else is ignored.
pub fn pause(value: Option<&str>, now: Nanos) -> Option<Duration> {
    let value = value?.trim();
    let pause = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Digits that do not fit are a very long time.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let until = DateTimeParser::new().parse_timestamp(value).ok()?.as_nanosecond();
        let left = (until - i128::from(now.0)).max(0);
        Duration::from_nanos(left.try_into().unwrap_or(u64::MAX))
    };
    Some(pause.min(MAX_PAUSE))
}
