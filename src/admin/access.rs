//! Who may see what: everything but health asks for the token when there is one, and is not shown to other machines
//! without one.

use super::Desk;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
};

const NO_TOKEN: &str = "agent.admin is not a loopback address, and there is no agent.admin_token_file: set it, and send \
                        its token as \"Authorization: Bearer TOKEN\"\n";

/// Lets a request through, or says why not.
pub(super) async fn check(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response {
    match refusal(&desk, request.headers()).await {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

async fn refusal(desk: &Desk, headers: &HeaderMap) -> Option<Response> {
    let Some(token) = &desk.admin.token else {
        if !desk.admin.is_loopback() {
            return Some((StatusCode::FORBIDDEN, NO_TOKEN).into_response());
        }
        if !is_by_address(headers) {
            let text = "ask by an IP address, or for localhost\n";
            return Some((StatusCode::FORBIDDEN, text).into_response());
        }
        return None;
    };
    let token = token.clone();
    // The file is read each time: it can be replaced, and what it held before is worth nothing from then on.
    let read = tokio::task::spawn_blocking(move || token.read()).await;
    let Ok(Ok(token)) = read else {
        if !desk.is_tokenless.swap(true, Ordering::Relaxed)
            && let Ok(Err(error)) = read
        {
            super::alarm_token(&error);
        }
        let text = "agent.admin_token_file cannot be read; the agent's log says why\n";
        return Some((StatusCode::FORBIDDEN, text).into_response());
    };
    desk.is_tokenless.store(false, Ordering::Relaxed);
    if shown(headers).is_some_and(|shown| is_same(shown, token.expose_secret().as_bytes())) {
        return None;
    }
    let text = "needs \"Authorization: Bearer TOKEN\" with the token of agent.admin_token_file\n";
    Some((StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], text).into_response())
}

/// The token in the request.
fn shown(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// Takes as long for any two texts of their lengths.
fn is_same(a: &[u8], b: &[u8]) -> bool {
    let [a, b] = [a, b].map(Sha256::digest);
    a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

/// Whether the request was not sent by a page of somebody else's in a browser on this machine, for which a name of
/// theirs was made to lead here.
fn is_by_address(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Some(authority) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_the_same_token_is_the_same() {
        for (a, b, expect) in [("a", "a", true), ("a", "b", false), ("a", "aa", false), ("", "a", false)] {
            assert_eq!(is_same(a.as_bytes(), b.as_bytes()), expect);
        }
    }

    #[test]
    fn the_token_is_what_follows_bearer() {
        for (value, expect) in
            [("Bearer x", Some("x")), ("bearer  x ", Some("x")), ("Basic eA==", None), ("Bearer", None)]
        {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]);
            assert_eq!(shown(&headers), expect.map(str::as_bytes), "{value}");
        }
    }

    #[test]
    fn names_of_others_are_not_answered() {
        let hosts =
            [("127.0.0.1:9617", true), ("[::1]:9617", true), ("localhost", true), ("evil.example:9617", false)];
        for (host, expect) in hosts.into_iter().chain([("localhost.evil.example", false), ("", false)]) {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            assert_eq!(is_by_address(&headers), expect, "{host}");
        }
    }
}
