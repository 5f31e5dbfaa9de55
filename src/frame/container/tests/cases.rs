//! Single rules, each by the bytes that show it.

use super::*;
use proptest::prelude::*;

const T: &str = "2024-01-02T03:04:05Z";

/// A CRI line at [`T`].
fn cri(stream: &str, tag: &str, content: &str) -> String {
    format!("{T} {stream} {tag} {content}\n")
}

/// The bodies as text, of a file that nothing follows.
fn bodies(settings: &Settings, text: &str) -> Vec<String> {
    let text_of = |out: &Out| match out {
        Out::Record(seen) => String::from_utf8_lossy(&seen.body).into_owned(),
        Out::Gap { start, end } => format!("gap {start}..{end}"),
    };
    whole(settings, text.as_bytes(), After::Nothing).iter().map(text_of).collect()
}

#[test]
fn the_prefix_is_looked_for_in_the_joined_bytes() {
    fn check(prefixes: &[&str], pieces: &[&str], expect: Option<&str>) {
        let settings = Settings::with_prefixes(prefixes.iter().map(|p| p.as_bytes().to_vec()).collect(), 9999);
        let (last, before) = pieces.split_last().unwrap();
        let text: String = before.iter().map(|piece| cri("stdout", "P", piece)).collect();
        let text = text + &cri("stdout", "F", last);
        let found = bodies(&settings, &text);
        assert_eq!(found, expect.into_iter().collect::<Vec<_>>(), "{prefixes:?} {pieces:?}");
    }
    check(&["audit:"], &["audit: {}"], Some("{}"));
    check(&["audit:"], &["au", "dit", ":", " ", "{", "}"], Some("{}"));
    check(&["audit:"], &["audit:", "{}"], Some("{}"));
    check(&["audit:"], &["audit:", " ", " x"], Some(" x"));
    check(&["audit:"], &["audit:"], Some(""));
    check(&["audit:"], &["audit:", ""], Some(""));
    check(&["audit:"], &["audit", ""], None);
    check(&["audit:"], &["au", "ditor"], None);
    check(&["audit:"], &["x", "audit: {}"], None);
    check(&["audit:"], &["", "audit: {}"], Some("{}"));
    check(&["audit:"], &[" audit: {}"], None);
    // Of two prefixes the longest, also when it comes in pieces.
    check(&["audit", "audit:"], &["audit: {}"], Some("{}"));
    check(&["audit", "audit:"], &["audit", ":", " {}"], Some("{}"));
    check(&["audit", "audit:"], &["audit", " x"], Some("x"));
    check(&["audit", "audit:"], &["audit"], Some(""));
    check(&["p", "pqrstu"], &["pqr", "st"], Some("qrst"));
    check(&["audit:", "sec:"], &["sec:y"], Some("y"));
    check(&[], &["a", "", "b"], Some("ab"));
    check(&["", "x"], &["a"], None);
    check(&[""], &[""], Some(""));
}

#[test]
fn docker_lines_are_read_whatever_their_order() {
    fn check(line: &str, expect: &[&str]) {
        assert_eq!(bodies(&audit(), &format!("{line}\n")), expect, "{line}");
    }
    check(r#"{"log":"audit: {}\n","stream":"stdout","time":"2024-01-02T03:04:05Z"}"#, &["{}"]);
    check(r#" {"log":"audit: {}\n","stream":"stdout","time":"2024-01-02T03:04:05Z"}"#, &[]);
    check(r#"{"time":"x","x":[{"log":"no"},"]"],"stream":"stderr","log":"audit: {}\n"}"#, &["{}"]);
    check("{ \"log\" :\t\"audit: {}\\n\" , \"stream\":\"stdout\"}\r", &["{}"]);
    check(r#"{"log":"no\n","log":"audit: {}\n","stream":"stdout","n":-1e5,"b":null}"#, &["{}"]);
    check(r#"{"log":"\u0061udit\u003a\u0020{}\u000a","stream":"stdout"}"#, &["{}"]);
    // The end of the file is the end of what is open.
    check(r#"{"log":"audit: {}","stream":"stdout"}"#, &["{}"]);
    check(r#"{"log":"audit: \\n","stream":"stdout"}"#, &["\\n"]);
    check(r#"{"log":"audit: a\nb","stream":"stdout"}"#, &["a\nb"]);
    check(r#"{"log":"audit: \ude00\ude00\n","stream":"stdout"}"#, &["\u{fffd}\u{fffd}"]);
    check(
        r#"{"log":"audit: \"\\\/\b\f\n\r\t\u00e9\ud83d\ude00!\n","stream":"stdout"}"#,
        &["\"\\/\u{8}\u{c}\n\r\té\u{1F600}!"],
    );
    check(
        r#"{"log":"audit: \ud83d \ude00\ud83d\ud83d\ude00\ud83dx\n","stream":"stdout"}"#,
        &["\u{fffd} \u{fffd}\u{fffd}\u{1F600}\u{fffd}x"],
    );
    // Not Docker's.
    for line in [
        r#"{"log":"audit: {}\n","stream":"stdin","time":"2024-01-02T03:04:05Z"}"#,
        r#"{"log":"audit: {}\n","time":"2024-01-02T03:04:05Z"}"#,
        r#"{"stream":"stdout","time":"2024-01-02T03:04:05Z"}"#,
        r#"{"log":"audit: {}\x\n","stream":"stdout","time":"2024-01-02T03:04:05Z"}"#,
        r#"{"log":"audit: {}\u12g4\n","stream":"stdout","time":"2024-01-02T03:04:05Z"}"#,
        r#"{"log":["audit: {}\n"],"stream":"stdout","time":"2024-01-02T03:04:05Z"}"#,
        r#"{"log":"audit: {}\n","stream":"stdout","time":"2024-01-02T03:04:05Z"} x"#,
        r#"{"log":"audit: {}\n","stream":"stdout","x":}"#,
        r#"{"log":"audit: {}\n","stream":"stdout","x":[}"#,
        r#"{"log":"audit: {}\n","stream":"stdout","#,
        r#"{"log":"audit: {}"#,
        "{}",
        "{",
    ] {
        check(line, &[]);
        let out = whole(&Settings::new(Vec::new(), 9999), format!("{line}\n").as_bytes(), After::More);
        let [Out::Record(seen)] = &out[..] else { panic!("{line}: {out:?}") };
        assert_eq!((seen.body.as_slice(), seen.is_malformed, seen.stream), (line.as_bytes(), true, None));
    }
}

#[test]
fn a_time_is_what_the_runtime_wrote() {
    fn check(text: &str, expect: Option<(&str, i64)>) {
        let stamp = time::stamp(text.as_bytes());
        let found = stamp.map(|stamp| (stamp.time.to_string(), stamp.unit));
        assert_eq!(found, expect.map(|(time, unit)| (time.to_owned(), unit)), "{text}");
    }
    check("2024-01-02T03:04:05Z", Some(("2024-01-02T03:04:05Z", 1_000_000_000)));
    check("2024-01-02T03:04:05.1Z", Some(("2024-01-02T03:04:05.1Z", 100_000_000)));
    check("2024-02-29T23:59:59.000000001-03:30", Some(("2024-03-01T03:29:59.000000001Z", 1)));
    check("1969-12-31T23:59:59.5Z", Some(("1969-12-31T23:59:59.5Z", 100_000_000)));
    check("2024-01-02T03:04:05.1234567899Z", Some(("2024-01-02T03:04:05.123456789Z", 1)));
    check("2016-12-31T23:59:60Z", Some(("2017-01-01T00:00:00Z", 1_000_000_000)));
    for text in [
        "",
        "2024-01-02",
        "2024-01-02T03:04:05",
        "2024-01-02 03:04:05Z",
        "2024-01-02T03:04:05.Z",
        "2024-01-02T03:04:05z",
        "2023-02-29T03:04:05Z",
        "2024-13-02T03:04:05Z",
        "2024-00-02T03:04:05Z",
        "2024-01-00T03:04:05Z",
        "2024-01-02T24:04:05Z",
        "2024-01-02T03:60:05Z",
        "2024-01-02T03:04:61Z",
        "2024-01-02T03:04:05+0100",
        "2024-01-02T03:04:05Zx",
        "2300-01-02T03:04:05Z",
        "202\u{ff}-01-02T03:04:05Z",
        "2024-01-02T03:0::05Z",
        "2024-01-02T03:0/:05Z",
    ] {
        check(text, None);
    }
}

#[test]
fn a_line_whose_time_there_is_not_is_a_line() {
    let text = "2024-13-02T03:04:05Z stdout F audit: x\n";
    let [Out::Record(seen)] = &whole(&audit(), text.as_bytes(), After::More)[..] else { panic!("a record") };
    assert_eq!((seen.time, seen.is_malformed, seen.body.as_slice()), (None, false, &b"x"[..]));
}

#[test]
fn a_header_is_what_the_design_says() {
    fn check(line: &str, is_header: bool) {
        assert_eq!(cri::header(line.as_bytes()).is_some(), is_header, "{line:?}");
    }
    check("2024-01-02T03:04:05Z stdout F ", true);
    check("2024-01-02T03:04:05.1+01:00 stderr P:a:b x", true);
    check("2024-01-02T03:04:05Z stdout F", false);
    check("2024-01-02T03:04:05Z stdout F\n2024 ", false);
    check("2024-01-02T03:04:05Z stdout F:x\n ", false);
    check("2024-01-02T03:04:05Z stdout Fx y", false);
    check("2024-01-02T03:04:05Z stdin F y", false);
    check("2024-01-02T03:04:05Z  stdout F y", false);
    check(&format!("2024-01-02T03:04:05Z stdout F:{} y", "x".repeat(cri::MAX_HEADER)), false);
}

/// What is open at the end leaves, each with an end of its own.
#[test]
fn what_is_open_at_the_end_leaves_unterminated() {
    let text = cri("stdout", "P", "audit: a") + &cri("stderr", "P", "audit: b") + &cri("stderr", "P", "c");
    let size = text.len() as u64;
    let ends = |after| -> Vec<(u64, u64, String, bool)> {
        whole(&audit(), text.as_bytes(), after)
            .iter()
            .filter_map(Out::record)
            .map(|seen| {
                (seen.offset, seen.end, String::from_utf8_lossy(&seen.body).into_owned(), seen.is_unterminated)
            })
            .collect()
    };
    assert_eq!(ends(After::More), []);
    assert_eq!(ends(After::Successor), []);
    let second = cri("stdout", "P", "audit: a").len() as u64;
    assert_eq!(ends(After::Nothing), [(0, size - 2, "a".to_owned(), true), (second, size, "bc".to_owned(), true)]);
    // Not ours, or not yet.
    let text = cri("stdout", "P", "aud") + &cri("stderr", "P", "no");
    assert_eq!(whole(&audit(), text.as_bytes(), After::Nothing), []);
}

#[test]
fn a_gap_ends_what_is_open_and_hides_nothing() {
    let nul = "\0";
    let text = cri("stdout", "P", "audit: a")
        + &cri("stderr", "P", "no")
        + nul
        + &cri("stdout", "F", "audit: b")
        + &cri("stderr", "F", "audit: c");
    let gap = text.find('\0').unwrap();
    assert_eq!(
        bodies(&audit(), &text),
        ["a".to_owned(), format!("gap {gap}..{}", gap + 1), "b".to_owned(), "c".to_owned()]
    );
}

/// There are no bytes that stand for it, so it stays open; and what is passed over unread must not have been held.
#[test]
fn a_carry_survives_a_gap_at_the_start() {
    let mut container = Container::default();
    let old = cri("stdout", "P", "audit: a") + &cri("stderr", "P", "no");
    run(&mut container, &audit(), old.as_bytes(), 0, After::Successor, |_| usize::MAX / 2);
    let mut container = Container::begin_with(container.carry());
    assert_eq!(container.next(&audit(), &[0; 1000], 0), Step::Passed { end: 999 });
    assert_eq!((container.is_in_gap(), container.held(), container.rewind(999)), (true, 0, 0));
    // As if the rest of the hole had been skipped.
    let text = format!("\0{}{}", cri("stderr", "F", "audit: b"), cri("stdout", "F", "c"));
    assert_eq!(container.next(&audit(), text.as_bytes(), 4999), Step::Gap { start: 0, end: 5000 });
    let (mut out, mut at) = (Vec::new(), 5000);
    loop {
        match container.next(&audit(), &text.as_bytes()[at - 4999..], at as u64) {
            Step::More => break,
            step => at = keep(&mut out, step) as usize,
        }
    }
    let found: Vec<_> =
        out.iter().filter_map(Out::record).map(|seen| (seen.body.as_slice(), seen.is_malformed)).collect();
    assert_eq!(found, [(&b"b"[..], false), (b"ac", true)]);
}

#[test]
fn a_huge_line_at_the_end_is_one_line() {
    let huge = "x".repeat(1 << 20);
    // Of neither form, and not ours: the join before it leaves all the same.
    assert_eq!(bodies(&audit(), &(cri("stdout", "P", "audit: a") + &huge)), ["a"]);
    // Also when nobody has asked for what comes first.
    let text = cri("stdout", "F", &format!("audit: {huge}"));
    let text = text.trim_end().as_bytes();
    let (mut container, mut out, mut at) = (Container::default(), Vec::new(), 0);
    loop {
        match container.last(&audit(), &text[at..], at as u64) {
            Step::More => break,
            step => at = keep(&mut out, step) as usize,
        }
    }
    let last = out.last().and_then(Out::record).unwrap();
    assert_eq!((last.end, last.is_unterminated), (text.len() as u64, true));
    assert_eq!(last.part.unwrap().whole, Some(leaf(huge.as_bytes())));
}

#[test]
fn rewind_is_the_first_piece_of_what_is_open_also_when_it_is_not_ours() {
    let lines =
        [cri("stdout", "P", "no"), cri("stderr", "P", "audit: a"), cri("stdout", "F", "no"), cri("stderr", "F", "b")];
    let text = lines.concat();
    let (_, places) = run(&mut Container::default(), &audit(), text.as_bytes(), 0, After::More, |_| usize::MAX / 2);
    let len = lines.each_ref().map(|line| line.len() as u64);
    let mut found: Vec<(u64, u64)> = places.iter().map(|place| (place.rewind, place.at)).collect();
    found.dedup();
    let second = len[0] + len[1];
    let third = second + len[2];
    let expect =
        [(0, 0), (0, len[0]), (0, second - BEHIND), (len[0], third - BEHIND), (third + len[3], third + len[3])];
    assert_eq!(found, expect);
}

#[test]
fn a_record_over_the_limit_leaves_in_parts_and_holds_no_more_than_the_limit() {
    let settings = Settings::new(b"audit:".to_vec(), 1000);
    let piece = "0123456789".repeat(50);
    let mut container = Container::default();
    let (mut at, mut parts, mut whole) = (0_u64, 0, Vec::new());
    for number in 0..200 {
        let (tag, content) = match number {
            0 => ("P", format!("audit: {piece}")),
            199 => ("F", "end".to_owned()),
            _ => ("P", piece.clone()),
        };
        // What is held of the line before comes again.
        let held = container.held() as usize;
        let line = ["xx"[..held].to_owned(), cri("stdout", tag, &content)].concat();
        let mut pos = 0;
        loop {
            match container.next(&settings, &line.as_bytes()[pos..], at) {
                Step::Record(framed) => {
                    parts += 1;
                    whole.extend_from_slice(framed.body);
                    assert_eq!(framed.part.map(|part| part.number), Some(parts));
                    assert_eq!(framed.head.is_some(), parts == 1);
                    assert!(!framed.is_head_whole);
                    if let Some(hash) = framed.part.and_then(|part| part.whole) {
                        assert_eq!((hash, number), (leaf(&whole), 199));
                    }
                    pos += (framed.end - at) as usize;
                    at = framed.end;
                }
                Step::Passed { end } => {
                    pos += (end - at) as usize;
                    at = end;
                }
                Step::Gap { .. } => panic!("no gap"),
                Step::More => break,
            }
        }
        let held: usize = container.joins.iter().map(|join| join.sent().1.len()).sum();
        assert!(held <= 1000 + 4, "{held}");
    }
    assert_eq!(whole, [piece.repeat(199), "end".to_owned()].concat().as_bytes());
    assert_eq!(parts as usize, whole.len().div_ceil(750));
}

#[test]
fn a_line_that_is_not_utf8_leaves_in_two_when_it_would_grow() {
    let settings = Settings::new(b"audit:".to_vec(), 16);
    let text = [
        cri("stderr", "P", "audit: 0123").as_bytes(),
        cri("stdout", "P", "audit: 0123456789abc").trim_end().as_bytes(),
        b"\xff\n",
    ]
    .concat();
    // Both are open at the end, so both leave there.
    let out = whole(&settings, &text, After::Nothing);
    let size = text.len() as u64;
    let found: Vec<_> =
        out.iter().filter_map(Out::record).map(|seen| (seen.end, seen.body.as_slice(), seen.head)).collect();
    let expect: [(u64, &[u8], _); 3] =
        [(size - 3, b"0123456789ab", Some((14, true))), (size - 2, b"c\xff", None), (size, b"0123", Some((4, true)))];
    assert_eq!(found, expect);
    let mut offsets: Vec<u64> = out.iter().filter_map(Out::record).map(|seen| seen.offset).collect();
    offsets.sort_unstable();
    offsets.dedup();
    assert_eq!(offsets.len(), 3, "an offset is an identity");
}

#[test]
fn the_successor_says_where_the_line_goes_on_in_it() {
    let old = cri("stdout", "P", "audit: a") + &cri("stderr", "P", "no");
    let new = cri("stderr", "F", "audit: not ours") + &cri("stdout", "P", "b") + &cri("stdout", "F", "c");
    let mut container = Container::default();
    run(&mut container, &audit(), old.as_bytes(), 0, After::Successor, |_| usize::MAX / 2);
    assert!(!container.needs_carry() && !container.carry().is_empty());
    let mut container = Container::begin_with(container.carry());
    assert!(container.needs_carry());
    let (out, _) = run(&mut container, &audit(), new.as_bytes(), 0, After::More, |_| usize::MAX / 2);
    let [Out::Record(seen)] = &out[..] else { panic!("{out:?}") };
    let first = cri("stderr", "F", "audit: not ours").len() as u64;
    assert_eq!((seen.body.as_slice(), seen.offset, seen.end), (&b"abc"[..], first, new.len() as u64));
    assert!(!container.needs_carry() && container.carry().is_empty());
    // Without the carry they are lines like any other.
    let found = whole(&audit(), new.as_bytes(), After::More);
    assert_eq!(
        found.iter().filter_map(Out::record).map(|seen| seen.body.as_slice()).collect::<Vec<_>>(),
        [b"not ours"]
    );
}

#[test]
fn memory_is_given_back() {
    let text =
        format!("{}{}", cri("stdout", "P", &format!("audit: {}", "x".repeat(100_000))), cri("stdout", "F", "y"));
    let mut container = Container::default();
    run(&mut container, &audit(), text.as_bytes(), 0, After::More, |_| usize::MAX / 2);
    assert!(container.joins.iter().all(|join| join.capacity() <= 4096));
    container.shrink();
    assert!(container.joins.iter().all(|join| join.capacity() == 0));
}

#[test]
fn huge_lines_are_taken_in_bit_by_bit() {
    let huge = "x".repeat(3 << 20);
    let text = [
        cri("stdout", "F", &huge),
        cri("stdout", "F", "audit: a"),
        cri("stderr", "F", &format!("audit: {huge}")),
        format!("{{{huge}\n"),
        cri("stdout", "F", "audit: b"),
        huge.clone(),
        "\n".to_owned(),
        cri("stdout", "F", "audit: c"),
    ]
    .concat();
    let mut container = Container::default();
    let (out, _) = run(&mut container, &audit(), text.as_bytes(), 0, After::More, |_| 50_000);
    let out: Vec<&Seen> = out.iter().filter_map(Out::record).collect();
    let short: Vec<&[u8]> = out.iter().map(|seen| &seen.body[..seen.body.len().min(3)]).collect();
    let parts = huge.len().div_ceil(196_608);
    let expect = [&[&b"a"[..]][..], &vec![&b"xxx"[..]; parts], &[b"b", b"c"]].concat();
    assert_eq!(short, expect);
    assert_eq!(out[parts].part.unwrap().whole, Some(leaf(huge.as_bytes())));
    assert!(container.joins.iter().all(|join| join.capacity() <= 4096));
}

proptest! {
    /// Compared with the library that the other times are read with.
    #[test]
    fn times_are_those_of_the_calendar(seconds in -9_000_000_000_i64..9_200_000_000, nanos in 0i32..1_000_000_000) {
        let time = jiff::Timestamp::new(seconds, if seconds < 0 { -nanos } else { nanos }).unwrap();
        let stamp = time::stamp(format!("{time:.9}").as_bytes());
        let expect = Nanos(i64::try_from(time.as_nanosecond()).unwrap());
        prop_assert_eq!(stamp, Some(Stamp { time: expect, unit: 1 }));
    }

    /// The way that is quick for what moby writes says what the other says.
    #[test]
    fn a_docker_line_is_read_the_same_in_both_ways(
        log in "[a\"\\\\n\u{1}é]{0,40}", tail in "[\",:{}ab\\\\]{0,4}", at in any::<prop::sample::Index>(),
    ) {
        let log = serde_json::to_string(&log).unwrap();
        let line = format!("{{\"log\":{log},\"stream\":\"stderr\",\"time\":\"{T}\"}}");
        prop_assert_eq!(docker::parse_as_written(line.as_bytes()), docker::parse_slow(line.as_bytes()));
        prop_assert!(docker::parse_as_written(line.as_bytes()).is_some());
        let mut line = line.into_bytes();
        let at = at.index(line.len());
        line.splice(at..at, tail.bytes());
        if let Some(entry) = docker::parse_as_written(&line) {
            prop_assert_eq!(Some(entry), docker::parse_slow(&line));
        }
    }
}
