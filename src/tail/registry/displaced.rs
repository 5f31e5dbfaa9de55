//! Contents that were truncated away: their copies are looked for before they are called lost.

use super::{Adrift, Change, Clock, Content, Registry, Whence};
use crate::{
    ack::FileKey,
    model::{Family, Packing, Sighting},
    tail::{TailFile, file::Life},
};
use std::{path::PathBuf, sync::Arc};

/// A copy is there before the truncation that a look finds: the next complete scan sees it, and one more does so that
/// the order of two looks does not matter.
const LOOKS: u8 = 2;

impl Registry {
    /// A reader found that the content of `key` was truncated away, in the file that it was in after `moves` moves.
    /// Several readers may say so, of the same event.
    pub fn replaced(&mut self, key: FileKey, moves: u64, now: Clock, changes: &mut Vec<Change>) {
        let files = &mut self.followed.values().map(|followed| &followed.file);
        if files.any(|file| file.key == key && file.moves() == moves) {
            self.replace(key, now, changes);
        }
    }

    pub(super) fn replace(&mut self, key: FileKey, now: Clock, changes: &mut Vec<Change>) {
        let Some((place, followed)) = self.followed.iter().find(|(_, followed)| followed.file.key == key) else {
            return;
        };
        let (place, old, path) = (*place, Arc::clone(&followed.file), followed.path.clone());
        let backing = old.backing();
        if backing.packing != Packing::Plain || backing.base > 0 {
            // Compressed anew, or not what it was taken for: it is looked at as if for the first time.
            self.followed.remove(&place);
            self.cast_adrift(old, now, changes);
            return;
        }
        let identity = old.known_now().identity;
        let mut content = Content::unseen(backing, identity);
        if let Err(error) = content.look_anew() {
            self.unreplaced.push(key);
            changes.push(Change::Unreadable { path, error });
            return;
        }
        let sighting = sighting_of(old.source, path, &content, followed.family.clone());
        self.followed.remove(&place);
        self.cast_adrift(old, now, changes);
        let known = self.christen(&content, &sighting.path, sighting.source, now);
        changes.push(self.follow(known, false, content, &sighting, now));
    }

    /// Looks at the files that may have been copied to the one of this sighting: what they hold must be known as of
    /// now.
    pub(super) fn replace_spoiled(&mut self, sighting: &Sighting, now: Clock, changes: &mut Vec<Change>) {
        let kin = self.kin.as_ref().and_then(|kin| kin.get(&self.family_of(sighting))).into_iter().flatten();
        let followed = kin.filter_map(|whence| match whence {
            Whence::Followed(place) => self.followed.get(place),
            Whence::Quiet(_) | Whence::Absent(_) => None,
        });
        let spoiled = followed.filter(|followed| {
            self.is_family(&followed.file.known, &followed.path, sighting) && !followed.is_intact()
        });
        let spoiled: Vec<FileKey> = spoiled.map(|followed| followed.file.key).collect();
        spoiled.into_iter().for_each(|key| self.replace(key, now, changes));
    }

    /// Moves a content to a copy of it, or waits for one.
    fn cast_adrift(&mut self, file: Arc<TailFile>, now: Clock, changes: &mut Vec<Change>) {
        file.set_life(Life::Adrift);
        let name = file.name();
        let ends = self.heirs.iter().filter(|(_, heir)| heir.of == name);
        let mut ends: Vec<_> = ends.map(|(place, heir)| (heir.backing.end().unwrap_or(0), *place)).collect();
        // The longest first: copies can have been made at different times.
        ends.sort_unstable_by(|a, b| b.cmp(a));
        for (_, place) in ends {
            let Some(heir) = self.heirs.remove(&place) else { continue };
            let identity = heir.backing.file.metadata().map(|metadata| crate::tail::backing::identify(&metadata));
            let Ok(identity) = identity else { continue };
            let (size, changed) = (heir.size, heir.changed);
            let mut content = Content { backing: heir.backing, identity, size, changed, head: Vec::new() };
            // It was a copy when it was met; it is read as the content only if it still is.
            if content.look_anew().is_ok() && self.is_like(&file, &content) {
                if content.backing.packing != Packing::Plain {
                    // How much comes out of it is known as of then; should it have grown, the next look finds that.
                    (content.size, content.changed) = (size, changed);
                }
                let sighting = sighting_of(file.source, heir.path, &content, heir.family);
                return self.move_to(file, content, &sighting, now, changes);
            }
        }
        let is_done = file.lowest() >= file.known_len();
        self.adrift.push(Adrift { file, looks_left: if is_done { 0 } else { LOOKS } });
        self.call_lost(changes);
    }

    /// After a complete scan: whose copy was not found is lost, as far as anyone can see.
    pub(super) fn age_adrift(&mut self, now: Clock, changes: &mut Vec<Change>) {
        if !self.is_inspecting() {
            // Its own file may turn out to hold it still: a compressed one that is written on.
            let is_pending = |file: &TailFile| self.pending.contains_key(&file.known_now().identity.place());
            let gone = self.adrift.iter_mut().filter(|adrift| !is_pending(&adrift.file));
            gone.for_each(|adrift| adrift.looks_left = adrift.looks_left.saturating_sub(1));
        }
        self.call_lost(changes);
        for adrift in std::mem::take(&mut self.adrift) {
            if adrift.file.life() == Life::Replaced && adrift.file.is_let_go() {
                self.leave(&adrift.file, true, now, changes);
            } else {
                self.adrift.push(adrift);
            }
        }
    }

    fn call_lost(&mut self, changes: &mut Vec<Change>) {
        for adrift in &self.adrift {
            if adrift.looks_left == 0 && adrift.file.life() != Life::Replaced {
                adrift.file.set_life(Life::Replaced);
                // So that every reader looks, and lets go of it.
                adrift.file.note_moved(adrift.file.size());
                changes.push(Change::Grew);
            }
        }
    }
}

/// A file that is open, as a scan would have seen it.
pub(super) fn sighting_of(source: usize, path: PathBuf, content: &Content, family: Family) -> Sighting {
    Sighting {
        path,
        source,
        family,
        device: content.identity.device,
        inode: content.identity.inode,
        size: content.size,
        changed: content.changed,
    }
}
