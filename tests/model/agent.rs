//! The agent's file side, with what other threads do for it done when the model says so.

use auditship::{
    frame::{Lines, Settings, Step},
    model::{Chain, FileName, Known, Mark, Point, leaf},
    tail::{Buffer, Burst, Change, Clock, Inspection, Life, Registry, Remembered, Saving, Site, Spool, TailFile},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::Arc,
};

/// Where a record was found: the same line is always at the same place.
pub(super) type Identity = (FileName, u64, u64, Chain);

/// What survives a crash.
#[derive(Default)]
pub(super) struct State {
    pub(super) known: BTreeMap<FileName, Known>,
    pub(super) points: BTreeMap<FileName, Point>,
}

pub(super) struct Agent {
    pub(super) registry: Registry,
    buffer: Buffer,
    pub(super) files: HashMap<u32, (Arc<TailFile>, Point, Lines)>,
    inspections: Vec<Inspection>,
    saves: Vec<Saving>,
    spool: Spool,
    pub(super) log: Vec<String>,
}

impl Agent {
    pub(super) fn start(state: &State, spool: &Path, capacity: usize) -> Agent {
        let remembered = state.known.values().map(|known| Remembered {
            known: known.clone(),
            points: state.points.get(&known.origin.name).copied().into_iter().collect(),
            trail: Vec::new(),
        });
        let site = Site {
            machine: b"machine".to_vec(),
            host: "host".into(),
            sources: vec!["app".into()],
            rotates_elsewhere: vec![false],
            in_turn: vec![false],
            outputs: 1,
            takers: vec![1],
            capacity,
        };
        let (spool, spooled) = Spool::open(spool.to_owned(), 1 << 20);
        let registry = Registry::new(site, remembered.collect(), spooled, Box::new(|| 7));
        let (files, inspections, saves) = Default::default();
        Agent { registry, buffer: Buffer::default(), files, inspections, saves, spool, log: Vec::new() }
    }

    pub(super) fn holds(&self, inode: u64) -> bool {
        self.registry.files().any(|file| file.metadata().unwrap().ino() == inode)
    }

    /// Some of what other threads do for the agent.
    pub(super) fn tend(&mut self, now: Clock, state: &mut State, mut is_done: impl FnMut() -> bool) {
        for inspection in std::mem::take(&mut self.inspections) {
            if !is_done() {
                self.inspections.push(inspection);
                continue;
            }
            let mut changes = Vec::new();
            self.registry.inspected(inspection.run(), now, &mut changes);
            self.apply(changes, state);
        }
        for saving in std::mem::take(&mut self.saves) {
            match is_done() {
                true => self.registry.saved(&self.spool.save(&saving)),
                false => self.saves.push(saving),
            }
        }
    }

    pub(super) fn apply(&mut self, changes: Vec<Change>, state: &mut State) {
        for change in changes {
            self.log.push(tell(&change));
            match change {
                Change::Opened { file, is_remembered } => {
                    if !is_remembered {
                        let before = state.known.insert(file.name(), file.known.clone());
                        assert!(before.is_none(), "a new content has the name of another: {before:?}");
                    }
                    let start = Point::start(file.name());
                    let point = state.points.get(&file.name()).copied().unwrap_or(start);
                    file.set_committed(0, point);
                    self.files.insert(file.key, (file, point, Lines::default()));
                }
                Change::Updated(known) => drop(state.known.insert(known.origin.name, known)),
                Change::Closed { key } => drop(self.files.remove(&key)),
                Change::Forgotten(name) => {
                    state.known.remove(&name);
                    state.points.remove(&name);
                }
                Change::Inspect(inspection) => self.inspections.push(inspection),
                Change::Save(saving) => self.saves.push(saving),
                Change::Unsave(name) => {
                    self.saves.retain(|saving| saving.name != name);
                    self.spool.remove(name);
                }
                Change::Grew
                | Change::PassedOn { .. }
                | Change::Destroyed { .. }
                | Change::Broken { .. }
                | Change::WrittenThoughDeleted { .. }
                | Change::Short { .. } => {}
                Change::Unreadable { path, error } => panic!("{}: {error}", path.display()),
            }
        }
    }

    pub(super) fn read(
        &mut self,
        key: u32,
        now: Clock,
        state: &mut State,
        delivered: &mut HashMap<String, Identity>,
        written: &HashSet<String>,
    ) {
        let settings = Settings::new(Vec::new(), 256 * 1024);
        let Some((file, point, lines)) = self.files.get_mut(&key) else { return };
        if matches!(file.life(), Life::Adrift | Life::Replaced) {
            return;
        }
        match self.buffer.read(file, point.at, &point.mark).unwrap() {
            Burst::Replaced => {
                let mut changes = Vec::new();
                let moves = file.moves();
                self.registry.replaced(key, moves, now, &mut changes);
                self.apply(changes, state);
            }
            Burst::Data { bytes, before } => {
                let mut pos = before;
                while let Step::Record(framed) = lines.next(&settings, &bytes[pos..], point.at) {
                    let line = String::from_utf8(framed.body.to_vec()).unwrap();
                    assert!(written.contains(&line), "torn or foreign: {line:?}");
                    point.seq += 1;
                    point.chain = point.chain.next(&leaf(framed.body));
                    let identity = (file.name(), framed.offset, point.seq, point.chain);
                    let first = *delivered.entry(line.clone()).or_insert(identity);
                    assert_eq!(first, identity, "{line:?} of {} is sent again, but as of {}", first.0, identity.0);
                    pos += (framed.end - point.at) as usize;
                    point.at = framed.end;
                }
                point.rewind = point.at;
                if pos > 0 {
                    point.mark = Mark::of(&bytes[..pos]);
                    file.note_read(point.at, &point.mark);
                }
            }
        }
    }
}

/// What happened, without what differs from run to run.
fn tell(change: &Change) -> String {
    match change {
        Change::Opened { file, is_remembered } => {
            format!("  opened {} ({}), remembered: {is_remembered}", file.name(), file.known.seen_at)
        }
        Change::Updated(known) => {
            format!(
                "  updated {}: head {}, size {}, {}",
                known.origin.name, known.head.len, known.size, known.seen_at
            )
        }
        other => format!("  {other:?}").chars().take(100).collect(),
    }
}
