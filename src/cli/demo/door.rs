//! The door before the receivers: how the demo makes destinations fail.

use super::destinations::Kind;
use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::sync::watch;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// It reaches its receiver.
    Open,
    /// It is answered with 503 and its lines are not stored.
    Shut,
    /// Its lines are stored, and the answer is held back: the worst moment for a crash of the sender.
    Mute,
}

/// A door; clones are the same door.
#[derive(Clone, Debug)]
pub(super) struct Door(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    way: watch::Sender<Way>,
    refused: AtomicU64,
    /// Requests that were stored while the door was mute, by destination.
    muted: [AtomicU64; 4],
}

impl Door {
    pub(super) fn new() -> Door {
        let (way, refused) = (watch::Sender::new(Way::Open), AtomicU64::new(0));
        Door(Arc::new(Inner { way, refused, muted: Default::default() }))
    }

    /// Puts the door before all routes of a destination.
    pub(super) fn before(&self, kind: Kind, router: Router) -> Router {
        router.layer(from_fn_with_state((self.clone(), kind), pass))
    }

    pub(super) fn open(&self) {
        self.0.way.send_replace(Way::Open);
    }

    pub(super) fn shut(&self) {
        self.0.way.send_replace(Way::Shut);
    }

    pub(super) fn mute(&self) {
        self.0.way.send_replace(Way::Mute);
    }

    /// Requests that were answered with 503.
    pub(super) fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }

    /// Requests that were stored and whose answer was held back, by destination.
    pub(super) fn held(&self) -> [u64; 4] {
        Kind::ALL.map(|kind| self.0.muted[kind as usize].load(Ordering::Relaxed).saturating_sub(answered(kind)))
    }
}

/// How many requests a mute door answers before it holds the others back. A sender that has just met an outage sends
/// one request and waits for its answer, and one to Loki carries a single stream: little of what is under way.
fn answered(kind: Kind) -> u64 {
    u64::from(kind == Kind::Loki)
}

async fn pass(State((Door(door), kind)): State<(Door, Kind)>, request: Request, next: Next) -> Response {
    let mut way = door.way.subscribe();
    let now = *way.borrow_and_update();
    if now == Way::Shut {
        door.refused.fetch_add(1, Ordering::Relaxed);
        return (StatusCode::SERVICE_UNAVAILABLE, "the demo has made this receiver unreachable\n").into_response();
    }
    // A question about Splunk's receipts stores nothing.
    let is_question = request.uri().path().ends_with("/ack");
    let response = next.run(request).await;
    let is_muted = now == Way::Mute && !is_question && response.status().is_success();
    if is_muted && door.muted[kind as usize].fetch_add(1, Ordering::Relaxed) >= answered(kind) {
        // An error means that the demo is over.
        let _ = way.wait_for(|way| *way != Way::Mute).await;
    }
    response
}
