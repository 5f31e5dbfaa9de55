//! What is acknowledged and what is not, per output and file: from the state and the files alone, so that the command
//! and the server say the same, and the command also without an agent.

use crate::{
    discover::{self, PatternError, Search},
    model::{Known, Nanos, Packing, Point, Sighting},
    parse::{Wanted, parse},
    pipeline::{Live, Output, Settings, Source},
    state::Memory,
    tail::{begins_like, identity_of},
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

/// What an output has counted since the agent started. `records = acknowledged + dead_lettered + pending`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LiveStatus {
    /// Records that were read.
    pub records: u64,
    /// Records that the destination has acknowledged.
    pub acknowledged: u64,
    /// Records that were read and are not acknowledged.
    pub pending: u64,
    /// Records that were put into the dead letters.
    #[serde(default)]
    pub dead_lettered: u64,
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
    sources: Vec<String>,
    outputs: Vec<Taker>,
    wanted: Wanted,
}

/// An output.
#[derive(Debug)]
struct Taker {
    name: String,
    /// Names of sources.
    sources: Vec<String>,
}

impl Taker {
    fn takes(&self, source: &str) -> bool {
        self.sources.iter().any(|taken| taken == source)
    }
}

impl Look {
    /// For the agent with these settings.
    pub fn new(settings: &Settings) -> Result<Look, PatternError> {
        let search = |source: &Source| Search::new(&source.include, &source.exclude, source.rotated_dir.as_deref());
        let taker = |output: &Output| Taker { name: output.name.clone(), sources: output.sources.clone() };
        Ok(Look {
            state_dir: settings.agent.state_dir.display().to_string(),
            searches: settings.sources.iter().map(search).collect::<Result<_, _>>()?,
            sources: settings.sources.iter().map(|source| source.name.clone()).collect(),
            outputs: settings.outputs.iter().map(taker).collect(),
            wanted: Wanted::new(&settings.timestamp, &[]),
        })
    }

    /// The status as of `memory` and the files now. Reads the disk.
    pub fn status(&self, memory: &Memory) -> Status {
        let files = discover::scan(&self.searches).files;
        let of_output = |output: &Taker| {
            let takes = |file: &&Sighting| self.sources.get(file.source).is_some_and(|source| output.takes(source));
            of_output(output, memory, files.iter().filter(takes), &self.wanted)
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
                dead_lettered: numbers.dead_lettered,
                requests: numbers.requests,
                waits: figures.why,
            });
        }
        status
    }
}

fn of_output<'a>(
    output: &Taker,
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
    let is_taken = |known: &&Known| output.takes(&known.origin.source);
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
