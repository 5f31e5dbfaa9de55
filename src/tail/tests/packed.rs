//! Compressed files that change after they were taken, or are damaged.

use super::*;

pub(super) fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// So many bytes that half of them, compressed, are more than a beginning.
fn text() -> String {
    (0..20_000).map(|n| format!("line {n} {}\n", n * 7919 % 10007)).collect()
}

impl Rig {
    /// A look, with the inspections that it wants, and how many those are.
    pub(super) fn look_into(&mut self) -> (Vec<Change>, usize) {
        let (mut all, mut inspections) = (Vec::new(), 0);
        for change in self.look() {
            match change {
                Change::Inspect(inspection) => {
                    inspections += 1;
                    self.registry.inspected(inspection.run(), self.clock(), &mut all);
                }
                other => all.push(other),
            }
        }
        (all, inspections)
    }

    /// Compressed files that are opened by so many looks.
    pub(super) fn opened_packed(&mut self, looks: usize, seconds: u64) -> Vec<Arc<TailFile>> {
        let mut found = Vec::new();
        for _ in 0..looks {
            self.uptime += seconds;
            let changes = self.look_into().0;
            found.extend(opened_in(&changes).into_iter().filter(|file| file.is_packed()));
        }
        found
    }

    fn append_bytes(&self, name: &str, bytes: &[u8]) {
        fs::OpenOptions::new().append(true).open(self.path(name)).unwrap().write_all(bytes).unwrap();
    }
}

/// A rotated file of one member that was read, and a reader of it.
fn taken() -> (Rig, Arc<TailFile>, Point) {
    let mut rig = Rig::new();
    rig.append("a.log", "live\n");
    fs::write(rig.path("a.log.1.gz"), gzip("one\n")).unwrap();
    let file = rig.opened_packed(1, 0).remove(0);
    let mut point = start(&file);
    assert_eq!(rig.read(&file, &mut point).as_deref(), Some("one\n"));
    file.set_committed(0, point);
    (rig, file, point)
}

#[test]
fn a_member_that_is_appended_is_read() {
    let (mut rig, file, mut point) = taken();
    rig.append_bytes("a.log.1.gz", &gzip("two\n"));
    assert!(rig.opened_packed(1, 1).is_empty());
    // Its readers see that what they had is gone, and that all of it was read.
    assert_eq!(file.life(), Life::Replaced);
    file.let_go(0);
    let opened = rig.opened_packed(3, 1);
    assert_eq!(opened.iter().map(|file| file.name()).collect::<Vec<_>>(), [file.name()]);
    assert_eq!(rig.read(&opened[0], &mut point).as_deref(), Some("two\n"));
}

#[test]
fn a_member_that_is_appended_while_some_is_unread_is_read_by_the_same_reader() {
    let (mut rig, file, mut point) = taken();
    file.set_committed(0, start(&file));
    let second = gzip("two\n");
    // Half of it is no reason to call anything lost.
    rig.append_bytes("a.log.1.gz", &second[..second.len() / 2]);
    for _ in 0..5 {
        assert!(rig.opened_packed(1, 1).is_empty());
        assert_eq!(file.life(), Life::Adrift);
    }
    rig.append_bytes("a.log.1.gz", &second[second.len() / 2..]);
    assert!(rig.opened_packed(2, 1).is_empty());
    assert_eq!((file.life(), rig.read(&file, &mut point).as_deref()), (Life::Final, Some("two\n")));
}

#[test]
fn a_member_that_was_appended_while_the_agent_was_stopped_is_read() {
    let (rig, file, mut point) = taken();
    rig.append_bytes("a.log.1.gz", &gzip("two\n"));
    let mut rig = rig.restart(&[(&file, point)]);
    let opened = rig.opened_packed(3, 1);
    assert_eq!(opened.iter().map(|file| file.name()).collect::<Vec<_>>(), [file.name()]);
    assert_eq!(rig.read(&opened[0], &mut point).as_deref(), Some("two\n"));
}

#[test]
fn a_start_inspects_only_what_has_changed() {
    let (rig, file, point) = taken();
    let mut rig = rig.restart(&[(&file, point)]);
    assert_eq!(rig.look_into().1, 0);
    // A state of before says less.
    let known = crate::model::Known { packed_size: 0, ..file.known_now() };
    rig.registry =
        Rig::with(tempfile::tempdir().unwrap(), vec![Remembered { known, points: vec![point], trail: vec![] }])
            .registry;
    let (changes, inspections) = rig.look_into();
    assert_eq!(inspections, 1);
    assert!(opened_in(&changes).iter().all(|file| !file.is_packed()), "it was read: {changes:?}");
    assert_eq!(rig.look_into().1, 0);
}

/// By an agent that does not wait, in the middle of the compression.
#[test]
fn one_that_was_taken_cut_off_is_read_on_when_it_is_whole() {
    let (text, bytes) = (text(), gzip(&text()));
    let mut rig = Rig::new();
    rig.append("a.log", "live\n");
    fs::write(rig.path("a.log.1.gz"), &bytes[..bytes.len() / 2]).unwrap();
    rig.registry.hurry();
    let file = rig.opened_packed(2, 0).remove(0);
    let mut point = start(&file);
    let mut got = rig.read(&file, &mut point).unwrap();
    fs::write(rig.path("a.log.1.gz"), &bytes).unwrap();
    let mut rig = rig.restart(&[(&file, point)]);
    let opened = rig.opened_packed(3, 1);
    assert_eq!(opened.iter().map(|file| file.name()).collect::<Vec<_>>(), [file.name()]);
    while let Some(more) = rig.read(&opened[0], &mut point).filter(|more| !more.is_empty()) {
        got.push_str(&more);
    }
    assert!(got == text, "{} of {} bytes", got.len(), text.len());
}

#[test]
fn of_a_damaged_one_all_is_read_that_was_found_to_come_out() {
    let text = text();
    for (kind, whole) in [("gz", gzip(&text)), ("zst", zstd::encode_all(text.as_bytes(), 3).unwrap())] {
        for tenth in 1..10 {
            let mut bytes = whole.clone();
            let at = bytes.len() * tenth / 10;
            let end = bytes.len().min(at + 2000);
            bytes[at..end].iter_mut().enumerate().for_each(|(n, byte)| *byte = (n * 31 % 251) as u8 | 6);
            let mut rig = Rig::new();
            rig.append("a.log", "live\n");
            fs::write(rig.path(&format!("a.log.1.{kind}")), &bytes).unwrap();
            // Of some nothing comes out, or nothing is wrong.
            let Some(file) = rig.opened_packed(3, 40).pop() else { continue };
            let mut point = start(&file);
            let mut mark = Mark::default();
            while point.at < file.size() {
                match rig.buffer.read(&file, point.at, &mark) {
                    Ok(Burst::Data { bytes, before }) if bytes.len() > before => {
                        point.at += (bytes.len() - before) as u64;
                        mark = Mark::of(bytes);
                    }
                    other => panic!("{kind}, damaged at {at}: {} of {}, {other:?}", point.at, file.size()),
                }
            }
        }
    }
}

/// It is the source of no archive, and neither is a file that begins otherwise.
#[test]
fn a_broken_one_beside_a_file_that_it_is_not_made_of_is_read() {
    for live in ["", "something else, and longer than all that comes out of the broken one\n"] {
        let mut rig = Rig::new();
        rig.append("a.log", live);
        let bytes = gzip("what comes out\n");
        let cut_off = [&bytes[..], &bytes[..bytes.len() / 2]].concat();
        fs::write(rig.path("a.log.1.gz"), cut_off).unwrap();
        let opened = rig.opened_packed(3, 40);
        assert_eq!(opened.len(), 1, "{:?}", rig.registry);
    }
}

/// A program wrote on to the deleted file that was compressed, and then the agent was killed.
#[test]
fn the_spool_is_read_where_it_has_more_than_the_compressed_form() {
    let mut rig = Rig::new();
    let (folder, one) = (tempfile::tempdir().unwrap(), text());
    let (mut spool, _) = Spool::open(folder.path().join("spool"), 1 << 20);
    rig.append("a.log", &one);
    let (a, _) = rig.open_one();
    let mut known = a.known.clone();
    let mut writer = fs::OpenOptions::new().append(true).open(rig.path("a.log")).unwrap();
    fs::rename(rig.path("a.log"), rig.path("a.log.1")).unwrap();
    rig.append("a.log", "new\n");
    fs::write(rig.path("a.log.1.gz"), gzip(&one)).unwrap();
    fs::remove_file(rig.path("a.log.1")).unwrap();
    let mut saved = 0;
    for nth in 0..12 {
        rig.uptime += 1;
        if nth == 5 {
            writer.write_all(b"two\n").unwrap();
        }
        for change in rig.look_into().0 {
            match change {
                Change::Updated(new) if new.origin.name == a.name() => known = new,
                Change::Save(saving) => {
                    let answer = spool.save(&saving);
                    saved = answer.to;
                    rig.registry.saved(&answer);
                }
                Change::Unsave(name) => spool.remove(name),
                _ => {}
            }
        }
    }
    assert_eq!(saved, one.len() as u64 + 4);
    drop((writer, spool));
    let (_, spooled) = Spool::open(folder.path().join("spool"), 1 << 20);
    let remembered = Remembered { known, points: vec![], trail: vec![] };
    rig.registry = Registry::new(site(&[("app", 1)]), vec![remembered], spooled, Box::new(|| 7));
    let mut got = String::new();
    for _ in 0..6 {
        rig.uptime += 1;
        let changes = rig.look_into().0;
        assert!(!changes.iter().any(|change| matches!(change, Change::Unsave(_))), "{changes:?}");
        for file in opened_in(&changes) {
            let mut point = start(&file);
            while let Some(more) = rig.read(&file, &mut point).filter(|more| !more.is_empty()) {
                got.push_str(&more);
            }
        }
    }
    got = got.replacen("new\n", "", 1);
    assert!(got == one + "two\n", "each once: {} bytes", got.len());
}
