//! The destination is away, and comes back in stages.

use crate::rig::{Agent, Destination, Meeting, Site, append, check, event, eventually, is_long, lines, seconds};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

const LIMIT: u64 = 32 << 20;

/// A stage ends when it has lasted long enough and the agent has tried at least twice in it.
fn phase() -> Duration {
    if is_long() { seconds(60) } else { seconds(2) }
}

fn secret(path: &Path, text: &str) {
    // Replaced as a secret store does it: never half there.
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    fs::rename(&new, path).unwrap();
}

/// The causes that were said, in their order; what else was said is in the second list.
fn said(agent: &Agent) -> (Vec<String>, Vec<String>) {
    let (causes, rest): (Vec<_>, Vec<_>) = agent.alarms().into_iter().partition(|alarm| alarm.get("cause").is_some());
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    (causes.iter().map(|a| text(&a["cause"])).collect(), rest.iter().map(|a| text(&a["message"])).collect())
}

#[test]
fn every_kind_of_outage_is_survived_in_little_memory_and_few_words() {
    let mut destination = Destination::new();
    let mut site = Site::new();
    secret(&site.path("token"), "old");
    site.agent.push_str("\nmemory_limit = \"32MiB\"");
    site.output = format!(
        "window = \"4MiB\"\nauth.bearer = {{ token_file = {:?} }}\nbatch = {{ max_wait = \"50ms\" }}",
        site.path("token")
    );
    let mut truth = Vec::new();
    let files = if is_long() { 15 } else { 6 };
    for n in 0..files {
        let part = lines(&format!("backlog{n}"), 40_000);
        append(&site.log(&format!("app{n}.jsonl")), &part);
        truth.extend(part);
    }
    let backlog: usize = truth.iter().map(|line| line.len() + 1).sum();
    destination.close();
    let agent = site.start(&destination);

    let mut memory = Vec::new();
    // Nothing counts the attempts while nothing listens: the log's line and the time are all there is.
    let started = Instant::now();
    eventually(phase() + seconds(30), "the outage is said", || {
        started.elapsed() >= phase() && said(&agent).0 == ["Unreachable"]
    });
    memory.push(agent.memory());

    let stages: [(&str, Meeting); 4] = [
        ("ServerError", Meeting::Answer(503, "", "no healthy upstream")),
        ("RateLimited", Meeting::Answer(429, "retry-after: 3\r\n", "Ingestion rate limit exceeded")),
        ("Credentials", Meeting::Answer(401, "", "wrong token")),
        ("Broken", Meeting::LoseAnswer),
    ];
    let mut expect = vec!["Unreachable".to_owned()];
    destination.script(|_| Meeting::Answer(503, "", "no healthy upstream"));
    destination.open();
    for (cause, meeting) in stages {
        let stage = meeting.clone();
        // Under the script's lock nothing is answered: from here on all that comes meets this stage.
        let before = destination.attempts().len();
        destination.script(move |_| stage.clone());
        let started = Instant::now();
        eventually(phase() + seconds(60), cause, || {
            started.elapsed() >= phase() && destination.attempts().len() >= before + 2
        });
        expect.push(cause.to_owned());
        eventually(seconds(30), "the cause is said", || said(&agent).0 == expect);
        memory.push(agent.memory());
    }

    // The last stage of all: works, for who has the new token.
    destination.script(|attempt| match attempt.authorization.as_deref() {
        Some("Bearer new") => Meeting::Pass,
        _ => Meeting::Answer(401, "", "wrong token"),
    });
    eventually(seconds(60), "the old token is refused", || {
        destination.attempts().last().unwrap().status == Some(401)
    });
    expect.push("Credentials".to_owned());
    let accepted_before = destination.attempts().iter().filter(|attempt| attempt.status == Some(204)).count();
    assert_eq!(accepted_before, 0);
    secret(&site.path("token"), "new");
    let replaced = Instant::now();
    let works = || destination.attempts().iter().any(|attempt| attempt.status == Some(204));
    eventually(seconds(15), "the new token is used without a restart", works);
    let recovery = replaced.elapsed();
    let tries = destination.attempts().len();
    eventually(seconds(120), "the backlog arrives", || destination.stored() >= truth.len());
    let drained = replaced.elapsed();
    memory.push(agent.memory());

    let tally = check(&destination, &truth);
    let (causes, rest) = said(&agent);
    println!(
        "outage: backlog {:.1} MB, RSS/HWM/mapped MiB by stage {:?}, {} requests until it worked, alarms {causes:?} + {rest:?}, \
         new token in use after {recovery:.1?}, drained after {drained:.1?}, {} sends of {} lines",
        backlog as f64 / 1e6,
        memory.iter().map(|figures| figures.map(|bytes| bytes >> 20)).collect::<Vec<_>>(),
        tries,
        tally.sends,
        tally.lines,
    );
    assert_eq!(causes, expect, "one line for each change, none for a retry");
    assert!(rest.len() <= 1 && rest.iter().all(|text| text.contains("reading is paused")), "{rest:?}");
    let flows = agent.log().iter().filter(|line| line["message"].as_str().unwrap().contains("flowing again")).count();
    assert_eq!(flows, 1);
    let (first, last) = (memory[0][0], memory[memory.len() - 2][0]);
    assert!(last < first + (4 << 20), "memory grew while the backlog waited: {memory:?}");
    let (waiting, after) = memory.split_at(memory.len() - 1);
    assert!(waiting.iter().all(|[_, high, _]| *high < LIMIT), "over the memory limit: {memory:?}");
    // Of the binary, which is several times as large unoptimised, a third would be mapped.
    let mapped = if cfg!(debug_assertions) { 2 * after[0][2] / 3 } else { 0 };
    assert!(after[0][1] - mapped < LIMIT, "over the memory limit at full speed: {memory:?}");
}

#[test]
fn nothing_is_asked_before_retry_after() {
    let destination = Destination::new();
    let mut answers = 0;
    destination.script(move |_| {
        answers += 1;
        match answers {
            1..=3 => Meeting::Answer(429, "retry-after: 2\r\n", "Ingestion rate limit exceeded"),
            _ => Meeting::Pass,
        }
    });
    let site = Site::new();
    let truth: Vec<Vec<u8>> = (0..50).map(|n| event(&format!("a-{n}"), "login", "acme")).collect();
    append(&site.log("app.jsonl"), &truth);
    let agent = site.start(&destination);
    eventually(seconds(30), "it arrives", || destination.stored() == truth.len());
    // At the first failures its own pauses would be far shorter.
    let times: Vec<Instant> = destination.attempts().iter().map(|attempt| attempt.at).collect();
    let gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1].duration_since(pair[0])).collect();
    assert!(gaps.len() == 3 && gaps.iter().all(|gap| (seconds(2)..seconds(5)).contains(gap)), "{gaps:?}");
    assert_eq!(said(&agent).0, ["RateLimited"]);
    check(&destination, &truth);
}
