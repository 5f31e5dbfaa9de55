//! Committing: the safe positions on their way to the state, and letting go of files.

use super::{
    files::LaneFile,
    lane::Lane,
    succession::{Turn, len},
};
use crate::{ack::FileKey, model::Mark, state::Entry, tail::Life};
use std::{cmp::Reverse, time::Duration};

/// Cursors are saved this often …
const COMMIT: Duration = Duration::from_secs(1);
/// … and sooner at the start, so that an agent that never lives for long gets on nevertheless.
const FIRST_COMMIT: Duration = Duration::from_millis(50);

impl Lane {
    /// Saves the cursors once a second, and earlier when what is settled but not on disk takes up the window.
    pub(super) fn commit_when_due(&mut self, now: Duration) {
        let settled = self.settled();
        let is_in_the_way = self.undurable() > self.plan.window / 16 && self.is_full(0);
        let is_hurried = std::mem::take(&mut self.is_hurried);
        if now < self.next_commit() && !is_in_the_way && !is_hurried {
            return;
        }
        self.last_commit = now;
        self.commit();
        if self.undurable() > 0 || is_hurried {
            // When the folder cannot be written the alarm is given, and shipping goes on.
            self.store.sync();
            self.durable = settled;
        }
    }

    pub(super) fn next_commit(&self) -> Duration {
        self.last_commit + COMMIT.min(FIRST_COMMIT + self.last_commit)
    }

    /// Bytes that are settled, of which the state on disk does not know.
    pub(super) fn undurable(&self) -> u64 {
        self.settled().saturating_sub(self.durable)
    }

    /// Hands the safe positions that moved to the state, which syncs them within a second if nobody does before.
    pub(super) fn commit(&mut self) {
        self.release_handed();
        // The state on disk may end between any two of them. Of a container the newer first: that one is behind the open
        // line of the older one before the older one is done ...
        let mut dirty: Vec<FileKey> = self.dirty.drain().collect();
        dirty.sort_by_cached_key(|key| Reverse(self.nth(*key)));
        let mut entries: Vec<Entry> = dirty.into_iter().filter_map(|key| self.cursor(key)).collect();
        // ... and what was held back for an older one is done after it.
        let mut between: Vec<FileKey> = self.dirty.drain().collect();
        between.sort_by_cached_key(|key| self.nth(*key));
        entries.extend(between.into_iter().filter_map(|key| self.cursor(key)));
        self.store.append(entries);
        let keys: Vec<FileKey> = self.files.keys().copied().collect();
        keys.into_iter().for_each(|key| self.let_go_when_done(key));
    }

    /// The safe position of a file, when it is another than the last one.
    pub(super) fn cursor(&mut self, key: FileKey) -> Option<Entry> {
        let file = self.files.get(&key)?;
        let (committed, mut safe) = (file.file.committed(self.plan.index)?, *self.ledger.safe(key)?);
        if self.ledger.is_settled(key) && safe.rewind >= len(&file.file) && self.is_between(file) {
            // To be opened again after a crash.
            let is_lower = |(rewind, _): &(u64, Mark)| (committed.rewind + 1..=safe.rewind).contains(rewind);
            let before = file.place.before.filter(is_lower);
            (safe.rewind, safe.mark) = before.unwrap_or((committed.rewind, committed.mark));
            self.dirty.insert(key);
        }
        if safe.is_at(&committed) {
            return None;
        }
        file.file.set_committed(self.plan.index, safe);
        Some(Entry::Cursor { output: self.plan.name.clone(), file: file.file.name(), point: safe })
    }

    /// Lets go of a file that this output needs nothing of any more.
    pub(super) fn let_go_when_done(&mut self, key: FileKey) {
        let Some(file) = self.files.get(&key) else { return };
        let is_read = match file.file.life() {
            Life::Live | Life::Adrift => false,
            Life::Final => file.place.at >= file.file.size() && self.is_committed(key, file),
            Life::Replaced => true,
        };
        if is_read && self.ledger.is_settled(key) && !file.is_queued {
            file.file.let_go(self.plan.index);
        }
    }

    /// Whether the state knows how far the file is settled, and nothing of it is needed for those beside it. Of a file of
    /// lines the beginning of an endless last one does not count.
    fn is_committed(&self, key: FileKey, file: &LaneFile) -> bool {
        let Some((safe, committed)) = self.ledger.safe(key).zip(file.file.committed(self.plan.index)) else {
            return false;
        };
        let is_needed = file.turn == Turn::Complete || committed.rewind < len(&file.file);
        safe.is_at(&committed) && !(file.frame.is_container() && is_needed)
    }
}
