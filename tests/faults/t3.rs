//! copytruncate: the content moves to a copy, and the file begins anew. What is in one of the two arrives once.

use crate::{
    rig::is_long,
    world::{World, shift, with_suffix},
};
use serde_json::json;
use std::{
    fs::{self, File, OpenOptions},
    io::{Seek as _, Write as _},
    path::PathBuf,
};

/// Whether the glob names the copies too.
const GLOBS: [&str; 2] = ["*.jsonl", "*.jsonl*"];
const KEEP: usize = 100;

/// A program that has a file open for good, and the tool that copies and truncates it.
struct Rotated {
    path: PathBuf,
    file: File,
    /// What the file has held, one content after the other: where its first line begins, and its lines.
    contents: Vec<(u64, Vec<Vec<u8>>)>,
}

impl Rotated {
    /// `is_appending`: the program opens the file with O_APPEND, so that it goes on at the new end after a
    /// truncation, and not where it was.
    fn new(world: &World, is_appending: bool) -> Rotated {
        let path = world.site.log("a.jsonl");
        let mut options = OpenOptions::new();
        options.create(true);
        let file = if is_appending { options.append(true) } else { options.write(true) }.open(&path).unwrap();
        Rotated { path, file, contents: vec![(0, Vec::new())] }
    }

    fn write(&mut self, world: &mut World, count: usize) {
        let lines = world.lines(count);
        let mut bytes = lines.join(&b'\n');
        bytes.push(b'\n');
        self.file.write_all(&bytes).unwrap();
        let (start, content) = self.contents.last_mut().unwrap();
        if content.is_empty() {
            // Behind a hole where the program does not append.
            *start = self.file.stream_position().unwrap() - bytes.len() as u64;
        }
        content.extend(lines);
    }

    fn copy(&self) {
        shift(&self.path, KEEP);
        fs::copy(&self.path, with_suffix(&self.path, ".1")).unwrap();
    }

    fn truncate(&mut self) {
        OpenOptions::new().write(true).truncate(true).open(&self.path).unwrap();
        self.contents.push((0, Vec::new()));
    }

    fn rotate(&mut self) {
        // The program pauses here: what it would write between the two is its loss, and is counted elsewhere.
        self.copy();
        self.truncate();
    }
}

/// Everything arrived once, and each content as one file, whichever of its copies it was read from.
#[track_caller]
fn ends(mut world: World, program: &Rotated, is_quiet: bool) {
    let tally = world.finish(is_quiet);
    assert_eq!(tally.duplicates(), 0, "{tally:?}");
    for (start, lines) in program.contents.iter().filter(|(_, lines)| !lines.is_empty()) {
        world.is_one_file(lines, *start);
    }
}

fn world(name: &'static str, glob: usize) -> World {
    let mut world = World::new(name);
    world.site.glob = GLOBS[glob].into();
    world
}

fn sizes() -> (usize, usize) {
    if is_long() { (50, 10_000) } else { (8, 1500) }
}

/// (a) The program appends. The destination is away for half of the rotations, so that truncations meet unread and
/// unacknowledged bytes.
fn appending(glob: usize) {
    let mut world = world("t3 (a) O_APPEND", glob);
    world.site.output.push_str("\nwindow = \"1MiB\"");
    let mut program = Rotated::new(&world, true);
    world.start();
    let (rounds, count) = sizes();
    for round in 0..rounds {
        if round % 4 == 1 {
            world.down();
        } else if round % 4 == 3 {
            world.up();
        }
        program.write(&mut world, count);
        if round % 2 == 0 {
            world.seen(&program.path);
        }
        program.rotate();
    }
    world.up();
    program.write(&mut world, count);
    ends(world, &program, true);
}

/// (b) The program does not append: after each truncation it goes on where it was, behind a hole.
fn with_a_hole(glob: usize) {
    let mut world = world("t3 (b) hole", glob);
    let mut program = Rotated::new(&world, false);
    program.write(&mut world, 400);
    world.start();
    let (rounds, count) = sizes();
    for _ in 0..rounds {
        program.rotate();
        let bytes = program.file.stream_position().unwrap();
        program.write(&mut world, count);
        // One record says what is not there; the line after it stands alone, or it would be a foreign one.
        let gap = format!("{{\"auditship\":\"gap\",\"offset\":0,\"bytes\":{bytes}}}");
        world.truth.push(gap.into_bytes());
        world.arrives();
    }
    world.settle();
    let attempts = world.destination.attempts();
    let gaps: Vec<_> = attempts
        .iter()
        .flat_map(|attempt| &attempt.entries)
        .filter(|seen| seen.meta("auditship_mark").is_some_and(|mark| mark.contains("gap")))
        .map(|seen| serde_json::from_slice::<serde_json::Value>(&seen.line).unwrap())
        .collect();
    drop(attempts);
    assert_eq!(gaps.len(), rounds, "one record for each hole: {gaps:?}");
    assert!(gaps.iter().all(|gap| gap["auditship"] == json!("gap") && gap["offset"] == json!(0)), "{gaps:?}");
    ends(world, &program, true);
}

/// (c) Longer than before when the agent looks again: only the content tells.
fn regrown(glob: usize) {
    let mut world = world("t3 (c) regrown", glob);
    // The agent looks only now and then, and nothing wakes it.
    world.site.agent = "notify = false\nscan_interval = \"300ms\"".into();
    let mut program = Rotated::new(&world, true);
    program.write(&mut world, 100);
    world.start();
    for round in 0..6 {
        world.arrives();
        // Unread when it is copied.
        program.write(&mut world, 20);
        program.rotate();
        // In one write, so that no moment shows a file that is shorter than it was.
        program.write(&mut world, 200 + 100 * round);
    }
    ends(world, &program, true);
}

/// (d) The agent is stopped meanwhile.
fn stopped(glob: usize) {
    let mut world = world("t3 (d) stopped", glob);
    let mut program = Rotated::new(&world, true);
    program.write(&mut world, 300);
    world.start();
    world.arrives();
    // In the middle of the file, with more behind it.
    world.stop();
    program.write(&mut world, 200);
    program.rotate();
    program.write(&mut world, 100);
    world.start();
    world.arrives();
    world.stop();
    // Twice, regrown beyond the old length, and once more without anything behind it.
    program.write(&mut world, 10);
    program.rotate();
    program.write(&mut world, 700);
    program.rotate();
    program.write(&mut world, 900);
    world.start();
    world.arrives();
    world.stop();
    program.rotate();
    world.start();
    ends(world, &program, true);
}

/// The program does not pause between the copy and the truncation. What it writes then may be missing, though the
/// agent may have read it; nothing else is.
fn never_pausing(glob: usize) {
    let mut world = world("t3 writer's loss", glob);
    let mut program = Rotated::new(&world, true);
    world.start();
    for round in 0..sizes().0 {
        program.write(&mut world, 200);
        match round % 3 {
            0 => world.arrives(),
            1 => world.seen(&program.path),
            _ => {}
        }
        program.copy();
        let before = world.truth.len();
        program.write(&mut world, 10);
        let between = world.truth[before..].to_vec();
        world.lost.extend(between);
        program.truncate();
        program.write(&mut world, 50);
    }
    ends(world, &program, false);
}

/// A copy is no truncation: as long as the file lives on, it is the same content.
fn copied_only(glob: usize) {
    let mut world = world("t3 copy without truncation", glob);
    let mut program = Rotated::new(&world, true);
    program.write(&mut world, 300);
    world.start();
    world.arrives();
    for _ in 0..3 {
        program.copy();
        program.write(&mut world, 100);
        world.settle();
    }
    ends(world, &program, true);
}

/// A large file takes its time to be copied: the agent looks while the copy is half there, and while it is whole and
/// the file not yet truncated. `is_down`: it is still behind, and needs the copy.
fn copied_slowly(glob: usize) {
    for is_down in [false, true] {
        let mut world = world("t3 slow copy", glob);
        world.site.output.push_str("\nwindow = \"1MiB\"");
        let mut program = Rotated::new(&world, true);
        program.write(&mut world, 500);
        world.start();
        world.arrives();
        if is_down {
            world.down();
            // More than it can read before the destination takes it.
            program.write(&mut world, 12_000);
        }
        let look = |world: &mut World| if is_down { world.settle_later() } else { world.settle() };
        let bytes = fs::read(&program.path).unwrap();
        let mut copy = File::create(with_suffix(&program.path, ".1")).unwrap();
        // Not at the end of a line.
        for piece in bytes.chunks(bytes.len() / 3 + 11) {
            copy.write_all(piece).unwrap();
            look(&mut world);
        }
        program.truncate();
        look(&mut world);
        program.write(&mut world, 100);
        look(&mut world);
        world.up();
        ends(world, &program, true);
    }
}

macro_rules! with_both_globs {
    ($($name:ident)*) => { $(
        mod $name {
            #[test]
            fn with_the_file_in_the_glob() {
                super::$name(0);
            }

            #[test]
            fn with_the_copies_in_the_glob() {
                super::$name(1);
            }
        }
    )* };
}

with_both_globs! { appending with_a_hole regrown stopped never_pausing copied_only copied_slowly }
