use super::*;
use crate::{model::Point, pipeline::SourceKind, tail::TailFile};
use std::{fs, os::unix::fs::MetadataExt as _, path::Path, sync::mpsc};

/// The follow thread's part of one run over `folder/*.log`, and the lane of the last output.
struct Run {
    follow: Follow,
    lane: mpsc::Receiver<Event>,
    store: Arc<Store>,
    events: Receiver<FollowEvent>,
}

fn source(folder: &Path, name: &str, start_at: StartAt) -> Source {
    Source {
        name: name.into(),
        include: vec![folder.join("*.log").to_string_lossy().into_owned()],
        rotated_dir: None,
        exclude: vec![],
        start_at,
        max_line: 1 << 20,
        kind: SourceKind::File,
        prefixes: vec![],
        pod_labels: None,
    }
}

impl Run {
    fn new(folder: &Path, output: &str, start_at: StartAt) -> Run {
        Run::with(folder, &[source(folder, "app", start_at)], &[(output, &[true])])
    }

    /// `outputs`: by name, and which of the sources each takes.
    fn with(folder: &Path, sources: &[Source], outputs: &[(&str, &[bool])]) -> Run {
        let (mut targets, mut lanes) = (Vec::new(), Vec::new());
        for (name, takes) in outputs {
            let (to_lane, lane) = mpsc::channel();
            targets.push(Target { name: (*name).into(), takes: takes.to_vec(), lane: to_lane });
            lanes.push(lane);
        }
        let lane = lanes.pop().unwrap();
        let store = Arc::new(Store::open(&folder.join("state")).unwrap());
        let settings = FollowSettings {
            sources,
            host: "h",
            spool_max_bytes: 1 << 20,
            capacity: 100,
            interval: Duration::from_secs(1),
            notify: false,
            once: false,
            gauges: Arc::default(),
            containers: &Arc::new(Containers::start(&mut [], &[]).unwrap()),
        };
        let (to_follow, events) = mpsc::sync_channel(HINTS);
        let (machine, started) = (b"machine".to_vec(), Instant::now());
        let follow = Follow::new(&settings, targets, Arc::clone(&store), machine, started, &to_follow).unwrap();
        Run { follow, lane, store, events }
    }

    /// What a scan has the lane read, and from where.
    fn scan(&mut self) -> Vec<(Arc<TailFile>, Point)> {
        self.follow.scan();
        let opened = |event| match event {
            Event::Opened(file, point, _) => Some((file, *point)),
            _ => None,
        };
        self.lane.try_iter().filter_map(opened).collect()
    }

    /// The output has got the file up to `at`.
    fn commit(&self, file: &TailFile, point: Point, at: u64) {
        let mark = file.mark_before(at).unwrap();
        let point = Point { rewind: at, at, mark, at_mark: mark, ..point };
        file.set_committed(0, point);
        let output = self.follow.targets[0].name.clone();
        self.store.append([Entry::Cursor { output, file: file.name(), point }]);
        assert!(self.store.sync());
    }
}

fn places(opened: &[(Arc<TailFile>, Point)]) -> Vec<u64> {
    opened.iter().map(|(_, point)| point.at).collect()
}

/// One scan with `start_at = "end"`, and the points at which the lane is told to begin.
fn begin_points(folder: &Path) -> Vec<Point> {
    let mut run = Run::new(folder, "loki", StartAt::End);
    let opened = run.scan();
    assert!(run.store.sync());
    opened.into_iter().map(|(_, point)| point).collect()
}

#[test]
fn a_damaged_state_never_begins_at_the_end() {
    fn check(spoil: fn(&Path), expect: u64) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.log"), "old\n").unwrap();
        assert_eq!(begin_points(folder.path())[0].at, 4);
        fs::write(folder.path().join("a.log"), "old\nwritten while the agent was stopped\n").unwrap();
        spoil(&folder.path().join("state"));
        assert_eq!(begin_points(folder.path())[0].at, expect);
    }
    check(|_| (), 4);
    check(|state| fs::write(state.join("state-0000000001"), [0; 99]).unwrap(), 0);
    check(|state| fs::write(state.join("state-0000000001"), "").unwrap(), 0);
}

#[test]
fn what_comes_into_a_rotated_file_that_was_empty_at_the_first_look_is_new() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.log"), "old\n").unwrap();
    // Rotated while it was empty, and its program has not noticed yet.
    fs::write(folder.path().join("a.log.1"), "").unwrap();
    let mut run = Run::new(folder.path(), "loki", StartAt::End);
    assert_eq!(places(&run.scan()), [4]);
    fs::write(folder.path().join("a.log.1"), "written after the first look\n").unwrap();
    assert_eq!(places(&run.scan()), [0]);
}

/// Its inode is often used again by the next file.
#[test]
fn a_file_that_appears_after_the_first_look_is_new_whatever_its_inode() {
    // Nothing of it is read: it is empty, or the same as the other.
    for text in ["", "old\n"] {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a.log"), "old\n").unwrap();
        fs::write(path("a.log.1"), text).unwrap();
        let mut run = Run::new(folder.path(), "loki", StartAt::End);
        assert_eq!(places(&run.scan()), [4]);
        let inode = fs::metadata(path("a.log.1")).unwrap().ino();
        fs::remove_file(path("a.log.1")).unwrap();
        run.scan();
        fs::write(path("b.log"), "new\n").unwrap();
        println!("used again: {}", fs::metadata(path("b.log")).unwrap().ino() == inode);
        assert_eq!(places(&run.scan()), [0]);
    }
}

#[test]
fn a_new_output_gets_rotated_files_too() {
    fn check(outputs: &[(&str, &[bool])], expect: usize) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.log"), "live\n").unwrap();
        fs::write(folder.path().join("a.log.1"), "rotated\n").unwrap();
        let mut run = Run::new(folder.path(), "one", StartAt::Beginning);
        for (file, point) in run.scan() {
            run.commit(&file, point, file.size());
        }
        drop(run);
        let sources = ["app", "other"].map(|name| source(folder.path(), name, StartAt::Beginning));
        let mut run = Run::with(folder.path(), &sources, outputs);
        let opened = [run.scan(), run.scan()].concat();
        assert_eq!(opened.len(), expect, "{opened:?}");
    }
    // Of the rotated one it has all.
    check(&[("one", &[true, true])], 1);
    check(&[("two", &[true, true])], 2);
    // The position of the other says nothing of it.
    check(&[("one", &[false, true]), ("two", &[true, false])], 2);
}

/// It is not sent again either: what is known of a file goes with it.
#[test]
fn files_go_on_under_the_source_that_names_them_now() {
    fn check(sources: fn(&Path) -> Vec<Source>, takes: &[bool]) {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.log"), "first\n").unwrap();
        let mut run = Run::new(folder.path(), "loki", StartAt::Beginning);
        let (file, point) = run.scan().remove(0);
        run.commit(&file, point, 6);
        drop(run);
        fs::write(folder.path().join("a.log"), "first\nsecond\n").unwrap();
        let sources = sources(folder.path());
        for _ in 0..2 {
            let mut run = Run::with(folder.path(), &sources, &[("loki", takes)]);
            let opened = run.scan();
            assert_eq!(places(&opened), [6]);
            let file = &opened[0].0;
            assert_eq!((&*file.known.origin.source, &*sources[file.source].name), ("audit", "audit"));
            assert_eq!(run.store.with_memory(|memory| memory.files.len()), 1);
            assert!(run.store.sync());
        }
    }
    fn named(folder: &Path, name: &str) -> Source {
        source(folder, name, StartAt::Beginning)
    }
    check(|folder| vec![named(folder, "audit")], &[true]);
    check(|folder| vec![named(folder, "audit"), named(folder, "app")], &[true, false]);
    check(
        |folder| {
            let app = Source { include: vec!["/nowhere/*.log".into()], ..named(folder, "app") };
            vec![app, named(folder, "audit")]
        },
        &[true, true],
    );
}

#[test]
fn an_output_without_a_position_begins_where_the_spool_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    fs::write(&path, "first\nsecond\n").unwrap();
    let mut run = Run::new(folder.path(), "one", StartAt::Beginning);
    let (file, point) = run.scan().remove(0);
    run.commit(&file, point, 6);
    fs::remove_file(&path).unwrap();
    run.scan();
    let saved = loop {
        if let FollowEvent::Saved(saved) = run.events.recv_timeout(Duration::from_secs(20)).unwrap() {
            break saved;
        }
    };
    run.follow.saved(&saved);
    assert!(run.store.sync());
    drop((run, file));
    let mut run = Run::new(folder.path(), "two", StartAt::Beginning);
    let opened = [run.scan(), run.scan()].concat();
    let (file, point) = &opened[0];
    let mut buffer = crate::tail::Buffer::default();
    let crate::tail::Burst::Data { bytes, before } = buffer.read(file, point.rewind, &point.mark).unwrap() else {
        panic!("{file:?}")
    };
    assert_eq!((&bytes[before..], point.rewind, point.at), (&b"second\n"[..], 6, 6));
}
