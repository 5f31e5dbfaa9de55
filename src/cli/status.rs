//! `auditship status`: from the state folder and the files alone, so that it works beside a running agent and without
//! one.

use super::{
    ConfigArgs, Failure,
    table::{bytes, count, table},
};
use crate::{
    config::chain,
    discover::{self, Search},
    model::{FileName, Nanos, Point, Sighting},
    parse::{Wanted, parse},
    pipeline::Settings,
    state::{self, Memory},
};
use clap::Args;
use serde::Serialize;
use std::{
    collections::HashMap,
    fs::File,
    os::unix::fs::FileExt as _,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

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
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Status {
    outputs: Vec<OutputStatus>,
}

#[derive(Debug, Serialize)]
struct OutputStatus {
    output: String,
    /// Why it waits, and since when; absent while it flows.
    stalled: Option<String>,
    stalled_since: Option<String>,
    /// Over its files.
    behind_bytes: u64,
    files: Vec<FileStatus>,
}

#[derive(Debug, Serialize)]
struct FileStatus {
    /// Its name at the destination; absent before the agent has seen it.
    file: Option<String>,
    path: String,
    size: Option<u64>,
    acknowledged: u64,
    behind_bytes: u64,
    records: u64,
    /// The age of the oldest record that is not acknowledged, by its own time.
    oldest_unacknowledged_seconds: Option<u64>,
}

pub(super) fn status(args: &StatusArgs) -> Result<(), Failure> {
    let settings = args.config.load()?;
    let folder = &settings.agent.state_dir;
    let memory = match state::read(folder) {
        Ok(memory) => memory,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(Failure::Failed(format!("{}: {error}", folder.display()))),
    };
    if memory.is_none() {
        eprintln!("no state in {} yet: the agent has not run with this configuration", folder.display());
    }
    let memory = memory.unwrap_or_default();
    let files = on_disk(&settings)?;
    let wanted = Wanted::new(&settings.timestamp, &[]);
    let outputs = settings.outputs.iter().map(|output| {
        let takes = |file: &Sighting| {
            settings.sources.get(file.source).is_some_and(|source| output.sources.contains(&source.name))
        };
        of_output(&output.name, &memory, files.iter().filter(|file| takes(file)), &wanted)
    });
    let status = Status { outputs: outputs.collect() };
    if args.json {
        let text = serde_json::to_string_pretty(&status).map_err(|error| Failure::Failed(chain(&error)))?;
        println!("{text}");
    } else {
        show(&status);
    }
    Ok(())
}

fn on_disk(settings: &Settings) -> Result<Vec<Sighting>, Failure> {
    let searches = settings
        .sources
        .iter()
        .map(|source| Search::new(&source.include, &source.exclude))
        .collect::<Result<Vec<_>, discover::PatternError>>();
    let searches = searches.map_err(|error| Failure::Usage(chain(&error)))?;
    Ok(discover::scan(&searches).files)
}

fn of_output<'a>(
    output: &str,
    memory: &Memory,
    files: impl Iterator<Item = &'a Sighting>,
    wanted: &Wanted,
) -> OutputStatus {
    // The newest content of each file.
    let mut known: HashMap<(u64, u64), FileName> = HashMap::new();
    let mut by_generation: Vec<_> = memory.files.values().collect();
    by_generation.sort_by_key(|known| known.generation);
    for file in by_generation {
        known.insert((file.identity.device, file.identity.inode), file.origin.name);
    }
    let cursors = memory.cursors.get(output);
    let mut rows = Vec::new();
    let mut shown = Vec::new();
    for file in files {
        let name = known.get(&(file.device, file.inode)).copied();
        shown.extend(name);
        let point = name.and_then(|name| cursors?.get(&name));
        rows.push(row(&file.path, Some(file.size), name, point, wanted));
    }
    // Renamed or deleted: the agent may still hold them.
    for (name, point) in cursors.into_iter().flatten().filter(|(name, _)| !shown.contains(name)) {
        if let Some(known) = memory.files.get(name) {
            rows.push(row(Path::new(&known.origin.path), None, Some(*name), Some(point), wanted));
        }
    }
    rows.sort_by(|a, b| b.behind_bytes.cmp(&a.behind_bytes).then_with(|| a.path.cmp(&b.path)));
    let health = memory.health.get(output);
    let stalled = health.and_then(|health| health.stalled.clone());
    OutputStatus {
        output: output.to_owned(),
        stalled_since: health.filter(|_| stalled.is_some()).map(|health| health.since.to_string()),
        stalled,
        behind_bytes: rows.iter().map(|row| row.behind_bytes).sum(),
        files: rows,
    }
}

fn row(path: &Path, size: Option<u64>, name: Option<FileName>, point: Option<&Point>, wanted: &Wanted) -> FileStatus {
    let acknowledged = point.map_or(0, |point| point.at);
    let behind_bytes = size.map_or(0, |size| size.saturating_sub(acknowledged));
    FileStatus {
        file: name.map(|name| name.to_string()),
        path: path.display().to_string(),
        size,
        acknowledged,
        behind_bytes,
        records: point.map_or(0, |point| point.seq),
        oldest_unacknowledged_seconds: if behind_bytes > 0 { age_at(path, acknowledged, wanted) } else { None },
    }
}

/// The age of the line at `offset`, by its own time.
fn age_at(path: &Path, offset: u64, wanted: &Wanted) -> Option<u64> {
    let mut bytes = vec![0; 64 * 1024];
    let n = File::open(path).ok()?.read_at(&mut bytes, offset).ok()?;
    let line = bytes[..n].split(|byte| *byte == b'\n').next()?;
    let Nanos(time) = parse(wanted, line).time?.time;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_nanos();
    let age = i128::try_from(now).ok()? - i128::from(time);
    u64::try_from(age / 1_000_000_000).ok()
}

fn show(status: &Status) {
    for output in &status.outputs {
        let state = match (&output.stalled, &output.stalled_since) {
            (Some(text), Some(since)) => format!("waiting since {since}: {text}"),
            _ => "flows".to_owned(),
        };
        println!("{}: {state}; {} behind", output.output, bytes(output.behind_bytes));
        let rows: Vec<Vec<String>> = output.files.iter().take(ROWS).map(cells).collect();
        println!("{}", table(&["file", "size", "acknowledged", "behind", "records", "oldest unacknowledged"], &rows));
        if output.files.len() > ROWS {
            println!("  (and {} more; --json shows all)", output.files.len() - ROWS);
        }
    }
}

fn cells(file: &FileStatus) -> Vec<String> {
    vec![
        file.path.clone(),
        file.size.map_or_else(|| "-".into(), bytes),
        bytes(file.acknowledged),
        bytes(file.behind_bytes),
        count(file.records),
        file.oldest_unacknowledged_seconds.map_or_else(|| "-".into(), |seconds| format!("{} s", count(seconds))),
    ]
}
