//! URLs. What is written is never echoed: it could hold a password.

use super::reader::Section;
use url::{Host, ParseError, Url};

/// `url`: where an output sends to, such as `example`, without a `/` at the end and without `path`, which is added when
/// sending. `None` after an error.
pub(super) fn destination(section: &mut Section<'_>, example: &str, path: &str) -> Option<String> {
    let form = format!("a URL such as \"{example}\"");
    let Some(item) = section.line("url", &form) else {
        if !section.has("url") {
            section.missing("url", &form);
        }
        return None;
    };
    let wrong = |message: &str, allowed: &str| {
        section.wrong(&item.at, "url", message, allowed);
        None
    };
    let url = match parse(&item.value) {
        Ok(url) => url,
        Err(message) => return wrong(&message, &form),
    };
    let text = url.as_str().trim_end_matches('/');
    if !matches!(url.scheme(), "http" | "https") {
        wrong("has another scheme", "http:// or https://")
    } else if !url.username().is_empty() || url.password().is_some() {
        wrong("contains a user or a password", "a URL without them; they belong into auth.basic")
    } else if url.query().is_some() || url.fragment().is_some() {
        wrong("contains a query or a fragment", "a URL without ? and #")
    } else if text.ends_with(path) {
        wrong(&format!("ends with {path}, which is added when sending"), "the URL before it")
    } else {
        Some(text.to_string())
    }
}

/// `pod_labels.url`: as it is written, a query included. `None` after an error.
pub(super) fn pods(section: &mut Section<'_>) -> Option<String> {
    const FORM: &str = "a URL such as \"https://node-7:10250/pods\"";
    let Some(item) = section.line("url", FORM) else {
        if !section.has("url") {
            section.missing("url", FORM);
        }
        return None;
    };
    let wrong = |message: &str, allowed: &str| {
        section.wrong(&item.at, "url", message, allowed);
        None
    };
    match parse(&item.value) {
        Err(message) => wrong(&message, FORM),
        Ok(url) if !matches!(url.scheme(), "http" | "https") => wrong("has another scheme", "http:// or https://"),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            wrong("contains a user or a password", "a URL without them; a token belongs into token_file")
        }
        Ok(url) if url.fragment().is_some() => wrong("contains a fragment", "a URL without #"),
        Ok(url) if url.path() == "/" => wrong("has no path", "the path of a list of pods, such as /pods"),
        Ok(url) => Some(url.to_string()),
    }
}

/// `proxy`
pub(super) fn proxy(section: &mut Section<'_>) -> Option<String> {
    const FORM: &str = "a URL such as \"http://proxy:3128\", without user, path and query";
    let item = section.line("proxy", FORM)?;
    match parse(&item.value) {
        Ok(url) if url.scheme() != "http" => section.wrong(&item.at, "proxy", "has another scheme", "http://"),
        Ok(url) => {
            let bare = url.username().is_empty() && url.password().is_none() && url.path() == "/";
            if bare && url.query().is_none() && url.fragment().is_none() {
                return Some(url.as_str().trim_end_matches('/').to_string());
            }
            section.wrong(&item.at, "proxy", "has more than a host and a port", FORM);
        }
        Err(message) => section.wrong(&item.at, "proxy", message, FORM),
    }
    None
}

/// Whether what is sent to `url` stays on this machine.
pub(super) fn is_loopback(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn parse(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| match error {
        ParseError::RelativeUrlWithoutBase => "has no scheme".to_string(),
        other => format!("is not a URL: {other}"),
    })?;
    // "loki:3100" is a URL of the scheme "loki".
    if url.has_host() { Ok(url) } else { Err("has no scheme or no host".to_string()) }
}
