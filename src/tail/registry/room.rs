//! Descriptors: when there are fewer than files, those that are done with make room for those that are not.

use super::{Change, Clock, Place, Registry};
use std::time::Duration;

/// What is known of descriptors within one look.
#[derive(Default)]
pub(super) struct Room {
    /// How many files that were closed before it are open somewhere …
    closing_before: Option<usize>,
    /// … and how many were closed for others.
    pub(super) promised: usize,
    /// Files that can be closed when there are no descriptors left, the best last.
    closable: Option<Vec<Place>>,
}

impl Registry {
    /// Whether files wait for a descriptor.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Opens files that wait for a descriptor, as far as others are done with.
    pub fn open_waiting(&mut self, now: Clock) -> Vec<Change> {
        let mut changes = Vec::new();
        self.room = Room::default();
        for _ in 0..self.waiting.len() {
            (self.beat)();
            let Some(sighting) = self.waiting.pop_front() else { break };
            if self.make_room(now, &mut changes) {
                self.meet(sighting, now, &mut changes);
                continue;
            }
            self.waiting.push_front(sighting);
            let is_exhausted = self.room.closable.as_ref().is_none_or(Vec::is_empty);
            if is_exhausted || self.room.promised >= self.waiting.len() {
                break;
            }
        }
        changes
    }

    /// Whether one more file can be opened in this look. `false`: when one that is done with could be closed for it, it
    /// can be opened at the next look, because until then a reader may have the other one open.
    pub(super) fn make_room(&mut self, now: Clock, changes: &mut Vec<Change>) -> bool {
        let open = match self.room.closing_before {
            // What is closed in this look may be open for a moment more.
            Some(closing) => self.known_open() + closing + self.room.promised,
            None => {
                let open = self.open_files();
                self.room.closing_before = Some(self.closing.len());
                open
            }
        };
        if open < self.site.capacity {
            return true;
        }
        let closable = match &mut self.room.closable {
            Some(closable) => closable,
            closable => {
                let done = self.followed.iter().filter_map(|(place, followed)| {
                    let is_done = followed.file.lowest() >= followed.file.size();
                    is_done.then_some((followed.still_since, *place))
                });
                let mut done: Vec<(Duration, Place)> = done.collect();
                done.sort_unstable_by(|a, b| b.cmp(a));
                closable.insert(done.into_iter().map(|(_, place)| place).collect())
            }
        };
        while let Some(place) = closable.pop() {
            let Some(followed) = self.followed.get(&place) else { continue };
            // Whatever was written since the last look is not read yet.
            if followed.is_intact()
                && followed.deleted_at.is_none()
                && followed.file.end().is_ok_and(|end| followed.file.lowest() >= end)
            {
                self.close(place, now, changes);
                self.room.promised += 1;
                return false;
            }
        }
        false
    }

    /// Also those that were closed here, and that some reader has not let go of yet.
    pub(super) fn open_files(&mut self) -> usize {
        self.closing.retain(|file| file.strong_count() > 0);
        self.known_open() + self.closing.len()
    }

    pub(super) fn known_open(&self) -> usize {
        self.followed.len() + self.adrift.len() + self.heirs.len() + self.pending.len()
    }
}
