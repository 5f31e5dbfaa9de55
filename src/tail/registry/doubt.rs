//! Doubt: families of which a scan can have missed a file. Names change while a folder is listed: what was renamed just
//! then is not in the list, or cannot be opened by the name that is. Where the files of a family are read in turn, a new
//! one waits until a complete scan finds no other.

use super::{Pending, Registry, State};
use crate::model::Sighting;
use std::collections::{HashMap, HashSet};

/// A family that gets new files all the time is doubted for so many scans in a row: that they miss the same file each
/// time is not to be expected.
const MOST: u8 = 5;

/// The doubted families.
#[derive(Default)]
pub(super) struct Doubts {
    /// Since the last scan, with the number of scans in a row.
    now: HashMap<u64, u8>,
    /// At the scan before.
    before: HashMap<u64, u8>,
    /// Those of the first scan that were not settled since.
    first: HashSet<u64>,
}

impl Doubts {
    /// A complete scan comes.
    pub(super) fn renew(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }

    /// A complete scan has been taken in.
    pub(super) fn note_look(&mut self, is_first: bool) {
        if is_first {
            self.first = self.now.keys().copied().collect();
        }
        self.first.retain(|family| self.now.contains_key(family));
    }

    /// Whether some family was not settled since the start.
    pub(super) fn is_starting(&self) -> bool {
        !self.first.is_empty()
    }
}

impl Registry {
    /// There may be other files beside this one, of this source, than were seen.
    pub(super) fn doubt(&mut self, source: usize, family: u64) {
        let scans = self.doubts.before.get(&family).map_or(1, |scans| scans + 1);
        if self.site.is_in_turn(source) && scans <= MOST {
            self.doubts.now.insert(family, scans);
        }
    }

    pub(super) fn doubt_around(&mut self, sighting: &Sighting) {
        self.doubt(sighting.source, self.family_of(sighting));
    }

    /// Whether the next scan should come soon.
    pub fn wants_look(&self) -> bool {
        self.is_settling() || !self.doubts.now.is_empty()
    }

    /// Of the families whose files are read in turn: those of which not all files are known.
    pub fn unsettled(&self) -> HashSet<u64> {
        let pending = self.pending.values().filter(|pending| pending.is_open()).map(|pending| &pending.sighting);
        let unknown = pending.chain(&self.waiting).filter(|sighting| self.site.is_in_turn(sighting.source));
        unknown.map(|sighting| self.family_of(sighting)).chain(self.doubts.now.keys().copied()).collect()
    }
}

impl Pending {
    /// Whether something is going to be found out without which the others can do nothing.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state, State::Broken(..))
    }
}
