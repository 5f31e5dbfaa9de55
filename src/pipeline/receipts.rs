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
            channel: new_channel(),
            is_asking: false,
            due: Duration::ZERO,
            pause: FIRST,
            health: Health::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn records(&self) -> u64 {
        self.waiting.values().map(|(_, work)| work.batch.records() as u64).sum()
    }

    /// There is little time left to ask.
    pub(super) fn hurry(&mut self, now: Duration) {
        self.pause = FIRST;
        self.due = self.due.min(now + FIRST);
    }

    /// When something is to be done.
    pub(super) fn due(&self, timeout: Duration) -> Option<Duration> {
        let oldest = self.waiting.values().map(|(since, _)| *since).min()?;
        let ask = match self.health.gate(self.due) {
            Gate::Wait(until) => until,
            Gate::Open | Gate::Probe => self.due,
        };
        // While nobody answers, nothing is known to be late.
        let expiry = if self.health.stalled().is_some() { Duration::MAX } else { oldest + timeout };
        Some(if self.is_asking { expiry } else { ask.min(expiry) })
    }
}

impl Lane {
    /// The destination has taken what was sent of a batch, and gave this number for it in that channel.
    pub(super) fn taken(&mut self, receipt: u64, channel: &str, work: Work, now: Duration) {
        if channel != self.receipts.channel {
            // Of a channel that was given up since: sent again, as all that waited then.
            return self.batches.sealed.push_front(work);
        }
        if self.receipts.waiting.is_empty() {
            self.receipts.pause = FIRST;
            self.receipts.due = now + FIRST;
        }
        if let Some((_, other)) = self.receipts.waiting.insert(receipt, (now, work)) {
            // It begins to count anew when it has forgotten the channel.
            self.batches.sealed.push_front(other);
        }
    }

    /// Asks, when that is due, and gives up what waits for too long.
    pub(super) fn attend_receipts(&mut self, now: Duration) {
        let Some(due) = self.receipts.due(self.plan.ack_timeout) else { return };
        if now < due {
            return;
        }
        let timeout = self.plan.ack_timeout;
        let is_answered = self.receipts.health.stalled().is_none();
        if is_answered && self.receipts.waiting.values().any(|(since, _)| now.saturating_sub(*since) >= timeout) {
            return self.renew_channel(&format!("not acknowledged within {} s", timeout.as_secs()));
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
                    self.receipts.waiting.values_mut().for_each(|(since, _)| *since = now);
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
            Err(Verdict::Stall(Stall { cause: Cause::Forgotten, text, .. })) => self.renew_channel(&text),
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
    pub(super) fn renew_channel(&mut self, why: &str) {
        self.receipts.channel = new_channel();
        let waiting = std::mem::take(&mut self.receipts.waiting);
        if !waiting.is_empty() {
            let records = waiting.values().map(|(_, work)| work.batch.records()).sum();
            alarm::unacknowledged(&self.plan.name, records, why);
        }
        for (_, (_, work)) in waiting.into_iter().rev() {
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
    #[test]
    fn a_channel_is_a_uuid_of_version_4() {
        let (one, other) = (super::new_channel(), super::new_channel());
        assert_ne!(one, other);
        for channel in [one, other] {
            let parts: Vec<usize> = channel.split('-').map(str::len).collect();
            assert_eq!(parts, [8, 4, 4, 4, 12], "{channel}");
            assert!(channel.as_bytes()[14] == b'4' && b"89ab".contains(&channel.as_bytes()[19]), "{channel}");
        }
    }
}
