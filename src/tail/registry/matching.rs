//! Is this a content that is known? Decided by the bytes at its head and before every output's place, never by equal
//! heads alone when that would skip anything, and never by names.

use super::{
    Absent, Clock, Content, Followed, Registry, Remembered,
    relatives::{Relative, Whereabouts},
};
use crate::{
    model::{FileName, Known, Mark, Packing, Point, Sighting},
    tail::{
        backing::{Backing, mark_before},
        file::TailFile,
        inspect::Inspected,
        reader::has_head,
    },
};
use std::io;

/// What a rotated file turned out to hold.
#[derive(Debug)]
pub(super) enum Decision {
    /// Something that is not known.
    New,
    /// A content that is in no other file any more.
    Holds(FileName),
    /// A content that is read from another file.
    Copies(FileName),
    /// It is too short yet to tell.
    Undecided,
    /// The content has got on since the file was inspected.
    AskAgain,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Likeness {
    Same,
    /// It begins like it, and nothing more is known of it.
    Alike,
    Other,
    /// What is there of it does not contradict.
    TooShort,
    /// It was inspected before the content got to where it is.
    Unasked,
}

impl Registry {
    /// What the file holds. `inspected`: of a compressed file.
    pub(super) fn decide(
        &self,
        content: &Content,
        sighting: &Sighting,
        inspected: Option<&Inspected>,
        now: Clock,
    ) -> Decision {
        let is_packed = content.backing.packing != Packing::Plain;
        let mut best: Option<(u64, Relative)> = None;
        let mut is_undecided = false;
        let mut asks_again = false;
        // As far as it goes it is like a file that is at hand: a copy of that, which is being made.
        let mut is_growing = false;
        let mut spooled = None;
        let len = inspected.map_or(content.size, |inspected| inspected.backing.unpacked);
        // Of some the spool has more than a compressed form that was made too early.
        let is_saved = |known: &Known| {
            self.spooled.iter().filter(|spooled| spooled.name == known.origin.name).any(|spooled| {
                let end =
                    if spooled.packing == Packing::Plain { spooled.base.saturating_add(spooled.len) } else { 0 };
                len < known.size.max(end)
            })
        };
        for relative in self.relatives(content, sighting, now) {
            // A plain file beside a rotated one is not made of it: that one was renamed. Beside a compressed one it may be
            // what that was made of.
            let is_plain = relative.of.known.packing == Packing::Plain;
            if !is_packed && is_plain && relative.at == Whereabouts::Rotated {
                continue;
            }
            let likeness = match &relative.source {
                Some(source) => match beside(source, content, inspected) {
                    // Truncated while it was looked at.
                    Likeness::Other if !holds(source, &relative.of) => likeness(&relative.of, content, inspected),
                    found => found,
                },
                None => likeness(&relative.of, content, inspected),
            };
            let is_saved = relative.at == Whereabouts::Missing && is_saved(&relative.of.known);
            match likeness {
                // Another that begins alike is not skipped as its copy.
                Likeness::Alike if relative.at != Whereabouts::Missing => {}
                Likeness::Same | Likeness::Alike if is_saved => spooled = Some(relative.of.known.origin.name),
                _ if is_saved => {}
                Likeness::Other => {}
                Likeness::Unasked => asks_again = true,
                Likeness::TooShort => {
                    is_growing |= relative.source.is_some() && inspected.is_none();
                    is_undecided |= relative.is_recent && relative.of.known.packing == Packing::Plain
                }
                Likeness::Same | Likeness::Alike => {
                    let read = relative.of.points.iter().map(|point| point.at).max().unwrap_or(0);
                    let evidence = read.max(u64::from(relative.of.known.head.len));
                    let rank = |evidence: u64, relative: &Relative| {
                        (
                            evidence,
                            std::cmp::Reverse(relative.at),
                            std::cmp::Reverse(relative.of.known.origin.first_seen),
                        )
                    };
                    if best.as_ref().is_none_or(|(of, other)| rank(evidence, &relative) > rank(*of, other)) {
                        best = Some((evidence, relative));
                    }
                }
            }
        }
        // Many files begin alike: a beginning that nothing was read of says less than what may still come.
        let is_weak = |relative: &Relative| relative.of.points.iter().all(|point| point.at == 0);
        match best {
            Some((_, relative)) if is_growing && is_weak(&relative) => Decision::Undecided,
            Some((_, relative)) => match relative.at {
                Whereabouts::Missing => Decision::Holds(relative.of.known.origin.name),
                Whereabouts::Open | Whereabouts::Rotated => Decision::Copies(relative.of.known.origin.name),
            },
            None if let Some(name) = spooled => Decision::Copies(name),
            None if asks_again => Decision::AskAgain,
            None if is_undecided => Decision::Undecided,
            None => Decision::New,
        }
    }

    /// Whether a file that was found to be a copy of the content still is one.
    pub(super) fn is_like(&self, file: &TailFile, content: &Content) -> bool {
        match content.backing.packing {
            Packing::Plain => {
                matches!(likeness(&Remembered::of(file), content, None), Likeness::Same | Likeness::Alike)
            }
            Packing::Gzip | Packing::Zstd => has_head(&content.head, &file.head()),
        }
    }

    /// Which marks decide what a compressed file is.
    pub(super) fn wanted_marks(&self, content: &Content, sighting: &Sighting, now: Clock) -> Vec<(u64, u32)> {
        let relatives = self.relatives(content, sighting, now).into_iter();
        let with_head = relatives.filter(|relative| has_head(&content.head, &relative.of.known.head));
        let own = self.candidate(content).and_then(|name| self.absent.get(name));
        let ends = |of: Remembered| {
            let marks = |point: Point| point.marks().map(|(end, mark)| (end, mark.len));
            let points = of.points.into_iter().flat_map(marks);
            points
                .chain(of.trail.into_iter().chain(of.known.pin).map(|(end, mark)| (end, mark.len)))
                .collect::<Vec<_>>()
        };
        let all = with_head.map(|relative| relative.of).chain(own.map(|own| own.remembered.clone()));
        all.flat_map(ends).collect()
    }

    /// The content that a compressed file held, when it still does: another member was appended to it, or it was cut off.
    pub(super) fn goes_on(&self, content: &Content, inspected: Option<&Inspected>) -> Option<FileName> {
        let own = self.absent.get(self.candidate(content)?)?;
        let found = likeness(&own.remembered, content, Some(inspected?));
        matches!(found, Likeness::Same | Likeness::Alike).then(|| own.name())
    }

    /// The remembered content that lives in the file with this identity, if any.
    pub(super) fn candidate(&self, content: &Content) -> Option<FileName> {
        let Content { identity, head, .. } = content;
        let is_exact = |known: &Known| {
            known.identity.place() == identity.place()
                && (known.identity.birth == identity.birth
                    || known.identity.birth.is_none()
                    || identity.birth.is_none())
        };
        // Device numbers can change when the machine starts again; inode, birth time and content do not.
        let is_moved = |known: &Known| {
            known.identity.inode == identity.inode
                && known.identity.birth.is_some()
                && known.identity.birth == identity.birth
                && known.head.len > 0
                && has_head(head, &known.head)
        };
        let newest = |matches: &dyn Fn(&Known) -> bool| {
            let found = self.absent.in_inode(identity.inode).filter(|absent| matches(&absent.remembered.known));
            found.max_by_key(|absent| absent.remembered.known.generation).map(Absent::name)
        };
        newest(&is_exact).or_else(|| newest(&is_moved))
    }
}

impl Followed {
    /// Whether the file still holds what was read of the content.
    pub(super) fn is_intact(&self) -> bool {
        let backing = self.file.backing();
        if backing.packing != Packing::Plain || backing.base > 0 {
            return true;
        }
        holds(&backing, &Remembered::of(&self.file))
    }
}

/// Whether a plain file still holds what was read of a content.
fn holds(backing: &Backing, of: &Remembered) -> bool {
    let (backing, identity) = (backing.clone(), of.known.identity);
    let mut content = Content::unseen(backing, identity);
    let is_like = content.look_anew().is_ok() && content.holds_all(&of.known, &of.points).unwrap_or(false);
    // Further than any output has committed, and so further than the state knows.
    let read = of.trail.last().filter(|_| !content.backing.is_copy);
    is_like && read.is_none_or(|(end, mark)| content.mark(*end, mark.len).ok().flatten() == Some(*mark))
}

impl Content {
    /// Whether the file still holds what was read from it. Of a compressed file only its head is looked at: its
    /// readers look at the rest.
    pub(super) fn holds_all(&self, known: &Known, points: &[Point]) -> io::Result<bool> {
        if !has_head(&self.head, &known.head) {
            return Ok(false);
        }
        if self.backing.packing != Packing::Plain {
            return Ok(true);
        }
        // A copy that was made before the last bytes were written never had them.
        let is_short_copy = |point: &Point| known.size > 0 && known.size < point.at && self.size >= known.size;
        if let Some((end, mark)) = known.pin
            && self.size >= end
            && self.mark(end, mark.len)? != Some(mark)
        {
            return Ok(false);
        }
        for point in points {
            let mut is_there = self.size >= point.at;
            for (end, mark) in point.marks() {
                is_there = is_there && self.mark(end, mark.len)? == Some(mark);
            }
            if !is_there && !is_short_copy(point) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The mark over the `len` bytes before `end` of a plain file; `None` when they are not there.
    fn mark(&self, end: u64, len: u32) -> io::Result<Option<Mark>> {
        let Some(start) = end.checked_sub(u64::from(len)) else { return Ok(None) };
        // At most MAX.
        let mut before = [0; Mark::MAX];
        let before = &mut before[..(len as usize).min(Mark::MAX)];
        let n = self.backing.read_at(before, start)?;
        Ok((n == before.len()).then(|| Mark::of(before)))
    }
}

/// Whether the file is made of one that is still there, whole, and open: then its bytes are compared. What is only as
/// long as many files begin alike is a copy that is being made, or another file.
fn beside(source: &Backing, content: &Content, inspected: Option<&Inspected>) -> Likeness {
    let compare = || {
        let len = inspected.map_or(content.size, |inspected| inspected.backing.unpacked);
        let end = source.end()?;
        let mut head = [0; Mark::MAX];
        let n = usize::try_from(len).unwrap_or(usize::MAX).min(Mark::MAX);
        let head = &mut head[..n];
        if len == 0 || end < len || source.read_at(head, 0)? < n {
            return Ok(Likeness::Other);
        }
        let own_end = match inspected {
            Some(inspected) => Some(inspected.end),
            // At most MAX.
            None => content.mark(len, n as u32)?,
        };
        let is_head = content.head.len() >= n && content.head[..n] == *head;
        Ok::<Likeness, io::Error>(match is_head && own_end == Some(mark_before(&source.file, len)?) {
            true if len == end || n == Mark::MAX => Likeness::Same,
            true => Likeness::TooShort,
            false => Likeness::Other,
        })
    };
    // What cannot be compared is not the same.
    compare().unwrap_or(Likeness::Other)
}

fn likeness(of: &Remembered, content: &Content, inspected: Option<&Inspected>) -> Likeness {
    let head = &of.known.head;
    let len = inspected.map_or(content.size, |inspected| inspected.backing.unpacked);
    let is_read = of.points.iter().any(|point| point.at > 0) || !of.trail.is_empty();
    // Nothing was seen of it: nothing can be recognised, and nothing was sent. And what was deleted cannot have grown.
    if (head.len == 0 && !is_read) || (of.known.is_deleted && len > of.known.size) {
        return Likeness::Other;
    }
    if content.head.len() < head.len as usize {
        return Likeness::TooShort;
    }
    if !has_head(&content.head, head) {
        return Likeness::Other;
    }
    // `None`: nobody asked for this mark.
    let has = |end: u64, mark: &Mark| match inspected {
        Some(inspected) if mark.len > 0 => {
            let found = inspected.marks.iter().find(|(at, of)| (*at, of.len) == (end, mark.len));
            found.map(|(_, found)| found == mark)
        }
        Some(_) => Some(true),
        // What cannot be read now cannot be taken for known.
        None => Some(content.mark(end, mark.len).ok().flatten() == Some(*mark)),
    };
    let (mut is_short, mut is_unasked) = (false, false);
    if let Some((end, mark)) = &of.known.pin {
        match (len >= *end).then(|| has(*end, mark)) {
            None => is_short = true,
            Some(Some(true)) => {}
            Some(Some(false)) => return Likeness::Other,
            Some(None) => is_unasked = true,
        }
    }
    for point in &of.points {
        if len < point.at {
            is_short = true;
            continue;
        }
        for (end, mark) in point.marks() {
            match has(end, &mark) {
                Some(true) => {}
                Some(false) => return Likeness::Other,
                None => is_unasked = true,
            }
        }
    }
    // A copy that was made before the last bytes were written and read, or is looked at while the content is read on.
    let trail = of.trail.iter().rev().filter(|(end, _)| *end <= len);
    let is_marked = of.known.pin.is_some() || of.points.iter().any(|point| point.at > 0);
    match trail.filter_map(|(end, mark)| has(*end, mark)).next() {
        Some(false) => Likeness::Other,
        Some(true) => Likeness::Same,
        None if is_unasked => Likeness::Unasked,
        None if is_short => Likeness::TooShort,
        None if is_marked => Likeness::Same,
        None => Likeness::Alike,
    }
}
