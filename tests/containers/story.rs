//! What a container writes: lines on two streams, cut into chunks with no regard to where lines end.

use crate::witness::Form;
use fastrand::Rng;
use std::{fs, path::Path};

pub(crate) const LINES: usize = 100_000;

/// Begins every audit line; one space after it does not belong to the line either.
pub(crate) const PREFIX: &str = "audit:";

/// One line, without its newline.
pub(crate) struct Line {
    pub(crate) bytes: Vec<u8>,
    /// Where the audit line begins in it, when it is one.
    body: Option<usize>,
}

impl Line {
    pub(crate) fn body(&self) -> Option<&[u8]> {
        self.body.map(|at| &self.bytes[at..])
    }
}

pub(crate) struct Story {
    pub(crate) lines: Vec<Line>,
    /// By stream: the numbers of its lines, in their order.
    pub(crate) streams: [Vec<usize>; 2],
    /// By stream: its bytes.
    bytes: [Vec<u8>; 2],
}

impl Story {
    /// What Docker would alter before anybody can read it, bytes that are not UTF-8 and characters across its cuts,
    /// is left out of audit lines for Docker; conmon passes on what it gets.
    pub(crate) fn new(form: Form, rng: &mut Rng) -> Story {
        // Some time ago, so that no line is from the future.
        let start = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(300);
        let mut story =
            Story { lines: Vec::with_capacity(LINES), streams: Default::default(), bytes: Default::default() };
        for n in 0..LINES {
            let line = if n % 3 == 0 {
                audit(n, start + jiff::SignedDuration::from_millis(n as i64), form, rng)
            } else {
                Line { bytes: foreign(n, form, rng), body: None }
            };
            let stream = usize::from(rng.u32(..10) < 3);
            story.streams[stream].push(n);
            story.bytes[stream].extend_from_slice(&line.bytes);
            story.bytes[stream].push(b'\n');
            story.lines.push(line);
        }
        story
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.iter().map(Vec::len).sum()
    }

    /// Every audit line, without its prefix.
    pub(crate) fn truth(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.lines.iter().enumerate().filter_map(|(n, line)| Some((n, line.body()?)))
    }

    /// Whether a line that is not an audit line ends with a prefix and then `rest`.
    pub(crate) fn has_foreign_that_ends_with(&self, rest: &[u8]) -> bool {
        let rest = [PREFIX.as_bytes(), b" ", rest].concat();
        self.lines.iter().any(|line| line.body.is_none() && line.bytes.ends_with(&rest))
    }

    /// Writes it to about so many files, named so that their order is that of writing, and ending in their stream.
    pub(crate) fn cut(&self, folder: &Path, chunks: usize, rng: &mut Rng) {
        let usual = self.len() / chunks;
        let mut rest = [&self.bytes[0][..], &self.bytes[1][..]];
        for n in 0.. {
            let left = rest[0].len() + rest[1].len();
            if left == 0 {
                return;
            }
            let stream = usize::from(rng.usize(..left) >= rest[0].len());
            let len = rng.usize(1..usual * 2).min(rest[stream].len());
            let (chunk, after) = rest[stream].split_at(len);
            rest[stream] = after;
            fs::write(folder.join(format!("{n:05}.{}", ["out", "err"][stream])), chunk).unwrap();
        }
    }
}

/// Mostly short; some that Docker splits, and a few of up to 200 KB.
fn len(rng: &mut Rng) -> usize {
    match rng.u32(..10_000) {
        // At the edges of Docker's buffer, conmon's and the pipe.
        0..3 => *rng.choice(&[8191, 8192, 8193, 16383, 16384, 16385, 32768, 65536]).unwrap(),
        3..6 => rng.usize(65_536..200_000),
        6..20 => rng.usize(16_384..40_000),
        20..200 => rng.usize(300..8000),
        _ => rng.usize(1..160),
    }
}

fn audit(n: usize, time: jiff::Timestamp, form: Form, rng: &mut Rng) -> Line {
    let prefix = if rng.u32(..50) == 0 { PREFIX.to_owned() } else { format!("{PREFIX} ") };
    let (kind, tenant) = (["login", "read", "write"][rng.usize(..3)], ["acme", "umbrella"][rng.usize(..2)]);
    let mut bytes = format!(
        "{prefix}{{\"ts\":\"{time:.6}\",\"seq\":{n},\"event_type\":\"{kind}\",\"tenant\":\"{tenant}\",\"text\":\""
    )
    .into_bytes();
    let len = len(rng);
    let is_cut = bytes.len() + len > 16_000;
    if is_cut && form == Form::Docker {
        // No two parts are equal.
        let mut k = 0;
        while bytes.len() < len {
            bytes.extend_from_slice(format!("{k:x}<&>").as_bytes());
            k += 1;
        }
    } else {
        let words =
            ["Zoë", "漢字", "<b>&amp;</b>", "\\u0001\\n", "\u{2028}", "\u{1F600}", "a", " ", "\\\"", "\u{7f}"];
        while bytes.len() < len {
            bytes.extend_from_slice(rng.choice(words).unwrap().as_bytes());
        }
        if form == Form::Cri && rng.u32(..100) == 0 {
            bytes.extend_from_slice(b"M\xfcller");
        }
    }
    bytes.extend_from_slice(b"\"}");
    if rng.u32(..100) == 0 {
        bytes.push(b'\r');
    }
    Line { bytes, body: Some(prefix.len()) }
}

fn foreign(n: usize, form: Form, rng: &mut Rng) -> Vec<u8> {
    let decoy = format!("{PREFIX} {{\"ts\":\"2026-01-01T00:00:00Z\",\"seq\":{n},\"event_type\":\"decoy\"}}");
    let len = len(rng);
    match rng.u32(..20) {
        0 => format!("INFO {decoy}").into_bytes(),
        1 => format!(" {decoy}").into_bytes(),
        2 => format!("Audit: {{\"seq\":{n}}}").into_bytes(),
        3 => PREFIX.as_bytes()[..rng.usize(1..PREFIX.len())].to_vec(),
        4 => format!("audit {{\"seq\":{n}}}").into_bytes(),
        5 => format!("\u{feff}{decoy}").into_bytes(),
        6 => format!("{{\"log\":\"{decoy}\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00Z\"}}").into_bytes(),
        7 => format!("2026-01-01T00:00:00.000000000Z stdout F {decoy}").into_bytes(),
        8 => b"x".to_vec(),
        9 => Vec::new(),
        10 => [b"caf\xe9 ", decoy.as_bytes()].concat(),
        // So dense that pieces of it begin with the prefix, wherever it is cut.
        _ if len > 8000 => {
            let mut bytes = b"dump ".to_vec();
            while bytes.len() < len {
                bytes.extend_from_slice(format!("{PREFIX} {{\"seq\":{n}}} ").as_bytes());
            }
            if form == Form::Cri && rng.u32(..4) == 0 {
                bytes.push(0xff);
            }
            bytes
        }
        _ => format!("GET /api/v1/accounts/{n} 200 ").bytes().cycle().take(len).collect(),
    }
}
