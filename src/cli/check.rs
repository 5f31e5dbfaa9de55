//! `auditship check`

use super::{ConfigArgs, Failure, table::table};
use crate::{
    config,
    pipeline::{self, Connection},
};
use clap::Args;

/// Arguments of `auditship check`.
#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Also send each output an empty request: is it there, and does it take our credentials?
    #[arg(long)]
    connect: bool,
}

pub(super) fn check(args: &CheckArgs) -> Result<(), Failure> {
    let settings = args.config.load()?;
    for warning in config::check_surroundings(&settings)? {
        println!("warning: {warning}");
    }
    println!("the configuration is right: {} sources, {} outputs", settings.sources.len(), settings.outputs.len());
    if !args.connect {
        return Ok(());
    }
    let connections = pipeline::try_outputs(settings).map_err(|error| Failure::Failed(config::chain(&error)))?;
    let rows: Vec<Vec<String>> = connections
        .iter()
        .map(|Connection { output, problem }| {
            vec![output.clone(), problem.clone().unwrap_or_else(|| "accepts".into())]
        })
        .collect();
    println!("{}", table(&["output", "answer"], &rows));
    let failed = connections.iter().filter(|connection| connection.problem.is_some()).count();
    if failed == 0 {
        Ok(())
    } else {
        Err(Failure::Failed(format!("{failed} of {} outputs do not accept", rows.len())))
    }
}
