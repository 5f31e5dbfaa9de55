//! A lane's place in one file.

use super::plan::Plan;
use crate::{
    frame::{Lines, Settings},
    model::{Chain, Mark, Nanos, Point},
    output::FileHead,
    tail::TailFile,
};
use std::sync::Arc;

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
    /// A read error has been said and not been taken back.
    pub is_failing: bool,
    /// Bytes at the end that are not a complete line.
    pub tail: u64,
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
    pub seq: u64,
    pub chain: Chain,
    pub time: Option<Nanos>,
    /// The mark of the bytes before `at`.
    pub mark: Mark,
    pub lines: Lines,
    /// The mark of the bytes before the line that is open, if one is.
    pub line_mark: Mark,
    /// Of the line that is leaving in parts.
    pub open: Option<OpenLine>,
}

/// What the later parts of a line have from its first.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenLine {
    pub time: Nanos,
    pub stream: u32,
}

impl LaneFile {
    pub(super) fn new(file: Arc<TailFile>, frame: Settings, point: &Point, plan: &Plan) -> LaneFile {
        LaneFile {
            head: plan.output.file(&file.known.origin),
            labels: plan.labelling.of_file(&file.known.origin),
            place: Place {
                at: point.rewind,
                done: point.at,
                seq: point.seq,
                chain: point.chain,
                time: point.time,
                mark: point.mark,
                lines: Lines::default(),
                line_mark: Mark::default(),
                open: None,
            },
            file,
            frame,
            looked: None,
            is_queued: false,
            is_over: false,
            is_failing: false,
            tail: 0,
            waits: None,
        }
    }

    /// Whether there may be something to read.
    pub(super) fn is_ready(&self) -> bool {
        self.looked != Some(self.file.changes())
    }
}

impl Place {
    /// The point here. `before`: the bytes before `at`, as many as there are at hand.
    pub(super) fn point(&self, before: &[u8]) -> Point {
        let rewind = self.lines.rewind(self.at);
        let mark = if rewind == self.at { Mark::of(before) } else { self.line_mark };
        Point { rewind, at: self.at, seq: self.seq, chain: self.chain, time: self.time, mark }
    }
}
