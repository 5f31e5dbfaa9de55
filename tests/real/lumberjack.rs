//! A Go program that logs through lumberjack, with the agent killed again and again while it rotates and compresses.

use crate::{
    program::Program,
    rig::{Destination, Site, check, eventually, lines, millis, seconds},
    table::{Outcome, Table},
};
use std::{fs, io::Write as _, thread};

/// Some 200 bytes each, and lumberjack's files have a megabyte at least.
const LINES: usize = 100_000;

pub(crate) fn run(program: &Program, table: &mut Table) {
    table.case(program, "compression on, every megabyte, the agent killed 8 times", || case(program));
}

fn case(program: &Program) -> Outcome {
    let site = Site::new();
    let destination = Destination::new();
    let path = site.log("app.jsonl");
    let mut writer = program.writer(&[path.to_str().unwrap(), "1"]);
    let mut input = writer.stdin.take().unwrap();
    let truth = lines("j", LINES);
    let mut agent = site.start(&destination);
    for (nth, chunk) in truth.chunks(LINES / 80).enumerate() {
        let mut bytes = chunk.join(&b'\n');
        bytes.push(b'\n');
        input.write_all(&bytes).unwrap();
        thread::sleep(millis(40));
        if nth % 10 == 5 {
            agent.kill_9();
            agent = site.start(&destination);
        }
    }
    drop(input);
    assert!(writer.wait().unwrap().success());
    eventually(seconds(60), "everything arrives", || destination.stored() >= LINES);
    agent.end();
    let backups = fs::read_dir(site.log("")).unwrap().flatten();
    let compressed = backups.filter(|item| item.path().extension().is_some_and(|end| end == "gz")).count();
    assert!(compressed >= 15, "{compressed} compressed backups");
    let tally = check(&destination, &truth);
    assert!(tally.duplicates() > 0, "no kill came while something was under way");
    Outcome { lines: LINES, missing: tally.missing, ..Outcome::default() }
        .note(format!("{compressed} compressed backups, {} records sent again", tally.duplicates()))
}
