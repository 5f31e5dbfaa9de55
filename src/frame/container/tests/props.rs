//! What a container writes comes out again, whatever is made of it on the way.

use super::*;
use proptest::prelude::*;
use proptest::sample::Index;

/// A line of a container, and where to cut it into pieces.
#[derive(Clone, Debug)]
struct Line {
    stream: Stream,
    text: String,
    cuts: Vec<Index>,
}

fn line() -> impl Strategy<Value = Line> {
    let text = prop_oneof![
        Just(String::new()),
        "a|au|aud|audit|audit:|audit: |audit:  x",
        "(audit: ?)?[a-zé\u{1F600}\"\\\\<\t\u{1}\u{2028} ]{0,60}",
        Just(format!("audit: {}", "é".repeat(50))),
    ];
    (any::<bool>(), text, prop::collection::vec(any::<Index>(), 0..4)).prop_map(|(is_out, text, cuts)| Line {
        stream: if is_out { Stream::Stdout } else { Stream::Stderr },
        text,
        cuts,
    })
}

/// The pieces of the line; Docker's are text.
fn pieces(line: &Line, is_docker: bool) -> Vec<Vec<u8>> {
    let bytes = line.text.as_bytes();
    let mut cuts: Vec<usize> = line.cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    if is_docker {
        cuts.retain(|cut| line.text.is_char_boundary(*cut));
    }
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|ends| bytes[ends[0]..ends[1]].to_vec()).collect()
}

/// A file, and what has to come out of it: stream, body, offset, and where the line ends that completes it.
#[derive(Debug)]
struct File {
    bytes: Vec<u8>,
    /// The offsets after each line.
    ends: Vec<usize>,
    expect: Vec<(Stream, Vec<u8>, u64, u64)>,
}

/// Writes the lines' pieces in the order that `order` chooses between the streams.
fn file(lines: &[Line], order: &[bool], is_docker: bool, prefixes: &[&str]) -> File {
    let of = |stream: Stream| lines.iter().filter(move |line| line.stream == stream);
    let queue = |stream| -> std::collections::VecDeque<(Vec<u8>, bool, String)> {
        let pieces = of(stream).flat_map(|line| {
            let pieces = pieces(line, is_docker);
            let count = pieces.len();
            pieces.into_iter().enumerate().map(move |(i, piece)| (piece, i + 1 == count, line.text.clone()))
        });
        pieces.collect()
    };
    let mut queues = Stream::BOTH.map(queue);
    let mut starts = [None, None];
    let mut file = File { bytes: Vec::new(), ends: Vec::new(), expect: Vec::new() };
    let mut order = order.iter().cycle();
    while queues.iter().any(|queue| !queue.is_empty()) {
        let index = usize::from(*order.next().unwrap());
        let index = if queues[index].is_empty() { 1 - index } else { index };
        let (piece, is_final, text) = queues[index].pop_front().unwrap();
        let start = *starts[index].get_or_insert(file.bytes.len());
        let second = file.ends.len() % 60;
        let name = ["stdout", "stderr"][index];
        if is_docker {
            let mut log = String::from_utf8(piece).unwrap();
            if is_final {
                log.push('\n');
            }
            let log = serde_json::to_string(&log).unwrap();
            let time = format!("2024-01-02T03:04:{second:02}.5Z");
            let line = match second % 5 {
                0 => format!(
                    "{{\"log\":{log},\"stream\":\"{name}\",\"attrs\":{{\"a\":\"}}\\\"\"}},\"time\":\"{time}\"}}"
                ),
                1 => format!("{{ \"time\" : \"{time}\", \"n\":[1,{{}}], \"stream\":\"{name}\" ,\"log\":{log} }}\r"),
                _ => format!("{{\"log\":{log},\"stream\":\"{name}\",\"time\":\"{time}\"}}"),
            };
            file.bytes.extend(line.as_bytes());
        } else {
            let tag = match (is_final, second % 7) {
                (true, 3) => "F:x",
                (false, 3) => "P:x:y",
                (true, _) => "F",
                (false, _) => "P",
            };
            let zone = if second.is_multiple_of(3) { "+01:00" } else { ".123Z" };
            file.bytes.extend(format!("2024-01-02T03:04:{second:02}{zone} {name} {tag} ").as_bytes());
            file.bytes.extend(piece);
        }
        file.bytes.push(b'\n');
        file.ends.push(file.bytes.len());
        if is_final {
            starts[index] = None;
            let prefix =
                prefixes.iter().filter(|prefix| text.starts_with(**prefix)).max_by_key(|prefix| prefix.len());
            let body = match prefix {
                Some(prefix) => {
                    let body = &text[prefix.len()..];
                    Some(body.strip_prefix(' ').unwrap_or(body))
                }
                None => prefixes.is_empty().then_some(&*text),
            };
            if let Some(body) = body {
                let body = body.as_bytes().to_vec();
                file.expect.push((Stream::BOTH[index], body, start as u64, file.bytes.len() as u64));
            }
        }
    }
    file
}

/// Puts the parts of each stream's lines together again, and compares what is on the last with the whole.
fn unpart(out: &[Out], settings: &Settings) -> Vec<(Stream, Vec<u8>, u64, u64)> {
    let mut lines = Vec::new();
    let mut open: [Vec<u8>; 2] = Default::default();
    let mut first = [0; 2];
    for seen in out.iter().filter_map(Out::record) {
        let stream = seen.stream.unwrap();
        let body = &mut open[stream as usize];
        assert!(!seen.is_malformed && !seen.is_unterminated);
        assert!(seen.body.len() <= if seen.part.is_some() { settings.part } else { settings.limit });
        assert_eq!(seen.head.is_some(), seen.part.is_none_or(|part| part.number == 1));
        if body.is_empty() {
            first[stream as usize] = seen.offset;
        }
        body.extend(&seen.body);
        if seen.part.is_none_or(|part| part.whole.is_some()) {
            let body = std::mem::take(body);
            assert_eq!(seen.part.is_some(), settings.is_too_long(&body), "parts only where they are needed");
            if let Some(whole) = seen.part.and_then(|part| part.whole) {
                assert_eq!(whole, leaf(&body));
            }
            lines.push((stream, body, first[stream as usize], seen.end));
        }
    }
    lines
}

fn settings_of(kind: u8, limit: usize) -> (Settings, Vec<&'static str>) {
    match kind {
        0 => (Settings::new(Vec::new(), limit), vec![]),
        1 => (Settings::new(b"audit:".to_vec(), limit), vec!["audit:"]),
        _ => (
            Settings::with_prefixes(["au", "audit:", "x"].map(|p| p.into()).to_vec(), limit),
            vec!["au", "audit:", "x"],
        ),
    }
}

/// Ends rise strictly, and reading on from any place gives the rest again.
fn check_places(settings: &Settings, text: &[u8], after: After, out: &[Out], places: &[Place], carry: &Carry) {
    for pair in out.windows(2) {
        assert!(pair[0].end() < pair[1].end(), "{} {}", pair[0], pair[1]);
    }
    for place in places {
        let mut container = match place.needs_carry {
            true => Container::begin_with(carry.clone()),
            false => Container::default(),
        };
        let (again, _) = run(&mut container, settings, text, place.rewind, after, |_| usize::MAX / 2);
        let again: Vec<Out> = again.into_iter().filter(|out| out.end() > place.at).collect();
        assert_eq!(again, out[place.outs..], "from {place:?}");
    }
}

proptest! {
    /// Any split into pieces, any interleaving, any arrival, any restart, any rotation.
    #[test]
    fn what_was_written_comes_out(
        lines in prop::collection::vec(line(), 0..10),
        order in prop::collection::vec(any::<bool>(), 1..20),
        is_docker in any::<bool>(),
        kind in 0u8..3,
        limit in prop_oneof![Just(16usize), Just(24), Just(1000)],
        steps in prop::collection::vec(1usize..80, 1..20),
        rotate in any::<Index>(),
    ) {
        let (settings, prefixes) = settings_of(kind, limit);
        let file = file(&lines, &order, is_docker, &prefixes);
        let mut turn = steps.iter().cycle();
        let (out, places) =
            run(&mut Container::default(), &settings, &file.bytes, 0, After::More, |_| *turn.next().unwrap());
        prop_assert_eq!(&out, &whole(&settings, &file.bytes, After::Nothing));
        let lines = unpart(&out, &settings);
        prop_assert_eq!(lines.len(), file.expect.len());
        for (line, expect) in lines.iter().zip(&file.expect) {
            prop_assert_eq!((line.0, &line.1, line.2), (expect.0, &expect.1, expect.2));
            // The other stream may be open.
            prop_assert!(line.3 == expect.3 || line.3 == expect.3 - BEHIND, "{} {}", line.3, expect.3);
        }
        check_places(&settings, &file.bytes, After::More, &out, &places, &Carry::default());

        // The same lines in two files.
        let cut = if file.ends.is_empty() { 0 } else { file.ends[rotate.index(file.ends.len())] };
        let (old, new) = file.bytes.split_at(cut);
        let mut container = Container::default();
        let (first, places) = run(&mut container, &settings, old, 0, After::Successor, |_| *turn.next().unwrap());
        check_places(&settings, old, After::Successor, &first, &places, &Carry::default());
        let carry = container.carry();
        let last = places.last().unwrap();
        prop_assert_eq!(last.at + container.held(), old.len() as u64);
        // The carry that is made anew from the old file's last place is the same.
        let mut anew = Container::default();
        run(&mut anew, &settings, old, last.rewind, After::Successor, |_| usize::MAX / 2);
        prop_assert_eq!(format!("{:?}", anew.carry()), format!("{:?}", carry));
        let mut container = Container::begin_with(carry.clone());
        let (second, places) = run(&mut container, &settings, new, 0, After::More, |_| *turn.next().unwrap());
        check_places(&settings, new, After::More, &second, &places, &carry);
        let joined: Vec<Out> = first.iter().chain(&second).cloned().collect();
        let bare = |out: &Out| {
            let seen = out.record().unwrap();
            (seen.stream, seen.time, seen.body.clone(), seen.part, seen.head)
        };
        prop_assert_eq!(joined.iter().map(bare).collect::<Vec<_>>(), out.iter().map(bare).collect::<Vec<_>>());
        for (here, there) in second.iter().zip(&out[first.len()..]) {
            let (here, there) = (here.record().unwrap(), there.record().unwrap());
            prop_assert!(there.end == here.end + cut as u64);
            if there.offset >= cut as u64 {
                prop_assert_eq!(here.offset, there.offset - cut as u64);
            } else {
                // Its first line in this file.
                prop_assert!(here.offset == 0 || file.ends.contains(&(cut + here.offset as usize)));
            }
        }
    }

    /// Whatever is in the file, and is open from the one before: nothing depends on how it arrives or where it is begun
    /// again.
    #[test]
    fn anything_is_framed_by_its_bytes_alone(
        before in prop::option::of(soup(4)),
        text in soup(14),
        kind in 0u8..3,
        limit in prop_oneof![Just(16usize), Just(1000)],
        after in 0usize..3,
        steps in prop::collection::vec(1usize..60, 1..20),
    ) {
        let after = [After::More, After::Successor, After::Nothing][after];
        let (settings, _) = settings_of(kind, limit);
        let (mut carry, mut text) = (Carry::default(), text);
        if let Some(before) = before {
            let mut container = Container::default();
            run(&mut container, &settings, &before, 0, After::Successor, |_| usize::MAX / 2);
            carry = container.carry();
            // What stands for what is open; without it two records may share an end.
            text.splice(0..0, *b"2024-01-02T03:04:05Z stdout F no\n");
        }
        let scale = 1 + text.len() / 500;
        let mut turn = steps.iter().cycle();
        let visible = |_| scale * *turn.next().unwrap();
        let (out, places) = run(&mut Container::begin_with(carry.clone()), &settings, &text, 0, after, visible);
        let mut container = Container::begin_with(carry.clone());
        let (at_once, _) = run(&mut container, &settings, &text, 0, after, |_| usize::MAX / 2);
        prop_assert_eq!(&out, &at_once);
        check_places(&settings, &text, after, &out, &places, &carry);
        prop_assert!(container.carry().is_empty() || after != After::Nothing);
    }
}

/// What may be in a file, in any order and torn anywhere.
fn soup(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(vec![0; 1]),
        Just(vec![0; 3]),
        Just(vec![0; 1023]),
        Just(vec![0; 1024]),
        Just(b"\n".to_vec()),
        Just(b"x\n".to_vec()),
        Just(b"audit: raw\n".to_vec()),
        Just(b"audit:".to_vec()),
        Just(b"2024-01-02T03:04:05Z std".to_vec()),
        Just(b"{\"log\":\"audit: \\u00".to_vec()),
        cri_line(),
        cri_line(),
        docker_line(),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    prop::collection::vec(piece, 0..most).prop_map(|pieces| pieces.concat())
}

fn cri_line() -> impl Strategy<Value = Vec<u8>> {
    (0usize..2, 0usize..4, "(audit: )?[a-\u{e9}]{0,30}", any::<bool>()).prop_map(|(stream, tag, text, ends)| {
        let stream = ["stdout", "stderr"][stream];
        let tag = ["P", "F", "P", "X"][tag];
        format!("2024-01-02T03:04:05.6Z {stream} {tag} {text}{}", if ends { "\n" } else { "" }).into_bytes()
    })
}

fn docker_line() -> impl Strategy<Value = Vec<u8>> {
    (0usize..2, "(audit: )?[a-\u{e9}]{0,30}(\\\\n|\\\\ud83d|\\\\ude00)?").prop_map(|(stream, text)| {
        let stream = ["stdout", "stderr"][stream];
        format!("{{\"log\":\"{text}\",\"stream\":\"{stream}\",\"time\":\"2024-01-02T03:04:05.6Z\"}}\n").into_bytes()
    })
}
