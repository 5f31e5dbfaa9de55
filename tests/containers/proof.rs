//! What arrived, joined to lines again and compared with what was written.

use crate::{
    rig::{Attempt, Destination, Seen, eventually, seconds},
    story::Story,
};
use prost::bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What arrived, in numbers.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Different lines.
    pub(crate) lines: usize,
    /// Of those, the ones that came in parts.
    pub(crate) parted: usize,
    /// Records that were stored once more than needed.
    pub(crate) duplicates: usize,
    /// Lines that did not arrive, though they may be missing.
    pub(crate) missing: usize,
    /// Records of lines of which a kill destroyed a piece: what was left of them, marked.
    pub(crate) torn: usize,
    /// By the name that a record has for its file: how many lines have it.
    pub(crate) files: BTreeMap<String, usize>,
    /// The lines in their order: file by file, and in each by the number of the record that completes it.
    pub(crate) order: Vec<Vec<u8>>,
}

/// A line whose last part has not come yet.
#[derive(Clone)]
struct Open {
    parts: u64,
    bytes: Vec<u8>,
}

fn number(seen: &Seen, name: &str) -> Option<u64> {
    seen.meta(name).map(|text| text.parse().expect("a number"))
}

/// Every one of `truth` is there, once in effect, byte for byte, and nothing else; what was sent more than once was the
/// same each time, also where an attempt was refused; the records of each file are numbered without a gap. Lines of
/// `lost` may be missing.
///
/// `destroyed`: the story, when files are gone with their rotation. What a killed agent had open is gone with it then: the
/// next one may find the beginning of a line that had arrived, or the rest of a line that is not ours and looks like it.
#[track_caller]
pub(crate) fn check(
    destination: &Destination,
    truth: &[&[u8]],
    lost: &HashSet<&[u8]>,
    destroyed: Option<&Story>,
) -> Tally {
    let mut tally = Tally::default();
    let lines = lines(destination, &mut tally, destroyed);
    let mut left: HashMap<&[u8], usize> = truth.iter().map(|line| (*line, 0)).collect();
    assert_eq!(left.len(), truth.len(), "the test wrote two equal lines");
    let (mut foreign, mut twice) = (Vec::new(), Vec::new());
    for line in &lines {
        match left.get_mut(&line[..]) {
            None => foreign.push(show(line)),
            Some(0) => *left.get_mut(&line[..]).unwrap() = 1,
            Some(_) => twice.push(show(line)),
        }
    }
    let missing: Vec<&[u8]> = truth.iter().copied().filter(|line| left[line] == 0).collect();
    let (excused, missing): (Vec<&[u8]>, Vec<&[u8]>) = missing.into_iter().partition(|line| lost.contains(line));
    tally.missing = excused.len();
    tally.lines = lines.len();
    let some = |lines: &[String]| lines.iter().take(5).cloned().collect::<Vec<_>>();
    let shown: Vec<String> = missing.iter().map(|line| show(line)).collect();
    assert!(
        missing.is_empty() && foreign.is_empty() && twice.is_empty(),
        "{} of {} lines are missing: {:#?}\n{} lines that nobody wrote: {:#?}\n{} lines are there twice: {:#?}",
        missing.len(),
        truth.len(),
        some(&shown),
        foreign.len(),
        some(&foreign),
        twice.len(),
        some(&twice),
    );
    tally.order = lines;
    tally
}

/// The stored lines, each as often as there are records of it that differ.
#[track_caller]
fn lines(destination: &Destination, tally: &mut Tally, destroyed: Option<&Story>) -> Vec<Vec<u8>> {
    // The receiver has a push a moment before the door writes down that it has.
    let mut moment = None;
    eventually(seconds(10), "the door's record is complete", || {
        let (attempts, counts) = (destination.attempts(), destination.counts());
        let stored = |attempt: &Attempt| if attempt.is_stored { attempt.entries.len() as u64 } else { 0 };
        let is_whole = attempts.iter().map(stored).sum::<u64>() == counts.accepted + counts.duplicates;
        moment = is_whole.then_some((attempts, counts));
        is_whole
    });
    let Some((attempts, counts)) = moment else { unreachable!("it came about") };
    // A line's parts can lie in two files, one after the other. The order of files is that in which they came first.
    type Key<'a> = (usize, u64);
    let mut files: Vec<&str> = Vec::new();
    let mut first: HashMap<Key<'_>, (&str, &Seen)> = HashMap::new();
    let mut stored: BTreeMap<Key<'_>, &Seen> = BTreeMap::new();
    let (mut sends, mut beginnings) = (0, HashSet::new());
    for attempt in attempts.iter() {
        for seen in &attempt.entries {
            let file = seen.meta("auditship_file").expect("a name");
            let place = files.iter().position(|other| *other == file).unwrap_or_else(|| {
                files.push(file);
                files.len() - 1
            });
            let key = (place, number(seen, "auditship_seq").expect("a number"));
            let now = (attempt.labels.as_str(), seen);
            let before = *first.entry(key).or_insert(now);
            if before != now && destroyed.is_some() && is_beginning_of(before, now) {
                if attempt.is_stored && beginnings.insert((key, seen.line.clone())) {
                    tally.torn += 1;
                }
                continue;
            }
            assert!(before == now, "sent twice, and not the same: {before:?}\n{now:?}");
            if attempt.is_stored {
                sends += 1;
                stored.insert(key, seen);
            }
        }
    }
    tally.duplicates = sends - stored.len();
    let different = stored.len() + beginnings.len();
    assert_eq!(counts.accepted as usize, different, "{counts:?}: records differ only in what a file calls them");
    let mut lines = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    let mut last = (0, 0);
    for ((place, n), seen) in stored {
        let file = files[place];
        last = if place == last.0 { last } else { (place, 0) };
        assert_eq!(n, last.1 + 1, "{file}: the numbers of its records have a gap");
        last.1 = n;
        let marks = seen.meta("auditship_mark").unwrap_or_default();
        if destroyed.is_some_and(|story| marks == "malformed" && story.has_foreign_that_ends_with(&seen.line)) {
            tally.torn += 1;
            continue;
        }
        let unwanted = ["gap", "unterminated", "malformed"].into_iter().find(|mark| marks.contains(mark));
        assert_eq!(unwanted, None, "{file}: record {n} is marked: {}", show(&seen.line));
        if number(seen, "auditship_part").is_none_or(|part| part == 1) {
            let is_its = time_of(&seen.body()).is_some_and(|(time, unit)| seen.time - seen.time % unit == time);
            assert!(is_its, "record {n} has another time than its line: {seen:?}");
        }
        let line = match number(seen, "auditship_part") {
            None => Some(seen.body()),
            Some(part) => join(&mut open, part, seen).inspect(|_| tally.parted += 1),
        };
        if let Some(line) = line {
            *tally.files.entry(file.to_owned()).or_default() += 1;
            lines.push(line.to_vec());
        }
    }
    let shown = || open.iter().map(|line| show(&line.bytes)).collect::<Vec<_>>();
    assert!(open.is_empty(), "lines that have no end: {:#?}", shown());
    lines
}

/// Whether the later one is what is left of the same line at the end of a file that was cut off.
fn is_beginning_of(before: (&str, &Seen), now: (&str, &Seen)) -> bool {
    let is_cut = now.1.meta("auditship_mark").is_some_and(|marks| marks.contains("unterminated"));
    before.0 == now.0 && before.1.time == now.1.time && is_cut && before.1.line.starts_with(&now.1.line)
}

/// Adds a part to its line. Those of two streams can lie between each other; which is whose is known at the end.
#[track_caller]
fn join(open: &mut Vec<Open>, part: u64, seen: &Seen) -> Option<Bytes> {
    let body = seen.body();
    let add = |line: &Open| Open { parts: part, bytes: [&line.bytes, &body[..]].concat() };
    let is_last = number(seen, "auditship_parts");
    let mut candidates: Vec<Open> = open.iter().filter(|line| line.parts + 1 == part).map(add).collect();
    if part == 1 {
        candidates.push(Open { parts: 1, bytes: body.to_vec() });
    }
    let Some(parts) = is_last else {
        assert!(!candidates.is_empty(), "part {part} of no line: {}", show(&body));
        open.extend(candidates);
        return None;
    };
    assert_eq!(parts, part, "{}", show(&body));
    let hash = seen.meta("auditship_sha256").expect("a hash");
    let hex = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let line = candidates.into_iter().find(|line| hex(&line.bytes) == hash);
    let line = line.unwrap_or_else(|| panic!("{part} parts that do not join: {}", show(&body)));
    // What it began with, and what was put to its beginning for want of knowing better.
    open.retain(|other| !line.bytes.starts_with(&other.bytes[..other.bytes.len().min(100)]));
    Some(line.bytes.into())
}

pub(crate) fn show(line: &[u8]) -> String {
    format!("{} ({} bytes)", String::from_utf8_lossy(&line[..line.len().min(160)]), line.len())
}

/// The audit lines that have arrived, by their number in the story, as far as their first bytes tell.
#[derive(Default)]
pub(crate) struct Arrived {
    looked_at: usize,
    pub(crate) numbers: HashSet<usize>,
}

impl Arrived {
    pub(crate) fn look(&mut self, destination: &Destination) {
        let attempts = destination.attempts();
        for attempt in attempts[self.looked_at..].iter().filter(|attempt| attempt.is_stored) {
            self.numbers.extend(attempt.entries.iter().filter_map(|seen| number_of(&seen.body())));
        }
        // The last ones can still become stored.
        self.looked_at = attempts.len().saturating_sub(64);
    }

    pub(crate) fn missing(&self, story: &Story) -> usize {
        story.truth().filter(|(n, _)| !self.numbers.contains(n)).count()
    }
}

/// The time in an audit line, in nanoseconds since 1970, and how many of them are the last digit's unit. Below it
/// the agent sets digits of its own, so that no two records of a stream are equal.
fn time_of(body: &[u8]) -> Option<(i64, i64)> {
    let rest = body.strip_prefix(b"{\"ts\":\"")?;
    let text = std::str::from_utf8(&rest[..memchr::memchr(b'"', rest)?]).ok()?;
    let time: jiff::Timestamp = text.parse().ok()?;
    let digits = text.rsplit_once('.').map_or(0, |(_, fraction)| fraction.trim_end_matches('Z').len());
    Some((i64::try_from(time.as_nanosecond()).ok()?, 10_i64.pow(9_u32.saturating_sub(digits as u32))))
}

/// The number in an audit line.
pub(crate) fn number_of(body: &[u8]) -> Option<usize> {
    let at = body
        .strip_prefix(b"{\"ts\":")
        .and_then(|_| memchr::memmem::find(&body[..body.len().min(80)], b"\"seq\":"))?;
    let digits = body[at + 6..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |n, digit| n * 10 + usize::from(digit - b'0')))
}
