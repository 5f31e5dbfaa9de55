//! Credentials that are not, or no longer, right, and a destination that is not where it was: stalls that somebody has to
//! mend, and that end by themselves when it is mended.

use crate::{
    kinds::kinds,
    machine::{self, Machine},
    read,
    rig::{millis, seconds},
    world::{PATHS, World},
};
use auditship::receiver::{DatadogOptions, ElasticOptions, Fault, SplunkOptions, SplunkToken};
use axum::http::StatusCode;
use std::{
    thread,
    time::{Duration, Instant},
};

/// What the destinations know. The agent begins with another one.
const TOKEN: &str = "11111111-1111-1111-1111-111111111111";

/// Lines are written for so long. Returns what was written.
fn write_for(machine: &Machine, name: &str, limit: Duration) -> Vec<Vec<u8>> {
    let (start, mut all, mut nth) = (Instant::now(), Vec::new(), 0);
    while start.elapsed() < limit {
        let more = kinds(&format!("{name}-{nth}"), 12);
        machine.append("app.jsonl", &more);
        all.extend(more);
        nth += 1;
        thread::sleep(millis(100));
    }
    all
}

#[test]
fn what_somebody_has_to_mend_is_alarmed_and_ends_when_it_is_mended() {
    let token = SplunkToken { value: TOKEN.into(), ..SplunkToken::default() };
    let world = World::of(
        ElasticOptions { authorization: vec![format!("ApiKey {TOKEN}")], ..ElasticOptions::default() },
        SplunkOptions { tokens: vec![token], ..SplunkOptions::default() },
        DatadogOptions { keys: vec![TOKEN.into()], ..DatadogOptions::default() },
    );
    let (url, key) = (world.url(), "auth.api_key = { file = \"TOKEN\" }");
    let elastic =
        machine::elastic(&url, &format!("index = \"audit-%Y.%m\"\nbatch = {{ max_wait = \"100ms\" }}\n{key}"));
    let outputs = [machine::loki(&url, ""), elastic, machine::splunk(&url, ""), machine::datadog(&url, "")];
    let machine = Machine::new(outputs.concat());
    let start = Instant::now();
    let set = |status: StatusCode| {
        world.faults.set(PATHS.iter().map(|(_, path)| Fault::answer(path, status, "no")).collect());
    };
    set(StatusCode::FORBIDDEN);
    let mut truth = write_for(&machine, "forbidden", millis(1500));
    let mut agent = machine.start();
    truth.extend(write_for(&machine, "still", seconds(3)));
    set(StatusCode::NOT_FOUND);
    // A pause can be as long as ten seconds by now.
    let mut is_said = [false; 4];
    let since = Instant::now();
    while is_said.contains(&false) {
        assert!(since.elapsed() < seconds(12), "not alarmed: {is_said:?} {:#?}", agent.agent.alarms());
        truth.extend(write_for(&machine, &format!("gone{}", since.elapsed().as_millis()), millis(300)));
        for (said, (output, _)) in is_said.iter_mut().zip(PATHS) {
            *said |= !agent.alarms(output, "waiting: HTTP 404").is_empty();
        }
    }
    for (output, _) in PATHS {
        assert_eq!(agent.alarms(output, "waiting: HTTP 403").len(), 1, "{output}: {:#?}", agent.agent.alarms());
    }
    world.faults.clear();
    // Loki takes it now; the others know another token.
    agent.delivered(seconds(20), Some("loki"));
    truth.extend(write_for(&machine, "wrong", seconds(2)));
    let failed =
        PATHS.map(|(_, path)| [401, 403, 404].iter().map(|status| world.answered(path, *status)).sum::<usize>());
    let stalled = start.elapsed().as_secs() as usize;
    for (failed, (output, _)) in failed.iter().zip(PATHS) {
        // The first pauses are shorter than a second.
        assert!(*failed <= stalled + 4, "{output}: {failed} attempts in {stalled} s");
    }
    machine.replace_token(TOKEN);
    let replaced = Instant::now();
    agent.delivered(seconds(15), None);
    let took = replaced.elapsed();
    agent.agent.end();
    machine.has_no_letters();
    let stored = [read::loki(&world), read::elastic(&world, "audit-*"), read::splunk(&world), read::datadog(&world)];
    for ((name, _), stored) in PATHS.iter().zip(&stored) {
        read::check(name, stored, &[truth.clone()], &[]);
    }
    println!(
        "credentials: {} lines; attempts while they were refused {failed:?} in {stalled} s; all there {took:.1?} after the \
         token was replaced",
        truth.len()
    );
}
