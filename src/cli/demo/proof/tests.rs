use super::*;
use crate::receiver::EntryView;

const LINES: [&[u8]; 4] = [b"{\"a\":1}", b"\xff", b"", b"abcdef"];

/// What is written, and what a right agent stores of it: the last line in two parts.
fn sample() -> (Vec<WrittenFile>, Vec<EntryView>) {
    let mut file = WrittenFile { name: "app-audit.jsonl".into(), ..WrittenFile::default() };
    for line in LINES {
        file.lines.push((file.size, Sha256::digest(line).into()));
        file.size += line.len() as u64 + 1;
    }
    let whole = hex(&file.lines[3].1);
    let entries = vec![
        entry(1, 0, LINES[0], &[]),
        entry(2, 8, b"/w==", &[("auditship_encoding", "base64")]),
        entry(3, 10, LINES[2], &[]),
        entry(4, 11, b"abc", &[("auditship_part", "1")]),
        entry(
            5,
            14,
            b"def",
            &[("auditship_part", "2"), ("auditship_parts", "2"), ("auditship_sha256", whole.as_str())],
        ),
    ];
    (vec![file], entries)
}

fn entry(seq: u64, offset: u64, line: &[u8], more: &[(&str, &str)]) -> EntryView {
    let (seq, offset) = (seq.to_string(), offset.to_string());
    let own = [("auditship_file", "0011"), ("auditship_seq", seq.as_str()), ("auditship_offset", offset.as_str())];
    let metadata = own.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    EntryView { ts: 0, line: line.to_vec(), metadata, sends: 1 }
}

fn verdict(change: impl FnOnce(&mut Vec<EntryView>)) -> Verdict {
    let (written, mut entries) = sample();
    change(&mut entries);
    // The order of arrival does not matter.
    entries.reverse();
    compare(&written, vec![StreamView { labels: BTreeMap::new(), entries }])
}

#[test]
fn what_is_complete_is_right() {
    let found = verdict(|entries| entries[0].sends = 3);
    let expect = Verdict { lines: 4, once: 4, resent: 2, streams: 1, contents: 1, ..Verdict::default() };
    assert_eq!(found, expect);
    assert!(found.is_right());
}

#[test]
fn everything_that_is_wrong_is_found() {
    // Once, twice, altered, missing, foreign, gaps.
    type Case = (&'static str, fn(&mut Vec<EntryView>), (u64, u64, u64, u64, u64, u64));
    let cases: [Case; 8] = [
        ("a record is lost", |entries| _ = entries.remove(1), (3, 0, 0, 1, 0, 1)),
        ("a line is altered", |entries| entries[0].line.push(b' '), (3, 0, 1, 0, 0, 0)),
        ("a part is altered", |entries| entries[3].line[0] = b'A', (3, 0, 1, 0, 0, 1)),
        ("a part is lost", |entries| _ = entries.remove(3), (3, 0, 0, 1, 0, 2)),
        ("a line is stored twice", |entries| entries.push(entries[0].clone()), (3, 1, 0, 0, 0, 0)),
        ("a part is stored twice", |entries| entries.push(entries[3].clone()), (3, 1, 0, 0, 0, 0)),
        ("a line is added", |entries| entries.push(entry(6, 99, b"{}", &[])), (4, 0, 0, 0, 1, 0)),
        ("an entry is not ours", |entries| entries[0].metadata.clear(), (3, 0, 0, 1, 1, 1)),
    ];
    for (name, change, expect) in cases {
        let found = verdict(change);
        let numbers = (found.once, found.twice, found.altered, found.missing, found.foreign, found.gaps);
        assert_eq!(numbers, expect, "{name}: {found:?}");
        assert!(!found.is_right() && !found.problems.is_empty(), "{name}");
    }
}
