//! Splunk's HTTP Event Collector (HEC): records become event envelopes, one after the other in a body.
//!
//! - [`encode`] writes envelopes straight into a batch's body.
//! - [`describe`] reads one back, and writes it again in the plainer form.
//! - [`reply`] says what the answer to a request means.
//! - [`acks`] asks whether what was taken is indexed, and says what the answer means.
//!
//! **HEC's 200 means parsed, not stored.** A token with indexer acknowledgement gives a receipt with it, and says later,
//! once, that what the receipt stands for is indexed. Without acknowledgement there is nothing to wait for.
//!
//! The header `x-splunk-request-channel`, which receipts belong to, is not made here: its value is the sender's.

pub mod acks;
pub mod describe;
pub mod encode;
pub mod reply;

use crate::{
    batch::{Form, Records},
    output::{Compression, Request, Scratch},
};

/// The path of the event endpoint below the output's URL.
pub const PATH: &str = "/services/collector/event";

/// The `Content-Type` of a request.
pub const CONTENT_TYPE: &str = "application/json";

/// The sourcetype of the settings in `deploy/splunk`: events are not cut, and their JSON is read when it is searched.
pub const SOURCETYPE: &str = "auditship";

/// A Splunk output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Splunk {
    /// The index that events go to, one that the token may write to. `None`: the token's own.
    pub index: Option<String>,
    /// The events' sourcetype, by default [`SOURCETYPE`].
    pub sourcetype: String,
    /// Whether the token acknowledges what is indexed, and only that counts as stored.
    pub ack: bool,
    /// HEC takes gzip or nothing. It answers 415 to zstd, which is a stall.
    pub compression: Compression,
}

impl Default for Splunk {
    fn default() -> Self {
        Splunk { index: None, sourcetype: SOURCETYPE.to_owned(), ack: true, compression: Compression::Gzip }
    }
}

impl Splunk {
    /// An output to `index` under `sourcetype`. What `ack` and `compression` mean stands with the fields.
    pub fn new(index: Option<String>, sourcetype: String, ack: bool, compression: Compression) -> Splunk {
        Splunk { index, sourcetype, ack, compression }
    }

    /// A request of these records. With none it is an empty body, which HEC answers with "No data" once it has found
    /// nothing wrong with the token: so credentials can be tried without storing anything.
    pub fn request(&self, records: Records<'_>, scratch: &mut Scratch) -> Request {
        let plain = &mut scratch.plain;
        plain.clear();
        match records.selection.form {
            Form::Full | Form::Late | Form::LateOf(_) | Form::Retimed => records.copy_to(plain),
            Form::Plain => records.each(|encoded| match describe::plainer(encoded) {
                Some(plainer) => plain.extend(plainer),
                None => plain.extend_from_slice(encoded),
            }),
        }
        // Nothing, compressed, is not nothing.
        let compression = if plain.is_empty() { Compression::None } else { self.compression };
        let (encoding, body) = scratch.pack(compression);
        Request { path: PATH.into(), content_type: CONTENT_TYPE, encoding, headers: Vec::new(), body }
    }
}

#[cfg(test)]
mod tests;
