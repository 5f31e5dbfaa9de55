//! Docker's json-file format: one object per line, such as
//! `{"log":"text\n","stream":"stdout","time":"2024-01-02T03:04:05.123456789Z"}`.
//!
//! From moby's `daemon/logger`: pieces of 16 KiB; the text of the last or only piece of a line ends with a newline,
//! that of the others does not, and nothing else tells them apart; `attrs` comes before `time` when labels or
//! environment are logged; zeros at the end of the fraction are cut; bytes that are not UTF-8 have become U+FFFD.

use super::{super::Settings, MAX_SKIP, join::Source, time};
use crate::{frame::Stream, model::Stamp};
use memchr::memchr2;
use std::ops::Range;

/// A longer line is not one of Docker's: 16 KiB of text are at most 96 KiB when all of it is escaped.
pub(super) const MAX_LINE: usize = 256 * 1024;

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where the text is in the line, still escaped, without the newline at its end.
    pub text: Range<usize>,
    /// Whether there is an escape in it.
    pub is_escaped: bool,
    /// Whether there is a newline at its end: nothing of the line comes in another piece.
    pub is_final: bool,
    pub stream: Stream,
    /// Where the time is; empty when there is none.
    pub time: Range<usize>,
}

/// The rest of a JSON string.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tail {
    /// The length of its text without the newline at its end, escaped.
    pub text: usize,
    pub is_escaped: bool,
    pub is_final: bool,
    /// The index of the closing quote.
    quote: usize,
}

/// Reads a string from after its opening quote, or after any of its characters, to its end. `None` when it does not
/// end or has an escape that JSON has not.
pub(super) fn tail(bytes: &[u8]) -> Option<Tail> {
    let mut at = 0;
    // How many escapes there are, and where the last begins and ends.
    let (mut escapes, mut last) = (0_usize, 0..0);
    loop {
        at += special(&bytes[at..])?;
        if bytes[at] == b'"' {
            break;
        }
        let len = match bytes.get(at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
            b'u' if bytes.get(at + 2..at + 6)?.iter().all(u8::is_ascii_hexdigit) => 6,
            _ => return None,
        };
        escapes += 1;
        last = at..at + len;
        at += len;
    }
    let is_final = last.end == at && matches!(&bytes[last.clone()], b"\\n" | b"\\u000a" | b"\\u000A");
    let text = if is_final { last.start } else { at };
    Some(Tail { text, is_escaped: escapes > usize::from(is_final), is_final, quote: at })
}

/// The index of the first quote or backslash. In JSON within JSON they are so near to each other that the search for
/// one is over before `memchr2` has begun.
#[inline]
fn special(bytes: &[u8]) -> Option<usize> {
    const NEAR: usize = 32;
    const ONES: u64 = 0x0101_0101_0101_0101;
    // The lowest byte that is zero has its highest bit set, and none below it has.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    let (mut at, mut rest) = (0, bytes);
    while let (true, Some((word, after))) = (at < NEAR, rest.split_first_chunk()) {
        let word = u64::from_le_bytes(*word);
        let found = zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        (at, rest) = (at + 8, after);
    }
    Some(at + memchr2(b'"', b'\\', rest)?)
}

/// What `line` says, `None` when it is not one of Docker's.
pub(super) fn parse(line: &[u8]) -> Option<Entry> {
    parse_as_written(line).or_else(|| parse_slow(line))
}

/// What moby begins a line with.
const START: &[u8] = b"{\"log\":\"";

/// As moby writes it without attributes.
#[inline]
pub(super) fn parse_as_written(line: &[u8]) -> Option<Entry> {
    const TIME: &[u8] = b"\",\"time\":\"";
    let text = line.strip_prefix(START)?;
    let tail = tail(text)?;
    let mut at = START.len() + tail.quote;
    let stream = match line.get(at..at + 18)? {
        b"\",\"stream\":\"stdout" => Stream::Stdout,
        b"\",\"stream\":\"stderr" => Stream::Stderr,
        _ => return None,
    };
    at += 18;
    let time = line[at..].strip_prefix(TIME)?.strip_suffix(b"\"}")?;
    at += TIME.len();
    if time::shape(time) != Some(time.len()) {
        return None;
    }
    let text = START.len()..START.len() + tail.text;
    Some(Entry { text, is_escaped: tail.is_escaped, is_final: tail.is_final, stream, time: at..at + time.len() })
}

/// With its keys in any order, other keys and white space. Of two equal keys the last counts, as in Go.
#[cold]
pub(super) fn parse_slow(line: &[u8]) -> Option<Entry> {
    let mut cursor = Cursor { bytes: line, at: 0 };
    let (mut log, mut stream, mut time) = (None, None, 0..0);
    cursor.take(b'{')?;
    if cursor.take(b'}').is_none() {
        loop {
            cursor.take(b'"')?;
            let (key, _) = cursor.string()?;
            cursor.take(b':')?;
            match (&line[key], cursor.take(b'"')) {
                (b"log", Some(())) => log = Some(cursor.string()?),
                (b"stream", Some(())) => stream = Some(cursor.string()?.0),
                (b"time", Some(())) => time = cursor.string()?.0,
                (b"log" | b"stream", None) => return None,
                (_, Some(())) => {
                    cursor.string()?;
                }
                (_, None) => cursor.skip_value()?,
            }
            match cursor.peek()? {
                b',' => cursor.at += 1,
                _ => break cursor.take(b'}')?,
            }
        }
    }
    if cursor.peek().is_some() {
        return None;
    }
    let (text, tail) = log?;
    let stream = match &line[stream?] {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    let text = text.start..text.start + tail.text;
    Some(Entry { text, is_escaped: tail.is_escaped, is_final: tail.is_final, stream, time })
}

/// A place in a JSON text.
struct Cursor<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Cursor<'_> {
    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        self.at += self.bytes[self.at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
        self.bytes.get(self.at).copied()
    }

    /// Moves over `byte` and the white space before it.
    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Moves over the rest of a string, its closing quote included.
    fn string(&mut self) -> Option<(Range<usize>, Tail)> {
        let start = self.at;
        let tail = tail(&self.bytes[start..])?;
        self.at = start + tail.quote + 1;
        Some((start..start + tail.quote, tail))
    }

    /// Moves over a value that is not a string. What it is made of is not looked at, only where it ends.
    fn skip_value(&mut self) -> Option<()> {
        let (start, mut depth) = (self.at, 0_usize);
        loop {
            match self.bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' | b',' if depth == 0 => return (self.at > start).then_some(()),
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
        }
    }
}

/// How many bytes at the start of `bytes` are whole lines, each of them complete and not ours, in streams that are
/// `closed`: nothing in the state is changed by them.
pub(super) fn skip(settings: &Settings, bytes: &[u8], closed: [bool; 2]) -> usize {
    let mut at = 0;
    while at < MAX_SKIP {
        let line = &bytes[at..];
        let end = match memchr2(b'\n', 0, line) {
            Some(end) if line[end] == b'\n' && end < MAX_SKIP => end,
            _ => break,
        };
        let line = &line[..end];
        // Before all of the text is looked at.
        if !line.strip_prefix(START).is_some_and(|text| is_foreign(settings, text)) {
            break;
        }
        match parse_as_written(line) {
            Some(entry) if entry.is_final && closed[entry.stream as usize] => at += end + 1,
            _ => break,
        }
    }
    at
}

/// Whether a text that begins with `text` is not ours for sure; still escaped, and perhaps with what follows it.
fn is_foreign(settings: &Settings, text: &[u8]) -> bool {
    match text.first() {
        Some(b'\\') => text.starts_with(b"\\n\""),
        // An escape further on may make a prefix of what does not look like one.
        Some(first) => settings.prefixes.iter().all(|prefix| prefix[0] != *first),
        None => true,
    }
}

/// The time that is written at `range` of `line`.
pub(super) fn stamp(line: &[u8], range: Range<usize>) -> Option<Stamp> {
    time::stamp(line.get(range)?)
}

/// A text that is taken out of its escapes bit by bit. A surrogate without its other half becomes U+FFFD, as moby
/// makes of everything that is not a character.
#[derive(Debug)]
pub(super) struct Text<'b> {
    rest: &'b [u8],
}

impl<'b> Text<'b> {
    /// `text` is what [`tail`] found.
    pub(super) fn new(text: &'b [u8]) -> Text<'b> {
        Text { rest: text }
    }

    /// Takes one escape out of the front.
    fn unescape(&mut self) -> char {
        let short = |character| (character, 2);
        let (character, len) = match self.rest.get(1) {
            Some(b'b') => short('\u{8}'),
            Some(b'f') => short('\u{c}'),
            Some(b'n') => short('\n'),
            Some(b'r') => short('\r'),
            Some(b't') => short('\t'),
            Some(b'u') => self.unescape_code(),
            Some(other) => short(char::from(*other)),
            None => short(char::REPLACEMENT_CHARACTER),
        };
        self.rest = self.rest.get(len..).unwrap_or_default();
        character
    }

    fn unescape_code(&self) -> (char, usize) {
        let code = |from: usize| {
            let digits = self.rest.get(from..)?.strip_prefix(b"\\u")?.get(..4)?;
            u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        };
        match (code(0), code(6)) {
            (Some(high @ 0xD800..0xDC00), Some(low @ 0xDC00..0xE000)) => {
                let both = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                (char::from_u32(both).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
            }
            (code, _) => (code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
        }
    }
}

impl Source for Text<'_> {
    fn left(&self) -> usize {
        self.rest.len()
    }

    fn fill(&mut self, out: &mut Vec<u8>, room: usize) {
        let room = out.len() + room;
        while out.len() < room && !self.rest.is_empty() {
            let near = &self.rest[..self.rest.len().min(room - out.len())];
            let plain = special(near).unwrap_or(near.len());
            out.extend_from_slice(&near[..plain]);
            self.rest = &self.rest[plain..];
            match self.rest {
                // Most of them.
                [b'\\', byte @ (b'"' | b'\\'), rest @ ..] if plain < near.len() => {
                    out.push(*byte);
                    self.rest = rest;
                }
                _ if plain < near.len() => {
                    let character = self.unescape();
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => {}
            }
        }
    }
}
