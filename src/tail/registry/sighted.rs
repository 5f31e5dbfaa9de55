//! Sightings: which family a file that was seen is of, and where contents are seen now.

use super::{Absent, Change, Clock, Place, Registry, place, relatives};
use crate::{
    model::{Family, Sighting},
    tail::backing,
};
use std::{
    collections::HashSet,
    fs::Metadata,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

impl Registry {
    /// The file that this one may have been rotated from was there before, if it is not now.
    pub(super) fn find_base(&self, sighting: &mut Sighting) {
        if sighting.family.is_rotated {
            return;
        }
        let path = &sighting.path;
        let is_known =
            |base: &str| path.with_file_name(base).to_str().is_some_and(|path| self.origins.contains_key(path));
        if let Some(family) = Family::rotated(&sighting.family.base, is_known) {
            sighting.family = family;
        }
    }

    /// A followed file has another path.
    pub(super) fn moved(&mut self, sighting: &Sighting, changes: &mut Vec<Change>) {
        let place = place(sighting);
        let Some(followed) = self.followed.get_mut(&place) else { return };
        if self.by_path.get(&followed.path) == Some(&place) {
            self.by_path.remove(&followed.path);
        }
        let at = seen_at(&sighting.path, &followed.file.known.origin.path);
        changes.extend(followed.file.update(|known| known.seen_at = at).map(Change::Updated));
        followed.path.clone_from(&sighting.path);
        self.by_path.insert(sighting.path.clone(), place);
    }

    /// Contents that no glob leads to any more, though their file is where it was: behind a link that was turned to
    /// another file.
    pub(super) fn look_where_last_seen(&self, sightings: &mut Vec<Sighting>) {
        let mut seen: HashSet<Place> = sightings.iter().map(place).collect();
        let is_wanted = |absent: &&Absent| !absent.is_displaced && !self.unwanted.contains(&absent.name());
        for absent in self.absent.iter().filter(is_wanted) {
            let known = &absent.remembered.known;
            let identity = known.identity.place();
            let Some(source) = self.site.source_of(known).filter(|_| !seen.contains(&identity)) else { continue };
            let path = PathBuf::from(&*known.seen_at);
            let found = std::fs::metadata(&path).map(|metadata| still_at(path, source, identity, &metadata));
            if let Ok(Some(sighting)) = found
                && seen.insert(identity)
            {
                sightings.push(sighting);
            }
        }
    }

    /// Contents that are done with, in files that no glob leads to: what grows is met again, and what went away is
    /// absent.
    pub(super) fn look_at_unseen_quiet(&mut self, seen: &HashSet<Place>, now: Clock, changes: &mut Vec<Change>) {
        let unseen = self.quiet.iter().filter(|(place, _)| !seen.contains(place));
        let found = unseen.filter_map(|(place, quiet)| {
            let source = self.site.source_of(&quiet.remembered.known);
            match std::fs::metadata(&quiet.path) {
                Ok(metadata) => match still_at(quiet.path.clone(), source.unwrap_or(0), *place, &metadata) {
                    Some(found) if (found.size, found.changed) == (quiet.size, quiet.changed) => None,
                    // Of a source that is gone nobody wants anything.
                    Some(mut found) => source.map(|_| {
                        found.family.is_rotated = quiet.is_rotated;
                        (*place, Some(found))
                    }),
                    None => Some((*place, None)),
                },
                Err(error) => relatives::is_absence(&error).then_some((*place, None)),
            }
        });
        for (place, sighting) in found.collect::<Vec<_>>() {
            if let Some(quiet) = self.quiet.remove(&place) {
                let remembered = quiet.remembered;
                self.be_absent(Absent { remembered, since: now.uptime, is_displaced: false, is_said: true });
            }
            let Some(sighting) = sighting else { continue };
            if self.make_room(now, changes) {
                self.meet(sighting, now, changes);
            } else {
                self.waiting.push_back(sighting);
            }
        }
    }

    pub(super) fn family_of(&self, sighting: &Sighting) -> u64 {
        let folder = sighting.path.parent().filter(|_| !self.site.is_rotated_elsewhere(sighting.source));
        relatives::family(sighting.source, folder, &sighting.family.base)
    }
}

/// The file at `path`, when it is the one that was there.
fn still_at(path: PathBuf, source: usize, place: Place, metadata: &Metadata) -> Option<Sighting> {
    if !metadata.is_file() || (metadata.dev(), metadata.ino()) != place {
        return None;
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Some(Sighting {
        family: Family { base: name.into_owned(), is_rotated: true },
        path,
        source,
        device: place.0,
        inode: place.1,
        size: metadata.len(),
        changed: backing::changed(metadata),
    })
}

/// The path with its links resolved: what a link leads to later may be another file. `first`: the path of first sight,
/// which is nearly always the same.
pub(super) fn seen_at(path: &Path, first: &Arc<str>) -> Arc<str> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let text = path.to_string_lossy();
    if *text == **first { Arc::clone(first) } else { text.into() }
}
