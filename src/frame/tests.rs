use super::*;
use proptest::prelude::*;

/// What came out, with the fields that matter: (offset, end, body, part number, whole?) or a pass.
#[derive(Debug, PartialEq, Clone)]
enum Out {
    Record { offset: u64, end: u64, body: Vec<u8>, part: Option<(u32, bool)> },
    Passed(u64),
    Gap { start: u64, end: u64 },
}

/// Frames `text`, of which `reveal(at)` bytes are visible at a time.
fn frame(settings: &Settings, text: &[u8], is_final: bool, mut visible: impl FnMut(usize) -> usize) -> Vec<Out> {
    let mut lines = Lines::default();
    let (mut out, mut at, mut see) = (Vec::new(), 0usize, 0usize);
    loop {
        assert!(lines.rewind(at as u64) <= at as u64);
        let step = lines.next(settings, &text[at..see], at as u64);
        let step = if step == Step::More && see == text.len() && is_final {
            lines.last(settings, &text[at..], at as u64)
        } else {
            step
        };
        match step {
            Step::Record(r) => {
                assert!(r.end - r.offset <= MAX_STEP as u64);
                at = r.end as usize;
                let part = r.part.map(|p| (p.number, p.whole.is_some()));
                out.push(Out::Record { offset: r.offset, end: r.end, body: r.body.to_vec(), part });
            }
            Step::Passed { end } => {
                at = end as usize;
                out.push(Out::Passed(end));
            }
            Step::Gap { start, end } => {
                assert!(at as u64 >= start && at < end as usize, "a step that moves over nothing would be lost");
                at = end as usize;
                out.push(Out::Gap { start, end });
            }
            Step::More if see == text.len() => return out,
            Step::More => see = (see + visible(see).max(1)).min(text.len()),
        }
    }
}

fn bodies(out: &[Out]) -> Vec<(String, Option<(u32, bool)>)> {
    out.iter()
        .filter_map(|o| match o {
            Out::Record { body, part, .. } => Some((String::from_utf8_lossy(body).into_owned(), *part)),
            Out::Passed(_) => None,
            Out::Gap { start, end } => Some((format!("gap {start}..{end}"), None)),
        })
        .collect()
}

#[test]
fn lines_become_records() {
    fn check(prefix: &str, limit: usize, text: &str, is_final: bool, expect: &[(&str, Option<(u32, bool)>)]) {
        let out = frame(&Settings::new(prefix.into(), limit), text.as_bytes(), is_final, |_| usize::MAX / 2);
        let expect: Vec<_> = expect.iter().map(|(body, part)| ((*body).to_owned(), *part)).collect();
        assert_eq!(bodies(&out), expect, "{prefix:?} {limit} {text:?}");
    }
    check("", 99, "a\nb\r\n\nc", false, &[("a", None), ("b\r", None), ("", None)]);
    check("", 99, "a\nc", true, &[("a", None), ("c", None)]);
    check("", 99, "", true, &[]);
    check(
        "audit:",
        99,
        "audit: {}\nother\naudit:x\naudit:  y\naud\n",
        false,
        &[("{}", None), ("x", None), (" y", None)],
    );
    check("audit:", 99, "aud", true, &[]);
    let long = "0123456789abcdef";
    check("", 16, &format!("{long}\n"), false, &[(long, None)]);
    check(
        "",
        16,
        &format!("{long}{long}\n"),
        false,
        &[("0123456789ab", Some((1, false))), ("cdef01234567", Some((2, false))), ("89abcdef", Some((3, true)))],
    );
    check(
        "p:",
        16,
        &format!("p: {long}x\n"),
        false,
        &[("0123456789ab", Some((1, false))), ("cdefx", Some((2, true)))],
    );
    // 'é' would be cut in two at 12.
    check("", 16, "0123456789aé12345\n", false, &[("0123456789a", Some((1, false))), ("é12345", Some((2, true)))]);
}

#[test]
fn a_line_between_part_and_limit_is_cut_only_when_it_grows_on_its_way() {
    let settings = Settings::new(Vec::new(), 16);
    let part_of = |text: &[u8]| match &frame(&settings, text, false, |_| 99)[0] {
        Out::Record { part, .. } => *part,
        Out::Passed(_) | Out::Gap { .. } => None,
    };
    assert_eq!(part_of(b"0123456789abcd\n"), None);
    assert_eq!(part_of(b"0123456789abc\xff\n"), Some((1, false)));
}

#[test]
fn the_whole_hash_is_on_the_last_part() {
    let settings = Settings::new(Vec::new(), 16);
    let text = b"0123456789abcdef0\nnext\n";
    let mut lines = Lines::default();
    assert!(matches!(lines.next(&settings, text, 0), Step::Record(Framed { end: 12, .. })));
    assert_eq!(lines.rewind(12), 0);
    let Step::Record(last) = lines.next(&settings, &text[12..], 12) else { panic!("a last part") };
    assert_eq!(last.part, Some(Part { number: 2, whole: Some(crate::model::leaf(&text[..17])) }));
    assert_eq!((last.end, lines.rewind(18)), (18, 18));
}

#[test]
fn nul_bytes_are_a_gap_and_glue_nothing_together() {
    let nuls = |count: usize| "\0".repeat(count);
    fn check(prefix: &str, text: &str, is_final: bool, expect: &[&str]) {
        for step in [usize::MAX / 2, 1000, 7] {
            let out = frame(&Settings::new(prefix.into(), 2000), text.as_bytes(), is_final, |_| step);
            let found: Vec<String> = bodies(&out).into_iter().map(|(body, _)| body).collect();
            assert_eq!(found, expect, "{prefix:?} {:?}", text.replace('\0', ""));
        }
    }
    check("", &format!("{}a\n", nuls(1)), false, &["gap 0..1", "a"]);
    check("", &format!("a\n{}b\n", nuls(5000)), false, &["a", "gap 2..5002", "b"]);
    check("", &format!("a\n{}\nb\n", nuls(3)), false, &["a", "gap 2..5", "", "b"]);
    // Cut off by a crash: what was begun is not glued to what comes after it.
    check("", &format!("torn{}b\n", nuls(GAP)), false, &["torn", "gap 4..1028", "b"]);
    check("", &format!("x{}y\n", nuls(3)), false, &["x\0\0\0y"]);
    check("p:", &format!("foreign{}p:b\n", nuls(GAP)), false, &["gap 7..1031", "b"]);
    check("p:", &format!("p:torn{}p:b\n", nuls(GAP)), false, &["torn", "gap 6..1030", "b"]);
    // At the end nothing is known until the file is at its end.
    check("", &format!("a\n{}", nuls(9)), false, &["a"]);
    check("", &format!("a\n{}", nuls(9)), true, &["a", "gap 2..11"]);
    check("", &format!("a{}", nuls(9)), true, &["a\0\0\0\0\0\0\0\0\0"]);
    check("", &format!("a{}", nuls(GAP)), true, &["a", "gap 1..1025"]);
}

#[test]
fn a_long_line_ends_at_a_gap() {
    let settings = Settings::new(Vec::new(), 16);
    let text = [b"0123456789abcdef0".to_vec(), vec![0; GAP], b"next\n".to_vec()].concat();
    let parts: Vec<_> = bodies(&frame(&settings, &text, false, |_| 5));
    let expect =
        [("0123456789ab", Some((1, false))), ("cdef0", Some((2, true))), ("gap 17..1041", None), ("next", None)];
    assert_eq!(parts, expect.map(|(body, part)| (body.to_owned(), part)));
}

#[test]
fn a_huge_foreign_line_is_passed_over_in_steps() {
    let settings = Settings::new(b"audit:".to_vec(), 1000);
    let mut text = vec![b'x'; 3 * MAX_STEP];
    text.extend(b"\naudit: mine\n");
    let out = frame(&settings, &text, false, |_| 65536);
    assert_eq!(bodies(&out), [("mine".to_owned(), None)]);
}

#[test]
fn a_line_of_more_than_the_head_leaves_before_its_newline() {
    let settings = Settings::new(Vec::new(), 256 * 1024);
    let text = vec![b'x'; HEAD];
    let mut lines = Lines::default();
    assert_eq!(lines.next(&settings, &text[1..], 0), Step::More);
    let Step::Record(first) = lines.next(&settings, &text, 0) else { panic!("a first part") };
    assert_eq!((first.body.len(), first.head.map(<[u8]>::len)), (196_608, Some(HEAD)));
}

proptest! {
    /// How the bytes arrive never changes what they become, and nothing is lost between the records.
    #[test]
    fn framing_depends_on_the_bytes_alone(
        pieces in prop::collection::vec(prop_oneof![
            Just(vec![0; 3]), Just(vec![0; GAP - 1]), Just(vec![0; GAP]), Just(vec![0; 3 * GAP]),
            Just(b"\n".to_vec()), Just(b"p:".to_vec()), Just(b"p: ".to_vec()), Just("é".as_bytes().to_vec()),
            prop::collection::vec(any::<u8>(), 0..40),
        ], 0..40),
        prefixed in any::<bool>(),
        is_final in any::<bool>(),
        steps in prop::collection::vec(1usize..30, 1..50),
    ) {
        let text = pieces.concat();
        let settings = Settings::new(if prefixed { b"p:".to_vec() } else { Vec::new() }, 16);
        let steps: Vec<usize> = steps.into_iter().map(|step| if text.len() > 1000 { step * 97 } else { step }).collect();
        let frame = |visible: &mut dyn FnMut(usize) -> usize| {
            let out = frame(&settings, &text, is_final, visible);
            // How far a step passes over something depends on what is there of it.
            out.into_iter().filter(|out| !matches!(out, Out::Passed(_))).collect::<Vec<_>>()
        };
        let whole = frame(&mut |_| usize::MAX / 2);
        let mut turn = steps.iter().cycle();
        let dripped = frame(&mut |_| *turn.next().unwrap_or(&1));
        prop_assert_eq!(&whole, &dripped);
        if !prefixed {
            let mut joined = Vec::new();
            let mut position = 0;
            for out in &whole {
                let (offset, end, body, part) = match out {
                    Out::Record { offset, end, body, part } => (offset, end, body.clone(), part),
                    Out::Gap { start, end } => (start, end, vec![0; (end - start) as usize], &None),
                    Out::Passed(_) => unreachable!("left out"),
                };
                let is_gap = matches!(out, Out::Gap { .. });
                prop_assert_eq!(*offset, position);
                position = *end;
                joined.extend_from_slice(&body);
                if !is_gap && part.is_none_or(|(_, whole)| whole) && (*end as usize) <= text.len() && text[*end as usize - 1] == b'\n' {
                    joined.push(b'\n');
                }
            }
            prop_assert_eq!(&joined[..], &text[..position as usize]);
        }
    }
}
