//! Container logs: lines in pieces that lie across files, in the ways in which the runtimes rotate, while the agent is
//! killed. What a runtime writes is made here; with real runtimes: `tests/containers`.

use crate::{
    rig::{Agent, Destination, Meeting, Seen, Site, chance, check, event, eventually, millis, seconds},
    world::{Kind, with_suffix},
};
use auditship::model::Known;
use fastrand::Rng;
use std::{
    collections::{HashMap, HashSet},
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    thread,
};

/// How a runtime rotates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rotation {
    /// Docker, `max-file=3`: to `.1`, which becomes `.2`; the oldest goes.
    Numbered,
    /// The same with `compress`: `.1.gz` is written in place.
    Compressed,
    /// Docker, `max-file=1`: the file is unlinked.
    Unlinked,
    /// The kubelet: renamed by the time, the older ones compressed; the runtime goes on writing for a while.
    Stamped,
    /// conmon: a new file is renamed over the old one.
    Over,
}

/// Rotated files that are kept: a killed agent finds again what it has not delivered.
const KEPT: u32 = 100;

/// One container, as its runtime writes it.
struct Container {
    path: PathBuf,
    rotation: Rotation,
    file: File,
    rotations: u32,
    rng: Rng,
    /// By stream: what is still to be written of its line, with its newline.
    open: [Vec<u8>; 2],
    lines: u32,
    truth: Vec<Vec<u8>>,
}

impl Container {
    fn new(path: PathBuf, rotation: Rotation, rng: Rng) -> Container {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = open(&path);
        Container { path, rotation, file, rotations: 0, rng, open: Default::default(), lines: 0, truth: Vec::new() }
    }

    fn is_docker(&self) -> bool {
        !matches!(self.rotation, Rotation::Stamped | Rotation::Over)
    }

    /// At least so many of our lines are written to their ends.
    fn complete(&self) -> usize {
        let open = self.open.iter().filter(|line| !line.is_empty()).count();
        self.truth.len().saturating_sub(open)
    }

    /// Writes the next piece of one of the streams.
    fn step(&mut self) {
        let stream = self.rng.usize(..2);
        if self.open[stream].is_empty() {
            self.open[stream] = self.line();
        }
        // Docker cuts at 16 KiB; conmon wherever its buffer ends.
        let most = if self.is_docker() { 16384 } else { self.rng.usize(1..16384) };
        let line = &mut self.open[stream];
        let rest = line.split_off(most.min(line.len()));
        let piece = std::mem::replace(line, rest);
        self.write(["stdout", "stderr"][stream], &piece);
    }

    /// Ends the lines that are open.
    fn end(&mut self) {
        for (stream, name) in ["stdout", "stderr"].into_iter().enumerate() {
            while !self.open[stream].is_empty() {
                let rest = self.open[stream].split_off(16384.min(self.open[stream].len()));
                let piece = std::mem::replace(&mut self.open[stream], rest);
                self.write(name, &piece);
            }
        }
    }

    /// A line, mostly one that is not ours.
    fn line(&mut self) -> Vec<u8> {
        self.lines += 1;
        let id = format!("{}-{}", self.path.display(), self.lines);
        let filler = match self.rng.u32(..10) {
            0 => self.rng.usize(10_000..70_000),
            1 => self.rng.usize(1000..10_000),
            _ => self.rng.usize(..200),
        };
        // Docker cuts characters in two, and puts U+FFFD for each half: that is lost before anybody could read it.
        let text = if self.is_docker() { "x<y>" } else { "x<é>" }.repeat(filler / 4);
        if self.rng.u32(..3) > 0 {
            return format!("GET /{id} says \"audit: {{}}\" {text}\n").into_bytes();
        }
        let mut body = event(&id, ["login", "read"][self.rng.usize(..2)], "acme");
        body.truncate(body.len() - 1);
        body.extend_from_slice(format!(",\"text\":\"{text}\"}}").as_bytes());
        self.truth.push(body.clone());
        [b"audit: ", &body[..], b"\n"].concat()
    }

    fn write(&mut self, stream: &str, piece: &[u8]) {
        let bytes = if self.is_docker() {
            let text = String::from_utf8_lossy(piece);
            // As Go's encoder does.
            let text = serde_json::to_string(&*text).unwrap().replace('<', "\\u003c").replace('>', "\\u003e");
            let now = jiff::Timestamp::now();
            format!("{{\"log\":{text},\"stream\":\"{stream}\",\"time\":\"{now}\"}}\n").into_bytes()
        } else {
            let now = jiff::Timestamp::now();
            let (tag, piece) = match piece.strip_suffix(b"\n") {
                Some(piece) => ("F", piece),
                None => ("P", piece),
            };
            [format!("{now:.9} {stream} {tag} ").as_bytes(), piece, b"\n"].concat()
        };
        self.file.write_all(&bytes).unwrap();
    }

    fn rotate(&mut self) {
        self.rotations += 1;
        let numbered = |n: u32, end: &str| with_suffix(&self.path, &format!(".{n}{end}"));
        match self.rotation {
            Rotation::Numbered | Rotation::Compressed => {
                let end = if self.rotation == Rotation::Compressed { ".gz" } else { "" };
                for n in (1..KEPT).rev() {
                    let _ = fs::rename(numbered(n, end), numbered(n + 1, end));
                }
                fs::rename(&self.path, numbered(1, "")).unwrap();
                self.file = open(&self.path);
                if self.rotation == Rotation::Compressed {
                    let bytes = Kind::Gzip.compress(&fs::read(numbered(1, "")).unwrap());
                    let mut file = File::create(numbered(1, end)).unwrap();
                    let (first, second) = bytes.split_at(bytes.len() / 2);
                    file.write_all(first).unwrap();
                    thread::sleep(millis(self.rng.u64(..40)));
                    file.write_all(second).unwrap();
                    fs::remove_file(numbered(1, "")).unwrap();
                }
            }
            Rotation::Unlinked => {
                fs::remove_file(&self.path).unwrap();
                self.file = open(&self.path);
            }
            Rotation::Stamped => {
                let folder = self.path.parent().unwrap();
                let items = fs::read_dir(folder).unwrap().map(|item| item.unwrap().path());
                let is_plain = |path: &PathBuf| *path != self.path && path.extension().is_none_or(|end| end != "gz");
                let mut old: Vec<PathBuf> = items.filter(is_plain).collect();
                old.sort();
                old.iter().for_each(|path| _ = Kind::Gzip.replace(path));
                let stamp = format!(".20240102-15{:02}{:02}", self.rotations / 60, self.rotations % 60);
                fs::rename(&self.path, with_suffix(&self.path, &stamp)).unwrap();
                // The runtime has not been told yet.
                for _ in 0..self.rng.u32(..3) {
                    thread::sleep(millis(20));
                    self.step();
                }
                self.file = open(&self.path);
            }
            Rotation::Over => {
                let new = with_suffix(&self.path, ".tmp");
                self.file = open(&new);
                fs::rename(&new, &self.path).unwrap();
            }
        }
    }
}

fn open(path: &Path) -> File {
    OpenOptions::new().append(true).create(true).open(path).unwrap()
}

/// Steps of one container; rotations and kills at any of them.
fn joins(rotation: Rotation) {
    let name = format!("container {rotation:?}");
    let mut rng = chance(&name);
    let destination = Destination::new();
    let mut site = Site::new();
    site.kind = "container";
    site.source = "prefix = \"audit:\"".into();
    let (glob, path) = match rotation {
        Rotation::Stamped | Rotation::Over => ("pods/*/*/*.log", "pods/ns_pod_1234/app/0.log"),
        _ => ("containers/*/*-json.log", "containers/4f1c/4f1c-json.log"),
    };
    site.glob = glob.into();
    let mut container = Container::new(site.log(path), rotation, rng.fork());
    let mut agent = site.start(&destination);
    let mut kills = 0;
    for step in 0..1500 {
        container.step();
        match rng.u32(..1000) {
            0..15 => {
                // What is destroyed before anybody had it open is nobody's.
                has_open(&agent, &container.path);
                container.rotate();
            }
            15..23 => {
                if matches!(rotation, Rotation::Unlinked | Rotation::Over) {
                    // What is unlinked only the agent can read: it is delivered or saved before the kill.
                    eventually(seconds(20), "it is delivered or saved", || {
                        destination.stored() >= container.complete() && is_saved(&site)
                    });
                }
                agent.kill_9();
                kills += 1;
                if rng.bool() && rotation == Rotation::Stamped {
                    container.step();
                    container.rotate();
                }
                container.step();
                agent = site.start(&destination);
                // What was unlinked is gone with the agent that had it open: no rotation until it is read again.
                has_open(&agent, &container.path);
            }
            _ if step % 50 == 0 => thread::sleep(millis(20)),
            _ => {}
        }
    }
    container.end();
    let truth = std::mem::take(&mut container.truth);
    eventually(seconds(60), &format!("{name}: all of {} arrive", truth.len()), || {
        destination.stored() >= truth.len()
    });
    agent.end();
    let tally = check(&destination, &truth);
    println!(
        "{name}: {} lines of {}, {} rotations, {kills} kills: {} missing, {} stored twice",
        truth.len(),
        container.lines,
        container.rotations,
        tally.missing,
        tally.duplicates()
    );
}

/// Whether the state knows all files, and what is left of deleted ones is in the spool.
fn is_saved(site: &Site) -> bool {
    let Ok(Some(memory)) = auditship::state::read(&site.path("state")) else { return false };
    let exists = |known: &Known| fs::metadata(&*known.seen_at).is_ok_and(|file| file.ino() == known.identity.inode);
    // The offset of the first byte is in the name.
    let end = |item: fs::DirEntry| {
        let name = item.file_name().into_string().unwrap();
        let (of, base) = name.split_once('.')?.0.split_once('-')?;
        Some((of.to_owned(), base.parse::<u64>().unwrap() + item.metadata().ok()?.len()))
    };
    let spooled = fs::read_dir(site.path("state/spool")).into_iter().flatten();
    let spooled: HashMap<String, u64> = spooled.filter_map(|item| end(item.unwrap())).collect();
    memory.files.values().filter(|known| !exists(known)).all(|known| {
        let name = known.origin.name;
        let at = memory.cursors.get("loki").and_then(|cursors| cursors.get(&name)).map_or(0, |point| point.at);
        let is_spooled = spooled.get(&name.to_string()).is_some_and(|end| *end >= known.size);
        known.is_deleted && (at >= known.size || is_spooled)
    })
}

fn has_open(agent: &Agent, path: &Path) {
    let file = fs::metadata(path).unwrap();
    eventually(seconds(20), "the agent opens the file", || agent.holds(&file));
}

#[test]
fn docker_rotates() {
    joins(Rotation::Numbered);
}

#[test]
fn docker_rotates_and_compresses() {
    joins(Rotation::Compressed);
}

#[test]
fn docker_unlinks() {
    joins(Rotation::Unlinked);
}

#[test]
fn the_kubelet_rotates() {
    joins(Rotation::Stamped);
}

#[test]
fn conmon_renames_over() {
    joins(Rotation::Over);
}

/// An agent of one pod, and the path of its container's log.
fn pod(glob: &str) -> (Site, PathBuf) {
    let mut site = Site::new();
    site.kind = "container";
    site.source = "prefix = \"audit:\"".into();
    site.glob = glob.into();
    let path = site.log("pods/ns_pod_1234/app/0.log");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    (site, path)
}

/// A piece as a CRI runtime writes it.
fn line(tag: &str, text: &[u8]) -> Vec<u8> {
    [b"2024-01-02T15:04:05.1Z stdout ", tag.as_bytes(), b" ", text, b"\n"].concat()
}

fn audit(body: &[u8]) -> Vec<u8> {
    line("F", &[b"audit: ", body].concat())
}

/// Whether the state has the output at this place in some file.
fn has_got_to(site: &Site, at: u64) -> bool {
    let Ok(Some(memory)) = auditship::state::read(&site.path("state")) else { return false };
    memory.cursors.get("loki").is_some_and(|cursors| cursors.values().any(|point| point.at == at))
}

/// A file in the middle that needs nothing itself still stands between its neighbours: what the older one leaves open
/// is not the newer one's.
#[test]
fn a_settled_file_is_still_between_its_neighbours() {
    let destination = Destination::new();
    let (site, path) = pod("pods/*/*/*.log*");
    let truth: Vec<Vec<u8>> = ["first", "last"].map(|id| event(id, "login", "acme")).into_iter().collect();
    let between = with_suffix(&path, ".20240102-150002");
    fs::write(with_suffix(&path, ".20240102-150001"), [audit(&truth[0]), line("P", b"not")].concat()).unwrap();
    fs::write(&between, [line("F", b" ours"), line("F", b"nor this")].concat()).unwrap();
    fs::write(&path, audit(&truth[1])).unwrap();
    let len = fs::metadata(&between).unwrap().len();

    destination.script(|_| Meeting::Answer(503, "", "busy"));
    let mut agent = site.start(&destination);
    eventually(seconds(20), "the file between is read to its end", || has_got_to(&site, len));
    agent.kill_9();
    destination.script(|_| Meeting::Pass);
    let mut agent = site.start(&destination);
    eventually(seconds(20), "both arrive", || destination.stored() >= truth.len());
    // All of it is done with now, and the next life has nothing to do.
    eventually(seconds(20), "the state knows it", || {
        let Ok(Some(memory)) = auditship::state::read(&site.path("state")) else { return false };
        let is_done = |known: &Known| {
            let point = memory.cursors.get("loki").and_then(|cursors| cursors.get(&known.origin.name));
            point.is_some_and(|point| point.rewind == fs::metadata(&*known.seen_at).unwrap().len())
        };
        memory.files.len() == 3 && memory.files.values().all(is_done)
    });
    agent.end();
    check(&destination, &truth);
}

/// A line that is not ours lies in two files, and what is in the second one looks like ours.
#[test]
fn a_line_that_is_not_ours_goes_on_over_a_kill() {
    let destination = Destination::new();
    let (site, path) = pod("pods/*/*/*.log*");
    let truth: Vec<Vec<u8>> = ["first", "last"].map(|id| event(id, "login", "acme")).into_iter().collect();
    let older = with_suffix(&path, ".20240102-150001");
    fs::write(&older, [audit(&truth[0]), line("P", b"not")].concat()).unwrap();
    fs::write(&path, line("P", &[b"audit: ", &truth[1][..]].concat())).unwrap();
    let mut agent = site.start(&destination);
    eventually(seconds(20), "the older one is done", || {
        let Ok(Some(memory)) = auditship::state::read(&site.path("state")) else { return false };
        let point_of = |path: &Path| {
            let known = memory.files.values().find(|known| *known.seen_at == *path.to_string_lossy())?;
            let point = memory.cursors.get("loki")?.get(&known.origin.name)?;
            Some((point.at == fs::metadata(path).unwrap().len(), point.rewind == point.at))
        };
        point_of(&older) == Some((true, true)) && point_of(&path) == Some((true, false))
    });
    agent.kill_9();
    let mut agent = site.start(&destination);
    open(&path).write_all(&[line("F", b" nor this"), audit(&truth[1])].concat()).unwrap();
    eventually(seconds(20), "the last one arrives", || destination.stored() >= truth.len());
    agent.end();
    check(&destination, &truth);
}

/// A program that is no runtime copies and truncates a container's log within a line, and its copy is shorter.
#[test]
fn a_copy_that_ends_before_an_open_line_is_read_on() {
    let destination = Destination::new();
    let (site, path) = pod("pods/*/*/*.log");
    // More than the beginning, by which a copy is not known yet.
    let ids = ["first".to_owned(), "long".repeat(2000), "last".to_owned()];
    let truth: Vec<Vec<u8>> = ids.map(|id| event(&id, "login", "acme")).into_iter().collect();
    fs::write(&path, [audit(&truth[0]), audit(&truth[1])].concat()).unwrap();
    let mut agent = site.start(&destination);
    let first = fs::metadata(&path).unwrap().len();
    eventually(seconds(20), "the first arrive", || destination.stored() == 2 && has_got_to(&site, first));
    let copy = fs::read(&path).unwrap();
    let (begin, end) = truth[2].split_at(20);
    open(&path).write_all(&line("P", &[b"audit: ", begin].concat())).unwrap();
    let all = fs::metadata(&path).unwrap().len();
    eventually(seconds(20), "the beginning of a line is read", || has_got_to(&site, all - 2));
    fs::write(with_suffix(&path, ".1"), copy).unwrap();
    File::create(&path).unwrap();
    open(&path).write_all(&line("F", end)).unwrap();
    eventually(seconds(20), "the last arrives", || destination.stored() == 3);
    agent.end();
    check(&destination, &truth);
}

/// A kill while a copy is saved leaves one that ends early. What is open there goes on nowhere: what the next file begins
/// with may be the end of another line.
#[test]
fn what_a_cut_copy_leaves_open_is_not_joined_to_the_next_file() {
    let destination = Destination::new();
    let (site, path) = pod("pods/*/*/*.log");
    // More than what a file is known by.
    let truth: Vec<Vec<u8>> = (0..100).map(|n| event(&format!("c-{n}"), "login", "acme")).collect();
    let (last, first) = truth.split_last().unwrap();
    let [beginning, middle] = [line("P", b"audit: the beginning, "), line("P", b"the middle, ")];
    let kept = [first.iter().flat_map(|body| audit(body)).collect(), beginning].concat();
    fs::write(&path, [&kept[..], &middle].concat()).unwrap();
    destination.script(|_| Meeting::Answer(503, "", "no healthy upstream"));
    let mut agent = site.start(&destination);
    has_open(&agent, &path);
    let next = path.with_extension("tmp");
    fs::write(&next, [line("F", b"the end"), audit(last)].concat()).unwrap();
    fs::rename(next, &path).unwrap();
    has_open(&agent, &path);
    eventually(seconds(20), "what was renamed over is saved", || is_saved(&site));
    agent.kill_9();
    let spooled = fs::read_dir(site.path("state/spool")).unwrap().next().unwrap().unwrap().path();
    OpenOptions::new().write(true).open(&spooled).unwrap().set_len(kept.len() as u64).unwrap();
    destination.script(|_| Meeting::Pass);
    let mut agent = site.start(&destination);
    eventually(seconds(20), "all arrive", || destination.stored() > truth.len());
    agent.end();
    let attempts = destination.attempts();
    let stored = attempts.iter().filter(|attempt| attempt.is_stored).flat_map(|attempt| &attempt.entries);
    let stored: HashMap<Vec<u8>, &Seen> = stored.map(|seen| (seen.line.to_vec(), seen)).collect();
    let lines: HashSet<&[u8]> = stored.keys().map(Vec::as_slice).collect();
    let expected = truth.iter().map(Vec::as_slice).chain([&b"the beginning, "[..]]);
    assert_eq!(lines, expected.collect());
    let cut = stored[&b"the beginning, ".to_vec()];
    assert!(cut.meta("auditship_mark").is_some_and(|mark| mark.contains("unterminated")), "{cut:?}");
}
