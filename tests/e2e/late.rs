//! Records whose time Loki does not take: an hour behind what others have written to the stream, too old, too new.

use crate::rig::{Destination, Meeting, Seen, Site, append, eventually, seconds};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, HashMap};

const KINDS: [&str; 2] = ["login", "read"];

/// One record per second and kind, from this time on.
fn lines(name: &str, start: Timestamp, step: SignedDuration, count: i32) -> Vec<Vec<u8>> {
    let line = |n: i32| {
        let (time, kind) = (start + step * n, KINDS[n as usize % KINDS.len()]);
        let pad = "x".repeat(200);
        format!(
            "{{\"ts\":\"{time:.3}\",\"id\":\"{name}-{n}\",\"event_type\":\"{kind}\",\"tenant\":\"acme\",\"pad\":\"{pad}\"}}"
        )
    };
    (0..count).map(|n| line(n).into_bytes()).collect()
}

fn time_of(line: &[u8]) -> i64 {
    let value: serde_json::Value = serde_json::from_slice(line).unwrap();
    let time: Timestamp = value["ts"].as_str().unwrap().parse().unwrap();
    i64::try_from(time.as_nanosecond()).unwrap()
}

/// By line: the labels of its stream, and what it was sent as.
type Stored = HashMap<Vec<u8>, (String, Seen)>;

/// What is stored; and how many requests each stream had, late or not.
fn stored(destination: &Destination) -> (Stored, BTreeMap<String, usize>) {
    let (mut all, mut requests) = (HashMap::new(), BTreeMap::new());
    for attempt in destination.attempts().iter() {
        let kind = KINDS.iter().find(|kind| attempt.labels.contains(*kind)).unwrap();
        *requests.entry((*kind).to_owned()).or_default() += 1;
        for seen in attempt.entries.iter().filter(|_| attempt.status == Some(204)) {
            let before = all.insert(seen.line.to_vec(), (attempt.labels.clone(), seen.clone()));
            let is_same = before.is_none_or(|before| (before.0.as_str(), &before.1) == (&attempt.labels, seen));
            assert!(is_same, "sent twice, and not the same: {seen:?}");
        }
    }
    (all, requests)
}

fn site() -> Site {
    let mut site = Site::new();
    site.output = "batch = { max_wait = \"30s\", max_bytes = \"64KiB\" }".into();
    site
}

#[test]
fn a_node_that_catches_up_is_stored_under_its_own_time() {
    let now = Timestamp::now();
    let start = now - SignedDuration::from_hours(3);
    // 8,000 records of the last three hours, and the neighbours' of now.
    let truth = lines("behind", start, SignedDuration::from_millis(1340), 8000);
    let run = |with_neighbours: bool| {
        let destination = Destination::new();
        if with_neighbours {
            let neighbour = site();
            append(&neighbour.log("app.jsonl"), &lines("neighbour", now, SignedDuration::from_millis(1), 100));
            assert_eq!(neighbour.once(&destination, &[]).code, Some(0));
        }
        let before = stored(&destination).1;
        let site = site();
        append(&site.log("app.jsonl"), &truth);
        let done = site.once(&destination, &["--timeout", "60s"]);
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(!done.stderr.contains("\"level\":\"ERROR\""), "{}", done.stderr);
        let (all, mut requests) = stored(&destination);
        for line in &truth {
            let attempts = destination.attempts();
            let tried = attempts.iter().filter(|attempt| attempt.entries.iter().any(|seen| seen.line == line[..]));
            let tried: Vec<_> = tried.map(|attempt| (attempt.status, attempt.is_stored, &attempt.labels)).collect();
            assert!(all.contains_key(line), "{} is not stored: {tried:?}", String::from_utf8_lossy(line));
        }
        requests.iter_mut().for_each(|(kind, count)| *count -= before.get(kind).unwrap_or(&0));
        (all, requests)
    };
    let (_, alone) = run(false);
    let (all, late) = run(true);
    for line in &truth {
        let (labels, seen) = all.get(line).expect("it is stored");
        assert_eq!(seen.time - seen.time.rem_euclid(1_000_000), time_of(line), "{seen:?}");
        let is_behind = time_of(line) < i64::try_from(now.as_nanosecond()).unwrap() - 3_600_000_000_000;
        assert_eq!(labels.contains("late=\"test-host\""), is_behind, "{labels} {seen:?}");
    }
    println!("late: requests by stream, not late {alone:?}, late {late:?}");
    for kind in KINDS {
        assert!(late[kind] <= alone[kind] + 3, "{kind}: {} requests instead of {}", late[kind], alone[kind]);
    }
}

#[test]
fn what_no_stream_takes_has_another_time_and_the_same_one_after_a_kill() {
    let now = Timestamp::now();
    let hour = SignedDuration::from_hours(1);
    let old = lines("old", now - hour * (24 * 9), SignedDuration::from_secs(1), 300);
    let new = lines("new", now + hour, SignedDuration::from_secs(1), 300);
    let usual = lines("usual", now - SignedDuration::from_mins(5), SignedDuration::from_secs(1), 300);
    // Side by side, so that each batch has some of each.
    let truth: Vec<Vec<u8>> = (0..300).flat_map(|n| [old[n].clone(), usual[n].clone(), new[n].clone()]).collect();
    let destination = Destination::new();
    let site = site();
    append(&site.log("app.jsonl"), &truth);
    // What is retimed is stored, and the agent does not learn of it before it is killed.
    destination.script(|attempt| match attempt.entries.iter().any(|seen| seen.meta("auditship_time").is_some()) {
        true => Meeting::LoseAnswer,
        false => Meeting::Pass,
    });
    let mut agent = site.start(&destination);
    let has_retimed = || {
        let retimed = |seen: &Seen| seen.meta("auditship_time").is_some();
        destination
            .attempts()
            .iter()
            .filter(|attempt| attempt.is_stored && attempt.entries.iter().any(retimed))
            .count()
    };
    eventually(seconds(40), "some are stored under another time", || has_retimed() >= 1);
    agent.kill_9();
    destination.script(|_| Meeting::Pass);
    let mut agent = site.start(&destination);
    eventually(seconds(60), "all is acknowledged", || site.behind() == 0);
    agent.end();
    assert_eq!(agent.ended("dead_lettered"), 0);
    let (all, _) = stored(&destination);
    assert_eq!(all.len(), truth.len());
    assert_eq!(destination.stored(), truth.len(), "some are there under two times");
    let mut retimed = 0;
    for line in &truth {
        let (_, seen) = &all[line];
        match seen.meta("auditship_time") {
            None => assert_eq!(seen.time - seen.time.rem_euclid(1_000_000), time_of(line), "{seen:?}"),
            Some(own) => {
                retimed += 1;
                let own: Timestamp = own.parse().unwrap();
                let own = i64::try_from(own.as_nanosecond()).unwrap();
                assert_eq!(own - own.rem_euclid(1_000_000), time_of(line), "{seen:?}");
                assert!(!usual.contains(line), "{seen:?}");
            }
        }
    }
    assert_eq!(retimed, 600);
    assert_eq!(agent.errors(), Vec::<serde_json::Value>::new());
}
