//! Everything that was accepted.

use super::{
    DatadogCounts, DatadogView,
    intake::{Log, Taken},
};
use std::collections::HashMap;

/// What is stored.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) counts: DatadogCounts,
    logs: Vec<Stored>,
    /// From an `auditship.id` to the places in `logs` of what came with it: one, unless it came with other bytes.
    places: HashMap<String, Vec<usize>>,
    /// The place in `logs` of everything that came, in that order: Datadog stores twice what comes twice.
    arrivals: Vec<usize>,
}

/// A log, and how often it came.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) log: Log,
    sends: u32,
}

impl Store {
    /// Stores what was taken.
    pub(super) fn add(&mut self, taken: Taken) {
        self.counts.truncated += taken.truncated;
        self.counts.dropped_old += taken.dropped_old;
        self.counts.dropped_surplus += taken.dropped_surplus;
        for log in taken.logs {
            let place = self.place(log);
            self.arrivals.push(place);
        }
    }

    /// Where a log is now.
    fn place(&mut self, log: Log) -> usize {
        let place = self.logs.len();
        if let Some(id) = &log.id {
            let places = self.places.entry(id.clone()).or_default();
            if let Some(same) = places.iter().find(|place| self.logs[**place].log.object == log.object) {
                self.logs[*same].sends += 1;
                self.counts.duplicates += 1;
                return *same;
            }
            self.counts.differing += u64::from(!places.is_empty());
            places.push(place);
        }
        self.counts.accepted += 1;
        self.counts.message_bytes += log.message.len() as u64;
        self.logs.push(Stored { log, sends: 1 });
        place
    }

    /// Everything that came, in that order.
    pub(super) fn arrivals(&self) -> impl Iterator<Item = &Log> {
        self.arrivals.iter().map(|place| &self.logs[*place].log)
    }

    /// A copy of what is stored, each once.
    pub(super) fn view(&self) -> Vec<DatadogView> {
        let view = |Stored { log, sends }: &Stored| DatadogView {
            object: log.object.clone().into_bytes(),
            message: log.message.clone().into_bytes(),
            sends: *sends,
        };
        self.logs.iter().map(view).collect()
    }
}
