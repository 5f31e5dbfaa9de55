//! Burying: records that a destination refuses for good, on their way into the dead letters.

use super::{alarm, lane::Lane, plan::wall_clock};
use crate::{
    dead_letters::{Letter, Refused},
    model::leaf,
    output::Output,
    send::{Refusal, Work},
};
use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

/// So many records of a batch are named in the log.
const NAMED: usize = 20;

/// Somebody's wish to skip a record is seen within this time.
const SKIPS: Duration = Duration::from_secs(1);

/// The records of a batch with one of these ids, which are added to `done`.
fn find(output: &Output, work: &Work, wanted: &HashSet<String>, done: &mut HashSet<String>) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    for record in 0..work.batch.records() {
        let Some(id) = output.describe(&work.batch.record(record)).map(|described| described.id()) else { continue };
        if wanted.contains(&id) {
            found.insert(record);
            done.insert(id);
        }
    }
    found
}

impl Lane {
    /// Puts what is given up of a batch into the dead letters. `false`: it cannot be done now, and nothing is done.
    pub(super) fn bury(&mut self, work: &mut Work) -> bool {
        let letters: Vec<Letter> = work.dead().iter().map(|refusal| self.letter(work, refusal)).collect();
        match self.dead_letters.bury(&letters) {
            Ok(_) => {
                self.unburied = None;
                letters.iter().take(NAMED).for_each(|letter| alarm::dead_lettered(&self.plan.name, letter));
                if letters.len() > NAMED {
                    alarm::more_dead_lettered(&self.plan.name, letters.len() - NAMED);
                }
                self.counts.refused += letters.len() as u64;
                self.counts.dead_lettered_bytes += letters.iter().map(Letter::bytes).sum::<u64>();
                work.bury();
                true
            }
            Err(error) => {
                let why = match std::error::Error::source(&error) {
                    Some(source) => format!("{error}: {source}"),
                    None => error.to_string(),
                };
                if self.unburied.as_ref() != Some(&why) {
                    alarm::unburied(&self.plan.name, &why);
                    self.unburied = Some(why);
                }
                false
            }
        }
    }

    /// Gives up the records that somebody wants skipped, of the batches that wait. The cold path: each is looked at.
    pub(super) fn attend_skips(&mut self, now: Duration) {
        if self.why().is_none() || now < self.skips_due {
            return;
        }
        self.skips_due = now + SKIPS;
        let wanted = self.skips.read();
        if wanted.is_empty() {
            return;
        }
        let mut done = HashSet::new();
        let output = Arc::clone(&self.plan.output);
        let held = self.held.iter_mut().map(|(until, work)| (Some(until), work));
        for (until, work) in held.chain(self.batches.sealed.iter_mut().map(|work| (None, work))) {
            let records = find(&output, work, &wanted, &mut done);
            if !records.is_empty() {
                work.condemn(&records, "skipped by `auditship replay --skip`");
                // Held or not, it has something to do now.
                until.into_iter().for_each(|until| *until = now);
            }
        }
        if !done.is_empty()
            && let Err(error) = self.skips.remove(&done)
        {
            alarm::unburied(&self.plan.name, &error.to_string());
        }
    }

    fn letter(&self, work: &Work, refusal: &Refusal) -> Letter {
        let encoded = work.batch.record(refusal.record);
        let described = self.plan.output.describe(&encoded);
        let (id, file, body) = match &described {
            Some(record) => (record.id(), record.file.to_string(), &record.body[..]),
            // Its bytes are kept all the same.
            None => (leaf(&encoded)[..8].iter().map(|byte| format!("{byte:02x}")).collect(), String::new(), &[][..]),
        };
        let (offset, seq, time) =
            described.as_ref().map_or_else(Default::default, |record| (record.offset, record.seq, record.time));
        Letter::new(Refused {
            kind: self.plan.output.kind(),
            place: (&id, &file, offset, seq, time),
            body,
            encoded: &encoded,
            labels: self.labels_of(work.batch.stream).filter(|_| self.plan.output.is_by_stream()),
            reason: &refusal.reason,
            now: wall_clock(),
        })
    }
}
