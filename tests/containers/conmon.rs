//! A real conmon, started by podman. Every end of a read is the end of a piece; with `max-size` a new file is renamed
//! over the log, so that what was not read is in an open descriptor only.

use crate::{
    case::Case,
    engine::{Engine, is_possible},
    rig::Report,
    witness::Form,
};

const PROGRAMS: &[&str] = &["podman", "conmon", "runc", "busybox", "tar"];

/// Its own limits can be over those of the machine that the tests run on.
const LIMITS: [&str; 2] = ["--ulimit=nofile=20000:20000", "--ulimit=nproc=1024:1024"];

macro_rules! options {
    ($($more:literal),*) => {
        &[LIMITS[0], LIMITS[1], "--log-driver=k8s-file", "--log-opt=path={log}", $($more),*]
    };
}

#[track_caller]
fn check(case: &Case) {
    if !is_possible(case.name, PROGRAMS) {
        return;
    }
    match Engine::podman(&LIMITS) {
        Ok(engine) => case.run(&engine),
        Err(why) => Report::skip(case.name, &why),
    }
}

const CASE: Case = Case {
    name: "conmon",
    form: Form::Cri,
    keeps: None,
    options: options![],
    // Lines over it travel in parts.
    source: "max_line = \"64KiB\"",
    rotations: 0..=0,
};

#[test]
fn without_a_limit() {
    check(&CASE);
}

#[test]
fn max_size() {
    check(&Case {
        name: "conmon max-size",
        keeps: Some(0),
        options: options!["--log-opt=max-size=1800k"],
        source: "",
        rotations: 5..=20,
        ..CASE
    });
}
