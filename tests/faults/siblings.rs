//! What belongs to a file that a glob names, although the glob does not name it: its rotated forms, by their names and
//! where they are.

use crate::{
    rig::{append, eventually, lines, seconds},
    world::{Kind, World, with_suffix},
};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// The rotated forms of `a.log`.
const FAMILY: [&str; 10] = [
    "a.log.1",
    "a.log.12",
    "a.log-20240102",
    "a.log-2024010215",
    "a.log-1704207845",
    "a.log.20240102-150405",
    "a.1.log",
    "a-2024-01-02T03-04-05.678.log",
    "a.log.old",
    "a.log.bak",
];

/// Its neighbours, which are none of its business.
const STRANGERS: [&str; 9] =
    ["b.log.1", "aa.log.1", "a.log.tmp", "a.log.1.tmp", "a.log.swp", "a.logs", "a.txt", "a.log~", "a-b.log"];

/// Writes all of the family to `folder`, plain or compressed as chance would have it.
fn family(world: &mut World, folder: &Path, kinds: &[Option<Kind>]) {
    for name in FAMILY {
        for (n, kind) in kinds.iter().enumerate() {
            // Each form of a name is a file of its own.
            let path = folder.join(if n == 0 { name.to_owned() } else { name.replacen('a', "c", 1) });
            if n > 0 && !world.site.log("c.log").exists() {
                world.write(&world.site.log("c.log"), 5);
            }
            world.write(&path, 20);
            if let Some(kind) = kind {
                kind.replace(&path);
            }
        }
    }
}

fn strangers(folder: &Path) {
    for (n, name) in STRANGERS.iter().enumerate() {
        // Not noted as written: whoever ships them ships lines that nobody wrote.
        append(&folder.join(name), &lines(&format!("stranger{n}"), 5));
    }
}

fn world(name: &'static str) -> World {
    let mut world = World::new(name);
    world.site.glob = "a.log c.log signpost-*".into();
    world.signpost = "signpost-{}";
    world.write(&world.site.log("a.log"), 20);
    world
}

fn in_the_same_folder(name: &'static str, kinds: &[Option<Kind>]) {
    let mut world = world(name);
    let folder = world.site.log("");
    family(&mut world, &folder, kinds);
    strangers(&folder);
    world.start();
    world.finish_once();
}

#[test]
fn plain() {
    in_the_same_folder("siblings plain", &[None]);
}

#[test]
fn compressed() {
    in_the_same_folder("siblings compressed", &[Some(Kind::Gzip), Some(Kind::Zstd)]);
}

#[test]
fn in_the_folder_of_a_links_target() {
    let mut world = World::new("siblings of a link's target");
    world.site.glob = "link.log signpost-*".into();
    world.signpost = "signpost-{}";
    let folder = world.site.path("elsewhere");
    fs::create_dir(&folder).unwrap();
    world.write(&folder.join("a.log"), 20);
    symlink(folder.join("a.log"), world.site.log("link.log")).unwrap();
    family(&mut world, &folder, &[Some(Kind::Gzip)]);
    strangers(&folder);
    world.start();
    world.finish_once();
}

fn in_a_folder_for_rotated_files(name: &'static str, rotated_dir: &str, folder: impl Fn(&World) -> PathBuf) {
    let mut world = world(name);
    let folder = folder(&world);
    fs::create_dir(&folder).unwrap();
    let configured = rotated_dir.replace("{root}", world.site.root().to_str().unwrap());
    world.site.source = format!("rotated_dir = {configured:?}");
    family(&mut world, &folder, &[Some(Kind::Zstd)]);
    strangers(&folder);
    world.start();
    world.finish_once();
}

#[test]
fn in_rotated_dir() {
    in_a_folder_for_rotated_files("siblings in rotated_dir", "{root}/old", |world| world.site.path("old"));
}

#[test]
fn in_rotated_dir_relative_to_the_file() {
    in_a_folder_for_rotated_files("siblings in a relative rotated_dir", "old", |world| world.site.log("old"));
}

/// With `start_at = "end"` what was rotated before first sight is as old as what the file itself had.
#[test]
fn start_at_end_passes_over_what_was_rotated_before() {
    let mut world = World::new("siblings start at end");
    world.site.glob = "a.log signpost-*".into();
    world.signpost = "signpost-{}";
    world.site.source = "start_at = \"end\"".into();
    let path = world.site.log("a.log");
    append(&path, &lines("old", 20));
    append(&with_suffix(&path, ".1"), &lines("older", 20));
    append(&with_suffix(&path, ".2"), &lines("oldest", 20));
    Kind::Gzip.replace(&with_suffix(&path, ".2"));
    world.start();
    // What is there at the first look is old; from then on there is news.
    let file = fs::metadata(&path).unwrap();
    eventually(seconds(20), "the first look", || world.agent().holds(&file));
    world.settle();
    let old = with_suffix(&path, ".3");
    world.write(&path, 20);
    world.arrives();
    fs::rename(&path, &old).unwrap();
    Kind::Gzip.replace(&old);
    world.write(&path, 20);
    world.finish_once();
}
