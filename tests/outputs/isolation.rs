//! One output that is dead and one that is slow take nothing from a third (T11 of the failure cases).

use crate::{
    machine::{self, Machine, Running, get},
    read,
    rig::{append, event, eventually, is_long, millis, seconds},
    world::World,
};
use auditship::receiver::{Fault, FaultMode};
use std::{
    fs,
    num::NonZeroU64,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

const MEMORY_LIMIT: u64 = 64 << 20;
/// A build for tests has more code than a release, and what is mapped of it counts as resident.
const SLACK: u64 = 8 << 20;

/// Of Splunk, alone and beside the others. Its questions for acknowledgements come once a second, and how much is under way
/// between two of them is a share of the memory limit: both would hide what is measured.
const HEALTHY: &str = "ack = false";

/// Files of one size, half of them written to where the agent does not look.
fn write(machine: &Machine) -> Vec<Vec<Vec<u8>>> {
    // In memory at three destinations, as text and as object: not the 3 GB of production.
    let (files, lines) = if is_long() { (200, 2500) } else { (50, 1000) };
    let pad = "p".repeat(380);
    let file = |nth: usize| -> Vec<Vec<u8>> {
        // Streams enough that Loki's pace for each is no bound.
        let tenant = format!("tenant-{}", nth % 10);
        let lines: Vec<_> =
            (0..lines).map(|n| event(&format!("{nth}-{n}-{pad}"), ["a", "b"][n % 2], &tenant)).collect();
        append(&machine.log(&format!("app-{nth}.{}", ["jsonl", "later"][nth % 2])), &lines);
        lines
    };
    (0..files).map(file).collect()
}

/// How long it takes until Splunk has indexed the second half, which comes when the first one is there and all that can
/// wait for an answer does.
fn time(world: &World, machine: &Machine, truth: &[Vec<Vec<u8>>]) -> (Running, Duration) {
    let lines: u64 = truth.iter().map(|file| file.len() as u64).sum();
    let agent = machine.start();
    let limit = if is_long() { seconds(600) } else { seconds(60) };
    eventually(limit, "Splunk has the first half", || world.splunk.counts().accepted == lines / 2);
    thread::sleep(seconds(2));
    let start = Instant::now();
    for nth in (1..truth.len()).step_by(2) {
        fs::rename(machine.log(&format!("app-{nth}.later")), machine.log(&format!("app-{nth}.jsonl"))).unwrap();
    }
    eventually(limit, "Splunk has everything", || world.splunk.counts().accepted == lines);
    (agent, start.elapsed())
}

#[test]
fn a_dead_output_and_a_slow_one_take_nothing_from_a_third() {
    let start = Instant::now();
    // By itself.
    let alone = World::new();
    let mut machine = Machine::new(machine::splunk(&alone.url(), HEALTHY));
    machine.agent = "memory_limit = \"64MiB\"".into();
    let truth = write(&machine);
    let (mut agent, solo) = time(&alone, &machine, &truth);
    agent.agent.kill_9();
    drop(alone);

    // With the two.
    let world = World::new();
    let url = world.url();
    world.faults.set(vec![
        Fault::new("/loki", FaultMode::Swallow),
        Fault::new("/_bulk", FaultMode::Slow { bytes_per_second: NonZeroU64::new(20_000).unwrap() }),
    ]);
    let mut machine = Machine::new(
        [
            machine::loki(&url, "timeout = \"3s\""),
            machine::elastic(&url, "index = \"audit\"\nbatch = { max_wait = \"100ms\" }"),
            machine::splunk(&url, HEALTHY),
        ]
        .concat(),
    );
    machine.agent = "memory_limit = \"64MiB\"".into();
    let truth = write(&machine);
    let (mut agent, together) = time(&world, &machine, &truth);
    let (is_over, asked) = (AtomicBool::new(false), AtomicU32::new(0));
    let behind = world.elastic.counts().created;
    assert_eq!(world.loki.counts().accepted, 0);
    let lines: usize = truth.iter().map(Vec::len).sum();
    assert!(behind < lines as u64 / 2, "Elasticsearch was not slow: it has {behind} of {lines}");

    // It is alive all the time, also while the two are made good.
    let healed = thread::scope(|scope| {
        let (address, is_over, asked) = (agent.address, &is_over, &asked);
        let living = scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let answer = get(address, "/livez");
                assert_eq!(answer.as_ref().map(|(status, _)| *status), Some(200), "{answer:?}");
                asked.fetch_add(1, Ordering::Relaxed);
                thread::sleep(millis(100));
            }
        });
        thread::sleep(seconds(3));
        let healing = Instant::now();
        world.faults.clear();
        agent.delivered(if is_long() { seconds(900) } else { seconds(60) }, None);
        is_over.store(true, Ordering::Relaxed);
        living.join().unwrap();
        healing.elapsed()
    });
    let [_, highest, code] = agent.agent.memory();
    agent.agent.end();
    machine.has_no_letters();
    let bytes: usize = truth.iter().flatten().map(|line| line.len() + 1).sum();
    println!(
        "isolation: {} MB in {} files; Splunk alone {solo:.2?}, beside a dead and a slow one {together:.2?}; the others had \
         everything {healed:.1?} after they were well; at most {} MiB resident, of these {} MiB mapped code; alive {} times; \
         {:.1?}",
        bytes / 1_000_000,
        truth.len(),
        highest >> 20,
        code >> 20,
        asked.load(Ordering::Relaxed),
        start.elapsed()
    );
    assert!(highest <= MEMORY_LIMIT + SLACK, "{} MiB resident", highest >> 20);
    // What waits for one of the two waits for minutes; other tests take their time too.
    assert!(together <= solo.mul_f64(2.0) + seconds(5), "alone {solo:?}, beside the two {together:?}");
    for (name, stored) in
        [("loki", read::loki(&world)), ("elastic", read::elastic(&world, "audit")), ("splunk", read::splunk(&world))]
    {
        read::check(name, &stored, &truth, &[]);
    }
}
