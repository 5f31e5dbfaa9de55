//! Local destinations for trying out, for the demo and for tests: as strict as the real ones, all in memory. They share no
//! code with the outputs, so that the two check each other.

mod datadog;
mod elastic;
mod faults;
mod loki;
mod splunk;
#[cfg(test)]
mod testing;

pub use datadog::{Datadog, DatadogCounts, DatadogOptions, DatadogSurplus, DatadogView};
pub use elastic::{Block, DocumentView, Elastic, ElasticCounts, ElasticOptions, Flavour};
pub use faults::{Fault, FaultMode, Faults, SeenRequest, with_faults};
pub use loki::{AuthMode, Counts, EntryView, Limits, Options, Rate, Receiver, StreamView};
pub use splunk::{Splunk, SplunkAcks, SplunkCounts, SplunkEventView, SplunkLoad, SplunkOptions, SplunkToken};

use axum::Router;
use std::{future::Future, io};

/// One router that answers for all of `routers`, no two of which may have a path in common.
pub fn all(routers: impl IntoIterator<Item = Router>) -> Router {
    routers.into_iter().fold(Router::new(), Router::merge)
}

/// Serves `router` on `listener` until `shutdown` is ready and the requests that are under way are answered.
pub async fn serve(
    listener: tokio::net::TcpListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}
