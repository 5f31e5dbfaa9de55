//! `run --once`: ships what there is, and says what there was.

use crate::rig::{Attempt, Destination, Seen, Site, append, check, event, eventually, lines, seconds};
use sha2::{Digest as _, Sha256};
use std::fs;

fn seen(destination: &Destination) -> Vec<Seen> {
    let attempts = destination.attempts();
    let entries = attempts.iter().filter(|attempt| attempt.is_stored).flat_map(|attempt| attempt.entries.clone());
    let mut seen: Vec<Seen> = entries.collect();
    let number = |seen: &Seen| seen.meta("auditship_seq").unwrap().parse::<u64>().unwrap();
    seen.sort_by_key(number);
    seen
}

#[test]
fn odd_lines_arrive_as_they_are_marked_and_counted() {
    let destination = Destination::new();
    let site = Site::new();
    let plain = event("plain", "login", "acme");
    let crlf = [event("crlf", "login", "acme"), b"\r".to_vec()].concat();
    let malformed = b"{\"id\":\"malformed\", \"event_type\":".to_vec();
    let not_utf8 = b"{\"id\":\"latin\",\"name\":\"M\xfcller\"}".to_vec();
    let unterminated = event("unterminated", "login", "acme");
    let mut bytes = [&plain[..], &crlf, &malformed, &not_utf8, b"", b""].join(&b'\n');
    bytes.extend_from_slice(&unterminated);
    fs::write(site.log("app.jsonl"), &bytes).unwrap();

    let done = site.once(&destination, &[]);
    assert_eq!(done.code, Some(0), "{done:?}");
    for part in [
        "1 records are not a JSON object",
        "1 records are not UTF-8 (sent in base64)",
        "1 records are empty",
        &format!("app.jsonl ends with {} bytes of a line that has no newline yet", unterminated.len()),
    ] {
        assert!(done.stdout.contains(part), "no {part:?} in\n{}", done.stdout);
    }
    let records = seen(&destination);
    let marks: Vec<Option<&str>> = records.iter().map(|seen| seen.meta("auditship_mark")).collect();
    let expect = [None, None, Some("malformed"), Some("invalid_utf8"), Some("empty")];
    assert_eq!(marks, expect);
    assert_eq!(records[3].meta("auditship_encoding"), Some("base64"));
    check(&destination, &[plain.clone(), crlf, malformed, not_utf8, Vec::new()]);

    // Nothing is left, so nothing is sent; the open line neither.
    let pushes = destination.attempts().len();
    let again = site.once(&destination, &[]);
    assert_eq!((again.code, destination.attempts().len()), (Some(0), pushes), "{again:?}");

    // Once it has its newline it is whole.
    append(&site.log("app.jsonl"), &[Vec::new()]);
    assert_eq!(site.once(&destination, &[]).code, Some(0));
    assert_eq!(seen(&destination).last().unwrap().line, unterminated);
}

#[test]
fn a_long_line_arrives_in_parts_that_join_to_it() {
    let destination = Destination::new();
    let site = Site::new();
    let long = format!("{{\"event_type\":\"dump\",\"id\":\"long\",\"text\":\"{}\"}}", "héllo wörld ".repeat(75_000));
    assert!(long.len() > 1_000_000);
    let (first, last) = (event("first", "login", "acme"), event("last", "login", "acme"));
    append(&site.log("app.jsonl"), &[first.clone(), long.clone().into_bytes(), last.clone()]);
    let done = site.once(&destination, &[]);
    assert_eq!(done.code, Some(0), "{done:?}");
    let records = seen(&destination);
    let parts = &records[1..records.len() - 1];
    assert!(parts.len() >= 4 && done.stdout.contains(&format!("{} records are parts of long lines", parts.len())));
    for (n, part) in (1..).zip(parts) {
        assert_eq!(part.meta("auditship_part"), Some(format!("{n}").as_str()));
        assert!(part.line.len() <= 256 << 10 && std::str::from_utf8(&part.line).is_ok());
    }
    let joined: Vec<u8> = parts.iter().flat_map(|part| part.line.to_vec()).collect();
    assert!(joined == long.as_bytes(), "the parts do not join to the line");
    let hex: String = Sha256::digest(&joined).iter().map(|byte| format!("{byte:02x}")).collect();
    let end = parts.last().unwrap();
    assert_eq!(end.meta("auditship_sha256"), Some(hex.as_str()));
    assert_eq!(end.meta("auditship_parts"), Some(format!("{}", parts.len()).as_str()));
    let is_dump = |attempt: &Attempt| attempt.labels.contains("event_type=\"dump\"");
    let of_dump: usize = destination.attempts().iter().filter(|a| is_dump(a)).map(|a| a.entries.len()).sum();
    assert_eq!(of_dump, parts.len(), "every part has the labels of its line");
    assert_eq!((&records[0].line[..], &records.last().unwrap().line[..]), (&first[..], &last[..]));
}

#[test]
fn a_dead_destination_ends_it_in_time_with_the_reason() {
    let mut destination = Destination::new();
    let site = Site::new();
    let truth = lines("a", 500);
    append(&site.log("app.jsonl"), &truth);
    let bytes: usize = truth.iter().map(|line| line.len() + 1).sum();
    destination.close();
    let done = site.once(&destination, &["--timeout", "2s"]);
    assert_eq!(done.code, Some(1), "{done:?}");
    for part in ["the time is up", "in 1 files", "app.jsonl", "Connection refused"] {
        assert!(done.stderr.contains(part), "no {part:?} in\n{}", done.stderr);
    }
    assert_eq!(site.behind() as usize, bytes);
    destination.open();
    assert_eq!(site.once(&destination, &["--timeout", "30s"]).code, Some(0));
    check(&destination, &truth);
}

#[test]
fn start_at_end_ships_what_comes_after_the_first_look() {
    let destination = Destination::new();
    let mut site = Site::new();
    site.source = "start_at = \"end\"".into();
    let path = site.log("app.jsonl");
    append(&path, &lines("old", 100));
    assert_eq!(site.once(&destination, &[]).code, Some(0));
    assert_eq!(destination.attempts().len(), 0);
    let mut truth = lines("new", 100);
    append(&path, &truth);
    // A file that appears later has nothing old in it.
    let other = lines("other", 10);
    append(&site.log("other.jsonl"), &other);
    truth.extend(other);
    let mut agent = site.start(&destination);
    eventually(seconds(20), "the new lines arrive", || destination.stored() == truth.len());
    assert!(agent.stop(seconds(15)).0.success());
    check(&destination, &truth);
}

#[test]
fn only_lines_with_the_prefix_are_shipped_and_without_it() {
    let destination = Destination::new();
    let mut site = Site::new();
    site.source = "prefix = \"audit:\"".into();
    let truth = vec![event("one", "login", "acme"), event("two", "login", "acme"), event("three", "login", "acme")];
    let with = |prefix: &str, n: usize| [prefix.as_bytes(), &truth[n]].concat();
    let noise = |n: usize| format!("INFO handled request {n}, audit: no").into_bytes();
    let all =
        [with("audit: ", 0), noise(1), with("audit:", 1), b" audit: not at the start".to_vec(), with("audit: ", 2)];
    append(&site.log("app.jsonl"), &all);
    let done = site.once(&destination, &[]);
    assert_eq!(done.code, Some(0), "{done:?}");
    check(&destination, &truth);
    assert_eq!(site.behind(), 0, "lines that were passed over are done with");
}
