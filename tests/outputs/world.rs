//! All four destinations on one port, with faults, and a note of the channels that Splunk's requests named.

use auditship::receiver::{
    self, Datadog, DatadogOptions, Elastic, ElasticOptions, Faults, Options, Receiver, Splunk, SplunkOptions, serve,
    with_faults,
};
use axum::{extract::Request, middleware};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

/// The beginnings of the paths of the four, with the names that the outputs have in these tests.
pub(crate) static PATHS: [(&str, &str); 4] =
    [("loki", "/loki"), ("elastic", "/_bulk"), ("splunk", "/services/collector"), ("datadog", "/api/v2/logs")];

pub(crate) struct World {
    pub(crate) loki: Receiver,
    pub(crate) elastic: Elastic,
    pub(crate) splunk: Splunk,
    pub(crate) datadog: Datadog,
    pub(crate) faults: Faults,
    channels: Arc<Mutex<Vec<String>>>,
    address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl World {
    pub(crate) fn new() -> World {
        World::with(ElasticOptions::default(), SplunkOptions::default())
    }

    pub(crate) fn with(elastic: ElasticOptions, splunk: SplunkOptions) -> World {
        World::of(elastic, splunk, DatadogOptions::default())
    }

    pub(crate) fn of(elastic: ElasticOptions, splunk: SplunkOptions, datadog: DatadogOptions) -> World {
        let loki = Receiver::new(Options::default()).unwrap();
        let (elastic, splunk) = (Elastic::new(elastic), Splunk::new(splunk));
        let datadog = Datadog::new(datadog);
        let faults = Faults::new();
        let routers = [loki.router(), elastic.router(), splunk.router(), datadog.router()];
        let channels = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&channels);
        let note = middleware::from_fn(move |request: Request, next: middleware::Next| {
            if let Some(channel) = request.headers().get("x-splunk-request-channel") {
                let mut noted = noted.lock().unwrap();
                let channel = channel.to_str().unwrap().to_owned();
                if !noted.contains(&channel) {
                    noted.push(channel);
                }
            }
            next.run(request)
        });
        let router = with_faults(receiver::all(routers), faults.clone()).layer(note);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener, router, std::future::pending()));
        World { loki, elastic, splunk, datadog, faults, channels, address, runtime: Some(runtime) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The channels of Splunk's requests, in the order in which they came up.
    pub(crate) fn channels(&self) -> Vec<String> {
        self.channels.lock().unwrap().clone()
    }

    /// How many requests for paths that begin like this were answered with this status.
    pub(crate) fn answered(&self, path: &str, status: u16) -> usize {
        let requests = self.faults.requests();
        requests.iter().filter(|seen| seen.path.starts_with(path) && seen.status == Some(status)).count()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
