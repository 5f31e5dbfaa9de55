//! What Loki's answer means. Status codes and texts are those of Loki 3.4 (`pkg/validation/validate.go`,
//! `pkg/distributor/http.go`, `pkg/ingester/stream.go`, dskit's `tenant`); later versions wrote some texts in lower
//! case, so case does not count.

use crate::{
    model::Nanos,
    output::{Answer, Cause, Scope, Untimely, Verdict},
};

#[cfg(test)]
mod tests;

/// The verdict on one push. 204 alone is a receipt.
pub fn reply(answer: Answer<'_>) -> Verdict {
    let status = answer.status;
    if status == 204 {
        return Verdict::Accepted;
    }
    let plain = plain(answer.body);
    // The status of a block is the Loki operator's choice, 260 by default.
    if status == 260 || plain.starts_with("ingestion blocked for user") {
        return answer.stall(Cause::Blocked, Scope::Output, "");
    }
    match status {
        200..=299 => answer.stall(Cause::Unexpected, Scope::Output, "not a Loki receipt (204); is the URL right?"),
        400 => match meaning(&plain) {
            Meaning::Time => untimely(&plain, answer.told()),
            Meaning::Record => Verdict::Refused { reason: answer.told() },
            Meaning::Size => Verdict::TooLarge { reason: answer.told() },
            Meaning::Order => answer.stall(Cause::Setup, Scope::Stream, ORDER),
            Meaning::Request => answer.stall(Cause::Setup, Scope::Output, ""),
            Meaning::Stream => answer.stall(Cause::Setup, Scope::Stream, ""),
            Meaning::Connection => answer.stall(Cause::Broken, Scope::Output, ""),
        },
        401 if plain.contains("no org id") => answer.stall(Cause::Setup, Scope::Output, TENANT),
        422 => answer.stall(Cause::Setup, Scope::Output, ""),
        429 if STREAM_LIMITS.iter().any(|text| plain.contains(text)) => {
            answer.stall(Cause::RateLimited, Scope::Stream, "")
        }
        _ => answer.common().unwrap_or_else(|| answer.stall(Cause::Unexpected, Scope::Output, "")),
    }
}

/// What a 400 is about.
#[derive(Clone, Copy)]
enum Meaning {
    /// The time of a record.
    Time,
    /// The order of records, where they must be in it. Then Loki refuses what it has, too, when it is sent again, so that
    /// nothing follows from a refusal: neither that a record is missing, nor that it is bad.
    Order,
    /// A record, or a label value that came from one.
    Record,
    /// The size of the request.
    Size,
    /// Every request of this output: its tenant, its encoding, a limit below what auditship always sends.
    Request,
    /// Every request of this stream: its label names.
    Stream,
    /// The request did not arrive whole. Loki answers even that with 400.
    Connection,
}

/// The earliest known text decides: what stands after it may be a label value, and so anyone's words.
///
/// An unknown text counts as a record's. If it is not, the sender finds that out, since then both halves of any
/// request are refused.
fn meaning(plain: &str) -> Meaning {
    // Loki answers in plain text. This is a page of something in front of it.
    if plain.starts_with('<') {
        return Meaning::Request;
    }
    let found = TEXTS.iter().filter_map(|(text, meaning)| Some((plain.find(text)?, *meaning)));
    found.min_by_key(|(at, _)| *at).map_or(Meaning::Record, |(_, meaning)| meaning)
}

/// Which times are refused. Loki names some of the entries, each with its time, and the oldest time that it takes.
fn untimely(plain: &str, reason: String) -> Verdict {
    const OLDEST: &str = "oldest acceptable timestamp is: ";
    const NEW: &str = "has timestamp too new: ";
    let mut untimely = Untimely { reason: reason.clone(), ..Untimely::default() };
    for (at, text) in plain.match_indices(OLDEST) {
        let said = &plain[..at];
        let is_behind = said.rfind("entry too far behind") > said.rfind("has timestamp too old");
        let bound = if is_behind { &mut untimely.behind } else { &mut untimely.old };
        // Loki leaves off what is finer than a second.
        let named = time_at(&plain[at + text.len()..]).map(|time| Nanos(time.0.saturating_add(Nanos::SECOND)));
        *bound = (*bound).max(named);
    }
    let new = plain.match_indices(NEW).filter_map(|(at, text)| time_at(&plain[at + text.len()..]));
    untimely.new = new.min();
    match untimely {
        Untimely { behind: None, old: None, new: None, .. } => Verdict::Refused { reason },
        untimely => Verdict::Untimely(untimely),
    }
}

/// The time, in RFC 3339, that a text begins with.
fn time_at(text: &str) -> Option<Nanos> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || "-+:.tz".contains(c))).unwrap_or(text.len());
    let time = text[..end].trim_end_matches(['.', ':', '-', '+']).to_ascii_uppercase();
    Some(Nanos(i64::try_from(time.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok()?))
}

/// The body for [`meaning`]: lower case, and without what stands in double quotes. Loki quotes streams as
/// `{name="value"}`, and a value must not pass for Loki's own words.
fn plain(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(MAX_PLAIN)]);
    let (mut plain, mut quoted, mut escaped) = (String::new(), false, false);
    for c in text.trim().chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            c => plain.push(c.to_ascii_lowercase()),
        }
    }
    plain
}

/// The texts of a 400, in lower case.
const TEXTS: &[(&str, Meaning)] = &[
    // pkg/validation/validate.go, pkg/chunkenc/interface.go: one entry.
    ("has timestamp too old", Meaning::Time),
    ("has timestamp too new", Meaning::Time),
    ("max entry size", Meaning::Record),
    ("entry too far behind", Meaning::Time),
    ("entry out of order", Meaning::Order),
    ("has label value too long", Meaning::Record),
    // The same: label names, which come from the configuration.
    ("label names; limit", Meaning::Stream),
    ("has label name too long", Meaning::Stream),
    ("has duplicate label name", Meaning::Stream),
    ("missing required labels", Meaning::Stream),
    ("at least one label pair is required", Meaning::Stream),
    ("error parsing labels", Meaning::Stream),
    ("couldn't parse labels", Meaning::Stream),
    // The same: structured metadata, of which every record has the same small amount.
    ("includes structured metadata", Meaning::Request),
    ("has structured metadata too large", Meaning::Request),
    ("has too many structured metadata labels", Meaning::Request),
    // dskit: tenant/tenant.go, tenant/metadata.go, user/id.go.
    ("tenant id is", Meaning::Request),
    ("tenant id '", Meaning::Request),
    ("malformed tenant metadata", Meaning::Request),
    ("multiple org ids present", Meaning::Request),
    ("no org id", Meaning::Request),
    // pkg/loghttp/push/push.go, pkg/util/http.go, and the decoders under them.
    ("received message larger than max", Meaning::Size),
    ("message size too large", Meaning::Size),
    ("request body too large", Meaning::Size),
    ("snappy: decoded block is too large", Meaning::Size),
    ("snappy: ", Meaning::Request),
    ("proto: ", Meaning::Request),
    ("gzip: ", Meaning::Request),
    ("flate: ", Meaning::Request),
    ("mime: ", Meaning::Request),
    ("content-encoding ", Meaning::Request),
    // Go's net/http, and nginx: https is needed.
    ("client sent an http request to an https server", Meaning::Request),
    // Go's reader of the request body.
    ("i/o timeout", Meaning::Connection),
    ("unexpected eof", Meaning::Connection),
    ("connection reset by peer", Meaning::Connection),
    ("context canceled", Meaning::Connection),
    ("context deadline exceeded", Meaning::Connection),
];

const TENANT: &str = "this Loki has tenants; name one with tenant_id";

/// Whether a stream keeps order is decided when it is made (`pkg/ingester/instance.go` of 3.4).
const ORDER: &str = "this stream takes entries only in their order; set limits_config.unordered_writes: true, the default \
                     since Loki 2.4; streams in memory follow when the ingesters restart";

/// The texts of a 429 that are about one stream. Any other is about the tenant.
const STREAM_LIMITS: [&str; 2] = ["per stream rate limit exceeded", "maximum active stream limit exceeded"];

/// The most bytes of an answer that are looked at.
const MAX_PLAIN: usize = 64 * 1024;
