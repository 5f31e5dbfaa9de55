//! Loki: records become entries of a protobuf push, one stream a request.
//!
//! - [`encode`] writes entries straight into a batch's body.
//! - [`describe`] reads one back, so that an alarm can name the record.
//! - [`reply`] says what Loki's answer means.
//! - [`generated`] holds the same messages as prost types. Tests check the encoder against them; nothing on the
//!   sending path builds them, because they would copy every line.
//!
//! **One push carries one stream.** Loki's ingester keeps only the last stream's error of a push, so it answers 204
//! even when it dropped another one (Loki 3.4.2, pkg/ingester/instance.go).

pub mod describe;
pub mod encode;
// Kept as it is generated, so that tests/generated.rs can compare it.
#[rustfmt::skip]
pub mod generated;
pub mod reply;
pub mod retime;

use crate::{
    batch::{Form, Records},
    model::LabelSet,
    output::{Request, Scratch, StreamHead},
};

/// The path of the push endpoint below the output's URL. Loki also answers on `/api/prom/push`; only this one is
/// documented.
pub const PATH: &str = "/loki/api/v1/push";

/// The `Content-Type` of a push. Loki refuses a request without one; any but JSON means protobuf in raw-block
/// snappy. `Content-Encoding` stays unset, since the snappy belongs to the type.
pub const CONTENT_TYPE: &str = "application/x-protobuf";

/// The label that Loki would add itself if it were not sent.
pub const SERVICE_NAME: &str = "service_name";

/// The label of the stream that a machine's late records go to. Loki takes nothing that lies an hour behind the newest of
/// its stream (`pkg/ingester/stream.go`), and others may write to the same stream.
pub const LATE: &str = "late";

/// The header that names Loki's tenant.
const TENANT_HEADER: &str = "x-scope-orgid";

/// The longest tenant, in bytes.
const MAX_TENANT: usize = 150;

/// The tenant of label values that cannot name one.
const OTHER_TENANT: &str = "__other__";

/// A Loki output.
#[derive(Debug)]
pub struct Loki {
    tenant: Tenant,
    /// The name of this machine: the value of the label [`LATE`].
    host: String,
}

/// Where `X-Scope-OrgID` comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenant {
    /// It is not sent.
    None,
    /// It is always this.
    Fixed(String),
    /// It is the value of this label. It is `__other__` for a stream without the label, and for a value that Loki
    /// does not take as a tenant: what stands in one line must not stall the whole output.
    Label(String),
}

/// The tenant that a label's value names, by the rules of dskit's `tenant.ValidTenantID`.
fn tenant_of(value: &str) -> &str {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!-_.*'()".contains(&byte);
    let is_name = value.len() <= MAX_TENANT && value.bytes().all(is_legal) && !matches!(value, "" | "." | "..");
    if is_name { value } else { OTHER_TENANT }
}

impl Loki {
    /// An output for this tenant.
    pub fn new(tenant: Tenant, host: String) -> Loki {
        Loki { tenant, host }
    }

    /// What goes before a stream's entries.
    pub fn stream(&self, labels: &LabelSet) -> StreamHead {
        let tenant = match &self.tenant {
            Tenant::None => None,
            Tenant::Fixed(id) => Some(id.clone()),
            Tenant::Label(name) => {
                let value = labels.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value);
                Some(tenant_of(value).to_owned())
            }
        };
        let late = self.late(labels, &self.host);
        let [bytes, late] = [labels, &late].map(|labels| encode::labels(labels).into_bytes());
        StreamHead { bytes, tenant, late, labels: labels.clone() }
    }

    /// The labels of the stream for what comes late.
    fn late(&self, labels: &LabelSet, value: &str) -> LabelSet {
        let pairs = labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        LabelSet::new(pairs.chain([(LATE.to_owned(), value.to_owned())]))
    }

    /// A push of these entries.
    pub fn request(&self, head: &StreamHead, records: Records<'_>, scratch: &mut Scratch) -> Request {
        let Scratch { plain, packed, snappy } = scratch;
        plain.clear();
        match records.selection.form {
            Form::Full | Form::Plain => {
                plain.extend(encode::envelope(&head.bytes, records.bytes()));
                records.copy_to(plain);
            }
            Form::Late => {
                plain.extend(encode::envelope(&head.late, records.bytes()));
                records.copy_to(plain);
            }
            Form::LateOf(file) => {
                let labels = encode::labels(&self.late(&head.labels, &format!("{}-{file}", self.host)));
                plain.extend(encode::envelope(labels.as_bytes(), records.bytes()));
                records.copy_to(plain);
            }
            Form::Retimed => {
                let mut entries = Vec::new();
                records.each(|encoded| retime::retimed(encoded, records.bases, &mut entries));
                plain.extend(encode::envelope(&head.bytes, entries.len()));
                plain.append(&mut entries);
            }
        }
        let room = snap::raw::max_compress_len(plain.len());
        if packed.len() < room {
            packed.resize(room, 0);
        }
        // Block format. There is room, so it cannot fail; and an empty request would be refused, not taken.
        let len = snappy.compress(plain, packed).unwrap_or(0);
        Request {
            path: PATH.into(),
            content_type: CONTENT_TYPE,
            encoding: None,
            headers: head.tenant.iter().map(|tenant| (TENANT_HEADER, tenant.clone())).collect(),
            body: packed[..len].to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_only_sent_as_tenant_when_loki_takes_it() {
        fn check(value: &str, expect: &str) {
            let labels = LabelSet::new([("tenant".into(), value.into())]);
            let head = Loki::new(Tenant::Label("tenant".into()), "h".into()).stream(&labels);
            assert_eq!(head.tenant.as_deref(), Some(expect));
            assert_eq!(head.bytes, encode::labels(&labels).into_bytes());
        }
        check("acme-1_(eu).prod*!'", "acme-1_(eu).prod*!'");
        for bad in ["", "zoë", "a|b", "a b", "a/b", ".", "..", &"x".repeat(151)] {
            check(bad, "__other__");
        }
    }
}
