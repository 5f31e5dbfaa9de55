//! The suites that have real writers of their own: they put down what they found, and the table takes it up.

use crate::{
    rig::{Report, find},
    table::{Limit, Outcome, Row, Table, Verdict, begin},
};
use std::{
    fs,
    process::{Command, Stdio},
    time::Duration,
};

/// A program whose cases begin with its name.
struct Writer {
    key: &'static str,
    name: &'static str,
    /// Prints its version.
    version: &'static [&'static str],
    /// The arguments of `cargo test` for its cases.
    suite: &'static [&'static str],
}

const WRITERS: &[Writer] = &[
    Writer {
        key: "docker",
        name: "Docker",
        version: &["dockerd", "--version"],
        suite: &["--test", "containers", "docker"],
    },
    Writer {
        key: "conmon",
        name: "conmon",
        version: &["conmon", "--version"],
        suite: &["--test", "containers", "conmon"],
    },
    Writer {
        key: "logrotate",
        name: "logrotate",
        version: &["logrotate", "--version"],
        suite: &["--test", "faults", "logrotate"],
    },
];

/// Cases in which the runtime destroys what was not read.
const DESTROYS: &[(&str, &str)] = &[
    (
        "docker max-file=1",
        "a rotation with `max-file=1` deletes what was not read: a line that no running agent had opened, or that is cut in \
         the moment of a kill, can be lost, at most three in a thousand here. Use `max-file=3` or more",
    ),
    (
        "conmon max-size",
        "a rotation of conmon renames over what was not read: a line that no running agent had opened, or that is cut in the \
         moment of a kill, can be lost, at most three in a thousand here. The kubelet rotates by itself and does not do this",
    ),
];

/// Reports that are there already are taken: `AUDITSHIP_REPORTS` names the file that `cargo test` wrote them to.
pub(crate) fn run(table: &mut Table) {
    let own = tempfile::NamedTempFile::new().unwrap();
    let there = Report::file().filter(|path| fs::metadata(path).is_ok_and(|file| file.len() > 0));
    let path = there.clone().unwrap_or_else(|| own.path().to_path_buf());
    if there.is_none() {
        for writer in WRITERS {
            if table.wants(writer.name, "") {
                cargo_test(table, writer.suite, &path);
            }
        }
    }
    let text = fs::read_to_string(path).unwrap();
    let mut reports: Vec<Report> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    reports.sort_by(|one, other| one.name.cmp(&other.name));
    for Writer { key, name, version: command, .. } in WRITERS {
        let version = version(command);
        let is_there = |report: &Report| report.name.split(' ').next() == Some(key);
        if table.wants(name, "") && !reports.iter().any(is_there) {
            table.fail(name, "its suite has reported nothing".into());
        }
        for report in reports.iter().filter(|report| is_there(report)) {
            let case = match report.name.strip_prefix(key).unwrap_or_default().trim() {
                "" => "plain".to_owned(),
                case => case.to_owned(),
            };
            if table.wants(name, &case) {
                begin(name, &case);
                table.add(row(name, &version, case, report));
            }
        }
    }
}

fn row(program: &str, version: &str, case: String, report: &Report) -> Row {
    let limit = DESTROYS.iter().find(|(name, _)| *name == report.name);
    let limit = limit.map(|(_, reason)| Limit { altered: true, ..Limit::missing(reason) });
    let Report { lines, missing, duplicates, altered, .. } = *report;
    let verdict = match &report.skipped {
        Some(why) => Verdict::Skipped(why.clone()),
        None => Verdict::of(Outcome { lines, missing, duplicates, altered, limit, ..Outcome::default() }),
    };
    let took = Duration::from_secs_f64(report.seconds);
    Row { program: program.into(), version: version.into(), case, verdict, took }
}

fn cargo_test(table: &mut Table, suite: &[&str], reports: &std::path::Path) {
    let name = suite.join(" ");
    println!("cargo test {name}");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let done = Command::new(cargo)
        .args(["test", "--quiet", "--locked"])
        .args(suite)
        .env("AUDITSHIP_REPORTS", reports)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stdout);
        table.fail(&format!("cargo test {name}"), said.chars().take(4000).collect());
    }
}

/// The first word of its first line that begins with a number.
fn version(command: &[&str]) -> String {
    let program = find(command[0]);
    let Some(done) = program.and_then(|program| Command::new(program).args(&command[1..]).output().ok()) else {
        return "-".into();
    };
    let said = [done.stdout, done.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let word = said.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    word.unwrap_or("-").trim_end_matches(',').to_owned()
}
