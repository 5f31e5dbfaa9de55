//! Splunk: what it has taken is not what it has indexed (T10 of the failure cases).

use crate::{
    elastic::check_letters,
    kinds::kinds,
    machine::{self, Machine, Running, position},
    read::{self, Tally},
    rig::stored::{self, Stored},
    rig::{event, eventually, lines, millis, seconds},
    server::{Asked, Said, Server},
    world::World,
};
use auditship::receiver::{ElasticOptions, Fault, SplunkAcks, SplunkLoad, SplunkOptions, SplunkToken};
use axum::http::StatusCode;
use serde_json::{Value, json, value::RawValue};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

const ACK: &str = "/services/collector/ack";

fn world(options: SplunkOptions) -> World {
    World::with(ElasticOptions::default(), options)
}

fn machine(world: &World) -> Machine {
    Machine::new(machine::splunk(&world.url(), "ack_timeout = \"3s\""))
}

/// As long as `until` does not hold: the position is not beyond what is indexed.
#[track_caller]
fn position_follows(world: &World, agent: &Running, truth: &[Vec<u8>], limit: Duration, until: impl Fn() -> bool) {
    let start = Instant::now();
    loop {
        let is_over = until();
        // In this order: what is indexed only grows.
        let at = position(&agent.status(), "splunk", "app.jsonl");
        assert_position(world, truth, at);
        if is_over {
            return;
        }
        let (counts, log) = (world.splunk.counts(), agent.agent.alarms());
        assert!(start.elapsed() < limit, "not within {limit:?}; position {at}; {counts:?}; {log:#?}");
        thread::sleep(millis(50));
    }
}

#[track_caller]
fn assert_position(world: &World, truth: &[Vec<u8>], at: u64) {
    let indexed: BTreeSet<u64> = read::splunk(world).iter().map(|stored| stored.seq).collect();
    let mut end = 0;
    for (nth, line) in truth.iter().enumerate() {
        end += line.len() as u64 + 1;
        let seq = nth as u64 + 1;
        assert!(end > at || indexed.contains(&seq), "the position {at} is beyond record {seq}, which is not indexed");
    }
}

/// Everything is there, nothing was put aside.
#[track_caller]
fn check(world: &World, machine: &Machine, truth: &[Vec<u8>]) -> Tally {
    machine.has_no_letters();
    read::check("splunk", &read::splunk(world), &[truth.to_vec()], &[])
}

#[test]
fn what_is_refused_as_an_object_arrives_as_text_and_a_busy_one_is_waited_for() {
    let start = Instant::now();
    let world = world(SplunkOptions { refused_in_objects: Some("poison".into()), ..SplunkOptions::default() });
    world.splunk.set_load(SplunkLoad::Busy);
    let machine = machine(&world);
    let mut truth = kinds("k", 480);
    truth[100] = event("poison", "login", "acme");
    truth[350] = event("poison too", "login", "acme");
    machine.append("app.jsonl", &truth);
    let mut agent = machine.start();
    eventually(seconds(20), "it is told to wait", || world.splunk.counts().refused_requests > 1);
    thread::sleep(seconds(3));
    assert_eq!((world.splunk.counts().queued, world.splunk.counts().accepted), (0, 0));
    assert_eq!(position(&agent.status(), "splunk", "app.jsonl"), 0);
    world.splunk.set_load(SplunkLoad::Normal);
    agent.delivered(seconds(60), Some("splunk"));
    agent.agent.end();
    let tally = check(&world, &machine, &truth);
    for (nth, stored) in
        read::splunk(&world).iter().filter(|stored| stored.seq == 101 || stored.seq == 351).enumerate()
    {
        assert!(!stored.is_object, "poison number {nth}");
    }
    println!("splunk, busy and picky: {tally:?}, {:?}, {:.1?}", world.splunk.counts(), start.elapsed());
}

/// A collector that refuses an event in any form, and says which. What stands before it in the request has no receipt: it
/// is stored, or lost before it is, by turns.
#[derive(Default)]
struct Collector {
    events: HashMap<String, Stored>,
    /// By receipt: the ids of its events.
    receipts: BTreeMap<u64, Vec<String>>,
    next: u64,
    confirmed: BTreeSet<String>,
    /// Events that came though their receipt had been said to be true.
    repeated: Vec<String>,
    refusals: u32,
    /// Those of them with something before the bad event.
    partial: u32,
}

#[derive(serde::Deserialize)]
struct Envelope<'a> {
    fields: HashMap<String, String>,
    #[serde(borrow)]
    event: &'a RawValue,
}

impl Collector {
    fn answer(&mut self, asked: &Asked) -> Said {
        if asked.path == ACK {
            let question: Value = serde_json::from_slice(&asked.body).unwrap();
            let mut acks = BTreeMap::new();
            for receipt in question["acks"].as_array().unwrap() {
                let events = self.receipts.remove(&receipt.as_u64().unwrap());
                acks.insert(receipt.to_string(), events.is_some());
                self.confirmed.extend(events.into_iter().flatten());
            }
            return Said::Whole(200, json!({ "acks": acks }).to_string());
        }
        let mut events = Vec::new();
        let envelopes = serde_json::Deserializer::from_slice(&asked.body).into_iter::<&RawValue>();
        for (nth, envelope) in envelopes.enumerate() {
            let envelope = envelope.unwrap().get();
            if envelope.contains("venom") {
                self.refusals += 1;
                self.partial += u32::from(nth > 0);
                if self.partial.is_multiple_of(2) {
                    self.events.extend(events);
                }
                let text = "Invalid data format";
                let body = json!({ "text": text, "code": 6, "invalid-event-number": nth });
                return Said::Whole(400, body.to_string());
            }
            let Envelope { fields, event } = serde_json::from_str(envelope).unwrap();
            let raw = match event.get().starts_with('"') {
                true => serde_json::from_str::<String>(event.get()).unwrap().into_bytes(),
                false => event.get().as_bytes().to_vec(),
            };
            let stored = stored::of_event(|name| fields.get(&format!("auditship_{name}")).cloned(), raw, 1);
            let id = stored.id.clone();
            if self.confirmed.contains(&id) {
                self.repeated.push(id.clone());
            }
            events.push((id, stored));
        }
        let receipt = self.next;
        self.next += 1;
        self.receipts.insert(receipt, events.iter().map(|(id, _)| id.clone()).collect());
        self.events.extend(events);
        Said::Whole(200, json!({ "text": "Success", "code": 0, "ackId": receipt }).to_string())
    }
}

#[test]
fn an_event_that_is_refused_in_every_form_is_put_aside_alone() {
    let start = Instant::now();
    let collector = Arc::new(Mutex::new(Collector::default()));
    let server = Server::new({
        let collector = Arc::clone(&collector);
        move |asked| collector.lock().unwrap().answer(asked)
    });
    let machine = Machine::new(machine::splunk(&server.url(), ""));
    let mut truth = kinds("k", 500);
    truth[0] = event("venom first", "login", "acme");
    truth[301] = b"venom that is not JSON".to_vec();
    truth[490] = event("venom late", "login", "acme");
    let refused = vec![truth[0].clone(), truth[301].clone(), truth[490].clone()];
    machine.append("app.jsonl", &truth);
    let mut agent = machine.start();
    agent.delivered(seconds(60), None);
    agent.agent.end();
    check_letters(&machine.letters("splunk"), &refused, "Invalid data format");
    let collector = collector.lock().unwrap();
    assert!(collector.repeated.is_empty(), "sent again: {:?}", collector.repeated);
    let stored: Vec<Stored> = collector.events.values().cloned().collect();
    let tally = read::check("splunk", &stored, &[truth], &refused);
    println!(
        "splunk, poison: {tally:?}, refused {} times, {} of them behind good ones, {:.1?}",
        collector.refusals,
        collector.partial,
        start.elapsed()
    );
}

#[test]
fn what_is_taken_and_not_indexed_holds_the_position_over_a_kill() {
    let start = Instant::now();
    let world = world(SplunkOptions::default());
    let machine = Machine::new(machine::splunk(&world.url(), "ack_timeout = \"1m\""));
    let mut truth = lines("before", 300);
    machine.append("app.jsonl", &truth);
    let mut agent = machine.start();
    agent.delivered(seconds(30), None);
    let safe = position(&agent.status(), "splunk", "app.jsonl");
    assert!(safe > 0);

    world.splunk.hold_acks(true);
    let held = lines("held", 300);
    machine.append("app.jsonl", &held);
    truth.extend(held);
    position_follows(&world, &agent, &truth, seconds(20), || world.splunk.counts().queued == 300);
    let asked = world.splunk.counts().polls;
    position_follows(&world, &agent, &truth, seconds(20), || world.splunk.counts().polls >= asked + 2);
    assert_eq!(position(&agent.status(), "splunk", "app.jsonl"), safe);
    agent.agent.kill_9();
    assert_eq!(position(&machine.status(), "splunk", "app.jsonl"), safe);

    // What is held is indexed after all, beside what the next life sends again.
    let mut agent = machine.start();
    position_follows(&world, &agent, &truth, seconds(20), || world.splunk.counts().queued >= 600);
    world.splunk.hold_acks(false);
    position_follows(&world, &agent, &truth, seconds(30), || world.splunk.counts().queued == 0);
    agent.delivered(seconds(30), None);
    agent.agent.end();
    let tally = check(&world, &machine, &truth);
    assert_eq!(tally.again, 300, "what was held at the kill, and nothing else, came again");
    assert_eq!(world.channels().len(), 2, "one for each life");
    println!("splunk, held: {tally:?}, {:?}, {:.1?}", world.splunk.counts(), start.elapsed());
}

#[test]
fn what_is_never_acknowledged_is_sent_again_in_another_channel() {
    let start = Instant::now();
    let world = world(SplunkOptions::default());
    let machine = machine(&world);
    let mut truth = lines("before", 100);
    machine.append("app.jsonl", &truth);
    let mut agent = machine.start();
    agent.delivered(seconds(30), None);
    let safe = position(&agent.status(), "splunk", "app.jsonl");

    // It is indexed, and nobody is told.
    world.splunk.set_acks(SplunkAcks::Lost);
    let lost = lines("lost", 300);
    machine.append("app.jsonl", &lost);
    truth.extend(lost);
    eventually(seconds(20), "it is sent again", || world.splunk.counts().duplicates >= 300);
    assert_eq!(position(&agent.status(), "splunk", "app.jsonl"), safe);
    assert_eq!(world.channels().len(), 2);
    assert_eq!(agent.alarms("splunk", "not acknowledged within 3 s").len(), 1);
    world.splunk.set_acks(SplunkAcks::Prompt);
    position_follows(&world, &agent, &truth, seconds(30), || {
        position(&agent.status(), "splunk", "app.jsonl")
            == truth.iter().map(|line| line.len() as u64 + 1).sum::<u64>()
    });
    agent.agent.end();
    let tally = check(&world, &machine, &truth);
    println!("splunk, never: {tally:?}, {} channels, {:.1?}", world.channels().len(), start.elapsed());
}

/// Twice the un-acknowledged events are thrown away: by a restart, and by one behind which a page answers for a while.
#[test]
fn what_a_restart_throws_away_is_sent_again() {
    let start = Instant::now();
    let world = world(SplunkOptions { ack_delay: seconds(1), ..SplunkOptions::default() });
    let machine = machine(&world);
    let mut truth = lines("before", 100);
    machine.append("app.jsonl", &truth);
    let mut agent = machine.start();
    agent.delivered(seconds(30), None);

    world.splunk.hold_acks(true);
    let more = lines("restart", 300);
    machine.append("app.jsonl", &more);
    truth.extend(more);
    position_follows(&world, &agent, &truth, seconds(20), || world.splunk.counts().queued == 300);
    world.splunk.forget();
    assert_eq!(world.splunk.counts().lost, 300);
    world.splunk.hold_acks(false);
    position_follows(&world, &agent, &truth, seconds(30), || world.splunk.counts().accepted == 400);
    agent.delivered(seconds(30), None);

    let safe = position(&agent.status(), "splunk", "app.jsonl");
    world.faults.set(vec![Fault::answer(ACK, StatusCode::OK, "<html><body>Welcome</body></html>")]);
    world.splunk.hold_acks(true);
    let more = lines("page", 300);
    machine.append("app.jsonl", &more);
    truth.extend(more);
    position_follows(&world, &agent, &truth, seconds(20), || world.splunk.counts().queued == 300);
    eventually(seconds(20), "the page is met", || world.answered(ACK, 200) > 0);
    world.splunk.forget();
    eventually(seconds(20), "it is said", || !agent.alarms("splunk", "cannot ask for acknowledgements").is_empty());
    thread::sleep(seconds(2));
    assert_eq!(position(&agent.status(), "splunk", "app.jsonl"), safe);
    world.faults.clear();
    world.splunk.hold_acks(false);
    position_follows(&world, &agent, &truth, seconds(40), || world.splunk.counts().accepted == 700);
    agent.delivered(seconds(30), None);
    agent.agent.end();
    let tally = check(&world, &machine, &truth);
    assert!(world.splunk.counts().lost >= 600);
    println!("splunk, thrown away: {tally:?}, {:?}, {:.1?}", world.splunk.counts(), start.elapsed());
}

#[test]
fn a_token_that_does_not_acknowledge_stalls_and_says_what_to_do() {
    let start = Instant::now();
    let token = SplunkToken { ack: false, ..SplunkToken::default() };
    let world = world(SplunkOptions { tokens: vec![token], ..SplunkOptions::default() });
    let mut machine = machine(&world);
    machine.agent = "shutdown_timeout = \"1s\"".into();
    let truth = lines("a", 300);
    machine.append("app.jsonl", &truth);
    let mut agent = machine.start();
    let words = "enable it for the token or set ack = false";
    eventually(seconds(20), "it is said", || !agent.alarms("splunk", words).is_empty());
    thread::sleep(seconds(1));
    let status = agent.status();
    assert_eq!(position(&status, "splunk", "app.jsonl"), 0, "200 is not a receipt");
    assert!(status["outputs"][0]["stalled"].as_str().unwrap().contains(words), "{status}");
    agent.agent.end();
    // That is done.
    machine.outputs = machine::splunk(&world.url(), "ack = false");
    let mut agent = machine.start();
    agent.delivered(seconds(30), None);
    agent.agent.end();
    let tally = check(&world, &machine, &truth);
    println!("splunk, no acknowledgement: {tally:?}, {:.1?}", start.elapsed());
}
