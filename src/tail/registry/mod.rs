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

mod age;
mod displaced;
mod figures;
mod matching;
mod meet;
mod relatives;

pub use figures::Figures;

use super::{
    backing::{self, Backing},
    file::{self, TailFile},
    inspect::Inspection,
    reader::has_head,
    spool::{Saving, Spooled},
    unpack,
};
use crate::{
    ack::FileKey,
    model::{Family, FileName, Identity, Known, Mark, Nanos, Origin, Packing, Point, Sighting, packing_of},
};
use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
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

/// Now, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Since the agent started; never goes back.
    pub uptime: Duration,
    /// The wall clock.
    pub wall: Nanos,
}

/// What the state remembers of a file's content.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// What it is.
    pub known: Known,
    /// Every output's place in it.
    pub points: Vec<Point>,
    /// Ends of stretches before those places, and their marks, rising; not kept over a restart.
    pub trail: Vec<(u64, Mark)>,
}

impl Remembered {
    fn of(file: &TailFile) -> Remembered {
        Remembered { known: file.known_now(), points: file.points(), trail: file.trail() }
    }
}

/// What a look at the files found.
#[derive(Debug)]
pub enum Change {
    /// A file's content to read: new, known from before, or in the place of one that was truncated.
    Opened {
        /// The content.
        file: Arc<TailFile>,
        /// Whether the state knew it; otherwise it must be persisted before the first send.
        is_remembered: bool,
    },
    /// Something of what is persisted of a content is another now.
    Updated(Known),
    /// A content that no file holds any more was dropped to make room, or because it is long gone.
    Forgotten(FileName),
    /// A remembered content is in no file that can be found: truncated away, deleted, or out of sight, while nobody
    /// looked.
    Destroyed {
        /// The content.
        known: Known,
        /// How many bytes of it, at least, some output did not have, where that is known.
        unread: Option<u64>,
    },
    /// The file grew or changed.
    Grew,
    /// Nobody needs the file open any more; its place is remembered.
    Closed {
        /// Its number in this process.
        key: FileKey,
    },
    /// A file cannot be opened or read; tried again at each scan.
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Has to be unpacked to know what it is: [`Registry::inspected`] wants the answer.
    Inspect(Inspection),
    /// A compressed file is cut off or damaged, and stays so; what comes out of it is read.
    Broken {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        error: io::Error,
    },
    /// Deleted, and some output has not got all of it: [`Registry::saved`] wants the answer.
    Save(Saving),
    /// Nothing of a content is needed from the spool.
    Unsave(FileName),
    /// A program writes to a file that was deleted.
    WrittenThoughDeleted {
        /// Where it was.
        path: PathBuf,
    },
    /// So many files wait for a descriptor; 0 when none waits any more. Said when it changes from or to 0.
    Short {
        /// How many.
        waiting: usize,
    },
}

/// What a registry is told about the agent.
#[derive(Debug)]
pub struct Site {
    /// What tells this machine's files from those of others.
    pub machine: Vec<u8>,
    /// The agent's name in every record.
    pub host: String,
    /// The names of the sources, in configuration order.
    pub sources: Vec<String>,
    /// By source: whether rotated files go to a folder of their own.
    pub rotates_elsewhere: Vec<bool>,
    /// How many outputs there are.
    pub outputs: usize,
    /// By source: how many of them take it.
    pub takers: Vec<usize>,
    /// How many files may be open.
    pub capacity: usize,
}

/// The followed files. Owned by one thread.
pub struct Registry {
    site: Site,
    followed: HashMap<Place, Followed>,
    quiet: HashMap<Place, Quiet>,
    heirs: HashMap<Place, Heir>,
    pending: HashMap<Place, Pending>,
    adrift: Vec<Adrift>,
    absent: Vec<Absent>,
    /// What the spool held when the agent started, as long as nobody has asked for it.
    spooled: Vec<Spooled>,
    /// Where each was last seen; may hold paths of before.
    by_path: HashMap<PathBuf, Place>,
    /// Truncated contents in whose place nothing could be opened yet: no reader says so twice.
    unreplaced: Vec<FileKey>,
    /// In this look: files that can be closed when there are no descriptors left, the best last.
    closable: Option<Vec<Place>>,
    /// Complete scans so far.
    looks: u64,
    /// Files that waited for a descriptor at the last scan.
    waiting: usize,
    next_key: FileKey,
    /// Of all contents that are known.
    names: HashSet<FileName>,
    nonce: Box<dyn FnMut() -> u64 + Send>,
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
    /// When no path was found to lead to it any more.
    deleted_at: Option<Duration>,
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
    Broken(io::Error),
}

/// A content that was truncated away; perhaps a copy of it turns up.
struct Adrift {
    file: Arc<TailFile>,
    /// So many complete scans more it is looked for.
    looks_left: u8,
}

/// A content that is in no file as far as is known.
struct Absent {
    remembered: Remembered,
    since: Duration,
    /// Its file holds another content now, or was deleted: an equal identity means nothing.
    is_displaced: bool,
    /// It was said that it is lost, or it is known to be delivered.
    is_said: bool,
}

/// An open file as it is now.
struct Content {
    backing: Backing,
    identity: Identity,
    /// Of the file.
    size: u64,
    changed: i64,
    /// Up to the first 4 KiB of the content.
    head: Vec<u8>,
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
            .field("absent", &self.absent.iter().map(|a| a.remembered.known.origin.name).collect::<Vec<_>>())
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
        Registry {
            site,
            followed: HashMap::new(),
            quiet: HashMap::new(),
            heirs: HashMap::new(),
            pending: HashMap::new(),
            adrift: Vec::new(),
            absent: remembered.into_iter().map(absent).collect(),
            spooled,
            by_path: HashMap::new(),
            unreplaced: Vec::new(),
            closable: None,
            looks: 0,
            waiting: 0,
            next_key: 0,
            names,
            nonce,
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

    /// Whether it is not known of all files what they are, or not all of them could be opened.
    pub fn is_settling(&self) -> bool {
        let is_open = |pending: &Pending| !matches!(pending.state, State::Broken(_));
        self.waiting > 0 || self.pending.values().any(is_open)
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
        let mut waiting = 0;
        self.closable = None;
        for key in std::mem::take(&mut self.unreplaced) {
            self.replace(key, now, &mut changes);
        }
        if self.looks == 0 {
            // Contents that no glob leads to any more, though their file is where it was.
            self.look_where_last_seen(&mut sightings);
        }
        // The oldest first, so that a backlog is delivered in the order in which it was written.
        sightings.sort_by(|a, b| a.changed.cmp(&b.changed).then_with(|| a.path.cmp(&b.path)));
        let by_path: HashMap<PathBuf, Place> = sightings.iter().map(|s| (s.path.clone(), place(s))).collect();
        let seen: HashSet<Place> = by_path.values().copied().collect();
        // What is known as of now, before anything is compared with it.
        let mut met = Vec::new();
        for sighting in sightings {
            match self.followed.get_mut(&place(&sighting)) {
                Some(followed) => {
                    followed.note(sighting.size, sighting.changed, now, &mut changes);
                    followed.grow_head(&mut changes);
                    followed.family.clone_from(&sighting.family);
                    if followed.path != sighting.path {
                        self.moved(sighting, &mut changes);
                    }
                }
                None => met.push(sighting),
            }
        }
        // What can be a copy comes after all that it can be a copy of.
        let lived: HashSet<(u64, u64)> =
            self.absent.iter().map(|absent| absent.remembered.known.identity.place()).collect();
        met.sort_by_key(|sighting| sighting.family.is_rotated && !lived.contains(&place(sighting)));
        for sighting in met {
            if self.is_quiet(&sighting, now) || self.is_heir(&sighting) {
                continue;
            }
            if self.pending.contains_key(&place(&sighting)) || self.make_room(now, &mut changes) {
                self.meet(sighting, now, &mut changes);
            } else {
                waiting += 1;
            }
        }
        self.looks += 1;
        self.age(&seen, &by_path, now, &mut changes);
        if (waiting == 0) != (self.waiting == 0) {
            changes.push(Change::Short { waiting });
        }
        self.waiting = waiting;
        changes
    }

    /// A followed file has another path.
    fn moved(&mut self, sighting: Sighting, changes: &mut Vec<Change>) {
        let place = place(&sighting);
        let Some(followed) = self.followed.get_mut(&place) else { return };
        if self.by_path.get(&followed.path) == Some(&place) {
            self.by_path.remove(&followed.path);
        }
        let at = seen_at(&sighting.path);
        changes.extend(followed.file.update(|known| known.seen_at = at).map(Change::Updated));
        followed.path.clone_from(&sighting.path);
        self.by_path.insert(sighting.path, place);
    }

    /// Looks at the one file that was last seen at `path`, because a notification said so. `false` when there is
    /// none: only a scan can tell what it is.
    pub fn look_at(&mut self, path: &Path, now: Clock, changes: &mut Vec<Change>) -> bool {
        let followed = self.by_path.get(path).and_then(|place| self.followed.get_mut(place));
        let Some(followed) = followed.filter(|followed| followed.path == path) else { return false };
        if let Ok(metadata) = followed.file.metadata() {
            followed.note(metadata.len(), backing::changed(&metadata), now, changes);
        }
        true
    }

    /// Contents that no glob leads to any more, though their file is where it was: behind a link that was turned to
    /// another file.
    fn look_where_last_seen(&self, sightings: &mut Vec<Sighting>) {
        use std::os::unix::fs::MetadataExt as _;
        let mut seen: HashSet<Place> = sightings.iter().map(place).collect();
        for absent in self.absent.iter().filter(|absent| !absent.is_displaced) {
            let known = &absent.remembered.known;
            let identity = known.identity.place();
            let Some(source) = self.source_of(known).filter(|_| !seen.contains(&identity)) else { continue };
            let path = PathBuf::from(&known.seen_at);
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            if metadata.is_file() && (metadata.dev(), metadata.ino()) == identity && seen.insert(identity) {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                sightings.push(Sighting {
                    family: Family { base: name.into_owned(), is_rotated: true },
                    path,
                    source,
                    device: identity.0,
                    inode: identity.1,
                    size: metadata.len(),
                    changed: backing::changed(&metadata),
                });
            }
        }
    }

    fn family_of(&self, sighting: &Sighting) -> u64 {
        use std::hash::{DefaultHasher, Hash as _, Hasher as _};
        let elsewhere = self.site.rotates_elsewhere.get(sighting.source) == Some(&true);
        let folder = sighting.path.parent().filter(|_| !elsewhere);
        let mut hash = DefaultHasher::new();
        (sighting.source, folder, &sighting.family.base).hash(&mut hash);
        hash.finish()
    }

    /// The source that owned it at first sight, where there still is one of that name: how its lines are framed must
    /// not change.
    fn source_of(&self, known: &Known) -> Option<usize> {
        self.site.sources.iter().position(|name| *name == known.origin.source)
    }

    fn follow(
        &mut self,
        known: Known,
        is_remembered: bool,
        content: Content,
        sighting: &Sighting,
        now: Clock,
    ) -> Change {
        let place = content.place();
        let source = self.source_of(&known).unwrap_or(sighting.source);
        // Nothing is sure of a length that cannot be asked for; the next look asks again.
        let len = content.backing.end().unwrap_or(content.size);
        let is_packed = content.backing.packing != Packing::Plain;
        let order = (self.family_of(sighting), content.changed);
        let file = TailFile::new(self.next_key, source, known, order, content.backing, len, self.site.outputs);
        if is_packed {
            file.set_life(file::Life::Final);
        }
        let file = Arc::new(file);
        self.next_key += 1;
        self.by_path.insert(sighting.path.clone(), place);
        let followed = Followed {
            file: Arc::clone(&file),
            path: sighting.path.clone(),
            family: sighting.family.clone(),
            size: content.size,
            changed: content.changed,
            still_since: now.uptime,
            deleted_at: None,
            is_said: false,
            expected: 0,
            spool: Spool::Nothing,
        };
        self.followed.insert(place, followed);
        Change::Opened { file, is_remembered }
    }

    /// What to call a new content: never as another one that is known.
    fn christen(&mut self, content: &Content, path: &Path, source: usize, now: Clock) -> Known {
        let nonce = (self.nonce)();
        let mut generation = 0;
        let name = loop {
            let name = file::name(&self.site.machine, &content.identity, nonce, generation);
            if self.names.insert(name) {
                break name;
            }
            generation += 1;
        };
        Known {
            origin: Origin {
                name,
                host: self.site.host.clone(),
                path: path.to_string_lossy().into_owned(),
                source: self.site.sources.get(source).cloned().unwrap_or_default(),
                first_seen: now.wall,
            },
            identity: content.identity,
            nonce,
            generation,
            head: Mark::of(&content.head),
            packing: content.backing.packing,
            size: 0,
            is_deleted: false,
            last_seen: now.day(),
            seen_at: seen_at(path),
        }
    }
}

/// Whether the file at `path`, compressed or not, begins as the content did: then it is a copy of it, or looks like one.
pub fn begins_like(path: &Path, known: &Known) -> bool {
    let named = packing_of(&path.file_name().unwrap_or_default().to_string_lossy());
    let content = backing::open(path).and_then(|file| Content::look(file, true, named));
    known.head.len > 0 && content.is_ok_and(|content| has_head(&content.head, &known.head))
}

/// The path with its links resolved: what a link leads to later may be another file.
fn seen_at(path: &Path) -> String {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
}

impl Clock {
    fn day(self) -> Nanos {
        Nanos(self.wall.0 - self.wall.0.rem_euclid(DAY))
    }
}

impl Content {
    /// Looks into an open file. `may_be_packed`: a file that is being written to is never taken for a compressed one,
    /// whatever its first bytes are. `named`: what its name says.
    fn look(file: File, may_be_packed: bool, named: Packing) -> io::Result<Content> {
        let identity = backing::identify(&file.metadata()?);
        let backing = Backing::plain(Arc::new(file));
        let mut content = Content { backing, identity, size: 0, changed: 0, head: Vec::new() };
        content.look_anew()?;
        if may_be_packed {
            content.backing.packing = unpack::packing_of(&content.head, named)
                .map_err(|form| io::Error::other(format!("is compressed with {form}, which cannot be read")))?;
            if content.backing.packing != Packing::Plain {
                content.look_anew()?;
            }
        }
        Ok(content)
    }

    fn place(&self) -> Place {
        self.identity.place()
    }

    /// Whether the file has changed; then it is looked at anew.
    fn look_again(&mut self) -> io::Result<bool> {
        let metadata = self.backing.file.metadata()?;
        let is_new = (metadata.len(), backing::changed(&metadata)) != (self.size, self.changed);
        if is_new {
            self.look_anew()?;
        }
        Ok(is_new)
    }

    fn look_anew(&mut self) -> io::Result<()> {
        let metadata = self.backing.file.metadata()?;
        (self.size, self.changed) = (metadata.len(), backing::changed(&metadata));
        self.head = match self.backing.packing {
            Packing::Plain => {
                let mut head = vec![0; Mark::MAX];
                let n = backing::read_at(&self.backing.file, &mut head, 0)?;
                head.truncate(n);
                head
            }
            packing => unpack::head(&self.backing.file, packing),
        };
        Ok(())
    }
}

impl Followed {
    fn note(&mut self, size: u64, changed: i64, now: Clock, changes: &mut Vec<Change>) {
        if (size, changed) == (self.size, self.changed) {
            return;
        }
        (self.size, self.changed) = (size, changed);
        self.still_since = now.uptime;
        if self.file.life() == file::Life::Final && self.file.backing().packing == Packing::Plain {
            self.file.set_life(file::Life::Live);
        }
        self.file.note_change(self.file.end().unwrap_or(size));
        changes.push(Change::Grew);
    }
}
