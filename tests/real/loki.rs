//! Grafana Loki 1.6.1, the last that is under the Apache licence and can be had as a module. It takes entries only in their
//! order, which the agent does not rely on with any later Loki; so these cases do not depend on it, but for the one that is
//! about it. It is read back by `query_range`.

use crate::{
    program::{Program, Server},
    rig::{
        Relay, ask, eventually,
        machine::{self, Machine, Running},
        seconds,
    },
    table::{Limit, Outcome, Table},
};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use url::form_urlencoded::byte_serialize;

pub(crate) fn run(program: &Program, table: &mut Table) {
    table.case(program, "100,000 lines in 4 streams", || in_order(program));
    table.case(program, "X-Scope-OrgID by label, and none at first", || tenants(program));
    table.case(program, "over the rate of the tenant: 429", || rate(program));
    table.case(program, "over the limit of streams: 429 for some of them, until it is raised", || streams(program));
    table.case(program, "stopped and started again between runs", || restart(program));
    table.case(program, "kill -9: what is sent again is out of order", || out_of_order(program));
}

/// An entry: its stream, its time in nanoseconds, its line.
type Entry = (BTreeMap<String, String>, u64, String);

/// All that a tenant has, of the last day.
fn read(server: &Server, tenant: &str) -> Vec<Entry> {
    #[derive(Deserialize)]
    struct Answer {
        data: Data,
    }
    #[derive(Deserialize)]
    struct Data {
        result: Vec<Stream>,
    }
    #[derive(Deserialize)]
    struct Stream {
        stream: BTreeMap<String, String>,
        values: Vec<(String, String)>,
    }
    const PAGE: usize = 5000;
    let query: String = byte_serialize(b"{service_name=\"auditship\"}").collect();
    let now = jiff::Timestamp::now().as_nanosecond() as u64;
    let (mut start, end) = (now - 86_400_000_000_000, now + 60_000_000_000);
    let mut entries: Vec<Entry> = Vec::new();
    loop {
        let path =
            format!("/loki/api/v1/query_range?query={query}&start={start}&end={end}&limit={PAGE}&direction=forward");
        let (status, body) = ask(server.address, "GET", &path, &[("X-Scope-OrgID", tenant)], b"").unwrap();
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        let answer: Answer = serde_json::from_slice(&body).unwrap();
        let page = answer.data.result.into_iter().flat_map(|Stream { stream, values }| {
            values.into_iter().map(move |(time, line)| (stream.clone(), time.parse().unwrap(), line))
        });
        let mut page: Vec<Entry> = page.collect();
        page.sort_by_key(|(_, time, _)| *time);
        let count = page.len();
        // What is at the last nanosecond of a page is on the next one again.
        let Some(last) = page.last().map(|(_, time, _)| *time).filter(|_| count == PAGE) else {
            entries.extend(page);
            return entries;
        };
        assert!(last > start, "a page of one nanosecond");
        entries.extend(page.into_iter().filter(|(_, time, _)| *time < last));
        start = last;
    }
}

/// Every line of `truth` once, as it was, and under its own time; no two are equal.
fn compare(entries: &[Entry], truth: &[Vec<u8>]) -> Outcome {
    for (_, time, line) in entries {
        let own: Value = serde_json::from_str(line).unwrap();
        let own = own["ts"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_nanosecond();
        assert_eq!(i128::from(*time), own, "stored under another time: {line}");
    }
    let mut counts: HashMap<&[u8], usize> = HashMap::new();
    entries.iter().for_each(|(_, _, line)| *counts.entry(line.as_bytes()).or_default() += 1);
    let written: HashSet<&[u8]> = truth.iter().map(Vec::as_slice).collect();
    assert_eq!(written.len(), truth.len(), "the test wrote two equal lines");
    Outcome {
        lines: truth.len(),
        missing: written.iter().filter(|line| !counts.contains_key(*line)).count(),
        duplicates: counts.values().map(|count| count - 1).sum(),
        altered: counts.keys().filter(|line| !written.contains(*line)).count(),
        ..Outcome::default()
    }
}

/// Lines whose times go up from one to the next, with nothing for the agent to fill in.
fn lines(prefix: &str, count: usize, kinds: usize) -> Vec<Vec<u8>> {
    let start = jiff::Timestamp::now().as_nanosecond() - count as i128 * 100_000;
    let line = |n: usize| {
        let time = jiff::Timestamp::from_nanosecond(start + n as i128 * 100_000).unwrap();
        let (kind, tenant) = (n % kinds, ["acme", "umbrella"][n / kinds % 2]);
        format!(
            "{{\"ts\":\"{time:.9}\",\"id\":\"{prefix}-{n}\",\"event_type\":\"type-{kind}\",\"tenant\":\"{tenant}\",\
             \"user\":\"Zoë Łukaszewicz 漢\",\"object\":\"/api/v1/accounts/4711/transfers\",\"result\":\"allowed\"}}"
        )
    };
    (0..count).map(|n| line(n).into_bytes()).collect()
}

fn delivered(mut agent: Running, machine: &Machine) {
    agent.delivered(seconds(40), None);
    agent.agent.end();
    machine.has_no_letters();
}

fn in_order(program: &Program) -> Outcome {
    let server = program.start(&["ingestion_rate_mb=100", "ingestion_burst_size_mb=200"]);
    let machine = Machine::new(machine::loki(&server.url(), ""));
    let truth = lines("o", 100_000, 2);
    machine.append("app.jsonl", &truth);
    delivered(machine.start(), &machine);
    let entries = read(&server, "fake");
    let streams: HashSet<&BTreeMap<String, String>> = entries.iter().map(|(stream, ..)| stream).collect();
    assert_eq!(streams.len(), 4, "{streams:?}");
    compare(&entries, &truth)
}

fn tenants(program: &Program) -> Outcome {
    let server = program.start(&["auth_enabled=true"]);
    let mut machine = Machine::new(machine::loki(&server.url(), ""));
    let truth = lines("t", 2_000, 2);
    machine.append("app.jsonl", &truth);
    let mut agent = machine.start();
    let said = waits(&agent, "no org id");
    agent.agent.end();
    machine.outputs = machine::loki(&server.url(), "tenant_id = { label = \"tenant\" }");
    delivered(machine.start(), &machine);
    let entries = ["acme", "umbrella"].map(|tenant| {
        let entries = read(&server, tenant);
        assert!(entries.iter().all(|(stream, ..)| stream["tenant"] == tenant), "of another tenant");
        entries
    });
    compare(&entries.concat(), &truth).note(said)
}

/// Waits until the agent says that it waits, for this reason. Returns its words.
fn waits(agent: &Running, reason: &str) -> String {
    let mut said = Vec::new();
    eventually(seconds(60), "the agent says that the output waits", || {
        said = agent.alarms("loki", reason);
        !said.is_empty()
    });
    said[0]["error"]
        .as_str()
        .or(said[0]["message"].as_str())
        .unwrap_or_default()
        .lines()
        .collect::<Vec<_>>()
        .join(" ")
}

fn rate(program: &Program) -> Outcome {
    let server = program.start(&["ingestion_rate_mb=2", "ingestion_burst_size_mb=2"]);
    let machine = Machine::new(machine::loki(&server.url(), ""));
    let truth = lines("r", 50_000, 2);
    machine.append("app.jsonl", &truth);
    let agent = machine.start();
    let said = waits(&agent, "rate limit exceeded");
    delivered(agent, &machine);
    compare(&read(&server, "fake"), &truth).note(said)
}

/// A Loki answers a push of several streams for the last one of them. Ours have one.
fn streams(program: &Program) -> Outcome {
    let server = program.start(&["max_streams_per_user=5"]);
    let mut machine = Machine::new(machine::loki(&server.url(), ""));
    let truth = lines("s", 8_000, 4);
    machine.append("app.jsonl", &truth);
    let mut agent = machine.start();
    let said = waits(&agent, "stream limit exceeded");
    // What can be stored is.
    let known = || read(&server, "fake").len();
    eventually(seconds(30), "the streams within the limit are stored", || known() >= 5_000);
    assert_eq!(known(), 5_000);
    agent.agent.end();
    let server = program.start_in(server.stop(), &["max_streams_per_user=100"]);
    machine.outputs = machine::loki(&server.url(), "");
    delivered(machine.start(), &machine);
    compare(&read(&server, "fake"), &truth).note(said)
}

fn restart(program: &Program) -> Outcome {
    let mut server = program.start(&[]);
    let mut machine = Machine::new(String::new());
    let truth = lines("d", 8_000, 2);
    for (nth, lines) in truth.chunks(2_000).enumerate() {
        if nth > 0 {
            server = program.start_in(server.stop(), &[]);
        }
        machine.outputs = machine::loki(&server.url(), "");
        machine.append("app.jsonl", lines);
        delivered(machine.start(), &machine);
    }
    compare(&read(&server, "fake"), &truth)
}

fn out_of_order(program: &Program) -> Outcome {
    let server = program.start(&[]);
    // Loki has some, and no position says so.
    let relay = Relay::new(server.address, |_| true);
    let mut machine = Machine::new(machine::loki(&relay.url(), ""));
    let truth = lines("k", 20_000, 2);
    machine.append("app.jsonl", &truth);
    let mut agent = machine.start();
    eventually(seconds(20), "some are stored", || relay.kept() > 0);
    agent.agent.kill_9();
    machine.outputs = machine::loki(&server.url(), "");
    let mut agent = machine.start();
    let said = waits(&agent, "unordered_writes");
    agent.agent.end();
    machine.has_no_letters();
    // What its position is past is stored.
    let entries = read(&server, "fake");
    let stored: HashSet<&[u8]> = entries.iter().map(|(_, _, line)| line.as_bytes()).collect();
    let mut left = machine::position(&machine.status(), "loki", "app.jsonl");
    for line in &truth {
        match left.checked_sub(line.len() as u64 + 1) {
            Some(rest) => left = rest,
            None => break,
        }
        assert!(
            stored.contains(&line[..]),
            "the position is past what is not stored: {}",
            String::from_utf8_lossy(line)
        );
    }
    let outcome = compare(&entries, &truth);
    assert!(outcome.missing > 0, "nothing was refused");
    outcome.note(said).limit(Limit::missing(
        "Loki before 2.4, and any Loki with `unordered_writes: false`, refuses what it has when it is sent again. auditship then \
         waits, says so, and gives nothing up",
    ))
}
