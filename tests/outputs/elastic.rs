//! Elasticsearch: every document has its own outcome (T7 of the failure cases), and a data stream knows an `_id` only
//! until its next rollover.

use crate::{
    kinds::{kinds, long},
    machine::{self, Machine, Running},
    read,
    rig::stored::{self, Stored},
    rig::{event, eventually, millis, seconds},
    server::{Asked, Said, Server},
    world::World,
};
use auditship::receiver::{ElasticOptions, Fault, FaultMode, SplunkOptions};
use axum::http::StatusCode;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Instant,
};

/// What the script of T7 knows.
#[derive(Default)]
struct Cluster {
    documents: BTreeMap<String, Document>,
    /// Documents that came though the agent had been told that they are there.
    repeated: Vec<String>,
    requests: u32,
    too_large: u32,
    cut: u32,
}

#[derive(Default)]
struct Document {
    attempts: u32,
    stored: Option<Stored>,
    is_confirmed: bool,
    /// Whether it came with the line's object, and without.
    forms: BTreeSet<bool>,
}

const MOST: usize = 1_000_000;

impl Cluster {
    fn bulk(&mut self, asked: &Asked) -> Said {
        assert_eq!(asked.path, "/_bulk");
        self.requests += 1;
        if asked.body.len() > MOST {
            self.too_large += 1;
            return Said::Whole(413, String::new());
        }
        let lines: Vec<&[u8]> = asked.body.split(|byte| *byte == b'\n').collect();
        let (mut items, mut told, mut has_created) = (Vec::new(), Vec::new(), false);
        for pair in lines.chunks_exact(2) {
            let action: Value = serde_json::from_slice(pair[0]).unwrap();
            let id = action["create"]["_id"].as_str().unwrap().to_owned();
            let document = self.documents.entry(id.clone()).or_default();
            if document.is_confirmed {
                self.repeated.push(id.clone());
            }
            let (status, kind) = document.put(stored::of_document(pair[1], 1));
            has_created |= status == 201;
            let error = json!({ "type": kind, "reason": "said by the script" });
            items.push(match kind {
                "" => json!({ "create": { "status": status } }),
                _ => json!({ "create": { "status": status, "error": error } }),
            });
            if matches!(status, 201 | 409) {
                told.push(id);
            }
        }
        let errors = items.iter().any(|item| item["create"]["error"].is_object());
        let body = json!({ "errors": errors, "items": items }).to_string();
        if has_created && self.cut < 2 {
            self.cut += 1;
            return Said::Half(200, body);
        }
        for id in told {
            self.documents.get_mut(&id).unwrap().is_confirmed = true;
        }
        Said::Whole(200, body)
    }
}

impl Document {
    /// The outcome for it, by its number in the file.
    fn put(&mut self, document: Stored) -> (u16, &'static str) {
        let before = self.attempts;
        self.attempts += 1;
        self.forms.insert(document.is_object);
        let conflict = (409, "version_conflict_engine_exception");
        if self.stored.is_some() {
            return conflict;
        }
        match document.seq % 10 {
            1 if before < 3 => return (429, "es_rejected_execution_exception"),
            2 if before < 1 => return (503, "unavailable_shards_exception"),
            4 => return (400, "document_parsing_exception"),
            5 if before < 5 => return (403, "cluster_block_exception"),
            _ => {}
        }
        let was_there = document.seq % 10 == 3;
        self.stored = Some(document);
        if was_there { conflict } else { (201, "") }
    }
}

#[test]
fn every_document_has_its_own_outcome() {
    let start = Instant::now();
    let cluster = Arc::new(Mutex::new(Cluster::default()));
    let server = Server::new({
        let cluster = Arc::clone(&cluster);
        move |asked| cluster.lock().unwrap().bulk(asked)
    });
    let more = "index = \"audit\"\nbatch = { max_wait = \"300ms\", max_bytes = \"1536KiB\" }";
    let machine = Machine::new(machine::elastic(&server.url(), more));
    let pad = "x".repeat(500);
    let line = |n: usize| match n % 30 {
        3 => [format!("{{\"id\":\"{n}\",\"name\":\"M").as_bytes(), b"\xfcller\"}"].concat(),
        13 => format!("{n} is not JSON").into_bytes(),
        _ => event(&format!("{n}-{pad}"), "login", "acme"),
    };
    let truth: Vec<Vec<u8>> = (0..1200).map(line).collect();
    machine.append("app.jsonl", &truth);
    let mut agent = machine.start();
    agent.delivered(seconds(80), None);
    let took = start.elapsed();
    agent.agent.end();

    let cluster = cluster.lock().unwrap();
    assert!(cluster.repeated.is_empty(), "sent again: {:?}", &cluster.repeated[..cluster.repeated.len().min(5)]);
    assert!(cluster.too_large > 0 && cluster.cut == 2, "{} too large, {} cut", cluster.too_large, cluster.cut);
    // The records are numbered from 1.
    let refused: Vec<Vec<u8>> = truth.iter().skip(3).step_by(10).cloned().collect();
    let stored: Vec<Stored> = cluster.documents.values().filter_map(|document| document.stored.clone()).collect();
    let tally = read::check("elastic", &stored, &[truth], &refused);
    let most = cluster.documents.values().map(|document| document.attempts).max();
    check_letters(&machine.letters("elastic"), &refused, "document_parsing_exception");
    for document in cluster.documents.values().filter(|document| document.stored.is_none()) {
        assert!(document.forms.contains(&false), "given up without a try as text alone");
    }
    println!(
        "elastic: {} requests, {} of them too large, {} cut; {tally:?}; {} dead letters; a document came at most {most:?} \
         times; {took:.1?}",
        cluster.requests,
        cluster.too_large,
        cluster.cut,
        refused.len()
    );
}

/// The dead letters are exactly these lines, with this word in the reason.
#[track_caller]
pub(crate) fn check_letters(letters: &[Value], refused: &[Vec<u8>], reason: &str) {
    let body = |letter: &Value| match (letter["body"].as_str(), letter["body_base64"].as_str()) {
        (Some(text), None) => text.as_bytes().to_vec(),
        (None, Some(text)) => STANDARD.decode(text).unwrap(),
        _ => panic!("a dead letter has one body: {letter}"),
    };
    let mut bodies: Vec<Vec<u8>> = letters.iter().map(body).collect();
    let mut refused = refused.to_vec();
    bodies.sort();
    refused.sort();
    assert!(bodies == refused, "{} dead letters, and {} lines were refused", bodies.len(), refused.len());
    for letter in letters {
        assert_eq!(letter["status"], 400, "{letter}");
        assert!(letter["reason"].as_str().unwrap().contains(reason), "{letter}");
    }
}

/// Nobody knows of a batch whose answer is lost whether it was taken. Then the stream begins a new backing index, which
/// would take all of it once more.
#[test]
fn a_rollover_behind_a_lost_answer_stores_nothing_twice() {
    let start = Instant::now();
    const STREAM: &str = "logs-audit-default";
    let options = ElasticOptions { data_streams: vec![STREAM.into()], ..ElasticOptions::default() };
    let world = World::with(options, SplunkOptions::default());
    let more = format!("data_stream = {STREAM:?}\nbatch = {{ max_wait = \"100ms\" }}\nwindow = \"1MiB\"");
    let machine = Machine::new(machine::elastic(&world.url(), &more));
    // What a life sends within its first `window` is looked up in any case: the first round is behind that.
    let mut truth = [kinds("before", 240), vec![long("one"), long("two")]].concat();
    machine.append("app.jsonl", &truth);
    let mut agent = machine.start();
    agent.delivered(seconds(30), None);
    // In the second round the agent is killed before it can ask.
    for is_killed in [false, true] {
        // After the one whose answer is lost, nothing is answered until the stream has a new index.
        world.faults.set(vec![
            Fault { count: Some(1), ..Fault::new("/_bulk", FaultMode::StoreThenDrop) },
            Fault::answer("/", StatusCode::SERVICE_UNAVAILABLE, ""),
        ]);
        let (before, more) = (world.elastic.counts().created, kinds(&format!("killed-{is_killed}"), 240));
        let acknowledged = |agent: &Running| agent.status()["outputs"][0]["live"]["acknowledged"].as_u64().unwrap();
        let due = acknowledged(&agent) + more.len() as u64;
        machine.append("app.jsonl", &more);
        truth.extend(more);
        eventually(seconds(20), "a batch is stored without an answer", || world.elastic.counts().created > before);
        if is_killed {
            agent.agent.kill_9();
        } else {
            eventually(seconds(20), "the agent has tried again", || world.answered("/", 503) > 0);
        }
        // The receiver has it before the connection is cut; then nothing of that attempt is on its way any more.
        std::thread::sleep(millis(100));
        world.elastic.rollover(STREAM).unwrap();
        world.faults.clear();
        if is_killed {
            agent = machine.start();
        } else {
            // Bytes that are behind are looked at once a second only: they may not be known yet.
            eventually(seconds(60), "it is acknowledged", || acknowledged(&agent) >= due);
        }
        agent.delivered(seconds(60), None);
    }
    agent.agent.end();
    machine.has_no_letters();
    let documents = world.elastic.documents(STREAM);
    let indices: BTreeSet<&str> = documents.iter().map(|document| document.index.as_str()).collect();
    assert!(indices.len() >= 2, "{indices:?}");
    let tally = read::check("elastic", &read::elastic(&world, STREAM), &[truth], &[]);
    let (counts, took) = (world.elastic.counts(), start.elapsed());
    println!("elastic: {} backing indices, {tally:?}, {counts:?}, {took:.1?}", indices.len());
}
