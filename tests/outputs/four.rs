//! One agent, four outputs over the same files.

use crate::{
    kinds::{kinds, long},
    machine::{self, Machine},
    read,
    rig::{eventually, millis, seconds},
    world::{PATHS, World},
};
use auditship::receiver::{Fault, FaultMode};
use std::{fs, thread, time::Instant};

#[test]
fn every_destination_gets_every_line_once_whatever_is_in_it() {
    let start = Instant::now();
    let world = World::new();
    let machine = Machine::new(machine::all(&world.url()));
    let mut truth = kinds("k", 3000);
    truth[1111] = long("k-1111");
    machine.append("app.jsonl", &truth[..1000]);
    let mut agent = machine.start();
    agent.delivered(seconds(60), None);

    // Of what comes now some is stored behind an answer that is lost, and some never: that is still under way to each of the
    // four when the agent is killed, and for so long that a position that does not wait for it is on disk.
    let of_share = |seed, mode| Fault { share: 0.4, seed, ..Fault::new("/", mode) };
    world.faults.set(vec![of_share(1, FaultMode::StoreThenDrop), of_share(2, FaultMode::Swallow)]);
    for (nth, lines) in truth[1000..2500].chunks(50).enumerate() {
        if nth == 20 {
            fs::rename(machine.log("app.jsonl"), machine.log("app.jsonl.1")).unwrap();
        }
        machine.append("app.jsonl", lines);
        thread::sleep(millis(120));
    }
    let is_under_way = |path: &str| {
        let requests = world.faults.requests();
        requests.iter().any(|seen| seen.path.starts_with(path) && seen.status.is_none())
    };
    eventually(seconds(20), "something is under way to each of the four", || {
        PATHS.iter().all(|(_, path)| is_under_way(path))
    });
    thread::sleep(millis(1500));
    agent.agent.kill_9();
    world.faults.clear();
    machine.append("app.jsonl", &truth[2500..]);
    let mut agent = machine.start();
    agent.delivered(seconds(60), None);
    agent.agent.end();

    machine.has_no_letters();
    let files = [truth[..2000].to_vec(), truth[2000..].to_vec()];
    let stored = [read::loki(&world), read::elastic(&world, "audit-*"), read::splunk(&world), read::datadog(&world)];
    let tallies: Vec<_> =
        PATHS.iter().zip(&stored).map(|((name, _), stored)| (name, read::check(name, stored, &files, &[]))).collect();
    assert!(tallies.iter().any(|(_, tally)| tally.again > 0), "no answer was lost: {tallies:?}");
    // What is JSON is JSON there.
    for stored in &stored[1..3] {
        assert!(stored.iter().filter(|record| record.is_object).count() > 1500);
    }
    println!("four: {} lines, {tallies:?}, in {:.1?}", truth.len(), start.elapsed());
}
