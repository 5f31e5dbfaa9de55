//! Which files there are, and which of them are the same.

use crate::{
    rig::{Seen, append, eventually, lines, seconds},
    world::World,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::{MetadataExt as _, symlink},
    path::Path,
};

/// A world without notifications: what is found is found by looking.
fn blind(name: &'static str) -> World {
    let mut world = World::new(name);
    world.site.agent = "notify = false\nscan_interval = \"100ms\"".into();
    world
}

/// The files' names at the destination, with the bodies that were stored for each.
fn by_name(world: &World) -> BTreeMap<String, Vec<Vec<u8>>> {
    let attempts = world.destination.attempts();
    let mut names: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for seen in attempts.iter().filter(|attempt| attempt.is_stored).flat_map(|attempt| &attempt.entries) {
        let name = |seen: &Seen| seen.meta("auditship_file").unwrap().to_owned();
        names.entry(name(seen)).or_default().push(seen.body().to_vec());
    }
    names
}

/// The names of the files in which these lines are.
fn names_of(world: &World, lines: &[Vec<u8>]) -> BTreeSet<String> {
    let by_name = by_name(world).into_iter();
    by_name.filter(|(_, bodies)| bodies.iter().any(|body| lines.contains(body))).map(|(name, _)| name).collect()
}

#[test]
fn everything_is_found_without_notifications() {
    let mut world = blind("watch blind");
    world.site.glob = "**/*.jsonl".into();
    let (before, after) = (world.site.log("a.jsonl"), world.site.log("b.jsonl"));
    world.write(&before, 10);
    world.start();
    world.arrives();
    world.write(&before, 10);
    world.write(&after, 10);
    world.arrives();
    // A folder, and one in it, that are made when the agent has long begun.
    fs::create_dir_all(world.site.log("late/later")).unwrap();
    world.write(&world.site.log("late/later/c.jsonl"), 10);
    world.arrives();
    fs::rename(&before, world.site.log("late/a.jsonl")).unwrap();
    world.write(&world.site.log("late/a.jsonl"), 10);
    world.write(&before, 10);
    world.finish_once();
}

#[test]
fn a_folder_that_is_made_after_the_start() {
    let mut world = World::new("watch late folder");
    world.site.glob = "*/*.jsonl".into();
    fs::create_dir(world.site.log("signposts")).unwrap();
    world.signpost = "signposts/{}.jsonl";
    world.start();
    world.settle();
    // Under its final name at once, with a file in it that is not written to again.
    fs::create_dir(world.site.path("new")).unwrap();
    world.write(&world.site.path("new/a.jsonl"), 20);
    fs::rename(world.site.path("new"), world.site.log("new")).unwrap();
    world.finish_once();
}

#[test]
fn the_folder_of_the_glob_is_made_after_the_start() {
    let mut world = World::new("watch late root");
    world.site.glob = "app/v1/*.jsonl".into();
    world.signpost = "app/v1/signpost-{}.jsonl";
    world.start();
    eventually(seconds(10), "it is up", || world.site.path("state/lock").exists());
    fs::create_dir_all(world.site.log("app/v1")).unwrap();
    world.write(&world.site.log("app/v1/a.jsonl"), 20);
    world.finish_once();
}

#[test]
fn a_file_with_two_names_is_read_once() {
    let mut world = World::new("watch hard links");
    let (one, two) = (world.site.log("a.jsonl"), world.site.log("b.jsonl"));
    world.write(&one, 20);
    fs::hard_link(&one, &two).unwrap();
    world.start();
    world.write(&two, 20);
    world.arrives();
    fs::remove_file(&one).unwrap();
    world.write(&two, 20);
    world.settle();
    fs::hard_link(&two, &one).unwrap();
    world.write(&one, 20);
    world.finish_once();
    let names = names_of(&world, &world.truth[..80]);
    assert_eq!(names.len(), 3, "one for the file, two for the signposts' first lines: {names:?}");
}

#[test]
fn a_file_in_two_globs_and_two_sources_is_read_once() {
    let mut world = World::new("watch two sources");
    world.site.glob = "*.jsonl a*".into();
    let all = world.site.log("*");
    world.site.source = format!("[sources.second]\ntype = \"file\"\ninclude = [{all:?}]");
    world.site.labels.push_str("\nsource = { meta = \"source\" }");
    let path = world.site.log("a.jsonl");
    let first = world.write(&path, 20);
    let second = world.write(&world.site.log("other.log"), 20);
    world.start();
    world.arrives();
    let more = world.write(&path, 20);
    world.finish_once();
    let attempts = world.destination.attempts();
    let sources_of = |lines: &[Vec<u8>]| -> BTreeSet<bool> {
        let with = attempts
            .iter()
            .filter(|attempt| attempt.entries.iter().any(|seen| lines.contains(&seen.body().to_vec())));
        with.map(|attempt| attempt.labels.contains("source=\"app\"")).collect()
    };
    assert_eq!(sources_of(&[first, more].concat()), BTreeSet::from([true]), "the first source owns it");
    assert_eq!(sources_of(&second), BTreeSet::from([false]), "the second has what the first does not name");
}

/// Deletes the file and makes files until one has its number again. `false`: this file system does not do that.
fn reuse(path: &Path) -> bool {
    let number = fs::metadata(path).unwrap().ino();
    fs::remove_file(path).unwrap();
    let mut others = Vec::new();
    let mut is_reused = false;
    for n in 0..500 {
        let other = path.with_extension(format!("{n}.tmp"));
        fs::write(&other, "").unwrap();
        if fs::metadata(&other).unwrap().ino() == number {
            fs::rename(other, path).unwrap();
            is_reused = true;
            break;
        }
        others.push(other);
    }
    others.into_iter().for_each(|other| fs::remove_file(other).unwrap());
    is_reused
}

#[test]
fn an_inode_that_is_used_again_is_another_file() {
    let mut world = World::new("watch inode");
    let path = world.site.log("a.jsonl");
    for round in 0..4 {
        world.write(&path, 100);
        world.start();
        world.arrives();
        world.stop();
        if !reuse(&path) {
            return println!("watch inode: SKIPPED, this file system does not use inode numbers again at once");
        }
        // Shorter, as long, and longer than what was known of the one before.
        world.write(&path, 50 + 50 * round);
        world.start();
        world.arrives();
        world.stop();
        fs::remove_file(&path).unwrap();
    }
    world.start();
    world.finish_once();
}

#[test]
fn an_inode_that_is_used_again_while_the_agent_runs() {
    let mut world = blind("watch inode running");
    let path = world.site.log("a.jsonl");
    world.start();
    for round in 0..5 {
        world.write(&path, 50);
        world.arrives();
        // Whether the number is used again depends on whether the agent still has the file open: both must work.
        let is_reused = reuse(&path);
        println!("watch inode running: round {round}, used again: {is_reused}");
        world.write(&path, 40 + 10 * round);
        world.arrives();
        fs::remove_file(&path).unwrap();
    }
    world.finish_once();
}

#[test]
fn equal_files_are_two_files() {
    let mut world = World::new("watch equal");
    let equal = lines("equal", 30);
    let names = ["a.jsonl", "b.jsonl", "c.jsonl"];
    for name in &names[..2] {
        append(&world.site.log(name), &equal);
    }
    world.start();
    eventually(seconds(20), "both arrive", || world.destination.stored() == 60);
    // Also when one of them is known.
    append(&world.site.log(names[2]), &equal);
    eventually(seconds(20), "the third arrives", || world.destination.stored() == 90);
    world.stop();
    let by_name = by_name(&world);
    assert_eq!(by_name.len(), 3);
    for (name, mut bodies) in by_name {
        // Each stream has its own requests.
        bodies.sort_by_key(|body| equal.iter().position(|line| line == body));
        assert!(bodies == equal, "{name} has {} lines", bodies.len());
    }
    println!("watch equal: 3 files of 30 equal lines, 0 missing");
}

#[test]
fn files_of_two_bytes() {
    let mut world = World::new("watch tiny");
    for letter in 'a'..='z' {
        let line = vec![vec![letter as u8]];
        append(&world.site.log(&format!("{letter}.jsonl")), &line);
        world.truth.extend(line);
    }
    world.start();
    world.arrives();
    world.stop();
    // They grow, and are still the same.
    for letter in 'a'..='z' {
        let line = vec![vec![letter.to_ascii_uppercase() as u8]];
        append(&world.site.log(&format!("{letter}.jsonl")), &line);
        world.truth.extend(line);
    }
    world.start();
    world.arrives();
    assert_eq!(by_name(&world).len(), 26);
    world.finish_once();
}

fn moved_between_folders(is_running: bool) {
    let mut world = World::new("watch moved");
    world.site.glob = "{in,out}/*.jsonl".into();
    world.signpost = "in/signpost-{}.jsonl";
    ["in", "out"].iter().for_each(|folder| fs::create_dir(world.site.log(folder)).unwrap());
    let (from, to) = (world.site.log("in/a.jsonl"), world.site.log("out/a.jsonl"));
    let mut lines = world.write(&from, 50);
    world.start();
    world.arrives();
    if !is_running {
        world.stop();
        lines.extend(world.write(&from, 50));
    }
    fs::rename(&from, &to).unwrap();
    lines.extend(world.write(&to, 50));
    let next = world.write(&from, 50);
    if !is_running {
        world.start();
    }
    world.arrives();
    lines.extend(world.write(&to, 50));
    world.finish_once();
    let (moved, next) = (names_of(&world, &lines), names_of(&world, &next));
    assert!(moved.len() == 1 && next.len() == 1 && moved != next, "{moved:?} and {next:?}");
}

#[test]
fn moved_between_folders_under_a_running_agent() {
    moved_between_folders(true);
}

#[test]
fn moved_between_folders_while_the_agent_is_stopped() {
    moved_between_folders(false);
}

fn link_retargeted(is_running: bool) {
    let mut world = World::new("watch link");
    world.site.glob = "*.jsonl".into();
    fs::create_dir(world.site.path("targets")).unwrap();
    let link = world.site.log("current.jsonl");
    let retarget = |to: &Path| {
        let new = link.with_extension("new");
        symlink(to, &new).unwrap();
        fs::rename(new, &link).unwrap();
    };
    let targets = [0, 1, 2].map(|n| world.site.path(&format!("targets/{n}.log")));
    world.write(&targets[0], 50);
    retarget(&targets[0]);
    world.start();
    world.arrives();
    // What is written just before the link moves on must still be found.
    for pair in targets.windows(2) {
        world.write(&pair[0], 50);
        if is_running {
            world.seen(&pair[0]);
        } else {
            world.arrives();
            world.stop();
        }
        world.write(&pair[1], 50);
        retarget(&pair[1]);
        if !is_running {
            world.start();
        }
        world.arrives();
    }
    // And back.
    world.write(&targets[0], 50);
    retarget(&targets[0]);
    world.finish_once();
}

#[test]
fn link_retargeted_under_a_running_agent() {
    link_retargeted(true);
}

#[test]
fn link_retargeted_while_the_agent_is_stopped() {
    link_retargeted(false);
}
