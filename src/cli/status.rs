//! `auditship status`: from the state folder and the files alone, so that it works beside a running agent and without
//! one.

use super::{
    ConfigArgs, Failure,
    table::{bytes, count, table},
};
use crate::{
    config::chain,
    discover::{self, Search},
    model::{Known, Nanos, Packing, Point, Sighting},
    parse::{Wanted, parse},
    pipeline::{Output, Settings},
    state::{self, Memory},
    tail::{begins_like, identity_of},
};
use clap::Args;
use serde::Serialize;
use std::{
    collections::{HashMap, HashSet},
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
    /// Of these, what only deleted files, or the spool, hold.
    deleted_bytes: u64,
    files: Vec<FileStatus>,
}

#[derive(Debug, Serialize)]
struct FileStatus {
    /// Its name at the destination; absent before the agent has seen it.
    file: Option<String>,
    /// Where it is, or was last.
    path: String,
    /// Of the content, whatever it is kept in.
    size: Option<u64>,
    acknowledged: u64,
    behind_bytes: u64,
    deleted_bytes: u64,
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
        of_output(output, &memory, files.iter().filter(|file| takes(file)), &wanted)
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
        .map(|source| Search::new(&source.include, &source.exclude, source.rotated_dir.as_deref()))
        .collect::<Result<Vec<_>, discover::PatternError>>();
    let searches = searches.map_err(|error| Failure::Usage(chain(&error)))?;
    Ok(discover::scan(&searches).files)
}

fn of_output<'a>(
    output: &Output,
    memory: &Memory,
    files: impl Iterator<Item = &'a Sighting>,
    wanted: &Wanted,
) -> OutputStatus {
    let mut by_place: HashMap<(u64, u64), Vec<&Known>> = HashMap::new();
    for known in memory.files.values().filter(|known| !known.is_deleted) {
        by_place.entry(known.identity.place()).or_default().push(known);
    }
    let cursors = memory.cursors.get(&output.name);
    let point = |known: &Known| cursors.and_then(|cursors| cursors.get(&known.origin.name));
    let mut rows = Vec::new();
    let mut shown = HashSet::new();
    for file in files {
        let known = by_place.get(&(file.device, file.inode)).and_then(|all| newest(all, &file.path));
        shown.extend(known.map(|known| known.origin.name));
        match known {
            Some(known) => {
                let size = if known.packing == Packing::Plain { file.size } else { known.size };
                rows.push(row(&file.path, Some(size), Some(known), point(known), wanted));
            }
            // A copy of what is known already is read from there.
            None if file.family.is_rotated && memory.files.values().any(|known| begins_like(&file.path, known)) => {}
            None => rows.push(row(&file.path, Some(file.size), None, None, wanted)),
        }
    }
    // Renamed out of sight, or deleted: the agent may still hold them.
    let is_taken = |known: &&Known| output.sources.iter().any(|source| **source == *known.origin.source);
    for known in memory.files.values().filter(is_taken).filter(|known| !shown.contains(&known.origin.name)) {
        let row = row(Path::new(&*known.seen_at), Some(known.size), Some(known), point(known), wanted);
        if row.behind_bytes > 0 && !known.is_lost {
            rows.push(row);
        }
    }
    rows.sort_by(|a, b| b.behind_bytes.cmp(&a.behind_bytes).then_with(|| a.path.cmp(&b.path)));
    let health = memory.health.get(&output.name);
    let stalled = health.and_then(|health| health.stalled.clone());
    OutputStatus {
        output: output.name.clone(),
        stalled_since: health.filter(|_| stalled.is_some()).map(|health| health.since.to_string()),
        stalled,
        behind_bytes: rows.iter().map(|row| row.behind_bytes).sum(),
        deleted_bytes: rows.iter().map(|row| row.deleted_bytes).sum(),
        files: rows,
    }
}

fn row(path: &Path, size: Option<u64>, known: Option<&Known>, point: Option<&Point>, wanted: &Wanted) -> FileStatus {
    let acknowledged = point.map_or(0, |point| point.at);
    let behind_bytes = size.map_or(0, |size| size.saturating_sub(acknowledged));
    let is_deleted = known.is_some_and(|known| known.is_deleted);
    let is_plain = known.is_none_or(|known| known.packing == Packing::Plain);
    let age = || if is_plain && !is_deleted { age_at(path, acknowledged, wanted) } else { None };
    FileStatus {
        file: known.map(|known| known.origin.name.to_string()),
        path: path.display().to_string(),
        size,
        acknowledged,
        behind_bytes,
        deleted_bytes: if is_deleted { behind_bytes } else { 0 },
        records: point.map_or(0, |point| point.seq),
        oldest_unacknowledged_seconds: if behind_bytes > 0 { age() } else { None },
    }
}

/// The newest content of the file at `path`: of an inode that was used again the birth time tells.
fn newest<'k>(all: &[&'k Known], path: &Path) -> Option<&'k Known> {
    let birth = identity_of(path).and_then(|identity| identity.birth);
    let is_its = |known: &&&Known| known.identity.birth.is_none() || birth.is_none() || known.identity.birth == birth;
    all.iter().filter(is_its).max_by_key(|known| known.generation).copied()
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
        let deleted = match output.deleted_bytes {
            0 => String::new(),
            deleted => format!(", {} of it in deleted files", bytes(deleted)),
        };
        println!("{}: {state}; {} behind{deleted}", output.output, bytes(output.behind_bytes));
        let rows: Vec<Vec<String>> = output.files.iter().take(ROWS).map(cells).collect();
        let heads = ["file", "size", "acknowledged", "behind", "deleted", "records", "oldest unacknowledged"];
        println!("{}", table(&heads, &rows));
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
        if file.deleted_bytes > 0 { bytes(file.deleted_bytes) } else { "-".into() },
        count(file.records),
        file.oldest_unacknowledged_seconds.map_or_else(|| "-".into(), |seconds| format!("{} s", count(seconds))),
    ]
}
