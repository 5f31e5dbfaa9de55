//! Whose logs they are: the `X-Scope-OrgID` header, as dskit's `tenant` package reads it for Loki 3.4.2.

use super::{
    AuthMode,
    push::{Refusal, first},
};
use axum::http::{HeaderMap, HeaderName, StatusCode};

/// The tenant when there is only one.
const SINGLE: &str = "fake";

const HEADER: HeaderName = HeaderName::from_static("x-scope-orgid");

/// The longest id, in bytes.
const MAX_LEN: usize = 150;

/// The tenant of a push or a query. Several in one header are refused, unless they are the same.
pub(super) fn tenant(headers: &HeaderMap, mode: AuthMode) -> Result<String, Refusal> {
    if mode == AuthMode::Single {
        return Ok(SINGLE.to_owned());
    }
    let header = first(headers, &HEADER);
    if header.is_empty() {
        return Err(Refusal::new(StatusCode::UNAUTHORIZED, "no org id"));
    }
    let mut ids: Vec<&str> = header.split('|').collect();
    for id in &ids {
        check(id).map_err(Refusal::bad)?;
    }
    ids.dedup();
    match ids[..] {
        [id] => Ok(id.to_owned()),
        _ => Err(Refusal::bad("multiple org IDs present")),
    }
}

fn check(id: &str) -> Result<(), String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
    if let Some((at, c)) = id.char_indices().find(|(_, c)| !legal(*c)) {
        return Err(format!("tenant ID '{id}' contains unsupported character '{c}' at {at}"));
    }
    match id {
        "" => Err("tenant ID is empty".to_owned()),
        "." | ".." => Err("tenant ID is '.' or '..'".to_owned()),
        _ if id.len() > MAX_LEN => Err(format!("tenant ID is too long: max {MAX_LEN} characters")),
        _ => Ok(()),
    }
}
