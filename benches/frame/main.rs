//! `cargo bench --bench frame`: how many bytes of container logs framing gets through per second of CPU time, next to a
//! loop that only counts newlines. It fails when records are missed, never on time.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use auditship::frame::{Settings, Step, container::Container};
use rustix::time::{ClockId, clock_gettime};
use std::{fmt::Write as _, hint::black_box};

/// Bytes of each input.
const SIZE: usize = 16 << 20;
/// Bytes that are there at a time, as in the agent's read buffer.
const SEEN: usize = (1 << 20) + (64 << 10);

fn main() {
    // As a test it only has to come to its end.
    let least = if std::env::args().any(|arg| arg == "--bench") { 1.0 } else { 0.01 };
    println!("{:44} {:>10} {:>10} {:>10}", "", "GB/s", "newlines", "times");
    for (name, docker, every, is_json) in [
        ("CRI, no audit lines", false, 0, false),
        ("CRI, no audit lines, JSON", false, 0, true),
        ("CRI, 1 audit line in 10", false, 10, false),
        ("CRI, audit lines only", false, 1, false),
        ("Docker, no audit lines", true, 0, false),
        ("Docker, no audit lines, JSON", true, 0, true),
        ("Docker, 1 audit line in 10", true, 10, false),
        ("Docker, audit lines only", true, 1, false),
    ] {
        let (text, records) = input(docker, every, is_json);
        assert_eq!(frame(&text), records, "{name}");
        let floor = speed(least, &text, |text| memchr::memchr_iter(b'\n', text).count());
        let speed = speed(least, &text, frame);
        println!("{name:44} {speed:10.2} {floor:10.2} {:10.1}", floor / speed);
    }
}

/// Lines of about 150 bytes, in files whose times have nine digits or fewer as the runtime writes them, and how many of
/// them are audit lines.
fn input(is_docker: bool, every: usize, is_json: bool) -> (Vec<u8>, usize) {
    let (mut text, mut records) = (String::with_capacity(SIZE + 1024), 0);
    let mut nanos = 1_u64;
    for line in 1.. {
        if text.len() >= SIZE {
            break;
        }
        nanos = nanos.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let fraction = format!("{:09}", nanos >> 40);
        let time =
            format!("2024-01-02T03:{:02}:{:02}.{}Z", line / 60 % 60, line % 60, fraction.trim_end_matches('0'));
        let is_audit = every > 0 && line % every == 0;
        records += usize::from(is_audit);
        let content = match (is_audit, is_json) {
            (true, _) => format!(
                "audit: {{\"ts\":\"{time}\",\"event_type\":\"login\",\"tenant\":\"t{}\",\"n\":{line}}}",
                line % 10
            ),
            (_, true) => format!(
                "{{\"level\":\"info\",\"msg\":\"request done\",\"path\":\"/api/v1/items/{line}\",\"status\":200,\"ms\":{}}}",
                line % 97
            ),
            _ => format!(
                "10.1.2.3 - - [02/Jan/2024] \"GET /api/v1/items/{line} HTTP/1.1\" 200 1534 curl/8.5.0 upstream=10.0.7.1:8080"
            ),
        };
        let stream = if line % 7 == 0 { "stderr" } else { "stdout" };
        // Writing to a String cannot fail.
        let _ = if is_docker {
            let log = serde_json::Value::String(format!("{content}\n"));
            writeln!(text, "{{\"log\":{log},\"stream\":\"{stream}\",\"time\":\"{time}\"}}")
        } else {
            writeln!(text, "{time} {stream} F {content}")
        };
    }
    (text.into_bytes(), records)
}

/// How many records there are.
fn frame(text: &[u8]) -> usize {
    let settings = Settings::new(b"audit:".to_vec(), 256 * 1024);
    let mut container = Container::default();
    let (mut at, mut records) = (0_usize, 0);
    let mut see = SEEN.min(text.len());
    loop {
        let end = match container.next(&settings, &text[at..see], at as u64) {
            Step::Record(framed) => {
                records += 1;
                black_box(framed.body);
                framed.end
            }
            Step::Passed { end } | Step::Gap { end, .. } => end,
            Step::More if see == text.len() => return records,
            Step::More => {
                see = (at + SEEN).min(text.len());
                at as u64
            }
        };
        at = usize::try_from(end).unwrap_or(usize::MAX);
    }
}

/// Gigabytes per second of this process's CPU time.
fn speed(least: f64, text: &[u8], work: impl Fn(&[u8]) -> usize) -> f64 {
    let cpu = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let (start, mut rounds) = (cpu(), 0_u32);
    loop {
        black_box(work(black_box(text)));
        rounds += 1;
        let spent = cpu() - start;
        if spent >= least {
            return text.len() as f64 * f64::from(rounds) / spent / 1e9;
        }
    }
}
