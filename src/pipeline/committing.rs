//! Committing: the safe positions on their way to the state, and letting go of files.

use super::lane::Lane;
use crate::{ack::FileKey, state::Entry, tail::Life};
use std::time::Duration;

/// Cursors are saved this often …
const COMMIT: Duration = Duration::from_secs(1);
/// … and sooner at the start, so that an agent that never lives for long gets on nevertheless.
const FIRST_COMMIT: Duration = Duration::from_millis(50);

impl Lane {
    /// Saves the cursors once a second, and earlier when what is settled but not on disk takes up the window.
    pub(super) fn commit_when_due(&mut self, now: Duration) {
        let settled = self.settled();
        let is_in_the_way = self.undurable() > self.plan.window / 16 && self.is_full(0);
        if now < self.next_commit() && !is_in_the_way {
            return;
        }
        self.last_commit = now;
        self.commit();
        if self.undurable() > 0 {
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
        let dirty: Vec<FileKey> = self.dirty.drain().collect();
        let entries: Vec<Entry> = dirty.into_iter().filter_map(|key| self.cursor(key)).collect();
        self.store.append(entries);
        let keys: Vec<FileKey> = self.files.keys().copied().collect();
        keys.into_iter().for_each(|key| self.let_go_when_done(key));
    }

    /// The safe position of a file, when it is another than the last one.
    pub(super) fn cursor(&mut self, key: FileKey) -> Option<Entry> {
        let (file, safe) = (self.files.get(&key)?, self.ledger.safe(key)?);
        if self.committed.insert(key, safe.at) == Some(safe.at) {
            return None;
        }
        file.file.set_committed(self.plan.index, *safe);
        Some(Entry::Cursor { output: self.plan.name.clone(), file: file.file.name(), point: *safe })
    }

    /// Lets go of a file that this output needs nothing of any more.
    pub(super) fn let_go_when_done(&mut self, key: FileKey) {
        let Some(file) = self.files.get(&key) else { return };
        let is_committed = self.ledger.safe(key).is_some_and(|safe| self.committed.get(&key) == Some(&safe.at));
        let is_read = match file.file.life() {
            Life::Live | Life::Adrift => false,
            Life::Final => file.place.at >= file.file.size() && is_committed,
            Life::Replaced => true,
        };
        if is_read && self.ledger.is_settled(key) && !file.is_queued {
            file.file.let_go(self.plan.index);
        }
    }
}
