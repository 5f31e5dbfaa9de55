//! Receipts: batches that a destination has taken and not yet stored (Splunk's indexer acknowledgement). They wait here,
//! with their bytes, until the destination says that they are stored; what it does not say in time is sent again, under a
//! new channel, since the old one's numbers mean nothing any more.

use super::{
    alarm,
    lane::{Event, Lane},
    plan::wall_clock,
};
use crate::{
    output::{Cause, Output, Stall, Verdict},
    send::{Client, Gate, Health, Work},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// The first question comes after this …
const FIRST: Duration = Duration::from_secs(1);
/// … and each later one that brings nothing new after twice that, up to this.
const LONGEST: Duration = Duration::from_secs(10);
/// So many are asked for at once.
const MOST: usize = 1000;

/// The header that names the channel.
pub(super) const CHANNEL: &str = "x-splunk-request-channel";

/// What waits for its receipt.
#[derive(Debug)]
pub(super) struct Receipts {
    /// By receipt: since when, and what.
    waiting: BTreeMap<u64, (Duration, Work)>,
    /// Of receipts that came more than once: what an answer would be about cannot be told.
    ambiguous: BTreeMap<u64, Vec<(Duration, Work)>>,
    /// When the channel was given up last.
    renewed: Option<Duration>,
    /// The numbers of receipts are those of this channel.
    pub channel: String,
    is_asking: bool,
    /// No question before this.
    due: Duration,
    pause: Duration,
    pub health: Health,
}

/// What came of a question.
#[derive(Debug)]
pub(super) struct Asked {
    channel: String,
    result: Result<Vec<u64>, Verdict>,
}

impl Receipts {
    pub(super) fn new() -> Receipts {
        Receipts {
            waiting: BTreeMap::new(),
            ambiguous: BTreeMap::new(),
            renewed: None,
            channel: new_channel(),
            is_asking: false,
            due: Duration::ZERO,
            pause: FIRST,
            health: Health::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    pub(super) fn records(&self) -> u64 {
        self.all().map(|(_, work)| work.batch.records() as u64).sum()
    }

    fn all(&self) -> impl Iterator<Item = &(Duration, Work)> {
        self.waiting.values().chain(self.ambiguous.values().flatten())
    }

    /// This is to wait for that receipt. `false`: another one does already.
    fn insert(&mut self, receipt: u64, now: Duration, work: Work) -> bool {
        if let Some(works) = self.ambiguous.get_mut(&receipt) {
            works.push((now, work));
            return false;
        }
        match self.waiting.remove(&receipt) {
            Some(other) => {
                self.ambiguous.insert(receipt, vec![other, (now, work)]);
                false
            }
            None => {
                self.waiting.insert(receipt, (now, work));
                true
            }
        }
    }

    /// Everything that waits, for another channel.
    fn renew(&mut self, now: Duration) -> Vec<Work> {
        self.channel = new_channel();
        self.renewed = Some(now);
        let waiting = std::mem::take(&mut self.waiting).into_values();
        let all = waiting.chain(std::mem::take(&mut self.ambiguous).into_values().flatten());
        all.map(|(_, work)| work).collect()
    }

    /// There is little time left to ask.
    pub(super) fn hurry(&mut self, now: Duration) {
        self.pause = FIRST;
        self.due = self.due.min(now + FIRST);
    }

    /// When something is to be done.
    pub(super) fn due(&self, timeout: Duration) -> Option<Duration> {
        let oldest = self.all().map(|(since, _)| *since).min()?;
        let ask = match self.health.gate(self.due) {
            Gate::Wait(until) => until,
            Gate::Open | Gate::Probe => self.due,
        };
        // While nobody answers, nothing is known to be late; what nobody is asked about is.
        let is_silent = self.health.stalled().is_some() && !self.waiting.is_empty();
        let expiry = if is_silent { Duration::MAX } else { oldest + timeout };
        Some(if self.is_asking || self.waiting.is_empty() { expiry } else { ask.min(expiry) })
    }
}

impl Lane {
    /// The destination has taken what was sent of a batch, and gave this number for it in that channel.
    pub(super) fn taken(&mut self, receipt: u64, channel: &str, work: Work, now: Duration) {
        if channel != self.receipts.channel {
            // Of a channel that was given up since: sent again, as all that waited then.
            return self.batches.sealed.push_front(work);
        }
        if self.receipts.is_empty() {
            self.receipts.pause = FIRST;
            self.receipts.due = now + FIRST;
        }
        let is_recent = self.receipts.renewed.is_some_and(|at| now.saturating_sub(at) < self.plan.ack_timeout);
        // It has forgotten the channel and counts anew; or there are several that count, behind a balancer that sends each
        // request to another one, and then another channel is soon like this one.
        if !self.receipts.insert(receipt, now, work) && !is_recent {
            self.renew_channel("a receipt number came twice; a load balancer has to be sticky", now);
        }
    }

    /// Asks, when that is due, and gives up what waits for too long.
    pub(super) fn attend_receipts(&mut self, now: Duration) {
        let Some(due) = self.receipts.due(self.plan.ack_timeout) else { return };
        if now < due {
            return;
        }
        let timeout = self.plan.ack_timeout;
        let is_answered = self.receipts.health.stalled().is_none() || self.receipts.waiting.is_empty();
        if is_answered && self.receipts.all().any(|(since, _)| now.saturating_sub(*since) >= timeout) {
            return self.renew_channel(&format!("not acknowledged within {} s", timeout.as_secs()), now);
        }
        let receipts: Vec<u64> = self.receipts.waiting.keys().copied().take(MOST).collect();
        let Some(client) = self.client(now) else {
            self.receipts.due = now + LONGEST;
            return;
        };
        self.receipts.is_asking = true;
        self.counts.requests += 1;
        let (output, channel, events) =
            (Arc::clone(&self.plan.output), self.receipts.channel.clone(), self.sender.clone());
        self.runtime.spawn(async move {
            let result = ask(&output, &client, &receipts, &channel).await;
            let _ = events.send(Event::Asked(Box::new(Asked { channel, result })));
        });
    }

    /// Takes in an answer.
    pub(super) fn asked(&mut self, asked: Asked, now: Duration) {
        self.receipts.is_asking = false;
        if asked.channel != self.receipts.channel {
            return;
        }
        match asked.result {
            Ok(stored) => {
                if self.receipts.health.stalled().is_some() {
                    let waiting = self.receipts.waiting.values_mut();
                    let all = waiting.chain(self.receipts.ambiguous.values_mut().flatten());
                    all.for_each(|(since, _)| *since = now);
                }
                let change = self.receipts.health.pass(now);
                alarm::receipts(&self.plan.name, change);
                let pause = if stored.is_empty() { self.receipts.pause.saturating_mul(2) } else { FIRST };
                self.receipts.pause = pause.min(LONGEST);
                self.receipts.due = now + self.receipts.pause;
                for receipt in stored {
                    let Some((_, mut work)) = self.receipts.waiting.remove(&receipt) else { continue };
                    work.take(&Verdict::Accepted);
                    self.advance(work, now);
                }
            }
            Err(Verdict::Stall(Stall { cause: Cause::Forgotten, text, .. })) => self.renew_channel(&text, now),
            Err(verdict) => {
                let stall = match verdict {
                    Verdict::Stall(stall) => stall,
                    other => Stall {
                        cause: Cause::Unexpected,
                        scope: crate::output::Scope::Output,
                        retry_after: None,
                        text: format!("the question for acknowledgements: {other:?}"),
                    },
                };
                self.client = None;
                self.gauges.note_retry(stall.cause);
                let change = self.receipts.health.stall(now, &stall, fastrand::f64());
                alarm::receipts(&self.plan.name, change);
                self.receipts.due = now;
            }
        }
    }

    /// Everything that waits is sent again, under another channel.
    pub(super) fn renew_channel(&mut self, why: &str, now: Duration) {
        let waiting = self.receipts.renew(now);
        if !waiting.is_empty() {
            let records = waiting.iter().map(|work| work.batch.records()).sum();
            alarm::unacknowledged(&self.plan.name, records, why);
        }
        for work in waiting.into_iter().rev() {
            self.batches.sealed.push_front(work);
        }
    }
}

pub(super) async fn ask(
    output: &Output,
    client: &Client,
    receipts: &[u64],
    channel: &str,
) -> Result<Vec<u64>, Verdict> {
    let Some(mut request) = output.ask(receipts) else { return Ok(Vec::new()) };
    request.headers.push((CHANNEL, channel.to_owned()));
    let answer = client.post(request).await.map_err(Verdict::Stall)?;
    output.stored(answer.at(wall_clock()), receipts)
}

/// A random UUID (RFC 9562, version 4): the form that Splunk asks for.
pub(super) fn new_channel() -> String {
    let bits = (fastrand::u128(..) & !(0xf << 76) & !(0b11 << 62)) | (0x4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, Form};

    #[test]
    fn a_receipt_that_comes_twice_settles_neither() {
        let work = |stream| Work::new(Batch::new(stream, Duration::ZERO), Form::Full);
        let mut receipts = Receipts::new();
        let channel = receipts.channel.clone();
        let now = Duration::from_secs(1);
        assert!(receipts.insert(0, now, work(0)) && receipts.insert(1, now, work(1)));
        assert!(!receipts.insert(0, now, work(2)) && !receipts.insert(0, now, work(3)));
        assert_eq!(receipts.waiting.keys().collect::<Vec<_>>(), [&1]);
        assert_eq!((receipts.all().count(), receipts.due(now)), (4, Some(Duration::ZERO)));
        // Nothing can be asked about those, whatever came of the last question.
        receipts.waiting.remove(&1);
        assert_eq!(receipts.due(now), Some(now + now));
        receipts.insert(1, now, work(1));
        let again: Vec<u32> = receipts.renew(now).iter().map(|work| work.batch.stream).collect();
        assert_eq!((again, receipts.is_empty()), (vec![1, 0, 2, 3], true));
        assert_ne!(receipts.channel, channel);
    }

    #[test]
    fn a_channel_is_a_uuid_of_version_4() {
        let (one, other) = (new_channel(), new_channel());
        assert_ne!(one, other);
        for channel in [one, other] {
            let parts: Vec<usize> = channel.split('-').map(str::len).collect();
            assert_eq!(parts, [8, 4, 4, 4, 12], "{channel}");
            assert!(channel.as_bytes()[14] == b'4' && b"89ab".contains(&channel.as_bytes()[19]), "{channel}");
        }
    }
}
