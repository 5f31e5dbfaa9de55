//! Sending: which batch goes out when, and what the answers settle.

use super::{
    alarm,
    lane::{Event, Lane},
    plan::wall_clock,
    receipts::CHANNEL,
};
use crate::{
    ack::FileKey,
    batch::{Bases, Form, Records, Selection},
    output::{Cause, Item, Output, Request, Scope, Scratch, Stall, StreamHead, Verdict},
    send::{Client, Failed, Gate, Next, Work},
};
use std::{
    cell::RefCell,
    collections::HashSet,
    sync::{Arc, mpsc::Sender},
    time::Duration,
};

/// A client is made anew when it is this old: new connections, names resolved again, certificates read again.
const CLIENT_AGE: Duration = Duration::from_secs(300);
/// A batch with refused records is tried again after this, so that a destination that refuses at random for a moment is
/// not taken at its word; then after twice that, and so on …
const FIRST_HOLD: Duration = Duration::from_secs(10);
/// … so often where nothing else is accepted meanwhile, which is a little over a minute …
const MAX_HOLDS: u32 = 3;
/// … up to this.
const LONGEST_HOLD: Duration = Duration::from_secs(600);

/// A request and what came of it.
#[derive(Debug)]
pub(super) struct Answered {
    work: Work,
    outcome: Outcome,
    is_probe: bool,
    wire_bytes: u64,
    /// The channel that it was sent in.
    channel: String,
}

/// What came of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Records were sent.
    Sent(Verdict),
    /// It was looked up which of the records are stored.
    Found(Vec<bool>),
}

impl Lane {
    /// Sends what may be sent now.
    pub(super) fn dispatch(&mut self, now: Duration) {
        self.revive_held(now);
        while self.in_flight < self.paces.concurrency.limit() && self.paces.ready(now) <= now {
            let is_probe = match self.health.gate(now) {
                Gate::Open => false,
                Gate::Probe if !self.is_probing => true,
                Gate::Probe | Gate::Wait(_) => return,
            };
            let may_send = |work: &Work| self.may_send(work.batch.stream, now);
            let sealed = &self.batches.sealed;
            // What has not failed shows best whether the destination works; but none overtakes its own stream.
            let is_by_stream = self.plan.output.is_by_stream();
            let mut before = HashSet::new();
            let mut is_first = |work: &Work| !is_by_stream || before.insert(work.batch.stream);
            let fresh = |work: &Work| is_first(work) && !work.has_failed() && may_send(work);
            let nth = if is_probe { sealed.iter().position(fresh) } else { None };
            let nth = nth.or_else(|| sealed.iter().position(may_send));
            let Some(nth) = nth else { return };
            let Some(client) = self.client(now) else { return };
            let Some(mut work) = self.batches.sealed.remove(nth) else { return };
            self.sort_late(&mut work, now);
            let Next::Send(selection) = work.next() else {
                self.advance(work, now);
                continue;
            };
            if std::mem::take(&mut self.needs_sync) {
                // Names, label values and streams first: a record that uses them must be made the same again after a
                // crash. When the folder cannot be written the alarm is given, and shipping goes on.
                self.store.sync();
            }
            self.in_flight += 1;
            self.in_flight_records += work.batch.records() as u64;
            self.is_probing |= is_probe;
            if self.plan.output.is_by_stream() {
                self.busy.insert(work.batch.stream);
            }
            self.counts.requests += 1;
            let bytes = Records { batch: &work.batch, selection: &selection, bases: &Bases::default() }.bytes();
            self.paces.spend(work.batch.stream, bytes, now);
            self.spawn(client, work, selection, is_probe);
        }
    }

    pub(super) fn may_send(&self, stream: u32, now: Duration) -> bool {
        let is_waiting = |health: &crate::send::Health| matches!(health.gate(now), Gate::Wait(_));
        let is_paced = self.paces.stream_ready(stream, now) > now;
        !is_paced && !self.busy.contains(&stream) && !self.stream_health.get(&stream).is_some_and(is_waiting)
    }

    /// The client, made anew when it is due. `None`: it cannot be made now; that is a stall.
    pub(super) fn client(&mut self, now: Duration) -> Option<Client> {
        if let Some((client, made)) = &self.client
            && now.saturating_sub(*made) < CLIENT_AGE
        {
            return Some(client.clone());
        }
        match Client::new(&self.plan.http, self.plan.concurrency) {
            Ok(client) => {
                self.client = Some((client.clone(), now));
                Some(client)
            }
            Err(stall) => {
                self.stall(&stall, now);
                None
            }
        }
    }

    fn spawn(&self, client: Client, work: Work, selection: Selection, is_probe: bool) {
        let output = Arc::clone(&self.plan.output);
        let head = self.heads.get(work.batch.stream as usize).cloned().unwrap_or_default();
        let events: Sender<Event> = self.sender.clone();
        let channel = if output.has_receipts() { self.receipts.channel.clone() } else { String::new() };
        // Nearly always empty.
        let bases = if selection.form == Form::Retimed { self.bases.clone() } else { Bases::default() };
        self.runtime.spawn(async move {
            let records = Records { batch: &work.batch, selection: &selection, bases: &bases };
            let (outcome, wire_bytes) = match output.looks_up() && work.needs_look_up(&selection) {
                true => look_up(&output, &client, records).await,
                false => attempt(&output, &client, &head, records, &channel).await,
            };
            let answered = Answered { work, outcome, is_probe, wire_bytes, channel };
            // The lane is gone only when it does not want the answer any more.
            let _ = events.send(Event::Answered(Box::new(answered)));
        });
    }

    /// Takes in an answer.
    pub(super) fn answered(&mut self, answered: Answered, now: Duration) {
        let Answered { mut work, outcome, is_probe, wire_bytes, channel } = answered;
        let stream = work.batch.stream;
        self.in_flight -= 1;
        self.in_flight_records -= work.batch.records() as u64;
        self.busy.remove(&stream);
        self.counts.wire_bytes += wire_bytes;
        if is_probe {
            self.is_probing = false;
        }
        let verdict = match outcome {
            Outcome::Sent(verdict) => verdict,
            // No pass: what it is about may fail all the same, and then the pauses must go on to grow.
            Outcome::Found(stored) => {
                work.known(&stored);
                return self.advance(work, now);
            }
        };
        match &verdict {
            Verdict::Stall(stall) if stall.scope == Scope::Stream => {
                self.pass(now);
                self.gauges.note_retry(stall.cause);
                let change = self.stream_health.entry(stream).or_default().stall(now, stall, fastrand::f64());
                alarm::stream_health(&self.plan.name, self.labels_of(stream), change);
            }
            Verdict::Stall(stall) => {
                self.stall(stall, now);
                if stall.cause == Cause::Forgotten && channel == self.receipts.channel {
                    self.renew_channel(&stall.text, now);
                }
                return self.failed(work, stall, now);
            }
            Verdict::Items(items) => {
                self.accepts += u64::from(items.contains(&Item::Stored));
                if let Some(stall) = items.iter().find_map(waits).cloned() {
                    self.stall(&stall, now);
                    work.take(&verdict);
                    return self.failed(work, &stall, now);
                }
                self.pass(now);
            }
            Verdict::Queued { receipt } => {
                self.accepts += 1;
                self.pass(now);
                return self.taken(*receipt, &channel, work, now);
            }
            Verdict::Untimely(untimely) if self.untimely(&mut work, untimely, now) => {
                self.pass(now);
                return self.advance(work, now);
            }
            Verdict::Accepted
            | Verdict::Untimely(_)
            | Verdict::Refused { .. }
            | Verdict::TooLarge { .. }
            | Verdict::RefusedAt { .. } => {
                match verdict {
                    Verdict::Accepted => self.accepts += 1,
                    _ => _ = work.refused_at.get_or_insert(self.accepts),
                }
                self.pass(now);
                if let Some(mut health) = self.stream_health.remove(&stream) {
                    alarm::stream_health(&self.plan.name, self.labels_of(stream), health.pass(now));
                }
            }
        }
        work.take(&verdict);
        self.advance(work, now);
    }

    /// An attempt failed through no fault of a record, as far as is known.
    fn failed(&mut self, mut work: Work, stall: &Stall, now: Duration) {
        if may_be_stored(stall.cause) {
            work.doubt();
        }
        let failed = match stall.cause {
            // Whatever was sent: the order of what waits stays.
            Cause::Unreachable | Cause::Tls => return self.advance(work, now),
            Cause::RateLimited => work.limited(self.passes),
            _ => work.failed(self.passes),
        };
        match failed {
            Failed::Again => self.advance(work, now),
            // Being too busy is seldom for one only, and does not change the order of a stream.
            Failed::Later if stall.cause == Cause::RateLimited && self.plan.output.is_by_stream() => {
                self.advance(work, now);
            }
            // To the end: if the fault is its own, others show that.
            Failed::Later if matches!(work.next(), Next::Send(_)) => self.batches.sealed.push_back(work),
            Failed::Later => self.advance(work, now),
            Failed::Alone(record) => self.set_aside(work, record, &stall.text, now),
        }
    }

    /// Puts a batch where it belongs now.
    pub(super) fn advance(&mut self, mut work: Work, now: Duration) {
        match work.next() {
            // To the front: the order within a stream stays.
            Next::Send(_) => self.batches.sealed.push_front(work),
            Next::Settled => {
                let buried = work.buried() as u64;
                self.counts.dead_lettered += buried;
                self.counts.acknowledged += work.batch.records() as u64 - buried;
                let firsts: Vec<(FileKey, u64)> = std::mem::take(&mut work.batch.firsts);
                for (file, first) in firsts {
                    self.ledger.settle(file, first);
                    self.dirty.insert(file);
                    self.let_go_when_done(file);
                }
                self.batches.pool.give_back(work.batch.body);
            }
            Next::Held => {
                let why = work.suspects().next_back().map_or_else(String::new, |refusal| refusal.reason.clone());
                self.hold(work, why, now);
            }
            // Nothing at all was accepted since: for a while the destination may mean something else than these records.
            Next::Bury if work.refused_at == Some(self.accepts) && work.holds < MAX_HOLDS => {
                let why = work.dead().first().map_or_else(String::new, |refusal| refusal.reason.clone());
                self.hold(work, why, now);
            }
            Next::Bury => match self.bury(&mut work) {
                true => self.advance(work, now),
                false => self.held.push((now + FIRST_HOLD, work)),
            },
        }
    }

    /// One record fails while others pass: it waits by itself.
    fn set_aside(&mut self, mut work: Work, record: usize, why: &str, now: Duration) {
        if !std::mem::replace(&mut work.is_said, true) {
            alarm::stuck(&self.plan.name, self.plan.output.describe(&work.batch.record(record)), why);
        }
        self.hold(work, why.to_owned(), now);
    }

    fn hold(&mut self, work: Work, why: String, now: Duration) {
        let pause = FIRST_HOLD.saturating_mul(1 << work.holds.min(6)).min(LONGEST_HOLD);
        self.last_refusal = Some(why);
        self.held.push((now + pause, work));
    }

    fn revive_held(&mut self, now: Duration) {
        let held = std::mem::take(&mut self.held);
        for (until, mut work) in held {
            if until <= now {
                work.again();
                self.batches.sealed.push_front(work);
            } else {
                self.held.push((until, work));
            }
        }
    }

    fn stall(&mut self, stall: &Stall, now: Duration) {
        self.gauges.note_retry(stall.cause);
        if matches!(stall.cause, Cause::RateLimited | Cause::ServerError | Cause::TimedOut) {
            self.paces.concurrency.halve();
        }
        // A new client reads secrets and certificates again, and resolves names again.
        if !matches!(stall.cause, Cause::RateLimited | Cause::ServerError | Cause::Blocked) {
            self.client = None;
        }
        let change = self.health.stall(now, stall, fastrand::f64());
        self.health_changed(change);
    }

    fn pass(&mut self, now: Duration) {
        self.passes += 1;
        self.paces.concurrency.passed();
        let change = self.health.pass(now);
        self.health_changed(change);
    }
}

/// Whether an attempt that failed so may have been stored.
fn may_be_stored(cause: Cause) -> bool {
    matches!(cause, Cause::Broken | Cause::TimedOut | Cause::ServerError | Cause::Unexpected)
}

pub(super) fn waits(item: &Item) -> Option<&Stall> {
    if let Item::Again(stall) = item { Some(stall) } else { None }
}

/// One request: compress, send, judge. Also the bytes of its body on the wire.
pub(super) async fn attempt(
    output: &Output,
    client: &Client,
    head: &StreamHead,
    records: Records<'_>,
    channel: &str,
) -> (Outcome, u64) {
    thread_local! {
        static SCRATCH: RefCell<Scratch> = RefCell::default();
    }
    let mut request: Request = SCRATCH.with_borrow_mut(|scratch| output.request(head, records, scratch));
    if !channel.is_empty() {
        request.headers.push((CHANNEL, channel.to_owned()));
    }
    let wire_bytes = request.body.len() as u64;
    let verdict = match client.post(request).await {
        Ok(answer) => output.reply(answer.at(wall_clock()), records.count()),
        Err(stall) => Verdict::Stall(stall),
    };
    (Outcome::Sent(verdict), wire_bytes)
}

/// Finds out which of the records are stored.
async fn look_up(output: &Output, client: &Client, records: Records<'_>) -> (Outcome, u64) {
    let mut wire_bytes = 0;
    let mut last: Option<crate::send::Answer> = None;
    for request in output.look_up(records) {
        wire_bytes += request.body.len() as u64;
        match client.post(request).await {
            Ok(answer) => {
                let before = last.replace(answer);
                if let Some(Err(verdict)) = before.map(|before| output.prepared(before.at(wall_clock()))) {
                    return (Outcome::Sent(verdict), wire_bytes);
                }
            }
            Err(stall) => return (Outcome::Sent(Verdict::Stall(stall)), wire_bytes),
        }
    }
    let found = last.map(|answer| output.found(answer.at(wall_clock()), records));
    match found {
        Some(Ok(found)) => (Outcome::Found(found), wire_bytes),
        Some(Err(verdict)) => (Outcome::Sent(verdict), wire_bytes),
        None => (Outcome::Found(vec![false; records.count()]), wire_bytes),
    }
}
