//! The CRI log format: `<time> <stdout|stderr> <tags> <content>`, one line each.
//!
//! From the Kubernetes design of it, and containerd's `internal/cri/io/logger.go` and conmon's `src/ctr_logging.c`,
//! which write it: the time is RFC 3339 with nanoseconds; tags are separated by colons, and the first is `P` for a
//! piece that goes on in the next line of the stream or `F` for the last or only one; every tag list is followed by
//! a space, also when the content is empty.

use super::{super::Settings, MAX_SKIP, time};
use crate::frame::Stream;
use memchr::memchr2;

/// A line's frame is at most so long: the time has at most 35 bytes, and no runtime writes more than one tag.
pub(super) const MAX_HEADER: usize = 256;

/// What a line says before its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// How long the time at its start is.
    pub time: usize,
    pub stream: Stream,
    /// `F`, not `P`.
    pub is_final: bool,
    /// Where the content begins.
    pub content: usize,
}

/// The header that `line` begins with; it is looked for in the first [`MAX_HEADER`] bytes.
#[inline]
pub(super) fn header(line: &[u8]) -> Option<Header> {
    let line = &line[..line.len().min(MAX_HEADER)];
    let time = time::shape(line)?;
    let (stream, is_final) = match line.get(time..time + 9)? {
        b" stdout F" => (Stream::Stdout, true),
        b" stdout P" => (Stream::Stdout, false),
        b" stderr F" => (Stream::Stderr, true),
        b" stderr P" => (Stream::Stderr, false),
        _ => return None,
    };
    let content = match line.get(time + 9)? {
        b' ' => time + 10,
        b':' => time + 10 + end_of_tags(&line[time + 10..])?,
        _ => return None,
    };
    Some(Header { time, stream, is_final, content })
}

/// How long the tags after the first are, with the space after them.
#[cold]
fn end_of_tags(tags: &[u8]) -> Option<usize> {
    let space = tags.iter().position(|byte| matches!(byte, b' ' | b'\n' | 0))?;
    (tags[space] == b' ').then_some(space + 1)
}

/// How many bytes at the start of `bytes` are whole lines, each of them complete and not ours, in streams that are
/// `closed`: nothing in the state is changed by them.
pub(super) fn skip(settings: &Settings, bytes: &[u8], closed: [bool; 2]) -> usize {
    let mut at = 0;
    while at < MAX_SKIP {
        let line = &bytes[at..];
        let Some(header) = header(line) else { break };
        let content = &line[header.content..];
        if !header.is_final || !closed[header.stream as usize] || settings.has_prefix(content) {
            break;
        }
        match memchr2(b'\n', 0, content) {
            Some(end) if content[end] == b'\n' && header.content + end < MAX_SKIP => at += header.content + end + 1,
            _ => break,
        }
    }
    at
}
