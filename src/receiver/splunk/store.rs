//! What is indexed, what waits for it, and the receipts.

use super::{SplunkAcks, SplunkCounts, SplunkEventView, SplunkLoad, code::Reply, envelope::Fault};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
};

/// A channel: the number of its token, and its GUID in lower case.
pub(super) type ChannelName = (usize, String);

/// Everything that changes.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) load: SplunkLoad,
    pub(super) acks: SplunkAcks,
    /// In the order of their first; equal ones are one, counted.
    events: Vec<SplunkEventView>,
    /// From an event's hash to its place. Of two different events with one hash, the later has none.
    places: HashMap<u64, usize>,
    hasher: RandomState,
    channels: HashMap<ChannelName, Channel>,
    /// In the order of arrival.
    waiting: VecDeque<Waiting>,
    counts: SplunkCounts,
}

#[derive(Debug, Default)]
struct Channel {
    /// The next receipt.
    next: u64,
    /// The receipts that are true and have not been told.
    ready: BTreeSet<u64>,
}

/// A request whose events are not indexed yet.
#[derive(Debug)]
struct Waiting {
    channel: ChannelName,
    receipt: u64,
    /// Nanoseconds since 1970.
    due: i64,
    events: Vec<SplunkEventView>,
}

impl Store {
    pub(super) fn counts(&self) -> SplunkCounts {
        let queued = self.waiting.iter().map(|waiting| waiting.events.len() as u64).sum();
        SplunkCounts { queued, ..self.counts }
    }

    pub(super) fn events(&self) -> &[SplunkEventView] {
        &self.events
    }

    pub(super) fn add_request(&mut self, status: u16) {
        self.counts.requests += 1;
        self.counts.refused_requests += u64::from(status != 200);
    }

    pub(super) fn add_poll(&mut self) {
        self.counts.polls += 1;
    }

    /// The answer to a fault.
    pub(super) fn refused(&mut self, Fault { code, nth }: Fault) -> Reply {
        self.counts.rejected += u64::from(nth.is_some());
        Reply { bad: nth, ..Reply::of(code) }
    }

    /// Indexes what is due.
    pub(super) fn settle(&mut self, now: i64) {
        if self.acks == SplunkAcks::Held {
            return;
        }
        while let Some(waiting) = self.waiting.pop_front_if(|waiting| waiting.due <= now) {
            self.index(waiting.events);
            if self.acks != SplunkAcks::Lost {
                self.channels.entry(waiting.channel).or_default().ready.insert(waiting.receipt);
            }
        }
    }

    /// Takes events that are indexed when they are due; the receipt.
    pub(super) fn queue(&mut self, channel: ChannelName, due: i64, events: Vec<SplunkEventView>) -> u64 {
        let next = &mut self.channels.entry(channel.clone()).or_default().next;
        let receipt = *next;
        *next += 1;
        self.waiting.push_back(Waiting { channel, receipt, due, events });
        receipt
    }

    /// Which of the receipts are true. That is said once.
    pub(super) fn told(&mut self, channel: &ChannelName, receipts: &[u64]) -> BTreeMap<String, bool> {
        let mut channel = self.channels.get_mut(channel);
        let mut is_true = |receipt| channel.as_mut().is_some_and(|channel| channel.ready.remove(receipt));
        receipts.iter().map(|receipt| (receipt.to_string(), is_true(receipt))).collect()
    }

    /// A restart.
    pub(super) fn forget(&mut self, loses_queued: bool) {
        self.channels.clear();
        for waiting in std::mem::take(&mut self.waiting) {
            if loses_queued {
                self.counts.lost += waiting.events.len() as u64;
            } else {
                self.index(waiting.events);
            }
        }
    }

    /// Stores events.
    pub(super) fn index(&mut self, events: Vec<SplunkEventView>) {
        for event in events {
            let SplunkEventView { index, time, host, source, sourcetype, fields, event: raw, sends: _ } = &event;
            let hash = self.hasher.hash_one((index, time, host, source, sourcetype, fields, raw));
            let place = self.places.get(&hash).copied();
            let known = place.and_then(|place| self.events.get_mut(place));
            match known {
                Some(known) if event == (SplunkEventView { sends: 1, ..known.clone() }) => {
                    known.sends += 1;
                    self.counts.duplicates += 1;
                }
                _ => {
                    self.counts.accepted += 1;
                    self.counts.event_bytes += event.event.len() as u64;
                    self.places.entry(hash).or_insert(self.events.len());
                    self.events.push(event);
                }
            }
        }
    }
}
