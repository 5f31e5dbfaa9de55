//! What is acknowledged and what is not, per output and file: from the state and the files alone, so that the command
//! and the server say the same, and the command also without an agent.

use crate::{
    discover::{self, PatternError, Search},
    model::{Known, Nanos, Packing, Point, Sighting},
    parse::{Wanted, parse},
    pipeline::{Live, Settings},
    state::Memory,
    tail::begins_like,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, HashSet},
    fs::File,
    os::unix::fs::FileExt as _,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// Of an agent, running or not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Whose it is.
    pub state_dir: String,
    /// Of an agent that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentStatus>,
    /// In configuration order.
    pub outputs: Vec<OutputStatus>,
}

/// Of an agent that runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AgentStatus {
    /// Its version.
    pub version: String,
    /// Since it started.
    pub uptime_seconds: u64,
    /// Whether its first scan is complete.
    pub is_scanned: bool,
    /// Paths that were found and cannot be read.
    pub unreadable: Vec<String>,
    /// The thread that does not get on, if there is one.
    pub stuck: Option<String>,
}

/// Of one output.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OutputStatus {
    /// Its name.
    pub output: String,
    /// Why it waits; absent while it flows.
    pub stalled: Option<String>,
    /// Since when.
    pub stalled_since: Option<String>,
    /// Over its files.
    pub behind_bytes: u64,
    /// Of these, what only deleted files, or the spool, hold.
    pub deleted_bytes: u64,
    /// Counts of an agent that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveStatus>,
    /// The furthest behind first.
    pub files: Vec<FileStatus>,
}

/// What an output has counted since the agent started. `records = acknowledged + pending`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LiveStatus {
    /// Records that were read.
    pub records: u64,
    /// Records that the destination has acknowledged.
    pub acknowledged: u64,
    /// Records that were read and are not acknowledged.
    pub pending: u64,
    /// Requests, repeated ones included.
    pub requests: u64,
    /// Why it waits, from the first failed attempt on.
    pub waits: Option<String>,
}

/// Of one file at one output.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FileStatus {
    /// Its name at the destination; absent before the agent has seen it.
    pub file: Option<String>,
    /// Where it is, or was last.
    pub path: String,
    /// Of the content, whatever it is kept in.
    pub size: Option<u64>,
    /// Bytes.
    pub acknowledged: u64,
    /// Bytes.
    pub behind_bytes: u64,
    /// Of these, what only the deleted file, or the spool, holds.
    pub deleted_bytes: u64,
    /// Records that were acknowledged.
    pub records: u64,
    /// The age of the oldest record that is not acknowledged, by its own time.
    pub oldest_unacknowledged_seconds: Option<u64>,
}

/// How to look: what of the configuration is needed for it.
#[derive(Debug)]
pub struct Look {
    state_dir: String,
    searches: Vec<Search>,
    /// Name, and by source whether it is taken.
    outputs: Vec<(String, Vec<bool>)>,
    wanted: Wanted,
}

impl Look {
    /// For the agent with these settings.
    pub fn new(settings: &Settings) -> Result<Look, PatternError> {
        let sources = &settings.sources;
        let search = |source: &crate::pipeline::Source| {
            Search::new(&source.include, &source.exclude, source.rotated_dir.as_deref())
        };
        let takes = |output: &crate::pipeline::Output| {
            sources.iter().map(|source| output.sources.contains(&source.name)).collect()
        };
        Ok(Look {
            state_dir: settings.agent.state_dir.display().to_string(),
            searches: sources.iter().map(search).collect::<Result<_, _>>()?,
            outputs: settings.outputs.iter().map(|output| (output.name.clone(), takes(output))).collect(),
            wanted: Wanted::new(&settings.timestamp, &[]),
        })
    }

    /// The status as of `memory` and the files now. Reads the disk.
    pub fn status(&self, memory: &Memory) -> Status {
        let files = discover::scan(&self.searches).files;
        let of_output = |(name, takes): &(String, Vec<bool>)| {
            let files = files.iter().filter(|file| takes.get(file.source) == Some(&true));
            of_output(name, memory, files, &self.wanted)
        };
        let outputs = self.outputs.iter().map(of_output).collect();
        Status { state_dir: self.state_dir.clone(), agent: None, outputs }
    }

    /// The same of the agent that this is, with what it counts. Reads the disk.
    pub fn live_status(&self, live: &Live) -> Status {
        let mut status = self.status(&live.memory());
        let figures = live.figures();
        status.agent = Some(AgentStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: figures.uptime.as_secs(),
            is_scanned: live.is_scanned(),
            unreadable: live.unreadable(),
            stuck: live.stuck(),
        });
        for (output, figures) in status.outputs.iter_mut().zip(figures.outputs) {
            let numbers = figures.numbers;
            output.live = Some(LiveStatus {
                records: numbers.records,
                acknowledged: numbers.acknowledged,
                pending: numbers.pending,
                requests: numbers.requests,
                waits: figures.why,
            });
        }
        status
    }
}

fn of_output<'a>(
    output: &str,
    memory: &Memory,
    files: impl Iterator<Item = &'a Sighting>,
    wanted: &Wanted,
) -> OutputStatus {
    // The newest content of each file.
    let mut by_place: HashMap<(u64, u64), &Known> = HashMap::new();
    let mut by_generation: Vec<_> = memory.files.values().filter(|known| !known.is_deleted).collect();
    by_generation.sort_by_key(|known| known.generation);
    by_place.extend(by_generation.into_iter().map(|known| (known.identity.place(), known)));
    let cursors = memory.cursors.get(output);
    let point = |known: &Known| cursors.and_then(|cursors| cursors.get(&known.origin.name));
    let mut rows = Vec::new();
    let mut shown = HashSet::new();
    for file in files {
        let known = by_place.get(&(file.device, file.inode)).copied();
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
    for known in memory.files.values().filter(|known| !shown.contains(&known.origin.name)) {
        let row = row(Path::new(&known.seen_at), Some(known.size), Some(known), point(known), wanted);
        if cursors.is_some() && row.behind_bytes > 0 {
            rows.push(row);
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
        deleted_bytes: rows.iter().map(|row| row.deleted_bytes).sum(),
        live: None,
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
