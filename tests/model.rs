//! Random interleavings of what writers, rotation, crashes and the agent's file side do, against a model of a few
//! lines: nothing that could still be read is missing, nothing is torn, and what is sent again is the same.
//!
//! `AUDITSHIP_SEEDS=1000000 cargo test --release --test model` runs more seeds, from `AUDITSHIP_SEED` on.

#![allow(clippy::unwrap_used, clippy::panic)]

use auditship::{
    discover::{Pattern, Search, scan},
    frame::{Lines, Settings, Step},
    model::{Chain, FileName, Known, Mark, Nanos, Point, leaf},
    tail::{Buffer, Burst, Change, Clock, Registry, Remembered, TailFile},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    env, fs,
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

/// Where a record was found: the same line is always at the same place.
type Identity = (FileName, u64, u64, Chain);

struct World {
    folder: tempfile::TempDir,
    chance: fastrand::Rng,
    next_line: u64,
    /// Every line that was begun, and the inode it was written to.
    written: HashMap<String, u64>,
    /// Lines that were destroyed before anybody could read them.
    forgiven: HashSet<String>,
    /// What is still to be written to complete a line, by path.
    rest: HashMap<PathBuf, Vec<u8>>,
    delivered: HashMap<String, Identity>,
    rotations: u64,
    agent: Option<Agent>,
    state: State,
    log: Vec<String>,
}

/// What survives a crash.
#[derive(Default)]
struct State {
    known: BTreeMap<FileName, Known>,
    points: BTreeMap<FileName, Point>,
}

struct Agent {
    registry: Registry,
    buffer: Buffer,
    files: HashMap<u32, (Arc<TailFile>, Point, Lines)>,
}

impl World {
    fn new(seed: u64) -> World {
        World {
            folder: tempfile::tempdir().unwrap(),
            chance: fastrand::Rng::with_seed(seed),
            next_line: 0,
            written: HashMap::new(),
            forgiven: HashSet::new(),
            rest: HashMap::new(),
            delivered: HashMap::new(),
            rotations: 0,
            agent: None,
            state: State::default(),
            log: Vec::new(),
        }
    }

    fn act(&mut self) {
        let live = self.folder.path().join(["a.log", "b.log"][self.chance.usize(..2)]);
        match self.chance.u32(..100) {
            0..40 => self.write(&live),
            40..48 => self.rename(&live),
            48..52 => self.truncate(&live),
            52..56 => self.delete(),
            56..84 => self.look(),
            84..94 => self.commit(),
            _ => self.crash(),
        }
    }

    /// Appends a few bytes: perhaps the end of a line, perhaps some lines, perhaps the beginning of one.
    fn write(&mut self, path: &PathBuf) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        let inode = file.metadata().unwrap().ino();
        let mut bytes = self.rest.remove(path).unwrap_or_default();
        for _ in 0..self.chance.u32(..4) {
            let line = format!("line {} é{}", self.next_line, "x".repeat(self.chance.usize(..40)));
            self.next_line += 1;
            self.written.insert(line.clone(), inode);
            bytes.extend(format!("{line}\n").bytes());
        }
        let cut = if self.chance.bool() { bytes.len() } else { self.chance.usize(..=bytes.len()) };
        file.write_all(&bytes[..cut]).unwrap();
        self.log.push(format!("write {} {cut} of {}", path.display(), bytes.len()));
        if cut < bytes.len() {
            self.rest.insert(path.clone(), bytes[cut..].to_vec());
        }
    }

    /// Ends the line that is being written, as a writer does before it turns to another file.
    fn end_line(&mut self, path: &PathBuf) {
        if let Some(rest) = self.rest.remove(path) {
            fs::OpenOptions::new().append(true).open(path).unwrap().write_all(&rest).unwrap();
        }
    }

    fn rename(&mut self, path: &PathBuf) {
        if path.exists() {
            self.end_line(path);
            self.rotations += 1;
            let to = path.with_extension(format!("log.{}", self.rotations));
            self.log.push(format!("rename {} {}", path.display(), to.display()));
            fs::rename(path, to).unwrap();
        }
    }

    fn truncate(&mut self, path: &PathBuf) {
        if path.exists() {
            self.end_line(path);
            self.log.push(format!("truncate {}", path.display()));
            self.forgive(fs::metadata(path).unwrap().ino());
            fs::OpenOptions::new().write(true).open(path).unwrap().set_len(0).unwrap();
        }
    }

    fn delete(&mut self) {
        let mut paths: Vec<PathBuf> = fs::read_dir(self.folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
        paths.sort();
        if paths.is_empty() {
            return;
        }
        let path = paths.swap_remove(self.chance.usize(..paths.len()));
        self.end_line(&path);
        let inode = fs::metadata(&path).unwrap().ino();
        self.log.push(format!("delete {}", path.display()));
        fs::remove_file(&path).unwrap();
        // An open descriptor keeps the content.
        if !self.agent.as_ref().is_some_and(|agent| agent.holds(inode)) {
            self.forgive(inode);
        }
    }

    /// What is not delivered of the lines in this inode is destroyed.
    fn forgive(&mut self, inode: u64) {
        let gone = self.written.iter().filter(|(_, at)| **at == inode).map(|(line, _)| line.clone());
        let gone: Vec<String> = gone.filter(|line| !self.delivered.contains_key(line)).collect();
        self.forgiven.extend(gone);
        // The inode may be used again: what is written to it from now on is another content.
        self.written.retain(|_, at| {
            *at != inode || {
                *at = 0;
                true
            }
        });
    }

    fn clock(&self) -> Clock {
        Clock { uptime: Duration::ZERO, wall: Nanos(1) }
    }

    /// A scan, and a turn at some of the files.
    fn look(&mut self) {
        let glob = self.folder.path().join("*.log*");
        let search = Search { include: vec![Pattern::new(glob.to_str().unwrap()).unwrap()], exclude: vec![] };
        let now = self.clock();
        let state = &mut self.state;
        let agent = self.agent.get_or_insert_with(|| Agent::start(state));
        let changes = agent.registry.look(scan(&[search]).files, now);
        agent.apply(changes, state);
        let mut keys: Vec<u32> = agent.files.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            if self.chance.u32(..4) > 0 {
                agent.read(key, now, state, &mut self.delivered, &self.written, &self.forgiven);
            }
        }
        let files: Vec<String> = self
            .agent
            .iter()
            .flat_map(|a| a.files.values())
            .map(|(f, p, _)| format!("{} at {} of {:?}", f.name(), p.at, f.known.identity))
            .collect();
        self.log.push(format!("look {files:?}"));
    }

    /// Everything that was read is acknowledged, and some of it committed.
    fn commit(&mut self) {
        let Some(agent) = &self.agent else { return };
        let mut keys: Vec<u32> = agent.files.keys().copied().collect();
        keys.sort_unstable();
        for key in keys {
            let (file, point, _) = &agent.files[&key];
            if self.chance.bool() {
                self.state.points.insert(file.name(), *point);
            }
        }
        self.log.push("commit".into());
    }

    fn crash(&mut self) {
        self.log.push("crash".into());
        let Some(agent) = self.agent.take() else { return };
        // Descriptors of deleted files were the last way to their content.
        for (file, _, _) in agent.files.values() {
            if file.metadata().unwrap().nlink() == 0 {
                self.forgive(file.metadata().unwrap().ino());
            }
        }
    }

    /// Everything stands still; what can be read must be there.
    fn end(&mut self) {
        for path in self.rest.keys().cloned().collect::<Vec<_>>() {
            self.end_line(&path);
        }
        for _ in 0..40 {
            self.look();
        }
        let missing: Vec<&String> = self
            .written
            .keys()
            .filter(|line| !self.delivered.contains_key(*line) && !self.forgiven.contains(*line))
            .collect();
        assert!(missing.is_empty(), "missing: {missing:?}");
    }
}

impl Agent {
    fn start(state: &State) -> Agent {
        let remembered = state.known.values().map(|known| Remembered {
            known: known.clone(),
            points: state.points.get(&known.origin.name).copied().into_iter().collect(),
        });
        let registry = Registry::new(
            b"machine".to_vec(),
            "host".into(),
            vec!["app".into()],
            1,
            remembered.collect(),
            Box::new(|| 7),
        );
        Agent { registry, buffer: Buffer::default(), files: HashMap::new() }
    }

    fn holds(&self, inode: u64) -> bool {
        self.files.values().any(|(file, _, _)| file.metadata().unwrap().ino() == inode)
    }

    fn apply(&mut self, changes: Vec<Change>, state: &mut State) {
        for change in changes {
            match change {
                Change::Opened { file, is_remembered } => {
                    if !is_remembered {
                        state.known.insert(file.name(), file.known.clone());
                    }
                    let start = Point {
                        rewind: 0,
                        at: 0,
                        seq: 0,
                        chain: Chain::start(file.name()),
                        time: None,
                        mark: Mark::default(),
                    };
                    let point = state.points.get(&file.name()).copied().unwrap_or(start);
                    self.files.insert(file.key, (file, point, Lines::default()));
                }
                Change::HeadGrew(known) => drop(state.known.insert(known.origin.name, known)),
                Change::Closed { key } | Change::Gone { key, .. } => drop(self.files.remove(&key)),
                Change::Grew | Change::Forgotten(_) => {}
                Change::Destroyed(known) => {
                    state.known.remove(&known.origin.name);
                    state.points.remove(&known.origin.name);
                }
                Change::Unreadable { path, error } => panic!("{}: {error}", path.display()),
            }
        }
    }

    fn read(
        &mut self,
        key: u32,
        now: Clock,
        state: &mut State,
        delivered: &mut HashMap<String, Identity>,
        written: &HashMap<String, u64>,
        forgiven: &HashSet<String>,
    ) {
        let settings = Settings::new(Vec::new(), 256 * 1024);
        let Some((file, point, lines)) = self.files.get_mut(&key) else { return };
        match self.buffer.read(file, point.at, &point.mark).unwrap() {
            Burst::Replaced => {
                let mut changes = Vec::new();
                self.files.remove(&key);
                self.registry.replace(key, now, &mut changes);
                self.apply(changes, state);
            }
            Burst::Data { bytes, before } => {
                let mut pos = before;
                while let Step::Record(framed) = lines.next(&settings, &bytes[pos..], point.at) {
                    let line = String::from_utf8(framed.body.to_vec()).unwrap();
                    assert!(written.contains_key(&line), "torn or foreign: {line:?}");
                    point.seq += 1;
                    point.chain = point.chain.next(&leaf(framed.body));
                    let identity = (file.name(), framed.offset, point.seq, point.chain);
                    let first = *delivered.entry(line.clone()).or_insert(identity);
                    assert_eq!(first, identity, "{line:?} is sent again, but not as it was");
                    assert!(!forgiven.contains(&line), "{line:?} was destroyed, or so the model says");
                    pos += (framed.end - point.at) as usize;
                    point.at = framed.end;
                }
                point.rewind = point.at;
                point.mark = Mark::of(&bytes[..pos]);
            }
        }
    }
}

#[test]
fn nothing_is_lost_torn_or_changed() {
    let number = |name: &str, default: u64| env::var(name).map_or(default, |text| text.parse().unwrap());
    let from = number("AUDITSHIP_SEED", 0);
    let seeds = number("AUDITSHIP_SEEDS", 2000);
    let (mut lines, mut forgiven) = (0, 0);
    for seed in from..from + seeds {
        let mut world = World::new(seed);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..60 {
                world.act();
            }
            world.end();
        }));
        if let Err(panic) = result {
            println!("seed {seed}:\n{}", world.log.join("\n"));
            for known in world.state.known.values() {
                println!("{known:?} {:?}", world.state.points.get(&known.origin.name));
            }
            std::panic::resume_unwind(panic);
        }
        lines += world.written.len();
        forgiven += world.forgiven.len();
    }
    println!("{seeds} seeds, {lines} lines, {forgiven} destroyed before anybody could read them");
    assert!(lines > 0 && forgiven < lines / 2, "the model must not forgive everything");
}
