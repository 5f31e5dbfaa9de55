//! Local destinations for trying out, for the demo and for tests: as strict as the real ones, all in memory. They share no
//! code with the outputs, so that the two check each other.

mod elastic;
mod loki;

pub use elastic::{Block, DocumentView, Elastic, ElasticCounts, ElasticOptions, Flavour};
pub use loki::{AuthMode, Counts, EntryView, Limits, Options, Rate, Receiver, StreamView};

use axum::Router;
use std::{future::Future, io};

/// Serves `router` on `listener` until `shutdown` is ready and the requests that are under way are answered.
pub async fn serve(
    listener: tokio::net::TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}
