//! T6 (b): the power is cut. A life of the agent on a disk that keeps a journal is recorded with its destination; then
//! the disk is put back to what a cut at many places of that journal leaves, each time with its own luck, and the agent
//! starts again: at once, it skips nothing, and sends nothing again that its last synced state knew.
//!
//! Lines that were on no disk after the cut are nobody's: their writer did not sync them.

use crate::{
    disk::{Luck, ROOT},
    remains::{OnDisk, lines_around},
    rig::{Destination, Meeting, Seen, Site, append, chance, eventually, lines, millis},
    volatile::Volatile,
    world::{Kind, with_suffix},
};
use auditship::{
    model::{FileName, Known},
    state::Memory,
};
use fastrand::Rng;
use prost::bytes::Bytes;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

const CUTS: usize = 50;
/// How soon it must be sending.
const START: Duration = Duration::from_secs(5);
/// How soon all must have arrived.
const ARRIVAL: Duration = Duration::from_secs(20);
const LIFE: Duration = Duration::from_secs(9);
/// When the destination is away: files are rotated and deleted meanwhile.
const AWAY: std::ops::Range<Duration> = Duration::from_secs(3)..Duration::from_secs(6);

#[test]
fn first() {
    cut_and_start_again("t6 power 1");
}

#[test]
fn second() {
    cut_and_start_again("t6 power 2");
}

#[test]
fn third() {
    cut_and_start_again("t6 power 3");
}

#[test]
fn fourth() {
    cut_and_start_again("t6 power 4");
}

/// A line that arrived in the recorded life.
struct Delivered {
    at: Instant,
    file: FileName,
    offset: u64,
    seen: Seen,
    labels: String,
}

struct Recorded {
    name: &'static str,
    volatile: Volatile,
    site: Site,
    delivered: Vec<Delivered>,
}

/// Lines that the last synced state knew, of files that the cut has not changed.
#[derive(Default)]
struct Kept {
    /// As delivered: they do not come again.
    claimed: HashSet<Bytes>,
    /// As not delivered yet, though they were: if they come again, then as the same.
    same: HashSet<Bytes>,
}

/// What is counted, over all cuts.
#[derive(Debug, Default)]
struct Tally {
    cuts: usize,
    /// Lines that had to arrive, before a cut or after it.
    expected: usize,
    /// Lines that a state knew to be delivered: none came again.
    claimed: usize,
    /// Lines that came again.
    again: usize,
    /// Of those, the ones that came under another name, because the cut had changed their file.
    renamed: usize,
    /// How long it took until something was sent.
    slowest: Duration,
    /// ERROR lines, by their message.
    alarms: BTreeMap<String, usize>,
}

fn cut_and_start_again(name: &'static str) {
    let mut rng = chance(name);
    let Some(recorded) = record(name, &mut rng) else { return };
    let (len, syncs) = {
        let disk = recorded.volatile.disk();
        let state = disk.find(ROOT, OsStr::new("state")).expect("a state folder");
        (disk.len(), disk.syncs(state))
    };
    let mut tally = Tally::default();
    for _ in 0..CUTS {
        // Half of them where the state is being written.
        let near = syncs[rng.usize(..syncs.len())].saturating_add_signed(rng.isize(-2..=2));
        let at = if rng.bool() { near.clamp(1, len) } else { rng.usize(1..=len) };
        let luck = rng.choice([Luck::None, Luck::Some, Luck::Some, Luck::Ordered, Luck::Ordered, Luck::All]).unwrap();
        let synced = syncs.iter().copied().filter(|sync| *sync <= at).max();
        recorded.start_again(at, luck, synced, &mut rng, &mut tally);
    }
    assert!(tally.claimed > 0 && tally.expected > 0);
    println!("{name}: {len} things done to the disk, {} syncs of the state; {tally:?}, 0 missing", syncs.len());
}

/// The life of which the ends are tried. `None` when there is no FUSE on this machine.
fn record(name: &'static str, rng: &mut Rng) -> Option<Recorded> {
    let mut site = Site::new();
    // Dropped before the site, whose folder it is mounted on.
    let volatile = match Volatile::mount(site.root()) {
        Ok(volatile) => volatile,
        Err(error) => {
            println!("{name}: SKIPPED, nothing can be mounted by FUSE: {error}");
            return None;
        }
    };
    // The mount hides the site's own.
    fs::create_dir(site.path("logs")).unwrap();
    site.agent += "\nspool = { max_bytes = \"64MiB\" }";
    site.output = "batch = { max_bytes = \"16KiB\", max_wait = \"50ms\" }\nwindow = \"1MiB\"".into();
    let destination = Destination::new();
    for n in 0..4 {
        append(&site.log(&format!("app{n}.jsonl")), &lines(&format!("old{n}"), 50));
    }
    volatile.disk().settle();
    let started = Instant::now();
    destination.script(move |_| {
        if AWAY.contains(&started.elapsed()) {
            Meeting::Answer(503, "", "no healthy upstream")
        } else {
            Meeting::Pass
        }
    });
    let mut agent = site.start(&destination);
    let writers: Vec<_> = (0..4)
        .map(|n| {
            let (path, rng) = (site.log(&format!("app{n}.jsonl")), rng.fork());
            thread::spawn(move || write(n, &path, started, rng))
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    assert!(agent.is_running(), "{:#?}", agent.lines());
    agent.kill_9();
    volatile.disk().end();
    let attempts = destination.attempts();
    let delivered =
        attempts.iter().filter_map(|attempt| Some((attempt.stored_at?, attempt))).flat_map(|(at, attempt)| {
            attempt.entries.iter().map(move |seen| Delivered {
                at,
                file: seen.meta("auditship_file").expect("a name").parse().expect("a name"),
                offset: seen.meta("auditship_offset").expect("an offset").parse().expect("an offset"),
                seen: seen.clone(),
                labels: attempt.labels.clone(),
            })
        });
    let delivered = delivered.collect();
    drop(attempts);
    Some(Recorded { name, volatile, site, delivered })
}

/// Four programs: one syncs each line, one nothing; one renames its file now and then and keeps two, one compresses
/// what it has renamed.
fn write(n: usize, path: &Path, started: Instant, mut rng: Rng) {
    let open = || OpenOptions::new().append(true).create(true).open(path).unwrap();
    let (mut file, mut rotations) = (open(), 0);
    for round in 0.. {
        if started.elapsed() > LIFE {
            return;
        }
        let bytes = lines(&format!("p{n}-{round}"), rng.usize(1..6)).join(&b'\n');
        let (first, second) = bytes.split_at(rng.usize(..bytes.len()));
        [first, second, b"\n"].into_iter().for_each(|part| file.write_all(part).unwrap());
        match n {
            0 => file.sync_data().unwrap(),
            1 => {}
            _ if started.elapsed() > millis(700) * (rotations + 1) => {
                rotations += 1;
                let old = |k: u32| with_suffix(path, &format!(".{k}"));
                if n == 2 {
                    let _ = fs::rename(old(1), old(2));
                    fs::rename(path, old(1)).unwrap();
                } else {
                    fs::rename(path, old(rotations)).unwrap();
                    compress(&old(rotations));
                }
                file = open();
            }
            _ => {}
        }
        thread::sleep(millis(rng.u64(10..30)));
    }
}

/// As a careful tool does it.
fn compress(path: &Path) {
    let (temporary, new) = (with_suffix(path, ".tmp"), with_suffix(path, ".gz"));
    let mut file = File::create(&temporary).unwrap();
    file.write_all(&Kind::Gzip.compress(&fs::read(path).unwrap())).unwrap();
    file.sync_all().unwrap();
    fs::rename(&temporary, &new).unwrap();
    File::open(path.parent().unwrap()).unwrap().sync_all().unwrap();
    fs::remove_file(path).unwrap();
}

impl Recorded {
    fn start_again(&self, at: usize, luck: Luck, synced: Option<usize>, rng: &mut Rng, tally: &mut Tally) {
        let case = format!("{}: cut at {at} with luck {luck:?}", self.name);
        let state = self.site.path("state");
        let synced = synced.and_then(|synced| {
            self.volatile.disk().cut(synced, Luck::All, rng);
            auditship::state::read(&state).unwrap()
        });
        self.volatile.disk().cut(at, luck, rng);
        let found = auditship::state::read(&state).ok().flatten();
        let time = self.volatile.disk().time(at);
        let before: Vec<&Delivered> = self.delivered.iter().filter(|delivered| delivered.at <= time).collect();
        let kept = synced.map_or_else(Kept::default, |synced| {
            let found = found.unwrap_or_else(|| panic!("{case}: a synced state is lost"));
            self.kept(&case, at, &before, &synced, &found)
        });

        // The programs go on, and do not know that their last line is torn.
        let path = |n| self.site.log(&format!("app{n}.jsonl"));
        let new: Vec<_> = (0..4).map(|n| (path(n), lines(&format!("new{at}-{n}"), 3))).collect();
        new.iter().for_each(|(path, lines)| append(path, lines));
        let destination = Destination::new();
        let started = Instant::now();
        let mut agent = self.site.start(&destination);
        eventually(START, &format!("{case}: it sends"), || destination.stored() > 0);
        tally.slowest = tally.slowest.max(started.elapsed());

        let delivered: HashSet<Bytes> = before.iter().map(|delivered| delivered.seen.body()).collect();
        let (expected, written) = self.lines_after(at, &delivered);
        for line in new.iter().flat_map(|(_, lines)| lines) {
            assert!(expected.iter().any(|expected| expected.ends_with(line)), "{case}: the test does not expect it");
        }
        let missing = || -> Vec<&Vec<u8>> {
            let attempts = destination.attempts();
            let stored = attempts.iter().filter(|attempt| attempt.is_stored).flat_map(|attempt| &attempt.entries);
            let arrived: HashSet<Bytes> = stored.map(Seen::body).collect();
            let has = |line: &&Vec<u8>| arrived.contains(&line[..]) || delivered.contains(&line[..]);
            expected.iter().filter(|line| !has(line)).collect()
        };
        let deadline = Instant::now() + ARRIVAL;
        while !missing().is_empty() && Instant::now() < deadline {
            thread::sleep(millis(10));
        }
        let show = |line: &Vec<u8>| String::from_utf8_lossy(line).into_owned();
        let missing: Vec<String> = missing().into_iter().map(show).collect();
        assert!(
            missing.is_empty(),
            "{case}: {} of {} lines are missing, such as {}; the log is {:#?}",
            missing.len(),
            expected.len(),
            missing[0],
            agent.lines()
        );
        agent.end();
        tally.renamed += self.is_right(&case, &destination, &written, &kept);
        tally.cuts += 1;
        tally.expected += expected.len();
        tally.claimed += kept.claimed.len();
        let attempts = destination.attempts();
        let sent = attempts.iter().flat_map(|attempt| &attempt.entries);
        tally.again += sent.filter(|seen| delivered.contains(&seen.body())).count();
        for error in agent.errors() {
            *tally.alarms.entry(error["message"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        let of_state = |error: &serde_json::Value| error["message"].as_str().unwrap().contains("state");
        assert!(agent.errors().into_iter().filter(of_state).count() <= 1, "{case}: {:#?}", agent.errors());
    }

    /// What must not come again. `synced`: the state at its last sync; `found`: what the cut has left of it, which can
    /// be later.
    fn kept(&self, case: &str, at: usize, before: &[&Delivered], synced: &Memory, found: &Memory) -> Kept {
        let on_disk = self.on_disk();
        // How far a file is as it was; `None` where it is another content now.
        let intact = |known: &Known| {
            let was = self.volatile.disk().bytes_at(known.identity.inode, at);
            let file = on_disk.iter().find(|file| file.inode == known.identity.inode)?;
            let to = was.iter().zip(&file.bytes).take_while(|(was, is)| was == is).count();
            // Beside a compressed form that was made of more of it.
            let is_other = with_suffix(&file.path, ".gz").exists() && to < was.len();
            (to >= known.head.len as usize && !is_other).then_some(to as u64)
        };
        let mut kept = Kept::default();
        for (name, point) in synced.cursors.get("loki").into_iter().flatten() {
            let Some(known) = found.files.get(name) else { continue };
            let later =
                found.cursors["loki"].get(name).unwrap_or_else(|| panic!("{case}: the cursor of {name} is lost"));
            assert!(later.at >= point.at, "{case}: {name} is at {}, and was at {}", later.at, point.at);
            let Some(intact) = intact(known).filter(|to| *to >= later.at) else { continue };
            for delivered in before.iter().filter(|delivered| delivered.file == *name) {
                let body = delivered.seen.body();
                if delivered.offset < later.at {
                    kept.claimed.insert(body);
                } else if delivered.offset + body.len() as u64 <= intact {
                    kept.same.insert(body);
                }
            }
        }
        kept
    }

    /// The lines that must have arrived when all is done, before the cut or after it; and those that may.
    fn lines_after(&self, at: usize, delivered: &HashSet<Bytes>) -> (HashSet<Vec<u8>>, HashSet<Vec<u8>>) {
        let (mut expected, mut written) = (HashSet::new(), HashSet::new());
        for file in self.on_disk() {
            let was = self.volatile.disk().bytes_at(file.inode, at);
            let (records, tail) = file.records();
            for place in records {
                let record = &file.bytes[place.clone()];
                written.insert(record.to_vec());
                // What is left of lines that were delivered is nothing new.
                let is_same = |was: &[u8]| was.iter().zip(record).all(|(was, is)| is == was || *is == 0);
                let is_left = was.get(place.clone()).is_some_and(is_same);
                if !(is_left && lines_around(&was, place).all(|line| delivered.contains(line))) {
                    expected.insert(record.to_vec());
                }
            }
            written.extend(tail.into_iter().map(|place| file.bytes[place].to_vec()));
        }
        (expected, written)
    }

    /// Nothing that is not on the disk, nothing changed, nothing twice that need not be. Returns how many lines came
    /// again under another name, because the cut has changed their file.
    fn is_right(&self, case: &str, destination: &Destination, written: &HashSet<Vec<u8>>, kept: &Kept) -> usize {
        let mut renamed = 0;
        let first: HashMap<Bytes, &Delivered> =
            self.delivered.iter().map(|delivered| (delivered.seen.body(), delivered)).collect();
        for attempt in destination.attempts().iter() {
            for seen in attempt.entries.iter().filter(|seen| !is_gap(seen) && !seen.line.is_empty()) {
                let body = seen.body();
                assert!(!kept.claimed.contains(&body), "{case}: sent again, though the state knew it: {seen:?}");
                assert!(written.contains(&body[..]), "{case}: nobody wrote {seen:?}");
                let Some(before) = first.get(&body) else { continue };
                // Equal to a destination that keeps one of what is equal.
                let is_same = (before.seen.time, &before.labels) == (seen.time, &attempt.labels);
                assert!(is_same || !kept.same.contains(&body), "{case}: {seen:?} was {:?} before", before.seen);
                renamed += usize::from(!is_same);
            }
        }
        renamed
    }

    /// Everything that can be read.
    fn on_disk(&self) -> Vec<OnDisk> {
        let logs = fs::read_dir(self.site.path("logs")).unwrap();
        // What deleted files held.
        let spooled = fs::read_dir(self.site.path("state/spool")).into_iter().flatten();
        let paths = logs.chain(spooled).map(|item| item.unwrap().path());
        paths.filter(|path| path.extension() != Some(OsStr::new("tmp"))).map(OnDisk::read).collect()
    }
}

fn is_gap(seen: &Seen) -> bool {
    seen.meta("auditship_mark").is_some_and(|mark| mark.contains("gap"))
}
