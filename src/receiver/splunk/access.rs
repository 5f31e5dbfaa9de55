//! Who sends: the token, and the channel. Errors are the collector's codes.

use super::SplunkToken;
use axum::http::{HeaderMap, Uri, header};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use url::form_urlencoded;

/// The number of the token that a request has in `Authorization: Splunk …`, or as the password of `Basic …`.
pub(super) fn token(tokens: &[SplunkToken], headers: &HeaderMap, uri: &Uri) -> Result<usize, u32> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(if parameter(uri, "token").is_some() { 16 } else { 2 });
    };
    let value = value.to_str().map_err(|_| 3_u32)?;
    let given = match value.split_once(' ') {
        Some(("Splunk", token)) => token.to_owned(),
        Some(("Basic", pair)) => password(pair).ok_or(3_u32)?,
        _ => return Err(3),
    };
    let nth = tokens.iter().position(|token| token.value == given).ok_or(4_u32)?;
    if tokens[nth].is_disabled { Err(1) } else { Ok(nth) }
}

fn password(pair: &str) -> Option<String> {
    let pair = String::from_utf8(STANDARD.decode(pair).ok()?).ok()?;
    Some(pair.split_once(':')?.1.to_owned())
}

/// The channel of a request: a GUID in `X-Splunk-Request-Channel` or in `?channel=`.
pub(super) fn channel(headers: &HeaderMap, uri: &Uri) -> Result<String, u32> {
    let header =
        headers.get("x-splunk-request-channel").map(|value| String::from_utf8_lossy(value.as_bytes()).into());
    let channel: String = header.or_else(|| parameter(uri, "channel")).ok_or(10_u32)?;
    if is_guid(&channel) { Ok(channel.to_ascii_lowercase()) } else { Err(11) }
}

fn is_guid(text: &str) -> bool {
    let is_hex = |group: &str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    let lengths: Vec<usize> = text.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && text.split('-').all(is_hex)
}

/// A parameter of the query string.
fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let query = uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
