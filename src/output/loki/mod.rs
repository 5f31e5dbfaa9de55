//! Loki: records become entries of a protobuf push, one stream a request.
//!
//! - [`encode`] writes entries straight into a batch's body.
//! - [`describe`] reads one back, so that an alarm can name the record.
//! - [`reply`] says what Loki's answer means.
//! - [`generated`] holds the same messages as prost types. Tests check the encoder against them; nothing on the
//!   sending path builds them, because they would copy every line.

pub mod describe;
pub mod encode;
// Kept as it is generated, so that tests/generated.rs can compare it.
#[rustfmt::skip]
pub mod generated;
pub mod reply;

/// The path of the push endpoint below the output's URL. Loki also answers on `/api/prom/push`; only this one is
/// documented.
pub const PATH: &str = "/loki/api/v1/push";

/// The `Content-Type` of a push. Loki refuses a request without one; any but JSON means protobuf in raw-block
/// snappy. `Content-Encoding` stays unset, since the snappy belongs to the type.
pub const CONTENT_TYPE: &str = "application/x-protobuf";
