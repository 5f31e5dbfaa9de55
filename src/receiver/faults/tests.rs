//! Tests of the faults, over real connections.
#![allow(clippy::unwrap_used)]

use super::{seen::MAX_REQUESTS, *};
use crate::receiver::testing::{exchange, with_server};
use axum::extract::State;
use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

/// A receiver that counts what it stores.
fn counting() -> (Router, Arc<AtomicU64>) {
    let stored = Arc::new(AtomicU64::new(0));
    let store = async |State(stored): State<Arc<AtomicU64>>, body: String| {
        let nth = stored.fetch_add(1, Ordering::SeqCst);
        format!("{nth} {body}")
    };
    // Without content, as Loki's answer.
    let empty = async |State(stored): State<Arc<AtomicU64>>| {
        stored.fetch_add(1, Ordering::SeqCst);
        StatusCode::NO_CONTENT
    };
    let router = Router::new()
        .route("/store", routing::post(store))
        .route("/store/empty", routing::post(empty))
        .route("/other", routing::post(store))
        .with_state(Arc::clone(&stored));
    (router, stored)
}

/// Runs `test` against a receiver with these faults, and returns how much was stored.
fn with(faults: &Faults, test: impl FnOnce(SocketAddr)) -> u64 {
    let (router, stored) = counting();
    with_server(with_faults(router, faults.clone()), test);
    stored.load(Ordering::SeqCst)
}

fn post(to: SocketAddr, path: &str, body: &str) -> Option<(u16, String)> {
    exchange(to, &format!("POST {path} HTTP/1.1"), body.as_bytes())
}

fn ask(to: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    exchange(to, &format!("{method} {path} HTTP/1.1"), body.as_bytes()).unwrap()
}

/// The statuses of so many requests one after the other; 0 where there was no answer.
fn statuses(to: SocketAddr, path: &str, count: usize) -> Vec<u16> {
    (0..count).map(|_| post(to, path, "x").map_or(0, |(status, _)| status)).collect()
}

#[test]
fn without_faults_everything_is_passed_on_and_logged() {
    let faults = Faults::new();
    let stored = with(&faults, |to| {
        assert_eq!(post(to, "/store?a=b", "hello"), Some((200, "0 hello".into())));
        assert_eq!(post(to, "/store/empty", ""), Some((204, String::new())));
        assert_eq!(post(to, "/nowhere", "xyz").unwrap().0, 404);
        let log: serde_json::Value = serde_json::from_str(&ask(to, "GET", "/_requests", "").1).unwrap();
        assert_eq!(log[0]["path"], "/store");
        assert_eq!(log.as_array().unwrap().len(), 3);
    });
    let seen: Vec<_> = faults.requests().into_iter().map(|r| (r.nth, r.path, r.status, r.bytes)).collect();
    let expect = [(0, "/store", 200, 5), (1, "/store/empty", 204, 0), (2, "/nowhere", 404, 3)];
    assert_eq!(seen, expect.map(|(nth, path, status, bytes)| (nth, path.to_owned(), Some(status), bytes)));
    assert!(faults.requests()[0].at_ms > 1_700_000_000_000);
    assert_eq!(stored, 2);
}

#[test]
fn answers_come_instead_of_the_receiver_s() {
    let faults = Faults::new();
    let stored = with(&faults, |to| {
        faults.set(vec![Fault::answer("/store/", StatusCode::NO_CONTENT, ""), {
            let mut fault = Fault::answer("/store", StatusCode::TOO_MANY_REQUESTS, "slow down");
            if let FaultMode::Answer { headers, .. } = &mut fault.mode {
                headers.insert(header::RETRY_AFTER, 7.into());
            }
            fault
        }]);
        assert_eq!(post(to, "/store", "x"), Some((429, "slow down".into())));
        assert_eq!(post(to, "/store/empty", "x").unwrap().0, 204);
        assert_eq!(post(to, "/other", "x").unwrap().0, 200);
        let retry = answer_head(to);
        assert!(retry.contains("retry-after: 7\r\n"), "{retry}");
        faults.clear();
        assert_eq!(post(to, "/store", "x").unwrap().0, 200);
    });
    assert_eq!(stored, 2);
    assert_eq!(faults.requests()[0].status, Some(429));
}

/// The head of an answer.
fn answer_head(to: SocketAddr) -> String {
    use std::io::{Read as _, Write as _};
    let mut connection = std::net::TcpStream::connect(to).unwrap();
    connection
        .write_all(b"POST /store HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn what_is_stored_can_be_left_without_an_answer() {
    let faults = Faults::new();
    let stored = with(&faults, |to| {
        faults.set(vec![Fault { count: Some(2), ..Fault::new("/", FaultMode::StoreThenDrop) }]);
        assert_eq!(post(to, "/store", "x"), None);
        assert_eq!(post(to, "/store/empty", "x"), None);
        assert_eq!(post(to, "/store", "x"), Some((200, "2 x".into())));
    });
    assert_eq!(stored, 3);
    let seen: Vec<_> = faults.requests().into_iter().map(|request| request.status).collect();
    assert_eq!(seen, [None, None, Some(200)]);
}

#[test]
fn what_is_swallowed_is_not_stored_and_ends_with_the_fault() {
    let faults = Faults::new();
    let stored = with(&faults, |to| {
        faults.set(vec![Fault::new("/store", FaultMode::Swallow)]);
        let waiting = thread::spawn(move || post(to, "/store", "x"));
        while faults.requests().first().is_none_or(|request| request.bytes == 0) {
            thread::sleep(Duration::from_millis(1));
        }
        assert!(!waiting.is_finished());
        faults.clear();
        assert_eq!(waiting.join().unwrap(), None);
    });
    assert_eq!(stored, 0);
    assert_eq!(faults.requests()[0].status, None);
}

#[test]
fn delays_and_slow_reading_take_their_time() {
    #[track_caller]
    fn check(fault: Fault, body: &str, at_least: u64) {
        let faults = Faults::new();
        let stored = with(&faults, |to| {
            faults.set(vec![fault]);
            let before = Instant::now();
            assert_eq!(post(to, "/store", body).unwrap().0, 200);
            assert!(before.elapsed() >= Duration::from_millis(at_least), "{:?}", before.elapsed());
        });
        assert_eq!(stored, 1);
    }
    let delay = Duration::from_millis(80);
    check(Fault { delay, ..Fault::new("/", FaultMode::Delay) }, "x", 80);
    let slow = FaultMode::Slow { bytes_per_second: NonZeroU64::new(10_000).unwrap() };
    check(Fault::new("/", slow), &"x".repeat(800), 80);
}

#[test]
fn a_share_is_of_the_matching_requests_and_the_same_for_a_seed() {
    let faults = Faults::new();
    let run = |share: f64, seed: u64| {
        let fault = || Fault { share, seed, ..Fault::answer("/store", StatusCode::BAD_GATEWAY, "") };
        faults.set(vec![fault()]);
        (0..200).map(|_| faults.meet("/other").is_some() || faults.meet("/store").is_some()).collect::<Vec<_>>()
    };
    let share = |hits: &[bool]| hits.iter().filter(|hit| **hit).count();
    assert_eq!((share(&run(0.0, 1)), share(&run(1.0, 1))), (0, 200));
    assert!((30..=90).contains(&share(&run(0.3, 1))));
    assert_eq!(run(0.3, 1), run(0.3, 1));
    assert_ne!(run(0.3, 1), run(0.3, 2));
}

#[test]
fn the_first_that_matches_wins_and_an_ended_one_does_not_match() {
    let faults = Faults::new();
    let answer = |path: &str, status| Fault::answer(path, StatusCode::from_u16(status).unwrap(), "");
    with(&faults, |to| {
        faults.set(vec![Fault { count: Some(2), ..answer("/store", 503) }, answer("/st", 400), answer("/", 418)]);
        assert_eq!(statuses(to, "/store", 4), [503, 503, 400, 400]);
        assert_eq!(statuses(to, "/other", 1), [418]);
        assert_eq!(faults.get().len(), 2);
        faults.set(vec![Fault { share: 0.0, ..answer("/", 503) }, answer("/", 400)]);
        assert_eq!(statuses(to, "/store", 2), [400, 400]);
        faults.set(vec![Fault { duration: Some(Duration::ZERO), ..answer("/", 503) }]);
        assert_eq!((statuses(to, "/store", 1), faults.get().len()), (vec![200], 0));
        faults.set(vec![Fault { duration: Some(Duration::from_secs(3600)), ..answer("/", 503) }]);
        assert_eq!((statuses(to, "/store", 1), faults.get().len()), (vec![503], 1));
    });
}

#[test]
fn faults_are_set_over_http() {
    let faults = Faults::new();
    with(&faults, |to| {
        assert_eq!(ask(to, "GET", "/_faults", ""), (200, "[]\n".into()));
        let written = r#"[{"path":"/store","status":503,"count":1},{"path":"/","mode":"store_then_drop"}]"#;
        let (status, shown) = ask(to, "PUT", "/_faults", written);
        assert_eq!((status, Fault::parse(shown.as_bytes())), (200, Fault::parse(written.as_bytes())));
        // The control paths have no faults.
        assert_eq!(ask(to, "GET", "/_faults", ""), (200, shown));
        assert_eq!(statuses(to, "/store", 2), [503, 0]);
        let (status, text) = ask(to, "PUT", "/_faults", r#"[{"path":"/","stauts":503}]"#);
        assert!(status == 400 && text.contains("unknown field `stauts`"), "{text}");
        // What cannot be read changes nothing.
        assert_eq!(statuses(to, "/store", 1), [0]);
        assert_eq!(ask(to, "DELETE", "/_faults", ""), (204, String::new()));
        assert_eq!(statuses(to, "/store", 1), [200]);
        assert_eq!(ask(to, "POST", "/_faults", "").0, 405);
    });
    assert_eq!(faults.requests().len(), 4);
}

#[test]
fn what_is_written_is_read() {
    fn check(written: &str) {
        let read = Fault::parse(written.as_bytes()).unwrap();
        assert_eq!(Fault::parse(form::write(&read).as_bytes()).unwrap(), read, "{written}");
    }
    check("[]");
    check(r#"[{"path":"/loki","share":0.3,"seed":7,"status":400,"body":"…\"","headers":{"retry-after":"5"}}]"#);
    check(r#"[{"path":"/","mode":"answer","status":599,"delay_ms":10,"for_ms":5000,"count":10}]"#);
    check(r#"[{"path":"/","mode":"store_then_drop"},{"path":"/","mode":"swallow","delay_ms":0}]"#);
    check(r#"[{"path":"/","mode":"slow","bytes_per_second":1},{"path":"/a","mode":"delay","delay_ms":1}]"#);
    let fault = &Fault::parse(br#"[{"path":"/","status":503}]"#).unwrap()[0];
    assert_eq!(*fault, Fault::answer("/", StatusCode::SERVICE_UNAVAILABLE, ""));
}

#[test]
fn what_is_wrong_is_named() {
    fn check(written: &str, expect: &str) {
        let error = Fault::parse(written.as_bytes()).unwrap_err();
        assert!(error.contains(expect), "{written}: {error}");
    }
    check("", "EOF");
    check("{}", "expected a sequence");
    check(r#"[{"path":"/","stauts":1}]"#, "unknown field `stauts`, expected one of `path`");
    check(r#"[{"path":"/","status":503},{"status":503}]"#, "fault 1: `path` is missing");
    check(r#"[{"path":"loki","status":503}]"#, r#"`path`: "loki" does not begin with /"#);
    check(r#"[{"path":"/"}]"#, "`status` is missing");
    check(r#"[{"path":"/","status":101}]"#, "`status`: 101 is not between 200 and 999");
    check(r#"[{"path":"/","status":1000}]"#, "`status`: 1000");
    check(r#"[{"path":"/","status":"503"}]"#, "invalid type");
    check(r#"[{"path":"/","mode":"drop"}]"#, "unknown variant `drop`");
    check(r#"[{"path":"/","mode":"swallow","status":503}]"#, r#"`status` belongs to the mode "answer""#);
    check(r#"[{"path":"/","mode":"swallow","body":""}]"#, "`body` belongs");
    check(r#"[{"path":"/","mode":"delay","headers":{}}]"#, "`headers` belongs");
    check(r#"[{"path":"/","status":503,"bytes_per_second":1}]"#, r#"`bytes_per_second` belongs to the mode "slow""#);
    check(r#"[{"path":"/","mode":"slow"}]"#, "`bytes_per_second` is missing");
    check(r#"[{"path":"/","mode":"slow","bytes_per_second":0}]"#, "`bytes_per_second` is missing or 0");
    check(r#"[{"path":"/","mode":"delay"}]"#, "`delay_ms` is missing");
    check(r#"[{"path":"/","status":503,"share":1.1}]"#, "`share`: 1.1 is not between 0 and 1");
    check(r#"[{"path":"/","status":503,"share":-0.1}]"#, "`share`");
    check(r#"[{"path":"/","status":503,"count":-1}]"#, "invalid value");
    check(r#"[{"path":"/","status":503,"headers":{"a b":"c"}}]"#, "`headers`");
    check(r#"[{"path":"/","status":503,"headers":{"a":"c\n"}}]"#, "`headers`");
    check(r#"[{"path":"/","status":503,"headers":{"Content-Length":"1"}}]"#, "is the server's own");
}

#[test]
fn the_log_keeps_the_last_requests() {
    let mut log = Log::default();
    let numbers: Vec<_> = (0..MAX_REQUESTS + 5).map(|_| log.begin("/")).collect();
    assert_eq!(numbers.last(), Some(&10_004));
    for (nth, bytes) in [(0, 1), (5, 2), (10_004, 3), (10_005, 4)] {
        log.arrived(nth, bytes);
        log.answered(nth, StatusCode::OK);
    }
    let view = log.view();
    assert_eq!((view.len(), view[0].nth, view[0].bytes, view[0].status), (MAX_REQUESTS, 5, 2, Some(200)));
    let known: Vec<_> = view.iter().filter(|request| request.status.is_some()).map(|request| request.nth).collect();
    assert_eq!(known, [5, 10_004]);
}

#[test]
fn receivers_share_a_router() {
    let route = |path: &str, text: &'static str| Router::new().route(path, routing::post(async move || text));
    let faults = Faults::new();
    faults.set(vec![Fault::answer("/a", StatusCode::BAD_REQUEST, "")]);
    with_server(with_faults(crate::receiver::all([route("/a", "a"), route("/b", "b")]), faults), |to| {
        assert_eq!(post(to, "/a", "").unwrap().0, 400);
        assert_eq!(post(to, "/b", ""), Some((200, "b".into())));
    });
}
