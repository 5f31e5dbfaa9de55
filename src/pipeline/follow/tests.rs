use super::*;
use crate::pipeline::SourceKind;
use std::{fs, path::Path, sync::mpsc};

/// The follow thread's part of one run over `folder/*.log` with `start_at = "end"`: one scan, and the points at which
/// the lane is told to begin.
fn begin_points(folder: &Path) -> Vec<Point> {
    let source = Source {
        name: "app".into(),
        include: vec![folder.join("*.log").to_string_lossy().into_owned()],
        rotated_dir: None,
        exclude: vec![],
        start_at: StartAt::End,
        max_line: 1 << 20,
        kind: SourceKind::File,
        prefixes: vec![],
        pod_labels: None,
    };
    let (lane, events) = mpsc::channel();
    let targets = vec![Target { name: "loki".into(), takes: vec![true], lane }];
    let store = Arc::new(Store::open(&folder.join("state")).unwrap());
    let settings = FollowSettings {
        sources: &[source],
        host: "h",
        spool_max_bytes: 1 << 20,
        capacity: 100,
        interval: Duration::from_secs(1),
        notify: false,
        once: false,
        gauges: Arc::default(),
        containers: &Arc::new(Containers::start(&mut [], &[]).unwrap()),
    };
    let (events_to, _events) = mpsc::sync_channel(HINTS);
    let (machine, started) = (b"machine".to_vec(), Instant::now());
    let mut follow = Follow::new(&settings, targets, Arc::clone(&store), machine, started, &events_to).unwrap();
    follow.scan();
    assert!(store.sync());
    let opened = |event| match event {
        Event::Opened(_, point) => Some(*point),
        _ => None,
    };
    events.try_iter().filter_map(opened).collect()
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
