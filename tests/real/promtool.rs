//! Prometheus's own check of what we expose, and of the alerts that `docs/metrics.md` gives.

use crate::{
    program::Program,
    rig::{ask, lines, machine::Machine, seconds},
    table::{Outcome, Table},
};
use std::{fs, io::Write as _, path::Path};

pub(crate) fn run(program: &Program, table: &mut Table) {
    table.case(program, "check metrics, of a running agent (lines: metrics)", || metrics(program));
    table.case(program, "check rules, of docs/metrics.md", || rules(program));
}

fn metrics(program: &Program) -> Outcome {
    // It need not answer: there are more metrics when something is wrong.
    let machine = Machine::new(crate::rig::machine::all("http://127.0.0.1:9"));
    machine.append("app.jsonl", &lines("p", 100));
    let agent = machine.start();
    std::thread::sleep(seconds(2));
    let (status, text) = ask(agent.address, "GET", "/metrics", &[], b"").unwrap();
    assert_eq!(status, 200);
    let count = text.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"# TYPE")).count();
    checked(program, &["check", "metrics"], &text);
    Outcome { lines: count, ..Outcome::default() }
}

fn rules(program: &Program) -> Outcome {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md")).unwrap();
    let (_, rest) = page.split_once("```yaml\n").expect("rules");
    let (rules, _) = rest.split_once("```").expect("their end");
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(rules.as_bytes()).unwrap();
    checked(program, &["check", "rules", file.path().to_str().unwrap()], b"");
    Outcome { lines: rules.lines().count(), ..Outcome::default() }
}

fn checked(program: &Program, args: &[&str], input: &[u8]) {
    let mut child = program.writer(args);
    child.stdin.take().unwrap().write_all(input).unwrap();
    let done = child.wait_with_output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&said));
}
