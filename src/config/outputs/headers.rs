//! `outputs.*.headers`

use crate::config::{
    reader::Section,
    tree::{Place, Value},
};

/// What the client sets by itself, in lower case; and where else that is configured.
const OWN: &[(&str, &str)] = &[
    ("authorization", "auth"),
    ("proxy-authorization", "proxy"),
    ("cookie", "auth"),
    ("dd-api-key", "auth.token"),
    ("x-scope-orgid", "tenant_id"),
    ("x-splunk-request-channel", ""),
    ("content-type", ""),
    ("content-encoding", "compression"),
    ("content-length", ""),
    ("transfer-encoding", ""),
    ("connection", ""),
    ("host", "url"),
    // The answer must be one that we can read.
    ("accept", ""),
    ("accept-encoding", ""),
    ("expect", ""),
    ("te", ""),
    ("trailer", ""),
    ("upgrade", ""),
    ("keep-alive", ""),
    ("proxy-connection", ""),
];

/// Names and values, in the order of the file.
pub(super) fn headers(section: &mut Section<'_>) -> Vec<(String, String)> {
    let Some(named) = section.named("headers") else { return Vec::new() };
    let Some(outer) = named.outer() else { return Vec::new() };
    let mut headers: Vec<(String, String)> = Vec::new();
    for entry in &named.nodes {
        let name = &entry.name;
        let wrong = |at: &Place, message: String, allowed: &str| outer.wrong(at, name, message, allowed);
        let is_again = headers.iter().any(|(earlier, _)| earlier.eq_ignore_ascii_case(name));
        if !is_token(name) {
            wrong(&entry.at, "not the name of a header".into(), "letters, digits and !#$%&'*+-.^_`|~");
        } else if let Some((_, key)) = OWN.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)) {
            let instead = if key.is_empty() { String::new() } else { format!("another header; this one is `{key}`") };
            wrong(&entry.at, "is set by auditship itself".into(), &instead);
        } else if is_again {
            wrong(&entry.at, "is there twice: upper and lower case are the same".into(), "each header once");
        } else {
            match &entry.node.value {
                Value::Text(value) | Value::Raw(value) if is_value(value) => {
                    headers.push((name.clone(), value.clone()));
                }
                // Not shown: it may be a secret.
                _ => wrong(&entry.node.at, "is not text that can be sent".into(), VALUE),
            }
        }
    }
    headers
}

const VALUE: &str = "text of ASCII that can be seen, and spaces, up to 1,024 bytes";

/// RFC 9110, section 5.6.2.
fn is_token(name: &str) -> bool {
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !name.is_empty() && name.len() <= 128 && name.chars().all(is_legal)
}

fn is_value(value: &str) -> bool {
    value.len() <= 1024 && value.chars().all(|c| c == ' ' || c.is_ascii_graphic())
}
