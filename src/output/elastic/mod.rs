//! Elasticsearch and OpenSearch: records become documents of a bulk request.
//!
//! - [`encode`] writes actions and documents straight into a batch's body.
//! - [`describe`] reads one back, and makes the plainer form of one.
//! - [`reply`] says what the answer means, record by record.
//! - [`lookup`] asks whether records are stored already.
//!
//! **The `_id` makes "at least once" into "once".** It is made of the record, and every action is a `create`: what is
//! sent again is answered with 409, which is a receipt. This holds within one index, so a document's index follows
//! from its own time; for data streams, see [`lookup`].

pub mod describe;
pub mod encode;
pub mod lookup;
mod object;
pub mod reply;
mod target;

pub use target::{Name, Pattern, Target};

use crate::{
    batch::{Form, Records},
    model::LabelSet,
    output::{Compression, Request, Scratch, StreamHead},
};

/// The bulk endpoint below the output's URL. `filter_path` leaves out of the answer what nobody looks at; every item
/// has a status, so they keep their places.
const PATH: &str = "/_bulk?filter_path=errors,items.*.status,items.*.error,items.*.failure_store";

/// The `Content-Type` of a bulk request.
const CONTENT_TYPE: &str = "application/x-ndjson";

/// An Elasticsearch or OpenSearch output.
#[derive(Debug)]
pub struct Elastic {
    target: Target,
    /// With its query.
    path: String,
    compression: Compression,
}

impl Elastic {
    /// An output to this target. `pipeline`: the ingest pipeline that the documents go through, where there is one;
    /// `_none` for not even the index's default one.
    ///
    /// Elasticsearch reads bodies in gzip and does not know zstd, which stalls the output
    /// (<https://github.com/elastic/elasticsearch/issues/146526>).
    pub fn new(target: Target, pipeline: Option<&str>, compression: Compression) -> Elastic {
        let mut path = PATH.to_owned();
        if let Some(pipeline) = pipeline {
            path.push_str("&pipeline=");
            path.extend(url::form_urlencoded::byte_serialize(pipeline.as_bytes()));
        }
        Elastic { target, path, compression }
    }

    /// With `require_data_stream`: a name that is no data stream's is refused instead of becoming an index. Elasticsearch
    /// 8.13 and later know it; others refuse the request, which stalls the output. Nothing changes for indices.
    #[must_use]
    pub fn requiring_data_stream(mut self, is_required: bool) -> Elastic {
        if is_required && self.is_data_stream() {
            self.path.push_str("&require_data_stream=true");
        }
        self
    }

    /// Whether it writes to a data stream, so that what may have been taken is to be looked up before it is sent again.
    pub fn is_data_stream(&self) -> bool {
        matches!(self.target, Target::DataStream(_))
    }

    /// Where documents go.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// What is the same in every document of a stream.
    pub fn stream(&self, labels: &LabelSet) -> StreamHead {
        StreamHead { bytes: encode::stream(labels), ..StreamHead::default() }
    }

    /// A bulk request of these records. Of no records it has no body: the server answers that there is none, and so that
    /// it is there and takes the credentials (see [`reply::reply`]). Whether they allow to write is not known by that.
    pub fn request(&self, records: Records<'_>, scratch: &mut Scratch) -> Request {
        scratch.plain.clear();
        match records.selection.form {
            Form::Full | Form::Late | Form::LateOf(_) | Form::Retimed => records.copy_to(&mut scratch.plain),
            Form::Plain => records.each(|encoded| match describe::plainer(encoded) {
                Some(plainer) => scratch.plain.extend(plainer),
                None => scratch.plain.extend_from_slice(encoded),
            }),
        }
        let compression = if records.selection.is_empty() { Compression::None } else { self.compression };
        let (encoding, body) = scratch.pack(compression);
        let path = self.path.clone().into();
        Request { path, content_type: CONTENT_TYPE, encoding, headers: Vec::new(), body }
    }

    /// Makes all that is stored visible to [`Elastic::lookup`]; [`lookup::refreshed`] reads the answer.
    pub fn refresh(&self) -> Request {
        lookup::refresh(&self.target)
    }

    /// Asks which of these records are stored; [`lookup::found`] reads the answer.
    pub fn lookup(&self, records: Records<'_>) -> Request {
        lookup::lookup(&self.target, records)
    }
}

#[cfg(test)]
mod tests;
