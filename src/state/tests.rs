use super::{
    entry::Entry,
    log::{Ending, MAGIC, Reading, put, read},
    *,
};
use crate::model::{Chain, Container, FileName, Identity, Known, LabelSet, Mark, Nanos, Origin, Packing, Point};
use std::fs;

fn known(name: u64) -> Known {
    Known {
        origin: Origin {
            name: FileName(name),
            host: "h".into(),
            path: "/var/log/a".into(),
            source: "app".into(),
            first_seen: Nanos(7),
            container: None,
        },
        identity: Identity { device: 1, inode: 2, birth: Some(-3) },
        nonce: 4,
        generation: 5,
        head: Mark::of(b"head"),
        packing: Packing::Zstd,
        size: 8,
        packed_size: 6,
        pin: Some((5000, Mark::of(b"pin"))),
        is_deleted: true,
        is_lost: true,
        last_seen: Nanos(9),
        seen_at: "/var/log/a.log.1".into(),
    }
}

/// Of a container of which all is known.
fn of_container(name: u64) -> Known {
    let container = Container {
        namespace: Some("shop".into()),
        pod: Some("api-1".into()),
        pod_uid: Some("u-1".into()),
        name: Some("app".into()),
        restart_count: Some(0),
        id: Some("4f1c".into()),
        labels: [("app".into(), "api".into()), ("b".into(), "c".into())].into(),
    };
    let known = known(name);
    Known { origin: Origin { container: Some(container.into()), ..known.origin }, ..known }
}

fn point(at: u64) -> Point {
    let (mark, at_mark) = (Mark::of(b"x"), Mark::of(b"y"));
    Point {
        rewind: at - 1,
        at,
        seq: 3,
        chain: Chain([9; 32]),
        time: Some(Nanos(-1)),
        mark,
        at_mark,
        within: [false, true],
    }
}

fn cursor(at: u64) -> Entry {
    Entry::Cursor { output: "loki".into(), file: FileName(1), point: point(at) }
}

fn every_kind() -> Vec<Entry> {
    vec![
        Entry::Machine(vec![1, 2]),
        Entry::File(known(1)),
        Entry::File(known(2)),
        Entry::File(of_container(3)),
        Entry::Gone(FileName(2)),
        cursor(10),
        Entry::LabelValue { label: "tenant".into(), value: "a".into() },
        Entry::Stream(LabelSet::new([("tenant".into(), "a".into())])),
        Entry::Source { source: "app".into(), output: "loki".into() },
        Entry::Health { output: "loki".into(), health: Health { since: Nanos(8), stalled: Some("503".into()) } },
        late(9),
        late(10),
        base(3, 5),
        // Of a file that nothing is known of: not kept.
        Entry::Base { output: "loki".into(), file: FileName(99), from: 1, time: Nanos(7) },
        base(4, 6),
    ]
}

fn late(before: i64) -> Entry {
    let labels = LabelSet::new([("tenant".into(), "a".into())]);
    Entry::Late { output: "loki".into(), labels, before: Nanos(before) }
}

fn base(from: u64, time: i64) -> Entry {
    Entry::Base { output: "loki".into(), file: FileName(1), from, time: Nanos(time) }
}

#[test]
fn what_was_decided_of_late_records_stays_until_their_file_is_gone() {
    let mut memory = memory_of(&every_kind());
    assert_eq!(memory.late.values().collect::<Vec<_>>(), [&Nanos(10)]);
    assert_eq!(memory.bases.values().collect::<Vec<_>>(), [&vec![(3, Nanos(5)), (4, Nanos(6))]]);
    // From an earlier record on: the later base is made of nothing that was sent.
    memory.apply(&base(2, 9));
    assert_eq!(memory.bases.values().collect::<Vec<_>>(), [&vec![(2, Nanos(9))]]);
    memory.apply(&Entry::Gone(FileName(1)));
    assert_eq!(memory.bases.len(), 0);
}

fn memory_of(entries: &[Entry]) -> Memory {
    let mut memory = Memory::default();
    entries.iter().for_each(|entry| memory.apply(entry));
    memory
}

/// A generation: snapshot of `before`, then `after`.
fn generation(number: u64, before: &[Entry], after: &[Entry]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for (index, entry) in before.iter().chain([&Entry::SnapshotEnd]).chain(after).enumerate() {
        put(&mut bytes, number, index as u64, entry);
    }
    bytes
}

#[test]
fn every_entry_comes_back_as_it_was() {
    let all = every_kind();
    let memory = memory_of(&all);
    let expect = Reading::Usable { memory: Box::new(memory.clone()), ending: Ending::Whole };
    assert_eq!(read(&generation(3, &all, &[]), 3), expect);
    assert_eq!(memory_of(&memory.entries().collect::<Vec<_>>()), memory);
}

/// The two marks of a place from which nothing is needed again are one.
#[test]
fn a_place_is_what_it_was() {
    fn check(rewind: u64, at_mark: Mark) {
        let entry =
            Entry::Cursor { output: "loki".into(), file: FileName(1), point: Point { rewind, at_mark, ..point(9) } };
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        assert_eq!(Entry::decode(&bytes), Some(entry));
    }
    check(9, Mark::of(b"x"));
    check(8, Mark::of(b"y"));
    check(0, Mark::default());
}

#[test]
fn a_file_is_what_it_was_whatever_is_known_of_its_container() {
    fn check(container: Option<Container>) {
        let mut known = known(1);
        known.origin.container = container.map(Into::into);
        let entry = Entry::File(known);
        let mut bytes = Vec::new();
        entry.encode(&mut bytes);
        assert_eq!(Entry::decode(&bytes), Some(entry));
    }
    check(None);
    check(of_container(1).origin.container.as_deref().cloned());
    check(Some(Container { restart_count: Some(0), ..Container::default() }));
    check(Some(Container { id: Some("4f1c".into()), ..Container::default() }));
}

#[test]
fn a_file_of_a_state_of_before_has_no_container() {
    // As version 0.1 wrote it before there were containers.
    let bytes = hex(OLD_FILE);
    assert_eq!(Entry::decode(&bytes), Some(Entry::File(Known { packed_size: 0, pin: None, ..known(1) })));
}

#[test]
fn a_state_cut_anywhere_is_a_state_of_before() {
    let whole = generation(1, &every_kind(), &[cursor(11), cursor(12)]);
    let snapshot = generation(1, &every_kind(), &[]).len();
    for cut in 0..whole.len() {
        match read(&whole[..cut], 1) {
            Reading::Usable { memory, .. } => {
                assert!(cut >= snapshot);
                assert!(memory.cursors["loki"][&FileName(1)].at <= 12);
            }
            Reading::Unusable(_) => assert!(cut < snapshot, "{cut}"),
            Reading::Newer(_) => panic!("not newer"),
        }
    }
}

#[test]
fn a_flipped_bit_never_gives_a_state_that_was_not() {
    let whole = generation(1, &every_kind(), &[cursor(11), cursor(12)]);
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Reading::Usable { memory, ending } = read(&bytes, 1) {
            assert_ne!(ending, Ending::Whole, "bit {bit} went unnoticed");
            let at = memory.cursors["loki"][&FileName(1)].at;
            assert!((10..=11).contains(&at), "bit {bit}: {at}");
        }
    }
}

#[test]
fn endings_are_told_apart() {
    fn check(spoil: impl Fn(&mut Vec<u8>), expect: Ending) {
        let mut bytes = generation(1, &every_kind(), &[cursor(11), cursor(12)]);
        spoil(&mut bytes);
        match read(&bytes, 1) {
            Reading::Usable { ending, .. } => assert_eq!(ending, expect),
            other => panic!("{other:?}"),
        }
    }
    let snapshot = generation(1, &every_kind(), &[]).len();
    check(|_| (), Ending::Whole);
    check(|bytes| bytes.truncate(bytes.len() - 1), Ending::Torn);
    check(|bytes| bytes.extend([0; 5000]), Ending::Torn);
    check(|bytes| bytes[snapshot + 20] ^= 1, Ending::Damaged);
    check(|bytes| bytes.extend(generation(1, &[], &[])), Ending::Damaged);
}

#[test]
fn a_frame_of_another_generation_or_place_is_damage() {
    let bytes = generation(1, &every_kind(), &[]);
    assert!(matches!(read(&bytes, 2), Reading::Unusable(_)));
    assert!(matches!(read(b"audship\x02", 1), Reading::Newer(2)));
    assert!(matches!(read(b"", 1), Reading::Unusable("it is empty")));
    assert!(matches!(read(&[0; 99], 1), Reading::Unusable("it is all zero bytes")));
}

fn reopen(folder: &std::path::Path) -> Memory {
    match Store::open(folder) {
        Ok(store) => store.with_memory(Clone::clone),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn what_was_synced_is_there_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/state");
    {
        let store = Store::open(&path).unwrap();
        store.append(every_kind());
        assert!(store.sync());
        store.append([cursor(20)]);
        assert!(store.sync());
        store.append([cursor(30)]);
        // Not synced: the process dies here.
    }
    assert_eq!(reopen(&path).cursors["loki"][&FileName(1)].at, 20);
    // Two generations at most are kept, however often it starts.
    for at in 40..45 {
        let store = Store::open(&path).unwrap();
        store.append([cursor(at)]);
        assert!(store.sync());
    }
    assert_eq!(reopen(&path).cursors["loki"][&FileName(1)].at, 44);
    let names: Vec<_> = fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.iter().filter(|name| name.to_string_lossy().starts_with("state-")).count(), 2, "{names:?}");
}

#[test]
fn a_damaged_generation_falls_back_to_the_one_before() {
    let spoils: [fn(&mut Vec<u8>); 3] = [Vec::clear, |b| b.fill(0), |b| b.truncate(30)];
    for spoil in spoils {
        let folder = tempfile::tempdir().unwrap();
        for at in [10, 20] {
            let store = Store::open(folder.path()).unwrap();
            store.append([Entry::File(known(1)), cursor(at)]);
            assert!(store.sync());
        }
        let newest = folder.path().join("state-0000000002");
        let mut bytes = fs::read(&newest).unwrap();
        spoil(&mut bytes);
        fs::write(&newest, &bytes).unwrap();
        assert_eq!(reopen(folder.path()).cursors["loki"][&FileName(1)].at, 10);
        fs::remove_file(folder.path().join("state-0000000001")).unwrap();
        assert_eq!(reopen(folder.path()), Memory::default());
    }
}

#[test]
fn large_states_are_compacted_and_keep_their_last_word() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    store.append([Entry::File(known(1))]);
    for at in 2..3000 {
        store.append((0..10).map(|_| cursor(at)));
        if at % 10 == 0 {
            assert!(store.sync());
        }
    }
    assert!(store.sync());
    let size: u64 = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len()).sum();
    assert!(size < 3 << 20, "{size}");
    drop(store);
    assert_eq!(reopen(folder.path()).cursors["loki"][&FileName(1)].at, 2999);
}

#[test]
fn the_folder_has_one_owner() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let error = Store::open(folder.path()).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains(&format!("another auditship (process {})", std::process::id())), "{error}");
    drop(store);
    assert!(Store::open(folder.path()).is_ok());
}

#[test]
fn a_folder_that_cannot_be_written_claims_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let store = Store::open(&path).unwrap();
    store.append([Entry::File(known(1)), cursor(10)]);
    assert!(store.sync());
    fs::rename(&path, folder.path().join("away")).unwrap();
    fs::write(&path, "not a folder").unwrap();
    // The open log would still take it; a new generation cannot be made.
    store.append((0..60_000).map(|_| cursor(11)));
    let _ = store.sync();
    store.append([cursor(12)]);
    assert!(!store.sync());
    fs::remove_file(&path).unwrap();
    fs::rename(folder.path().join("away"), &path).unwrap();
    assert!(store.sync());
    drop(store);
    assert_eq!(reopen(&path).cursors["loki"][&FileName(1)].at, 12);
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().map(|c| char::from(c).to_digit(16).unwrap_or(99) as u8).collect();
    digits.chunks(2).map(|pair| pair[0] * 16 + pair[1]).collect()
}

const OLD_FILE: &str = "1a650901000000000000001001180220fdffffffffffffffff0128043005380442109f2e6d33a3717ee826353a404ba4618d\
    4a036170705201685a0a2f7661722f6c6f672f6160076802700878018001098a01102f7661722f6c6f672f612e6c6f672e31900101";
