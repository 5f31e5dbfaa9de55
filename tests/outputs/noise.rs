//! Answers that say of the records what is not so: a credential that is refused for a while, and then a destination, or
//! something before it, that answers 400 at random.

use crate::{
    kinds::kinds,
    machine::{self, Machine},
    read,
    rig::{millis, seconds},
    world::{PATHS, World},
};
use auditship::receiver::Fault;
use axum::http::StatusCode;
use serde_json::Value;
use std::{
    thread,
    time::{Duration, Instant},
};

/// By output: what 401 looks like there, and what a 400 that names no record.
static BODIES: [(&str, &str); 4] = [
    ("no credentials provided", "Bad Request"),
    (
        r#"{"error":{"type":"security_exception","reason":"unable to authenticate user"},"status":401}"#,
        r#"{"error":{"type":"illegal_argument_exception","reason":"bad request"},"status":400}"#,
    ),
    (r#"{"text":"Token is required","code":2}"#, r#"{"text":"Invalid data format","code":6}"#),
    (r#"{"errors":["Unauthorized"]}"#, r#"{"errors":["Bad Request"]}"#),
];

fn is_recovery(line: &Value, output: &str) -> bool {
    line["output"] == output && line["message"].as_str().is_some_and(|words| words.starts_with("flowing again"))
}

#[test]
fn a_credential_that_expires_and_a_400_at_random_cost_no_record() {
    let world = World::new();
    let machine = Machine::new(machine::all(&world.url()));
    let mut truth = kinds("before", 240);
    machine.append("app.jsonl", &truth);
    let mut agent = machine.start();
    agent.delivered(seconds(60), None);

    let start = Instant::now();
    let set = |status, share, duration, body: fn(&(&'static str, &'static str)) -> &'static str| {
        let faults = PATHS.iter().zip(&BODIES).enumerate().map(|(nth, ((_, path), bodies))| Fault {
            share,
            seed: nth as u64 + 7,
            duration: Some(seconds(duration)),
            ..Fault::answer(path, status, body(bodies))
        });
        world.faults.set(faults.collect());
    };
    set(StatusCode::UNAUTHORIZED, 1.0, 6, |bodies| bodies.0);
    let mut said = [None; 4];
    // Since when each has got something again, and when the second part began.
    let (mut recovered, mut random) = ([None; 4], None);
    let mut nth = 0;
    while random.is_none_or(|since: Instant| since.elapsed() < seconds(5)) {
        let more = kinds(&format!("w-{nth}"), 24);
        machine.append("app.jsonl", &more);
        truth.extend(more);
        nth += 1;
        for (said, (output, _)) in said.iter_mut().zip(PATHS) {
            if said.is_none() && !agent.alarms(output, "waiting: HTTP 401").is_empty() {
                *said = Some(start.elapsed());
            }
        }
        for (recovered, (output, _)) in recovered.iter_mut().zip(PATHS) {
            let flows =
                start.elapsed() > seconds(6) && agent.agent.log().iter().any(|line| is_recovery(line, output));
            if recovered.is_none() && flows {
                *recovered = Some(start.elapsed());
            }
        }
        assert!(start.elapsed() < seconds(40), "not all of them flow again: {recovered:?}");
        if random.is_none() && recovered.iter().all(Option::is_some) {
            set(StatusCode::BAD_REQUEST, 0.3, 5, |bodies| bodies.1);
            random = Some(Instant::now());
        }
        thread::sleep(millis(100));
    }
    for ((said, recovered), (output, _)) in said.iter().zip(&recovered).zip(PATHS) {
        let after = recovered.map(|at: Duration| at.saturating_sub(seconds(6)));
        assert!(after.is_some_and(|after| after < seconds(15)), "{output}: flows {after:?} after it was mended");
        assert!(said.is_some_and(|after| after < seconds(10)), "{output}: no alarm within 10 s: {said:?}");
    }
    agent.delivered(seconds(60), None);
    let took = start.elapsed();
    agent.agent.end();

    machine.has_no_letters();
    let counts = PATHS.map(|(_, path)| [401, 400].map(|status| world.answered(path, status)));
    for ((output, _), [expired, random]) in PATHS.iter().zip(counts) {
        assert!(expired >= 2 && random >= 3, "{output}: the test met too few faults: {expired} and {random}");
        // One, however often it was tried.
        let alarms = agent.alarms(output, "waiting: HTTP 401");
        assert_eq!(alarms.len(), 1, "{output}: {alarms:#?}");
    }
    let stored = [read::loki(&world), read::elastic(&world, "audit-*"), read::splunk(&world), read::datadog(&world)];
    let tallies =
        PATHS.iter().zip(&stored).map(|((name, _), stored)| (name, read::check(name, stored, &[truth.clone()], &[])));
    let tallies: Vec<_> = tallies.collect();
    println!(
        "noise: {} lines; alarms after {said:.1?}; flowing again after {recovered:.1?}; 401s and 400s: {counts:?}; {tallies:?}; all there after {took:.1?}",
        truth.len()
    );
}
