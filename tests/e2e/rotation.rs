//! Files that are renamed, truncated and deleted, with notifications and without.

use crate::rig::{Agent, Destination, Seen, Site, append, check, eventually, lines, seconds};
use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::Write as _,
};

/// A test's world, and all that was written in it.
struct World {
    destination: Destination,
    site: Site,
    agent: Agent,
    truth: Vec<Vec<u8>>,
}

impl World {
    fn new(notify: bool) -> World {
        World::with(notify, "")
    }

    fn with(notify: bool, output: &str) -> World {
        let destination = Destination::new();
        let mut site = Site::new();
        // Without notifications the scan alone must find everything; with them, they are faster than any scan.
        let interval = if notify { "60s" } else { "100ms" };
        site.agent = format!("notify = {notify}\nscan_interval = \"{interval}\"");
        site.output.push_str(&format!("\n{output}"));
        let agent = site.start(&destination);
        World { destination, site, agent, truth: Vec::new() }
    }

    /// Appends to `name`.
    fn write(&mut self, name: &str, prefix: &str, count: usize) {
        let lines = lines(prefix, count);
        append(&self.site.log(name), &lines);
        self.truth.extend(lines);
    }

    #[track_caller]
    fn arrives(&self, what: &str) {
        eventually(seconds(30), what, || self.destination.stored() >= self.truth.len());
    }

    fn names(&self) -> BTreeSet<String> {
        let attempts = self.destination.attempts();
        let name = |seen: &Seen| seen.meta("auditship_file").unwrap().to_owned();
        attempts.iter().flat_map(|attempt| attempt.entries.iter().map(name)).collect()
    }

    /// Whether an outage lasts for two attempts and is said depends on the machine's speed: at most `outages` are.
    #[track_caller]
    fn ends(mut self, outages: usize) {
        assert!(self.agent.stop(seconds(15)).0.success());
        check(&self.destination, &self.truth);
        let alarms = self.agent.alarms();
        assert!(alarms.len() <= outages && alarms.iter().all(|a| text(a).contains("waiting")), "{alarms:#?}");
        assert_eq!(self.agent.ended("records"), self.agent.ended("acknowledged"));
    }
}

fn renamed_while_the_destination_is_away(notify: bool) {
    let mut world = World::new(notify);
    world.write("app.jsonl", "first", 200);
    world.arrives("the first lines");
    world.destination.close();
    world.write("app.jsonl", "unsent", 200);
    // To a name that no glob matches: from here on only the open descriptor leads to it.
    fs::rename(world.site.log("app.jsonl"), world.site.log("app.jsonl.1")).unwrap();
    // A program that has not noticed yet.
    world.write("app.jsonl.1", "late", 50);
    world.write("app.jsonl", "second", 200);
    // To a name that matches: the same file, and not a new one.
    world.agent.has_open(&world.site.log("app.jsonl"));
    fs::rename(world.site.log("app.jsonl"), world.site.log("old.jsonl")).unwrap();
    world.write("app.jsonl", "third", 200);
    world.destination.open();
    world.arrives("everything");
    assert_eq!(world.names().len(), 3, "three contents, three names");
    world.ends(1);
}

fn deleted_while_the_destination_is_away(notify: bool) {
    let mut world = World::new(notify);
    world.write("app.jsonl", "first", 200);
    world.arrives("the first lines");
    world.destination.close();
    world.write("app.jsonl", "unsent", 200);
    fs::remove_file(world.site.log("app.jsonl")).unwrap();
    // A file whose whole life is within the outage.
    world.write("brief.jsonl", "brief", 200);
    world.agent.has_open(&world.site.log("brief.jsonl"));
    fs::remove_file(world.site.log("brief.jsonl")).unwrap();
    world.destination.open();
    world.arrives("everything");
    world.ends(1);
}

fn truncated_in_place(notify: bool) {
    let mut world = World::new(notify);
    world.write("app.jsonl", "first", 200);
    world.arrives("the first lines");
    File::create(world.site.log("app.jsonl")).unwrap();
    world.write("app.jsonl", "shorter", 50);
    world.arrives("the lines after a truncation");
    // Longer than before when the agent looks again: only the content tells.
    let regrown = lines("longer", 500);
    let bytes = [regrown.join(&b'\n'), b"\n".to_vec()].concat();
    world.truth.extend(regrown);
    let mut file = OpenOptions::new().write(true).truncate(true).open(world.site.log("app.jsonl")).unwrap();
    file.write_all(&bytes).unwrap();
    world.arrives("the lines after a truncation that does not show in the length");
    assert_eq!(world.names().len(), 3, "each content has its own name");
    world.ends(0);
}

#[test]
fn what_is_truncated_before_it_was_read_is_alarmed_with_its_bytes() {
    let mut world = World::with(false, "window = \"1MiB\"");
    world.write("app.jsonl", "first", 200);
    world.arrives("the first lines");
    world.destination.close();
    let unread = lines("unread", 12_000);
    append(&world.site.log("app.jsonl"), &unread);
    eventually(seconds(20), "the window is full", || world.agent.alarms().iter().any(|a| text(a).contains("paused")));
    File::create(world.site.log("app.jsonl")).unwrap();
    world.write("app.jsonl", "new", 10);
    world.destination.open();
    eventually(seconds(30), "the new content arrives", || world.names().len() == 2);
    eventually(seconds(30), "the loss is said", || {
        world.agent.alarms().iter().any(|a| text(a).contains("truncated"))
    });
    eventually(seconds(30), "all that was read is acknowledged", || world.site.behind() == 0);
    // What was read before is delivered; the rest was destroyed, and the alarm has its length.
    let read = world.destination.stored() - world.truth.len();
    assert!(0 < read && read < unread.len(), "{read}");
    let lost: usize = unread[read..].iter().map(|line| line.len() + 1).sum();
    let alarm = world.agent.alarms().into_iter().find(|alarm| text(alarm).contains("truncated")).unwrap();
    assert_eq!((alarm["level"].as_str(), alarm["unread_bytes"].as_u64()), (Some("ERROR"), Some(lost as u64)));
    world.truth.extend_from_slice(&unread[..read]);
    check(&world.destination, &world.truth);
}

fn text(alarm: &serde_json::Value) -> &str {
    alarm["message"].as_str().unwrap_or_default()
}

macro_rules! with_and_without_notifications {
    ($($name:ident: $test:path;)*) => { $(
        mod $name {
            #[test]
            fn with_notifications() {
                $test(true);
            }

            #[test]
            fn by_scans_alone() {
                $test(false);
            }
        }
    )* };
}

with_and_without_notifications! {
    rename: super::renamed_while_the_destination_is_away;
    delete: super::deleted_while_the_destination_is_away;
    truncate: super::truncated_in_place;
}
