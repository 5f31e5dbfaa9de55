//! A file is rotated by renaming while the destination is away or slow, and old files are deleted before they were
//! delivered: what the agent has looked at once, it keeps.

use crate::{
    rig::{Action, Meeting, eventually, is_long, millis, seconds},
    world::{World, shift, with_suffix},
};
use std::{
    collections::VecDeque,
    fs,
    path::{Path, PathBuf},
};

const LIMIT: u64 = 32 << 20;
/// Rotated files that are not deleted.
const KEEP: usize = 5;

fn sizes() -> (usize, usize) {
    if is_long() { (50, 10_000) } else { (12, 1000) }
}

fn world(name: &'static str) -> World {
    let mut world = World::new(name);
    world.site.agent.push_str("\nmemory_limit = \"32MiB\"");
    // Most of what is written is beyond it, and not even read when its file is deleted.
    world.site.output.push_str("\nwindow = \"1MiB\"");
    world
}

/// A field of the output in `status --json`.
fn of_output(world: &World, field: &str) -> u64 {
    let status = world.site.status();
    status["outputs"][0][field].as_u64().unwrap_or_else(|| panic!("no {field} in {status}"))
}

/// The rows of the files say the same as their output.
fn rows_add_up(world: &World) {
    let status = world.site.status();
    let output = &status["outputs"][0];
    let rows = output["files"].as_array().unwrap();
    let fields = ["file", "path", "size", "acknowledged", "behind_bytes", "deleted_bytes", "records"];
    for field in fields.into_iter().chain(["oldest_unacknowledged_seconds"]) {
        assert!(rows.iter().all(|row| row.get(field).is_some()), "a row without {field}: {output:#}");
    }
    for field in ["behind_bytes", "deleted_bytes"] {
        let sum: u64 = rows.iter().map(|row| row[field].as_u64().unwrap()).sum();
        assert_eq!(Some(sum), output[field].as_u64(), "{field}: {output:#}");
    }
}

fn bytes(lines: &[Vec<u8>]) -> u64 {
    lines.iter().map(|line| line.len() as u64 + 1).sum()
}

/// Writes and renames, as the recipe has it: `a.jsonl` becomes `a.jsonl.7`; of these the oldest are deleted.
/// Returns the bytes that were deleted.
fn rotate_and_delete(world: &mut World) -> u64 {
    let (rounds, count) = sizes();
    let path = world.site.log("a.jsonl");
    let (mut kept, mut deleted): (VecDeque<PathBuf>, u64) = (VecDeque::new(), 0);
    for round in 1..=rounds {
        world.write(&path, count);
        // A file that nobody has looked at cannot be kept.
        world.seen(&path);
        let old = with_suffix(&path, &format!(".{round}"));
        fs::rename(&path, &old).unwrap();
        kept.push_back(old);
        while kept.len() > KEEP {
            let oldest = kept.pop_front().unwrap();
            deleted += oldest.metadata().unwrap().len();
            fs::remove_file(oldest).unwrap();
        }
    }
    world.write(&path, count);
    world.seen(&path);
    deleted
}

fn ends(mut world: World) {
    world.arrives();
    eventually(seconds(20), "nothing is left of the deleted files", || of_output(&world, "deleted_bytes") == 0);
    let [_, high, mapped] = world.agent().memory();
    assert!(high < LIMIT + mapped, "{high} bytes of memory, {mapped} of them mapped");
    world.finish_once();
}

#[test]
fn renamed_and_deleted_while_the_destination_is_down() {
    let mut world = world("t1 down");
    world.down();
    world.start();
    let deleted = rotate_and_delete(&mut world);
    eventually(seconds(20), "status says what only deleted files hold", || {
        of_output(&world, "deleted_bytes") == deleted
    });
    assert_eq!(of_output(&world, "behind_bytes"), bytes(&world.truth));
    rows_add_up(&world);
    world.up();
    ends(world);
}

#[test]
fn renamed_and_deleted_while_the_destination_is_slow() {
    let mut world = world("t1 slow");
    world.site.output.push_str("\nconcurrency = 1");
    world.site.output = world.site.output.replace("max_wait", "max_bytes = \"1MiB\", max_wait");
    world.destination.script(|_| Action { before: millis(50), after: millis(0), meeting: Meeting::Pass });
    world.start();
    rotate_and_delete(&mut world);
    assert!(world.destination.stored() < world.truth.len(), "the destination was not slow");
    world.up();
    ends(world);
}

/// What was read and not acknowledged is neither lost nor forgotten in the account.
#[test]
fn stopped_while_the_destination_is_down() {
    let mut world = world("t1 stopped");
    world.site.agent.push_str("\nshutdown_timeout = \"500ms\"");
    world.down();
    let path = world.site.log("a.jsonl");
    world.write(&path, 1000);
    world.start();
    eventually(seconds(20), "it tries", || !world.destination.attempts().is_empty());
    let agent = world.stop();
    assert!(agent.ended("pending") > 0 && agent.ended("acknowledged") == 0, "{:#?}", agent.lines());
    // And with some of it acknowledged.
    world.up();
    world.start();
    world.arrives();
    world.down();
    world.write(&path, 1000);
    let tried = world.destination.attempts().len();
    eventually(seconds(20), "it tries", || world.destination.attempts().len() > tried);
    let agent = world.stop();
    assert!(agent.ended("pending") > 0 && agent.ended("acknowledged") == 1000, "{:#?}", agent.lines());
    world.up();
    world.start();
    world.finish_once();
}

/// Ten rotations with numbers that move up, as logrotate does it; all but the newest two are deleted. Returns the
/// bytes that only the agent can still have.
fn ten_rotations(world: &mut World) -> u64 {
    let path = world.site.log("a.jsonl");
    let mut sizes: Vec<u64> = Vec::new();
    for _ in 0..10 {
        sizes.push(bytes(&world.write(&path, sizes_of_ten())));
        world.seen(&path);
        shift(&path, 2);
        fs::rename(&path, with_suffix(&path, ".1")).unwrap();
    }
    world.write(&path, 100);
    world.seen(&path);
    assert!(!with_suffix(&path, ".3").exists() && with_suffix(&path, ".2").exists());
    sizes[..8].iter().sum()
}

fn sizes_of_ten() -> usize {
    if is_long() { 20_000 } else { 1500 }
}

#[test]
fn ten_rotations_with_the_destination_down() {
    let mut world = world("t1 ten");
    world.down();
    world.start();
    let deleted = ten_rotations(&mut world);
    eventually(seconds(20), "status says what only deleted files hold", || {
        of_output(&world, "deleted_bytes") == deleted
    });
    world.up();
    ends(world);
}

/// The bytes in the spool; none while something is half written.
fn spooled(folder: &Path) -> Option<u64> {
    let Ok(items) = fs::read_dir(folder) else { return Some(0) };
    let items = items.flatten();
    let files: Vec<_> = items.filter(|item| item.file_type().is_ok_and(|kind| kind.is_file())).collect();
    let is_whole = files.iter().all(|item| !item.file_name().to_string_lossy().ends_with(".tmp"));
    is_whole.then(|| files.iter().filter_map(|item| Some(item.metadata().ok()?.len())).sum())
}

#[test]
fn ten_rotations_and_a_kill_with_the_destination_down() {
    let mut world = world("t1 ten and a kill");
    world.down();
    world.start();
    let deleted = ten_rotations(&mut world);
    let spool = world.site.path("state/spool");
    eventually(seconds(20), "the deleted files are saved", || spooled(&spool).is_some_and(|size| size >= deleted));
    eventually(seconds(20), "the state has all of it", || of_output(&world, "deleted_bytes") == deleted);
    world.kill();
    // While nobody runs, the spool and the newest two are all there is.
    assert_eq!(of_output(&world, "deleted_bytes"), deleted);
    world.start();
    world.up();
    ends(world);
}

#[test]
fn the_spool_is_emptied_when_its_bytes_are_delivered() {
    let mut world = world("t1 spool emptied");
    world.down();
    world.start();
    ten_rotations(&mut world);
    let spool = world.site.path("state/spool");
    eventually(seconds(20), "something is saved", || spooled(&spool).is_some_and(|size| size > 0));
    world.up();
    world.arrives();
    eventually(seconds(20), "the spool is empty", || spooled(&spool) == Some(0));
    world.finish_once();
}

#[test]
fn a_full_spool_is_one_alarm_with_the_bytes_at_risk() {
    let mut world = world("t1 spool full");
    world.site.agent.push_str("\nspool = { max_bytes = \"1MiB\" }");
    world.down();
    world.start();
    let path = world.site.log("a.jsonl");
    let size = bytes(&world.write(&path, 12_000));
    world.seen(&path);
    fs::remove_file(&path).unwrap();
    let at_risk = |world: &World| -> Vec<u64> {
        world.agent().errors().iter().filter_map(|line| line["at_risk_bytes"].as_u64()).collect()
    };
    eventually(seconds(20), "the alarm", || !at_risk(&world).is_empty());
    let risk = at_risk(&world)[0];
    // At most max_bytes of it are safe, and no more is claimed to be.
    assert!((size - (1 << 20)..=size).contains(&risk), "{risk} of {size} bytes are said to be at risk");
    let spooled = spooled(&world.site.path("state/spool")).unwrap_or(0);
    assert!(spooled <= 1 << 20, "{spooled} bytes in a spool of 1 MiB");
    // Nothing is lost as long as the agent lives.
    world.up();
    world.arrives();
    world.settle();
    assert_eq!(at_risk(&world).len(), 1, "{:#?}", world.agent().errors());
    world.finish(false);
}
