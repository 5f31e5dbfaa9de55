//! Frame: bytes → lines. Where one record ends and the next begins is decided by the bytes alone, never by how much
//! of them had been written or read at the time, so that a line that is read again is framed again in the same way.
//!
//! A line that is too long for one record leaves in parts, before its newline is seen: joined in order, the parts
//! are the line.
//!
//! Known limits: the fields of a long line are looked for in its first [`HEAD`] bytes only.

#[cfg(test)]
mod tests;

use crate::model::{Digest, Part};
use memchr::memchr;
use sha2::{Digest as _, Sha256};

/// Fields are looked for in this many bytes of a line; also the most that a reader must buffer for a step.
pub const HEAD: usize = 1 << 20;

/// The most bytes of the file that one step moves over.
pub const MAX_STEP: usize = 256 * 1024 + MAX_PREFIX + 2;

/// The longest prefix that can be configured.
pub const MAX_PREFIX: usize = 256;

/// How a source's lines become records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    prefix: Vec<u8>,
    limit: usize,
    part: usize,
}

impl Settings {
    /// `prefix`: only lines that begin with it are records, without it and one space after it; at most
    /// [`MAX_PREFIX`] bytes. `limit`: the longest body of one record, 16 bytes to 256 KiB; a longer line is cut into
    /// parts of three quarters of that, because a part that is not UTF-8 grows by a third on its way.
    pub fn new(prefix: Vec<u8>, limit: usize) -> Settings {
        let limit = limit.clamp(16, 256 * 1024);
        Settings { prefix: prefix[..prefix.len().min(MAX_PREFIX)].to_vec(), limit, part: limit / 4 * 3 }
    }

    fn is_too_long(&self, body: &[u8]) -> bool {
        body.len() > self.limit || (body.len() > self.part && std::str::from_utf8(body).is_err())
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
    /// The bytes in which its fields are looked for; `None` for a part after the first, which shares the first's.
    pub head: Option<&'b [u8]>,
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
}

impl Lines {
    /// The lowest offset that is needed to frame what comes at `at` again: the start of the line that is open, or
    /// `at`.
    pub fn rewind(&self, at: u64) -> u64 {
        match self.open {
            Open::Line => at,
            Open::Parts { start, .. } | Open::Foreign { start } => start,
        }
    }

    /// Looks at `bytes`, which begin at offset `at`: the end of the last step. At least [`HEAD`] + [`MAX_PREFIX`]
    /// + 2 bytes always decide.
    pub fn next<'b>(&mut self, settings: &Settings, bytes: &'b [u8], at: u64) -> Step<'b> {
        match self.open {
            Open::Line => match memchr(b'\n', bytes) {
                Some(newline) => match strip(&settings.prefix, &bytes[..newline]) {
                    Some(body) if !settings.is_too_long(body) => Step::Record(Framed {
                        body,
                        offset: at,
                        end: at + newline as u64 + 1,
                        part: None,
                        head: Some(body),
                    }),
                    Some(body) => self.first_part(settings, body, at, newline - body.len()),
                    None if newline < MAX_STEP => Step::Passed { end: at + newline as u64 + 1 },
                    None => self.begin_foreign(at),
                },
                None => self.open_ended(settings, bytes, at),
            },
            Open::Parts { .. } => self.next_part(settings, bytes, at, false),
            Open::Foreign { start } => self.foreign(bytes, at, start),
        }
    }

    /// What is left at the end of a file that will not grow any more: a last line without a newline.
    pub fn last<'b>(&mut self, settings: &Settings, bytes: &'b [u8], at: u64) -> Step<'b> {
        if bytes.is_empty() {
            return Step::More;
        }
        match self.open {
            Open::Line => match strip(&settings.prefix, bytes) {
                Some(body) if !settings.is_too_long(body) => Step::Record(Framed {
                    body,
                    offset: at,
                    end: at + bytes.len() as u64,
                    part: None,
                    head: Some(body),
                }),
                Some(body) => self.first_part(settings, body, at, bytes.len() - body.len()),
                None => Step::Passed { end: at + bytes.len() as u64 },
            },
            Open::Parts { .. } => self.next_part(settings, bytes, at, true),
            Open::Foreign { start } => self.foreign(bytes, at, start),
        }
    }

    #[cold]
    fn open_ended<'b>(&mut self, settings: &Settings, bytes: &'b [u8], at: u64) -> Step<'b> {
        let known = bytes.len().min(settings.prefix.len());
        if bytes[..known] != settings.prefix[..known] {
            return if bytes.len() < MAX_STEP { Step::More } else { self.begin_foreign(at) };
        }
        match strip(&settings.prefix, bytes) {
            Some(body) if body.len() >= HEAD => self.first_part(settings, body, at, bytes.len() - body.len()),
            _ => Step::More,
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
            body: &body[..cut],
            offset: at,
            end: at + (skipped + cut) as u64,
            part: Some(Part { number: 1, whole: None }),
            head: Some(&body[..body.len().min(HEAD)]),
        })
    }

    #[cold]
    fn next_part<'b>(&mut self, settings: &Settings, bytes: &'b [u8], at: u64, is_last: bool) -> Step<'b> {
        let Open::Parts { number, whole, .. } = &mut self.open else { return Step::More };
        let newline = memchr(b'\n', bytes);
        let rest = &bytes[..newline.unwrap_or(bytes.len())];
        if rest.len() > settings.part {
            let body = &rest[..cut_at(rest, settings.part)];
            *number = number.saturating_add(1);
            whole.update(body);
            let part = Some(Part { number: *number, whole: None });
            return Step::Record(Framed { body, offset: at, end: at + body.len() as u64, part, head: None });
        }
        if newline.is_none() && !is_last {
            return Step::More;
        }
        whole.update(rest);
        let whole: Digest = whole.clone().finalize().into();
        let part = Some(Part { number: number.saturating_add(1), whole: Some(whole) });
        self.open = Open::Line;
        let end = at + rest.len() as u64 + u64::from(newline.is_some());
        Step::Record(Framed { body: rest, offset: at, end, part, head: None })
    }

    /// Leaves the offset where it is: the next step passes over the line's bytes without buffering them all.
    #[cold]
    fn begin_foreign(&mut self, at: u64) -> Step<'static> {
        self.open = Open::Foreign { start: at };
        Step::Passed { end: at }
    }

    #[cold]
    fn foreign(&mut self, bytes: &[u8], at: u64, start: u64) -> Step<'static> {
        let bytes = &bytes[..bytes.len().min(MAX_STEP)];
        if bytes.is_empty() {
            return Step::More;
        }
        match memchr(b'\n', bytes) {
            Some(newline) => {
                self.open = Open::Line;
                Step::Passed { end: at + newline as u64 + 1 }
            }
            None => {
                self.open = Open::Foreign { start };
                Step::Passed { end: at + bytes.len() as u64 }
            }
        }
    }
}

/// The line without the prefix and one space after it; `None` when it does not begin with the prefix.
fn strip<'b>(prefix: &[u8], line: &'b [u8]) -> Option<&'b [u8]> {
    if prefix.is_empty() {
        return Some(line);
    }
    let body = line.strip_prefix(prefix)?;
    Some(body.strip_prefix(b" ").unwrap_or(body))
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
