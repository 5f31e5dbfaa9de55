use super::*;
use crate::{
    output::Cause,
    pipeline::{Figures, OutputFigures, OutputNumbers},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
};

const DOCUMENT: &str = include_str!("../../docs/metrics.md");

fn figures() -> Figures {
    let output = OutputFigures {
        name: "loki".into(),
        numbers: OutputNumbers { records: 5, acknowledged: 3, pending: 2, twins: 1, ..OutputNumbers::default() },
        retries: std::array::from_fn(|n| n as u64),
        oldest_age: Duration::from_millis(1500),
        why: Some("it is down".into()),
    };
    Figures { outputs: vec![output], label_values: vec![("tenant".into(), 4)], streams: (6, 9), ..Figures::default() }
}

/// Name → type and names of labels, of a text in Prometheus' format.
fn metrics_of(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(found.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new())).is_none(), "{name} twice");
        } else if !line.starts_with('#') {
            let (series, number) = line.rsplit_once(' ').unwrap();
            number.parse::<f64>().unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let labels = labels.strip_suffix('}').unwrap().split(',').filter_map(|label| label.split_once('='));
            found.get_mut(name).unwrap().1.extend(labels.map(|(label, _)| label.to_owned()));
        }
    }
    found
}

#[test]
fn the_document_names_every_metric_and_no_other() {
    let documented: BTreeMap<_, _> = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let labels = cells[2].split(", ").map(|label| label.trim_matches('`').to_owned());
            let labels = labels.filter(|label| !label.is_empty()).collect();
            (cells[0].trim_matches('`').to_owned(), (cells[1].to_owned(), labels))
        })
        .collect();
    assert_eq!(documented, metrics_of(&metrics::render(figures()).unwrap()));
    for cause in Cause::ALL {
        assert!(DOCUMENT.contains(&format!("`{}`", cause.name())), "{cause:?}");
    }
}

#[test]
fn numbers_are_in_their_places() {
    let text = metrics::render(figures()).unwrap();
    for line in [
        "auditship_records_total{output=\"loki\"} 5",
        "auditship_acknowledged_records_total{output=\"loki\"} 3",
        "auditship_pending_records{output=\"loki\"} 2",
        "auditship_marked_records_total{output=\"loki\",mark=\"twin\"} 1",
        "auditship_retries_total{output=\"loki\",class=\"timed_out\"} 2",
        "auditship_retries_total{output=\"loki\",class=\"server_error\"} 7",
        "auditship_oldest_unacknowledged_seconds{output=\"loki\"} 1.5",
        "auditship_output_waiting{output=\"loki\"} 1",
        "auditship_label_values{label=\"tenant\"} 4",
        "auditship_streams 6",
        "auditship_streams_limit 9",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("it is down"));
}

#[test]
fn what_cannot_be_read_is_named_shortened_and_escaped() {
    assert_eq!(unready(true, &[]), None);
    assert!(unready(false, &[]).unwrap().contains("first scan"));
    let mut paths: Vec<String> = (0..12).map(|n| format!("/logs/{n}")).collect();
    paths[0] = "/logs/\n<b>".to_owned() + &"x".repeat(500);
    let text = unready(true, &paths).unwrap();
    assert!(text.starts_with("12 paths") && text.contains("  /logs/\\n<b>xx") && text.contains("x…\n"), "{text}");
    assert!(text.ends_with("  /logs/9\n  (and 2 more)\n") && text.len() < 500, "{text}");
}

/// A server, and the runtime that it lives in.
fn served(
    address: &str,
    token: Option<&std::path::Path>,
) -> (tokio::runtime::Runtime, SocketAddr, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let toml = format!(
        "[agent]\nadmin = {address:?}\n{}\n[sources.a]\ntype = \"file\"\ninclude = [\"/nowhere/*\"]\n\
         [outputs.loki]\ntype = \"loki\"\nurl = \"http://x\"\n",
        token.map(|path| format!("admin_token_file = {path:?}")).unwrap_or_default()
    );
    std::fs::write(folder.path().join("a.toml"), toml).unwrap();
    let none: [(String, String); 0] = [];
    let settings = crate::config::load(Some(&folder.path().join("a.toml")), none.into_iter()).unwrap();
    let live = Arc::new(Live::of_nothing(&folder.path().join("state"), Duration::ZERO));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let guard = runtime.enter();
    let admin = settings.agent.admin.clone().unwrap();
    let listener = listen(&admin).unwrap();
    let mut address = listener.local_addr().unwrap();
    address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    let desk = Desk {
        admin,
        look: Arc::new(Look::new(&settings).unwrap()),
        live,
        status: Mutex::default(),
        is_tokenless: AtomicBool::new(false),
    };
    tokio::spawn(axum::serve(connections::Door::new(listener), router(Arc::new(desk))).into_future());
    drop(guard);
    (runtime, address, folder)
}

/// What is answered to these bytes.
fn answer(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    // Refused in the middle: what was answered is there all the same.
    let _ = stream.write_all(bytes);
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    String::from_utf8(text).unwrap()
}

fn get(address: SocketAddr, path: &str, headers: &str) -> String {
    answer(address, format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n").as_bytes())
}

#[test]
fn a_connection_takes_one_request_of_few_bytes_and_little_time() {
    let (_runtime, address, _folder) = served("127.0.0.1:0", None);
    let two = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2);
    assert_eq!(answer(address, two.as_bytes()).matches("HTTP/1.1 200").count(), 1);
    let long = format!("GET /livez HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert!(!answer(address, long.as_bytes()).contains("200 OK"));
    let begin = Instant::now();
    // Only the head's beginning: it is not waited for the rest for long, and others are answered meanwhile.
    let slow: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /livez HTTP/1.1\r\n").unwrap();
            stream
        })
        .collect();
    assert!(get(address, "/livez", "").starts_with("HTTP/1.1 200"));
    assert!(begin.elapsed() < Duration::from_secs(4));
    for mut stream in slow {
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    assert!(
        answer(address, b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").contains(" 405 ")
    );
    assert!(get(address, "/nothing", "").contains(" 404 "));
}

#[test]
fn names_of_others_are_not_answered_but_health_is() {
    let (_runtime, address, _folder) = served("127.0.0.1:0", None);
    let ask = |path: &str| answer(address, format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\n\r\n").as_bytes());
    for path in ["/", "/metrics", "/api/status"] {
        assert!(ask(path).contains(" 403 "), "{path}");
        assert!(get(address, path, "").contains(" 200 "), "{path}");
    }
    assert!(ask("/livez").contains(" 200 "));
    let page = get(address, "/", "");
    assert!(page.contains("content-security-policy: default-src 'none'") && page.contains("</html>"));
}

#[test]
fn the_token_is_read_at_each_request() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let (_runtime, address, _folder) = served("0.0.0.0:0", Some(&file));
    let ask = |token: &str| {
        let answer = get(address, "/metrics", &format!("Authorization: Bearer {token}\r\n"));
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    assert_eq!(ask("one"), "403");
    std::fs::write(&file, "one\n").unwrap();
    assert_eq!([ask("one"), ask("two"), ask("")], ["200", "401", "401"]);
    std::fs::write(&file, "two\n").unwrap();
    assert_eq!([ask("one"), ask("two")], ["401", "200"]);
    assert!(get(address, "/metrics", "").contains("www-authenticate: Bearer"));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(ask("two"), "403");
}
