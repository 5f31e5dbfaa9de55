//! The destination refuses one record.

use crate::rig::{
    Agent, Attempt, Destination, Meeting, Site, append, check, command, event, eventually, finish, lines, seconds,
};
use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::fs::PermissionsExt as _,
};

const REFUSAL: &str = "Max entry size '10' bytes exceeded for stream '{event_type=\"login\"}' while adding an entry";
const EXHAUSTED: &str = "rpc error: code = ResourceExhausted";

fn contains(attempt: &Attempt, text: &str) -> bool {
    attempt.entries.iter().any(|seen| memchr::memmem::find(&seen.line, text.as_bytes()).is_some())
}

fn has_marker(attempt: &Attempt) -> bool {
    contains(attempt, "\"poison\"")
}

/// Every request that `is_meant` is answered so, for ever.
fn answer(
    destination: &Destination,
    is_meant: impl Fn(&Attempt) -> bool + Send + 'static,
    status: u16,
    text: &'static str,
) {
    destination.script(move |attempt| match is_meant(attempt) {
        true => Meeting::Answer(status, "", text),
        false => Meeting::Pass,
    });
}

/// The dead letters, as anybody can read them.
fn letters(site: &Site) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(site.path("state/dead-letters/loki.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn replay(site: &Site, args: &[&str]) -> (Option<i32>, String) {
    let config = site.path("auditship.toml");
    let mut command = command();
    let done = finish(command.args(["replay", "--output", "loki", "-c"]).arg(config).args(args));
    (done.code, done.stdout + &done.stderr)
}

/// One line of three hundred is poison. Returns the lines, and the poison's place.
fn with_poison(site: &Site) -> (Vec<Vec<u8>>, usize) {
    let before = lines("before", 100);
    let offset = before.iter().map(|line| line.len() + 1).sum();
    let truth = [before, vec![event("poison", "login", "acme")], lines("after", 200)].concat();
    append(&site.log("app.jsonl"), &truth);
    (truth, offset)
}

fn named(agent: &Agent, words: &str) -> Vec<serde_json::Value> {
    agent.alarms().into_iter().filter(|alarm| alarm["message"].as_str().unwrap().contains(words)).collect()
}

#[test]
fn a_record_that_is_refused_for_good_is_put_aside_and_can_be_sent_again() {
    let destination = Destination::new();
    answer(&destination, has_marker, 400, REFUSAL);
    let site = Site::new();
    let (truth, offset) = with_poison(&site);
    let mut agent = site.start(&destination);
    eventually(seconds(20), "all but the refused one arrive", || destination.stored() == truth.len() - 1);
    // Not yet: it may be a whim of the destination's.
    assert_eq!(letters(&site).len(), 0);
    let position = site.status()["outputs"][0]["files"][0]["acknowledged"].as_u64().unwrap();
    assert!(position <= offset as u64, "the position {position} is past the refused record at {offset}");
    eventually(seconds(30), "it is put aside", || letters(&site).len() == 1);
    eventually(seconds(20), "the position passes it", || site.behind() == 0);

    let (poison, letter) = (String::from_utf8(truth[100].clone()).unwrap(), &letters(&site)[0]);
    let file = letter["file"].as_str().unwrap();
    assert_eq!((letter["body"].as_str(), letter["status"].as_u64()), (Some(poison.as_str()), Some(400)));
    assert_eq!((letter["offset"].as_u64(), letter["seq"].as_u64()), (Some(offset as u64), Some(101)));
    assert!(letter["reason"].as_str().unwrap().contains("Max entry size"), "{letter}");
    assert_eq!(letter["labels"]["event_type"], "login");
    let id = letter["id"].as_str().unwrap();
    assert!(id.starts_with(&format!("{file}-{offset}-")), "{id}");
    let alarms = named(&agent, "dead letters");
    assert_eq!(alarms.len(), 1, "{alarms:#?}");
    assert_eq!((alarms[0]["level"].as_str(), alarms[0]["id"].as_str()), (Some("ERROR"), Some(id)));
    let mode = |name: &str| fs::metadata(site.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("state/dead-letters"), mode("state/dead-letters/loki.jsonl")), (0o700, 0o600));

    let attempts = destination.attempts();
    let with_it = attempts.iter().filter(|attempt| has_marker(attempt)).count();
    let stored = attempts.iter().filter(|attempt| attempt.is_stored);
    let mut times: HashMap<Vec<u8>, u32> = HashMap::new();
    stored.for_each(|attempt| {
        attempt.entries.iter().for_each(|seen| *times.entry(seen.line.to_vec()).or_default() += 1);
    });
    assert!(times.values().all(|times| *times == 1), "its neighbours arrive once, and once only");
    let largest = attempts.iter().map(|attempt| attempt.entries.len()).max().unwrap();
    // Each level of the search has one request with it; the other half has none.
    let bound = largest.next_power_of_two().ilog2() as usize + 2;
    assert!(with_it <= bound, "{with_it} requests with it, of at most {largest} records");
    drop(attempts);
    agent.end();
    assert_eq!((agent.ended("dead_lettered"), agent.ended("pending")), (1, 0));

    // Still refused: it stays.
    let (code, text) = replay(&site, &[]);
    assert!(code == Some(1) && text.contains("0 delivered, 1 left") && text.contains(id), "{code:?} {text}");
    assert_eq!(letters(&site).len(), 1);
    destination.script(|_| Meeting::Answer(503, "", "busy"));
    let (code, text) = replay(&site, &[]);
    assert!(code == Some(1) && text.contains("busy"), "{code:?} {text}");
    assert_eq!(letters(&site).len(), 1);
    // The limit was raised.
    destination.script(|_| Meeting::Pass);
    let (code, text) = replay(&site, &[]);
    assert!(code == Some(0) && text.contains("1 delivered, 0 left"), "{code:?} {text}");
    assert_eq!(letters(&site).len(), 0);
    let tally = check(&destination, &truth);
    println!("refused: {with_it} requests with it, of at most {largest} records; {tally:?}");
}

#[test]
fn what_is_refused_once_is_not_put_aside() {
    let destination = Destination::new();
    let mut refusals = 0;
    // Its batch is searched once, and held; then the limit is raised.
    destination.script(move |attempt| match has_marker(attempt) && attempt.entries.len() == 1 && refusals == 0 {
        true => {
            refusals += 1;
            Meeting::Answer(400, "", REFUSAL)
        }
        false if has_marker(attempt) && attempt.entries.len() > 1 => Meeting::Answer(400, "", REFUSAL),
        false => Meeting::Pass,
    });
    let site = Site::new();
    let (truth, _) = with_poison(&site);
    let mut agent = site.start(&destination);
    eventually(seconds(60), "the refused one arrives", || destination.stored() == truth.len());
    agent.end();
    assert_eq!(agent.ended("dead_lettered"), 0);
    assert_eq!((site.behind(), letters(&site).len(), agent.alarms().len()), (0, 0, 0));
    check(&destination, &truth);
}

#[test]
fn dead_letters_that_have_no_room_stall_and_lose_nothing() {
    let destination = Destination::new();
    answer(&destination, has_marker, 400, REFUSAL);
    let mut site = Site::new();
    site.agent += "\ndead_letters = { max_bytes = 10 }";
    let (truth, offset) = with_poison(&site);
    let mut agent = site.start(&destination);
    eventually(seconds(40), "the alarm", || named(&agent, "cannot be put into the dead letters").len() == 1);
    assert_eq!(destination.stored(), truth.len() - 1);
    let position = site.status()["outputs"][0]["files"][0]["acknowledged"].as_u64().unwrap();
    assert!(position <= offset as u64, "{position}");
    agent.end();
    assert_eq!((agent.ended("dead_lettered"), letters(&site).len()), (0, 0));
    // There is room, or it is taken after all.
    destination.script(|_| Meeting::Pass);
    let mut agent = site.start(&destination);
    eventually(seconds(20), "the refused one arrives", || destination.stored() == truth.len());
    agent.end();
    check(&destination, &truth);
}

/// An answer that is about no record stalls for ever; whoever knows better can skip the record.
#[test]
fn a_record_that_stalls_is_found_and_can_be_skipped() {
    let destination = Destination::new();
    answer(&destination, has_marker, 500, EXHAUSTED);
    let site = Site::new();
    let (truth, offset) = with_poison(&site);
    let mut agent = site.start(&destination);
    // Others get through, so the fault is that of the batch, and then of one record.
    let mut more = 0;
    let arrived = || {
        let attempts = destination.attempts();
        let lines = attempts.iter().filter(|attempt| attempt.is_stored).flat_map(|attempt| &attempt.entries);
        lines.filter(|seen| seen.meta("auditship_path").is_some_and(|path| path.ends_with("app.jsonl"))).count()
    };
    eventually(seconds(90), "all but one arrive", || {
        append(&site.log("other.jsonl"), &[event(&format!("more-{more}"), "login", "acme")]);
        more += 1;
        std::thread::sleep(std::time::Duration::from_millis(100));
        arrived() == truth.len() - 1
    });
    eventually(seconds(60), "the alarm names it", || named(&agent, "others pass").len() == 1);
    assert_eq!(letters(&site).len(), 0);
    let file = named_file(&destination);
    let leaf = auditship::model::leaf(&truth[100]);
    let hex: String = leaf[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let id = format!("{file}-{offset}-{hex}");
    assert_eq!(named(&agent, "others pass")[0]["id"], id.as_str());
    let (code, text) = replay(&site, &["--skip", &id]);
    assert_eq!(code, Some(0), "{text}");
    eventually(seconds(30), "it is put aside", || letters(&site).len() == 1);
    assert_eq!(letters(&site)[0]["id"], id.as_str());
    eventually(seconds(20), "the position passes it", || site.behind() == 0);
    agent.end();
    assert_eq!(agent.ended("dead_lettered"), 1);
}

/// More streams fail than requests can be under way: a lone record of another one must not wait until its batch is full.
#[test]
fn a_stream_that_works_gets_its_turn_beside_many_that_fail() {
    let destination = Destination::new();
    answer(&destination, |attempt| attempt.labels.contains("broken"), 500, "no such tenant");
    let mut site = Site::new();
    site.output.push_str("\nconcurrency = 1");
    let broken = (0..4).map(|n| event(&format!("b-{n}"), &format!("type-{n}"), "broken"));
    append(&site.log("broken.jsonl"), &broken.collect::<Vec<_>>());
    let mut agent = site.start(&destination);
    // Each has failed.
    let failed = || destination.attempts().iter().map(|attempt| attempt.labels.clone()).collect::<HashSet<_>>().len();
    eventually(seconds(60), "all of them have failed", || failed() == 4);
    append(&site.log("app.jsonl"), &[event("a", "login", "acme")]);
    eventually(seconds(120), "the other one arrives", || destination.stored() == 1);
    // Which shows whose fault it is.
    eventually(seconds(120), "the alarm names one", || !named(&agent, "others pass").is_empty());
    append(&site.log("app.jsonl"), &[event("b", "login", "acme")]);
    eventually(seconds(120), "the next one arrives", || destination.stored() == 2);
    agent.end();
}

/// One letter of several gets 500 for ever.
#[test]
fn a_replay_goes_on_past_a_letter_that_fails() {
    let destination = Destination::new();
    answer(&destination, |attempt| contains(attempt, "bad-") || has_marker(attempt), 400, REFUSAL);
    let site = Site::new();
    let ids = ["a", "bad-1", "bad-2", "b", "bad-3", "bad-4", "bad-5", "c", "poison"];
    let truth: Vec<Vec<u8>> = ids.iter().map(|id| event(id, "login", "acme")).collect();
    append(&site.log("app.jsonl"), &truth);
    let mut agent = site.start(&destination);
    eventually(seconds(60), "they are put aside", || letters(&site).len() == 6);
    agent.end();
    answer(&destination, has_marker, 500, EXHAUSTED);
    let (code, text) = replay(&site, &[]);
    let left = letters(&site);
    assert!(code == Some(1) && text.contains("ResourceExhausted"), "{text}");
    assert!(left.len() == 1 && left[0]["body"].as_str().unwrap().contains("poison"), "{left:?}");
    destination.script(|_| Meeting::Pass);
    let (code, text) = replay(&site, &[]);
    assert_eq!((code, letters(&site).len()), (Some(0), 0), "{text}");
    check(&destination, &truth);
}

/// There is one stream, and nothing else that could pass and show that the destination works.
#[test]
fn a_record_that_stalls_is_found_where_nothing_else_is_sent() {
    let destination = Destination::new();
    answer(&destination, has_marker, 500, EXHAUSTED);
    let site = Site::new();
    let mut truth: Vec<Vec<u8>> = (0..50).map(|n| event(&format!("a-{n}"), "login", "acme")).collect();
    truth[17] = event("poison", "login", "acme");
    append(&site.log("app.jsonl"), &truth);
    let mut agent = site.start(&destination);
    eventually(seconds(150), "all but one arrive", || destination.stored() == truth.len() - 1);
    eventually(seconds(60), "the alarm names it", || named(&agent, "others pass").len() == 1);
    assert_eq!(letters(&site).len(), 0);
    destination.script(|_| Meeting::Pass);
    eventually(seconds(60), "it is taken after all", || site.behind() == 0);
    agent.end();
    check(&destination, &truth);
}

/// What the agent calls app.jsonl.
fn named_file(destination: &Destination) -> String {
    let attempts = destination.attempts();
    let mut all = attempts.iter().flat_map(|attempt| &attempt.entries);
    let seen = all.find(|seen| seen.meta("auditship_path").is_some_and(|path| path.ends_with("app.jsonl")));
    seen.unwrap().meta("auditship_file").unwrap().to_owned()
}
