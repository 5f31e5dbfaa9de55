//! `auditship status`: from the agent when it runs and can be asked, otherwise from the state folder and the files
//! alone.

use super::{
    ConfigArgs, Failure,
    table::{bytes, count, table},
};
use crate::{
    admin::{self, AskError, FileStatus, Look, OutputStatus, Status},
    config::chain,
    pipeline::Settings,
    state,
};
use clap::Args;

/// Rows of the table; `--json` has all of them.
const ROWS: usize = 40;

/// Arguments of `auditship status`.
#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Everything, as one JSON object
    #[arg(long)]
    json: bool,
    /// Do not ask the agent: read the state folder and the files
    #[arg(long)]
    offline: bool,
}

pub(super) fn status(args: &StatusArgs) -> Result<(), Failure> {
    let settings = args.config.load()?;
    let asked = if args.offline { None } else { ask(&settings) };
    let status = match asked {
        Some(status) => status,
        None => offline(&settings)?,
    };
    if args.json {
        let text = serde_json::to_string_pretty(&status).map_err(|error| Failure::Failed(chain(&error)))?;
        println!("{text}");
    } else {
        show(&status);
    }
    Ok(())
}

/// What the agent says, if it is the one of this configuration.
fn ask(settings: &Settings) -> Option<Status> {
    let admin = settings.agent.admin.as_ref()?;
    let ours = settings.agent.state_dir.display().to_string();
    match admin::ask(admin) {
        Ok(status) if status.state_dir == ours => Some(status),
        Ok(status) => {
            eprintln!("{}: another agent answers there, that of {}", admin.address, status.state_dir);
            None
        }
        // Most likely it does not run.
        Err(AskError::Unreachable(_)) => None,
        Err(error) => {
            eprintln!("{}: {}; reading the state folder instead", admin.address, chain(&error));
            None
        }
    }
}

fn offline(settings: &Settings) -> Result<Status, Failure> {
    let folder = &settings.agent.state_dir;
    let memory = match state::read(folder) {
        Ok(memory) => memory,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Failure::Failed(format!("{}: {error}", folder.display()))),
    };
    if memory.is_none() {
        eprintln!("no state in {} yet: the agent has not run with this configuration", folder.display());
    }
    let look = Look::new(settings).map_err(|error| Failure::Usage(chain(&error)))?;
    Ok(look.status(&memory.unwrap_or_default()))
}

fn show(status: &Status) {
    if let Some(agent) = &status.agent {
        println!("auditship {} has been running for {} s", agent.version, count(agent.uptime_seconds));
        for problem in agent.stuck.iter().cloned().chain(agent.unreadable.iter().map(|p| format!("cannot read {p}")))
        {
            println!("{problem}");
        }
    }
    for output in &status.outputs {
        let state = match (&output.stalled, &output.stalled_since) {
            (Some(text), Some(since)) => format!("waiting since {since}: {text}"),
            _ => "flows".to_owned(),
        };
        let deleted = match output.deleted_bytes {
            0 => String::new(),
            deleted => format!(", {} of it in deleted files", bytes(deleted)),
        };
        println!("{}: {state}; {} behind{deleted}", output.output, bytes(output.behind_bytes));
        show_live(output);
        let rows: Vec<Vec<String>> = output.files.iter().take(ROWS).map(cells).collect();
        let heads = ["file", "size", "acknowledged", "behind", "deleted", "records", "oldest unacknowledged"];
        println!("{}", table(&heads, &rows));
        if output.files.len() > ROWS {
            println!("  (and {} more; --json shows all)", output.files.len() - ROWS);
        }
    }
}

fn show_live(output: &OutputStatus) {
    let Some(live) = &output.live else { return };
    let [records, acknowledged, pending] = [live.records, live.acknowledged, live.pending].map(count);
    println!("  since its start: {records} records read, {acknowledged} acknowledged, {pending} pending");
    if live.dead_lettered > 0 {
        println!("  in the dead letters: {}; send them again with `auditship replay`", count(live.dead_lettered));
    }
    // A stall that is known for long is said above.
    if let Some(waits) = live.waits.as_ref().filter(|_| output.stalled.is_none()) {
        println!("  waiting: {waits}");
    }
}

fn cells(file: &FileStatus) -> Vec<String> {
    vec![
        file.path.clone(),
        file.size.map_or_else(|| "-".into(), bytes),
        bytes(file.acknowledged),
        bytes(file.behind_bytes),
        if file.deleted_bytes > 0 { bytes(file.deleted_bytes) } else { "-".into() },
        count(file.records),
        file.oldest_unacknowledged_seconds.map_or_else(|| "-".into(), |seconds| format!("{} s", count(seconds))),
    ]
}
