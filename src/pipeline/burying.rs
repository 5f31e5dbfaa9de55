//! Burying: records that a destination refuses for good, on their way into the dead letters.

use super::{alarm, lane::Lane, plan::wall_clock};
use crate::{
    dead_letters::{Letter, Refused},
    model::leaf,
    send::{Refusal, Work},
};

/// So many records of a batch are named in the log.
const NAMED: usize = 20;

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

    fn letter(&self, work: &Work, refusal: &Refusal) -> Letter {
        let mut encoded = Vec::new();
        work.batch.copy_record(refusal.record, &mut encoded);
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
