//! One stream's pieces on their way to being a line again.

use super::super::{Settings, Stream, Verdict, cut_at};
use crate::model::{Digest, Part, Stamp};
use sha2::{Digest as _, Sha256};

/// A buffer that is larger than this is given back when its line has left.
const KEEP: usize = 4096;

/// Where the content of a piece comes from.
pub(super) trait Source {
    /// How many of its bytes have not been taken.
    fn left(&self) -> usize;
    /// Appends at least `room` bytes to `out`, or all that are left; at most three more, so as to end after a
    /// character.
    fn fill(&mut self, out: &mut Vec<u8>, room: usize);
}

/// Content that is there as it is.
impl Source for &[u8] {
    fn left(&self) -> usize {
        self.len()
    }

    fn fill(&mut self, out: &mut Vec<u8>, room: usize) {
        let (taken, rest) = self.split_at(room.min(self.len()));
        out.extend_from_slice(taken);
        *self = rest;
    }
}

/// What is known of the line that the next piece of the stream belongs to.
///
/// ```text
///            piece                decided by its first bytes
/// Closed ──────────▶ Undecided ──────────┬──────────────▶ Ours
///   ▲                    │               └──────────────▶ Foreign
///   └────────────────────┴────── last piece, or a gap ───────┘
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// It begins a line.
    #[default]
    Closed,
    /// It continues a line of which the bytes so far are in `text`, with their prefix.
    Undecided,
    /// It continues a record of ours, of which the bytes that have not left are in `text`.
    Ours,
    /// It continues a line that is not ours.
    Foreign,
}

/// The line that is open in a stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Join {
    state: State,
    /// The offset of the line of its first piece; 0 when that is in the file before.
    start: u64,
    /// Whether it began in a file before this one.
    is_carried: bool,
    /// The offset of the record that leaves next; `None` when nothing of it is in this file yet.
    next: Option<u64>,
    /// The time of its first piece.
    time: Option<Stamp>,
    /// Whether a piece of it may be missing.
    is_torn: bool,
    /// How many parts have left.
    number: u32,
    /// The hash of those parts.
    whole: Sha256,
    /// At most the limit + 4 bytes.
    text: Vec<u8>,
    /// So many bytes at the start of `text` left with the last step.
    sent: usize,
}

/// What leaves of a join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaving {
    /// Of its first byte; `None` when nothing of it is in this file.
    pub offset: Option<u64>,
    pub part: Option<Part>,
    pub time: Option<Stamp>,
    pub is_torn: bool,
    /// Whether fields are looked for, in all that there is of it so far.
    pub has_head: bool,
    /// Whether that is all of the line.
    pub is_head_whole: bool,
}

impl Join {
    pub(super) fn state(&self) -> State {
        self.state
    }

    /// Whether it may become a record.
    pub(super) fn is_wanted(&self) -> bool {
        matches!(self.state, State::Undecided | State::Ours)
    }

    /// The lowest offset in this file that it is made of.
    pub(super) fn start(&self) -> Option<u64> {
        (self.state != State::Closed).then_some(self.start)
    }

    /// Whether some of it is in a file before this one.
    pub(super) fn is_carried(&self) -> bool {
        self.is_carried && self.state != State::Closed
    }

    /// What left with the last step, and all that there is.
    pub(super) fn sent(&self) -> (&[u8], &[u8]) {
        (&self.text[..self.sent], &self.text)
    }

    /// A piece of it comes, in the line at `at`.
    pub(super) fn begin(&mut self, settings: &Settings, at: u64, time: impl FnOnce() -> Option<Stamp>) {
        if self.state == State::Closed {
            self.start = at;
            self.is_carried = false;
            self.next = Some(at);
            self.time = time();
            self.is_torn = false;
            self.number = 0;
            self.whole = Sha256::new();
            self.state = if settings.prefixes.is_empty() { State::Ours } else { State::Undecided };
        }
        self.next.get_or_insert(at);
    }

    /// Takes from `source` what there is, or as much as makes a part: then it is true.
    pub(super) fn feed(&mut self, settings: &Settings, source: &mut impl Source) -> bool {
        loop {
            match self.state {
                State::Closed | State::Foreign => return false,
                State::Undecided if source.left() == 0 => return false,
                State::Undecided => {
                    // Nothing is decided for good before the shortest prefix and a byte after it are there. Later bit
                    // by bit: what is taken in of a record before that is known is less than a part.
                    let shortest = settings.prefixes.last().map_or(0, Vec::len);
                    let room = (shortest + 1).saturating_sub(self.text.len()).max(1);
                    source.fill(&mut self.text, room);
                    self.decide(settings.verdict(&self.text, false));
                }
                State::Ours => {
                    let most = if self.number == 0 { settings.limit } else { settings.part };
                    let full = most + 1;
                    if self.text.len() >= full {
                        return true;
                    }
                    if source.left() == 0 {
                        return false;
                    }
                    let room = full - self.text.len();
                    source.fill(&mut self.text, room);
                }
            }
        }
    }

    fn decide(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Open => {}
            Verdict::Foreign => {
                self.text.clear();
                self.state = State::Foreign;
            }
            Verdict::Ours(skipped) => {
                self.text.drain(..skipped.min(self.text.len()));
                self.state = State::Ours;
            }
        }
    }

    /// The next part leaves.
    pub(super) fn part(&mut self, settings: &Settings) -> Leaving {
        let cut = cut_at(&self.text, settings.part);
        self.whole.update(&self.text[..cut]);
        self.number = self.number.saturating_add(1);
        self.sent = cut;
        self.leaving(Some(Part { number: self.number, whole: None }), self.number == 1)
    }

    /// Nothing more comes: what is left of it leaves, or the last part but one. `None`: it is not ours.
    pub(super) fn finish(&mut self, settings: &Settings) -> Option<Leaving> {
        if self.state == State::Undecided {
            self.decide(settings.verdict(&self.text, true));
        }
        if self.state != State::Ours {
            self.close();
            return None;
        }
        if self.number == 0 && settings.is_too_long(&self.text) {
            return Some(Leaving { is_head_whole: true, ..self.part(settings) });
        }
        self.sent = self.text.len();
        self.state = State::Closed;
        if self.number == 0 {
            return Some(Leaving { is_head_whole: true, ..self.leaving(None, true) });
        }
        self.whole.update(&self.text);
        let whole: Digest = std::mem::take(&mut self.whole).finalize().into();
        Some(self.leaving(Some(Part { number: self.number.saturating_add(1), whole: Some(whole) }), false))
    }

    fn leaving(&self, part: Option<Part>, has_head: bool) -> Leaving {
        Leaving { offset: self.next, part, time: self.time, is_torn: self.is_torn, has_head, is_head_whole: false }
    }

    /// What leaves next is said to begin at `at`.
    pub(super) fn go_on_at(&mut self, at: u64) {
        self.next = Some(at);
    }

    /// Lets go of what left with the last step.
    pub(super) fn tidy(&mut self) {
        self.text.drain(..std::mem::take(&mut self.sent));
        if self.state == State::Closed {
            self.text.clear();
            self.text.shrink_to(KEEP);
        }
    }

    pub(super) fn close(&mut self) {
        self.state = State::Closed;
        self.sent = 0;
        self.text.clear();
        self.text.shrink_to(KEEP);
    }

    /// Gives back memory that is not in use.
    pub(super) fn shrink(&mut self) {
        if self.state == State::Closed && self.sent == 0 {
            self.text = Vec::new();
        }
    }

    /// Something that was written could not be read: a piece of it may be missing.
    pub(super) fn tear(&mut self) {
        self.is_torn |= self.is_wanted();
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.text.capacity()
    }

    /// The file begins within a line that is not ours.
    pub(super) fn pass(&mut self) {
        *self = Join { state: State::Foreign, is_carried: true, ..Join::default() };
    }

    /// As it goes on in the next file.
    pub(super) fn carried(&self) -> Join {
        if self.state == State::Closed {
            return Join::default();
        }
        Join { start: 0, is_carried: true, next: None, ..self.clone() }
    }
}

impl Stream {
    pub(super) const BOTH: [Stream; 2] = [Stream::Stdout, Stream::Stderr];
}
