//! Errors as Elasticsearch writes them.

use axum::{
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

/// An error of a request, or of one item of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) kind: String,
    pub(super) reason: String,
}

impl Refusal {
    pub(super) fn new(status: u16, kind: &str, reason: impl Into<String>) -> Refusal {
        Refusal { status, kind: kind.to_owned(), reason: reason.into() }
    }

    pub(super) fn bad(kind: &str, reason: impl Into<String>) -> Refusal {
        Refusal::new(400, kind, reason)
    }

    pub(super) fn argument(reason: impl Into<String>) -> Refusal {
        Refusal::bad("illegal_argument_exception", reason)
    }

    /// Of a document that does not fit.
    pub(super) fn document(reason: impl Into<String>) -> Refusal {
        Refusal::bad("document_parsing_exception", reason)
    }

    pub(super) fn no_index(name: &str) -> Refusal {
        Refusal::new(404, "index_not_found_exception", format!("no such index [{name}]"))
    }

    /// Netty closes such a request without words.
    pub(super) fn too_large() -> Refusal {
        Refusal::new(413, "", "")
    }

    pub(super) fn unauthorized(is_given: bool) -> Refusal {
        let what = if is_given { "unable to authenticate" } else { "missing authentication credentials for" };
        Refusal::new(401, "security_exception", format!("{what} REST request"))
    }

    pub(super) fn no_handler(method: &str, path: &str) -> Refusal {
        Refusal::bad("", format!("no handler found for uri [/{path}] and method [{method}]"))
    }

    /// As it stands in an item or an answer.
    pub(super) fn error(&self) -> Value {
        json!({ "type": self.kind, "reason": self.reason })
    }

    pub(super) fn response(&self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if self.status == 413 {
            return status.into_response();
        }
        let error = if self.kind.is_empty() {
            json!(self.reason)
        } else {
            json!({ "root_cause": [self.error()], "type": self.kind, "reason": self.reason })
        };
        super::json_response(status, &json!({ "error": error, "status": self.status }))
    }
}
