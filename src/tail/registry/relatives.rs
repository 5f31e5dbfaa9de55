//! The contents that a rotated file can be made of: what was read under the same name before.

use super::{Clock, Content, Pending, Place, Registry, Remembered};
use crate::{
    model::{FileName, Known, Packing, Sighting, bases},
    tail::{
        backing::{self, Backing},
        reader::has_head,
    },
};
use std::{io, os::unix::fs::MetadataExt as _, path::Path, sync::Arc, time::Duration};

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
        for (place, followed) in &self.followed {
            if *place == content.place() || !self.is_family(&followed.file.known, &followed.path, sighting) {
                continue;
            }
            let of = Remembered::of(&followed.file);
            // Truncated just now, its name says nothing of where its content is.
            let is_intact = followed.is_intact();
            let is_there = is_intact && followed.deleted_at.is_none() && may_be_at(&followed.path, *place);
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
        for (place, quiet) in &self.quiet {
            let of = &quiet.remembered;
            if !self.is_family(&of.known, &quiet.path, sighting) {
                continue;
            }
            let at = match (may_be_at(&quiet.path, *place), quiet.is_rotated) {
                (false, _) => Whereabouts::Missing,
                (true, true) => Whereabouts::Rotated,
                (true, false) => Whereabouts::Open,
            };
            if !is_taken(at, &of.known) {
                let is_plain = at != Whereabouts::Missing && of.known.packing == Packing::Plain;
                let source = if is_plain { reopen(&quiet.path, *place, of) } else { None };
                relatives.push(Relative { of: of.clone(), at, source, is_recent: true });
            }
        }
        for absent in &self.absent {
            let of = &absent.remembered;
            if self.is_family(&of.known, Path::new(""), sighting) {
                let is_recent = now.uptime.saturating_sub(absent.since) < RECENT;
                relatives.push(Relative { of: of.clone(), at: Whereabouts::Missing, source: None, is_recent });
            }
        }
        relatives
    }

    /// Whether the file that a broken compressed one seems to be made of is at hand.
    pub(super) fn has_source(&self, pending: &Pending, now: Clock) -> bool {
        let head = &pending.content.head;
        self.relatives(&pending.content, &pending.sighting, now).iter().any(|relative| {
            let known = &relative.of.known.head;
            relative.source.is_some() && (head.len() < known.len as usize || has_head(head, known))
        })
    }

    /// Whether a file of this name can have been made of the content. `path`: where that was last seen.
    pub(super) fn is_family(&self, known: &Known, path: &Path, sighting: &Sighting) -> bool {
        if self.site.sources.get(sighting.source) != Some(&known.origin.source) {
            return false;
        }
        let base = sighting.family.base.as_str();
        let folder = sighting.path.parent();
        let elsewhere = self.site.rotates_elsewhere.get(sighting.source) == Some(&true);
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
    let mut content = Content { backing, identity, size: 0, changed: 0, head: Vec::new() };
    content.look_anew().ok()?;
    let is_same = identity.place() == place && content.holds_all(&of.known, &of.points).ok()?;
    is_same.then_some(content.backing)
}

/// Whether a file that a scan did not name is at `path` all the same, or may be: its folder could not be listed.
pub(super) fn may_be_at(path: &Path, place: Place) -> bool {
    match std::fs::metadata(path) {
        Ok(metadata) => (metadata.dev(), metadata.ino()) == place,
        Err(error) => !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory),
    }
}
