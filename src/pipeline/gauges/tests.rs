use super::*;

impl Live {
    /// Of an agent with one output, which started so long ago and has done nothing.
    pub(crate) fn of_nothing(folder: &std::path::Path, ago: Duration) -> Live {
        let budget = Budget { max_label_values: 7, max_streams: 9 };
        Live {
            started: Instant::now().checked_sub(ago).unwrap(),
            store: Arc::new(Store::open(folder).unwrap()),
            admission: Arc::new(Mutex::new(Admission::new(vec![], budget))),
            budget,
            spool_max_bytes: 5,
            lanes: vec![Arc::new(LaneGauges::new("loki"))],
            follow: Arc::default(),
        }
    }

    pub(crate) fn promise(&self, until: Duration) {
        self.lanes[0].pulse.promise(until);
        self.follow.pulse.promise(until);
    }

    pub(crate) fn scanned(&self) {
        self.follow.publish(&FileNumbers { scans: 1, ..FileNumbers::default() });
    }

    pub(crate) fn say_why(&self, why: &str) {
        self.lanes[0].say_why(Some(why));
    }
}

#[test]
fn the_thread_that_is_stuck_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let ago = Duration::from_secs(1000);
    let live = Live::of_nothing(folder.path(), ago);
    live.promise(ago);
    assert_eq!(live.stuck(), None);
    live.follow.pulse.promise(Duration::from_secs(900));
    assert_eq!(live.stuck().as_deref(), Some("the follow thread is stuck: it is 100 s late"));
    live.lanes[0].pulse.promise(Duration::from_secs(800));
    assert_eq!(live.stuck().as_deref(), Some("the lane of output loki is stuck: it is 200 s late"));
    live.promise(Duration::from_secs(1000 + 60));
    live.lanes[0].pulse.end();
    assert_eq!(live.stuck(), None);
}

#[test]
fn numbers_that_belong_together_are_read_together() {
    let shown = Arc::new(Together::<8>::default());
    let writer = {
        let shown = Arc::clone(&shown);
        std::thread::spawn(move || (0..200_000).for_each(|n| shown.publish([n; 8])))
    };
    // On a busy machine the writer can be done before anything is read.
    while !writer.is_finished() {
        let numbers = shown.read();
        assert!(numbers.iter().all(|number| *number == numbers[0]), "{numbers:?}");
    }
    writer.join().unwrap();
    assert_eq!(shown.read(), [199_999; 8]);
}

#[test]
fn a_writer_that_is_interrupted_in_the_middle_disturbs_no_reader() {
    let shown = Together::<2>::default();
    shown.publish([1, 1]);
    // The half of the next publication.
    shown.slot(2)[0].store(2, Ordering::Relaxed);
    assert_eq!(shown.read(), [1, 1]);
    shown.publish([2, 2]);
    assert_eq!(shown.read(), [2, 2]);
}

#[test]
fn an_array_is_the_struct_in_its_order() {
    let array = std::array::from_fn(|n| n as u64);
    let numbers = OutputNumbers::of(array);
    assert_eq!((numbers.records, numbers.pending, numbers.lost_bytes), (0, 2, OutputNumbers::LEN as u64 - 1));
    assert_eq!(numbers.array(), array);
}

#[test]
fn a_thread_is_late_by_its_own_word() {
    let pulse = Pulse::default();
    let at = Duration::from_secs;
    assert_eq!(pulse.late(at(7)), at(7));
    pulse.promise(at(70));
    assert_eq!([pulse.late(at(70)), pulse.late(at(131))], [at(0), at(61)]);
    pulse.beat(at(60));
    assert_eq!(pulse.late(at(131)), at(61));
    pulse.beat(at(130));
    assert_eq!(pulse.late(at(131)), at(1));
    pulse.end();
    assert_eq!(pulse.late(at(1 << 40)), at(0));
}

#[test]
fn causes_are_numbered_as_they_are_listed() {
    for (number, cause) in Cause::ALL.into_iter().enumerate() {
        assert_eq!(cause as usize, number);
    }
}
