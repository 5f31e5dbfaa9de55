//! The proof: what the receiver holds against what was written. It uses nothing that the agent says of itself, only
//! the stored lines and their metadata, the same that `query_range` answers.

use super::writer::{Digest, WrittenFile};
use crate::receiver::StreamView;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};

/// So many problems are described; all are counted.
const DESCRIBED: usize = 5;

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Lines that were written.
    pub(super) lines: u64,
    /// Of those, stored with the same bytes, and once.
    pub(super) once: u64,
    /// Stored with the same bytes, but more than once.
    pub(super) twice: u64,
    /// Stored with other bytes.
    pub(super) altered: u64,
    /// Not stored.
    pub(super) missing: u64,
    /// Stored, and never written.
    pub(super) foreign: u64,
    /// Record numbers that are not there, and lines whose parts do not fit.
    pub(super) gaps: u64,
    /// Records that arrived again with the same time and bytes, and were kept once.
    pub(super) resent: u64,
    pub(super) streams: u64,
    /// Different values of `auditship_file`.
    pub(super) contents: u64,
    /// The first of everything that is wrong, in words.
    pub(super) problems: Vec<String>,
}

impl Verdict {
    pub(super) fn is_right(&self) -> bool {
        self.once == self.lines && self.foreign == 0 && self.gaps == 0
    }

    fn problem(&mut self, text: impl FnOnce() -> String) {
        if self.problems.len() < DESCRIBED {
            self.problems.push(text());
        }
    }
}

/// A stored record.
struct Record {
    seq: u64,
    offset: u64,
    part: Option<Part>,
    /// As it was in the file.
    body: Vec<u8>,
}

struct Part {
    number: u64,
    /// On the last part only: how many there are, and the SHA-256 of the whole.
    whole: Option<(u64, String)>,
}

/// Where a line begins, and its bytes.
type Place = (u64, Digest);

/// A line that was put together again.
#[derive(Clone, Copy)]
struct Line {
    offset: u64,
    digest: Digest,
}

/// Compares.
pub(super) fn compare(written: &[WrittenFile], stored: Vec<StreamView>) -> Verdict {
    let mut verdict = Verdict { streams: stored.len() as u64, ..Verdict::default() };
    let mut contents: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for entry in stored.into_iter().flat_map(|stream| stream.entries) {
        verdict.resent += u64::from(entry.sends.saturating_sub(1));
        match read(&entry.metadata, entry.line) {
            Some((file, record)) => contents.entry(file).or_default().push(record),
            None => {
                verdict.foreign += 1;
                verdict.problem(|| format!("a stored entry has no place in any file: {:?}", entry.metadata));
            }
        }
    }
    verdict.contents = contents.len() as u64;
    let places: HashMap<Place, usize> = written
        .iter()
        .enumerate()
        .flat_map(|(nth, file)| file.lines.iter().map(move |(offset, digest)| ((*offset, *digest), nth)))
        .collect();
    // Per file and line: how often it is stored with its own bytes, and how often with others.
    let mut found: Vec<Vec<(u32, u32)>> = written.iter().map(|file| vec![(0, 0); file.lines.len()]).collect();
    for (name, records) in contents {
        let lines = join(&name, records, &mut verdict);
        let Some(nth) = written_as(&lines, &places) else {
            verdict.foreign += lines.len() as u64;
            verdict.problem(|| format!("file {name}: {} lines of a file that was never written", lines.len()));
            continue;
        };
        for line in lines {
            let Ok(place) = written[nth].lines.binary_search_by_key(&line.offset, |(offset, _)| *offset) else {
                verdict.foreign += 1;
                verdict.problem(|| format!("file {name}: no line was written at offset {}", line.offset));
                continue;
            };
            let (same, other) = &mut found[nth][place];
            *(if written[nth].lines[place].1 == line.digest { same } else { other }) += 1;
        }
    }
    for (file, found) in written.iter().zip(found) {
        for (line, ((offset, _), found)) in file.lines.iter().zip(found).enumerate() {
            verdict.lines += 1;
            let what = match found {
                (1, 0) => {
                    verdict.once += 1;
                    continue;
                }
                (0, 0) => {
                    verdict.missing += 1;
                    "is missing"
                }
                (_, 0) => {
                    verdict.twice += 1;
                    "is stored more than once"
                }
                _ => {
                    verdict.altered += 1;
                    "is stored with other bytes"
                }
            };
            verdict.problem(|| format!("{}: line {} (offset {offset}) {what}", file.name, line + 1));
        }
    }
    verdict
}

/// The written file that most of the lines are from: the names that the destination sees are hashes, and the path of
/// first sight may be that from before or from after a rotation.
fn written_as(lines: &[Line], places: &HashMap<Place, usize>) -> Option<usize> {
    let mut votes: HashMap<usize, usize> = HashMap::new();
    for line in lines {
        if let Some(nth) = places.get(&(line.offset, line.digest)) {
            *votes.entry(*nth).or_default() += 1;
        }
    }
    votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(nth, _)| nth)
}

/// A stored entry as a record; `None` when it is not one of ours.
fn read(metadata: &[(String, String)], line: Vec<u8>) -> Option<(String, Record)> {
    let value = |name: &str| metadata.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str());
    let number = |name: &str| value(name).map(|text| text.parse::<u64>().ok());
    let body = match value("auditship_encoding") {
        None => line,
        Some("base64") => STANDARD.decode(line).ok()?,
        Some(_) => return None,
    };
    let whole = match number("auditship_parts") {
        None => None,
        Some(parts) => Some((parts?, value("auditship_sha256")?.to_owned())),
    };
    let part = match number("auditship_part") {
        None => None,
        Some(number) => Some(Part { number: number?, whole }),
    };
    let record = Record { seq: number("auditship_seq")??, offset: number("auditship_offset")??, part, body };
    Some((value("auditship_file")?.to_owned(), record))
}

/// A line whose last part has not come yet.
struct Open {
    offset: u64,
    parts: u64,
    hash: Sha256,
    is_twice: bool,
}

/// The lines of one file, from its records in the order of their numbers.
fn join(name: &str, mut records: Vec<Record>, verdict: &mut Verdict) -> Vec<Line> {
    records.sort_by_key(|record| (record.seq, record.offset));
    let mut lines = Vec::new();
    let mut open: Option<Open> = None;
    let mut last = (0, None);
    for record in records {
        let Record { seq, offset, part, body } = record;
        if last == (seq, Some(offset)) {
            // The same record under another time or in another stream. A part counts for its line.
            match (part, &mut open) {
                (None, _) => lines.push(Line { offset, digest: Sha256::digest(&body).into() }),
                (Some(_), Some(open)) => open.is_twice = true,
                (Some(_), None) => lines.extend(lines.last().copied()),
            }
            continue;
        }
        if seq != last.0 + 1 {
            verdict.gaps += seq.abs_diff(last.0 + 1).max(1);
            verdict.problem(|| format!("file {name}: record {} is followed by record {seq}", last.0));
        }
        last = (seq, Some(offset));
        let Some(part) = part else {
            if let Some(open) = open.take() {
                unfit(name, verdict, open.offset);
            }
            lines.push(Line { offset, digest: Sha256::digest(&body).into() });
            continue;
        };
        let mut line = match open.take() {
            None if part.number == 1 => Open { offset, parts: 0, hash: Sha256::new(), is_twice: false },
            Some(open) if part.number == open.parts + 1 => open,
            open => {
                unfit(name, verdict, open.map_or(offset, |open| open.offset));
                continue;
            }
        };
        line.parts += 1;
        line.hash.update(&body);
        let Some((parts, sha256)) = part.whole else {
            open = Some(line);
            continue;
        };
        let digest: Digest = line.hash.finalize().into();
        if parts != line.parts || sha256 != hex(&digest) {
            unfit(name, verdict, line.offset);
        }
        let copies = if line.is_twice { 2 } else { 1 };
        lines.extend([Line { offset: line.offset, digest }; 2].iter().take(copies));
    }
    if let Some(open) = open {
        unfit(name, verdict, open.offset);
    }
    lines
}

fn unfit(name: &str, verdict: &mut Verdict, offset: u64) {
    verdict.gaps += 1;
    verdict.problem(|| format!("file {name}: the parts of the line at offset {offset} do not fit"));
}

fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
