//! Which file is read next: round-robin over families of rotated files, and within a family in the order in which
//! its files were written.

use crate::{ack::FileKey, tail::TailFile};
use std::collections::{BTreeSet, HashMap, VecDeque};

/// Files that may have something to read.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// Families with files, in turn; each once.
    turns: VecDeque<u64>,
    families: HashMap<u64, BTreeSet<(i64, FileKey)>>,
}

impl Ready {
    pub(super) fn push(&mut self, file: &TailFile) {
        let files = self.families.entry(file.family).or_default();
        if files.is_empty() {
            self.turns.push_back(file.family);
        }
        files.insert((file.written, file.key));
    }

    pub(super) fn pop(&mut self) -> Option<FileKey> {
        let family = self.turns.pop_front()?;
        let files = self.families.get_mut(&family)?;
        let (_, key) = files.pop_first()?;
        if files.is_empty() {
            self.families.remove(&family);
        } else {
            self.turns.push_back(family);
        }
        Some(key)
    }

    pub(super) fn remove(&mut self, file: &TailFile) {
        if let Some(files) = self.families.get_mut(&file.family)
            && files.remove(&(file.written, file.key))
            && files.is_empty()
        {
            self.families.remove(&file.family);
            self.turns.retain(|family| *family != file.family);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }
}
