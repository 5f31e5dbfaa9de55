//! `auditship receiver`

use super::{
    Failure,
    table::{count, table},
};
use crate::receiver::{
    self, AuthMode, Datadog, DatadogOptions, Elastic, ElasticOptions, Faults, Options, Receiver, Splunk,
    SplunkOptions, serve, with_faults,
};
use clap::Args;
use std::{io, net::SocketAddr, path::PathBuf};
use tokio::signal::unix::{SignalKind, signal};

/// Arguments of `auditship receiver`.
#[derive(Debug, Args)]
pub(super) struct ReceiverArgs {
    /// Where to listen, such as 127.0.0.1:3100; port 0 takes a free one. The address is printed
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3100")]
    listen: SocketAddr,
    /// Append every entry that Loki accepted to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Demand X-Scope-OrgID, like a Loki with auth_enabled
    #[arg(long)]
    multi_tenant: bool,
    /// Loki: keep hashes and counts of the lines only: it then answers no queries for them, and needs less memory
    #[arg(long)]
    discard_lines: bool,
}

pub(super) fn receive(args: &ReceiverArgs) -> Result<(), Failure> {
    let options = Options {
        auth: if args.multi_tenant { AuthMode::MultiTenant } else { AuthMode::Single },
        log: args.log.clone(),
        keep_lines: !args.discard_lines,
        ..Options::default()
    };
    let failed = |error: io::Error| Failure::Failed(format!("receiver: {error}"));
    let receiver = Receiver::new(options).map_err(failed)?;
    let elastic = Elastic::new(ElasticOptions::default());
    let splunk = Splunk::new(SplunkOptions::default());
    let datadog = Datadog::new(DatadogOptions::default());
    let routers = [receiver.router(), elastic.router(), splunk.router(), datadog.router()];
    let router = with_faults(receiver::all(routers), Faults::new());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let listener = tokio::net::TcpListener::bind(args.listen)
            .await
            .map_err(|error| Failure::Usage(format!("receiver: cannot listen on {}: {error}", args.listen)))?;
        // Scripts wait for this line.
        println!("listening on http://{}", listener.local_addr().map_err(failed)?);
        let end = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        serve(listener, router, end).await.map_err(failed)
    })?;
    let (loki, elastic, splunk, datadog) = (receiver.counts(), elastic.counts(), splunk.counts(), datadog.counts());
    // Without separators, for programs.
    println!(
        "Loki: {} requests, {} entries accepted, {} duplicates, {} rejected, {} streams",
        loki.requests, loki.accepted, loki.duplicates, loki.rejected, loki.streams
    );
    let row = |name: &str, numbers: [u64; 4]| [vec![name.to_owned()], numbers.map(count).to_vec()].concat();
    let rows = [
        row("Loki", [loki.requests, loki.accepted, loki.duplicates, loki.rejected]),
        row(
            "Elasticsearch",
            [elastic.requests, elastic.created, elastic.conflicts, elastic.rejected + elastic.failed],
        ),
        row("Splunk HEC", [splunk.requests, splunk.accepted, splunk.duplicates, splunk.rejected]),
        row(
            "Datadog",
            [datadog.requests, datadog.accepted, datadog.duplicates, datadog.dropped_old + datadog.dropped_surplus],
        ),
    ];
    println!("{}", table(&["destination", "requests", "stored", "came again", "refused or dropped"], &rows));
    Ok(())
}
