//! The files that are followed: which of those that a scan finds are known, which are new, what became of the rest.

use super::{
    file::{self, Life, TailFile},
    reader::has_head,
};
use crate::{
    ack::FileKey,
    model::{FileName, Identity, Known, Mark, Nanos, Origin, Point, Sighting},
};
use rustix::io::Errno;
use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// A file that has a successor, or was deleted, is at its end after it was still for this long.
const STILL: Duration = Duration::from_secs(30);
/// So many renamed files that are read to their end stay open: a program that does not notice the rename goes on
/// writing to its file, perhaps much later.
const KEPT: usize = 256;
/// So many contents that no scan names are remembered.
const REMEMBERED: usize = 4096;

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
    /// More of its first bytes are known than the state knows.
    HeadGrew(Known),
    /// The content is gone and every output is done with it.
    Gone {
        /// Its number in this process.
        key: FileKey,
        /// Its name.
        name: FileName,
    },
    /// A content that no scan names was dropped to make room; every output was done with it, or it is long gone.
    Forgotten(FileName),
    /// A remembered content was not in its file any more when that was opened: it was truncated away, or deleted and
    /// its inode used again, while nobody looked. Comes after what is there now was opened.
    Destroyed(Known),
    /// The file grew or changed.
    Grew,
    /// The renamed file is read to its end and no scan names it; its place is remembered.
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
}

/// The followed files. Owned by one thread.
pub struct Registry {
    machine: Vec<u8>,
    host: String,
    sources: Vec<String>,
    outputs: usize,
    remembered: Vec<Remembered>,
    followed: HashMap<Place, Followed>,
    /// Where each was last seen; may hold paths of before.
    by_path: HashMap<PathBuf, Place>,
    /// Truncated contents that some output has not settled yet.
    replaced: Vec<Arc<TailFile>>,
    /// Truncated contents in whose place nothing could be opened yet: no reader says so twice.
    unreplaced: Vec<FileKey>,
    /// There were no descriptors left at the last scan.
    is_short: bool,
    next_key: FileKey,
    nonce: Box<dyn FnMut() -> u64 + Send>,
}

/// Device and inode: what a descriptor that is open makes unique.
type Place = (u64, u64);

fn place(sighting: &Sighting) -> Place {
    (sighting.device, sighting.inode)
}

struct Followed {
    file: Arc<TailFile>,
    /// Where it was last seen.
    path: PathBuf,
    size: u64,
    changed: i64,
    still_since: Duration,
}

/// An open file as it is now.
struct Content {
    file: Arc<File>,
    identity: Identity,
    size: u64,
    changed: i64,
    /// Up to the first 4 KiB.
    head: Vec<u8>,
}

/// What a file turned out to be.
struct Recognised {
    known: Known,
    is_remembered: bool,
    /// What was remembered of it instead.
    destroyed: Option<Known>,
}

impl Registry {
    /// Follows nothing yet. `sources`: their names, in configuration order; `outputs`: how many there are;
    /// `remembered`: what the state holds; `nonce`: random numbers, for names where there is no birth time.
    pub fn new(
        machine: Vec<u8>,
        host: String,
        sources: Vec<String>,
        outputs: usize,
        remembered: Vec<Remembered>,
        nonce: Box<dyn FnMut() -> u64 + Send>,
    ) -> Registry {
        Registry {
            machine,
            host,
            sources,
            outputs,
            remembered,
            followed: HashMap::new(),
            by_path: HashMap::new(),
            replaced: Vec::new(),
            unreplaced: Vec::new(),
            is_short: false,
            next_key: 0,
            nonce,
        }
    }

    /// Every content that is followed, the replaced ones included.
    pub fn files(&self) -> impl Iterator<Item = &Arc<TailFile>> {
        self.followed.values().map(|followed| &followed.file).chain(&self.replaced)
    }

    /// Takes in one complete scan.
    pub fn look(&mut self, mut sightings: Vec<Sighting>, now: Clock) -> Vec<Change> {
        let mut changes = Vec::new();
        self.is_short = false;
        for key in std::mem::take(&mut self.unreplaced) {
            self.replace(key, now, &mut changes);
        }
        // The oldest first, so that a backlog is delivered in the order in which it was written.
        sightings.sort_by(|a, b| a.changed.cmp(&b.changed).then_with(|| a.path.cmp(&b.path)));
        let by_path: HashMap<&Path, Place> = sightings.iter().map(|s| (s.path.as_path(), place(s))).collect();
        let seen: HashSet<Place> = by_path.values().copied().collect();
        for sighting in &sightings {
            match self.followed.get_mut(&place(sighting)) {
                Some(followed) => {
                    followed.note(sighting.size, sighting.changed, now, &mut changes);
                    if followed.path != sighting.path {
                        if self.by_path.get(&followed.path) == Some(&place(sighting)) {
                            self.by_path.remove(&followed.path);
                        }
                        followed.path.clone_from(&sighting.path);
                        self.by_path.insert(sighting.path.clone(), place(sighting));
                    }
                }
                None => self.open(sighting, now, &mut changes),
            }
        }
        self.age(&seen, &by_path, now, &mut changes);
        changes
    }

    /// Looks at the one file that was last seen at `path`, because a notification said so. `false` when there is
    /// none: only a scan can tell what it is.
    pub fn look_at(&mut self, path: &Path, now: Clock, changes: &mut Vec<Change>) -> bool {
        let followed = self.by_path.get(path).and_then(|place| self.followed.get_mut(place));
        let Some(followed) = followed.filter(|followed| followed.path == path) else { return false };
        if let Ok(metadata) = followed.file.metadata() {
            followed.note(metadata.len(), file::changed(&metadata), now, changes);
        }
        true
    }

    /// A reader found that the content of `key` was truncated away. Several readers may say so, of the same event.
    pub fn replace(&mut self, key: FileKey, now: Clock, changes: &mut Vec<Change>) {
        let Some(followed) = self.followed.values().find(|followed| followed.file.key == key) else { return };
        let (old, path) = (Arc::clone(&followed.file), followed.path.clone());
        let source = old.source;
        match Content::look(Arc::clone(old.file())) {
            Ok(content) => {
                old.set_life(Life::Replaced);
                // So that every reader looks, and lets go of it.
                old.note_change(old.size());
                changes.push(Change::Grew);
                let generation = old.known.generation.saturating_add(1);
                let known = self.christen(generation, old.known.nonce, &content, &path, old.source, now);
                self.replaced.push(old);
                changes.push(self.follow(known, false, content, path, source, now));
            }
            Err(error) => {
                self.unreplaced.push(key);
                changes.push(Change::Unreadable { path, error });
            }
        }
    }

    fn open(&mut self, sighting: &Sighting, now: Clock, changes: &mut Vec<Change>) {
        let result = file::open(&sighting.path).and_then(|file| {
            let content = Content::look(Arc::new(file))?;
            let recognised = self.recognise(&content, sighting, now)?;
            Ok((content, recognised))
        });
        match result {
            Ok((content, Recognised { known, is_remembered, destroyed })) => {
                // Renamed since the scan: what the path leads to now may be followed already.
                if !self.followed.contains_key(&(content.identity.device, content.identity.inode)) {
                    let path = sighting.path.clone();
                    changes.push(self.follow(known, is_remembered, content, path, sighting.source, now));
                }
                changes.extend(destroyed.map(Change::Destroyed));
            }
            // Renamed or deleted since the scan: the next one knows.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                self.is_short |= Errno::from_io_error(&error) == Some(Errno::MFILE);
                changes.push(Change::Unreadable { path: sighting.path.clone(), error });
            }
        }
    }

    fn follow(
        &mut self,
        known: Known,
        is_remembered: bool,
        content: Content,
        path: PathBuf,
        source: usize,
        now: Clock,
    ) -> Change {
        let place = (content.identity.device, content.identity.inode);
        let (size, changed) = (content.size, content.changed);
        let file = Arc::new(TailFile::new(self.next_key, source, known, content.file, size, self.outputs));
        self.next_key += 1;
        self.by_path.insert(path.clone(), place);
        let followed = Followed { file: Arc::clone(&file), path, size, changed, still_since: now.uptime };
        self.followed.insert(place, followed);
        Change::Opened { file, is_remembered }
    }

    /// Is this a file I know? Otherwise what to call it.
    fn recognise(&mut self, content: &Content, sighting: &Sighting, now: Clock) -> io::Result<Recognised> {
        let mut destroyed = None;
        if let Some(index) = self.candidate(content) {
            let holds_all = content.holds_all(&self.remembered[index])?;
            let remembered = self.remembered.swap_remove(index).known;
            if holds_all {
                // The device number can have changed; the name stays.
                let known = Known { identity: content.identity, ..remembered };
                return Ok(Recognised { known, is_remembered: true, destroyed });
            }
            destroyed = Some(remembered);
        }
        let (generation, nonce) = match &destroyed {
            // New content in a known file.
            Some(known) => (known.generation.saturating_add(1), known.nonce),
            None => (0, (self.nonce)()),
        };
        let known = self.christen(generation, nonce, content, &sighting.path, sighting.source, now);
        Ok(Recognised { known, is_remembered: false, destroyed })
    }

    fn christen(
        &self,
        generation: u32,
        nonce: u64,
        content: &Content,
        path: &Path,
        source: usize,
        now: Clock,
    ) -> Known {
        Known {
            origin: Origin {
                name: file::name(&self.machine, &content.identity, nonce, generation),
                host: self.host.clone(),
                path: path.to_string_lossy().into_owned(),
                source: self.sources.get(source).cloned().unwrap_or_default(),
                first_seen: now.wall,
            },
            identity: content.identity,
            nonce,
            generation,
            head: Mark::of(&content.head),
        }
    }

    /// The remembered content that lives in the file with this identity, if any.
    fn candidate(&self, content: &Content) -> Option<usize> {
        let Content { identity, head, .. } = content;
        let is_exact = |known: &Known| {
            (known.identity.device, known.identity.inode) == (identity.device, identity.inode)
                && (known.identity.birth == identity.birth
                    || known.identity.birth.is_none()
                    || identity.birth.is_none())
        };
        // Device numbers can change when the machine starts again; inode, birth time and content do not.
        let is_moved = |known: &Known| {
            known.identity.inode == identity.inode
                && known.identity.birth.is_some()
                && known.identity.birth == identity.birth
                && known.head.len > 0
                && has_head(head, &known.head)
        };
        let newest = |matches: &dyn Fn(&Known) -> bool| {
            let indexed = self.remembered.iter().enumerate().filter(|(_, r)| matches(&r.known));
            indexed.max_by_key(|(_, r)| r.known.generation).map(|(index, _)| index)
        };
        newest(&is_exact).or_else(|| newest(&is_moved))
    }

    /// What became of the files, with what the scan saw.
    fn age(&mut self, seen: &HashSet<Place>, by_path: &HashMap<&Path, Place>, now: Clock, changes: &mut Vec<Change>) {
        let mut finished = Vec::new();
        let mut kept = Vec::new();
        for (place, followed) in &mut self.followed {
            let mut is_seen = seen.contains(place);
            let mut is_deleted = false;
            if !is_seen && let Ok(metadata) = followed.file.metadata() {
                followed.note(metadata.len(), file::changed(&metadata), now, changes);
                is_deleted = metadata.nlink() == 0;
                is_seen = !is_deleted && may_be_at(&followed.path, *place);
            }
            followed.grow_head(changes);
            let origin = Path::new(&followed.file.known.origin.path);
            let has_successor = by_path.get(origin).is_some_and(|other| other != place);
            let is_still = now.uptime.saturating_sub(followed.still_since) >= STILL;
            if (has_successor || !is_seen) && is_still {
                if followed.file.life() == Life::Live {
                    followed.file.set_life(Life::Final);
                    followed.file.note_change(followed.size);
                    changes.push(Change::Grew);
                }
                if !is_seen && followed.file.is_let_go() {
                    match is_deleted {
                        true => finished.push((*place, true)),
                        false => kept.push((followed.still_since, *place)),
                    }
                }
            }
        }
        // The longest still go first.
        kept.sort_unstable();
        let extra = kept.len().saturating_sub(if self.is_short { 0 } else { KEPT });
        finished.extend(kept.into_iter().take(extra).map(|(_, place)| (place, false)));
        for (place, is_deleted) in finished {
            if let Some(followed) = self.followed.remove(&place) {
                if self.by_path.get(&followed.path) == Some(&place) {
                    self.by_path.remove(&followed.path);
                }
                let (key, name) = (followed.file.key, followed.file.name());
                if is_deleted {
                    changes.push(Change::Gone { key, name });
                } else {
                    // It is the same file when a scan names it again; the cursors' marks are checked by their readers.
                    let known = Known { head: followed.file.head(), ..followed.file.known.clone() };
                    self.remembered.push(Remembered { known, points: Vec::new() });
                    changes.push(Change::Closed { key });
                }
            }
        }
        while self.remembered.len() > REMEMBERED {
            let seen = |(_, remembered): &(usize, &Remembered)| remembered.known.origin.first_seen;
            let Some((oldest, _)) = self.remembered.iter().enumerate().min_by_key(seen) else { break };
            changes.push(Change::Forgotten(self.remembered.swap_remove(oldest).known.origin.name));
        }
        self.replaced.retain(|file| {
            let is_gone = file.is_let_go();
            if is_gone {
                changes.push(Change::Gone { key: file.key, name: file.name() });
            }
            !is_gone
        });
    }
}

/// Whether a file that a scan did not name is at `path` all the same, or may be: its folder could not be listed.
fn may_be_at(path: &Path, place: Place) -> bool {
    match fs::metadata(path) {
        Ok(metadata) => (metadata.dev(), metadata.ino()) == place,
        Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    }
}

impl Content {
    fn look(file: Arc<File>) -> io::Result<Content> {
        let metadata = file.metadata()?;
        let mut head = vec![0; Mark::MAX];
        let n = file::read_at(&file, &mut head, 0)?;
        head.truncate(n);
        let (size, changed) = (metadata.len(), file::changed(&metadata));
        Ok(Content { file, identity: file::identify(&metadata), size, changed, head })
    }

    /// Whether the file still holds what was read from it.
    fn holds_all(&self, remembered: &Remembered) -> io::Result<bool> {
        if !has_head(&self.head, &remembered.known.head) {
            return Ok(false);
        }
        for point in &remembered.points {
            let Some(start) = point.rewind.checked_sub(u64::from(point.mark.len)) else { return Ok(false) };
            // At most MAX.
            let mut before = [0; Mark::MAX];
            let before = &mut before[..point.mark.len as usize];
            let n = file::read_at(&self.file, before, start)?;
            if self.size < point.at || !point.mark.agrees(&before[..n]) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Followed {
    fn note(&mut self, size: u64, changed: i64, now: Clock, changes: &mut Vec<Change>) {
        if (size, changed) != (self.size, self.changed) {
            (self.size, self.changed) = (size, changed);
            self.still_since = now.uptime;
            if self.file.life() == Life::Final {
                self.file.set_life(Life::Live);
            }
            self.file.note_change(size);
            changes.push(Change::Grew);
        }
    }

    /// The head is all of the first 4 KiB that were ever seen.
    fn grow_head(&mut self, changes: &mut Vec<Change>) {
        let head = self.file.head();
        if head.len as usize == Mark::MAX || self.size <= u64::from(head.len) {
            return;
        }
        let mut bytes = [0; Mark::MAX];
        let Ok(n) = self.file.read_at(&mut bytes, 0) else { return };
        // Another head is a truncation: the reader that meets it says so.
        if has_head(&bytes[..n], &head) {
            let head = Mark::of(&bytes[..n]);
            self.file.set_head(head);
            changes.push(Change::HeadGrew(Known { head, ..self.file.known.clone() }));
        }
    }
}
