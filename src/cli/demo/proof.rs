//! The proof: what a destination holds against what was written. It uses nothing that the agent says of itself, only
//! the stored lines and what is stored with them, the same that a search at the destination answers.

pub(super) mod read;

use super::writer::{Digest, WrittenFile};
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
    /// Record numbers that are not there, lines whose parts do not fit, and ids that are not of their records.
    pub(super) gaps: u64,
    /// Records that came again and are the same in everything: the destination keeps one, or copies with one id.
    pub(super) resent: u64,
    /// Files that were written.
    pub(super) files: u64,
    /// Files by the names that the destination sees.
    pub(super) contents: u64,
    /// The first of everything that is wrong, in words.
    pub(super) problems: Vec<String>,
}

impl Verdict {
    pub(super) fn is_right(&self) -> bool {
        self.once == self.lines && self.foreign == 0 && self.gaps == 0 && self.contents == self.files
    }

    fn problem(&mut self, text: impl FnOnce() -> String) {
        if self.problems.len() < DESCRIBED {
            self.problems.push(text());
        }
    }
}

/// A stored record.
pub(super) struct Record {
    /// The name that the destination sees.
    file: String,
    seq: u64,
    offset: u64,
    part: Option<Part>,
    /// The end of its id: the first of the hexadecimal digits of `digest`.
    leaf: Option<String>,
    /// Of its bytes, as they were in the file.
    digest: Digest,
    /// How often it came.
    sends: u32,
}

struct Part {
    number: u64,
    /// On the last part only: how many there are, and the SHA-256 of the whole.
    whole: Option<(u64, String)>,
    body: Vec<u8>,
}

/// Where a line begins, and its bytes.
type Place = (u64, Digest);

/// A line that was put together again.
#[derive(Clone, Copy)]
struct Line {
    offset: u64,
    digest: Digest,
}

/// Compares. `stored`: the records of one destination, and a description of whatever else it holds.
pub(super) fn compare(written: &[WrittenFile], stored: impl Iterator<Item = Result<Record, String>>) -> Verdict {
    let mut verdict = Verdict { files: written.len() as u64, ..Verdict::default() };
    let mut contents: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for record in stored {
        match record {
            Ok(record) => {
                verdict.resent += u64::from(record.sends.saturating_sub(1));
                contents.entry(record.file.clone()).or_default().push(record);
            }
            Err(text) => {
                verdict.foreign += 1;
                verdict.problem(|| text);
            }
        }
    }
    verdict.contents = contents.len() as u64;
    if verdict.contents != verdict.files {
        verdict.problem(|| format!("{} files were written, and {} are stored", written.len(), contents.len()));
    }
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
        let Record { seq, offset, part, leaf, digest, .. } = record;
        if leaf.is_some_and(|leaf| leaf != hex(&digest[..8])) {
            verdict.gaps += 1;
            verdict
                .problem(|| format!("file {name}: the id of the record at offset {offset} is not that of its bytes"));
        }
        if last == (seq, Some(offset)) {
            // The same record under another time or in another stream. A part counts for its line.
            match (part, &mut open) {
                (None, _) => lines.push(Line { offset, digest }),
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
            lines.push(Line { offset, digest });
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
        line.hash.update(&part.body);
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
