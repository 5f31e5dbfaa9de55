//! Contents that are read in turn, as those of containers are.

use super::*;

impl Rig {
    fn in_turn() -> Rig {
        let mut rig = Rig::new();
        let site = Site { in_turn: vec![true], ..site(&[("app", 1)]) };
        rig.registry = Registry::new(site, Vec::new(), Vec::new(), Box::new(|| 7));
        rig
    }

    /// A look at what was there before `change`; whether anything is doubted then.
    fn look_while(&mut self, change: impl FnOnce(&Rig)) -> bool {
        let pattern = Pattern::new(self.path("*.log").to_str().unwrap()).unwrap();
        let found = scan(&[Search { include: vec![pattern], exclude: vec![], rotated_dir: None }]).files;
        change(self);
        self.registry.look(found, self.clock());
        assert_eq!(self.registry.wants_look(), !self.registry.unsettled().is_empty());
        self.registry.wants_look()
    }
}

#[test]
fn a_new_file_is_settled_when_the_next_look_finds_no_other() {
    let mut rig = Rig::in_turn();
    rig.append("a.log", "one\n");
    assert!(rig.look_while(|_| ()));
    assert!(!rig.look_while(|_| ()));
    // What only grows leaves no doubt.
    rig.append("a.log", "two\n");
    assert!(!rig.look_while(|_| ()));
}

/// The scan has seen it, and by the time it is to be opened it has another name.
#[test]
fn what_is_renamed_under_a_look_is_waited_for() {
    let mut rig = Rig::in_turn();
    rig.append("a.log", "one\n");
    let is_in_doubt = rig.look_while(|rig| fs::rename(rig.path("a.log"), rig.path("a.log.1")).unwrap());
    assert!(is_in_doubt);
    assert!(rig.registry.files().next().is_none());
    rig.append("a.log", "two\n");
    assert!(rig.look_while(|_| ()));
    assert_eq!(rig.registry.files().count(), 2);
    assert!(!rig.look_while(|_| ()));
}

#[test]
fn the_files_of_other_sources_leave_no_doubt() {
    let mut rig = Rig::new();
    rig.append("a.log", "one\n");
    assert!(!rig.look_while(|_| ()));
}

/// A start after all of a file was read and is needed again; and a beginning that others may have too.
fn needed_from_its_start() -> (Rig, Arc<TailFile>, String) {
    let alike = "x".repeat(5000);
    let mut rig = Rig::new();
    rig.append("a.log", &format!("{alike} one\n"));
    let (file, _) = rig.open_one();
    let mut point = start(&file);
    rig.read(&file, &mut point);
    (point.rewind, point.mark) = (0, Mark::default());
    let rig = rig.restart(&[(&file, point)]);
    (rig, file, alike)
}

/// More of it is done than is needed again: only the bytes before that tell it from one that begins alike.
#[test]
fn equal_beginnings_do_not_make_a_file_another_that_is_needed_from_its_start() {
    fn check(name: &str, keep: impl Fn(&str) -> Vec<u8>) {
        let (mut rig, file, alike) = needed_from_its_start();
        fs::remove_file(rig.path("a.log")).unwrap();
        fs::write(rig.path(name), keep(&format!("{alike} two, and more\n"))).unwrap();
        rig.append("a.log", "live\n");
        let mut names = Vec::new();
        for _ in 0..3 {
            rig.uptime += 40;
            names.extend(opened_in(&rig.look_into().0).into_iter().map(|file| file.name()));
        }
        assert_eq!(names.len(), 2, "{name}");
        assert!(!names.contains(&file.name()), "{name} was taken for the other");
    }
    check("a.log.1.gz", packed::gzip);
    check("a.log.1", |text| text.into());
}

#[test]
fn nor_does_the_inode_together_with_an_equal_beginning() {
    let (mut rig, file, alike) = needed_from_its_start();
    fs::write(rig.path("a.log"), format!("{alike} two, and more\n")).unwrap();
    let (other, is_remembered) = rig.open_one();
    assert!(!is_remembered && other.name() != file.name());
}

#[test]
fn a_family_that_gets_new_files_all_the_time_is_not_waited_for_for_ever() {
    let mut rig = Rig::in_turn();
    let mut longest = 0;
    let mut row = 0;
    for n in 0..40 {
        rig.append(&format!("a.log.{n}"), "x\n");
        rig.append("a.log", "y\n");
        row = if rig.look_while(|_| ()) { row + 1 } else { 0 };
        longest = longest.max(row);
        // Only the start as a whole waits for what it found.
        assert!(n < 6 || !rig.registry.is_settling());
    }
    assert_eq!(longest, 5);
}

/// Nothing of either is acknowledged: only what was read early, and may have been sent, tells which is which.
#[test]
fn files_that_begin_alike_and_are_not_acknowledged_are_told_apart() {
    let text = |n: u32| format!("{} {n} {}\n", "x".repeat(5000), n.to_string().repeat(300));
    let mut rig = Rig::new();
    let (mut files, mut names) = (Vec::new(), Vec::new());
    for n in 1..=3 {
        rig.append(&format!("{n}.log"), &text(n));
        let (file, _) = rig.open_one();
        let text = text(n);
        assert!(file.note_first(text.as_bytes(), 5100, &Mark::of(&text.as_bytes()[..5100])).is_some());
        names.push(file.name());
        files.push(file);
    }
    let of = |file: &Arc<TailFile>| Remembered { known: file.known_now(), points: vec![start(file)], trail: vec![] };
    let mut remembered: Vec<Remembered> = files.iter().map(of).collect();
    let folder = rig.folder;
    for (n, remembered) in (1..=3).zip(&mut remembered) {
        fs::remove_file(folder.path().join(format!("{n}.log"))).unwrap();
        remembered.known.seen_at = folder.path().join("a.log").to_string_lossy().into();
        remembered.known.origin.path = remembered.known.seen_at.clone();
    }
    // The other way round than they were written.
    for (n, nth) in [(1, 3), (2, 1), (3, 2)] {
        fs::write(folder.path().join(format!("a.log.{nth}.gz")), packed::gzip(&text(n))).unwrap();
    }
    fs::write(folder.path().join("a.log"), "live\n").unwrap();
    let mut rig = Rig::with(folder, remembered);
    let mut found = Vec::new();
    for _ in 0..3 {
        rig.uptime += 40;
        found.extend(opened_in(&rig.look_into().0).into_iter().filter(|file| file.is_packed()));
    }
    assert_eq!(found.len(), 3);
    for file in found {
        let n = 1 + names.iter().position(|name| *name == file.name()).expect("a name that is known") as u32;
        let mut point = start(&file);
        assert_eq!(rig.read(&file, &mut point), Some(text(n)), "the name of number {n}");
    }
}

/// It was empty when it was opened, and no look has seen it grow before it was read and sent.
#[test]
fn a_file_is_known_by_what_was_read_of_it_before_a_look_sees_that() {
    let mut rig = Rig::new();
    rig.append("a.log", "");
    let (file, _) = rig.open_one();
    rig.append("a.log", "one\n");
    assert_eq!(file.known_now().head.len, 0);
    let known = file.note_first(b"one\n", 4, &Mark::of(b"one\n")).expect("something to persist");
    let remembered = Remembered { known, points: vec![start(&file)], trail: vec![] };
    fs::remove_file(rig.path("a.log")).unwrap();
    fs::write(rig.path("a.log.1.gz"), packed::gzip("one\n")).unwrap();
    rig.append("a.log", "live\n");
    let mut rig = Rig::with(rig.folder, vec![remembered]);
    let found = rig.opened_packed(3, 40);
    assert_eq!(found.iter().map(|file| file.name()).collect::<Vec<_>>(), [file.name()]);
}

/// Neither is read yet, and both are renamed while the second is looked into.
#[test]
fn a_compressed_file_that_begins_like_another_is_not_its_copy() {
    let text = |n: u32| format!("{} {n}\n", "x".repeat(5000));
    let mut rig = Rig::new();
    rig.append("a.log", "live\n");
    fs::write(rig.path("a.log.1.gz"), packed::gzip(&text(1))).unwrap();
    assert_eq!(rig.opened_packed(2, 1).len(), 1);
    let shift = |rig: &Rig, n: u32| {
        fs::rename(rig.path(&format!("a.log.{n}.gz")), rig.path(&format!("a.log.{}.gz", n + 1))).unwrap();
    };
    shift(&rig, 1);
    fs::write(rig.path("a.log.1.gz"), packed::gzip(&text(2))).unwrap();
    let mut opened = Vec::new();
    for change in rig.look() {
        let Change::Inspect(inspection) = change else { continue };
        shift(&rig, 2);
        shift(&rig, 1);
        rig.registry.inspected(inspection.run(), rig.clock(), &mut opened);
    }
    opened.extend(rig.look_into().0);
    assert_eq!(opened_in(&opened).len(), 1, "{:?}", rig.registry);
}
