//! The state in memory: what the entries so far add up to.

use super::entry::{Entry, Health};
use crate::model::{FileName, Known, LabelSet, Nanos, Point};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The state. Applying the same entries in the same order always gives the same state.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Stands in for the machine's id where it has none.
    pub machine: Option<Vec<u8>>,
    /// Every file content that is known.
    pub files: BTreeMap<FileName, Known>,
    /// By output, then file: how far it has got.
    pub cursors: BTreeMap<String, BTreeMap<FileName, Point>>,
    /// Label and admitted value, in the order of admission.
    pub values: Vec<(String, String)>,
    /// Admitted combinations, in the order of admission.
    pub streams: Vec<LabelSet>,
    /// Source and output: the source's files have been listed once for the output.
    pub sources: BTreeSet<(String, String)>,
    /// By output: its last change of state.
    pub health: BTreeMap<String, Health>,
    /// By output and stream: records before this time are late.
    pub late: BTreeMap<(String, LabelSet), Nanos>,
    /// By output and file: what the times of retimed records are made of, from which record on.
    pub bases: BTreeMap<(String, FileName), Vec<(u64, Nanos)>>,
    /// Of hosts and sources, each once.
    texts: BTreeSet<Arc<str>>,
}

impl Memory {
    /// Applies one change.
    pub fn apply(&mut self, entry: &Entry) {
        match entry.clone() {
            Entry::SnapshotEnd => {}
            Entry::Machine(id) => self.machine = Some(id),
            Entry::File(mut known) => {
                self.share(&mut known);
                if let Some(before) = self.files.get(&known.origin.name) {
                    // Several threads say what is known; one that was faster may have known less.
                    known.pin = known.pin.or(before.pin);
                    if before.head.len > known.head.len {
                        known.head = before.head;
                    }
                }
                self.files.insert(known.origin.name, known);
            }
            Entry::Gone(name) => {
                self.files.remove(&name);
                for cursors in self.cursors.values_mut() {
                    cursors.remove(&name);
                }
                self.bases.retain(|(_, file), _| *file != name);
            }
            Entry::Cursor { output, file, point } => {
                // A cursor of a file that is gone is of no use to anyone.
                if self.files.contains_key(&file) {
                    self.cursors.entry(output).or_default().insert(file, point);
                }
            }
            Entry::LabelValue { label, value } => self.values.push((label, value)),
            Entry::Stream(labels) => self.streams.push(labels),
            Entry::Source { source, output } => {
                self.sources.insert((source, output));
            }
            Entry::Health { output, health } => {
                self.health.insert(output, health);
            }
            Entry::Late { output, labels, before } => {
                self.late.insert((output, labels), before);
            }
            Entry::Base { output, file, from, time } => {
                if self.files.contains_key(&file) {
                    let bases = self.bases.entry((output, file)).or_default();
                    bases.retain(|(other, _)| *other < from);
                    bases.push((from, time));
                }
            }
        }
    }

    /// There are many files, and few different hosts and sources.
    fn share(&mut self, known: &mut Known) {
        for text in [&mut known.origin.host, &mut known.origin.source] {
            match self.texts.get(&**text) {
                Some(shared) => *text = Arc::clone(shared),
                None => _ = self.texts.insert(Arc::clone(text)),
            }
        }
        // States of before have no other path.
        if known.seen_at.is_empty() || known.seen_at == known.origin.path {
            known.seen_at = Arc::clone(&known.origin.path);
        }
    }

    /// The entries that make this state from nothing.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        let cursors = self.cursors.iter().flat_map(|(output, cursors)| {
            cursors.iter().map(|(file, point)| Entry::Cursor { output: output.clone(), file: *file, point: *point })
        });
        let health = self
            .health
            .iter()
            .map(|(output, health)| Entry::Health { output: output.clone(), health: health.clone() });
        let values =
            self.values.iter().map(|(label, value)| Entry::LabelValue { label: label.clone(), value: value.clone() });
        let late = self.late.iter().map(|((output, labels), before)| Entry::Late {
            output: output.clone(),
            labels: labels.clone(),
            before: *before,
        });
        let bases = self.bases.iter().flat_map(|((output, file), bases)| {
            let base = |(from, time): &(u64, Nanos)| Entry::Base {
                output: output.clone(),
                file: *file,
                from: *from,
                time: *time,
            };
            bases.iter().map(base)
        });
        (self.machine.iter().cloned().map(Entry::Machine))
            .chain(self.files.values().cloned().map(Entry::File))
            .chain(cursors)
            .chain(values)
            .chain(self.streams.iter().cloned().map(Entry::Stream))
            .chain(self.sources.iter().cloned().map(|(source, output)| Entry::Source { source, output }))
            .chain(health)
            .chain(late)
            .chain(bases)
    }
}
