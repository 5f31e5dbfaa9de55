//! A configuration that is wrong: said at once and clearly, and nothing is touched.

use crate::rig::{Destination, Finished, Site, append, command, command_of, eventually, finish, lines, seconds};
use rustix::process::Signal;
use std::{
    collections::BTreeMap,
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
};

/// Every file below `folder`, with its bytes.
fn snapshot(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let items = fs::read_dir(folder).unwrap().map(|item| item.unwrap().path());
    items.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Exit code 2, and these words in one block on standard error.
#[track_caller]
fn refuses(done: &Finished, words: &[&str]) {
    assert_eq!((done.code, done.stdout.as_str()), (Some(2), ""), "{done:?}");
    for word in words {
        assert!(done.stderr.contains(word), "no {word:?} in\n{}", done.stderr);
    }
    assert!(done.stderr.lines().count() <= 2, "one error, one block:\n{}", done.stderr);
    println!("configuration: {}", done.stderr.replace('\n', " ⏎ "));
}

/// Where `part` stands in the configuration, as errors write it: `line:column`.
fn place(config: &str, part: &str) -> String {
    let at = config.find(part).unwrap();
    let line = config[..at].matches('\n').count() + 1;
    let column = at - config[..at].rfind('\n').map_or(0, |newline| newline + 1) + 1;
    format!("auditship.toml:{line}:{column}: ")
}

#[test]
fn each_mistake_is_one_clear_error_and_the_state_is_untouched() {
    let destination = Destination::new();
    let missing = "auth.bearer = { token_file = \"/nowhere/token\" }";
    // What is wrong in the output's section, where the error points, and what it says.
    let cases: [(&str, &str, &[&str]); 4] = [
        ("batch = { max_wiat = \"1s\" }", "max_wiat", &["outputs.loki.batch.max_wiat", "max_wait"]),
        ("concurrency = \"many\"", "\"many\"", &["outputs.loki.concurrency", "allowed"]),
        ("window = \"1 parsec\"", "\"1 parsec\"", &["outputs.loki.window", "allowed"]),
        (missing, "", &["outputs.loki.auth.bearer.token_file", "/nowhere/token", "No such file"]),
    ];
    for has_state in [false, true] {
        for (output, part, words) in cases {
            let mut site = Site::new();
            append(&site.log("app.jsonl"), &lines("a", 10));
            if has_state {
                assert_eq!(site.once(&destination, &[]).code, Some(0));
            }
            let state = site.path("state");
            let before = has_state.then(|| snapshot(&state));
            let pushes = destination.attempts().len();
            site.output = output.to_owned();
            let config = site.prepare(&destination);
            let done = finish(command().arg("run").arg("-c").arg(&config));
            refuses(&done, words);
            if !part.is_empty() {
                let place = place(&fs::read_to_string(&config).unwrap(), part);
                assert!(done.stderr.contains(&place), "not {place} in\n{}", done.stderr);
            }
            assert_eq!(destination.attempts().len(), pushes);
            assert_eq!(state.exists().then(|| snapshot(&state)), before);
            // `check` says the same.
            let checked = finish(command().arg("check").arg("-c").arg(&config));
            assert_eq!((checked.code, checked.stderr), (Some(2), done.stderr));
        }
    }
}

#[test]
fn a_misspelt_variable_is_an_error() {
    let destination = Destination::new();
    let site = Site::new();
    let config = site.prepare(&destination);
    let variable = "AUDITSHIP__OUTPUTS__LOKI__CONCURENCY";
    let done = finish(command().env(variable, "4").arg("run").arg("-c").arg(config));
    refuses(&done, &[variable, "AUDITSHIP__OUTPUTS__LOKI__CONCURRENCY"]);
    assert!(!site.path("state").exists());
}

#[test]
fn a_folder_that_cannot_be_read_is_an_error() {
    let destination = Destination::new();
    let site = Site::new();
    let config = site.prepare(&destination);
    // For root every folder can be read: then somebody else runs the agent, from where that one can reach it.
    let is_root = rustix::process::getuid().is_root();
    let binary = site.path("auditship");
    // Not by this process: a child that another test forks meanwhile would hold it open for writing, and what is
    // written to cannot be run.
    let copied = std::process::Command::new("cp").arg(env!("CARGO_BIN_EXE_auditship")).arg(&binary).status();
    assert!(copied.unwrap().success());
    fs::set_permissions(site.root(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(site.path("logs"), fs::Permissions::from_mode(if is_root { 0o700 } else { 0 })).unwrap();
    let mut command = command_of(&binary);
    command.arg("run").arg("-c").arg(config);
    if is_root {
        command.uid(65534).gid(65534);
    }
    let done = finish(&mut command);
    refuses(&done, &["sources.app.include", site.path("logs").to_str().unwrap(), "Permission denied"]);
    assert!(!site.path("state").exists());
    fs::set_permissions(site.path("logs"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_second_agent_on_the_same_state_folder_is_refused() {
    let destination = Destination::new();
    let site = Site::new();
    append(&site.log("app.jsonl"), &lines("a", 10));
    let mut first = site.start(&destination);
    eventually(seconds(20), "the first one works", || destination.stored() == 10 && site.behind() == 0);
    // Stopped, it holds the lock and writes nothing: what changes is the second one's doing.
    first.signal(Signal::STOP);
    let before = snapshot(&site.path("state"));
    let done = site.once(&destination, &[]);
    first.signal(Signal::CONT);
    refuses(&done, &["agent.state_dir", "another auditship (process ", "its own state_dir"]);
    assert_eq!(snapshot(&site.path("state")), before);
    assert!(first.is_running());
    assert!(first.stop(seconds(15)).0.success());
}
