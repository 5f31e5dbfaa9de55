//! The destination refuses one record.

use crate::rig::{Attempt, Destination, Meeting, Site, append, check, event, eventually, lines, seconds};
use std::collections::HashMap;

const REFUSAL: &str = "Max entry size '10' bytes exceeded for stream '{event_type=\"login\"}' while adding an entry";

fn has_marker(attempt: &Attempt) -> bool {
    attempt.entries.iter().any(|seen| memchr::memmem::find(&seen.line, b"\"poison\"").is_some())
}

#[test]
fn one_refused_record_holds_back_nothing_but_its_position() {
    let destination = Destination::new();
    destination.script(|attempt| match has_marker(attempt) {
        true => Meeting::Answer(400, "", REFUSAL),
        false => Meeting::Pass,
    });
    let site = Site::new();
    let path = site.log("app.jsonl");
    let before = lines("before", 100);
    let poison = event("poison", "login", "acme");
    let after = lines("after", 100);
    let offset: usize = before.iter().map(|line| line.len() + 1).sum();
    let mut truth = [before, vec![poison.clone()], after].concat();
    append(&path, &truth);
    let mut agent = site.start(&destination);
    eventually(seconds(20), "all but the refused one arrive", || destination.stored() == truth.len() - 1);

    // Streams go on, the one of the refused record too.
    let more = lines("more", 100);
    append(&path, &more);
    truth.extend(more);
    eventually(seconds(20), "what comes later arrives", || destination.stored() == truth.len() - 1);
    let mut times: HashMap<Vec<u8>, u32> = HashMap::new();
    for attempt in destination.attempts().iter().filter(|attempt| attempt.is_stored) {
        attempt.entries.iter().for_each(|seen| *times.entry(seen.line.to_vec()).or_default() += 1);
    }
    assert!(times.values().all(|times| *times == 1), "its neighbours arrive once, and once only");
    assert!(!times.contains_key(&poison));

    let alarms = agent.alarms();
    assert_eq!(alarms.len(), 1, "{alarms:#?}");
    let alarm = &alarms[0];
    assert_eq!((alarm["level"].as_str(), alarm["offset"].as_u64()), (Some("ERROR"), Some(offset as u64)));
    let file = alarm["file"].as_str().unwrap();
    let id = alarm["id"].as_str().unwrap();
    assert!(id.starts_with(&format!("{file}-{offset}-")), "{id}");
    assert!(alarm["reason"].as_str().unwrap().contains("Max entry size"), "{alarm}");
    let position = site.status()["outputs"][0]["files"][0]["acknowledged"].as_u64().unwrap();
    assert!(position <= offset as u64, "the position {position} is past the refused record at {offset}");

    // A restart finds it again; the destination's limit has been raised.
    assert!(agent.stop(seconds(15)).0.success());
    destination.script(|_| Meeting::Pass);
    let mut agent = site.start(&destination);
    eventually(seconds(20), "the refused one arrives", || destination.stored() == truth.len());
    eventually(seconds(20), "the position follows", || site.behind() == 0);
    assert!(agent.stop(seconds(15)).0.success());
    assert_eq!(agent.alarms().len(), 0);
    let tally = check(&destination, &truth);
    println!("refused: position {position} before the record at {offset}; {tally:?}");
}

#[test]
fn a_refused_record_is_tried_again_by_itself() {
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
    let truth = [lines("a", 10), vec![event("poison", "login", "acme")], lines("b", 10)].concat();
    append(&site.log("app.jsonl"), &truth);
    let mut agent = site.start(&destination);
    eventually(seconds(60), "the refused one arrives", || destination.stored() == truth.len());
    assert!(agent.stop(seconds(15)).0.success());
    assert_eq!(agent.alarms().len(), 1);
    assert_eq!((agent.ended("records"), agent.ended("acknowledged")), (21, 21));
    assert_eq!(site.behind(), 0);
    check(&destination, &truth);
}
