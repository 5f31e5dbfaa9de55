//! The collector's answers: `{"text":…,"code":…}`, and with them which event was bad, or a receipt.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) code: u32,
    pub(super) text: String,
    /// `invalid-event-number`, from 0.
    pub(super) bad: Option<usize>,
    /// `ackId`
    pub(super) receipt: Option<u64>,
}

impl Reply {
    /// The answer of this code.
    pub(super) fn of(code: u32) -> Reply {
        // Splunk's documentation, "Possible error codes"; 23 to 28 as Splunk 10 answers them.
        let (status, text) = match code {
            0 => (200, "Success"),
            1 => (403, "Token is disabled"),
            2 => (401, "Token is required"),
            3 => (401, "Invalid authorization"),
            4 => (403, "Invalid token"),
            5 => (400, "No data"),
            6 => (400, "Invalid data format"),
            7 => (400, "Incorrect index"),
            9 => (503, "Server is busy"),
            10 => (400, "Data channel is missing"),
            11 => (400, "Invalid data channel"),
            12 => (400, "Event field is required"),
            13 => (400, "Event field cannot be blank"),
            14 => (400, "ACK is disabled"),
            15 => (400, "Error in handling indexed fields"),
            16 => (400, "Query string authorization is not enabled"),
            17 => (200, "HEC is healthy"),
            18 => (503, "HEC is unhealthy, queues are full"),
            19 => (503, "HEC is unhealthy, ack service unavailable"),
            21 => (400, "Invalid token"),
            22 => (400, "Token disabled"),
            23 => (503, "Server is shutting down"),
            24 => (200, "Success, queue is approaching capacity"),
            25 => (200, "Success, ack channel is approaching capacity"),
            26 => (429, "Queue is at capacity"),
            27 => (429, "Ack channel is at capacity"),
            _ => (500, "Internal server error"),
        };
        Reply { status, code, text: text.to_owned(), bad: None, receipt: None }
    }

    /// The answer of this code about one event.
    pub(super) fn bad(code: u32, nth: usize) -> Reply {
        Reply { bad: Some(nth), ..Reply::of(code) }
    }

    /// A body of `len` bytes is longer than `max`.
    pub(super) fn too_long(len: usize, max: usize) -> Reply {
        Reply::plain(413, format!("Content-Length of {len} too large (maximum is {max})"))
    }

    /// Another compression than gzip.
    pub(super) fn unsupported() -> Reply {
        Reply::plain(415, "Unsupported Media Type".to_owned())
    }

    /// No such path.
    pub(super) fn not_found() -> Reply {
        Reply::plain(404, "The requested URL was not found on this server.".to_owned())
    }

    /// An answer of the server itself: the code is the status.
    fn plain(status: u16, text: String) -> Reply {
        Reply { status, code: status.into(), text, bad: None, receipt: None }
    }

    /// The body.
    pub(super) fn json(&self) -> String {
        let mut json = serde_json::json!({ "text": self.text, "code": self.code });
        if let Some(nth) = self.bad {
            json["invalid-event-number"] = nth.into();
        }
        if let Some(receipt) = self.receipt {
            json["ackId"] = receipt.into();
        }
        json.to_string()
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, "application/json; charset=UTF-8")], self.json()).into_response()
    }
}
