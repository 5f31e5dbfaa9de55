//! Committing: the safe positions on their way to the state, and letting go of files.

use super::lane::Lane;
use crate::{ack::FileKey, state::Entry, tail::Life};
use std::time::Duration;

/// Cursors are handed to the state this often.
pub(super) const COMMIT: Duration = Duration::from_secs(1);

impl Lane {
    /// Once a second, and earlier when a quarter of the window is settled and not on disk.
    pub(super) fn commit_when_due(&mut self, now: Duration) {
        while let Some((number, settled)) = self.committing.front().copied() {
            if !self.store.is_past(number) {
                break;
            }
            self.durable = settled;
            self.committing.pop_front();
        }
        let is_much = self.settled().saturating_sub(self.durable) > self.plan.window / 4;
        if is_much || now.saturating_sub(self.last_commit) >= COMMIT {
            self.last_commit = now;
            self.commit();
            if is_much {
                self.store.sync();
            }
        }
    }

    /// Hands the safe positions that moved to the state, which syncs them within a second.
    pub(super) fn commit(&mut self) {
        let mut entries = Vec::new();
        for key in self.dirty.drain() {
            let (Some(file), Some(safe)) = (self.files.get(&key), self.ledger.safe(key)) else { continue };
            if self.committed.insert(key, safe.at) != Some(safe.at) {
                file.file.set_settled(self.plan.index, safe.at);
                entries.push(Entry::Cursor { output: self.plan.name.clone(), file: file.file.name(), point: *safe });
            }
        }
        let number = self.store.append(entries);
        if self.settled() > self.durable {
            self.committing.push_back((number, self.settled()));
        }
        let keys: Vec<FileKey> = self.files.keys().copied().collect();
        keys.into_iter().for_each(|key| self.let_go_when_done(key));
    }

    /// Lets go of a file that this output needs nothing of any more.
    pub(super) fn let_go_when_done(&mut self, key: FileKey) {
        let Some(file) = self.files.get(&key) else { return };
        let is_committed = self.ledger.safe(key).is_some_and(|safe| self.committed.get(&key) == Some(&safe.at));
        let is_read = match file.file.life() {
            Life::Live => false,
            Life::Final => file.place.at >= file.file.size() && is_committed,
            Life::Replaced => true,
        };
        if is_read && self.ledger.is_settled(key) && !file.is_queued {
            file.file.let_go(self.plan.index);
        }
    }
}
