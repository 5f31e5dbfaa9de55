#![allow(clippy::unwrap_used)]

use super::*;
use crate::model::{LabelSet, Nanos};
use letter::Refused;
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt as _;

fn letter(id: &str, body: &[u8], reason: &str) -> Letter {
    let labels = LabelSet::new([("tenant".into(), "acme".into())]);
    Letter::new(Refused {
        kind: "loki",
        place: (id, "00000000000000ab", 7, 3, Nanos(1_000_000_001)),
        body,
        encoded: &[body, b"\0"].concat(),
        labels: Some(&labels),
        reason,
        now: Nanos(2),
    })
}

fn folder() -> (tempfile::TempDir, DeadLetters) {
    let folder = tempfile::tempdir().unwrap();
    let letters = DeadLetters::new(folder.path(), "loki", 10_000);
    (folder, letters)
}

#[test]
fn what_is_put_aside_is_found_again_also_by_the_next_life() {
    let (folder, mut letters) = folder();
    assert_eq!(letters.read().unwrap(), []);
    let (a, b) = (letter("a", b"{\"x\":1}", "HTTP 400: no"), letter("b", b"\xff", "too long"));
    assert_eq!(
        (a.status, b.status, a.body.as_deref(), b.body.as_deref()),
        (Some(400), None, Some("{\"x\":1}"), None)
    );
    assert_eq!((a.time.as_str(), b.body_base64.as_deref()), ("1970-01-01T00:00:01.000000001Z", Some("/w==")));
    assert_eq!(letters.bury(&[a.clone(), b.clone(), a.clone()]).unwrap(), 2);
    assert_eq!(letters.bury(std::slice::from_ref(&b)).unwrap(), 0);
    let mut next = DeadLetters::new(folder.path(), "loki", 10_000);
    assert_eq!(next.bury(std::slice::from_ref(&b)).unwrap(), 0);
    assert_eq!(next.read().unwrap(), [a, b]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(next.path()), mode(next.path().parent().unwrap())), (0o600, 0o700));
}

#[test]
fn a_full_folder_takes_nothing_and_says_so() {
    let (_folder, mut letters) = folder();
    letters.bury(&[letter("a", &[b'x'; 1000], "no")]).unwrap();
    let before = letters.read().unwrap();
    let error = letters.bury(&[letter("b", b"", "no"), letter("c", &[b'x'; 9000], "no")]).unwrap_err();
    assert!(matches!(error, BuryError::Full { max_bytes: 10_000, .. }), "{error}");
    assert_eq!(letters.read().unwrap(), before);
    assert_eq!(letters.bury(&[letter("b", b"", "no")]).unwrap(), 1);
}

#[test]
fn what_was_delivered_leaves_and_what_came_meanwhile_stays() {
    let (folder, mut letters) = folder();
    letters.bury(&["a", "b", "c"].map(|id| letter(id, b"{}", "no"))).unwrap();
    let mut agent = DeadLetters::new(folder.path(), "loki", 10_000);
    agent.bury(&[letter("d", b"{}", "no")]).unwrap();
    letters.remove(&["a".to_owned(), "c".to_owned()].into()).unwrap();
    let ids = |letters: &DeadLetters| letters.read().unwrap().into_iter().map(|letter| letter.id).collect::<Vec<_>>();
    assert_eq!(ids(&letters), ["b", "d"]);
    // The agent goes on in the new file.
    agent.bury(&[letter("e", b"{}", "no")]).unwrap();
    assert_eq!(ids(&letters), ["b", "d", "e"]);
}

#[test]
fn a_torn_line_is_taken_away_and_a_wrong_one_is_named() {
    let (folder, mut letters) = folder();
    letters.bury(&[letter("a", b"{}", "no")]).unwrap();
    let mut file = OpenOptions::new().append(true).open(letters.path()).unwrap();
    file.write_all(b"{\"id\":\"b").unwrap();
    let mut next = DeadLetters::new(folder.path(), "loki", 10_000);
    next.bury(&[letter("b", b"{}", "no")]).unwrap();
    assert_eq!(next.read().unwrap().len(), 2);
    file.write_all(b"what?\n").unwrap();
    let error = next.read().unwrap_err().to_string();
    assert!(error.contains("loki.jsonl:3: not a dead letter"), "{error}");
}

#[test]
fn ids_to_skip_are_seen() {
    let folder = tempfile::tempdir().unwrap();
    let skips = Skips::new(folder.path(), "loki");
    assert!(skips.read().is_empty());
    skips.add("a-1-b").unwrap();
    skips.add("c-2-d").unwrap();
    assert_eq!(skips.read(), ["a-1-b".to_owned(), "c-2-d".to_owned()].into());
}

proptest! {
    #[test]
    fn a_letter_is_read_back(body in prop::collection::vec(any::<u8>(), 0..300), reason in any::<String>()) {
        let letter = letter("a", &body, &reason);
        let mut line = Vec::new();
        letter.append_to(&mut line).unwrap();
        prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let read = Letter::read(&line).unwrap();
        prop_assert_eq!(read.encoded().unwrap(), [&body[..], b"\0"].concat());
        prop_assert_eq!(read, letter);
    }
}
