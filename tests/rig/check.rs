//! The proof: what was written against what arrived.

use super::{Attempt, Destination, Seen, eventually, seconds};
use prost::bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What arrived, in numbers.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Different lines that were stored.
    pub(crate) lines: usize,
    /// Lines that were stored, repeated ones included.
    pub(crate) sends: usize,
    /// By the agent's life: the source bytes that it had sent and a later life sent again.
    pub(crate) resent_bytes: BTreeMap<u32, u64>,
    /// The same in lines.
    pub(crate) resent_lines: u64,
    /// Lines that were written and did not arrive, though they may be missing.
    pub(crate) missing: usize,
}

impl Tally {
    /// Lines that were stored once more than needed, each time counted.
    pub(crate) fn duplicates(&self) -> usize {
        self.sends - self.lines
    }
}

/// Every line of `truth` is there, once in effect, byte for byte, and nothing else; what was sent more than once was
/// sent the same each time, also where an attempt was refused; the records of each file are numbered without a gap.
#[track_caller]
pub(crate) fn check(destination: &Destination, truth: &[Vec<u8>]) -> Tally {
    check_but(destination, truth, &[])
}

/// The same, but lines of `lost` may be missing: their bytes were destroyed when nobody could read them.
#[track_caller]
pub(crate) fn check_but(destination: &Destination, truth: &[Vec<u8>], lost: &[Vec<u8>]) -> Tally {
    // The receiver has a push a moment before the door writes down that it has, and a push of a killed agent can still
    // come: both are looked at in one moment in which they agree.
    let mut moment = None;
    eventually(seconds(10), "the door's record is complete", || {
        let attempts = destination.attempts();
        let counts = destination.counts();
        let stored = |attempt: &Attempt| if attempt.is_stored { attempt.entries.len() as u64 } else { 0 };
        let is_whole = attempts.iter().map(stored).sum::<u64>() == counts.accepted + counts.duplicates;
        moment = is_whole.then_some((attempts, counts));
        is_whole
    });
    let Some((attempts, counts)) = moment else { unreachable!("it came about") };
    let mut first: HashMap<Bytes, (&str, &Seen)> = HashMap::new();
    let mut lives: HashMap<Bytes, BTreeSet<u32>> = HashMap::new();
    let mut stored: HashSet<Bytes> = HashSet::new();
    let mut tally = Tally { lines: 0, sends: 0, resent_bytes: BTreeMap::new(), resent_lines: 0, missing: 0 };
    let mut numbers: HashMap<&str, HashSet<u64>> = HashMap::new();
    for attempt in attempts.iter() {
        for seen in &attempt.entries {
            let body = seen.body();
            let now = (attempt.labels.as_str(), seen);
            assert_eq!(*first.entry(body.clone()).or_insert(now), now, "sent twice, and not the same");
            lives.entry(body.clone()).or_default().insert(attempt.life);
            if attempt.is_stored {
                tally.sends += 1;
                stored.insert(body);
                let number = seen.meta("auditship_seq").and_then(|text| text.parse().ok()).expect("a number");
                numbers.entry(seen.meta("auditship_file").expect("a name")).or_default().insert(number);
            }
        }
    }
    for (body, lives) in &lives {
        // Its being sent again is due to the end of the life that had sent it last: two lives can have been in different
        // files, and the third sends what both of them had under way.
        for life in lives.iter().rev().skip(1) {
            *tally.resent_bytes.entry(*life).or_default() += body.len() as u64 + 1;
            tally.resent_lines += 1;
        }
    }
    tally.lines = stored.len();
    let expected: HashSet<Bytes> = truth.iter().map(|line| Bytes::copy_from_slice(line)).collect();
    assert_eq!(expected.len(), truth.len(), "the test wrote two equal lines");
    let show = |lines: Vec<&Bytes>| -> Vec<String> {
        lines.iter().take(5).map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    };
    let lost: HashSet<&[u8]> = lost.iter().map(Vec::as_slice).collect();
    let (excused, missing): (Vec<&Bytes>, Vec<&Bytes>) =
        expected.difference(&stored).partition(|line| lost.contains(&line[..]));
    tally.missing = excused.len();
    assert!(missing.is_empty(), "{} of {} lines are missing: {:#?}", missing.len(), truth.len(), show(missing));
    let foreign: Vec<&Bytes> = stored.difference(&expected).collect();
    assert!(foreign.is_empty(), "{} lines that nobody wrote: {:#?}", foreign.len(), show(foreign));
    for (file, numbers) in numbers {
        let highest = numbers.iter().max().copied().unwrap_or(0);
        assert_eq!(numbers.len() as u64, highest, "{file}: the numbers of its records have a gap");
    }
    // Loki's own view: it keeps one of what is equal, and has it all.
    assert_eq!(counts.accepted as usize, truth.len() - tally.missing, "{counts:?}");
    assert_eq!((counts.accepted + counts.duplicates) as usize, tally.sends, "{counts:?}");
    tally
}
