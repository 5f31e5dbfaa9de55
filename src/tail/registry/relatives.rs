//! The contents that a rotated file can be made of: what was read under the same name before.

use super::{Clock, Content, Pending, Place, Registry, Remembered};
use crate::{
    model::{FileName, Known, Mark, Packing, Sighting, bases},
    tail::backing::{self, Backing},
};
use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::Arc,
    time::Duration,
};

/// A copy of a content that has been out of sight for longer than this is not waited for.
const RECENT: Duration = Duration::from_secs(60);

/// Where a known content is, in the order in which a file that holds it is taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Whereabouts {
    /// Truncated away a moment ago, or out of sight.
    Missing,
    /// In the file that is written to, or in one that was deleted.
    Open,
    /// In a file with a rotated name.
    Rotated,
}

/// The beginning of a file, compared with many others.
struct Begins<'h> {
    head: &'h [u8],
    /// Of its beginnings of different lengths.
    marks: Vec<Mark>,
}

impl Begins<'_> {
    /// Whether the file begins like a content with this head, as far as it goes.
    fn may_be(&mut self, head: &Mark) -> bool {
        let Some(beginning) = self.head.get(..head.len as usize) else { return true };
        if !self.marks.iter().any(|mark| mark.len == head.len) {
            self.marks.push(Mark::of(beginning));
        }
        self.marks.contains(head)
    }
}

/// Where a content of a family is, as far as is known; it may be somewhere else by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whence {
    Followed(Place),
    Quiet(Place),
    Absent(FileName),
}

/// By family, its contents.
pub(super) type Kin = HashMap<u64, Vec<Whence>>;

/// The same number for all that was rotated from one file, and for that file.
pub(super) fn family(source: usize, folder: Option<&Path>, base: &str) -> u64 {
    let mut hash = DefaultHasher::new();
    (source, folder, base).hash(&mut hash);
    hash.finish()
}

/// A known content of the same family.
pub(super) struct Relative {
    pub of: Remembered,
    pub at: Whereabouts,
    /// Its file, when that is plain and still holds it.
    pub source: Option<Backing>,
    /// Not out of sight for so long that nobody would still be copying it.
    pub is_recent: bool,
}

impl Registry {
    pub(super) fn relatives(&self, content: &Content, sighting: &Sighting, now: Clock) -> Vec<Relative> {
        let is_packed = content.backing.packing != Packing::Plain;
        let mut relatives = Vec::new();
        let is_compressed = |name: FileName| {
            self.heirs.values().any(|heir| heir.of == name && heir.backing.packing != Packing::Plain)
        };
        // A rotated file is compressed once.
        let is_taken = |at, known: &Known| {
            let is_done = known.packing != Packing::Plain || is_compressed(known.origin.name);
            is_packed && at == Whereabouts::Rotated && is_done
        };
        let kin = self.kin.as_ref().and_then(|kin| kin.get(&self.family_of(sighting)));
        let kin = || kin.into_iter().flatten().copied();
        let followed = |whence| match whence {
            Whence::Followed(place) => Some((place, self.followed.get(&place)?)),
            _ => None,
        };
        let quiet = |whence| match whence {
            Whence::Quiet(place) => Some((place, self.quiet.get(&place)?)),
            _ => None,
        };
        let absent = |whence| match whence {
            Whence::Absent(name) => self.absent.get(name),
            _ => None,
        };
        let mut begins = Begins { head: &content.head, marks: Vec::new() };
        for (place, followed) in kin().filter_map(followed) {
            let is_kin = self.is_family(&followed.file.known, &followed.path, sighting);
            if place == content.place() || !is_kin || !begins.may_be(&followed.file.head()) {
                continue;
            }
            let of = Remembered::of(&followed.file);
            // Truncated just now, its name says nothing of where its content is.
            let is_intact = followed.is_intact();
            let is_there = is_intact && followed.deleted_at.is_none() && may_be_at(&followed.path, place);
            let at = if followed.family.is_rotated && is_there { Whereabouts::Rotated } else { Whereabouts::Open };
            let is_whole = |backing: &Backing| backing.packing == Packing::Plain && backing.base == 0 && is_intact;
            let source = Some(followed.file.backing()).filter(is_whole);
            if !is_taken(at, &of.known) {
                relatives.push(Relative { of, at, source, is_recent: true });
            }
        }
        for adrift in self.adrift.iter().filter(|adrift| self.is_family(&adrift.file.known, Path::new(""), sighting))
        {
            let at = Whereabouts::Missing;
            relatives.push(Relative { of: Remembered::of(&adrift.file), at, source: None, is_recent: true });
        }
        for (place, quiet) in kin().filter_map(quiet) {
            let of = &quiet.remembered;
            if !self.is_family(&of.known, &quiet.path, sighting) || !begins.may_be(&of.known.head) {
                continue;
            }
            let at = match (may_be_at(&quiet.path, place), quiet.is_rotated) {
                (false, _) => Whereabouts::Missing,
                (true, true) => Whereabouts::Rotated,
                (true, false) => Whereabouts::Open,
            };
            if !is_taken(at, &of.known) {
                let is_plain = at != Whereabouts::Missing && of.known.packing == Packing::Plain;
                let source = if is_plain { reopen(&quiet.path, place, of) } else { None };
                relatives.push(Relative { of: of.clone(), at, source, is_recent: true });
            }
        }
        for absent in kin().filter_map(absent) {
            let of = &absent.remembered;
            if self.is_family(&of.known, Path::new(""), sighting) && begins.may_be(&of.known.head) {
                let is_recent = now.uptime.saturating_sub(absent.since) < RECENT;
                relatives.push(Relative { of: of.clone(), at: Whereabouts::Missing, source: None, is_recent });
            }
        }
        relatives
    }

    /// Makes the index of relatives, unless it is there.
    pub(super) fn index_kin(&mut self) {
        if self.kin.is_some() {
            return;
        }
        let mut kin = Kin::new();
        for (place, followed) in &self.followed {
            let known = followed.file.known_now();
            self.add_kin(&mut kin, &known, &followed.path, Whence::Followed(*place));
        }
        for (place, quiet) in &self.quiet {
            self.add_kin(&mut kin, &quiet.remembered.known, &quiet.path, Whence::Quiet(*place));
        }
        for absent in self.absent.iter() {
            self.add_kin(&mut kin, &absent.remembered.known, Path::new(""), Whence::Absent(absent.name()));
        }
        self.kin = Some(kin);
    }

    /// A content is there from now on, where the index of relatives can be asked for it.
    pub(super) fn note_kin(&mut self, known: &Known, path: &Path, whence: Whence) {
        if let Some(mut kin) = self.kin.take() {
            self.add_kin(&mut kin, known, path, whence);
            self.kin = Some(kin);
        }
    }

    fn add_kin(&self, kin: &mut Kin, known: &Known, path: &Path, whence: Whence) {
        let Some(source) = self.site.source_of(known) else { return };
        let elsewhere = self.site.is_rotated_elsewhere(source);
        let (first, seen) = (Path::new(&*known.origin.path), Path::new(&*known.seen_at));
        let others = [(seen, seen != first), (path, path != first && path != seen)];
        let others = others.into_iter().filter(|(_, is_other)| *is_other).map(|(path, _)| path);
        for path in [first].into_iter().chain(others) {
            let folder = path.parent().filter(|_| !elsewhere);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            for base in bases(&name).iter().map(String::as_str).chain([&*name]) {
                let all = kin.entry(family(source, folder, base)).or_default();
                if !all.contains(&whence) {
                    all.push(whence);
                }
            }
        }
    }

    /// Whether the file that a broken compressed one seems to be made of is at hand.
    pub(super) fn has_source(&self, pending: &Pending, now: Clock) -> bool {
        let head = &pending.content.head;
        let begins_so = |source: &Backing| {
            let mut bytes = vec![0; head.len()];
            source.read_at(&mut bytes, 0).is_ok_and(|n| bytes[..n] == **head)
        };
        // An empty file is the source of nothing.
        self.relatives(&pending.content, &pending.sighting, now)
            .iter()
            .any(|relative| relative.of.known.head.len > 0 && relative.source.as_ref().is_some_and(begins_so))
    }

    /// Whether a file of this name can have been made of the content. `path`: where that was last seen.
    pub(super) fn is_family(&self, known: &Known, path: &Path, sighting: &Sighting) -> bool {
        if self.site.sources.get(sighting.source) != Some(&known.origin.source) {
            return false;
        }
        let base = sighting.family.base.as_str();
        let folder = sighting.path.parent();
        let elsewhere = self.site.is_rotated_elsewhere(sighting.source);
        [Path::new(&*known.origin.path), Path::new(&*known.seen_at), path].into_iter().any(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            (elsewhere || path.parent() == folder) && (name == base || bases(&name).iter().any(|name| name == base))
        })
    }
}

/// A file that nobody has open, when it holds what it held.
fn reopen(path: &Path, place: Place, of: &Remembered) -> Option<Backing> {
    let backing = Backing::plain(Arc::new(backing::open(path).ok()?));
    let identity = backing::identify(&backing.file.metadata().ok()?);
    let mut content = Content::unseen(backing, identity);
    content.look_anew().ok()?;
    let is_same = identity.place() == place && content.holds_all(&of.known, &of.points).ok()?;
    is_same.then_some(content.backing)
}

/// Whether a file that a scan did not name is at `path` all the same, or may be: its folder could not be listed.
pub(super) fn may_be_at(path: &Path, place: Place) -> bool {
    match std::fs::metadata(path) {
        Ok(metadata) => (metadata.dev(), metadata.ino()) == place,
        Err(error) => !is_absence(&error),
    }
}

/// Whether it says that there is no file, and not only that none can be seen.
pub(super) fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
