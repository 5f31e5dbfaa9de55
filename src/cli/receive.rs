//! `auditship receiver`

use super::Failure;
use crate::receiver::{AuthMode, Options, Receiver, serve};
use clap::Args;
use std::{io, net::SocketAddr, path::PathBuf};
use tokio::signal::unix::{SignalKind, signal};

/// Arguments of `auditship receiver`.
#[derive(Debug, Args)]
pub(super) struct ReceiverArgs {
    /// Where to listen, such as 127.0.0.1:3100; port 0 takes a free one. The address is printed
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:3100")]
    listen: SocketAddr,
    /// Append every accepted entry to this file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Demand X-Scope-OrgID, like a Loki with auth_enabled
    #[arg(long)]
    multi_tenant: bool,
    /// Keep hashes and counts of the lines only: it then answers no queries for them, and needs less memory
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
        serve(listener, receiver.router(), end).await.map_err(failed)
    })?;
    let counts = receiver.counts();
    println!(
        "{} requests, {} entries accepted, {} duplicates, {} rejected, {} streams",
        counts.requests, counts.accepted, counts.duplicates, counts.rejected, counts.streams
    );
    Ok(())
}
