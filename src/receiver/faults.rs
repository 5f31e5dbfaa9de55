//! Faults on demand, for any receiver: wrong answers, slow ones, none at all, and connections that are cut when the
//! request is stored already. And a log of all requests, which shows what was sent again.
//!
//! A request takes the first fault that it matches and that has not ended. One that it would match but for its share is
//! passed over. The control paths, `/_faults` and `/_requests`, have no faults and are not in the log.

mod form;
mod seen;
#[cfg(test)]
mod tests;

pub use form::{Fault, FaultMode};
pub use seen::SeenRequest;

use axum::{
    RequestExt as _, Router,
    body::{Body, Bytes, HttpBody as _},
    extract::{DefaultBodyLimit, Request, State},
    http::{StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing,
};
use seen::Log;
use std::{
    future::{pending, poll_fn},
    num::NonZeroU64,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// The most bytes of a request that are read; more are answered with 413. It is more than any receiver takes.
const MAX_BODY: usize = 256 << 20;

/// The faults that requests meet now, and the log of requests. Clones share both.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    set: Mutex<Vec<Live>>,
    log: Mutex<Log>,
    /// Changes when `set` is set: what was swallowed until then is cut off.
    changed: watch::Sender<()>,
}

/// A fault and what is left of it.
#[derive(Debug)]
struct Live {
    /// With the count that is left.
    fault: Fault,
    since: Instant,
    chance: fastrand::Rng,
}

impl Live {
    /// The fault with the time and the count that are left. `None`: it has ended.
    fn left(&self, now: Instant) -> Option<Fault> {
        let mut fault = self.fault.clone();
        if let Some(total) = fault.duration {
            let left = total.checked_sub(now - self.since).filter(|left| !left.is_zero())?;
            fault.duration = Some(left);
        }
        (fault.count != Some(0)).then_some(fault)
    }

    /// Whether a request for `path` meets it.
    fn meets(&mut self, path: &str, now: Instant) -> bool {
        let meets =
            path.starts_with(&self.fault.path) && self.left(now).is_some() && self.chance.f64() < self.fault.share;
        if meets && let Some(count) = &mut self.fault.count {
            *count -= 1;
        }
        meets
    }
}

impl Faults {
    /// No faults, and an empty log.
    pub fn new() -> Faults {
        Faults::default()
    }

    /// From now on these faults, in this order, instead of those before. Requests that a fault swallowed are cut off.
    pub fn set(&self, faults: Vec<Fault>) {
        let since = Instant::now();
        let live = |fault: Fault| Live { chance: fastrand::Rng::with_seed(fault.seed), fault, since };
        *lock(&self.0.set) = faults.into_iter().map(live).collect();
        self.0.changed.send_replace(());
    }

    /// From now on no faults.
    pub fn clear(&self) {
        self.set(Vec::new());
    }

    /// The faults that have not ended, with the time and the count that are left.
    pub fn get(&self) -> Vec<Fault> {
        let now = Instant::now();
        lock(&self.0.set).iter().filter_map(|live| live.left(now)).collect()
    }

    /// The last 10,000 requests, in the order in which they began.
    pub fn requests(&self) -> Vec<SeenRequest> {
        lock(&self.0.log).view()
    }

    /// The fault that a request for `path` meets.
    fn meet(&self, path: &str) -> Option<Fault> {
        let now = Instant::now();
        lock(&self.0.set).iter_mut().find_map(|live| live.meets(path, now).then(|| live.fault.clone()))
    }
}

/// The receiver behind `router`, with faults and the control paths: `GET`, `PUT` and `DELETE` of `/_faults`, and `GET` of
/// `/_requests`.
pub fn with_faults(router: Router, faults: Faults) -> Router {
    let control = Router::new()
        .route("/_faults", routing::get(get_handler).put(put_handler).delete(delete_handler))
        .route("/_requests", routing::get(requests_handler))
        .with_state(faults.clone());
    // In this order: of two that answer 404 to all else, the merged one stays, and that one has the faults.
    control.merge(router.layer(from_fn_with_state(faults, meet)))
}

async fn meet(State(faults): State<Faults>, request: Request, next: Next) -> Response {
    let mut changed = faults.0.changed.subscribe();
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let nth = lock(&faults.0.log).begin(path);
    let fault = faults.meet(path);
    let speed = match &fault {
        Some(Fault { mode: FaultMode::Slow { bytes_per_second }, .. }) => Some(*bytes_per_second),
        _ => None,
    };
    let (body, failure) = read(body, MAX_BODY, speed).await;
    lock(&faults.0.log).arrived(nth, body.len());
    if let Some(status) = failure {
        return status.into_response();
    }
    let delay = fault.as_ref().map_or(Duration::ZERO, |fault| fault.delay);
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let request = Request::from_parts(parts, Body::from(body));
    let response = match fault.map(|fault| fault.mode) {
        None | Some(FaultMode::Delay | FaultMode::Slow { .. }) => next.run(request).await,
        Some(FaultMode::Answer { status, headers, body }) => (status, headers, Body::from(body)).into_response(),
        Some(FaultMode::StoreThenDrop) => {
            next.run(request).await;
            return cut_off();
        }
        Some(FaultMode::Swallow) => {
            if changed.changed().await.is_err() {
                pending::<()>().await;
            }
            return cut_off();
        }
    };
    lock(&faults.0.log).answered(nth, response.status());
    response
}

/// An answer of which nothing arrives: its body fails before the server has written its head, and so the server closes
/// the connection instead. Its status is none of success, should a server ever write it.
fn cut_off() -> Response {
    // A body that announces one byte and has two.
    let mut announced = Request::new(Body::from("xx"));
    DefaultBodyLimit::max(1).apply(&mut announced);
    (StatusCode::INTERNAL_SERVER_ERROR, announced.with_limited_body().into_body()).into_response()
}

/// What can be read of a body, and the status of an answer if that is not all of it.
async fn read(mut body: Body, limit: usize, speed: Option<NonZeroU64>) -> (Bytes, Option<StatusCode>) {
    let mut bytes = Vec::new();
    let mut failure = None;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let Ok(frame) = frame else {
            failure = Some(StatusCode::BAD_REQUEST);
            break;
        };
        let Ok(data) = frame.into_data() else { continue };
        if bytes.len() + data.len() > limit {
            failure = Some(StatusCode::PAYLOAD_TOO_LARGE);
            break;
        }
        bytes.extend_from_slice(&data);
        if let Some(speed) = speed {
            let nanos = (data.len() as u64).saturating_mul(1_000_000_000) / speed;
            tokio::time::sleep(Duration::from_nanos(nanos)).await;
        }
    }
    (bytes.into(), failure)
}

async fn get_handler(State(faults): State<Faults>) -> Response {
    json(form::write(&faults.get()))
}

async fn put_handler(State(faults): State<Faults>, body: Body) -> Response {
    /// Faults are written by people.
    const MAX_FORM: usize = 1 << 20;
    let (body, failure) = read(body, MAX_FORM, None).await;
    match failure.map_or_else(|| Fault::parse(&body), |status| Err(status.to_string())) {
        Ok(set) => {
            faults.set(set);
            json(form::write(&faults.get()))
        }
        Err(text) => (StatusCode::BAD_REQUEST, text + "\n").into_response(),
    }
}

async fn delete_handler(State(faults): State<Faults>) -> StatusCode {
    faults.clear();
    StatusCode::NO_CONTENT
}

async fn requests_handler(State(faults): State<Faults>) -> Response {
    json(serde_json::to_string(&faults.requests()).unwrap_or_default())
}

fn json(text: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response()
}

/// What is locked stays consistent between any two statements, so a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
