//! Golden files with each runtime's exact bytes; `cases` has the rules and `props` the properties.

mod cases;
mod props;

use super::*;
use crate::frame::MAX_STEP;
use crate::model::{Nanos, Part, Stamp, leaf};

/// What came out.
#[derive(Clone, Debug, PartialEq)]
enum Out {
    Record(Seen),
    Gap { start: u64, end: u64 },
}

/// A record.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    stream: Option<Stream>,
    time: Option<Stamp>,
    offset: u64,
    end: u64,
    body: Vec<u8>,
    part: Option<Part>,
    head: Option<(usize, bool)>,
    is_unterminated: bool,
    is_malformed: bool,
}

impl Out {
    fn end(&self) -> u64 {
        match self {
            Out::Record(seen) => seen.end,
            Out::Gap { end, .. } => *end,
        }
    }

    fn record(&self) -> Option<&Seen> {
        match self {
            Out::Record(seen) => Some(seen),
            Out::Gap { .. } => None,
        }
    }
}

impl std::fmt::Display for Out {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Out::Record(seen) = self else { return write!(f, "{self:?}") };
        write!(f, "{}..{}", seen.offset, seen.end)?;
        if let Some(stream) = seen.stream {
            write!(f, " {stream:?}")?;
        }
        if let Some(time) = seen.time {
            write!(f, " {} ±{}", time.time, time.unit)?;
        }
        if let Some(part) = seen.part {
            write!(f, " part {}{}", part.number, if part.whole.is_some() { " of as many" } else { "" })?;
        }
        for (is, name) in [(seen.is_unterminated, "unterminated"), (seen.is_malformed, "malformed")] {
            write!(f, "{}{}", if is { " " } else { "" }, if is { name } else { "" })?;
        }
        let body = seen.body.escape_ascii().to_string();
        match body.len() {
            0..200 => write!(f, " {body}"),
            len => write!(f, " {}…{} ({} bytes)", &body[..60], &body[len - 20..], seen.body.len()),
        }
    }
}

/// The place before a step: everything that reading on from there needs, and how many things came out before it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    rewind: u64,
    at: u64,
    needs_carry: bool,
    outs: usize,
}

/// Frames the file `text` from `from` on, of which `visible(see)` more bytes are there at a time.
fn run(
    container: &mut Container,
    settings: &Settings,
    text: &[u8],
    from: u64,
    after: After,
    mut visible: impl FnMut(usize) -> usize,
) -> (Vec<Out>, Vec<Place>) {
    let (mut out, mut places) = (Vec::<Out>::new(), Vec::new());
    let (mut at, mut see) = (from as usize, from as usize);
    let mut stuck = 0;
    loop {
        let rewind = container.rewind(at as u64);
        assert!(rewind <= at as u64);
        places.push(Place { rewind, at: at as u64, needs_carry: container.needs_carry(), outs: out.len() });
        let bytes = &text[at..see];
        let is_all = see == text.len();
        let mut more = false;
        let end = match container.next(settings, bytes, at as u64) {
            Step::More => {
                more = true;
                at as u64
            }
            step => keep(&mut out, step),
        };
        let end = match (more && is_all, after) {
            (true, After::Nothing) => match container.last(settings, bytes, at as u64) {
                Step::More => return (out, places),
                step => keep(&mut out, step),
            },
            (true, After::Successor) => match container.last_line(settings, bytes, at as u64) {
                Step::More => return (out, places),
                step => keep(&mut out, step),
            },
            (true, After::More) => return (out, places),
            (false, _) => end,
        };
        if more && !is_all {
            see = (see + visible(see).max(1)).min(text.len());
        }
        assert!(end as usize <= see && end - at as u64 <= MAX_STEP as u64, "a step within what it was given");
        let is_still = end as usize == at && !more;
        stuck = if is_still { stuck + 1 } else { 0 };
        assert!(stuck < 5, "no progress");
        at = end as usize;
    }
}

fn keep(out: &mut Vec<Out>, step: Step<'_>) -> u64 {
    match step {
        Step::Record(framed) => {
            out.push(Out::Record(Seen {
                stream: framed.stream,
                time: framed.time,
                offset: framed.offset,
                end: framed.end,
                body: framed.body.to_vec(),
                part: framed.part,
                head: framed.head.map(|head| {
                    assert!(head.starts_with(framed.body));
                    (head.len(), framed.is_head_whole)
                }),
                is_unterminated: framed.is_unterminated,
                is_malformed: framed.is_malformed,
            }));
            framed.end
        }
        Step::Gap { start, end } => {
            out.push(Out::Gap { start, end });
            end
        }
        Step::Passed { end } => end,
        Step::More => unreachable!("is no step"),
    }
}

fn whole(settings: &Settings, text: &[u8], after: After) -> Vec<Out> {
    run(&mut Container::default(), settings, text, 0, after, |_| usize::MAX / 2).0
}

fn audit() -> Settings {
    Settings::new(b"audit:".to_vec(), 256 * 1024)
}

#[test]
fn golden_files() {
    fn check(settings: &Settings, log: &[u8], expect: &str) {
        for step in [usize::MAX / 2, 4099, 7] {
            let step = if log.len() > 100_000 { step.max(4099) } else { step };
            let (out, _) = run(&mut Container::default(), settings, log, 0, After::Nothing, |_| step);
            let found: String = out.iter().map(|out| format!("{out}\n")).collect();
            assert_eq!(found, expect, "\n{found}");
        }
    }
    check(&audit(), include_bytes!("golden/docker.log"), include_str!("golden/docker.expect"));
    check(&audit(), include_bytes!("golden/containerd.log"), include_str!("golden/containerd.expect"));
    check(&audit(), include_bytes!("golden/crio.log"), include_str!("golden/crio.expect"));
    check(&audit(), include_bytes!("golden/torn.log"), include_str!("golden/torn.expect"));
    check(&audit(), include_bytes!("golden/long.log"), include_str!("golden/long.expect"));
    check(&audit(), b"", "");
    // Lines of one byte and none among them.
    let all = Settings::new(Vec::new(), 256 * 1024);
    check(&all, include_bytes!("golden/crio.log"), include_str!("golden/crio-all.expect"));
    check(&all, include_bytes!("golden/torn.log"), include_str!("golden/torn-all.expect"));
}
