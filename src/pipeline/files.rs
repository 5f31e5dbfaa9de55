//! A lane's place in one file.

use super::{
    plan::Plan,
    succession::{Called, Turn},
};
use crate::{
    frame::{Framer, Settings},
    model::{Chain, Mark, Nanos, Point},
    output::FileHead,
    tail::TailFile,
};
use std::{sync::Arc, time::Duration};

/// What a lane knows of a file.
#[derive(Debug)]
pub(super) struct LaneFile {
    pub file: Arc<TailFile>,
    /// What the output sends with every record of it.
    pub head: FileHead,
    /// Values of the labels that are the same for all its records.
    pub labels: Vec<Option<String>>,
    pub frame: Settings,
    pub place: Place,
    /// [`TailFile::changes`] as of the last time when there was nothing more to read.
    pub looked: Option<u64>,
    /// Whether it waits in the lane's queue of files to read.
    pub is_queued: bool,
    /// It was said that the content is gone.
    pub is_over: bool,
    /// Since when there is a read error, which has been said and not been taken back.
    pub failing_since: Option<Duration>,
    /// Bytes at the end that are not a complete line.
    pub tail: u64,
    pub turn: Turn,
    /// As of when a file of its container was opened last.
    pub called: Called,
    /// Since when the byte at this offset, which was not read yet, is the next to be acknowledged.
    pub waits: Option<(u64, Nanos)>,
}

/// Where the lane is in the file. All of it is a function of the bytes before `at`.
#[derive(Debug)]
pub(super) struct Place {
    /// The next byte to frame.
    pub at: u64,
    /// Records that end here or before were settled in an earlier life.
    pub done: u64,
    /// Records that begin before this may have been sent in an earlier life.
    pub sent: u64,
    pub seq: u64,
    pub chain: Chain,
    pub time: Option<Nanos>,
    /// The mark of the bytes before `at`.
    pub mark: Mark,
    /// The mark of those before the end of what the framer holds.
    pub ahead: Mark,
    pub framer: Framer,
    /// A place to rewind to, and the mark of the bytes before it: they may not be at hand any more.
    pub rewind_mark: Option<(u64, Mark)>,
    /// The place to rewind to that was the last before that one.
    pub before: Option<(u64, Mark)>,
    /// As in the point: what the file begins within.
    pub within: [bool; 2],
    /// Of the line that is leaving in parts, by stream of a container; of other files the first.
    pub open: [Option<OpenLine>; 2],
}

/// What the later parts of a line have from its first.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenLine {
    pub time: Nanos,
    pub stream: u32,
}

impl LaneFile {
    pub(super) fn new(file: Arc<TailFile>, frame: Settings, point: &Point, plan: &Plan) -> LaneFile {
        // What has got on has nothing of the file before any more.
        let turn = if frame.is_container() && point.rewind == 0 { Turn::Waiting } else { Turn::Begun };
        LaneFile {
            head: plan.output.file(&file.known.origin),
            labels: plan.labelling.of_file(&file.known.origin),
            place: Place {
                at: point.rewind,
                done: point.at,
                sent: 0,
                seq: point.seq,
                chain: point.chain,
                time: point.time,
                mark: point.mark,
                ahead: point.mark,
                framer: Framer::within(&frame, if point.rewind == 0 { point.within } else { [false; 2] }),
                within: point.within,
                rewind_mark: None,
                before: None,
                open: [None; 2],
            },
            file,
            frame,
            looked: None,
            is_queued: false,
            is_over: false,
            failing_since: None,
            tail: 0,
            turn,
            called: Called::Current,
            waits: None,
        }
    }

    /// Whether there may be something to read.
    pub(super) fn is_ready(&self) -> bool {
        self.looked != Some(self.file.changes())
    }
}

impl Place {
    /// From now on this is the place to rewind to.
    pub(super) fn rewind_to(&mut self, rewind: u64, mark: Mark) {
        match self.rewind_mark.replace((rewind, mark)) {
            Some(before) if before.0 != rewind => self.before = Some(before),
            _ => {}
        }
    }

    /// The mark of the bytes before `rewind`. `before`: the bytes before `at` that are at hand.
    pub(super) fn mark_of(&self, rewind: u64, before: &[u8], file: &TailFile) -> Mark {
        let at_hand = usize::try_from(self.at - rewind).ok().and_then(|back| before.len().checked_sub(back));
        match (self.rewind_mark, at_hand) {
            (Some((place, mark)), _) if place == rewind => mark,
            (_, Some(end)) if end > 0 => Mark::of(&before[..end]),
            // Of two lines that were open the older one is done.
            _ if rewind > 0 && !file.is_packed() => file.mark_before(rewind).unwrap_or_default(),
            _ => Mark::default(),
        }
    }

    /// The point here; `mark`: of the bytes before `rewind`.
    pub(super) fn point_with(&self, rewind: u64, mark: Mark) -> Point {
        self.point_from(rewind, mark, self.mark)
    }

    /// The same, where `at_mark` is the mark of the bytes before `at`.
    pub(super) fn point_from(&self, rewind: u64, mark: Mark, at_mark: Mark) -> Point {
        let &Place { at, seq, chain, time, within, .. } = self;
        Point { rewind, at, seq, chain, time, mark, at_mark, within }
    }
}
