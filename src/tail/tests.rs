mod packed;
mod turns;

use super::*;
use crate::{
    discover::{Pattern, Search, scan},
    model::{Container, Mark, Nanos, Point},
};
use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A folder of `*.log` files, a registry on it, and a reader that has read up to `Point`s.
struct Rig {
    folder: tempfile::TempDir,
    registry: Registry,
    uptime: u64,
    buffer: Buffer,
}

impl Rig {
    fn new() -> Rig {
        Rig::with(tempfile::tempdir().unwrap(), Vec::new())
    }

    fn with(folder: tempfile::TempDir, remembered: Vec<Remembered>) -> Rig {
        let registry = Registry::new(site(&[("app", 1)]), remembered, Vec::new(), Box::new(|| 7));
        Rig { folder, registry, uptime: 0, buffer: Buffer::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn clock(&self) -> Clock {
        Clock { uptime: Duration::from_secs(self.uptime), wall: Nanos(1) }
    }

    fn look(&mut self) -> Vec<Change> {
        let pattern = |text: &str| Pattern::new(self.path(text).to_str().unwrap()).unwrap();
        let search = Search { include: vec![pattern("*.log")], exclude: vec![], rotated_dir: None };
        self.registry.look(scan(&[search]).files, self.clock())
    }

    fn opened(&mut self) -> Vec<(Arc<TailFile>, bool)> {
        self.look()
            .into_iter()
            .filter_map(|change| match change {
                Change::Opened { file, is_remembered } => Some((file, is_remembered)),
                _ => None,
            })
            .collect()
    }

    fn open_one(&mut self) -> (Arc<TailFile>, bool) {
        let mut opened = self.opened();
        assert_eq!(opened.len(), 1);
        opened.remove(0)
    }

    /// What comes after `point`, which moves there; `None` when the file was replaced.
    fn read(&mut self, file: &TailFile, point: &mut Point) -> Option<String> {
        match self.buffer.read(file, point.at, &point.mark).unwrap() {
            Burst::Replaced => None,
            Burst::Data { bytes, before } => {
                let text = String::from_utf8(bytes[before..].to_vec()).unwrap();
                point.at += text.len() as u64;
                point.rewind = point.at;
                point.mark = Mark::of(bytes);
                point.at_mark = point.mark;
                Some(text)
            }
        }
    }

    /// Stops and starts the agent, with what the state would hold.
    fn restart(self, files: &[(&TailFile, Point)]) -> Rig {
        let heads: Vec<Remembered> = files
            .iter()
            .map(|(file, point)| Remembered { known: file.known_now(), points: vec![*point], trail: vec![] })
            .collect();
        Rig::with(self.folder, heads)
    }
}

/// One output, and sources by name with how many outputs take them.
fn site(sources: &[(&str, usize)]) -> Site {
    Site {
        machine: b"machine".to_vec(),
        host: "h".into(),
        sources: sources.iter().map(|(name, _)| (*name).into()).collect(),
        rotates_elsewhere: vec![false; sources.len()],
        in_turn: vec![false; sources.len()],
        outputs: 1,
        takers: sources.iter().map(|(_, takers)| *takers).collect(),
        capacity: 1000,
    }
}

fn opened_in(changes: &[Change]) -> Vec<Arc<TailFile>> {
    let opened = |change: &Change| match change {
        Change::Opened { file, .. } => Some(Arc::clone(file)),
        _ => None,
    };
    changes.iter().filter_map(opened).collect()
}

fn start(file: &TailFile) -> Point {
    Point::start(file.name())
}

#[test]
fn a_look_says_again_and_again_that_it_gets_on() {
    let mut rig = Rig::new();
    let beats = Arc::new(AtomicUsize::new(0));
    let beat = Arc::clone(&beats);
    rig.registry.beat_with(Box::new(move || _ = beat.fetch_add(1, Ordering::Relaxed)));
    (0..5).for_each(|n| rig.append(&format!("{n}.log"), "x"));
    assert_eq!(rig.opened().len(), 5);
    assert!(beats.load(Ordering::Relaxed) >= 5);
}

#[test]
fn what_is_known_of_a_container_is_asked_for_at_first_sight_only() {
    // As many times as it was asked, and for what.
    let describe = |rig: &mut Rig| {
        let asked = std::sync::atomic::AtomicUsize::new(0);
        rig.registry.describe_with(Box::new(move |source, path| {
            let nth = asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let name = format!("{nth} {source} {}", path.file_name()?.to_str()?);
            Some(Container { name: Some(name.into()), ..Container::default() }.into())
        }));
    };
    let name = |file: &TailFile| file.known_now().origin.container.clone().and_then(|c| c.name.clone()).unwrap();
    let mut rig = Rig::new();
    describe(&mut rig);
    rig.append("a.log", "x\n");
    let (a, _) = rig.open_one();
    assert_eq!(&*name(&a), "0 0 a.log");
    rig.append("a.log", "y\n");
    fs::rename(rig.path("a.log"), rig.path("a.log.1")).unwrap();
    assert_eq!(rig.opened().len(), 0);
    rig.append("a.log", "z\n");
    let (b, _) = rig.open_one();
    assert_eq!((&*name(&a), &*name(&b)), ("0 0 a.log", "1 0 a.log"));
    // Another life would say something else.
    let mut rig = rig.restart(&[(&a, start(&a)), (&b, start(&b))]);
    rig.registry.describe_with(Box::new(|_, _| None));
    let mut names: Vec<_> = rig.opened().iter().map(|(file, _)| name(file)).collect();
    names.sort();
    assert_eq!(names, ["0 0 a.log".into(), "1 0 a.log".into()]);
    // What comes after a truncation is another content, and as much is known of it as there is now.
    describe(&mut rig);
    fs::write(rig.path("a.log"), "").unwrap();
    let (c, _) = rig.open_one();
    assert_eq!(&*name(&c), "0 0 a.log");
    assert_ne!(c.name(), b.name());
}

#[test]
fn a_file_is_followed_from_its_first_byte_through_a_rename() {
    let mut rig = Rig::new();
    rig.append("a.log", "x");
    let (a, is_remembered) = rig.open_one();
    assert!(!is_remembered);
    let mut point = start(&a);
    assert_eq!(rig.read(&a, &mut point).as_deref(), Some("x"));
    fs::rename(rig.path("a.log"), rig.path("a.log.1")).unwrap();
    rig.append("a.log", "y");
    let (successor, _) = rig.open_one();
    assert_ne!(successor.name(), a.name());
    rig.append("a.log.1", "z");
    assert!(rig.look().iter().any(|change| matches!(change, Change::Grew)));
    assert_eq!(rig.read(&a, &mut point).as_deref(), Some("z"));
    assert_eq!(rig.read(&successor, &mut start(&successor)).as_deref(), Some("y"));

    // Not seen any more, with a successor, still for 30 s: final.
    assert_eq!(a.life(), Life::Live);
    rig.uptime = 40;
    rig.look();
    assert_eq!(a.life(), Life::Final);
    rig.append("a.log.1", "late");
    rig.look();
    assert_eq!((a.life(), successor.life()), (Life::Live, Life::Live));
    assert_eq!(rig.read(&a, &mut point).as_deref(), Some("late"));
    rig.uptime = 80;
    assert!(!rig.look().iter().any(|change| matches!(change, Change::Closed { .. })));
    // A program that has not noticed the rename writes when it has something to write.
    a.let_go(0);
    rig.look();
    rig.uptime = 80_000;
    rig.look();
    rig.append("a.log.1", "much later");
    assert!(rig.look().iter().any(|change| matches!(change, Change::Grew)));
    assert_eq!((a.life(), rig.read(&a, &mut point).as_deref()), (Life::Live, Some("much later")));
}

#[test]
fn only_the_renamed_files_that_were_still_the_longest_are_closed() {
    let mut rig = Rig::new();
    let mut files = Vec::new();
    for nth in 0..258 {
        let name = format!("{nth}.log");
        rig.append(&name, "x");
        rig.uptime += 1;
        files.push(rig.open_one().0);
        fs::rename(rig.path(&name), rig.path(&format!("{nth}.old"))).unwrap();
    }
    files.iter().for_each(|file| file.let_go(0));
    rig.uptime += 40;
    let closed = |changes: Vec<Change>| -> Vec<u32> {
        let key = |change| match change {
            Change::Closed { key } => Some(key),
            _ => None,
        };
        changes.into_iter().filter_map(key).collect()
    };
    assert_eq!(closed(rig.look()), [files[0].key, files[1].key]);
    assert!(closed(rig.look()).is_empty());
    // Named by a scan again, it is the file that it was.
    fs::rename(rig.path("0.old"), rig.path("back.log")).unwrap();
    let (again, is_remembered) = rig.open_one();
    assert!(is_remembered);
    assert_eq!(again.known.origin, files[0].known.origin);
}

#[test]
fn a_folder_that_cannot_be_listed_ends_no_file() {
    let mut rig = Rig::new();
    rig.append("a.log", "a line without its newl");
    let (a, _) = rig.open_one();
    rig.uptime = 40;
    a.let_go(0);
    assert!(rig.registry.look(Vec::new(), rig.clock()).is_empty());
    assert_eq!(a.life(), Life::Live);
}

#[test]
fn a_pipe_in_the_place_of_a_file_does_not_stop_the_scan() {
    let mut rig = Rig::new();
    rig.append("a.log", "x");
    let pattern = Pattern::new(rig.path("*.log").to_str().unwrap()).unwrap();
    let found = scan(&[Search { include: vec![pattern], exclude: vec![], rotated_dir: None }]).files;
    fs::remove_file(rig.path("a.log")).unwrap();
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, rig.path("a.log"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    assert!(matches!(rig.registry.look(found, rig.clock())[..], [Change::Unreadable { .. }]));
}

#[test]
fn contents_that_are_never_seen_again_are_forgotten_the_oldest_first() {
    let mut rig = Rig::new();
    rig.append("a.log", "x");
    let (a, _) = rig.open_one();
    let unseen = |nth: u64| {
        let mut known = a.known.clone();
        known.origin.name = crate::model::FileName(nth);
        known.last_seen = Nanos(nth as i64);
        known.identity.inode = u64::MAX - nth;
        Remembered { known, points: vec![], trail: vec![] }
    };
    let mut rig = Rig::with(tempfile::tempdir().unwrap(), (0..1025).rev().map(unseen).collect());
    assert!(rig.look().is_empty());
    let forgotten = |change: &Change| matches!(change, Change::Forgotten(_));
    let changes = rig.look();
    assert!(matches!(changes.last(), Some(Change::Forgotten(crate::model::FileName(0)))), "{changes:?}");
    assert_eq!(changes.iter().filter(|change| forgotten(change)).count(), 1);
}

#[test]
fn a_deleted_file_is_read_to_its_end() {
    let mut rig = Rig::new();
    rig.append("a.log", "one\n");
    let (a, _) = rig.open_one();
    fs::remove_file(rig.path("a.log")).unwrap();
    let changes = rig.look();
    assert!(matches!(changes[..], [Change::Updated(_), Change::Save(_)]), "saved at once: {changes:?}");
    assert_eq!(rig.read(&a, &mut start(&a)).as_deref(), Some("one\n"));
    rig.uptime = 31;
    a.let_go(0);
    assert!(rig.look().iter().any(|change| matches!(change, Change::Closed { key } if *key == a.key)));
}

/// Reads "first", spoils the file, and tells what the reader and then the registry make of it.
fn check_replaced(spoil: impl Fn(&Rig), expect: Option<&str>) {
    let mut rig = Rig::new();
    rig.append("a.log", "first\n");
    let (a, _) = rig.open_one();
    let mut point = start(&a);
    rig.read(&a, &mut point);
    spoil(&rig);
    let changes = rig.look();
    let Some(expect) = expect else {
        assert!(rig.read(&a, &mut point).is_some());
        return;
    };
    assert!(changes.iter().any(|change| matches!(change, Change::Grew)), "unnoticed");
    assert_eq!(rig.read(&a, &mut point), None);
    // A scan that finds it shorter knows; otherwise its readers say so, perhaps several of them.
    let mut changes: Vec<Change> =
        changes.into_iter().filter(|change| matches!(change, Change::Opened { .. })).collect();
    rig.registry.replaced(a.key, 0, rig.clock(), &mut changes);
    rig.registry.replaced(a.key, 0, rig.clock(), &mut changes);
    let [Change::Opened { file, is_remembered: false }] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((file.known.generation, a.life()), (1, Life::Adrift));
    assert_ne!(file.name(), a.name());
    assert_eq!(rig.read(file, &mut start(file)).as_deref(), Some(expect));
    // No copy of it turns up.
    rig.look();
    rig.look();
    assert_eq!(a.life(), Life::Replaced);
    a.let_go(0);
    assert!(rig.look().iter().any(|change| matches!(change, Change::Closed { key } if *key == a.key)));
}

#[test]
fn a_truncation_is_noticed_whatever_grew_since() {
    let write = |text: &'static str| move |rig: &Rig| fs::write(rig.path("a.log"), text).unwrap();
    check_replaced(write(""), Some(""));
    check_replaced(write("new\n"), Some("new\n"));
    check_replaced(write("secon\n"), Some("secon\n"));
    check_replaced(write("second and longer\n"), Some("second and longer\n"));
    check_replaced(|rig| rig.append("a.log", "more\n"), None);
}

#[test]
fn a_restart_goes_on_in_the_same_file_under_any_name() {
    let mut rig = Rig::new();
    rig.append("a.log", "first\n");
    let (a, _) = rig.open_one();
    let mut point = start(&a);
    rig.read(&a, &mut point);
    fs::rename(rig.path("a.log"), rig.path("b.log")).unwrap();
    rig.append("a.log", "other\n");
    rig.append("b.log", "second\n");
    let mut rig = rig.restart(&[(&a, point)]);
    let mut opened = rig.opened();
    opened.sort_by_key(|(_, is_remembered)| !is_remembered);
    let (b, other) = (&opened[0], &opened[1]);
    assert!(b.1 && b.0.name() == a.name() && b.0.known.origin.path == a.known.origin.path);
    assert_eq!(rig.read(&b.0, &mut point).as_deref(), Some("second\n"));
    assert!(!other.1 && other.0.name() != a.name());
}

#[test]
fn a_restart_after_a_truncation_starts_anew() {
    fn check(spoil: impl Fn(&Rig), expect_same: bool) {
        let mut rig = Rig::new();
        rig.append("a.log", "first\nsecond\n");
        let (a, _) = rig.open_one();
        let mut point = start(&a);
        rig.read(&a, &mut point);
        spoil(&rig);
        let mut rig = rig.restart(&[(&a, point)]);
        let changes = rig.look();
        let opened = |change: &Change| match change {
            Change::Opened { file, is_remembered } => Some((Arc::clone(file), *is_remembered)),
            _ => None,
        };
        let (again, is_remembered) = changes.iter().find_map(opened).unwrap();
        assert_eq!((is_remembered, again.name() == a.name()), (expect_same, expect_same));
        assert_eq!(again.known.generation, u32::from(!expect_same));
        // It is looked for before it is called lost.
        let is_lost = rig.look().iter().any(|change| matches!(change, Change::Destroyed { unread: None, .. }));
        assert_eq!(is_lost, !expect_same);
    }
    check(|_| (), true);
    check(|rig| rig.append("a.log", "third\n"), true);
    check(|rig| fs::write(rig.path("a.log"), "").unwrap(), false);
    check(|rig| fs::write(rig.path("a.log"), "first\n").unwrap(), false);
    check(|rig| fs::write(rig.path("a.log"), "first\nchanged and longer\n").unwrap(), false);
    check(|rig| fs::write(rig.path("a.log"), "fIrst\nsecond\n").unwrap(), false);
}

#[test]
fn another_inode_with_the_same_bytes_is_another_file() {
    let mut rig = Rig::new();
    rig.append("a.log", "first\n");
    let (a, _) = rig.open_one();
    let mut point = start(&a);
    rig.read(&a, &mut point);
    fs::rename(rig.path("a.log"), rig.path("kept")).unwrap();
    rig.append("a.log", "first\n");
    let mut rig = rig.restart(&[(&a, point)]);
    let (again, is_remembered) = rig.open_one();
    assert!(!is_remembered && again.name() != a.name());
}

#[test]
fn the_head_grows_to_four_kilobytes_and_no_further() {
    let mut rig = Rig::new();
    rig.append("a.log", "");
    let (a, _) = rig.open_one();
    assert_eq!(a.known.head.len, 0);
    let mut lens = Vec::new();
    for _ in 0..5 {
        rig.append("a.log", &"x".repeat(1500));
        for change in rig.look() {
            if let Change::Updated(known) = change {
                lens.push(known.head.len);
            }
        }
    }
    assert_eq!(lens, [1500, 3000, 4096]);
}

#[test]
fn a_file_that_cannot_be_opened_is_said_and_tried_again() {
    let mut rig = Rig::new();
    rig.append("a.log", "x");
    let (a, _) = rig.open_one();
    // What a scan saw may be another file by now.
    fs::remove_file(rig.path("a.log")).unwrap();
    assert!(rig.registry.look_at(&rig.path("a.log"), rig.clock(), &mut Vec::new()));
    assert!(!rig.registry.look_at(&rig.path("b.log"), rig.clock(), &mut Vec::new()));
    assert_eq!(rig.registry.files().map(|file| file.key).collect::<Vec<_>>(), [a.key]);
}

/// A file that no pattern names any more, where it was last seen: what the first looks make of it.
fn where_last_seen(leave_alone: bool) -> Vec<Change> {
    let mut rig = Rig::new();
    rig.append("a.log", "first\n");
    let (a, _) = rig.open_one();
    let mut point = start(&a);
    rig.read(&a, &mut point);
    rig.append("a.log", "second\n");
    fs::rename(rig.path("a.log"), rig.path("elsewhere")).unwrap();
    let mut known = a.known_now();
    known.seen_at = rig.path("elsewhere").to_str().unwrap().into();
    let remembered = Remembered { known, points: vec![point], trail: vec![] };
    let mut rig = Rig::with(rig.folder, vec![remembered]);
    if leave_alone {
        rig.registry.leave_alone([a.name()].into());
    }
    let mut changes = rig.look();
    changes.extend(rig.look());
    changes
}

#[test]
fn a_file_is_found_where_it_was_last_seen_unless_the_configuration_does_not_name_it_any_more() {
    assert!(matches!(where_last_seen(false)[..], [.., Change::Opened { is_remembered: true, .. }]));
    let alone = where_last_seen(true);
    assert!(alone.is_empty(), "{alone:?}");
}

/// Behind a link that was turned to another file while its program went on.
#[test]
fn a_file_that_no_glob_leads_to_is_read_on_after_a_restart() {
    let mut rig = Rig::new();
    rig.append("real-1", "first\n");
    std::os::unix::fs::symlink(rig.path("real-1"), rig.path("a.log")).unwrap();
    let (a, _) = rig.open_one();
    let mut point = start(&a);
    rig.read(&a, &mut point);
    fs::remove_file(rig.path("a.log")).unwrap();
    rig.append("real-2", "other\n");
    std::os::unix::fs::symlink(rig.path("real-2"), rig.path("a.log")).unwrap();
    rig.look();
    let mut rig = rig.restart(&[(&a, point)]);
    rig.look();
    assert!(opened_in(&rig.look()).is_empty(), "all of it was read");
    rig.append("real-1", "second\n");
    let opened = opened_in(&rig.look());
    assert_eq!(opened.iter().map(|file| file.name()).collect::<Vec<_>>(), [a.name()]);
    assert_eq!(rig.read(&opened[0], &mut point).as_deref(), Some("second\n"));
    assert!(opened_in(&rig.look()).is_empty());
}

#[test]
fn a_file_whose_source_no_output_takes_goes_to_the_source_that_names_it() {
    fn check(sources: &[(&str, usize)], owner: &str, is_said: bool) {
        let mut rig = Rig::new();
        rig.append("a.log", "first\n");
        let (a, _) = rig.open_one();
        let mut point = start(&a);
        rig.read(&a, &mut point);
        rig.append("a.log", "second\n");
        let remembered = Remembered { known: a.known_now(), points: vec![point], trail: vec![] };
        rig.registry = Registry::new(site(sources), vec![remembered], Vec::new(), Box::new(|| 7));
        let changes = rig.look();
        let [file] = &opened_in(&changes)[..] else { panic!("{changes:?}") };
        let said = |change: &Change| matches!(change, Change::PassedOn { from, .. } if **from == *"app");
        assert_eq!(changes.iter().any(said), is_said);
        assert_eq!((file.name(), sources[file.source].0), (a.name(), owner));
        assert_eq!(&*file.known.origin.source, owner, "its rotated forms are of the same source");
        assert_eq!(rig.read(file, &mut point).as_deref(), Some("second\n"));
    }
    check(&[("audit", 1), ("app", 0)], "audit", true);
    check(&[("audit", 1)], "audit", true);
    check(&[("audit", 1), ("app", 1)], "app", false);
    check(&[("audit", 0), ("app", 0)], "app", false);
}

/// What a stop persists of a content says nothing once more of it was delivered.
#[test]
fn a_file_that_a_power_cut_left_shorter_is_not_taken_for_its_own_copy() {
    fn check(behind: impl Fn(Rig, &TailFile, Point) -> Rig) {
        let lines = |range: std::ops::Range<usize>| range.map(|n| format!("{n:0>99}\n")).collect::<String>();
        let mut rig = Rig::new();
        rig.append("a.log", &lines(0..100));
        let (a, _) = rig.open_one();
        let mut point = start(&a);
        rig.read(&a, &mut point);
        a.set_committed(0, point);
        rig.append("a.log", &lines(100..110));
        rig.look();
        let mut rig = behind(rig, &a, point);
        rig.append("a.log", &lines(110..150));
        rig.look();
        let files: Vec<_> = rig.registry.files().cloned().collect();
        let a = files.iter().find(|file| file.name() == a.name()).unwrap();
        rig.read(a, &mut point);
        assert_eq!(point.at, 15_000);
        // Of these, 130 lines are on the disk, and the writer goes on there.
        let path = ["a.log", "a.log.1"].map(|name| rig.path(name)).into_iter().rfind(|path| path.exists()).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(13_000).unwrap();
        rig.append(&name, &lines(1000..1010));
        let mut rig = rig.restart(&[(a, point)]);
        let mut got = String::new();
        for _ in 0..3 {
            rig.uptime += 40;
            for file in opened_in(&rig.look()) {
                let mut from = if file.name() == a.name() { point } else { start(&file) };
                got.extend(rig.read(&file, &mut from));
            }
        }
        assert!(got.contains(&lines(1000..1010)), "{} bytes are read anew", got.len());
    }
    check(|rig, a, point| {
        assert_eq!(rig.registry.unfinished().len(), 1);
        let mut rig = rig.restart(&[(a, point)]);
        assert!(rig.open_one().1);
        rig
    });
    check(|mut rig, a, _| {
        fs::rename(rig.path("a.log"), rig.path("a.log.1")).unwrap();
        rig.append("a.log", "new\n");
        rig.look();
        rig.uptime += 40;
        rig.look();
        assert_eq!((a.life(), a.known_now().size), (Life::Final, 11_000));
        // For `append` of the caller.
        fs::rename(rig.path("a.log"), rig.path("b.log")).unwrap();
        fs::rename(rig.path("a.log.1"), rig.path("a.log")).unwrap();
        rig
    });
}

#[test]
fn a_file_that_grows_while_a_reader_begins_is_not_taken_for_another() {
    let rounds = 100;
    let is_mistaken = |_: &u32| {
        let mut rig = Rig::new();
        rig.append("a.log", "x\n");
        let (a, _) = rig.open_one();
        let path = rig.path("a.log");
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let (mut buffer, mut mistakes) = (Buffer::default(), 0);
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    mistakes += usize::from(buffer.read(&a, 0, &Mark::default()).unwrap() == Burst::Replaced);
                }
                mistakes > 0
            });
            for n in 0..60 {
                rig.append("a.log", &format!("line {n} {}\n", "y".repeat(40)));
                rig.registry.look_at(&path, rig.clock(), &mut Vec::new());
            }
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
            reader.join().unwrap()
        })
    };
    assert_eq!((0..rounds).filter(is_mistaken).count(), 0, "of {rounds}");
}
