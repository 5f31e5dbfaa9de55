//! Frame: bytes → lines. Where one record ends and the next begins is decided by the bytes alone, never by how much
//! of them had been written or read at the time, so that a line that is read again is framed again in the same way.
//!
//! A line that is too long for one record leaves in parts, before its newline is seen: joined in order, the parts
//! are the line.
//!
//! A run of NUL bytes is a gap, not a part of a line: a writer that does not append leaves one after copytruncate, and
//! a file system after a power cut. At the start of a line any run is one, within a line only a run of [`GAP`] or
//! more, which also ends that line. One record stands for it, with its place and length, so that nothing is hidden.
//!
//! Known limits: the fields of a long line are looked for in its first [`HEAD`] bytes only.

pub mod container;
mod framer;
#[cfg(test)]
mod tests;

pub use framer::Framer;

use crate::model::{Digest, Part, Stamp};
use memchr::memchr2;
use sha2::{Digest as _, Sha256};

/// Fields are looked for in this many bytes of a line; also the most that a reader must buffer for a step.
pub const HEAD: usize = 1 << 20;

/// The most bytes of the file that one step moves over.
pub const MAX_STEP: usize = 256 * 1024 + MAX_PREFIX + 2;

/// So many NUL bytes within a line are a gap.
pub const GAP: usize = 1024;

/// The longest prefix that can be configured.
pub const MAX_PREFIX: usize = 256;

/// How a source's lines become records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// None is empty; the longest first.
    prefixes: Vec<Vec<u8>>,
    limit: usize,
    part: usize,
    is_container: bool,
}

/// Whether a line is a record, as far as its first bytes decide it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is, without so many bytes at its start.
    Ours(usize),
    /// It is not.
    Foreign,
    /// The bytes so far do not decide it.
    Open,
}

impl Settings {
    /// `prefix`: only lines that begin with it are records, without it and one space after it; at most
    /// [`MAX_PREFIX`] bytes. `limit`: the longest body of one record, 16 bytes to 256 KiB; a longer line is cut into
    /// parts of three quarters of that, because a part that is not UTF-8 grows by a third on its way.
    pub fn new(prefix: Vec<u8>, limit: usize) -> Settings {
        Settings::with_prefixes(vec![prefix], limit)
    }

    /// As [`Settings::new`], with any number of prefixes: of those that a line begins with, the longest is taken off.
    /// Empty ones do not count; when none is left every line is a record. With two or more the limit is at least
    /// four times [`MAX_PREFIX`].
    pub fn with_prefixes(mut prefixes: Vec<Vec<u8>>, limit: usize) -> Settings {
        prefixes.retain(|prefix| !prefix.is_empty());
        prefixes.iter_mut().for_each(|prefix| prefix.truncate(MAX_PREFIX));
        prefixes.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
        // What is kept of a line until its prefix is known is then less than a part.
        let least = if prefixes.len() > 1 { 4 * MAX_PREFIX } else { 16 };
        let limit = limit.clamp(least, 256 * 1024);
        Settings { prefixes, limit, part: limit / 4 * 3, is_container: false }
    }

    /// Whether the lines of a file are pieces of a container's lines.
    #[must_use]
    pub fn of_container(self, is_container: bool) -> Settings {
        Settings { is_container, ..self }
    }

    /// See [`Settings::of_container`].
    pub fn is_container(&self) -> bool {
        self.is_container
    }

    fn is_too_long(&self, body: &[u8]) -> bool {
        body.len() > self.limit || (body.len() > self.part && std::str::from_utf8(body).is_err())
    }

    /// Whether `text`, with which a line begins, begins with a prefix. Of fewer bytes than a prefix has it says
    /// nothing.
    fn has_prefix(&self, text: &[u8]) -> bool {
        self.prefixes.iter().any(|prefix| text.starts_with(prefix))
    }

    /// Whether a line that begins with `text` may begin with a prefix when more of it is there.
    fn may_have_prefix(&self, text: &[u8]) -> bool {
        self.prefixes.iter().any(|prefix| prefix.len() > text.len() && prefix.starts_with(text))
    }

    /// What becomes of a line that begins with `text`. `is_whole`: nothing comes after it.
    fn verdict(&self, text: &[u8], is_whole: bool) -> Verdict {
        if self.prefixes.is_empty() {
            return Verdict::Ours(0);
        }
        if !is_whole && self.may_have_prefix(text) {
            return Verdict::Open;
        }
        let Some(prefix) = self.prefixes.iter().find(|prefix| text.starts_with(prefix)) else {
            return Verdict::Foreign;
        };
        match text.get(prefix.len()) {
            Some(b' ') => Verdict::Ours(prefix.len() + 1),
            None if !is_whole => Verdict::Open,
            _ => Verdict::Ours(prefix.len()),
        }
    }

    /// The line without the prefix and one space after it; `None` when it does not begin with a prefix.
    fn strip<'b>(&self, line: &'b [u8]) -> Option<&'b [u8]> {
        match self.verdict(line, true) {
            Verdict::Ours(skipped) => line.get(skipped..),
            Verdict::Foreign | Verdict::Open => None,
        }
    }
}

/// What the next bytes are.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'b> {
    /// A record.
    Record(Framed<'b>),
    /// Bytes up to this offset that are not a record of ours.
    Passed {
        /// The offset after them.
        end: u64,
    },
    /// A run of NUL bytes, of which this is the end.
    Gap {
        /// The offset of its first byte.
        start: u64,
        /// The offset after it.
        end: u64,
    },
    /// The bytes so far do not decide it.
    More,
}

/// A line, or a part of one, in the read buffer.
#[derive(Debug, PartialEq, Eq)]
pub struct Framed<'b> {
    /// What is delivered.
    pub body: &'b [u8],
    /// The offset of the first byte of the line or part.
    pub offset: u64,
    /// The offset after it, newline included.
    pub end: u64,
    /// Set when the line is too long for one record.
    pub part: Option<Part>,
    /// Whether the line ends without a newline.
    pub is_unterminated: bool,
    /// The bytes in which its fields are looked for; `None` for a part after the first, which shares the first's.
    pub head: Option<&'b [u8]>,
    /// Whether `head` is all of the line: then what is wrong with it is wrong with the line.
    pub is_head_whole: bool,
    /// Whether the line is not of the form that its file has, or may lack a piece. Only in container logs.
    pub is_malformed: bool,
    /// The time that the container runtime wrote; of a joined line, that of its first piece.
    pub time: Option<Stamp>,
    /// Where the container wrote it.
    pub stream: Option<Stream>,
}

/// The standard stream of a container that a line was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl<'b> Framed<'b> {
    /// A record that is all of its line, of which nothing but the bytes is known.
    fn whole(body: &'b [u8], offset: u64, end: u64, is_unterminated: bool) -> Framed<'b> {
        Framed {
            body,
            offset,
            end,
            part: None,
            is_unterminated,
            head: Some(body),
            is_head_whole: true,
            is_malformed: false,
            time: None,
            stream: None,
        }
    }

    /// Not the first part of a line.
    fn part(body: &'b [u8], offset: u64, end: u64, part: Part, is_unterminated: bool) -> Framed<'b> {
        Framed {
            part: Some(part),
            head: None,
            is_head_whole: false,
            ..Framed::whole(body, offset, end, is_unterminated)
        }
    }
}

/// The place in a file's lines. One per file and reader; begins at the start of a line.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    open: Open,
}

/// What the bytes at the current offset belong to.
#[derive(Clone, Debug, Default)]
enum Open {
    /// They begin a line.
    #[default]
    Line,
    /// They continue a line of which `number` parts have left.
    Parts { start: u64, number: u32, whole: Sha256 },
    /// They continue a line that is not ours.
    Foreign { start: u64 },
    /// They continue a run of NUL bytes, of which at least one is still to come.
    Gap { start: u64 },
}

/// What a stretch of a line is ended by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// The newline at this index.
    Newline(usize),
    /// The gap at this index.
    Gap(usize),
    /// Nothing yet; before this index there is no gap for sure.
    Open(usize),
}

impl Stop {
    /// The index of what ends the line.
    fn at(self) -> Option<usize> {
        match self {
            Stop::Newline(at) | Stop::Gap(at) => Some(at),
            Stop::Open(_) => None,
        }
    }
}

/// What ends the line that `bytes` continue. `is_last`: nothing comes after them.
fn stop(bytes: &[u8], is_last: bool) -> Stop {
    match memchr2(b'\n', 0, bytes) {
        Some(at) if bytes[at] == b'\n' => Stop::Newline(at),
        Some(at) => stop_slow(bytes, at, is_last),
        None => Stop::Open(bytes.len()),
    }
}

/// There is a NUL at `nul`.
#[cold]
fn stop_slow(bytes: &[u8], mut nul: usize, is_last: bool) -> Stop {
    loop {
        let run = bytes[nul..].iter().take(GAP).take_while(|byte| **byte == 0).count();
        if run >= GAP {
            return Stop::Gap(nul);
        }
        if nul + run == bytes.len() && !is_last {
            return Stop::Open(nul);
        }
        let from = nul + run;
        match memchr2(b'\n', 0, &bytes[from..]) {
            Some(at) if bytes[from + at] == b'\n' => return Stop::Newline(from + at),
            Some(at) => nul = from + at,
            None => return Stop::Open(bytes.len()),
        }
    }
}

impl Lines {
    /// The lowest offset that is needed to frame what comes at `at` again: the start of the line that is open, or
    /// `at`.
    pub fn rewind(&self, at: u64) -> u64 {
        match self.open {
            Open::Line => at,
            Open::Parts { start, .. } | Open::Foreign { start } | Open::Gap { start } => start,
        }
    }

    /// Whether a run of NUL bytes goes on at the current offset: how far can be found out without reading it all.
    pub fn is_in_gap(&self) -> bool {
        matches!(self.open, Open::Gap { .. })
    }

    /// Looks at `bytes`, which begin at offset `at`: the end of the last step. At least [`HEAD`] + [`MAX_PREFIX`]
    /// + [`GAP`] + 2 bytes always decide.
    pub fn next<'b>(&mut self, settings: &Settings, bytes: &'b [u8], at: u64) -> Step<'b> {
        self.step(settings, bytes, at, false)
    }

    /// What is left at the end of a file that will not grow any more: a last line without a newline.
    pub fn last<'b>(&mut self, settings: &Settings, bytes: &'b [u8], at: u64) -> Step<'b> {
        if bytes.is_empty() { Step::More } else { self.step(settings, bytes, at, true) }
    }

    fn step<'b>(&mut self, settings: &Settings, bytes: &'b [u8], at: u64, is_last: bool) -> Step<'b> {
        match self.open {
            Open::Line => match stop(bytes, is_last) {
                Stop::Newline(end) if bytes[0] != 0 => self.line(settings, &bytes[..end], at, 1),
                _ if bytes.first() == Some(&0) => self.gap(bytes, at, at, is_last),
                Stop::Newline(end) => self.line(settings, &bytes[..end], at, 1),
                Stop::Gap(end) => self.line(settings, &bytes[..end], at, 0),
                Stop::Open(_) if is_last => self.line(settings, bytes, at, 0),
                Stop::Open(clear) => self.open_ended(settings, bytes, clear, at),
            },
            Open::Parts { .. } => self.next_part(settings, bytes, at, is_last),
            Open::Foreign { start } => self.foreign(bytes, at, start, is_last),
            Open::Gap { start } => self.gap(bytes, at, start, is_last),
        }
    }

    /// A whole line; `newline`: how many bytes its end has.
    fn line<'b>(&mut self, settings: &Settings, line: &'b [u8], at: u64, newline: usize) -> Step<'b> {
        match settings.strip(line) {
            Some(body) if !settings.is_too_long(body) => {
                Step::Record(Framed::whole(body, at, at + (line.len() + newline) as u64, newline == 0))
            }
            Some(body) => self.first_part(settings, body, at, line.len() - body.len()),
            None if line.len() < MAX_STEP => Step::Passed { end: at + (line.len() + newline) as u64 },
            None => self.begin_foreign(at),
        }
    }

    /// `bytes` begin a line whose end is not there yet; in the first `clear` of them there is no gap.
    #[cold]
    fn open_ended<'b>(&mut self, settings: &Settings, bytes: &'b [u8], clear: usize, at: u64) -> Step<'b> {
        if !settings.prefixes.is_empty() && !settings.has_prefix(bytes) && !settings.may_have_prefix(bytes) {
            return if clear < MAX_STEP { Step::More } else { self.begin_foreign(at) };
        }
        // What is sought in its head must not depend on whether a gap is seen whole yet.
        match settings.strip(&bytes[..clear]) {
            Some(body) if body.len() >= HEAD => self.first_part(settings, body, at, clear - body.len()),
            _ => Step::More,
        }
    }

    /// A run of NUL bytes that began at `start`. Its last byte stays until it is known to be the last: what stands for
    /// the gap ends where nothing that was done before ends.
    #[cold]
    fn gap<'b>(&mut self, bytes: &'b [u8], at: u64, start: u64, is_last: bool) -> Step<'b> {
        let run = bytes.iter().position(|byte| *byte != 0);
        match run {
            None if bytes.is_empty() => Step::More,
            None if !is_last => {
                self.open = Open::Gap { start };
                match bytes.len() {
                    1 => Step::More,
                    len => Step::Passed { end: at + len as u64 - 1 },
                }
            }
            run => {
                self.open = Open::Line;
                Step::Gap { start, end: at + run.unwrap_or(bytes.len()) as u64 }
            }
        }
    }

    /// `body` is longer than a record can be; `skipped` bytes of frame lie before it.
    #[cold]
    fn first_part<'b>(&mut self, settings: &Settings, body: &'b [u8], at: u64, skipped: usize) -> Step<'b> {
        let cut = cut_at(body, settings.part);
        let mut whole = Sha256::new();
        whole.update(&body[..cut]);
        self.open = Open::Parts { start: at, number: 1, whole };
        Step::Record(Framed {
            part: Some(Part { number: 1, whole: None }),
            head: Some(&body[..body.len().min(HEAD)]),
            is_head_whole: body.len() < HEAD,
            ..Framed::whole(&body[..cut], at, at + (skipped + cut) as u64, false)
        })
    }

    #[cold]
    fn next_part<'b>(&mut self, settings: &Settings, bytes: &'b [u8], at: u64, is_last: bool) -> Step<'b> {
        let Open::Parts { number, whole, .. } = &mut self.open else { return Step::More };
        let stop = stop(bytes, is_last);
        let (rest, clear) = match stop {
            Stop::Newline(end) | Stop::Gap(end) => (&bytes[..end], end),
            Stop::Open(clear) => (bytes, clear),
        };
        if rest.len() > settings.part && clear >= settings.part {
            let body = &rest[..cut_at(rest, settings.part)];
            *number = number.saturating_add(1);
            whole.update(body);
            let part = Part { number: *number, whole: None };
            return Step::Record(Framed::part(body, at, at + body.len() as u64, part, false));
        }
        if stop.at().is_none() && !is_last {
            return Step::More;
        }
        whole.update(rest);
        let whole: Digest = whole.clone().finalize().into();
        let part = Part { number: number.saturating_add(1), whole: Some(whole) };
        self.open = Open::Line;
        let is_unterminated = !matches!(stop, Stop::Newline(_));
        let end = at + rest.len() as u64 + u64::from(!is_unterminated);
        Step::Record(Framed::part(rest, at, end, part, is_unterminated))
    }

    /// Leaves the offset where it is: the next step passes over the line's bytes without buffering them all.
    #[cold]
    fn begin_foreign(&mut self, at: u64) -> Step<'static> {
        self.open = Open::Foreign { start: at };
        Step::Passed { end: at }
    }

    #[cold]
    fn foreign(&mut self, bytes: &[u8], at: u64, start: u64, is_last: bool) -> Step<'static> {
        // Looked at with what follows, so that a gap is seen whole.
        let is_last = is_last && bytes.len() <= MAX_STEP;
        let end = match stop(&bytes[..bytes.len().min(MAX_STEP)], is_last) {
            Stop::Newline(newline) => newline + 1,
            Stop::Gap(gap) => gap,
            // All of it are NULs that may be the beginning of a gap.
            Stop::Open(0) => return Step::More,
            Stop::Open(clear) => {
                self.open = Open::Foreign { start };
                return Step::Passed { end: at + clear as u64 };
            }
        };
        self.open = Open::Line;
        Step::Passed { end: at + end as u64 }
    }
}

/// Where to cut `bytes`, which are longer than `part`: at `part`, or up to three bytes before it so as not to cut a
/// UTF-8 character in two.
fn cut_at(bytes: &[u8], part: usize) -> usize {
    let is_continuation = |byte: u8| byte & 0xC0 == 0x80;
    (part.saturating_sub(3)..=part)
        .rev()
        .find(|&cut| cut > 0 && bytes.get(cut).is_some_and(|&byte| !is_continuation(byte)))
        .unwrap_or(part)
        .min(bytes.len())
}
