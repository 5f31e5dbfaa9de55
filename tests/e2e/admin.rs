//! The admin server and the service manager's socket, from outside: what they answer while all goes well, and while it
//! does not.

use crate::rig::{
    Agent, Destination, Meeting, Site, append, command, command_of, eventually, finish, lines, seconds,
};
use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram, process::CommandExt as _},
    path::Path,
    time::{Duration, Instant},
};

/// Status and body of an answer.
type Answer = (u16, String);

/// The address at which the agent says that it serves, as this machine reaches it.
fn address(agent: &Agent) -> SocketAddr {
    let mut found = None;
    eventually(seconds(20), "the admin server listens", || {
        found = agent.log().iter().find_map(|line| line["admin"].as_str()?.parse::<SocketAddr>().ok());
        found.is_some()
    });
    let port = found.unwrap().port();
    assert_ne!(port, 0);
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn get_with(address: SocketAddr, path: &str, headers: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(seconds(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n{headers}\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn get(address: SocketAddr, path: &str) -> Answer {
    get_with(address, path, "")
}

/// Series → number; every line is what Prometheus' text format allows, and every series has a type.
fn metrics(address: SocketAddr) -> BTreeMap<String, f64> {
    let (status, text) = get(address, "/metrics");
    assert_eq!(status, 200, "{text}");
    parse(&text)
}

fn parse(text: &str) -> BTreeMap<String, f64> {
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let mut kind = (String::new(), String::new());
    let mut help = String::new();
    let mut found = BTreeMap::new();
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').unwrap().0.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, of) = rest.split_once(' ').unwrap();
            assert!(["counter", "gauge"].contains(&of) && name == help, "{line}");
            assert_eq!(name.ends_with("_total"), of == "counter", "{line}");
            kind = (name.to_owned(), of.to_owned());
        } else {
            let (series, number) = line.rsplit_once(' ').unwrap();
            let (name, labels) = match series.split_once('{') {
                Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
                None => (series, ""),
            };
            assert!(is_name(name) && name.starts_with("auditship_") && name == kind.0, "{line}");
            for label in labels.split(',').filter(|label| !label.is_empty()) {
                let (label, value) = label.split_once('=').unwrap();
                assert!(["output", "class", "mark", "label", "version"].contains(&label), "{line}");
                assert!(value.len() > 2 && value.starts_with('"') && value.ends_with('"'), "{line}");
            }
            assert!(found.insert(series.to_owned(), number.parse().unwrap()).is_none(), "{series} twice");
        }
    }
    found
}

fn site() -> Site {
    let mut site = Site::new();
    site.admin = "127.0.0.1:0".into();
    site
}

#[test]
fn a_destination_that_is_down_is_no_reason_to_be_restarted() {
    let destination = Destination::new();
    destination.script(|_| Meeting::Answer(503, "", "no healthy \"upstream\"\n<b>"));
    let site = site();
    append(&site.log("app.jsonl"), &lines("a", 200));
    let mut agent = site.start(&destination);
    let address = address(&agent);
    eventually(seconds(20), "the agent is ready", || get(address, "/readyz").0 == 200);
    let waits = |numbers: &BTreeMap<String, f64>| {
        numbers["auditship_output_waiting{output=\"loki\"}"] == 1.0
            && numbers["auditship_retries_total{output=\"loki\",class=\"server_error\"}"] >= 3.0
    };
    eventually(seconds(30), "attempts fail", || waits(&metrics(address)));
    let begin = Instant::now();
    while begin.elapsed() < seconds(3) {
        assert_eq!((get(address, "/livez").0, get(address, "/readyz").0), (200, 200));
        std::thread::sleep(Duration::from_millis(100));
    }
    let numbers = metrics(address);
    let of = |name: &str| numbers[&format!("auditship_{name}{{output=\"loki\"}}")];
    assert_eq!((of("dead_lettered_records_total"), of("dead_lettered_bytes_total")), (0.0, 0.0));
    assert_eq!((of("records_total"), of("acknowledged_records_total"), of("pending_records")), (200.0, 0.0, 200.0));
    let size = fs::metadata(site.log("app.jsonl")).unwrap().len() as f64;
    assert_eq!((of("read_bytes_total"), of("acknowledged_bytes_total"), of("behind_bytes")), (size, 0.0, size));
    // The lines have the time at which this test made them.
    let age = of("oldest_unacknowledged_seconds");
    assert!((3.0..60.0).contains(&age), "{age}");
    let (_, status) = get(address, "/api/status");
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let live = &status["outputs"][0]["live"];
    assert_eq!((&live["records"], &live["pending"]), (&200.into(), &200.into()));
    assert!(live["waits"].as_str().unwrap().contains("no healthy"), "{status}");

    destination.script(|_| Meeting::Pass);
    let is_done = |numbers: &BTreeMap<String, f64>| {
        let of = |name: &str| numbers[&format!("auditship_{name}{{output=\"loki\"}}")];
        of("acknowledged_records_total") == 200.0 && of("behind_bytes") == 0.0 && of("output_waiting") == 0.0
    };
    eventually(seconds(60), "all is delivered", || is_done(&metrics(address)));
    eventually(seconds(10), "nothing is old", || {
        metrics(address)["auditship_oldest_unacknowledged_seconds{output=\"loki\"}"] == 0.0
    });
    agent.end();
}

#[test]
fn metrics_add_up_and_name_no_path_and_no_value() {
    let destination = Destination::new();
    let site = site();
    let mut truth = lines("a", 3000);
    truth.push(b"not json".to_vec());
    truth.push(Vec::new());
    truth.push(b"{\"event_type\":\"login\",\"tenant\":\"secret-tenant\"}".to_vec());
    append(&site.log("secret-name.jsonl"), &truth);
    append(&site.log("second.jsonl"), &lines("b", 10));
    let mut agent = site.start(&destination);
    let address = address(&agent);
    let total = truth.len() as f64 + 10.0;
    let of = |numbers: &BTreeMap<String, f64>, name: &str| numbers[&format!("auditship_{name}{{output=\"loki\"}}")];
    let adds_up = |numbers: &BTreeMap<String, f64>| {
        let [read, acknowledged, pending] =
            ["records_total", "acknowledged_records_total", "pending_records"].map(|name| of(numbers, name));
        assert_eq!(read, acknowledged + pending, "{numbers:#?}");
        acknowledged
    };
    // At any moment, not at the end only.
    eventually(seconds(30), "all is delivered", || adds_up(&metrics(address)) == total);
    let (_, text) = get(address, "/metrics");
    let numbers = parse(&text);
    for word in ["secret", "jsonl", "logs", "acme", "umbrella", "login", site.root().to_str().unwrap()] {
        assert!(!text.contains(word), "{word} is in\n{text}");
    }
    let mark = |mark: &str| numbers[&format!("auditship_marked_records_total{{output=\"loki\",mark=\"{mark}\"}}")];
    assert_eq!((mark("malformed"), mark("empty"), mark("gap")), (1.0, 1.0, 0.0));
    assert_eq!(numbers["auditship_open_files"], 2.0);
    assert_eq!(numbers["auditship_label_values{label=\"tenant\"}"], 3.0);
    assert!(numbers["auditship_streams"] >= 5.0 && numbers["auditship_streams_limit"] == 1000.0);
    assert!(numbers["auditship_scans_total"] >= 1.0 && numbers["auditship_scan_duration_seconds"] > 0.0);
    assert_eq!(numbers["auditship_spool_limit_bytes"], f64::from(1 << 30));
    let (read, requests) = (of(&numbers, "records_total"), of(&numbers, "requests_total"));
    agent.end();
    assert_eq!((agent.ended("records") as f64, agent.ended("requests") as f64), (read, requests));
    assert_eq!(agent.alarms().len(), 0, "{:#?}", agent.alarms());
}

#[test]
fn what_cannot_be_read_makes_it_unready_but_not_dead() {
    let destination = Destination::new();
    let mut site = site();
    site.glob = "*/*.jsonl".into();
    for folder in ["open", "shut"] {
        fs::create_dir(site.log(folder)).unwrap();
        append(&site.log(folder).join("a.jsonl"), &lines(folder, 5));
    }
    let config = site.prepare(&destination);
    // For root every folder can be read: then somebody else runs the agent, from where that one can reach it.
    let is_root = rustix::process::getuid().is_root();
    let binary = site.path("auditship");
    let copied = std::process::Command::new("cp").arg(env!("CARGO_BIN_EXE_auditship")).arg(&binary).status();
    assert!(copied.unwrap().success());
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(site.root(), 0o777);
    mode(&site.log("shut"), if is_root { 0o700 } else { 0 });
    let mut command = command_of(&binary);
    command.arg("run").arg("-c").arg(config);
    if is_root {
        command.uid(65534).gid(65534);
    }
    let mut agent = Agent::spawn(&mut command);
    let address = address(&agent);
    eventually(seconds(20), "the first scan is complete", || !get(address, "/readyz").1.contains("first scan"));
    let (status, text) = get(address, "/readyz");
    assert_eq!(status, 503, "{text}");
    assert!(text.contains(site.log("shut").to_str().unwrap()) && !text.contains("open"), "{text}");
    assert_eq!(get(address, "/livez"), (200, "ok\n".into()));
    assert_eq!(metrics(address)["auditship_unreadable_paths"], 1.0);
    eventually(seconds(20), "the rest is shipped", || destination.stored() == 5);
    mode(&site.log("shut"), 0o755);
    eventually(seconds(20), "it is ready", || get(address, "/readyz").0 == 200);
    eventually(seconds(20), "all is shipped", || destination.stored() == 10);
    agent.end();
}

#[test]
fn other_machines_need_the_token() {
    let destination = Destination::new();
    let mut site = site();
    site.admin = "0.0.0.0:0".into();
    append(&site.log("app.jsonl"), &lines("a", 5));
    let mut agent = site.start(&destination);
    let there = address(&agent);
    for path in ["/", "/metrics", "/api/status"] {
        let (status, text) = get(there, path);
        assert_eq!(status, 403);
        assert!(text.contains("agent.admin_token_file") && !text.contains("app.jsonl"), "{text}");
    }
    eventually(seconds(20), "it is ready", || get(there, "/readyz").0 == 200);
    assert_eq!(get(there, "/livez").0, 200);
    assert!(agent.alarms()[0]["message"].as_str().unwrap().contains("agent.admin_token_file"));
    agent.end();

    const TOKEN: &str = "hunter2-of-the-admin";
    let token = site.path("token");
    fs::write(&token, format!("{TOKEN}\n")).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    // The port of before, so that the command finds it.
    site.admin = format!("0.0.0.0:{}", there.port());
    site.agent = format!("scan_interval = \"100ms\"\nadmin_token_file = {token:?}");
    site.log_level = "trace";
    let mut agent = site.start(&destination);
    let address = address(&agent);
    let with = |token: &str| get_with(address, "/metrics", &format!("Authorization: Bearer {token}\r\n"));
    assert_eq!((get(address, "/metrics").0, with("hunter2").0, with("").0), (401, 401, 401));
    assert_eq!(with(TOKEN).0, 200);
    assert_eq!((get(address, "/livez").0, get(address, "/").0), (200, 401));
    let status = finish(command().args(["status", "--json", "-c"]).arg(site.path("auditship.toml")));
    let json: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    assert!(json["agent"].is_object() && status.stderr.is_empty(), "{status:?}");
    // Replaced: what was right is wrong, and the other way round.
    fs::write(&token, "another").unwrap();
    assert_eq!((with(TOKEN).0, with("another").0), (401, 200));
    agent.end();
    let log = agent.lines().join("\n");
    assert!(!log.contains("hunter2") && !log.contains("another"), "{log}");
}

#[test]
fn a_port_in_use_is_warned_of_and_shipping_goes_on() {
    let destination = Destination::new();
    let mut site = site();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    site.admin = other.local_addr().unwrap().to_string();
    append(&site.log("app.jsonl"), &lines("a", 20));
    let mut agent = site.start(&destination);
    eventually(seconds(20), "all is shipped", || destination.stored() == 20);
    let alarms = agent.alarms();
    assert_eq!(alarms.len(), 1, "{alarms:#?}");
    assert_eq!((&alarms[0]["level"], &alarms[0]["admin"]), (&"WARN".into(), &site.admin.as_str().into()));
    assert!(alarms[0]["error"].as_str().unwrap().contains("in use"));
    agent.end();
}

#[test]
fn status_is_the_same_from_the_agent_and_from_the_disk() {
    let destination = Destination::new();
    let mut site = site();
    // A port that is free now: the command has to know it.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    site.admin = free.to_string();
    append(&site.log("app.jsonl"), &lines("a", 50));
    append(&site.log("more.jsonl"), &lines("b", 7));
    let mut agent = site.start(&destination);
    let address = address(&agent);
    let status = |args: &[&str]| {
        let done = finish(command().args(["status", "-c"]).arg(site.path("auditship.toml")).args(args));
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{done:?}");
        done.stdout
    };
    let json = |args: &[&str]| serde_json::from_str::<serde_json::Value>(&status(args)).unwrap();
    let is_settled = |args: &[&str]| json(args)["outputs"][0]["behind_bytes"] == 0;
    eventually(seconds(20), "all is on disk", || is_settled(&["--json"]) && is_settled(&["--json", "--offline"]));
    let mut asked = json(&["--json"]);
    let read = json(&["--json", "--offline"]);
    let live = asked["outputs"][0].as_object_mut().unwrap().remove("live").unwrap();
    assert_eq!((&live["records"], &live["acknowledged"], &live["pending"]), (&57.into(), &57.into(), &0.into()));
    let running = asked.as_object_mut().unwrap().remove("agent").unwrap();
    assert_eq!((&running["is_scanned"], &running["unreadable"]), (&true.into(), &serde_json::json!([])));
    assert_eq!(asked, read);
    assert_eq!(read["outputs"][0]["files"].as_array().unwrap().len(), 2);
    let served: serde_json::Value = serde_json::from_str(&get(address, "/api/status").1).unwrap();
    assert_eq!(served["outputs"][0]["files"], read["outputs"][0]["files"]);
    assert!(status(&[]).contains("57 records read, 57 acknowledged, 0 pending"));

    // Another agent's configuration with the same port: its own state, not this one's.
    let other = fs::read_to_string(site.path("auditship.toml")).unwrap().replace("/state\"", "/other\"");
    fs::write(site.path("other.toml"), other).unwrap();
    let done = finish(command().args(["status", "--json", "-c"]).arg(site.path("other.toml")));
    assert!(done.stderr.contains("another agent answers there"), "{done:?}");
    assert!(!done.stdout.contains("\"live\""), "{done:?}");
    agent.end();
    assert_eq!(json(&["--json"]), read);
}

#[test]
fn the_service_manager_is_told() {
    let mut destination = Destination::new();
    let site = site();
    append(&site.log("app.jsonl"), &lines("a", 20));
    // Neither keeps it from being ready and alive.
    destination.close();
    let path = site.path("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(seconds(20))).unwrap();
    let config = site.prepare(&destination);
    let mut command = command();
    command.arg("run").arg("-c").arg(config).env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1000000");
    let mut agent = Agent::spawn(&mut command);
    let hear = || {
        let mut bytes = [0; 4096];
        let n = manager.recv(&mut bytes).expect("a message in time");
        String::from_utf8(bytes[..n].to_vec()).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut told = Vec::new();
    let count = |told: &[String], what: &str| told.iter().filter(|line| *line == what).count();
    while count(&told, "READY=1") == 0 || count(&told, "WATCHDOG=1") < 5 {
        told.extend(hear());
    }
    let begin = Instant::now();
    while begin.elapsed() < seconds(5) {
        let last = Instant::now();
        told.extend(hear());
        assert!(last.elapsed() < seconds(1), "the watchdog would have bitten");
    }
    assert_eq!(count(&told, "READY=1"), 1, "{told:?}");
    assert!(told.iter().any(|line| line.starts_with("STATUS=") && line.contains("records acknowledged")), "{told:?}");
    assert_eq!(count(&told, "STOPPING=1"), 0);
    let address = address(&agent);
    assert_eq!((get(address, "/livez").0, get(address, "/readyz").0), (200, 200));
    let (status, _) = agent.stop(seconds(30));
    assert!(status.success());
    while count(&told, "STOPPING=1") == 0 {
        told.extend(hear());
    }
    manager.set_nonblocking(true).unwrap();
    let mut bytes = [0; 100];
    while let Ok(n) = manager.recv(&mut bytes) {
        assert_eq!(bytes[..n], *b"WATCHDOG=1\n", "nothing else after that");
    }
}
