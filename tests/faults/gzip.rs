//! The agent is stopped inside a file that is compressed before it comes back: it goes on where it was.

use crate::{
    rig::{check_but, eventually, seconds},
    world::{Kind, World, shift, with_suffix},
};
use flate2::read::MultiGzDecoder;
use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
};

/// Lines before the stop, and between it and the compression.
const INSIDE: [usize; 2] = [800, 700];

/// A world whose agent was stopped in the middle of `a.jsonl`. What was acknowledged by then is the first half.
fn stopped_inside(name: &'static str) -> (World, PathBuf, usize) {
    let mut world = World::new(name);
    let path = world.site.log("a.jsonl");
    world.write(&path, INSIDE[0]);
    world.start();
    world.arrives();
    world.stop();
    let acknowledged = world.destination.stored();
    world.write(&path, INSIDE[1]);
    (world, path, acknowledged)
}

/// All of it is there, and none of what was acknowledged before the stop was sent after it.
fn goes_on(mut world: World, acknowledged: usize) {
    world.finish_once();
    world.is_one_file(&world.truth[..INSIDE[0] + INSIDE[1]], 0);
    // The lives are numbered from 0.
    let known: std::collections::HashSet<&[u8]> = world.truth[..acknowledged].iter().map(Vec::as_slice).collect();
    let attempts = world.destination.attempts();
    let later = attempts.iter().filter(|attempt| attempt.life > 0).flat_map(|attempt| &attempt.entries);
    let again = later.filter(|seen| known.contains(&seen.body()[..])).count();
    println!("  {acknowledged} acknowledged before the stop, {again} of them sent again");
    assert_eq!(again, 0, "of {acknowledged} acknowledged lines");
}

fn stamped(path: &Path) -> PathBuf {
    path.with_file_name("a-2024-01-02T03-04-05.678.jsonl")
}

fn compressed_once(kind: Kind) {
    let (mut world, path, acknowledged) = stopped_inside("gzip once");
    let old = with_suffix(&path, ".1");
    fs::rename(&path, &old).unwrap();
    kind.replace(&old);
    world.write(&path, 100);
    world.start();
    goes_on(world, acknowledged);
}

#[test]
fn compressed_with_gzip() {
    compressed_once(Kind::Gzip);
}

#[test]
fn compressed_with_zstd() {
    compressed_once(Kind::Zstd);
}

fn rotated_twice_more(kind: Kind) {
    let (mut world, path, acknowledged) = stopped_inside("gzip and two more rotations");
    for _ in 0..3 {
        // The newest is compressed when it has become the second.
        let newest = with_suffix(&path, ".1");
        if newest.exists() {
            kind.replace(&newest);
        }
        shift(&path, 10);
        fs::rename(&path, newest).unwrap();
        world.write(&path, 150);
    }
    assert!(with_suffix(&path, &format!(".3{}", kind.extension())).exists());
    world.start();
    goes_on(world, acknowledged);
}

#[test]
fn rotated_twice_more_with_gzip() {
    rotated_twice_more(Kind::Gzip);
}

#[test]
fn rotated_twice_more_with_zstd() {
    rotated_twice_more(Kind::Zstd);
}

/// As lumberjack does it: the compressed form grows under its final name while its source is still there.
#[test]
fn written_slowly_to_its_final_name() {
    let (mut world, path, acknowledged) = stopped_inside("gzip lumberjack");
    let old = stamped(&path);
    fs::rename(&path, &old).unwrap();
    world.write(&path, 100);
    let bytes = Kind::Gzip.compress(&fs::read(&old).unwrap());
    let mut slow = File::create(with_suffix(&old, ".gz")).unwrap();
    slow.write_all(&bytes[..10]).unwrap();
    world.start();
    for piece in bytes[10..].chunks(bytes.len() / 4) {
        slow.write_all(piece).unwrap();
        // The agent looks at each stage of it, and once more when it is stopped in between.
        world.settle();
        world.stop();
        world.start();
    }
    fs::remove_file(&old).unwrap();
    goes_on(world, acknowledged);
}

/// The source goes the moment that its compressed form is whole, while the agent is inside the source.
#[test]
fn compressed_under_a_running_agent() {
    for kind in [Kind::Gzip, Kind::Zstd] {
        let mut world = World::new("gzip running");
        let path = world.site.log("a.jsonl");
        world.write(&path, 300);
        world.start();
        world.arrives();
        world.down();
        world.write(&path, 300);
        world.seen(&path);
        let old = with_suffix(&path, ".1");
        fs::rename(&path, &old).unwrap();
        kind.replace(&old);
        world.write(&path, 100);
        world.settle_later();
        world.up();
        world.finish_once();
    }
}

/// A compression that was cut off while the source is still there: the source is what counts.
#[test]
fn half_compressed_beside_its_source() {
    let (mut world, path, acknowledged) = stopped_inside("gzip half beside its source");
    let old = with_suffix(&path, ".1");
    fs::rename(&path, &old).unwrap();
    world.write(&path, 100);
    let bytes = Kind::Gzip.compress(&fs::read(&old).unwrap());
    fs::write(with_suffix(&old, ".gz"), &bytes[..bytes.len() / 2]).unwrap();
    world.start();
    world.arrives();
    world.settle();
    // It is done again, over the first attempt.
    Kind::Gzip.replace(&old);
    goes_on(world, acknowledged);
}

/// A file that was never seen before it was compressed, and one that was seen as a whole.
#[test]
fn compressed_before_and_after_it_was_seen() {
    let mut world = World::new("gzip unseen and seen");
    let path = world.site.log("a.jsonl");
    for n in [3, 2] {
        let old = with_suffix(&path, &format!(".{n}"));
        world.write(&old, 200);
        Kind::Gzip.replace(&old);
    }
    world.write(&path, 200);
    world.start();
    world.arrives();
    world.stop();
    let old = with_suffix(&path, ".1");
    fs::rename(&path, &old).unwrap();
    Kind::Zstd.replace(&old);
    world.write(&path, 50);
    world.start();
    world.finish_once();
}

/// Two members, as `cat a.gz b.gz` or a tool that appends makes them.
#[test]
fn two_members_are_one_file() {
    let (mut world, path, acknowledged) = stopped_inside("gzip two members");
    let bytes = fs::read(&path).unwrap();
    // Not between two lines.
    let (one, two) = bytes.split_at(bytes.len() / 3 + 7);
    fs::write(with_suffix(&path, ".1.gz"), [Kind::Gzip.compress(one), Kind::Gzip.compress(two)].concat()).unwrap();
    fs::remove_file(&path).unwrap();
    world.write(&path, 50);
    world.start();
    goes_on(world, acknowledged);
}

/// A compressed file that stays cut off: what can be decompressed arrives, and it is said.
#[test]
fn cut_off_for_ever() {
    let (mut world, path, _) = stopped_inside("gzip cut off");
    let bytes = fs::read(&path).unwrap();
    let compressed = Kind::Gzip.compress(&bytes);
    let cut = &compressed[..compressed.len() * 4 / 5];
    let gone = with_suffix(&path, ".1.gz");
    fs::write(&gone, cut).unwrap();
    // Nobody has touched it for long.
    let old = std::time::SystemTime::now() - seconds(600);
    File::options().append(true).open(&gone).unwrap().set_modified(old).unwrap();
    fs::remove_file(&path).unwrap();

    let mut whole = Vec::new();
    MultiGzDecoder::new(cut).read_to_end(&mut whole).unwrap_err();
    assert!(bytes.starts_with(&whole) && whole.len() > bytes.len() / 2);
    let count = whole.iter().filter(|byte| **byte == b'\n').count();
    assert!(count > INSIDE[0], "the part that is left has none of the unsent lines");
    let destroyed = world.truth.split_off(count);
    // The line that the cut goes through arrives as far as it is there, or not at all.
    let torn = whole[whole.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)..].to_vec();
    world.truth.push(torn.clone());
    world.lost.push(torn.clone());
    world.write(&path, 50);
    world.start();
    world.arrives();
    eventually(seconds(60), "it is said", || {
        let is_it = |line: &serde_json::Value| line.to_string().contains("a.jsonl.1.gz");
        world.agent().alarms().iter().any(is_it)
    });
    world.settle();
    world.stop();
    world.is_one_file(&world.truth[..count], 0);
    println!("gzip cut off: {count} of {} lines could be read", count + destroyed.len());
    let tally = check_but(&world.destination, &world.truth, &world.lost);
    world.print(&tally);
    assert_eq!(tally.duplicates(), 0, "{tally:?}");
    let attempts = world.destination.attempts();
    let found = attempts.iter().flat_map(|attempt| &attempt.entries).find(|seen| seen.line[..] == torn[..]);
    if let Some(seen) = found {
        assert!(seen.meta("auditship_mark").is_some_and(|mark| mark.contains("unterminated")), "{seen:?}");
    }
}

/// They are read in the order in which they were written, one at a time; the one that is open comes first.
#[test]
fn an_older_one_turns_up_while_a_newer_one_is_read() {
    let mut world = World::new("gzip older one");
    world.site.glob = "a.log signpost-*".into();
    world.signpost = "signpost-{}";
    world.site.output = "batch = { max_wait = \"50ms\" }\nwindow = \"2MiB\"".into();
    let live = world.site.log("a.log");
    world.down();
    world.write(&with_suffix(&live, ".1"), 20_000);
    let newer = Kind::Gzip.replace(&with_suffix(&live, ".1"));
    world.start();
    world.seen(&newer);
    // The reader is inside it, because the window is full.
    eventually(seconds(20), "an attempt", || !world.destination.attempts().is_empty());
    world.write(&live, 5);
    let copy = world.site.log("copied");
    world.write(&copy, 50);
    let packed = Kind::Gzip.replace(&copy);
    let yesterday = std::time::SystemTime::now() - seconds(86_400);
    File::options().write(true).open(&packed).unwrap().set_modified(yesterday).unwrap();
    let older = with_suffix(&live, ".2.gz");
    fs::rename(&packed, &older).unwrap();
    world.seen(&older);
    world.settle_later();
    world.up();
    world.arrives();
    world.finish_once();
}
