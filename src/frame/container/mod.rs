//! Container logs: bytes → records, joined again from the pieces that a runtime has made of them.
//!
//! Each line of such a file is a *piece*, in the form of Docker ([`docker`]) or of CRI ([`cri`]); which one is said by
//! the line itself (`{` or a time), so that reading can resume at any line. A stream's pieces up to the one that is
//! complete are a line of the container, the concatenation of their contents with nothing between. Standard output and
//! standard error are joined apart, however their pieces lie between each other.
//!
//! **What is a record.** With prefixes: a line of a container whose first bytes, on which pieces they ever came, are
//! one of them; without: every line. A *malformed* line, one that is of neither form, is a record when its own first
//! bytes are a prefix, or when there is none; it is delivered as it is in the file.
//!
//! **Offsets.** A record's `offset` is that of the line of its first piece. Where pieces of two streams mix, offsets do
//! therefore not rise from record to record; ends do. A part of a line over the limit begins where the part before it
//! was seen to be full. While joins are open that may become records, the offset stays [`BEHIND`] bytes per join behind
//! what has been taken in: a join that nothing more comes for needs an end of its own, since an end is what tells
//! whether a record is settled.
//!
//! **Resuming.** Everything is a function of the bytes from [`Container::rewind`] on: framed from there by a new value,
//! the records that end after `at` are the same, with the same offsets and ends. Those that end at or before `at` may
//! be others: pieces whose beginning lies before it look like lines of their own.
//!
//! **Rotation.** A runtime may begin a new file between two pieces. [`Container::carry`] is what is open at the end of
//! a file, and [`Container::begin_with`] goes on with it in the next. Of a line that is completed there, `offset` is
//! the line of its first piece *in that file*. To resume there before it is complete ([`Container::needs_carry`],
//! `rewind` is then 0) the carry must be made anew, from where `rewind` of the file before was at its end.
//!
//! A gap ends what is open, as the writer has begun anew: a join of ours leaves unterminated.
//!
//! Known limits, where a line can be lost, altered or seen late:
//! - A piece without an end is kept open: Docker and CRI do not tell a container that was killed within a line from one
//!   that is silent, and what the next one writes is then glued to it. A line of ours that follows a torn one which
//!   was not ours, with no gap between, is taken for its continuation.
//! - A malformed line between the pieces of a record may have been one of them: the record is marked malformed.
//! - A record over the limit has its fields looked for in its first bytes up to the limit.
//! - A file that begins with a carry *and* with a gap, or with malformed lines of one or two bytes, has no bytes that
//!   stand for the carry: the joins stay open over it, and if the file ends just there, or is empty, the last records
//!   share one end. A predecessor whose successor stays empty is therefore ended by [`Container::last`], not carried.

mod cri;
mod docker;
mod join;
mod lines;
#[cfg(test)]
mod tests;
mod time;

use super::{Framed, Lines, Open as RawOpen, Settings, Step, Stream};
use join::{Join, Leaving, State};

/// So many bytes per join that may become a record are not moved over yet: one for each record that it may leave.
pub const BEHIND: u64 = 2;

/// A step moves over at most so many bytes of lines that are not ours.
const MAX_SKIP: usize = 64 * 1024;

/// The place in a container's log file. One per file and reader; begins at the start of a line. Holds at most the
/// record limit of each stream.
#[derive(Clone, Debug, Default)]
pub struct Container {
    open: Open,
    /// So many bytes at the current offset have been taken in already.
    held: usize,
    /// By [`Stream`].
    joins: [Join; 2],
    /// In a line that is malformed, or in a gap, when it is not at the start of a line.
    raw: Lines,
    /// The join that the last step's record lies in, and whether its fields are looked for.
    lent: Option<(Stream, bool)>,
}

/// What is open at the end of a file and goes on in the next one of the same container.
#[derive(Clone, Debug, Default)]
pub struct Carry {
    joins: [Join; 2],
}

impl Carry {
    /// Whether nothing is open.
    pub fn is_empty(&self) -> bool {
        self.joins.iter().all(|join| join.state() == State::Closed)
    }

    /// By stream, whether a line is open that is not ours.
    pub fn foreign(&self) -> [bool; 2] {
        self.joins.each_ref().map(|join| join.state() == State::Foreign)
    }

    /// The same, and where nothing is open, a line that is not ours is.
    pub fn within(mut self, foreign: [bool; 2]) -> Carry {
        let closed = self.joins.iter_mut().zip(foreign);
        closed
            .filter(|(join, is_foreign)| *is_foreign && join.state() == State::Closed)
            .for_each(|(join, _)| join.pass());
        self
    }
}

/// What the bytes after those that are held belong to. In a line there is an open join for its stream.
#[derive(Clone, Copy, Debug, Default)]
enum Open {
    /// They begin a line, or `raw` knows.
    #[default]
    Line,
    /// They continue the content of a CRI line.
    Content(Piece),
    /// They continue the text of a Docker line.
    Text(Piece),
    /// The line before is complete, but of its stream's record another part has to leave.
    Closing { stream: Stream, is_unterminated: bool },
}

#[derive(Clone, Copy, Debug)]
struct Piece {
    stream: Stream,
    is_final: bool,
}

/// What comes after the bytes that are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// Perhaps more.
    More,
    /// Nothing in this file, but there is another one.
    Successor,
    /// Nothing.
    Nothing,
}

/// What a step is given.
#[derive(Clone, Copy)]
struct Input<'b> {
    /// From what is not taken in yet.
    bytes: &'b [u8],
    /// Its offset.
    pos: u64,
    /// The offset of the step: `pos` less what is held.
    at: u64,
    after: After,
}

impl Container {
    /// The beginning of the file that follows the one in which `carry` was left open.
    pub fn begin_with(carry: Carry) -> Container {
        Container { joins: carry.joins, ..Container::default() }
    }

    /// What is open, for the file that follows. Of use when [`Container::last_line`] has nothing more to say.
    pub fn carry(&self) -> Carry {
        let mut joins = self.joins.each_ref().map(Join::carried);
        joins.iter_mut().for_each(Join::tidy);
        Carry { joins }
    }

    /// The lowest offset that is needed to frame what comes at `at` again: the line of the first piece of what is open,
    /// or `at`; 0 when some of that is in the file before.
    pub fn rewind(&self, at: u64) -> u64 {
        let pos = at + self.held as u64;
        let open = self.joins.iter().filter_map(Join::start).min();
        match self.raw.rewind(pos) {
            start if start < pos => open.map_or(start, |open| open.min(start)),
            _ => open.unwrap_or(at),
        }
    }

    /// Whether something is open that began in the file before: to resume here, its carry is needed.
    pub fn needs_carry(&self) -> bool {
        self.joins.iter().any(Join::is_carried)
    }

    /// How many bytes after the current offset have been taken in, 0 to 2 × [`BEHIND`]: when there are no more than these,
    /// the file has been framed to its end.
    pub fn held(&self) -> u64 {
        self.held as u64
    }

    /// Whether a run of NUL bytes goes on at the current offset: how far can be found out without reading it all.
    pub fn is_in_gap(&self) -> bool {
        self.held == 0 && self.raw.is_in_gap()
    }

    /// Gives back memory that is not in use; for when there is nothing to read.
    pub fn shrink(&mut self) {
        self.joins.iter_mut().for_each(Join::shrink);
    }

    /// Looks at `bytes`, which begin at offset `at`: the end of the last step. As many bytes as [`Lines::next`] needs,
    /// and [`Container::held`] more, always decide. A step over lines that are not ours may be over several.
    pub fn next<'b>(&'b mut self, settings: &Settings, bytes: &'b [u8], at: u64) -> Step<'b> {
        self.show(settings, bytes, at, After::More)
    }

    /// What is left at the end of a file that will not grow any more and that no other follows: a last line
    /// without a newline, then what is open, marked unterminated.
    pub fn last<'b>(&'b mut self, settings: &Settings, bytes: &'b [u8], at: u64) -> Step<'b> {
        self.show(settings, bytes, at, After::Nothing)
    }

    /// What is left at the end of a file that will not grow any more but is followed by another: a last line without a
    /// newline. What is open then is for [`Container::carry`].
    pub fn last_line<'b>(&'b mut self, settings: &Settings, bytes: &'b [u8], at: u64) -> Step<'b> {
        self.show(settings, bytes, at, After::Successor)
    }

    fn show<'b>(&'b mut self, settings: &Settings, bytes: &'b [u8], at: u64, after: After) -> Step<'b> {
        if let Some((stream, _)) = self.lent.take() {
            self.joins[stream as usize].tidy();
        }
        let Some(rest) = bytes.get(self.held..) else { return Step::More };
        let mut step = self.step(settings, Input { bytes: rest, pos: at + self.held as u64, at, after });
        if let (Step::Record(framed), Some((stream, has_head))) = (&mut step, self.lent) {
            let (sent, all) = self.joins[stream as usize].sent();
            framed.body = sent;
            framed.head = has_head.then_some(all);
        }
        step
    }

    fn step<'b>(&mut self, settings: &Settings, input: Input<'b>) -> Step<'b> {
        match self.open {
            Open::Line => match input.bytes.first() {
                None if input.after == After::Nothing => self.flush(settings, input),
                None => Step::More,
                Some(_) if !matches!(self.raw.open, RawOpen::Line) => self.malformed(settings, input),
                Some(0) => self.gap(settings, input),
                Some(b'{') => match self.skip(settings, input, docker::skip) {
                    Some(step) => step,
                    None => self.docker(settings, input),
                },
                Some(_) => match self.skip(settings, input, cri::skip) {
                    Some(step) => step,
                    None => self.cri(settings, input),
                },
            },
            Open::Content(piece) => self.content(settings, piece, input),
            Open::Text(piece) => self.text(settings, piece, input),
            Open::Closing { stream, is_unterminated } => {
                self.open = Open::Line;
                self.complete(settings, stream, input.pos, is_unterminated, input)
            }
        }
    }

    /// Passes over the lines at the start that change nothing.
    #[inline]
    fn skip(
        &mut self,
        settings: &Settings,
        input: Input<'_>,
        skip: impl Fn(&Settings, &[u8], [bool; 2]) -> usize,
    ) -> Option<Step<'static>> {
        if settings.prefixes.is_empty() {
            return None;
        }
        let closed = self.joins.each_ref().map(|join| join.state() == State::Closed);
        match skip(settings, input.bytes, closed) {
            0 => None,
            len => Some(self.passed(input, input.pos + len as u64)),
        }
    }

    /// All of the piece, whose line ends at `end`, has been taken in.
    fn end_of_line<'b>(
        &mut self,
        settings: &Settings,
        piece: Piece,
        end: u64,
        is_cut: bool,
        input: Input<'b>,
    ) -> Step<'b> {
        self.open = Open::Line;
        if piece.is_final {
            self.complete(settings, piece.stream, end, is_cut, input)
        } else {
            self.passed(input, end)
        }
    }

    /// What is taken in of the stream, up to `pos`, is all of its line.
    fn complete<'b>(
        &mut self,
        settings: &Settings,
        stream: Stream,
        pos: u64,
        is_unterminated: bool,
        input: Input<'b>,
    ) -> Step<'b> {
        match self.joins[stream as usize].finish(settings) {
            None => self.passed(input, pos),
            Some(leaving) => {
                let is_last = self.joins[stream as usize].state() == State::Closed;
                if !is_last {
                    self.open = Open::Closing { stream, is_unterminated };
                    // No line begins there, and no part of the other stream.
                    self.joins[stream as usize].go_on_at(pos.saturating_sub(1 + stream as u64));
                }
                self.leave(stream, leaving, pos, is_unterminated && is_last, input)
            }
        }
    }

    /// What is taken in of the stream, up to `pos`, is more than a record can be.
    #[cold]
    fn part<'b>(&mut self, settings: &Settings, stream: Stream, pos: u64, input: Input<'b>) -> Step<'b> {
        let join = &mut self.joins[stream as usize];
        let leaving = join.part(settings);
        // Not the end of the step, which depends on the other stream.
        join.go_on_at(pos);
        self.leave(stream, leaving, pos, false, input)
    }

    fn leave<'b>(
        &mut self,
        stream: Stream,
        leaving: Leaving,
        pos: u64,
        is_unterminated: bool,
        input: Input<'b>,
    ) -> Step<'b> {
        let end = self.settle(input.at, pos, 1);
        self.lent = Some((stream, leaving.has_head));
        Step::Record(Framed {
            // Both are put in when the state is not changed any more.
            body: &[],
            head: None,
            offset: leaving.offset.unwrap_or(end.saturating_sub(1)),
            end,
            part: leaving.part,
            is_unterminated,
            is_head_whole: leaving.is_head_whole,
            is_malformed: leaving.is_torn,
            time: leaving.time,
            stream: Some(stream),
        })
    }

    /// A gap begins here, at the start of a line.
    #[cold]
    fn gap<'b>(&mut self, settings: &Settings, input: Input<'b>) -> Step<'b> {
        if self.behind() > 0 && self.held as u64 >= self.behind() {
            return self.flush(settings, input);
        }
        self.joins.iter_mut().filter(|join| !join.is_wanted()).for_each(Join::close);
        self.begin_malformed(settings, input)
    }

    /// What is open gets nothing more.
    #[cold]
    fn flush<'b>(&mut self, settings: &Settings, input: Input<'b>) -> Step<'b> {
        for stream in Stream::BOTH {
            if self.joins[stream as usize].is_wanted() {
                return self.complete(settings, stream, input.pos, true, input);
            }
            self.joins[stream as usize].close();
        }
        if self.held > 0 { self.passed(input, input.pos) } else { Step::More }
    }

    #[cold]
    fn begin_malformed<'b>(&mut self, settings: &Settings, input: Input<'b>) -> Step<'b> {
        self.joins.iter_mut().for_each(Join::tear);
        self.malformed(settings, input)
    }

    /// A line that is of neither form, or a gap, or the rest of it.
    fn malformed<'b>(&mut self, settings: &Settings, input: Input<'b>) -> Step<'b> {
        match self.raw.step(settings, input.bytes, input.pos, input.after != After::More) {
            Step::Record(framed) => {
                let end = self.settle(input.at, framed.end, 1);
                Step::Record(Framed { is_malformed: true, end, ..framed })
            }
            Step::Passed { end } => self.passed(input, end),
            Step::Gap { start, end } => Step::Gap { start, end: self.settle(input.at, end, 1) },
            Step::More => Step::More,
        }
    }

    /// Everything before `pos` is taken in, and nothing leaves.
    fn passed(&mut self, input: Input<'_>, pos: u64) -> Step<'static> {
        Step::Passed { end: self.settle(input.at, pos, 0) }
    }

    /// How many bytes are held for what is open.
    fn behind(&self) -> u64 {
        BEHIND * self.joins.iter().filter(|join| join.is_wanted()).count() as u64
    }

    /// The end of a step that began at `at` and has taken in everything before `pos`; it moves over `least` bytes.
    fn settle(&mut self, at: u64, pos: u64, least: u64) -> u64 {
        // A gap may be passed over without being read.
        let behind = if self.raw.is_in_gap() { 0 } else { self.behind() };
        let end = pos.saturating_sub(behind).max(at + least).min(pos);
        self.held = (pos - end) as usize;
        end
    }
}
