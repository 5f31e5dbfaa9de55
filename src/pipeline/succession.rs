//! Succession: a line of a container that is open at the end of its file goes on in the file that the runtime begins
//! next. The files of a container are framed one after the other: a new one waits until the one before is framed to its
//! end, and takes over what is open there. The one before stays needed until the new one needs nothing of it.

use super::{containers::Containers, files::LaneFile, lane::Lane};
use crate::{
    ack::FileKey,
    frame::Framer,
    model::{Mark, Packing, packing_of},
    tail::{Change, Life, TailFile},
};
use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::Arc,
    time::Duration,
};

/// A file that cannot be read holds up the next one for so long; a line that lies in both is torn then.
const PATIENCE: Duration = Duration::from_secs(30);

/// How far a file of a container is with that. Of other files: always [`Turn::Begun`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// What the file before leaves open is not known yet; nothing of this one is framed.
    Waiting,
    /// It is framed.
    Begun,
    /// It is framed to its end, and the next one has begun to be written.
    Complete,
    /// What it leaves open is with this one.
    Handed(FileKey),
}

/// Where a runtime's name puts a file among the files of its container.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Called {
    /// By Docker: the higher the number, the older.
    Numbered(Reverse<u64>),
    /// By the kubelet, with its time.
    Stamped(String),
    /// It had the name of the container's log when it was unlinked, or another was renamed over it.
    Unlinked,
    /// By the name of the container's log.
    Current,
}

impl Called {
    /// By its last name.
    fn of(file: &TailFile) -> Called {
        let known = file.known_now();
        let name = Path::new(&*known.seen_at).file_name().unwrap_or_default().to_string_lossy();
        let plain = match packing_of(&name) {
            Packing::Plain => &name,
            Packing::Gzip | Packing::Zstd => name.rsplit_once('.').map_or(&*name, |(plain, _)| plain),
        };
        let last = plain.rsplit_once('.').map_or("", |(_, last)| last);
        match last.parse() {
            Ok(number) => Called::Numbered(Reverse(number)),
            Err(_) if last.starts_with(|first: char| first.is_ascii_digit()) => Called::Stamped(last.to_owned()),
            Err(_) if known.is_deleted => Called::Unlinked,
            Err(_) => Called::Current,
        }
    }
}

/// What the files of some families are called, all at one moment; and whether a path leads to them.
pub(super) type Names = HashMap<FileKey, (Called, bool)>;

/// The names in the families of containers' files that were opened, before anybody renames them again. `None`: none was
/// opened.
pub(super) fn names<'f>(
    changes: &[Change],
    files: impl Iterator<Item = &'f Arc<TailFile>>,
    containers: &Containers,
) -> Option<Arc<Names>> {
    let opened = changes.iter().filter_map(|change| match change {
        Change::Opened { file, .. } if containers.has(file.source) => Some(file.family),
        _ => None,
    });
    let families: HashSet<u64> = opened.collect();
    if families.is_empty() {
        return None;
    }
    let is_there = |file: &TailFile| file.metadata().is_ok_and(|metadata| metadata.nlink() > 0);
    let named = files.filter(|file| families.contains(&file.family));
    Some(Arc::new(named.map(|file| (file.key, (Called::of(file), is_there(file)))).collect()))
}

impl Lane {
    /// Takes in what files are called now.
    pub(super) fn named(&mut self, names: Arc<Names>) {
        for (key, (called, is_there)) in names.iter() {
            let Some(file) = self.files.get_mut(key).filter(|file| file.frame.is_container()) else { continue };
            // The last name of one that is gone says where it was among the others then.
            if *is_there {
                file.called = called.clone();
            } else if file.called == Called::Current {
                file.called = Called::Unlinked;
            }
        }
        self.names = names;
    }

    /// Puts a file among those of its container, which are kept in the order in which they were written. That order
    /// never changes, whatever they are called later.
    pub(super) fn join_family(&mut self, file: &mut LaneFile) {
        if !file.frame.is_container() {
            return;
        }
        if let Some((called, _)) = self.names.get(&file.file.key) {
            file.called = called.clone();
        }
        let others = self.families.entry(file.file.family).or_default();
        let own = (&file.called, file.file.known.origin.first_seen);
        let is_newer = |other: &FileKey| {
            self.files.get(other).is_some_and(|other| (&other.called, other.file.known.origin.first_seen) > own)
        };
        let place = others.iter().position(is_newer).unwrap_or(others.len());
        others.insert(place, file.file.key);
    }

    pub(super) fn leave_family(&mut self, file: &LaneFile) {
        let family = file.file.family;
        if let Some(keys) = self.families.get_mut(&family) {
            keys.retain(|key| *key != file.file.key);
            if keys.is_empty() {
                self.families.remove(&family);
            }
            self.wake_waiting(family);
        }
    }

    /// The files of the container that are older and that are newer than this one.
    fn relatives(&self, file: &LaneFile) -> (&[FileKey], &[FileKey]) {
        let all = self.families.get(&file.file.family).map_or(&[][..], Vec::as_slice);
        match all.iter().position(|key| *key == file.file.key) {
            Some(own) => (&all[..own], &all[own + 1..]),
            None => (&[], &[]),
        }
    }

    /// Whether a newer file of the container exists, and whether it has anything in it.
    pub(super) fn newer(&self, file: &LaneFile) -> (bool, bool) {
        if !file.frame.is_container() {
            return (false, false);
        }
        let newer = self.relatives(file).1.iter().filter_map(|key| self.files.get(key));
        // One that was deleted or replaced before anything came is as if it had never been.
        let largest = newer.map(|newer| &newer.file).filter(|file| is_of_use(file)).map(|file| file.size()).max();
        (largest.is_some(), largest.is_some_and(|size| size > 0))
    }

    /// Lets the file begin when the one before it is framed to its end. `false`: it has to wait.
    pub(super) fn take_over(&mut self, file: &mut LaneFile, now: Duration) -> bool {
        if file.turn != Turn::Waiting {
            return true;
        }
        // What was rotated just now, or while nobody looked, may not have been found yet.
        if !self.is_known(file) {
            return false;
        }
        let is_there =
            |key: &&FileKey| self.files.get(*key).is_some_and(|before| before.file.life() != Life::Replaced);
        let before = self.relatives(file).0.iter().rev().find(is_there).copied();
        let is_unused = file.file.size() == 0 && !self.newer(file).1;
        let Some(before) = before.and_then(|key| self.files.get_mut(&key)) else {
            file.turn = Turn::Begun;
            return true;
        };
        if is_unused && before.turn != Turn::Complete {
            // What writes to the one before may not be done with it.
            return false;
        }
        match before.turn {
            Turn::Complete => {
                before.turn = Turn::Handed(file.file.key);
                // One that had nothing to do any more does not know what it left open.
                let carry = before.place.framer.carry().within(file.place.within);
                file.place.within = carry.foreign();
                file.place.framer = Framer::begin_with(carry);
                file.place.open = before.place.open;
                file.turn = Turn::Begun;
                if file.place.within != [false; 2] {
                    self.scanned(file, file.place.point_with(0, Mark::default()));
                    // The file before may be gone soon, and with it what says so.
                    self.is_hurried = true;
                }
                true
            }
            // It was handed to one that is gone.
            Turn::Handed(_) => {
                file.turn = Turn::Begun;
                true
            }
            // It cannot be read: what comes after it is not held up for ever.
            _ if before.is_given_up(now) => {
                file.turn = Turn::Begun;
                true
            }
            Turn::Waiting | Turn::Begun => {
                // One that fails is tried again by itself.
                if before.failing_since.is_none() && !std::mem::replace(&mut before.is_queued, true) {
                    self.ready.push(&before.file);
                }
                false
            }
        }
    }

    /// Whether what is open at the end of the file goes on nowhere: no newer file follows, or what lay between is gone.
    pub(super) fn is_end_of_all(&self, file: &LaneFile, is_followed: bool) -> bool {
        (!is_followed || file.file.is_cut()) && self.is_known(file)
    }

    /// The file is framed to its end, and a newer one has begun: that one can go on.
    pub(super) fn completed(&mut self, file: &mut LaneFile) {
        // What is open at the end of one that is cut leaves as it is first, and that waits until all files are known.
        if file.turn != Turn::Begun || (file.file.is_cut() && !self.is_known(file)) {
            return;
        }
        let next = self.relatives(file).1.iter().find_map(|key| self.files.get(key));
        file.turn = match next {
            // It needed nothing of this one when the agent was started.
            Some(next) if next.turn != Turn::Waiting => Turn::Handed(next.file.key),
            _ => Turn::Complete,
        };
        self.wake_waiting(file.file.family);
    }

    /// Whether all files of its container that there are have been opened. Until then a file without a newer one may
    /// have one.
    pub(super) fn is_known(&self, file: &LaneFile) -> bool {
        !file.frame.is_container() || (self.is_listed() && !self.unsettled.contains(&file.file.family))
    }

    /// Files of this family that waited look again.
    pub(super) fn wake_waiting(&mut self, family: u64) {
        self.wake(family, |file| file.turn == Turn::Waiting);
    }

    /// All files of containers have been opened, but for those families of which that is not sure.
    pub(super) fn listed(&mut self) {
        let families: Vec<u64> = self.families.keys().copied().collect();
        families.into_iter().for_each(|family| self.wake(family, |_| true));
    }

    /// All files are known but those of these families.
    pub(super) fn settled_but(&mut self, families: Arc<HashSet<u64>>) {
        let before = std::mem::replace(&mut self.unsettled, Arc::clone(&families));
        // What was handed on has nothing to do.
        let is_meant = |file: &LaneFile| matches!(file.turn, Turn::Waiting | Turn::Begun);
        before.difference(&families).for_each(|family| self.wake(*family, is_meant));
    }

    /// Whether a file waits until it is known which others there are.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.files.values().any(|file| file.turn == Turn::Waiting && !self.is_known(file))
    }

    fn wake(&mut self, family: u64, is_meant: impl Fn(&LaneFile) -> bool) {
        for key in self.families.get(&family).into_iter().flatten() {
            let Some(file) = self.files.get_mut(key) else { continue };
            if is_meant(file) && !std::mem::replace(&mut file.is_queued, true) {
                self.ready.push(&file.file);
            }
        }
    }

    /// Files whose successors need nothing of them any more are done with, in the same step in which the state learns
    /// how far the successors are.
    pub(super) fn release_handed(&mut self) {
        let is_done = |key: &FileKey| {
            let place =
                self.files.get(key).filter(|file| matches!(file.turn, Turn::Handed(_))).map(|file| &file.place);
            place.is_some_and(|place| match place.framer.held() {
                0 => place.framer.rewind(place.at) < place.at && self.is_passed_on(*key),
                _ => self.is_succeeded(*key),
            })
        };
        let handed = self.families.values().flatten().copied();
        let done: Vec<FileKey> = handed.filter(is_done).collect();
        for key in done {
            if let Some(mut file) = self.files.remove(&key) {
                self.release(&mut file);
                self.files.insert(key, file);
            }
        }
    }

    /// Whether an older file of the container is still needed after a crash, or may be. Then this one is too, even when
    /// all of it is settled: without it the file after it would take over from the older one.
    pub(super) fn is_between(&self, file: &LaneFile) -> bool {
        let is_needed = |older: &&LaneFile| {
            let committed = older.file.committed(self.plan.index).map_or(0, |point| point.rewind);
            older.file.life() != Life::Replaced && !older.is_given_up(self.now()) && committed < len(&older.file)
        };
        !self.is_known(file)
            || self.relatives(file).0.iter().filter_map(|key| self.files.get(key)).any(|older| is_needed(&&**older))
    }

    /// The place of a file in the order in which those of its container were written.
    pub(super) fn nth(&self, key: FileKey) -> usize {
        self.files.get(&key).map_or(0, |file| self.relatives(file).0.len())
    }

    /// Whether the point of the file that goes on with this one's open lines, which are not ours, says so. This one is not
    /// held for the next life then: they may never end.
    fn is_passed_on(&self, key: FileKey) -> bool {
        let Some(Turn::Handed(heir)) = self.files.get(&key).map(|file| file.turn) else { return false };
        let Some((file, safe)) = self.files.get(&heir).zip(self.ledger.safe(heir)) else { return true };
        safe.rewind > 0 || safe.within == file.place.within
    }

    /// Whether the file that goes on with this one's open lines has finished them, also for the time after a crash.
    fn is_succeeded(&self, key: FileKey) -> bool {
        let mut next = key;
        while let Some(Turn::Handed(heir)) = self.files.get(&next).map(|file| file.turn) {
            next = heir;
            let Some(file) = self.files.get(&heir) else { return true };
            if !file.place.framer.needs_carry() {
                return self.ledger.safe(heir).is_none_or(|safe| safe.rewind > 0);
            }
        }
        false
    }

    /// Nothing that is open here is this file's any more.
    pub(super) fn release(&mut self, file: &mut LaneFile) {
        let held = file.place.framer.held();
        let at = file.place.at + held;
        file.place.framer = Framer::new(&file.frame);
        (file.place.at, file.place.mark) = (at, file.place.ahead);
        file.place.rewind_to(at, file.place.mark);
        file.tail = 0;
        self.counts.read_bytes += held;
        self.counts.passed_bytes += held;
        self.scanned(file, file.place.point_with(at, file.place.mark));
    }
}

/// How long the content is, as far as is known: of one that was truncated away the file says nothing.
pub(super) fn len(file: &TailFile) -> u64 {
    if file.life() == Life::Adrift { file.known_len() } else { file.size() }
}

impl LaneFile {
    /// Whether it could not be read for so long that nothing waits for it.
    fn is_given_up(&self, now: Duration) -> bool {
        self.failing_since.is_some_and(|since| now.saturating_sub(since) >= PATIENCE)
    }
}

fn is_of_use(file: &TailFile) -> bool {
    match file.life() {
        Life::Live | Life::Adrift => true,
        Life::Final => file.size() > 0,
        Life::Replaced => false,
    }
}
