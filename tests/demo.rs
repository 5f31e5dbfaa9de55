//! `auditship demo` as a user runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

fn demo(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_auditship"));
    command.arg("demo").args(args).env("TMPDIR", folder);
    command
}

/// The numbers behind `what` in a table.
fn numbers(text: &str, what: &str) -> Vec<u64> {
    let row = text.lines().find_map(|line| line.trim().strip_prefix(what));
    let row = row.unwrap_or_else(|| panic!("no {what:?} in:\n{text}"));
    row.split_whitespace().map_while(|cell| cell.replace(',', "").parse().ok()).collect()
}

/// The number behind `what` in a table.
fn number(text: &str, what: &str) -> u64 {
    numbers(text, what)[0]
}

const DESTINATIONS: [&str; 4] = ["Loki", "Elasticsearch", "Splunk HEC", "Datadog"];

fn left_in(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn every_line_arrives_once_and_nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    // Somebody else's settings must not matter.
    let output = demo(folder.path(), &["--lines", "3000", "--seconds", "4"])
        .env("AUDITSHIP__OUTPUTS__LOKI__URL", "http://127.0.0.1:1")
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    for (what, expect) in [("lines written", 3000), ("files", 5), ("kills", 1)] {
        assert_eq!(number(&text, what), expect, "{what}\n{text}");
    }
    for what in DESTINATIONS {
        let [right @ .., again] = &numbers(&text, what)[..] else { panic!("{text}") };
        // Lines, and nothing missing, altered, foreign, stored twice, and no gaps.
        assert_eq!(right, [3000, 0, 0, 0, 0, 0], "{what}\n{text}");
        // The kill came between storing and answering, so these are sent again, and must be the same.
        assert!(*again > 0, "{what}\n{text}");
    }
    assert!(number(&text, "streams") <= 201, "{text}");
    assert!(text.contains("Every line once, byte for byte."), "{text}");
    assert_eq!(left_in(folder.path()), [""; 0]);
}

#[test]
fn what_is_interrupted_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = demo(folder.path(), &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // The first phase is announced when agent and writer run.
    let mut phases = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    phases.read_line(&mut line).unwrap();
    assert!(line.contains("the agent runs"), "{line}");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert_eq!(left_in(folder.path()), [""; 0]);
    // The agent inherits no descriptor of ours, but its command line names the folder.
    #[cfg(target_os = "linux")]
    for process in fs::read_dir("/proc").unwrap() {
        let arguments = fs::read(process.unwrap().path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments);
        assert!(!arguments.contains(folder.path().to_str().unwrap()), "still running: {arguments}");
    }
}

#[test]
fn the_folder_is_kept_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["--lines", "1000", "--seconds", "2", "--keep"];
    let output = demo(folder.path(), &args).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let kept = left_in(folder.path());
    assert_eq!(kept.len(), 1, "{kept:?}");
    let path = folder.path().join(&kept[0]);
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    let mode = fs::metadata(path.join("splunk-token")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    for name in ["demo.toml", "agent.log", "state", "app-audit.jsonl", "app-audit-4.jsonl"] {
        assert!(path.join(name).exists(), "{name}");
    }
}
