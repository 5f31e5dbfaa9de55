//! Files that are met for the first time, or again after they were out of sight.

use super::{
    Absent, Change, Clock, Content, Heir, Pending, Quiet, Registry, Remembered, STILL, State, matching::Decision,
    place, seen_at,
};
use crate::{
    model::{FileName, Mark, Packing, Sighting, packing_of},
    tail::{
        backing,
        file::Life,
        inspect::{Inspected, Inspection},
    },
};
use rustix::io::Errno;
use std::{io, os::unix::fs::MetadataExt as _, sync::Arc};

impl Registry {
    /// A file that is not followed, nor known to hold nothing new.
    pub(super) fn meet(&mut self, sighting: Sighting, now: Clock, changes: &mut Vec<Change>) {
        if let Some(pending) = self.pending.get_mut(&place(&sighting)) {
            pending.sighting = sighting;
            return;
        }
        match self.open(&sighting) {
            Ok(content) => self.place(content, sighting, now, changes),
            // Renamed or deleted since the scan: the next one knows.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.doubt_around(&sighting),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::MFILE) => {
                // Fewer than the limit says: others of the process have them.
                self.site.capacity = self.site.capacity.min(self.open_files()).max(1);
                self.waiting.push_back(sighting);
            }
            Err(error) => changes.push(Change::Unreadable { path: sighting.path, error }),
        }
    }

    fn open(&self, sighting: &Sighting) -> io::Result<Content> {
        let file = backing::open(&sighting.path)?;
        let place = backing::identify(&file.metadata()?);
        let is_known_packed = self.absent.in_inode(place.inode).any(|absent| {
            let known = &absent.remembered.known;
            known.packing != Packing::Plain && known.identity.place() == place.place()
        });
        let name = sighting.path.file_name().unwrap_or_default().to_string_lossy();
        let named = packing_of(&name);
        let says_packed = sighting.family.is_rotated || named != Packing::Plain;
        Content::look(file, is_known_packed || says_packed, named)
    }

    pub(super) fn place(&mut self, mut content: Content, sighting: Sighting, now: Clock, changes: &mut Vec<Change>) {
        // Renamed since the scan: what the path leads to now may be known already.
        let place = content.place();
        let is_known = self.followed.contains_key(&place) || self.quiet.contains_key(&place);
        if is_known || self.heirs.contains_key(&place) || self.pending.contains_key(&place) {
            return self.doubt_around(&sighting);
        }
        let is_packed = content.backing.packing != Packing::Plain;
        let candidate = self.candidate(&content);
        if let Some((name, absent)) = candidate.and_then(|name| Some((name, self.absent.get(name)?))) {
            let Remembered { known, points, .. } = &absent.remembered;
            let (unpacked, packed_size) = (known.size, known.packed_size);
            match content.holds_all(known, points) {
                // How much comes out of it now was not found out yet.
                Ok(true) if is_packed && (unpacked == 0 || packed_size != content.size) => {}
                Ok(true) => {
                    content.backing.unpacked = unpacked;
                    if let Some(absent) = self.absent.take(name) {
                        self.take_up(absent, content, &sighting, now, changes);
                    }
                    return;
                }
                Ok(false) => self.absent.displace(name, now.uptime),
                Err(error) => return changes.push(Change::Unreadable { path: sighting.path, error }),
            }
        }
        let pending = Pending { content, sighting, still_since: now.uptime, state: State::Undecided };
        if is_packed {
            self.ask(pending, now, changes);
        } else {
            self.settle(pending, None, now, changes);
        }
    }

    /// Has a compressed file inspected.
    fn ask(&mut self, mut pending: Pending, now: Clock, changes: &mut Vec<Change>) {
        let place = pending.content.place();
        self.index_kin();
        let wanted = self.wanted_marks(&pending.content, &pending.sighting, now);
        let backing = &pending.content.backing;
        changes.push(Change::Inspect(Inspection {
            place,
            file: Arc::clone(&backing.file),
            packing: backing.packing,
            wanted,
        }));
        pending.state = State::Asked;
        self.pending.insert(place, pending);
    }

    /// Takes in the answer to [`Change::Inspect`].
    pub fn inspected(&mut self, mut inspected: Inspected, now: Clock, changes: &mut Vec<Change>) {
        let Some(mut pending) = self.pending.remove(&inspected.place) else { return };
        // What was asked was asked of another file, so to speak.
        if !pending.content.look_again().is_ok_and(|is_new| !is_new) {
            (pending.state, pending.still_since) = (State::Undecided, now.uptime);
            self.pending.insert(inspected.place, pending);
            return;
        }
        pending.content.backing = inspected.backing.clone();
        match inspected.broken.take() {
            Some(error) => {
                let place = inspected.place;
                pending.state = State::Broken(Box::new(inspected), error);
                self.pending.insert(place, pending);
                if self.is_hurried {
                    self.reconsider(now, changes);
                }
            }
            None => {
                pending.state = State::Undecided;
                self.settle(pending, Some(&inspected), now, changes);
            }
        }
    }

    /// Puts a file where it belongs, as far as that can be known now.
    fn settle(&mut self, pending: Pending, inspected: Option<&Inspected>, now: Clock, changes: &mut Vec<Change>) {
        // A file that was not rotated is written to: it is nothing's copy.
        let is_made = pending.sighting.family.is_rotated || inspected.is_some();
        if is_made {
            self.index_kin();
            // Whether it is a copy of what a file held, or of what that file holds since it was truncated.
            self.replace_spoiled(&pending.sighting, now, changes);
        }
        let Pending { content, sighting, .. } = &pending;
        let decision = match self.goes_on(content, inspected) {
            Some(name) => Decision::Holds(name),
            None if is_made => self.decide(content, sighting, inspected, now),
            None => Decision::New,
        };
        let is_over = pending.is_over(now);
        let Pending { content, sighting, still_since, .. } = pending;
        match decision {
            Decision::Holds(name) => self.adopt(name, content, &sighting, now, changes),
            Decision::Copies(name) => self.note_heir(name, content, &sighting),
            // What is whole and lacks something will lack it for ever.
            Decision::Undecided if is_over || inspected.is_some() => self.begin(content, &sighting, now, changes),
            Decision::New => self.begin(content, &sighting, now, changes),
            Decision::Undecided | Decision::AskAgain => {
                let state = State::Undecided;
                self.pending.insert(content.place(), Pending { content, sighting, still_since, state });
            }
        }
    }

    /// Reads a content that is new.
    fn begin(&mut self, content: Content, sighting: &Sighting, now: Clock, changes: &mut Vec<Change>) {
        let mut known = self.christen(&content, &sighting.path, sighting.source, now);
        known.size = content.backing.unpacked;
        changes.push(self.follow(known, false, content, sighting, now));
    }

    /// Looks again at the files of which it is not known what they are.
    pub(super) fn reconsider(&mut self, now: Clock, changes: &mut Vec<Change>) {
        let places: Vec<super::Place> = self.pending.keys().copied().collect();
        if !places.is_empty() {
            self.index_kin();
        }
        for place in places {
            let Some(mut pending) = self.pending.remove(&place) else { continue };
            // What cannot be looked at now is looked at by the next scan.
            if !matches!(pending.state, State::Asked) && pending.content.look_again().is_ok_and(|is_new| is_new) {
                pending.still_since = now.uptime;
                pending.state = State::Undecided;
            }
            let is_packed = pending.content.backing.packing != Packing::Plain;
            match pending.state {
                State::Undecided if is_packed => self.ask(pending, now, changes),
                State::Undecided => self.settle(pending, None, now, changes),
                State::Broken(..) if (self.is_hurried || pending.is_over(now)) && !self.has_source(&pending, now) => {
                    self.give_in(pending, now, changes);
                }
                State::Asked | State::Broken(..) => _ = self.pending.insert(place, pending),
            }
        }
    }

    /// A compressed file is cut off or damaged, and nothing more is coming: what comes out of it is read.
    fn give_in(&mut self, mut pending: Pending, now: Clock, changes: &mut Vec<Change>) {
        let State::Broken(inspected, error) = std::mem::replace(&mut pending.state, State::Undecided) else { return };
        if inspected.backing.unpacked > 0 || error.kind() == io::ErrorKind::UnexpectedEof {
            changes.push(Change::Broken { path: pending.sighting.path.clone(), error });
            return self.settle(pending, Some(&inspected), now, changes);
        }
        // It only begins like a compressed file.
        pending.content.backing.packing = Packing::Plain;
        match pending.content.look_anew() {
            Ok(()) => self.begin(pending.content, &pending.sighting, now, changes),
            Err(error) => changes.push(Change::Unreadable { path: pending.sighting.path, error }),
        }
    }

    /// A content that was in no file is in this one.
    pub(super) fn adopt(
        &mut self,
        name: FileName,
        content: Content,
        sighting: &Sighting,
        now: Clock,
        changes: &mut Vec<Change>,
    ) {
        if let Some(absent) = self.absent.take(name) {
            return self.take_up(absent, content, sighting, now, changes);
        }
        let quiet = self.quiet.iter().find(|(_, quiet)| quiet.remembered.known.origin.name == name);
        if let Some(place) = quiet.map(|(place, _)| *place)
            && let Some(quiet) = self.quiet.remove(&place)
        {
            let Quiet { remembered, .. } = *quiet;
            let absent = Absent { remembered, since: now.uptime, is_displaced: true, is_said: true };
            return self.take_up(absent, content, sighting, now, changes);
        }
        let Some(index) = self.adrift.iter().position(|adrift| adrift.file.name() == name) else { return };
        let file = self.adrift.swap_remove(index).file;
        self.move_to(file, content, sighting, now, changes);
    }

    /// Reads a content that readers have open from another file from now on.
    pub(super) fn move_to(
        &mut self,
        file: Arc<crate::tail::TailFile>,
        mut content: Content,
        sighting: &Sighting,
        now: Clock,
        changes: &mut Vec<Change>,
    ) {
        let (place, packing, shape) = (content.place(), content.backing.packing, (content.size, content.changed));
        let packed_size = content.packed_size();
        let (identity, at) = (content.identity, seen_at(&sighting.path, &file.known.origin.path));
        let len = content.backing.end().unwrap_or(content.size);
        let expected = file.known_len();
        content.backing.is_copy = true;
        file.set_backing(content.backing);
        file.set_life(if packing == Packing::Plain { Life::Live } else { Life::Final });
        let updated = file.update(|known| {
            known.identity = identity;
            (known.packing, known.packed_size) = (packing, packed_size);
            (known.is_deleted, known.is_lost) = (false, false);
            known.seen_at = at;
            known.size = len;
        });
        changes.extend(updated.map(Change::Updated));
        file.note_moved(len);
        changes.push(Change::Grew);
        self.keep(file, place, shape, expected, sighting, now);
    }

    /// A content that was remembered only is in this file.
    fn take_up(
        &mut self,
        absent: Absent,
        mut content: Content,
        sighting: &Sighting,
        now: Clock,
        changes: &mut Vec<Change>,
    ) {
        let Remembered { mut known, points, trail } = absent.remembered;
        let before = known.clone();
        // The device number can have changed, or the content is in another file; the name stays.
        known.identity = content.identity;
        (known.packing, known.packed_size) = (content.backing.packing, content.packed_size());
        (known.is_deleted, known.is_lost) = (false, false);
        known.seen_at = seen_at(&sighting.path, &known.origin.path);
        known.last_seen = now.day();
        let len = content.backing.end().unwrap_or(content.size);
        if known.identity != before.identity || known.packing != Packing::Plain {
            known.size = len;
        }
        if content.head.len() > known.head.len as usize {
            known.head = Mark::of(&content.head);
        }
        let source = self.site.owner_of(&known, sighting.source);
        let is_passed_on = self.site.source_of(&known) != Some(source);
        if let Some(name) = self.site.sources.get(source).filter(|_| is_passed_on) {
            known.origin.source = Arc::clone(name);
            changes.push(Change::PassedOn { known: known.clone(), from: Arc::clone(&before.origin.source) });
        }
        // Of another source's outputs it is not known here which of them have it.
        let is_delivered = !is_passed_on && points.len() >= self.site.takers_of(source);
        let is_quiet = is_delivered && points.iter().all(|point| point.rewind >= len) && sighting.family.is_rotated;
        let is_whole = points.iter().all(|point| point.at <= known.size);
        if !is_quiet && known.packing == Packing::Plain && is_whole {
            // It is no copy that lacks the end; what is read from now on must not make it look like one.
            known.size = 0;
        }
        if known != before {
            changes.push(Change::Updated(known.clone()));
        }
        if is_quiet {
            self.be_quiet(
                content.place(),
                Quiet {
                    remembered: Remembered { known, points, trail },
                    path: sighting.path.clone(),
                    size: content.size,
                    changed: content.changed,
                    is_rotated: true,
                },
            );
            return;
        }
        // It can be a copy that was made before the last bytes were written.
        content.backing.is_copy = points.iter().any(|point| point.at > len);
        let place = content.place();
        let change = self.follow(known, true, content, sighting, now);
        if let Change::Opened { file, .. } = &change {
            file.set_trail(trail);
        }
        if let Some(followed) = self.followed.get_mut(&place) {
            // Less than it is known to have had is a loss to be said.
            followed.expected = before.size;
        }
        changes.push(change);
    }

    pub(super) fn note_heir(&mut self, of: FileName, content: Content, sighting: &Sighting) {
        let place = content.place();
        let Content { backing, size, changed, .. } = content;
        self.heirs.insert(
            place,
            Heir { of, backing, path: sighting.path.clone(), family: sighting.family.clone(), size, changed },
        );
    }

    /// Whether the file is known to hold nothing that is not delivered.
    pub(super) fn is_quiet(&mut self, sighting: &Sighting, now: Clock, changes: &mut Vec<Change>) -> bool {
        let place = place(sighting);
        let Some(quiet) = self.quiet.get_mut(&place) else { return false };
        if (quiet.size, quiet.changed) == (sighting.size, sighting.changed) {
            quiet.path.clone_from(&sighting.path);
            quiet.is_rotated = sighting.family.is_rotated;
            let known = &mut quiet.remembered.known;
            if std::mem::replace(&mut known.last_seen, now.day()) != now.day() {
                changes.push(Change::Updated(known.clone()));
            }
            return true;
        }
        if let Some(quiet) = self.quiet.remove(&place) {
            let Quiet { remembered, .. } = *quiet;
            self.be_absent(Absent { remembered, since: now.uptime, is_displaced: false, is_said: true });
        }
        false
    }

    /// Whether the file is known to be a copy of a content that is read from another one.
    pub(super) fn is_heir(&mut self, sighting: &Sighting) -> bool {
        let place = place(sighting);
        let Some(heir) = self.heirs.get_mut(&place) else { return false };
        if (heir.size, heir.changed) == (sighting.size, sighting.changed) {
            heir.path.clone_from(&sighting.path);
            return true;
        }
        // A copy that grows, or something else by now.
        self.heirs.remove(&place);
        false
    }
}

impl Pending {
    /// Whether nothing more is coming.
    fn is_over(&self, now: Clock) -> bool {
        let is_deleted = || self.content.backing.file.metadata().is_ok_and(|metadata| metadata.nlink() == 0);
        // It can have been still for long when it was met. Where the clocks differ, it is taken for whole too early, and
        // its lines can come twice.
        let was_still = now.wall.0.saturating_sub(self.content.changed) >= STILL.as_nanos() as i64;
        now.uptime.saturating_sub(self.still_since) >= STILL || was_still || is_deleted()
    }
}
