//! What is in the files: holes, long lines, bytes that are no text, last lines without a newline.

use crate::{
    rig::{Destination, Seen, append, event, eventually, seconds},
    world::{Kind, World, with_suffix},
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    path::Path,
    time::Instant,
};

const LIMIT: u64 = 32 << 20;
const GIB: u64 = 1 << 30;

/// The stored records of one file in their order, each once; they are numbered without a gap.
#[track_caller]
fn records(destination: &Destination, path: &Path) -> Vec<Seen> {
    let attempts = destination.attempts();
    let stored = attempts.iter().filter(|attempt| attempt.is_stored).flat_map(|attempt| &attempt.entries);
    let of_path = stored.filter(|seen| seen.meta("auditship_path") == path.to_str());
    let number = |seen: &Seen| seen.meta("auditship_seq").unwrap().parse::<u64>().unwrap();
    let records: BTreeMap<u64, Seen> = of_path.map(|seen| (number(seen), seen.clone())).collect();
    assert!(records.keys().copied().eq(1..=records.len() as u64), "{:?}", records.keys());
    let offset = |seen: &Seen| seen.meta("auditship_offset").unwrap().parse::<u64>().unwrap();
    let records: Vec<Seen> = records.into_values().collect();
    assert!(records.is_sorted_by_key(offset), "the numbers are not in the order of the file");
    records
}

fn has(seen: &Seen, mark: &str) -> bool {
    seen.meta("auditship_mark").is_some_and(|marks| marks.contains(mark))
}

fn gap(offset: u64, bytes: u64) -> Vec<u8> {
    format!("{{\"auditship\":\"gap\",\"offset\":{offset},\"bytes\":{bytes}}}").into_bytes()
}

/// Bodies, with the mark that each must have.
type Expect = Vec<(Vec<u8>, Option<&'static str>)>;

#[track_caller]
fn compare(records: &[Seen], expect: &Expect) {
    let bodies: Vec<Vec<u8>> = records.iter().map(|seen| seen.body().to_vec()).collect();
    let show = |bodies: &[Vec<u8>]| -> Vec<String> {
        bodies.iter().map(|body| String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned()).collect()
    };
    let expected: Vec<Vec<u8>> = expect.iter().map(|(body, _)| body.clone()).collect();
    assert!(bodies == expected, "{:#?}\ninstead of {:#?}", show(&bodies), show(&expected));
    for (seen, (_, mark)) in records.iter().zip(expect) {
        let marks = ["gap", "unterminated"].into_iter().filter(|mark| has(seen, mark));
        assert!(marks.eq(*mark), "{seen:?} instead of {mark:?}");
    }
}

#[track_caller]
fn memory_is_flat(world: &World) {
    let [_, high, mapped] = world.agent().memory();
    println!("  {} MiB of memory at most, {} MiB of them mapped", high >> 20, mapped >> 20);
    assert!(high < LIMIT + mapped, "{high} bytes of memory, {mapped} of them mapped");
}

fn small(name: &'static str) -> World {
    let mut world = World::new(name);
    world.site.agent.push_str("\nmemory_limit = \"32MiB\"");
    world
}

#[test]
fn a_line_of_64_mib() {
    let mut world = small("content long line");
    world.site.source = "max_line = \"64MiB\"".into();
    let path = world.site.log("a.jsonl");
    let mut long = b"{\"event_type\":\"dump\",\"id\":\"long\",\"text\":\"".to_vec();
    // No two parts are equal.
    for n in 0.. {
        if long.len() >= 64 << 20 {
            break;
        }
        long.extend_from_slice(format!("wörd {n:x} ").as_bytes());
    }
    long.extend_from_slice(b"\"}");
    let (first, last) = (event("first", "login", "acme"), event("last", "login", "acme"));
    append(&path, &[first.clone(), long.clone(), last.clone()]);
    let started = Instant::now();
    world.start();
    eventually(seconds(240), "all of it is acknowledged", || {
        world.destination.stored() > 300 && world.site.behind() == 0
    });
    memory_is_flat(&world);
    world.stop();
    let records = records(&world.destination, &path);
    let parts = &records[1..records.len() - 1];
    assert_eq!((&records[0].line[..], &records[records.len() - 1].line[..]), (&first[..], &last[..]));
    let joined: Vec<u8> = parts.iter().flat_map(|part| part.body().to_vec()).collect();
    assert!(joined == long, "the parts do not join to the line");
    let hex: String = Sha256::digest(&joined).iter().map(|byte| format!("{byte:02x}")).collect();
    let end = parts.last().unwrap();
    assert_eq!(end.meta("auditship_sha256"), Some(hex.as_str()));
    assert_eq!(end.meta("auditship_parts"), Some(parts.len().to_string().as_str()));
    println!("content long line: {} parts, {:.1} s", parts.len(), started.elapsed().as_secs_f64());
}

#[test]
fn a_hole_of_1_gib() {
    let mut world = small("content hole");
    let path = world.site.log("a.jsonl");
    let before = world.lines(3);
    append(&path, &before);
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    let at = file.metadata().unwrap().len();
    file.set_len(GIB).unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    let after = world.lines(3);
    file.write_all(&[after.join(&b'\n'), b"\n".to_vec()].concat()).unwrap();
    world.truth.push(gap(at, GIB - at));
    let started = Instant::now();
    world.start();
    world.arrives();
    // A gibibyte of zeros that is read and hashed takes longer than one that is skipped.
    println!("content hole: passed after {:.1} s", started.elapsed().as_secs_f64());
    memory_is_flat(&world);
    let mut expect: Expect = before.into_iter().map(|line| (line, None)).collect();
    expect.push((gap(at, GIB - at), Some("gap")));
    expect.extend(after.into_iter().map(|line| (line, None)));
    compare(&records(&world.destination, &path), &expect);
    world.finish_once();
}

/// Zeros in every place, and what is made of them.
fn zeros(world: &mut World) -> (Vec<u8>, Expect) {
    let (mut bytes, mut expect): (Vec<u8>, Expect) = (Vec::new(), Vec::new());
    let line = |bytes: &mut Vec<u8>, expect: &mut Expect, at_start: u64, inside: u64| {
        let start = bytes.len() as u64;
        // Neither half of it is like that of another one.
        let n = expect.len();
        let whole = format!("{{\"id\":\"left-{n}\",\"event_type\":\"login\",\"text\":\"right-{n}\"}}").into_bytes();
        bytes.resize(bytes.len() + at_start as usize, 0);
        if at_start > 0 {
            expect.push((gap(start, at_start), Some("gap")));
        }
        if inside == 0 {
            bytes.extend_from_slice(&whole);
            bytes.push(b'\n');
            return expect.push((whole, None));
        }
        let (left, right) = whole.split_at(whole.len() / 2);
        bytes.extend_from_slice(left);
        let hole = bytes.len() as u64;
        bytes.resize(bytes.len() + inside as usize, 0);
        bytes.extend_from_slice(right);
        bytes.push(b'\n');
        if inside < 1024 {
            // Too few for a hole: they are part of the line, which is delivered as it is.
            return expect.push(([left, &vec![0; inside as usize], right].concat(), None));
        }
        expect.push((left.to_vec(), Some("unterminated")));
        expect.push((gap(hole, inside), Some("gap")));
        expect.push((right.to_vec(), None));
    };
    for (at_start, inside) in
        [(0, 0), (1, 0), (0, 1), (0, 0), (0, 1023), (0, 1024), (0, 0), (5000, 0), (7, 4096), (1024, 3), (70_000, 0)]
    {
        line(&mut bytes, &mut expect, at_start, inside);
    }
    world.truth = expect.iter().map(|(body, _)| body.clone()).collect();
    (bytes, expect)
}

#[test]
fn zeros_that_are_there_at_once() {
    let mut world = small("content zeros");
    let path = world.site.log("a.jsonl");
    let (bytes, expect) = zeros(&mut world);
    fs::write(&path, bytes).unwrap();
    world.start();
    world.arrives();
    compare(&records(&world.destination, &path), &expect);
    world.finish_once();
}

/// What a record is must not depend on how much had been written when the agent looked.
#[test]
fn zeros_that_come_in_pieces() {
    let mut world = small("content zeros in pieces");
    let path = world.site.log("a.jsonl");
    let (bytes, expect) = zeros(&mut world);
    // The signposts alone arrive while the file is being written.
    let truth = std::mem::take(&mut world.truth);
    world.start();
    let mut file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
    for (n, piece) in bytes.chunks(701).enumerate() {
        file.write_all(piece).unwrap();
        if n % 8 == 0 {
            world.seen(&path);
            world.settle();
        }
        if n == 16 {
            // In the middle of a hole.
            world.kill();
            world.start();
        }
    }
    world.truth.extend(truth);
    world.arrives();
    compare(&records(&world.destination, &path), &expect);
    world.finish(true);
}

#[test]
fn every_line_as_it_is() {
    let mut world = small("content as it is");
    let path = world.site.log("a.jsonl");
    let deep = format!("{{\"id\":\"deep\",\"x\":{}1{}}}", "[".repeat(2000), "]".repeat(2000));
    let lines: Vec<Vec<u8>> = vec![
        [event("crlf", "login", "acme"), b"\r".to_vec()].concat(),
        b"{\"id\":\"latin\",\"name\":\"M\xfcller\"}".to_vec(),
        b"{\"id\":\"twice\",\"id\":\"again\",\"event_type\":\"a\",\"event_type\":\"b\"}".to_vec(),
        b"  {\"id\" : \"spaces\" , \"n\" : 1.0e+05 }  ".to_vec(),
        b"{\"id\":\"escapes\",\"text\":\"\\u00e9\\/\\ud83d\\ude00\"}".to_vec(),
        b"{\"id\":\"lone\",\"text\":\"\\ud83d\"}".to_vec(),
        b"\xef\xbb\xbf{\"id\":\"mark\"}".to_vec(),
        b"\xff\xfe\x00not text at all".to_vec(),
        b"[1,2,3]".to_vec(),
        b"null".to_vec(),
        b"\t".to_vec(),
        b"\r".to_vec(),
        deep.into_bytes(),
    ];
    world.truth.extend_from_slice(&lines);
    append(&path, &lines);
    world.start();
    world.arrives();
    compare(&records(&world.destination, &path), &lines.into_iter().map(|line| (line, None)).collect());
    world.finish_once();
}

/// The last line of a file that nobody writes to any more, under each of its forms.
#[test]
fn a_last_line_without_a_newline() {
    let mut world = small("content unterminated");
    let path = world.site.log("a.jsonl");
    let mut tails = Vec::new();
    for form in [".1", ".2", ".3"] {
        let old = with_suffix(&path, form);
        let mut expect: Expect = world.write(&old, 20).into_iter().map(|line| (line, None)).collect();
        let tail = world.lines(1).remove(0);
        let mut file = OpenOptions::new().append(true).open(&old).unwrap();
        file.write_all(&tail).unwrap();
        expect.push((tail, Some("unterminated")));
        let old = match form {
            ".2" => Kind::Gzip.replace(&old),
            ".3" => Kind::Zstd.replace(&old),
            _ => old,
        };
        // It has been still for long: nobody needs to wait.
        let long_ago = std::time::SystemTime::now() - seconds(3600);
        File::options().append(true).open(&old).unwrap().set_modified(long_ago).unwrap();
        tails.push((old, expect));
    }
    // Of the file that is written to, it waits for its newline.
    world.write(&path, 20);
    let open = event("open", "login", "acme");
    OpenOptions::new().append(true).open(&path).unwrap().write_all(&open).unwrap();
    world.start();
    world.arrives();
    world.settle();
    for (path, expect) in &tails {
        compare(&records(&world.destination, path), expect);
    }
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"\n").unwrap();
    world.truth.push(open);
    world.finish_once();
    assert!(!records(&world.destination, &path).iter().any(|seen| has(seen, "unterminated")));
}
