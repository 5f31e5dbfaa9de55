//! The contents that are known, and which file each of them is in.
//!
//! ```text
//!                    ┌────────── truncated ─────────▶ adrift ── no copy found ──▶ lost
//!   new ──▶ followed ┤                                  │ copy found                │
//!             ▲  ▲   └─ done with, or deleted ─┐        ▼                           ▼
//!    changed  │  └──────── file found ───── absent ◀─────────── outputs let go ─────┘
//!             └─────────────────────────── quiet (its file is there, nobody reads it)
//! ```
//!
//! A file that holds nothing of its own, because it is a copy or a compressed form of a content that is read from
//! another file, is that content's *heir*. A file of which this is not known yet is *pending*.

mod absent;
mod age;
mod change;
mod content;
mod displaced;
mod doubt;
mod figures;
mod follow;
mod matching;
mod meet;
mod relatives;
mod room;
mod sighted;

pub use change::{Change, Clock, Describe, Remembered, Site};
pub use content::{begins_like, identity_of};
pub use figures::Figures;

use super::{
    backing::{self, Backing},
    file::TailFile,
    inspect::Inspected,
    spool::Spooled,
};
use crate::{
    ack::FileKey,
    model::{Family, FileName, Known, Nanos, Sighting},
};
use absent::{Absent, Absents};
use content::Content;
use doubt::Doubts;
use relatives::{Kin, Whence};
use room::Room;
use sighted::seen_at;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
    time::Duration,
};

/// A file that has a successor, or was deleted, is at its end after it was still for this long.
const STILL: Duration = Duration::from_secs(30);
/// So many renamed files that are read to their end stay open: a program that does not notice the rename goes on
/// writing to its file, perhaps much later.
const KEPT: usize = 256;
/// So many contents whose file is not found are remembered …
const REMEMBERED: usize = 1024;
/// … and for so long.
const REMEMBERED_FOR: i64 = 7 * DAY;
const DAY: i64 = 86_400 * Nanos::SECOND;

/// The followed files. Owned by one thread.
pub struct Registry {
    site: Site,
    followed: HashMap<Place, Box<Followed>>,
    quiet: HashMap<Place, Box<Quiet>>,
    heirs: HashMap<Place, Heir>,
    pending: HashMap<Place, Pending>,
    adrift: Vec<Adrift>,
    absent: Absents,
    /// Where to look for what a file can be made of; made anew when it is needed.
    kin: Option<Kin>,
    /// What the spool held when the agent started, as long as nobody has asked for it.
    spooled: Vec<Spooled>,
    /// It was looked at what the spool holds.
    is_restored: bool,
    /// Where each was last seen; may hold paths of before.
    by_path: HashMap<PathBuf, Place>,
    /// Truncated contents in whose place nothing could be opened yet: no reader says so twice.
    unreplaced: Vec<FileKey>,
    room: Room,
    /// Closed here; a reader may have them open for a moment more.
    closing: Vec<Weak<TailFile>>,
    /// Complete scans so far.
    looks: u64,
    /// Files of the last scan that wait for a descriptor.
    waiting: VecDeque<Sighting>,
    doubts: Doubts,
    /// It was said that there are too few.
    is_short: bool,
    next_key: FileKey,
    /// Of all contents that are known.
    names: HashSet<FileName>,
    /// Where contents were first seen, with their number.
    origins: HashMap<Arc<str>, usize>,
    /// The end is near: what may still come is not waited for.
    is_hurried: bool,
    /// Since when something is inspected.
    inspecting_since: Option<Duration>,
    /// Contents that the configuration does not name any more: they are remembered, and left alone.
    unwanted: HashSet<FileName>,
    nonce: Box<dyn FnMut() -> u64 + Send>,
    beat: Box<dyn Fn() + Send>,
    describe: Describe,
}

/// Device and inode: what a descriptor that is open makes unique.
pub(super) type Place = (u64, u64);

fn place(sighting: &Sighting) -> Place {
    (sighting.device, sighting.inode)
}

/// A content that is read, or may be at any time.
struct Followed {
    file: Arc<TailFile>,
    /// Where its file was last seen.
    path: PathBuf,
    family: Family,
    /// Of the file, not of the content.
    size: u64,
    changed: i64,
    still_since: Duration,
    /// Since the last look it was truncated, or, being compressed, is not what was inspected any more.
    is_spoiled: bool,
    /// When no path was found to lead to it any more.
    deleted_at: Option<Duration>,
    /// So much of its head is persisted.
    head_said: u32,
    /// A program wrote to it after it was deleted, and that was said.
    is_said: bool,
    /// As many bytes the content is known to have had in the file that it was in before.
    expected: u64,
    spool: Spool,
}

/// How much of a deleted file is in the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spool {
    /// Nothing.
    Nothing,
    /// Some of it is being written.
    Saving,
    /// Everything before this.
    Saved(u64),
    /// It is read from there.
    Source,
}

/// A content that is done with as far as it goes, in a file that is not open.
struct Quiet {
    remembered: Remembered,
    path: PathBuf,
    size: u64,
    changed: i64,
    is_rotated: bool,
}

/// A copy, or a compressed form, of a content that is read from another file.
struct Heir {
    of: FileName,
    backing: Backing,
    path: PathBuf,
    family: Family,
    size: u64,
    changed: i64,
}

/// A rotated file of which it is not known yet whether its content is known.
struct Pending {
    content: Content,
    sighting: Sighting,
    still_since: Duration,
    state: State,
}

/// What is known of a pending file.
#[derive(Debug)]
enum State {
    /// Not enough.
    Undecided,
    /// It is compressed, and being inspected.
    Asked,
    /// It is compressed, and was cut off or damaged when it was inspected.
    Broken(Box<Inspected>, io::Error),
}

/// A content that was truncated away; perhaps a copy of it turns up.
struct Adrift {
    file: Arc<TailFile>,
    /// So many complete scans more it is looked for.
    looks_left: u8,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = |(place, path): (&Place, &PathBuf)| format!("{} {}", place.1, path.display());
        f.debug_struct("Registry")
            .field("followed", &self.followed.iter().map(|(p, f)| place((p, &f.path))).collect::<Vec<_>>())
            .field("quiet", &self.quiet.iter().map(|(p, q)| place((p, &q.path))).collect::<Vec<_>>())
            .field("heirs", &self.heirs.iter().map(|(p, h)| (place((p, &h.path)), h.of)).collect::<Vec<_>>())
            .field(
                "pending",
                &self.pending.iter().map(|(p, q)| (place((p, &q.sighting.path)), &q.state)).collect::<Vec<_>>(),
            )
            .field("adrift", &self.adrift.iter().map(|adrift| adrift.file.name()).collect::<Vec<_>>())
            .field("absent", &self.absent.iter().map(Absent::name).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Follows nothing yet. `remembered`: what the state holds; `spooled`: what the spool holds; `nonce`: random
    /// numbers, for names where there is no birth time.
    pub fn new(
        site: Site,
        remembered: Vec<Remembered>,
        spooled: Vec<Spooled>,
        nonce: Box<dyn FnMut() -> u64 + Send>,
    ) -> Registry {
        let absent = |remembered: Remembered| Absent {
            since: Duration::ZERO,
            is_displaced: remembered.known.is_deleted,
            is_said: false,
            remembered,
        };
        let names = remembered.iter().map(|remembered| remembered.known.origin.name).collect();
        let mut origins = HashMap::new();
        for remembered in &remembered {
            *origins.entry(Arc::clone(&remembered.known.origin.path)).or_default() += 1;
        }
        let mut registry = Registry {
            site,
            followed: HashMap::new(),
            quiet: HashMap::new(),
            heirs: HashMap::new(),
            pending: HashMap::new(),
            adrift: Vec::new(),
            absent: Absents::default(),
            kin: None,
            spooled,
            is_restored: false,
            by_path: HashMap::new(),
            unreplaced: Vec::new(),
            room: Room::default(),
            closing: Vec::new(),
            looks: 0,
            waiting: VecDeque::new(),
            doubts: Doubts::default(),
            is_short: false,
            next_key: 0,
            names,
            origins,
            unwanted: HashSet::new(),
            is_hurried: false,
            inspecting_since: None,
            nonce,
            beat: Box::new(|| {}),
            describe: Box::new(|_, _| None),
        };
        remembered.into_iter().map(absent).for_each(|absent| registry.absent.insert(absent));
        registry
    }

    /// Does not wait any more for what may still come: the agent stops, or ships once what there is.
    pub fn hurry(&mut self) {
        self.is_hurried = true;
    }

    /// The configuration does not name these contents any more.
    pub fn leave_alone(&mut self, names: HashSet<FileName>) {
        self.unwanted = names;
    }

    /// Asks this about every content that is new.
    pub fn describe_with(&mut self, describe: Describe) {
        self.describe = describe;
    }

    /// A content is forgotten for good.
    fn forget(&mut self, known: &Known) {
        self.names.remove(&known.origin.name);
        self.unwanted.remove(&known.origin.name);
        if let Some(count) = self.origins.get_mut(&known.origin.path) {
            *count -= 1;
            if *count == 0 {
                self.origins.remove(&known.origin.path);
            }
        }
    }

    /// Every content that is read.
    pub fn files(&self) -> impl Iterator<Item = &Arc<TailFile>> {
        self.followed.values().map(|followed| &followed.file)
    }

    /// Whether it is not known yet of some file what it is: the answer to an inspection is missing.
    pub fn is_inspecting(&self) -> bool {
        self.pending.values().any(|pending| matches!(pending.state, State::Asked))
    }

    /// Whether it is not known yet what the file with this device and inode holds.
    pub fn is_pending(&self, place: (u64, u64)) -> bool {
        self.pending.contains_key(&place)
    }

    /// Whether it is not known of all files what they are, or not all of them could be opened.
    pub fn is_settling(&self) -> bool {
        let is_saved = !self.is_restored && !self.spooled.is_empty();
        self.has_waiting() || is_saved || self.doubts.is_starting() || self.pending.values().any(Pending::is_open)
    }

    /// What a stop should persist: the lengths of contents that some output has not got all of.
    pub fn unfinished(&self) -> Vec<Known> {
        let is_behind = |file: &&Arc<TailFile>| file.lowest() < file.size();
        let sized = |file: &Arc<TailFile>| file.update(|known| known.size = known.size.max(file.size()));
        self.files().filter(is_behind).filter_map(sized).collect()
    }

    /// Takes in one complete scan.
    pub fn look(&mut self, mut sightings: Vec<Sighting>, now: Clock) -> Vec<Change> {
        let mut changes = Vec::new();
        self.waiting.clear();
        self.doubts.renew();
        self.kin = None;
        self.closing.retain(|file| file.strong_count() > 0);
        self.room = Room::default();
        for key in std::mem::take(&mut self.unreplaced) {
            self.replace(key, now, &mut changes);
        }
        if self.looks == 0 {
            // Contents that no glob leads to any more, though their file is where it was.
            self.look_where_last_seen(&mut sightings);
        }
        sightings.iter_mut().for_each(|sighting| self.find_base(sighting));
        // The oldest first, so that a backlog is delivered in the order in which it was written.
        sightings.sort_by(|a, b| a.changed.cmp(&b.changed).then_with(|| a.path.cmp(&b.path)));
        let by_path: HashMap<&Path, Place> = sightings.iter().map(|s| (s.path.as_path(), place(s))).collect();
        let seen: HashSet<Place> = by_path.values().copied().collect();
        // What is known as of now, before anything is compared with it.
        let mut met = Vec::new();
        for sighting in &sightings {
            match self.followed.get_mut(&place(sighting)) {
                Some(followed) => {
                    followed.note(sighting.size, sighting.changed, now, &mut changes);
                    followed.grow_head(&mut changes);
                    if followed.family != sighting.family {
                        followed.family.clone_from(&sighting.family);
                    }
                    if followed.path != sighting.path {
                        self.moved(sighting, &mut changes);
                    }
                }
                None => met.push(sighting),
            }
        }
        // Readers find out too, but one that waits for its destination does not read.
        let spoiled = self.followed.values_mut().filter_map(|followed| followed.take_spoiled());
        let spoiled: Vec<FileKey> = spoiled.collect();
        spoiled.into_iter().for_each(|key| self.replace(key, now, &mut changes));
        // What can be a copy comes after all that it can be a copy of.
        let is_known = |sighting: &Sighting| self.absent.in_inode(sighting.inode).next().is_some();
        met.sort_by_cached_key(|sighting| sighting.family.is_rotated && !is_known(sighting));
        for sighting in met {
            (self.beat)();
            // Of an empty rotated file there is nothing to read, and nothing to know it by.
            let is_nothing = sighting.size == 0 && sighting.family.is_rotated;
            if is_nothing || self.is_quiet(sighting, now, &mut changes) || self.is_heir(sighting) {
                continue;
            }
            if self.pending.contains_key(&place(sighting)) || self.make_room(now, &mut changes) {
                self.meet(sighting.clone(), now, &mut changes);
            } else {
                self.waiting.push_back(sighting.clone());
            }
        }
        self.looks += 1;
        self.age(&seen, &by_path, now, &mut changes);
        self.doubts.note_look(self.looks == 1);
        // More are behind than there are descriptors.
        let waiting = self.waiting.len();
        let is_short = waiting > self.room.promised || (self.is_short && waiting > 0);
        if is_short != std::mem::replace(&mut self.is_short, is_short) {
            changes.push(Change::Short { waiting });
        }
        changes
    }

    /// Looks at the one file that was last seen at `path`, because a notification said so. `false` when there is
    /// none: only a scan can tell what it is.
    pub fn look_at(&mut self, path: &Path, now: Clock, changes: &mut Vec<Change>) -> bool {
        let followed = self.by_path.get(path).and_then(|place| self.followed.get_mut(place));
        let Some(followed) = followed.filter(|followed| followed.path == path) else { return false };
        if let Ok(metadata) = followed.file.metadata() {
            followed.note(metadata.len(), backing::changed(&metadata), now, changes);
            // Before its readers are told: what they send must be known again.
            followed.grow_head(changes);
        }
        true
    }
}
