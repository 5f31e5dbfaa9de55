//! Admin: what the agent shows of itself while it runs, over HTTP and to the service manager. Only looks at what the
//! pipeline puts down ([`Live`]); nothing here can hold up shipping, and nothing that goes wrong here ends it.
//!
//! `/livez`, `/readyz`, `/metrics`, `/api/status`, and `/`, a page. Health is answered to everybody; the rest to
//! whoever shows the token of `agent.admin_token_file`, or to this machine when there is none. Every connection takes
//! one request and is bounded in bytes and time.

mod access;
mod ask;
mod connections;
mod metrics;
mod notify;
mod page;
mod status;
#[cfg(test)]
mod tests;

pub use ask::{AskError, ask};
pub use notify::Notifier;
pub use status::{AgentStatus, FileStatus, LiveStatus, Look, OutputStatus, Status};

use crate::{
    discover::PatternError,
    pipeline::{Admin, Live, Moment, Settings},
    send::SecretError,
};
use axum::{
    Router,
    extract::State,
    http::{HeaderName, StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use std::{
    io,
    net::TcpListener,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// A status that is not older than this is good enough: making one reads the disk.
const STATUS_AGE: Duration = Duration::from_secs(1);
/// So much of a path is shown to everybody …
const SHOWN_PATH: usize = 200;
/// … and so many of them.
const SHOWN_PATHS: usize = 10;

/// Shows one run.
#[derive(Debug)]
pub struct Showing {
    server: Option<(Admin, Look)>,
    notifier: Option<Notifier>,
    live: Option<Arc<Live>>,
}

impl Showing {
    /// Of an agent with these settings; `serves`: over HTTP too. The service manager is found in the environment.
    pub fn new(settings: &Settings, serves: bool) -> Result<Showing, PatternError> {
        let server = match &settings.agent.admin {
            Some(admin) if serves => Some((admin.clone(), Look::new(settings)?)),
            _ => None,
        };
        Ok(Showing { server, notifier: Notifier::from_env(), live: None })
    }

    /// Takes in what the run tells. Within a tokio runtime.
    pub fn take(&mut self, moment: &Moment) {
        match moment {
            Moment::Started(live) => {
                if let Some((admin, look)) = self.server.take() {
                    serve(admin, look, Arc::clone(live));
                }
                self.live = Some(Arc::clone(live));
            }
            Moment::Tick(_) => {
                if let (Some(notifier), Some(live)) = (&mut self.notifier, &self.live) {
                    notifier.tick(live, Instant::now());
                }
            }
            Moment::Stopping => {
                if let Some(notifier) = &mut self.notifier {
                    notifier.stopping();
                }
            }
        }
    }
}

/// What the answers are made from.
#[derive(Debug)]
struct Desk {
    admin: Admin,
    look: Arc<Look>,
    live: Arc<Live>,
    /// The last status, and when it was made. Held while one is made: the disk is read once at a time.
    status: Mutex<Option<(Instant, String)>>,
    /// It was said that the token cannot be read.
    is_tokenless: AtomicBool,
}

/// Without a port the agent ships on.
fn serve(admin: Admin, look: Look, live: Arc<Live>) {
    let listener = match listen(&admin) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(
                admin = %admin.address, %error,
                "the admin server cannot listen here: no metrics, health and status page; shipping goes on without. \
                 Set agent.admin to another port, or \"off\""
            );
            return;
        }
    };
    match listener.local_addr() {
        Ok(address) => tracing::info!(admin = %address, "metrics, health and a status page are served"),
        Err(error) => tracing::info!(%error, "metrics, health and a status page are served"),
    }
    let desk =
        Desk { admin, look: Arc::new(look), live, status: Mutex::default(), is_tokenless: AtomicBool::new(false) };
    // It ends with the runtime.
    tokio::spawn(axum::serve(connections::Door::new(listener), router(Arc::new(desk))).into_future());
}

fn listen(admin: &Admin) -> io::Result<tokio::net::TcpListener> {
    let listener = TcpListener::bind(admin.address)?;
    listener.set_nonblocking(true)?;
    tokio::net::TcpListener::from_std(listener)
}

fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/", get(page::page))
        .route("/metrics", get(metrics_handler))
        .route("/api/status", get(status_handler))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&desk), access::check))
        // Everything below is for everybody.
        .route("/livez", get(livez_handler))
        .route("/readyz", get(readyz_handler))
        .layer(middleware::map_response(finish))
        .with_state(desk)
}

/// One request per connection, nothing is kept, nothing is guessed.
async fn finish(response: Response) -> impl IntoResponse {
    let headers: [(HeaderName, &str); 3] = [
        (header::CONNECTION, "close"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, response)
}

async fn livez_handler(State(desk): State<Arc<Desk>>) -> Response {
    match desk.live.stuck() {
        None => "ok\n".into_response(),
        Some(stuck) => (StatusCode::SERVICE_UNAVAILABLE, stuck + "\n").into_response(),
    }
}

async fn readyz_handler(State(desk): State<Arc<Desk>>) -> Response {
    match unready(desk.live.is_scanned(), &desk.live.unreadable()) {
        None => "ok\n".into_response(),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
    }
}

/// Why the agent is not ready, if so. A destination that is down changes nothing: who has the files is ready.
fn unready(is_scanned: bool, unreadable: &[String]) -> Option<String> {
    if !is_scanned {
        return Some("the first scan is not complete\n".to_owned());
    }
    if unreadable.is_empty() {
        return None;
    }
    let mut text = format!("{} paths cannot be read:\n", unreadable.len());
    for path in unreadable.iter().take(SHOWN_PATHS) {
        let shown: String = path.chars().take(SHOWN_PATH).flat_map(char::escape_debug).collect();
        let rest = if path.chars().nth(SHOWN_PATH).is_some() { "…" } else { "" };
        text.push_str(&format!("  {shown}{rest}\n"));
    }
    if unreadable.len() > SHOWN_PATHS {
        text.push_str(&format!("  (and {} more)\n", unreadable.len() - SHOWN_PATHS));
    }
    Some(text)
}

async fn metrics_handler(State(desk): State<Arc<Desk>>) -> Response {
    match metrics::render(desk.live.figures()) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        // Writing to a string does not fail.
        Err(fmt_error) => broken(&fmt_error.to_string()),
    }
}

async fn status_handler(State(desk): State<Arc<Desk>>) -> Response {
    let mut last = desk.status.lock().await;
    let text = match &*last {
        Some((made, text)) if made.elapsed() < STATUS_AGE => text.clone(),
        _ => {
            let (look, live) = (Arc::clone(&desk.look), Arc::clone(&desk.live));
            let made = tokio::task::spawn_blocking(move || serde_json::to_string(&look.live_status(&live))).await;
            match made {
                Ok(Ok(text)) => last.insert((Instant::now(), text)).1.clone(),
                Ok(Err(error)) => return broken(&error.to_string()),
                Err(error) => return broken(&error.to_string()),
            }
        }
    };
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

fn broken(why: &str) -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, format!("{why}\n")).into_response()
}

/// The token cannot be read. Said once until it can.
fn alarm_token(error: &SecretError) {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    tracing::warn!(
        "agent.admin_token_file: {error}{cause}; until it can be read only /livez and /readyz are answered"
    );
}
