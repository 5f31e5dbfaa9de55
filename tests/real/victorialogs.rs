//! VictoriaLogs, which takes the protocols of all four destinations. It is read back by LogsQL.

use crate::{
    program::{Program, Server},
    rig::{
        Relay, ask, eventually,
        kinds::{kinds, long},
        machine::{self, Machine},
        millis, seconds,
        stored::{Stored, compare, of_event},
    },
    table::{Limit, Outcome, Table},
};
use serde_json::Value;
use std::{collections::HashMap, thread};

/// What it needs to keep a line as it is, and to keep it at all.
const OPTIONS: &[&str] =
    &["-retentionPeriod=100y", "-loki.disableMessageParsing", "-splunk.preserveJSONKeys=event", "-defaultMsgValue="];

/// As it takes them in the bulk protocol, where it has no names of its own for them.
const FIELDS: &str = "index = \"audit\"\nheaders = { VL-Time-Field = \"@timestamp\", VL-Msg-Field = \"event.original\" }\n\
     batch = { max_wait = \"100ms\" }";

type Row = HashMap<String, String>;

struct Protocol {
    name: &'static str,
    output: fn(&str) -> String,
    read: fn(Row) -> Stored,
}

const LOKI: Protocol = Protocol {
    name: "Loki protobuf",
    output: |url| machine::loki(&format!("{url}/insert"), ""),
    read: |mut row| {
        let text = row.remove("_msg").unwrap_or_default().into_bytes();
        Stored::new(|name| row.get(&format!("auditship_{name}")).cloned(), text, 1)
    },
};

const PROTOCOLS: [Protocol; 4] = [
    LOKI,
    Protocol {
        name: "Elasticsearch bulk",
        output: |url| machine::elastic(&format!("{url}/insert/elasticsearch"), FIELDS),
        read: |row| {
            let get = |name: &str| match name {
                "id" => row.get("event.id").cloned(),
                "seq" => row.get("event.sequence").cloned(),
                "offset" => row.get("log.offset").cloned(),
                other => row.get(&format!("auditship.{other}")).cloned(),
            };
            Stored::new(get, row.get("_msg").cloned().unwrap_or_default().into_bytes(), 1)
        },
    },
    Protocol {
        name: "Splunk HEC",
        output: |url| machine::splunk(&format!("{url}/insert/splunk"), "ack = false"),
        read: |mut row| {
            let text = row.remove("_msg").unwrap_or_default().into_bytes();
            of_event(|name| row.get(&format!("fields.auditship_{name}")).cloned(), text, 1)
        },
    },
    Protocol {
        name: "Datadog",
        output: |url| machine::datadog(&format!("{url}/insert/datadog"), ""),
        read: |mut row| {
            let text = row.remove("_msg").unwrap_or_default().into_bytes();
            Stored::new(|name| row.get(&format!("auditship.{name}")).cloned(), text, 1)
        },
    },
];

pub(crate) fn run(program: &Program, table: &mut Table) {
    for protocol in &PROTOCOLS {
        table.case(program, &format!("{}: 20,000 lines of every kind", protocol.name), || {
            every_kind(program, protocol)
        });
    }
    table.case(program, "kill -9 while requests are under way", || kill(program));
    table.case(program, "lines older than the server's retention", || too_old(program));
}

/// As they are stored, each under the time that its line names.
fn stored(rows: Vec<Row>, protocol: &Protocol) -> Vec<Stored> {
    let millis = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let read = |row: Row| {
        let time = millis(&row["_time"]);
        let record = (protocol.read)(row);
        let line: Option<Value> = serde_json::from_slice(&record.body).ok();
        if let Some(own) = line.as_ref().and_then(|line| line.get("ts")?.as_str()) {
            assert_eq!(time, millis(own), "{}: stored under another time: {record:?}", protocol.name);
        }
        record
    };
    rows.into_iter().map(read).collect()
}

/// All that it has, when it has so many rows or no more come.
fn rows(server: &Server, expected: usize) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let (mut looks, mut last) = (0, 0);
    eventually(seconds(60), "the server answers a query", || {
        let _ = ask(server.address, "GET", "/internal/force_flush", &[], b"");
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        let (status, body) = ask(server.address, "POST", "/select/logsql/query", &form, b"query=*").unwrap();
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        let parse = |line: &[u8]| serde_json::from_slice(line).unwrap();
        rows = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(parse).collect();
        // As many as are expected, and no more come; or no others come.
        let is_still = std::mem::replace(&mut last, rows.len()) == rows.len();
        looks += 1;
        is_still && (rows.len() >= expected || looks > 20) || {
            thread::sleep(millis(100));
            false
        }
    });
    rows
}

fn every_kind(program: &Program, protocol: &Protocol) -> Outcome {
    let server = program.start(OPTIONS);
    let machine = Machine::new((protocol.output)(&server.url()));
    let mut truth = kinds("vl", 20_000);
    truth[11_111] = long("vl-11111");
    machine.append("app.jsonl", &truth[..12_000]);
    machine.append("other.jsonl", &truth[12_000..]);
    let mut agent = machine.start();
    agent.delivered(seconds(60), None);
    agent.agent.end();
    machine.has_no_letters();
    let stored = stored(rows(&server, truth.len()), protocol);
    Outcome::of(&compare(&stored, &[truth[..12_000].to_vec(), truth[12_000..].to_vec()]), truth.len())
}

fn kill(program: &Program) -> Outcome {
    let server = program.start(OPTIONS);
    let mut machine = Machine::new((LOKI.output)(&server.url()));
    let truth = kinds("vl", 20_000);
    for (nth, lines) in truth.chunks(1000).enumerate() {
        machine.append("app.jsonl", lines);
        if nth % 5 == 0 {
            // What is stored, and not known to be.
            let relay = Relay::new(server.address, |path| path.contains("/push"));
            machine.outputs = (LOKI.output)(&relay.url());
            let mut agent = machine.start();
            eventually(seconds(20), "something is stored", || relay.kept() > 0);
            agent.agent.kill_9();
        }
    }
    machine.outputs = (LOKI.output)(&server.url());
    let mut agent = machine.start();
    agent.delivered(seconds(60), None);
    agent.agent.end();
    machine.has_no_letters();
    let stored = stored(rows(&server, truth.len()), &LOKI);
    let outcome = Outcome::of(&compare(&stored, std::slice::from_ref(&truth)), truth.len());
    assert!(outcome.duplicates > 0, "nothing came twice");
    outcome.limit(Limit::duplicates(
        "VictoriaLogs keeps what comes twice, also where it is the same in time, stream and text. The copies have the same \
         `auditship_file` and `auditship_offset`, so that a query can take one of them",
    ))
}

fn too_old(program: &Program) -> Outcome {
    let server = program.start(&["-loki.disableMessageParsing"]);
    let machine = Machine::new((LOKI.output)(&server.url()));
    let mut truth = crate::rig::lines("new", 100);
    truth.extend((0..100).map(|n| format!("{{\"ts\":\"2020-01-01T00:00:00Z\",\"id\":\"old-{n}\"}}").into_bytes()));
    machine.append("app.jsonl", &truth);
    let mut agent = machine.start();
    agent.delivered(seconds(60), None);
    agent.agent.end();
    let stored = stored(rows(&server, truth.len()), &LOKI);
    let findings = compare(&stored, std::slice::from_ref(&truth));
    let outcome = Outcome::of(&findings, truth.len());
    let is_old = |line: &Vec<u8>| line.windows(4).any(|text| text == b"2020");
    assert!(findings.missing.len() == 100 && findings.missing.iter().all(is_old), "{outcome:?}");
    outcome.limit(Limit::missing(
        "VictoriaLogs answers 2xx and drops what is older than `-retentionPeriod`, by default 7 days: set it to what you \
         have to keep before the first record comes",
    ))
}
