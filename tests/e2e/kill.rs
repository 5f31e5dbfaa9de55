//! `kill -9` at random moments, while the destination is slow and loses answers.

use crate::rig::{Action, Destination, Meeting, Site, Writer, append, chance, check, eventually, millis, seconds};
use std::{fs, thread, time::Duration};

const KILLS: u32 = 50;
const WINDOW: u64 = 4 << 20;

#[test]
fn fifty_kills_lose_nothing_and_change_nothing() {
    let mut rng = chance("kill");
    let destination = Destination::new();
    let mut faults = rng.fork();
    destination.script(move |_| {
        let slow = millis(faults.u64(30..300));
        // The kill finds the body on its way, or stored and not answered.
        let (before, after) = if faults.bool() { (slow, Duration::ZERO) } else { (Duration::ZERO, slow) };
        let meeting = if faults.u32(..10) == 0 { Meeting::LoseAnswer } else { Meeting::Pass };
        Action { before, after, meeting }
    });
    let mut site = Site::new();
    site.output = format!("window = \"{}MiB\"\nbatch = {{ max_wait = \"20ms\" }}", WINDOW >> 20);
    let paths = (0..4).map(|n| site.log(&format!("app{n}.jsonl"))).collect();
    let writer = Writer::start(paths, 5000, Some(seconds(5)), rng.fork());

    let mut lives_with_sends = 0;
    for _ in 0..KILLS {
        let sent = destination.attempts().len();
        let mut agent = site.start(&destination);
        // Chance itself is the test here.
        thread::sleep(millis(rng.u64(200..900)));
        agent.kill_9();
        lives_with_sends += u32::from(destination.attempts().len() > sent);
    }
    let truth = writer.stop();
    let by_then = destination.stored();
    destination.script(|_| Meeting::Pass);
    let mut agent = site.start(&destination);
    eventually(seconds(60), "the rest arrives", || destination.stored() >= truth.len());
    assert!(agent.stop(seconds(20)).0.success());
    assert_eq!(site.behind(), 0);

    let tally = check(&destination, &truth);
    let most = tally.resent_bytes.values().max().copied().unwrap_or(0);
    println!(
        "kill: {KILLS} kills ({lives_with_sends} with pushes since the start), {} lines written, {by_then} stored by then, {} missing, {} stored \
         twice or more, {} lines resent after kills, at most {most} bytes after one kill (window {WINDOW})",
        truth.len(),
        truth.len() - tally.lines,
        tally.sends - tally.lines,
        tally.resent_lines,
    );
    assert!(most <= WINDOW, "{most} bytes were sent again after one kill");
    // Otherwise the test has shown nothing.
    assert!(
        lives_with_sends > KILLS / 2 && tally.resent_lines > 0,
        "{lives_with_sends} lives sent anything: {tally:?}"
    );
}

#[test]
fn what_the_first_push_says_is_what_every_later_life_says() {
    let destination = Destination::new();
    destination.script(|_| Meeting::LoseAnswer);
    let mut site = Site::new();
    site.guard = "max_label_values = 2".into();
    // Without a time of their own they have that of the file's first sight, which only the state knows.
    let of_kinds = |name: &str, kinds: [&str; 3]| {
        kinds.map(|kind| format!("{{\"id\":\"{name}-{kind}\",\"event_type\":\"{kind}\"}}").into_bytes())
    };
    let mut truth = of_kinds("first", ["a", "b", "c"]).to_vec();
    append(&site.log("app.jsonl"), &truth);
    let mut agent = site.start(&destination);
    eventually(seconds(20), "the first push", || !destination.attempts().is_empty());
    agent.kill_9();
    // The next life finds it under another path, and a file beside it that is read first.
    fs::rename(site.log("app.jsonl"), site.log("renamed.jsonl")).unwrap();
    let second = of_kinds("second", ["c", "b", "a"]);
    append(&site.log("app.jsonl"), &second);
    truth.extend(second);
    let old = std::time::SystemTime::now() - seconds(60);
    fs::File::options().append(true).open(site.log("app.jsonl")).unwrap().set_modified(old).unwrap();
    destination.script(|_| Meeting::Pass);
    let mut agent = site.start(&destination);
    eventually(seconds(20), "all of it arrives", || destination.stored() == truth.len());
    assert!(agent.stop(seconds(15)).0.success());
    assert!(check(&destination, &truth).resent_lines > 0);
}
