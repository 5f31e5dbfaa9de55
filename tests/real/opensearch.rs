//! OpenSearch, embedded from its own artifacts. It is read back by search.

use crate::{
    program::{Program, Server},
    rig::{
        self, Relay, ask, event, eventually,
        kinds::{kinds, long},
        lines,
        machine::{self, Machine, Running},
        millis, seconds,
        stored::{Stored, compare, of_document},
    },
    table::{Limit, Outcome, Table},
};
use serde_json::{Value, json, value::RawValue};
use std::{cell::LazyCell, fs, path::Path, thread};

const JSON: &[(&str, &str)] = &[("Content-Type", "application/json")];

pub(crate) fn run(program: &Program, table: &mut Table) {
    let node = LazyCell::new(|| {
        let node = program.start(&[]);
        for (name, file) in [("audit", "index-template.json"), ("audit-stream", "data-stream-template.json")] {
            let template = ours(file);
            node.put(&format!("/_index_template/{name}"), &template);
        }
        node
    });
    table.case(program, "indices by event time, our template: every kind of line, kill -9", || indices(&node));
    table.case(program, "data stream, our template: every kind of line, rollover, kill -9", || stream(&node));
    table.case(program, "data stream: several files under way at a kill, then a rollover", || several(&node));
    table.case(program, "strict mapping: refused lines to the dead letters, then replay", || strict(&node));
    table.case(program, "index read-only, then released", || {
        let name = "index.blocks.read_only_allow_delete";
        blocked(&node, "audit-2024.01", "2024-01-01", |value| index_block(&node, "audit-2024.01", name, value))
    });
    table.case(program, "index closed to writes, then released", || {
        let name = "index.blocks.write";
        blocked(&node, "audit-2024.02", "2024-02-01", |value| index_block(&node, "audit-2024.02", name, value))
    });
    table.case(program, "whole cluster read-only, then released", || {
        blocked(&node, "audit-2024.03", "2024-03-01", |value| cluster_block(&node, value))
    });
    table.case(program, "bodies in zstd", || zstd(&node));
    drop(node);
    table.case(
        program,
        "413: batches over http.max_content_length; one line over it alone, to the dead letters",
        || too_large(program),
    );
}

/// A template of `deploy/elasticsearch/opensearch`, as it is loaded.
fn ours(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/elasticsearch/opensearch");
    fs::read_to_string(folder.join(file)).unwrap()
}

impl Server {
    /// A request that must succeed.
    fn asked(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        let (status, answer) = ask(self.address, method, path, JSON, body.as_bytes()).unwrap();
        assert_eq!(status / 100, 2, "{method} {path}: {status}: {}", String::from_utf8_lossy(&answer));
        answer
    }

    fn put(&self, path: &str, body: &str) {
        self.asked("PUT", path, body);
    }

    /// Every document of these indices.
    fn documents(&self, target: &str) -> Vec<Stored> {
        #[derive(serde::Deserialize)]
        struct Page<'a> {
            #[serde(rename = "_scroll_id")]
            scroll_id: String,
            #[serde(borrow)]
            hits: Hits<'a>,
        }
        #[derive(serde::Deserialize)]
        struct Hits<'a> {
            #[serde(borrow)]
            hits: Vec<Hit<'a>>,
        }
        #[derive(serde::Deserialize)]
        struct Hit<'a> {
            #[serde(rename = "_id")]
            id: String,
            #[serde(borrow, rename = "_source")]
            source: &'a RawValue,
        }
        self.asked("POST", &format!("/{target}/_refresh"), "");
        let mut documents = Vec::new();
        let mut answer = self.asked("POST", &format!("/{target}/_search?scroll=1m"), "{\"size\":2000}");
        loop {
            let page: Page<'_> = serde_json::from_slice(&answer).unwrap();
            if page.hits.hits.is_empty() {
                return documents;
            }
            for hit in page.hits.hits {
                let stored = of_document(hit.source.get().as_bytes(), 1);
                assert_eq!(stored.id, hit.id, "event.id is not the _id");
                documents.push(stored);
            }
            let next = json!({ "scroll": "1m", "scroll_id": page.scroll_id }).to_string();
            answer = self.asked("POST", "/_search/scroll", &next);
        }
    }

    /// How many documents it has refused, those that it had already included.
    fn refusals(&self, target: &str) -> u64 {
        let stats: Value =
            serde_json::from_slice(&self.asked("GET", &format!("/{target}/_stats/indexing"), "")).unwrap();
        stats["_all"]["total"]["indexing"]["index_failed"].as_u64().unwrap()
    }
}

/// Lines of every kind, and one whose value is over what Lucene takes as a term.
fn every_kind(prefix: &str) -> Vec<Vec<u8>> {
    let mut truth = kinds(prefix, 10_000);
    truth[5_555] = long(&format!("{prefix}-5555"));
    truth[6_666] =
        format!("{{\"id\":\"{prefix}-6666\",\"event_type\":\"read\",\"query\":\"{}\"}}", "x".repeat(40_000)).into();
    truth
}

/// Written in pieces, with the agent killed again and again: when the node has stored something that the agent does not
/// know of, and at random. Returns the last one.
fn with_kills(node: &Server, more: &str, truth: &[Vec<u8>], mut between: impl FnMut(usize)) -> (Machine, Running) {
    let mut machine = Machine::new(String::new());
    for (nth, lines) in truth.chunks(truth.len() / 10).enumerate() {
        machine.append("app.jsonl", lines);
        if nth % 2 == 0 {
            let relay = Relay::new(node.address, is_bulk);
            machine.outputs = machine::elastic(&relay.url(), more);
            let mut agent = machine.start();
            eventually(seconds(60), "something is stored", || relay.kept() > 0);
            agent.agent.kill_9();
        } else {
            machine.outputs = machine::elastic(&node.url(), more);
            let mut agent = machine.start();
            thread::sleep(millis(400));
            agent.agent.kill_9();
        }
        between(nth);
    }
    machine.outputs = machine::elastic(&node.url(), more);
    let agent = machine.start();
    agent.delivered(seconds(120), None);
    (machine, agent)
}

fn is_bulk(path: &str) -> bool {
    path.contains("/_bulk")
}

fn indices(node: &Server) -> Outcome {
    let more = "index = \"audit-%Y.%m\"\nbatch = { max_wait = \"100ms\", max_bytes = \"64KiB\" }";
    let truth = every_kind("i");
    let (machine, mut agent) = with_kills(node, more, &truth, |_| {});
    agent.agent.end();
    machine.has_no_letters();
    let (stored, again) = (node.documents("audit-2*"), node.refusals("audit-2*"));
    assert!(again > 0, "nothing came twice");
    assert!(stored.iter().filter(|record| record.is_object).count() > truth.len() / 2, "no audit objects");
    Outcome::of(&compare(&stored, std::slice::from_ref(&truth)), truth.len())
        .note(format!("{again} documents came twice: 409"))
}

fn stream(node: &Server) -> Outcome {
    let more = "data_stream = \"audit-stream\"\nbatch = { max_wait = \"100ms\", max_bytes = \"64KiB\" }";
    let truth = every_kind("s");
    let mut rollovers = 0;
    let (machine, mut agent) = with_kills(node, more, &truth, |nth| {
        if nth % 3 == 2 {
            node.asked("POST", "/audit-stream/_rollover", "");
            rollovers += 1;
        }
    });
    agent.agent.end();
    machine.has_no_letters();
    Outcome::of(&compare(&node.documents("audit-stream"), std::slice::from_ref(&truth)), truth.len())
        .note(format!("{rollovers} rollovers behind a kill"))
}

/// What may be stored already is at the beginning of each file that was being read, not only of what is read first.
fn several(node: &Server) -> Outcome {
    let more = "data_stream = \"audit-stream-several\"\nwindow = \"2MiB\"\nconcurrency = 64\n\
                batch = { max_wait = \"100ms\", max_bytes = \"256KiB\" }";
    let relay = Relay::new(node.address, is_bulk);
    let mut machine = Machine::new(machine::elastic(&relay.url(), more));
    let mut truth = [lines("a", 8_000), lines("b", 100), lines("c", 100)];
    let names = ["a.jsonl", "b.jsonl", "c.jsonl"];
    names.iter().zip(&truth).for_each(|(name, lines)| machine.append(name, lines));
    let mut agent = machine.start();
    let count = || {
        let (status, answer) = ask(node.address, "POST", "/audit-stream-several/_refresh", JSON, b"").unwrap();
        assert!(status == 200 || status == 404, "{}", String::from_utf8_lossy(&answer));
        let (_, answer) = ask(node.address, "GET", "/audit-stream-several/_count", JSON, b"").unwrap();
        serde_json::from_slice::<Value>(&answer).unwrap()["count"].as_u64().unwrap_or(0)
    };
    eventually(seconds(60), "all are stored", || count() == 8_200);
    agent.agent.kill_9();
    node.asked("POST", "/audit-stream-several/_rollover", "");
    // There is much to read in the others now, which takes up what a window is.
    for (nth, name) in names.iter().enumerate().skip(1) {
        let more = lines(&format!("{name}-more"), 12_000);
        machine.append(name, &more);
        truth[nth].extend(more);
    }
    machine.outputs = machine::elastic(&node.url(), more);
    let mut agent = machine.start();
    agent.delivered(seconds(60), None);
    agent.agent.end();
    machine.has_no_letters();
    let written = truth.iter().map(Vec::len).sum();
    Outcome::of(&compare(&node.documents("audit-stream-several"), &truth), written)
}

/// A mapping that takes only some of the lines, in whatever form, until it is mended.
fn strict(node: &Server) -> Outcome {
    let template = |action: &str| {
        let mut template: Value = serde_json::from_str(&ours("data-stream-template.json")).unwrap();
        template["index_patterns"] = json!(["strict-stream"]);
        template["priority"] = json!(700);
        template["template"]["mappings"]["dynamic"] = json!("strict");
        template["template"]["mappings"]["properties"]["event"]["properties"]["action"] = json!({ "type": action });
        // What our template leaves to `dynamic: false`.
        template["template"]["mappings"]["properties"]["ecs"] = json!({ "type": "object", "enabled": false });
        template.to_string()
    };
    node.put("/_index_template/strict", &template("ip"));
    let machine = Machine::new(machine::elastic(
        &node.url(),
        "data_stream = \"strict-stream\"\nbatch = { max_wait = \"100ms\", max_bytes = \"64KiB\" }",
    ));
    let truth: Vec<Vec<u8>> =
        (0..2_000).map(|n| event(&format!("m-{n}"), if n % 7 == 0 { "login" } else { "10.0.0.7" }, "acme")).collect();
    machine.append("app.jsonl", &truth);
    let mut agent = machine.start();
    agent.delivered(seconds(120), None);
    agent.agent.end();
    let refused = truth.iter().enumerate().filter(|(n, _)| n % 7 == 0).count();
    let letters = machine.letters("elastic");
    assert_eq!(letters.len(), refused, "dead letters");
    for letter in &letters {
        let body = letter["body"].as_str().unwrap();
        let number: usize =
            serde_json::from_str::<Value>(body).unwrap()["id"].as_str().unwrap()[2..].parse().unwrap();
        assert!(number.is_multiple_of(7) && truth[number] == body.as_bytes(), "{letter}");
        assert!(letter["reason"].as_str().unwrap().contains("ip"), "{letter}");
    }
    let before = compare(&node.documents("strict-stream"), std::slice::from_ref(&truth));
    assert_eq!((before.missing.len(), before.duplicates, before.altered.len()), (refused, 0, 0), "{before:?}");

    node.put("/_index_template/strict", &template("keyword"));
    node.asked("POST", "/strict-stream/_rollover", "");
    let done = rig::finish(rig::command().args(["replay", "--output", "elastic", "-c"]).arg(machine.config()));
    assert_eq!(done.code, Some(0), "{done:?}");
    machine.has_no_letters();
    Outcome::of(&compare(&node.documents("strict-stream"), std::slice::from_ref(&truth)), truth.len())
        .note(format!("{refused} refused, and sent after the mapping was mended"))
}

/// Events of one day, so that they are in an index of their own.
fn of_day(day: &str, count: usize) -> Vec<Vec<u8>> {
    let line = |n: usize| format!("{{\"ts\":\"{day}T12:00:00Z\",\"id\":\"{day}-{n}\",\"event_type\":\"read\"}}");
    (0..count).map(|n| line(n).into_bytes()).collect()
}

/// Settings of this index that keep it from being written to, or `null`.
fn index_block(node: &Server, index: &str, name: &str, value: Value) {
    node.put(&format!("/{index}/_settings"), &json!({ name: value }).to_string());
}

fn cluster_block(node: &Server, value: Value) {
    let settings = json!({ "persistent": { "cluster.blocks.read_only_allow_delete": value } });
    node.put("/_cluster/settings", &settings.to_string());
}

/// The index of this day takes nothing for a while: that is a stall, not a refusal of what is sent.
fn blocked(node: &Server, index: &str, day: &str, block: impl Fn(Value)) -> Outcome {
    let machine =
        Machine::new(machine::elastic(&node.url(), "index = \"audit-%Y.%m\"\nbatch = { max_wait = \"100ms\" }"));
    let truth = of_day(day, 2_000);
    machine.append("app.jsonl", &truth[..1_000]);
    let mut agent = machine.start();
    agent.delivered(seconds(60), None);
    block(json!(true));
    machine.append("app.jsonl", &truth[1_000..]);
    let alarm = stalls(&agent);
    block(Value::Null);
    agent.delivered(seconds(120), None);
    agent.agent.end();
    machine.has_no_letters();
    Outcome::of(&compare(&node.documents(index), std::slice::from_ref(&truth)), truth.len()).note(alarm)
}

/// Waits for the alarm, and some time more in which nothing may be given up. Returns what it says.
fn stalls(agent: &Running) -> String {
    let mut said = String::new();
    eventually(seconds(60), "the agent says that the output waits", || {
        let alarms =
            agent.alarms("elastic", "block").into_iter().filter(|alarm| alarm.to_string().contains("waiting: "));
        let alarms: Vec<Value> = alarms.collect();
        said = alarms
            .first()
            .map(|alarm| alarm["error"].as_str().or(alarm["message"].as_str()).unwrap_or("").into())
            .unwrap_or_default();
        !alarms.is_empty()
    });
    thread::sleep(seconds(3));
    said
}

fn zstd(node: &Server) -> Outcome {
    let machine = Machine::new(machine::elastic(
        &node.url(),
        "index = \"zstd\"\ncompression = \"zstd\"\nbatch = { max_wait = \"100ms\" }",
    ));
    let truth = lines("z", 5_000);
    machine.append("app.jsonl", &truth);
    let mut agent = machine.start();
    agent.delivered(seconds(60), None);
    agent.agent.end();
    machine.has_no_letters();
    Outcome::of(&compare(&node.documents("zstd"), std::slice::from_ref(&truth)), truth.len())
}

fn too_large(program: &Program) -> Outcome {
    let node = program.start(&["http.max_content_length=200kb"]);
    let machine = Machine::new(machine::elastic(&node.url(), "index = \"large\"\nbatch = { max_wait = \"100ms\" }"));
    let mut truth = lines("l", 5_000);
    // Not JSON, so that there is no second, plainer form that is smaller.
    truth[2_500] = format!("l-2500 {}", "x".repeat(250_000)).into_bytes();
    machine.append("app.jsonl", &truth);
    let mut agent = machine.start();
    agent.delivered(seconds(120), None);
    agent.agent.end();
    let letters = machine.letters("elastic");
    assert_eq!(letters.len(), 1, "{:?}", letters.iter().map(|letter| &letter["reason"]).collect::<Vec<_>>());
    assert_eq!(letters[0]["body"].as_str().unwrap().as_bytes(), truth[2_500]);
    let findings = compare(&node.documents("large"), std::slice::from_ref(&truth));
    assert_eq!(findings.missing, [&truth[2_500][..]], "missing are others than the one that is too large");
    Outcome::of(&findings, truth.len()).limit(Limit::missing(
        "a line that alone is over `http.max_content_length`, by default 100 MB, cannot be stored: it is in the dead letters",
    ))
}
