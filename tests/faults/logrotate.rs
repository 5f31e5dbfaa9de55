//! The real logrotate, in the shapes in which it is configured, with the agent running and stopped.

use crate::{
    rig::{Report, eventually, find, seconds},
    world::World,
};
use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

struct Shape {
    name: &'static str,
    /// Lines of logrotate's configuration; `{old}` is a folder beside the logs'.
    directives: &'static str,
    /// Lines of the source's configuration, likewise.
    source: &'static str,
    /// The program notices the rotation late: it writes to the old file for a while. Only where that file stays.
    is_late: bool,
    /// Names have seconds in them, so that there can be one rotation in each.
    is_dated: bool,
}

impl Shape {
    fn new(name: &'static str, directives: &'static str) -> Shape {
        Shape { name, directives, source: "", is_late: false, is_dated: false }
    }
}

fn unix_millis() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

fn unix_second() -> u64 {
    unix_millis() / 1000
}

fn check(shape: &Shape) {
    let Some(logrotate) = find("logrotate") else {
        return Report::skip(shape.name, "there is no logrotate on this machine");
    };
    let started = Instant::now();
    let mut world = World::new(shape.name);
    let old = world.site.path("old");
    fs::create_dir(&old).unwrap();
    fs::create_dir(world.site.log("archive")).unwrap();
    fs::set_permissions(world.site.log(""), Permissions::from_mode(0o755)).unwrap();
    let with_old = |text: &str| text.replace("{old}", old.to_str().unwrap());
    world.site.source = with_old(shape.source);
    let path = world.site.log("app.jsonl");
    let (config, state) = (world.site.path("logrotate.conf"), world.site.path("logrotate.state"));
    fs::write(&config, format!("{path:?} {{\nrotate 100\n{}\n}}\n", with_old(shape.directives))).unwrap();
    // It refuses a configuration that others could write.
    fs::set_permissions(&config, Permissions::from_mode(0o644)).unwrap();

    world.start();
    let mut last = 0;
    for round in 0..7 {
        match round {
            // In the middle of a file, or of several.
            3 => drop(world.stop()),
            6 => world.start(),
            _ => {}
        }
        world.write(&path, 300);
        if round == 1 {
            world.seen(&path);
        }
        let program = OpenOptions::new().append(true).open(&path).unwrap();
        if shape.is_dated {
            // Well into it: logrotate may look at a clock that is a tick behind.
            eventually(seconds(3), "the next second", || (unix_millis() - 50) / 1000 > last);
        }
        rotate(&logrotate, &state, &config);
        last = unix_second();
        if shape.is_late {
            late(&mut world, program);
        }
    }
    world.write(&path, 100);
    let folders = [world.site.log(""), world.site.log("archive"), old];
    let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap().flatten());
    let count = files.filter(|item| item.path().is_file()).count();
    assert_eq!(count, 8, "seven rotations");
    let tally = world.finish_once();
    Report {
        name: shape.name.into(),
        lines: world.truth.len(),
        missing: tally.missing,
        duplicates: tally.duplicates(),
        seconds: started.elapsed().as_secs_f64(),
        ..Report::default()
    }
    .write();
}

fn rotate(logrotate: &Path, state: &Path, config: &Path) {
    let done = Command::new(logrotate).arg("-f").arg("-s").arg(state).arg(config).output().unwrap();
    assert!(done.status.success() && done.stderr.is_empty(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn late(world: &mut World, mut program: File) {
    let mut bytes = world.lines(5).join(&b'\n');
    bytes.push(b'\n');
    program.write_all(&bytes).unwrap();
}

#[test]
fn numbered_create_delaycompress() {
    let shape = Shape::new("logrotate numbered", "create\ncompress\ndelaycompress");
    check(&Shape { is_late: true, ..shape });
}

#[test]
fn dateext_compress() {
    let shape = Shape::new("logrotate dateext", "hourly\ndateext\ndateformat -%Y%m%d-%s\ncreate\ncompress");
    check(&Shape { is_dated: true, ..shape });
}

#[test]
fn dateext_of_seconds_alone() {
    let shape = Shape::new("logrotate dateext %s", "dateext\ndateformat -%s\ncreate\ncompress\ndelaycompress");
    check(&Shape { is_dated: true, is_late: true, ..shape });
}

#[test]
fn copytruncate_compress() {
    check(&Shape::new("logrotate copytruncate", "copytruncate\ncompress"));
}

#[test]
fn copytruncate_delaycompress() {
    check(&Shape::new("logrotate copytruncate later", "copytruncate\ncompress\ndelaycompress"));
}

#[test]
fn renamecopy() {
    check(&Shape::new("logrotate renamecopy", "renamecopy\ncreate\nnocompress"));
}

#[test]
fn olddir() {
    let shape = Shape::new("logrotate olddir", "olddir {old}\ncreate\ncompress\ndelaycompress");
    check(&Shape { source: "rotated_dir = \"{old}\"", is_late: true, ..shape });
}

#[test]
fn olddir_relative_to_the_file() {
    let shape = Shape::new("logrotate olddir relative", "olddir archive\ncreate\ncompress");
    check(&Shape { source: "rotated_dir = \"archive\"", ..shape });
}

#[test]
fn extension_zstd() {
    let name = "logrotate extension";
    if !Path::new("/usr/bin/zstd").exists() {
        return Report::skip(name, "there is no zstd on this machine");
    }
    check(&Shape::new(
        name,
        "extension .jsonl\ncreate\ncompress\ncompresscmd /usr/bin/zstd\ncompressoptions -3\ncompressext .zst",
    ));
}
