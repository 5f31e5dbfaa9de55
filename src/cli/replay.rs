//! `auditship replay`

use super::{
    ConfigArgs, Failure,
    table::{count, table},
};
use crate::{
    config,
    pipeline::{self, ReplayError},
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal as _;

/// So many refused records are shown.
const SHOWN: usize = 20;

/// Arguments of `auditship replay`.
#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The output whose dead letters are sent again
    #[arg(long, value_name = "NAME")]
    output: String,
    /// Do not send: have the running agent put this record, which stalls it, into the dead letters. Its id is in the log
    #[arg(long, value_name = "ID")]
    skip: Option<String>,
}

pub(super) fn replay(args: &ReplayArgs) -> Result<(), Failure> {
    let settings = args.config.load()?;
    let failure = |error: ReplayError| match error {
        ReplayError::NoOutput(_) | ReplayError::OtherKind { .. } => Failure::Usage(config::chain(&error)),
        ReplayError::File { .. } | ReplayError::System(_) => Failure::Failed(config::chain(&error)),
    };
    if let Some(id) = &args.skip {
        pipeline::skip(&settings, &args.output, id).map_err(failure)?;
        println!("{id} goes into the dead letters of {} as soon as the agent waits for it", args.output);
        return Ok(());
    }
    let bar = std::io::stderr().is_terminal().then(|| {
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} letters, {eta} left");
        ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    });
    let replayed = pipeline::replay(settings, &args.output, |tried, all| {
        if let Some(bar) = &bar {
            bar.set_length(all as u64);
            bar.set_position(tried as u64);
        }
    })
    .map_err(failure)?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let left = replayed.letters - replayed.delivered;
    println!("{} letters, {} delivered, {} left", count(replayed.letters as u64), replayed.delivered, left);
    if !replayed.refused.is_empty() {
        let rows = replayed.refused.iter().take(SHOWN).map(|(id, reason)| vec![id.clone(), reason.clone()]);
        println!("{}", table(&["refused again", "reason"], &rows.collect::<Vec<_>>()));
    }
    match replayed.stalled {
        Some(why) => Err(Failure::Failed(format!("the destination does not take them now: {why}"))),
        None if left > 0 => Err(Failure::Failed(format!("{left} letters are refused again; they are kept"))),
        None => Ok(()),
    }
}
