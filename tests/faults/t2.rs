//! The kubelet's way: a folder for each container, rotation by renaming with a stamp, the one before compressed by way
//! of a temporary file, five kept, and a link elsewhere that follows the container's restarts.

use crate::{
    rig::{append, eventually, is_long, seconds},
    world::{Kind, World, with_suffix},
};
use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::{MetadataExt as _, symlink},
    path::{Path, PathBuf},
};

/// `containerLogMaxFiles`.
const KEEP: usize = 5;

/// One container, with its kubelet and its runtime.
struct Container {
    folder: PathBuf,
    link: PathBuf,
    restarts: u32,
    stamps: u32,
    /// What the runtime has open.
    file: File,
    /// The lines of each file, by inode: a compressed form is noted as another one.
    lines: HashMap<u64, Vec<Vec<u8>>>,
}

impl Container {
    fn new(world: &World, pod: &str) -> Container {
        let folder = world.site.log(&format!("pods/ns_{pod}_4fa1c5e2-77aa-4c57-9d5b-d2c1a3ad6c11/app"));
        fs::create_dir_all(&folder).unwrap();
        let links = world.site.log("containers");
        fs::create_dir_all(&links).unwrap();
        let link = links.join(format!("{pod}_ns_app-0f3c5d.log"));
        let file = open(&folder.join("0.log"));
        symlink(folder.join("0.log"), &link).unwrap();
        Container { folder, link, restarts: 0, stamps: 0, file, lines: HashMap::new() }
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.restarts))
    }

    fn write(&mut self, world: &mut World, count: usize) {
        let lines = world.lines(count);
        let mut bytes = lines.join(&b'\n');
        bytes.push(b'\n');
        self.file.write_all(&bytes).unwrap();
        self.lines.entry(self.file.metadata().unwrap().ino()).or_default().extend(lines);
    }

    /// What the kubelet does with a running container whose log is too large, in its order. What it deletes while no
    /// agent runs may be lost.
    fn rotate(&mut self, world: &mut World) {
        let base = self.path();
        let mut rotated = rotated(&base);
        while rotated.len() > KEEP - 2 {
            let oldest = rotated.remove(0);
            let lines = self.lines.remove(&fs::metadata(&oldest).unwrap().ino()).unwrap_or_default();
            if !world.is_running() {
                world.lost.extend(lines);
            }
            fs::remove_file(oldest).unwrap();
        }
        for path in rotated.iter().filter(|path| path.extension().is_none_or(|end| end != "gz")) {
            let old = fs::metadata(path).unwrap().ino();
            let new = Kind::Gzip.replace(path);
            let lines = self.lines.remove(&old).unwrap_or_default();
            self.lines.insert(fs::metadata(new).unwrap().ino(), lines);
        }
        self.stamps += 1;
        // A stamp has seconds, and two rotations within one would overwrite each other: these are of our making.
        let stamp = format!(".20240102-15{:02}{:02}", self.stamps / 60, self.stamps % 60);
        fs::rename(&base, with_suffix(&base, &stamp)).unwrap();
        // Until the runtime opens the new file it writes to the renamed one.
        self.write(world, 3);
        self.file = open(&base);
    }

    /// The container ends and is started again: the next number, and the link leads there.
    fn restart(&mut self, world: &World) {
        self.restarts += 1;
        self.file = open(&self.path());
        let new = with_suffix(&self.link, ".new");
        symlink(self.path(), &new).unwrap();
        fs::rename(new, &self.link).unwrap();
        if world.is_running() {
            world.seen(&self.path());
        }
    }
}

fn open(path: &Path) -> File {
    OpenOptions::new().append(true).create(true).open(path).unwrap()
}

/// The rotated files of a log, oldest first.
fn rotated(base: &Path) -> Vec<PathBuf> {
    let start = format!("{}.", base.file_name().unwrap().to_str().unwrap());
    let items = fs::read_dir(base.parent().unwrap()).unwrap().map(|item| item.unwrap().path());
    let mut found: Vec<PathBuf> =
        items.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&start)).collect();
    found.sort();
    found
}

fn world(name: &'static str, glob: &str) -> World {
    let mut world = World::new(name);
    world.site.glob = glob.into();
    if glob.starts_with("containers") {
        world.signpost = "containers/signpost-{}.log";
    } else {
        fs::create_dir_all(world.site.log("pods/signposts/app")).unwrap();
        world.signpost = "pods/signposts/app/signpost-{}.log";
    }
    world
}

fn sizes() -> (usize, usize) {
    if is_long() { (30, 10_000) } else { (10, 600) }
}

/// Rotations under the agent's eyes, with a restart now and then, and rotations while it is stopped: as many as leave
/// everything on disk in some form.
fn rotated_and_restarted(name: &'static str, glob: &str) {
    let mut world = world(name, glob);
    let mut containers = ["web-7d9c", "db-0"].map(|pod| Container::new(&world, pod));
    world.start();
    let (rounds, count) = sizes();
    for round in 1..=rounds {
        for container in &mut containers {
            container.write(&mut world, count);
            world.seen(&container.path());
            match round % 4 {
                0 => container.restart(&world),
                _ => container.rotate(&mut world),
            }
        }
    }
    // Then the files that are deleted below have been delivered.
    world.arrives();
    world.stop();
    for container in &mut containers {
        container.write(&mut world, count);
        for _ in 0..2 {
            container.rotate(&mut world);
            container.write(&mut world, count);
        }
        // With the link moved on, nothing leads to files that were made and left while nobody looked.
        if glob.starts_with("pods") {
            container.restart(&world);
            container.write(&mut world, count);
        }
    }
    world.lost.clear();
    world.start();
    world.arrives();
    for container in &mut containers {
        container.write(&mut world, count);
        container.rotate(&mut world);
    }
    world.finish_once();
    for lines in containers.iter().flat_map(|container| container.lines.values()) {
        world.is_one_file(lines, 0);
    }
}

/// More rotations than are kept, while the agent is stopped: the lines of the deleted files may be missing, and no
/// others.
fn stopped_for_longer_than_files_are_kept(name: &'static str, glob: &str) {
    let mut world = world(name, glob);
    let mut container = Container::new(&world, "web-7d9c");
    container.write(&mut world, 300);
    world.start();
    world.arrives();
    world.stop();
    for _ in 0..KEEP + 3 {
        container.write(&mut world, 300);
        container.rotate(&mut world);
    }
    container.write(&mut world, 300);
    let deleted = world.lost.len();
    assert!(deleted > 600, "only {deleted} lines were deleted");
    world.start();
    // That they are gone may well be alarmed.
    let tally = world.finish(false);
    assert_eq!(tally.duplicates(), 0, "{tally:?}");
    // The first of the deleted lines had been delivered before.
    assert!(tally.missing <= deleted - 300, "{tally:?}");
}

#[test]
fn found_by_the_link() {
    rotated_and_restarted("t2 containers/*.log", "containers/*.log");
}

#[test]
fn found_in_the_pods_folder() {
    rotated_and_restarted("t2 pods/*/*/*.log", "pods/*/*/*.log");
}

#[test]
fn stopped_for_long_found_by_the_link() {
    stopped_for_longer_than_files_are_kept("t2 long stop, containers/*.log", "containers/*.log");
}

#[test]
fn stopped_for_long_found_in_the_pods_folder() {
    stopped_for_longer_than_files_are_kept("t2 long stop, pods/*/*/*.log", "pods/*/*/*.log");
}

#[test]
fn a_link_that_is_removed_and_made_again() {
    let mut world = world("t2 link away", "containers/*.log");
    let mut container = Container::new(&world, "web-7d9c");
    container.write(&mut world, 100);
    world.start();
    world.arrives();
    // The kubelet removes the link of a dead container before it makes the next one.
    fs::remove_file(&container.link).unwrap();
    container.write(&mut world, 100);
    eventually(seconds(20), "lines that follow the removal arrive through the open descriptor", || {
        world.destination.stored() == world.truth.len()
    });
    symlink(container.path(), &container.link).unwrap();
    append(&container.path(), &world.lines(100));
    world.finish_once();
}
