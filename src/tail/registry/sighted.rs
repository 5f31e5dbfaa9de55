//! Sightings: which family a file that was seen is of, and where contents are seen now.

use super::{Absent, Change, Place, Registry, place, relatives};
use crate::{
    model::{Family, Sighting},
    tail::backing,
};
use std::{
    collections::HashSet,
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
        use std::os::unix::fs::MetadataExt as _;
        let mut seen: HashSet<Place> = sightings.iter().map(place).collect();
        let is_wanted = |absent: &&Absent| !absent.is_displaced && !self.unwanted.contains(&absent.name());
        for absent in self.absent.iter().filter(is_wanted) {
            let known = &absent.remembered.known;
            let identity = known.identity.place();
            let Some(source) = self.site.source_of(known).filter(|_| !seen.contains(&identity)) else { continue };
            let path = PathBuf::from(&*known.seen_at);
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

    pub(super) fn family_of(&self, sighting: &Sighting) -> u64 {
        let folder = sighting.path.parent().filter(|_| !self.site.is_rotated_elsewhere(sighting.source));
        relatives::family(sighting.source, folder, &sighting.family.base)
    }
}

/// The path with its links resolved: what a link leads to later may be another file. `first`: the path of first sight,
/// which is nearly always the same.
pub(super) fn seen_at(path: &Path, first: &Arc<str>) -> Arc<str> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let text = path.to_string_lossy();
    if *text == **first { Arc::clone(first) } else { text.into() }
}
