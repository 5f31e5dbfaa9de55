//! `/`: a page without anything from elsewhere, which reads `/api/status` and shows it. It makes text only, never
//! markup, out of what it reads, and its policy lets nothing run that is not in it.

use axum::{
    http::header,
    response::{Html, IntoResponse},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};
use std::sync::LazyLock;

pub(super) const PAGE: &str = include_str!("page.html");

/// What the page may do.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hash("script"),
        hash("style")
    )
});

pub(super) async fn page() -> impl IntoResponse {
    ([(header::CONTENT_SECURITY_POLICY, POLICY.as_str())], Html(PAGE))
}

/// Of what is in the page's one element of this name.
fn hash(element: &str) -> String {
    let (_, rest) = PAGE.split_once(&format!("<{element}>")).unwrap_or_default();
    let (text, _) = rest.split_once(&format!("</{element}>")).unwrap_or_default();
    STANDARD.encode(Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_and_trusts_nothing() {
        let of_others = ["http:", "https:", "src=", "href=", "<link", "@import", "url("];
        let markup =
            ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "onclick", "onload", "onerror"];
        for word in of_others.into_iter().chain(markup) {
            assert!(!PAGE.contains(word), "{word}");
        }
        assert_eq!(PAGE.matches("<script>").count(), 1);
        assert_eq!(PAGE.matches("<style>").count(), 1);
        let nothing = STANDARD.encode(Sha256::digest(""));
        assert!(hash("script") != nothing && hash("style") != nothing);
        assert!(POLICY.contains(&hash("script")));
    }
}
