//! Random interleavings of what writers, rotation, compression, crashes and the agent's file side do, against a model
//! of a few lines: nothing that could still be read is missing, nothing is torn, and what is sent again is the same.
//!
//! `AUDITSHIP_SEEDS=1000000 cargo test --release --test model` runs more seeds, from `AUDITSHIP_SEED` on.

#![allow(clippy::unwrap_used, clippy::panic)]

mod agent;

use agent::{Agent, Identity, State};
use auditship::{
    discover::{Pattern, Search, scan},
    frame::Lines,
    model::{Nanos, Point},
    tail::{Clock, Life, TailFile},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    env, fs,
    io::{Read as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

struct World {
    folder: tempfile::TempDir,
    chance: fastrand::Rng,
    /// Whether the glob names rotated files too.
    is_wide: bool,
    capacity: usize,
    /// Seconds since the start.
    uptime: u64,
    next_line: u64,
    written: HashSet<String>,
    /// Whole lines in each file, by path.
    files: BTreeMap<PathBuf, Vec<String>>,
    /// Lines of files that were deleted while the agent had them open, by inode.
    held: HashMap<u64, Vec<String>>,
    /// Lines that were destroyed before anybody could read them.
    forgiven: HashSet<String>,
    /// What is still to be written to complete a line, by path.
    rest: HashMap<PathBuf, Vec<u8>>,
    /// Compressed files that are being written: what is still to come, and what they are made of.
    packing: Option<(PathBuf, Vec<u8>, PathBuf)>,
    delivered: HashMap<String, Identity>,
    agent: Option<Agent>,
    state: State,
    log: Vec<String>,
}

impl World {
    fn new(seed: u64) -> World {
        let mut chance = fastrand::Rng::with_seed(seed);
        World {
            folder: tempfile::tempdir().unwrap(),
            is_wide: chance.bool(),
            capacity: [4, 6, 1000][chance.usize(..3)],
            chance,
            uptime: 0,
            next_line: 0,
            written: HashSet::new(),
            files: BTreeMap::new(),
            held: HashMap::new(),
            forgiven: HashSet::new(),
            rest: HashMap::new(),
            packing: None,
            delivered: HashMap::new(),
            agent: None,
            state: State::default(),
            log: Vec::new(),
        }
    }

    fn note(&mut self, text: &str, path: &Path) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        self.log.push(format!("{text} {name}"));
    }

    fn act(&mut self) {
        let live = self.folder.path().join(["a.log", "b.log"][self.chance.usize(..2)]);
        match self.chance.u32(..100) {
            0..34 => self.write(&live),
            34..41 => self.rotate(&live),
            41..45 => self.copy_and_truncate(&live),
            45..47 => self.truncate(&live),
            47..52 => self.compress(),
            52..56 => self.delete(),
            56..84 => self.look(),
            84..94 => self.commit(),
            _ => self.crash(),
        }
    }

    /// Appends a few bytes: perhaps the end of a line, perhaps some lines, perhaps the beginning of one.
    fn write(&mut self, path: &PathBuf) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        let mut bytes = self.rest.remove(path).unwrap_or_default();
        let lines = self.files.entry(path.clone()).or_default();
        for _ in 0..self.chance.u32(..4) {
            let line = format!("line {} é{}", self.next_line, "x".repeat(self.chance.usize(..40)));
            self.next_line += 1;
            self.written.insert(line.clone());
            bytes.extend(format!("{line}\n").bytes());
            lines.push(line);
        }
        let cut = if self.chance.bool() { bytes.len() } else { self.chance.usize(..=bytes.len()) };
        file.write_all(&bytes[..cut]).unwrap();
        if cut < bytes.len() {
            self.rest.insert(path.clone(), bytes[cut..].to_vec());
        }
        self.note(&format!("write {cut} of {}", bytes.len()), path);
    }

    /// Ends the line that is being written, as a writer does before it turns to another file.
    fn end_line(&mut self, path: &Path) {
        if let Some(rest) = self.rest.remove(path) {
            fs::OpenOptions::new().append(true).open(path).unwrap().write_all(&rest).unwrap();
        }
    }

    /// Finishes the compressed file that is being written, and removes what it is made of.
    fn finish_packing(&mut self) {
        let Some((path, rest, source)) = self.packing.take() else { return };
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(&rest).unwrap();
        let lines = self.files.get(&source).cloned().unwrap_or_default();
        self.files.insert(path.clone(), lines);
        self.note("packed", &path);
        self.remove(&source);
    }

    /// `path.1` becomes `path.2` and so on, compressed or not.
    fn make_way(&mut self, path: &Path) -> PathBuf {
        self.finish_packing();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        for number in (1..20).rev() {
            for extension in ["", ".gz", ".zst"] {
                let from = path.with_file_name(format!("{name}.{number}{extension}"));
                if from.exists() {
                    self.rename(&from, &path.with_file_name(format!("{name}.{}{extension}", number + 1)));
                }
            }
        }
        path.with_file_name(format!("{name}.1"))
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        fs::rename(from, to).unwrap();
        let lines = self.files.remove(from).unwrap_or_default();
        self.files.insert(to.to_owned(), lines);
    }

    fn rotate(&mut self, path: &Path) {
        if path.exists() {
            self.end_line(path);
            let to = self.make_way(path);
            self.rename(path, &to);
            self.note("rotate", path);
        }
    }

    fn copy_and_truncate(&mut self, path: &Path) {
        if !path.exists() {
            return;
        }
        self.end_line(path);
        let to = self.make_way(path);
        let bytes = fs::read(path).unwrap();
        let cut = self.chance.usize(..=bytes.len());
        fs::write(&to, &bytes[..cut]).unwrap();
        self.note(&format!("copy {cut} of {}", bytes.len()), path);
        if self.chance.bool() {
            self.look();
        }
        fs::write(&to, &bytes).unwrap();
        self.files.insert(to.clone(), self.files.get(path).cloned().unwrap_or_default());
        match self.chance.u32(..4) {
            0 => self.look(),
            1 => {
                self.look();
                self.commit();
            }
            2 => self.crash(),
            _ => {}
        }
        self.truncate(path);
    }

    fn truncate(&mut self, path: &Path) {
        if path.exists() {
            self.end_line(path);
            self.note("truncate", path);
            let lines = self.files.insert(path.to_owned(), Vec::new()).unwrap_or_default();
            fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
            self.forgive(&lines);
        }
    }

    /// Compresses a rotated file: at once under a temporary name, or slowly under its last.
    fn compress(&mut self) {
        self.finish_packing();
        let is_plain = |path: &&PathBuf| {
            path.extension().is_some_and(|extension| extension.to_str().unwrap().parse::<u32>().is_ok())
        };
        let plain: Vec<PathBuf> = self.files.keys().filter(is_plain).cloned().collect();
        if plain.is_empty() {
            return;
        }
        let source = plain[self.chance.usize(..plain.len())].clone();
        let bytes = fs::read(&source).unwrap();
        let (packed, extension) = match self.chance.bool() {
            true => (gzip(&bytes), "gz"),
            false => (zstd::encode_all(&bytes[..], 3).unwrap(), "zst"),
        };
        let mut name = source.clone().into_os_string();
        name.push(format!(".{extension}"));
        let path = PathBuf::from(name);
        let cut = self.chance.usize(..=packed.len());
        fs::write(&path, &packed[..cut]).unwrap();
        self.note(&format!("pack {cut} of {}", packed.len()), &source);
        self.packing = Some((path, packed[cut..].to_vec(), source));
        if self.chance.u32(..3) > 0 {
            self.finish_packing();
        }
    }

    fn delete(&mut self) {
        self.finish_packing();
        let paths: Vec<PathBuf> = self.files.keys().cloned().collect();
        if paths.is_empty() {
            return;
        }
        let path = paths[self.chance.usize(..paths.len())].clone();
        self.end_line(&path);
        self.note("delete", &path);
        self.remove(&path);
    }

    fn remove(&mut self, path: &Path) {
        let Some(lines) = self.files.remove(path) else { return };
        let inode = fs::metadata(path).unwrap().ino();
        fs::remove_file(path).unwrap();
        // An open descriptor keeps the content.
        if self.agent.as_ref().is_some_and(|agent| agent.holds(inode)) {
            self.held.entry(inode).or_default().extend(lines);
        } else {
            self.forgive(&lines);
        }
    }

    /// What is not delivered of these lines, and nowhere else, is destroyed.
    fn forgive(&mut self, lines: &[String]) {
        let elsewhere: HashSet<&String> = self.files.values().flatten().collect();
        let is_gone = |line: &&String| !elsewhere.contains(line) && !self.delivered.contains_key(*line);
        self.forgiven.extend(lines.iter().filter(is_gone).cloned().collect::<Vec<_>>());
    }

    fn clock(&self) -> Clock {
        Clock { uptime: Duration::from_secs(self.uptime), wall: Nanos(1) }
    }

    /// A scan, and a turn at some of the files.
    fn look(&mut self) {
        self.uptime += if self.chance.u32(..20) == 0 { 40 } else { self.chance.u64(..3) };
        let glob = self.folder.path().join(if self.is_wide { "*.log*" } else { "*.log" });
        let include = vec![Pattern::new(glob.to_str().unwrap()).unwrap()];
        let search = Search { include, exclude: vec![], rotated_dir: None };
        let now = self.clock();
        let state = &mut self.state;
        let spool = self.folder.path().join("spool");
        let agent = self.agent.get_or_insert_with(|| Agent::start(state, &spool, self.capacity));
        let changes = agent.registry.look(scan(&[search]).files, now);
        agent.apply(changes, state);
        agent.tend(now, state, || self.chance.bool());
        let mut keys: Vec<u32> = agent.files.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            if self.chance.u32(..4) > 0 {
                agent.read(key, now, state, &mut self.delivered, &self.written);
            }
        }
        self.log.push("scan".into());
        self.log.append(&mut agent.log);
        let show = |(file, point, _): &(Arc<TailFile>, Point, Lines)| {
            let known = file.known_now();
            let at = known.seen_at.rsplit('/').next().unwrap_or_default().to_owned();
            format!("{} at {} of {} in {at} {:?}", file.name(), point.at, file.size(), file.life())
        };
        let mut files: Vec<String> = agent.files.values().map(show).collect();
        files.sort();
        let text = format!("look: {files:#?}");
        if self.log.iter().rev().find(|line| line.starts_with("look")) != Some(&text) {
            self.log.push(text);
        }
    }

    /// Everything that was read is acknowledged, and some of it committed.
    fn commit(&mut self) {
        let Some(agent) = &self.agent else { return };
        let mut keys: Vec<u32> = agent.files.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            let (file, point, _) = &agent.files[&key];
            if self.chance.bool() && self.state.points.insert(file.name(), *point) != Some(*point) {
                self.log.push(format!("commit {} at {}", file.name(), point.at));
            }
            if self.state.points.get(&file.name()) == Some(point) {
                file.set_committed(0, *point);
                if file.life() == Life::Replaced || (file.life() == Life::Final && point.at >= file.size()) {
                    file.let_go(0);
                }
            }
        }
    }

    fn crash(&mut self) {
        self.log.push("crash".into());
        if self.agent.take().is_none() {
            return;
        }
        // Descriptors of deleted files were the last way to their content, but for what was saved.
        let spooled = spooled(&self.folder.path().join("spool"));
        for lines in std::mem::take(&mut self.held).into_values() {
            let lost: Vec<String> = lines.into_iter().filter(|line| !spooled.contains(line)).collect();
            self.forgive(&lost);
        }
    }

    /// Everything stands still; what can be read must be there.
    fn end(&mut self) {
        self.finish_packing();
        for path in self.rest.keys().cloned().collect::<Vec<_>>() {
            self.end_line(&path);
        }
        for _ in 0..60 {
            self.look();
            self.commit();
        }
        let missing: Vec<&String> = self
            .written
            .iter()
            .filter(|line| !self.delivered.contains_key(*line) && !self.forgiven.contains(*line))
            .collect();
        assert!(missing.is_empty(), "missing: {missing:?}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Every line that the spool holds.
fn spooled(folder: &Path) -> HashSet<String> {
    let mut lines = HashSet::new();
    for item in fs::read_dir(folder).into_iter().flatten() {
        let path = item.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let mut text = Vec::new();
        match path.extension().unwrap().to_str().unwrap() {
            "gz" => _ = flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut text),
            "zst" => text = zstd::decode_all(&bytes[..]).unwrap_or_default(),
            _ => text = bytes,
        }
        let whole = text.len() - text.iter().rev().position(|byte| *byte == b'\n').unwrap_or(text.len());
        lines.extend(String::from_utf8_lossy(&text[..whole]).lines().map(str::to_owned));
    }
    lines
}

/// How many lines were written, and how many of them destroyed; or what happened.
fn run(seed: u64) -> Result<(usize, usize), String> {
    let mut world = World::new(seed);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for _ in 0..60 {
            world.act();
        }
        world.end();
    }));
    result.map(|()| (world.written.len(), world.forgiven.len())).map_err(|_| {
        let known = world
            .state
            .known
            .values()
            .map(|known| format!("{known:?} {:?}", world.state.points.get(&known.origin.name)));
        let last = world.agent.iter().flat_map(|agent| agent.log.iter().cloned());
        let last = last.chain(world.agent.iter().map(|agent| format!("{:#?}", agent.registry)));
        let lines: Vec<String> = world.log.iter().cloned().chain(last).chain(known).collect();
        format!("seed {seed} (again: AUDITSHIP_SEED={seed} AUDITSHIP_SEEDS=1):\n{}", lines.join("\n"))
    })
}

#[test]
fn nothing_is_lost_torn_or_changed() {
    let number = |name: &str, default: u64| env::var(name).map_or(default, |text| text.parse().unwrap());
    let from = number("AUDITSHIP_SEED", 0);
    let seeds = number("AUDITSHIP_SEEDS", 10_000);
    let next = AtomicU64::new(from);
    let sums = Mutex::new((0, 0));
    let failed = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds || failed.lock().unwrap().len() >= 20 {
                        return;
                    }
                    match run(seed) {
                        Ok((lines, forgiven)) => {
                            let mut sums = sums.lock().unwrap();
                            *sums = (sums.0 + lines, sums.1 + forgiven);
                        }
                        Err(story) => _ = failed.lock().unwrap().insert(seed, story),
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    if let Some(shortest) = failed.values().min_by_key(|story| story.len()) {
        panic!("seeds {:?} failed, such as {shortest}", failed.keys());
    }
    let (lines, forgiven) = *sums.lock().unwrap();
    println!("{seeds} seeds, {lines} lines, {forgiven} destroyed before anybody could read them");
    assert!(seeds < 100 || (lines > 0 && forgiven < lines / 2), "the model must not forgive everything");
}

/// Beyond those that run by default.
#[test]
fn seeds_that_failed_once_do_not_fail_again() {
    for seed in [900_531] {
        if let Err(story) = run(seed) {
            panic!("{story}");
        }
    }
}
