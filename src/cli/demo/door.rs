//! The door before the receiver: how the demo makes a destination fail.

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
    /// It reaches the receiver.
    Open,
    /// It is answered with 503 and its lines are not stored.
    Shut,
    /// Its lines are stored, and the answer is held back: the worst moment for a crash of the sender. Only the first
    /// is answered, because a sender that has just met an outage sends one request and waits for its answer.
    Mute,
}

/// A door; clones are the same door.
#[derive(Clone, Debug)]
pub(super) struct Door(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    way: watch::Sender<Way>,
    refused: AtomicU64,
    /// Requests that were stored while the door was mute.
    muted: AtomicU64,
}

impl Door {
    pub(super) fn new() -> Door {
        let way = watch::Sender::new(Way::Open);
        Door(Arc::new(Inner { way, refused: AtomicU64::new(0), muted: AtomicU64::new(0) }))
    }

    /// Puts the door before all routes.
    pub(super) fn before(&self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.clone(), pass))
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

    /// Requests that were stored and whose answer was held back.
    pub(super) fn held(&self) -> u64 {
        self.0.muted.load(Ordering::Relaxed).saturating_sub(1)
    }
}

async fn pass(State(Door(door)): State<Door>, request: Request, next: Next) -> Response {
    let mut way = door.way.subscribe();
    let now = *way.borrow_and_update();
    if now == Way::Shut {
        door.refused.fetch_add(1, Ordering::Relaxed);
        return (StatusCode::SERVICE_UNAVAILABLE, "the demo has made this receiver unreachable\n").into_response();
    }
    let response = next.run(request).await;
    let is_muted = now == Way::Mute && response.status().is_success();
    if is_muted && door.muted.fetch_add(1, Ordering::Relaxed) > 0 {
        // An error means that the demo is over.
        let _ = way.wait_for(|way| *way != Way::Mute).await;
    }
    response
}
