//! The log of requests.

use axum::http::StatusCode;
use serde::Serialize;
use std::{
    collections::VecDeque,
    time::{SystemTime, UNIX_EPOCH},
};

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenRequest {
    /// Its number, from 0, in the order in which requests began.
    pub nth: u64,
    /// When it began, in milliseconds since 1970.
    pub at_ms: u64,
    /// Its path.
    pub path: String,
    /// The status of its answer. `None`: it was not answered, or not yet.
    pub status: Option<u16>,
    /// The bytes of its body that arrived, as they were sent.
    pub bytes: usize,
}

/// The last requests.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// Their numbers rise by one.
    requests: VecDeque<SeenRequest>,
    next: u64,
}

/// The most requests that are kept.
pub(super) const MAX_REQUESTS: usize = 10_000;

impl Log {
    /// A request begins; its number.
    pub(super) fn begin(&mut self, path: &str) -> u64 {
        if self.requests.len() == MAX_REQUESTS {
            self.requests.pop_front();
        }
        let nth = self.next;
        self.next += 1;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.requests.push_back(SeenRequest { nth, at_ms, path: path.to_owned(), status: None, bytes: 0 });
        nth
    }

    /// So many bytes of it arrived.
    pub(super) fn arrived(&mut self, nth: u64, bytes: usize) {
        if let Some(request) = self.get(nth) {
            request.bytes = bytes;
        }
    }

    /// It is answered.
    pub(super) fn answered(&mut self, nth: u64, status: StatusCode) {
        if let Some(request) = self.get(nth) {
            request.status = Some(status.as_u16());
        }
    }

    /// A copy.
    pub(super) fn view(&self) -> Vec<SeenRequest> {
        self.requests.iter().cloned().collect()
    }

    /// Nothing if it is one of those that are not kept any more.
    fn get(&mut self, nth: u64) -> Option<&mut SeenRequest> {
        let first = self.requests.front()?.nth;
        self.requests.get_mut(usize::try_from(nth.checked_sub(first)?).ok()?)
    }
}
