//! What there is to count of the files.

use super::Registry;

/// Of the files, as of the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Files that are open.
    pub open: u64,
    /// Files that wait for a descriptor.
    pub waiting: u64,
    /// Bytes of deleted files that some output does not have.
    pub deleted_bytes: u64,
}

impl Registry {
    /// What there is to count.
    pub fn figures(&self) -> Figures {
        let deleted = self.followed.values().filter(|followed| followed.deleted_at.is_some());
        Figures {
            open: self.known_open() as u64,
            waiting: self.waiting.len() as u64,
            deleted_bytes: deleted.map(|followed| followed.file.size().saturating_sub(followed.file.lowest())).sum(),
        }
    }
}
