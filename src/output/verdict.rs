//! What an answer means.

use crate::{
    batch::Form,
    model::{FileName, Nanos},
};
use std::time::Duration;

/// What a destination's answer means for the records of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All of them are stored.
    Accepted,
    /// At least one of them will never be accepted as sent. Which one is found by sending halves.
    Refused {
        /// The status and the destination's words, shortened: [`Answer::told`](super::Answer::told).
        reason: String,
    },
    /// The request was too large: halves may pass.
    TooLarge {
        /// The status and the destination's words, shortened: [`Answer::told`](super::Answer::told).
        reason: String,
    },
    /// Nothing is known to be stored, and nothing is wrong with the records: send the same bytes again later.
    Stall(Stall),
    /// All of them are taken, but stored only when the destination says so when it is asked for this receipt.
    Queued {
        /// Its number.
        receipt: u64,
    },
    /// Some of them have a time that the destination does not take; it may have stored the others.
    Untimely(Untimely),
    /// What became of each of them, in the order of the request; as many as were sent.
    Items(Vec<Item>),
    /// The destination stopped at one of them. It has looked at none of those after it.
    RefusedAt {
        /// Which one, from 0; less than the number of records in the request.
        nth: usize,
        /// Whether those before it are stored.
        is_before_stored: bool,
        /// The status and the destination's words, shortened: [`Answer::told`](super::Answer::told).
        reason: String,
    },
}

/// Which times a destination does not take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Untimely {
    /// Those before it lie too far behind the newest of their stream.
    pub behind: Option<Nanos>,
    /// Those before it are too old for any stream.
    pub old: Option<Nanos>,
    /// Those from it on lie too far in the future.
    pub new: Option<Nanos>,
    /// The destination's words, shortened.
    pub reason: String,
}

impl Untimely {
    /// The form in which a record of this time and file that was sent in `form` is sent next; the same when nothing is
    /// wrong with it.
    pub fn form(&self, time: Nanos, file: FileName, form: Form) -> Form {
        let is_before = |bound: Option<Nanos>| bound.is_some_and(|bound| time < bound);
        if is_before(self.old) || self.new.is_some_and(|first| first <= time) {
            Form::Retimed
        } else if is_before(self.behind) {
            self.other_form(file, form)
        } else {
            form
        }
    }

    /// The form in which a record is sent next whose time is certainly one of those.
    pub fn other_form(&self, file: FileName, form: Form) -> Form {
        match form {
            Form::Full | Form::Plain if self.behind.is_some() => Form::Late,
            // Files that are read one after the other span more than the stream takes; one by itself seldom does.
            Form::Late if self.behind.is_some() => Form::LateOf(file),
            _ => Form::Retimed,
        }
    }
}

/// What became of one record of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// It is stored, now or before.
    Stored,
    /// It will never be accepted as sent.
    Refused {
        /// The destination's words, shortened, with the status.
        reason: String,
    },
    /// Nothing is wrong with it: to be sent again later, for this reason.
    Again(Stall),
}

/// Why sending waits. A stall never ends in a dropped record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stall {
    /// The class of the cause; a change of it is a change of state that is logged.
    pub cause: Cause,
    /// What has to wait.
    pub scope: Scope,
    /// The pause that the destination asked for.
    pub retry_after: Option<Duration>,
    /// What happened, in the destination's words where there are any; never contains a secret.
    pub text: String,
}

/// The classes of causes of a stall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// No connection: refused, reset, DNS.
    Unreachable,
    /// The connection was closed, or broke, before a complete answer.
    Broken,
    /// No answer within the output's `timeout`.
    TimedOut,
    /// The TLS handshake failed.
    Tls,
    /// 401, 403, 407, or a secret file that cannot be read.
    Credentials,
    /// 404, 405, redirects, 422: the URL or the destination is not set up for this.
    Setup,
    /// 429.
    RateLimited,
    /// 5xx, 408, 499.
    ServerError,
    /// 260: Loki's ingestion is blocked for the tenant.
    Blocked,
    /// Any other answer, other 2xx included: not a receipt.
    Unexpected,
    /// One record that the destination refuses; held until it is taken or skipped.
    RecordRefused,
    /// The destination does not know what it gave receipts for: what has none yet is sent again.
    Forgotten,
}

impl Cause {
    /// All of them, in the order of their numbers.
    pub const ALL: [Cause; 12] = [
        Cause::Unreachable,
        Cause::Broken,
        Cause::TimedOut,
        Cause::Tls,
        Cause::Credentials,
        Cause::Setup,
        Cause::RateLimited,
        Cause::ServerError,
        Cause::Blocked,
        Cause::Unexpected,
        Cause::RecordRefused,
        Cause::Forgotten,
    ];

    /// What metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Unreachable => "unreachable",
            Cause::Broken => "broken",
            Cause::TimedOut => "timed_out",
            Cause::Tls => "tls",
            Cause::Credentials => "credentials",
            Cause::Setup => "setup",
            Cause::RateLimited => "rate_limited",
            Cause::ServerError => "server_error",
            Cause::Blocked => "blocked",
            Cause::Unexpected => "unexpected",
            Cause::RecordRefused => "record_refused",
            Cause::Forgotten => "forgotten",
        }
    }
}

/// What a stall holds up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole output: one back-off for all its requests.
    Output,
    /// Only the stream of the request; others go on.
    Stream,
}
