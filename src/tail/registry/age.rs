//! What becomes of the contents with time: final, closed, saved from deletion, forgotten.

use super::{
    Absent, Change, Clock, Content, Followed, Heir, KEPT, Place, Quiet, REMEMBERED, REMEMBERED_FOR, Registry,
    Remembered, STILL, Spool, Whence, displaced::sighting_of, relatives::may_be_at,
};
use crate::{
    ack::FileKey,
    model::{Family, FileName, Known, Mark, Packing, Sighting},
    tail::{
        backing::{self, Backing},
        file::{Life, TailFile},
        spool::{Saved, Saving},
    },
};
use std::{
    collections::{HashMap, HashSet},
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::Arc,
    time::Duration,
};

/// What is deleted is saved at once, unless it may be found out in a moment that a compressed form of it is there.
const PATIENCE: Duration = Duration::from_secs(10);
/// An inspection that takes longer holds nothing else up.
const LONGEST_INSPECTION: Duration = Duration::from_secs(60);
/// So many complete scans after its start the agent says what it does not find.
const SURE: u64 = 2;

impl Registry {
    /// What became of the files, with what the scan saw.
    pub(super) fn age(
        &mut self,
        seen: &HashSet<Place>,
        by_path: &HashMap<&Path, Place>,
        now: Clock,
        changes: &mut Vec<Change>,
    ) {
        self.age_followed(seen, by_path, now, changes);
        self.heirs.retain(|place, heir| seen.contains(place) || may_be_at(&heir.path, *place));
        self.doubt_heirs();
        self.look_at_unseen_quiet(seen, now, changes);
        self.age_adrift(now, changes);
        self.reconsider(now, changes);
        // What is inspected may turn out to be what is missed; but one file must not hold up all.
        self.inspecting_since = self.is_inspecting().then(|| self.inspecting_since.unwrap_or(now.uptime));
        if self.inspecting_since.is_none_or(|since| now.uptime.saturating_sub(since) >= LONGEST_INSPECTION) {
            self.restore(now, changes);
            // What waits for a descriptor is there.
            if !self.has_waiting() {
                self.age_absent(now, changes);
            }
        }
    }

    fn age_followed(
        &mut self,
        seen: &HashSet<Place>,
        by_path: &HashMap<&Path, Place>,
        now: Clock,
        changes: &mut Vec<Change>,
    ) {
        let is_inspecting = self.is_inspecting();
        let site = &self.site;
        let mut finished = Vec::new();
        let mut kept = Vec::new();
        let mut spoiled = Vec::new();
        for (place, followed) in &mut self.followed {
            let mut is_seen = seen.contains(place);
            if !is_seen && let Ok(metadata) = followed.file.metadata() {
                let was = followed.size;
                followed.note(metadata.len(), backing::changed(&metadata), now, changes);
                let is_deleted = metadata.nlink() == 0;
                is_seen = !is_deleted && may_be_at(&followed.path, *place);
                if is_deleted && followed.deleted_at.is_none() && !followed.is_intact() {
                    spoiled.push(followed.file.key);
                }
                if is_deleted {
                    followed.note_deleted(followed.size > was, now, changes);
                }
            }
            followed.grow_head(changes);
            if is_seen {
                changes.extend(followed.file.seen_on(now.day()).map(Change::Updated));
            }
            let origin = Path::new(&*followed.file.known.origin.path);
            let has_successor = by_path.get(origin).is_some_and(|other| other != place);
            let is_packed = followed.file.is_packed();
            // A program may name the file that it writes to by the day: such a name alone means nothing.
            let is_rotated = followed.family.is_rotated
                && (followed.path != origin
                    || by_path.contains_key(&*followed.path.with_file_name(&followed.family.base))
                    || site.is_rotated_elsewhere(followed.file.source));
            let is_ended = has_successor || !is_seen || is_rotated;
            if !(is_ended && now.uptime.saturating_sub(followed.still_since) >= STILL || is_packed) {
                continue;
            }
            followed.end(changes);
            if followed.file.is_let_go() {
                // A compressed file does not grow; a deleted one that is still does not either.
                match is_packed || followed.deleted_at.is_some() || followed.spool == Spool::Source {
                    true => finished.push(*place),
                    false => kept.push((followed.still_since, *place)),
                }
            }
        }
        // The longest still go first.
        kept.sort_unstable();
        let extra = kept.len().saturating_sub(if self.has_waiting() { 0 } else { KEPT });
        finished.extend(kept.into_iter().take(extra).map(|(_, place)| place));
        finished.into_iter().for_each(|place| self.close(place, now, changes));
        // Readers find out too, but one that waits for its destination does not read.
        spoiled.into_iter().for_each(|key| self.replace(key, now, changes));
        let deleted = self.followed.iter().filter_map(|(place, followed)| Some((*place, followed.deleted_at?)));
        for (place, at) in deleted.collect::<Vec<_>>() {
            if !is_inspecting || self.is_hurried || now.uptime.saturating_sub(at) >= PATIENCE {
                self.save(place, changes);
            }
        }
    }

    /// Has a deleted file's rest saved, unless another file holds it too.
    fn save(&mut self, place: Place, changes: &mut Vec<Change>) {
        let Some(followed) = self.followed.get_mut(&place) else { return };
        let name = followed.file.name();
        let backing = followed.file.backing();
        let is_packed = backing.packing != Packing::Plain;
        let points = followed.file.points();
        let rewind = points.iter().map(|point| point.rewind).min().filter(|_| !is_packed);
        let from = match followed.spool {
            Spool::Saving | Spool::Source => return,
            // An output without a point begins at the start.
            Spool::Nothing if points.len() < self.site.takers_of(followed.file.source) => 0,
            Spool::Nothing => rewind.unwrap_or(0),
            Spool::Saved(to) => to,
        };
        let is_pending = followed.file.lowest() < followed.file.size();
        if !is_pending && followed.spool != Spool::Nothing {
            // Should it grow again, that is saved anew.
            followed.spool = Spool::Nothing;
            changes.push(Change::Unsave(name));
            return;
        }
        let is_needed = is_pending && from < followed.size;
        // A compressed form may have been made before the last lines were written.
        let size = followed.file.size();
        let is_elsewhere = |heir: &Heir| heir.of == name && heir.backing.end().is_ok_and(|end| end >= size);
        if is_needed && followed.is_intact() && !self.heirs.values().any(is_elsewhere) {
            followed.spool = Spool::Saving;
            if !is_packed {
                // It can have grown since: whether what is saved is all of it must be known when it is found again.
                let to = followed.size;
                changes.extend(followed.file.update(|known| known.size = to).map(Change::Updated));
            }
            let (file, packing) = (backing.file, backing.packing);
            changes.push(Change::Save(Saving { name, file, packing, from, to: followed.size }));
        }
    }

    /// Takes in the answer to [`Change::Save`].
    pub fn saved(&mut self, saved: &Saved) {
        let mut followed = self.followed.values_mut();
        if let Some(followed) = followed.find(|followed| followed.file.name() == saved.name) {
            // Nothing of it fitted: the next look asks again.
            followed.spool = if saved.to == 0 { Spool::Nothing } else { Spool::Saved(saved.to) };
        }
    }

    /// A copy that has more than what it is a copy of is a content of its own; one of something that is gone is that.
    fn doubt_heirs(&mut self) {
        let (followed, quiet) = (&self.followed, &self.quiet);
        let names = followed.values().map(|followed| followed.file.name());
        // What the spool holds is followed in a moment.
        let spooled = self.spooled.iter().map(|spooled| spooled.name);
        let quiet = quiet.values().map(|quiet| quiet.remembered.known.origin.name);
        let held: HashSet<FileName> = names.chain(quiet).chain(spooled).collect();
        self.heirs.retain(|_, heir| {
            if !held.contains(&heir.of) {
                // What it is a copy of is in no other file any more: it is looked at anew.
                return false;
            }
            if heir.backing.packing != Packing::Plain {
                return true;
            }
            let source = followed.values().find(|followed| followed.file.name() == heir.of);
            let Some(source) = source.filter(|source| source.deleted_at.is_none()) else { return true };
            let (Ok(own), Ok(len)) = (heir.backing.end(), source.file.end()) else { return true };
            // Truncated just now: its readers will say so, and then the copy is needed.
            own <= len || !source.is_intact()
        });
    }

    /// Closes a file of which no output needs anything.
    pub(super) fn close(&mut self, place: Place, now: Clock, changes: &mut Vec<Change>) {
        let Some(followed) = self.followed.remove(&place) else { return };
        if self.by_path.get(&followed.path) == Some(&place) {
            self.by_path.remove(&followed.path);
        }
        self.closing.push(Arc::downgrade(&followed.file));
        let is_intact = followed.is_intact();
        let Followed { file, path, family, size, changed, deleted_at, spool, .. } = *followed;
        if spool != Spool::Nothing {
            changes.push(Change::Unsave(file.name()));
        }
        let is_away = !is_intact || deleted_at.is_some() || spool == Spool::Source || !may_be_at(&path, place);
        let heir = self.heirs.iter().find(|(_, heir)| heir.of == file.name()).map(|(place, _)| *place);
        match heir.filter(|_| is_away).and_then(|place| Some((place, self.heirs.remove(&place)?))) {
            Some((place, heir)) => {
                let mut known = file.known_now();
                if let Ok(metadata) = heir.backing.file.metadata() {
                    known.identity = backing::identify(&metadata);
                }
                known.packing = heir.backing.packing;
                known.size = heir.backing.end().unwrap_or(known.size);
                known.packed_size = if known.packing == Packing::Plain { 0 } else { heir.size };
                known.is_deleted = false;
                known.seen_at = super::seen_at(&heir.path, &known.origin.path);
                changes.push(Change::Updated(known.clone()));
                let remembered = Remembered { known, points: file.points(), trail: file.trail() };
                let (path, size, changed) = (heir.path, heir.size, heir.changed);
                self.be_quiet(place, Quiet { remembered, path, size, changed, is_rotated: true });
                changes.push(Change::Closed { key: file.key });
            }
            None if is_away => self.leave(&file, !is_intact || deleted_at.is_some(), now, changes),
            None => {
                let mut remembered = Remembered::of(&file);
                // There can be very many of them, and few are copied.
                remembered.trail = remembered.trail.split_off(remembered.trail.len().saturating_sub(2));
                let is_rotated = family.is_rotated;
                self.be_quiet(place, Quiet { remembered, path, size, changed, is_rotated });
                changes.push(Change::Closed { key: file.key });
            }
        }
    }

    pub(super) fn be_absent(&mut self, absent: Absent) {
        self.note_kin(&absent.remembered.known, Path::new(""), Whence::Absent(absent.name()));
        self.absent.insert(absent);
    }

    pub(super) fn be_quiet(&mut self, place: Place, quiet: Quiet) {
        self.note_kin(&quiet.remembered.known, &quiet.path, Whence::Quiet(place));
        self.quiet.insert(place, Box::new(quiet));
    }

    /// A content is in no file any more, and nobody reads it.
    pub(super) fn leave(&mut self, file: &TailFile, is_displaced: bool, now: Clock, changes: &mut Vec<Change>) {
        let remembered = Remembered::of(file);
        self.be_absent(Absent { remembered, since: now.uptime, is_displaced, is_said: true });
        changes.push(Change::Closed { key: file.key });
    }

    /// Contents that are in the spool only.
    fn restore(&mut self, now: Clock, changes: &mut Vec<Change>) {
        self.is_restored = true;
        for spooled in std::mem::take(&mut self.spooled) {
            let is_absent = self.absent.get(spooled.name).is_some();
            if !is_absent && self.names.contains(&spooled.name) {
                // Another file holds it.
                changes.push(Change::Unsave(spooled.name));
                continue;
            }
            let file = match backing::open(&spooled.path) {
                Ok(file) => file,
                Err(error) => {
                    if error.kind() != std::io::ErrorKind::NotFound {
                        changes.push(Change::Unreadable { path: spooled.path.clone(), error });
                        self.spooled.push(spooled);
                    }
                    continue;
                }
            };
            let Ok(metadata) = file.metadata() else { continue };
            let mut backing = Backing::plain(Arc::new(file));
            backing.packing = spooled.packing;
            let mut content = Content::unseen(backing, backing::identify(&metadata));
            (content.size, content.changed) = (metadata.len(), backing::changed(&metadata));
            let name = spooled.path.file_name().unwrap_or_default().to_string_lossy();
            let family = Family { base: name.into_owned(), is_rotated: true };
            let owner =
                self.absent.get(spooled.name).and_then(|absent| self.site.source_of(&absent.remembered.known));
            let sighting = sighting_of(owner.unwrap_or(0), spooled.path, &content, family);
            let Some(absent) = self.absent.take(spooled.name) else {
                // The state does not know it any more: what was saved is sent again, as something new.
                if content.look_anew().is_ok() {
                    self.place(content, sighting, now, changes);
                }
                continue;
            };
            let Remembered { mut known, .. } = absent.remembered;
            // Saved before the state had heard of it.
            known.is_deleted = true;
            content.backing.base = spooled.base;
            // An output can be further than what could be saved.
            content.backing.is_copy = true;
            // The state had heard of its length before anything was saved.
            content.backing.is_cut =
                spooled.packing == Packing::Plain && spooled.base.saturating_add(spooled.len) < known.size;
            content.backing.unpacked = known.size;
            let place = content.place();
            // Its line may go on in the file that came after it.
            let path = Path::new(&*known.origin.path);
            let family = Family::itself(&path.file_name().unwrap_or_default().to_string_lossy());
            let source = self.site.source_of(&known).unwrap_or(0);
            let family = self.family_of(&Sighting { path: path.into(), family, source, ..sighting.clone() });
            changes.push(self.follow_as(family, known, true, content, &sighting, now));
            if let Some(followed) = self.followed.get_mut(&place) {
                followed.file.set_life(Life::Final);
                followed.spool = Spool::Source;
                followed.expected = followed.file.known.size;
            }
        }
    }

    fn age_absent(&mut self, now: Clock, changes: &mut Vec<Change>) {
        // Its file is there, and cut off or damaged so far.
        let is_pending = |absent: &Absent| {
            !absent.is_displaced && self.pending.contains_key(&absent.remembered.known.identity.place())
        };
        let unsaid = self.absent.iter_mut().filter(|absent| !absent.is_said && !is_pending(absent));
        for absent in unsaid.filter(|_| self.looks >= SURE) {
            absent.is_said = true;
            let Remembered { known, points, .. } = &absent.remembered;
            let is_there = || may_be_at(Path::new(&*known.seen_at), known.identity.place());
            if self.unwanted.contains(&known.origin.name) && is_there() {
                continue;
            }
            let takers = self.site.source_of(known).map_or(0, |source| self.site.takers_of(source));
            let lowest = if points.len() < takers { Some(0) } else { points.iter().map(|point| point.at).min() };
            let lowest = lowest.unwrap_or(u64::MAX);
            let unread = known.size.max(u64::from(known.head.len)).saturating_sub(lowest);
            // Nothing more was coming, and nothing is missing.
            let is_whole = known.size > 0 && unread == 0;
            if takers > 0 && !is_whole && !known.is_lost && (known.head.len > 0 || lowest > 0) {
                let lost = Known { is_lost: true, ..known.clone() };
                changes.push(Change::Updated(lost));
                changes.push(Change::Destroyed { known: known.clone(), unread: Some(unread).filter(|n| *n > 0) });
            }
        }
        let is_old =
            |absent: &Absent| now.wall.0.saturating_sub(absent.remembered.known.last_seen.0) > REMEMBERED_FOR;
        for absent in self.absent.forget(REMEMBERED, is_old) {
            changes.push(Change::Forgotten(absent.name()));
            self.forget(&absent.remembered.known);
        }
    }
}

impl Followed {
    pub(super) fn note(&mut self, size: u64, changed: i64, now: Clock, changes: &mut Vec<Change>) {
        if (size, changed) == (self.size, self.changed) {
            return;
        }
        let is_packed = self.file.is_packed();
        self.is_spoiled |= if is_packed { size != self.size } else { size < self.size };
        (self.size, self.changed) = (size, changed);
        self.still_since = now.uptime;
        if self.file.life() == Life::Final && !is_packed {
            self.file.set_life(Life::Live);
            if !self.file.backing().is_copy && self.deleted_at.is_none() {
                // Before anything beyond it is read: one that has less than was read of it is taken for a copy.
                changes.extend(self.file.update(|known| known.size = 0).map(Change::Updated));
            }
        }
        self.file.note_change(self.file.end().unwrap_or(size));
        changes.push(Change::Grew);
    }

    /// The number of a content that is not what it was in its file any more; once.
    pub(super) fn take_spoiled(&mut self) -> Option<FileKey> {
        // What no path leads to can only be read as far as it goes.
        let is_spoiled =
            std::mem::take(&mut self.is_spoiled) && !(self.file.is_packed() && self.deleted_at.is_some());
        is_spoiled.then_some(self.file.key)
    }

    fn note_deleted(&mut self, has_grown: bool, now: Clock, changes: &mut Vec<Change>) {
        match self.deleted_at {
            // Truncated before it was deleted: its reader says so first.
            None if !self.is_intact() => {}
            None => {
                self.deleted_at = Some(now.uptime);
                let size = self.file.size();
                let gone = |known: &mut Known| (known.is_deleted, known.size) = (true, size);
                changes.extend(self.file.update(gone).map(Change::Updated));
            }
            Some(_) if has_grown && !self.is_said => {
                self.is_said = true;
                changes.push(Change::WrittenThoughDeleted { path: self.path.clone() });
            }
            Some(_) => {}
        }
    }

    /// Nothing more is coming, as far as anyone can see.
    fn end(&mut self, changes: &mut Vec<Change>) {
        let size = self.file.size();
        if self.file.life() == Life::Live {
            self.file.set_life(Life::Final);
            self.file.note_change(size);
            changes.push(Change::Grew);
            changes.extend(self.file.update(|known| known.size = size).map(Change::Updated));
        }
        let missing = std::mem::take(&mut self.expected).saturating_sub(size);
        if missing > 0 {
            changes.push(Change::Destroyed { known: self.file.known_now(), unread: Some(missing) });
        }
    }

    /// The head is all of the first 4 KiB that were ever seen.
    pub(super) fn grow_head(&mut self, changes: &mut Vec<Change>) {
        let head = self.file.head();
        let backing = self.file.backing();
        let may_grow = (head.len as usize) < Mark::MAX && self.file.size() > u64::from(head.len);
        // Where it was truncated meanwhile, and its old head says too little to show it, what was read does.
        if may_grow && backing.packing == Packing::Plain && backing.base == 0 && self.is_intact() {
            let mut bytes = [0; Mark::MAX];
            let Ok(n) = backing.read_at(&mut bytes, 0) else { return };
            self.file.grow_head(&bytes[..n]);
        }
        // A reader may have seen more of it first.
        let head = self.file.head();
        if head.len > self.head_said {
            self.head_said = head.len;
            changes.push(Change::Updated(self.file.known_now()));
        }
    }
}
