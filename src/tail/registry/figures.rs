//! What there is to count of the files.

use super::{Registry, Spool};

/// Of the files, as of the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Files that are open.
    pub open: u64,
    /// Files that wait for a descriptor.
    pub waiting: u64,
    /// Bytes that only deleted files, or the spool, hold and that some output does not have.
    pub deleted_bytes: u64,
}

impl Registry {
    /// Calls `beat` again and again during a look, which takes long when there are many files on a slow disk.
    pub fn beat_with(&mut self, beat: Box<dyn Fn() + Send>) {
        self.beat = beat;
    }

    /// What there is to count.
    pub fn figures(&self) -> Figures {
        let deleted = self.followed.values();
        let deleted = deleted.filter(|f| f.deleted_at.is_some() || f.spool == Spool::Source);
        Figures {
            open: self.known_open() as u64,
            waiting: self.waiting.len() as u64,
            deleted_bytes: deleted.map(|followed| followed.file.size().saturating_sub(followed.file.lowest())).sum(),
        }
    }
}
