//! A real Docker engine with its json-file driver. It splits lines at 16 KiB and rotates by itself; with `max-file=1`
//! a rotation unlinks what was written.

use crate::{
    case::Case,
    engine::{Engine, is_possible},
    rig::Report,
    witness::Form,
};

const PROGRAMS: &[&str] = &["dockerd", "docker", "containerd", "runc", "busybox", "tar"];

#[track_caller]
fn check(name: &'static str, keeps: usize, options: &'static [&'static str], source: &'static str) {
    if !is_possible(name, PROGRAMS) {
        return;
    }
    let case = Case { name, form: Form::Docker, keeps: Some(keeps), options, source, rotations: 6..=40 };
    match Engine::docker() {
        Ok(engine) => case.run(&engine),
        Err(why) => Report::skip(name, &why),
    }
}

#[test]
fn max_file_1() {
    check("docker max-file=1", 0, &["--log-driver=json-file", "--log-opt=max-size=2m", "--log-opt=max-file=1"], "");
}

#[test]
fn max_file_3() {
    let options = &["--log-driver=json-file", "--log-opt=max-size=2m", "--log-opt=max-file=3"];
    // Lines over it travel in parts.
    check("docker max-file=3", 2, options, "max_line = \"64KiB\"");
}

#[test]
fn max_file_3_compress() {
    let options =
        &["--log-driver=json-file", "--log-opt=max-size=2m", "--log-opt=max-file=3", "--log-opt=compress=true"];
    check("docker max-file=3 compress", 2, options, "");
}
