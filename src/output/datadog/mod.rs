//! Datadog: records become objects of a JSON array for its logs intake, version 2.
//!
//! - [`encode`] writes objects straight into a batch's body.
//! - [`describe`] reads one back, so that an alarm can name the record.
//! - [`reply`] says what the intake's answer means.
//!
//! **The intake alters and drops behind a 202.** It cuts a log above 1 MB, and takes one that is too old without
//! keeping it; neither shows in the answer. So both are kept from happening here: no line of [`encode::MAX_LINE`] bytes
//! can become a log of [`MAX_LOG`], no request has more than [`MAX_RECORDS`], and who sends must not let a record
//! become older than [`MAX_AGE`] unnoticed. Nor does the intake know a log that it has already: one that is sent twice
//! is stored twice, both with the same `auditship.id`.
//!
//! The limits are those of <https://docs.datadoghq.com/api/latest/logs/#send-logs>.

pub mod describe;
pub mod encode;
pub mod reply;
#[cfg(test)]
mod tests;

use crate::{
    batch::Records,
    model::LabelSet,
    output::{Compression, Request, Scratch, StreamHead},
};
use std::time::Duration;

/// The path of the intake below its URL.
pub const PATH: &str = "/api/v2/logs";

/// The header that carries the API key.
pub const KEY_HEADER: &str = "dd-api-key";

/// Datadog's sites, as their documentation lists them. There may be more, and there are private ones.
pub const SITES: &[&str] = &[
    "datadoghq.com",
    "us3.datadoghq.com",
    "us5.datadoghq.com",
    "datadoghq.eu",
    "ap1.datadoghq.com",
    "ap2.datadoghq.com",
    "uk1.datadoghq.com",
    "ddog-gov.com",
    "us2.ddog-gov.com",
];

/// The most logs of one request. What the intake does with more is not documented.
pub const MAX_RECORDS: usize = 1000;

/// The most bytes of a request before compression. Larger ones are answered with 413.
pub const MAX_REQUEST: usize = 5_000_000;

/// The most bytes of one log. Of a larger one the intake keeps the beginning, and answers 202.
pub const MAX_LOG: usize = 1_000_000;

/// How old a log may be when it arrives, by its timestamp. An older one is answered with 202 all the same, and it is
/// not documented what becomes of it.
pub const MAX_AGE: Duration = Duration::from_secs(18 * 3600);

/// The URL of a site's intake; [`PATH`] comes after it.
pub fn url(site: &str) -> String {
    format!("https://http-intake.logs.{site}")
}

/// A Datadog output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datadog {
    /// How requests are compressed. The intake takes gzip and zstd.
    pub compression: Compression,
    /// Every log's `service`.
    pub service: String,
    /// Every log's `ddsource`, which chooses the pipeline that processes it.
    pub source: String,
}

impl Datadog {
    /// An output whose `service` and `ddsource` are `auditship`.
    pub fn new(compression: Compression) -> Datadog {
        Datadog { compression, service: "auditship".into(), source: "auditship".into() }
    }

    /// What every log of a stream has in it.
    pub fn stream(&self, labels: &LabelSet) -> StreamHead {
        StreamHead { bytes: encode::stream(&self.source, &self.service, labels), ..StreamHead::default() }
    }

    /// A request of these logs: a JSON array, `[]` when there are none.
    pub fn request(&self, records: Records<'_>, scratch: &mut Scratch) -> Request {
        let plain = &mut scratch.plain;
        plain.clear();
        plain.push(b'[');
        records.copy_to(plain);
        // Every record ends with a comma; it gives its place to the bracket.
        if plain.len() > 1 {
            plain.pop();
        }
        plain.push(b']');
        let (encoding, body) = scratch.pack(self.compression);
        Request { path: PATH.into(), content_type: "application/json", encoding, headers: Vec::new(), body }
    }
}
