//! `[agent]`, `[record]` and `[guard]`.

use super::{
    auth,
    reader::{Section, show_text},
};
use crate::pipeline::{Admin, Agent, Guard, LogFormat};
use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroUsize,
    time::Duration,
};
use tracing::Level;

/// `None` after an error.
pub(super) fn agent(root: &mut Section<'_>) -> Option<Agent> {
    let mut agent = root.section("agent").unwrap_or_else(|| root.empty("agent"));
    let state_dir = agent.path("state_dir").map_or_else(|| "/var/lib/auditship".into(), |item| item.value);
    let host = host(&mut agent);
    let memory_limit = agent.size("memory_limit", 64 << 20, 32 << 20..=1 << 40);
    let scan_interval = agent.duration("scan_interval", SECOND, Duration::from_millis(50)..=HOUR);
    let notify = agent.flag("notify", true);
    let shutdown_timeout = agent.duration("shutdown_timeout", 10 * SECOND, Duration::ZERO..=HOUR);
    let (log_level, log_format) = log(&mut agent);
    let admin = admin(&mut agent);
    let spool_max_bytes = max_bytes(&mut agent, "spool");
    let dead_letters_max_bytes = max_bytes(&mut agent, "dead_letters");
    agent.finish();
    let host = host?;
    Some(Agent {
        state_dir,
        host,
        admin,
        memory_limit,
        spool_max_bytes,
        dead_letters_max_bytes,
        scan_interval,
        notify,
        shutdown_timeout,
        log_level,
        log_format,
    })
}

/// `[record]`: the names of the time.
pub(super) fn timestamp(root: &mut Section<'_>) -> Vec<String> {
    let mut record = root.section("record").unwrap_or_else(|| root.empty("record"));
    let names = record.fields("timestamp");
    record.finish();
    names.unwrap_or_else(|| ["ts", "timestamp", "time", "@timestamp"].map(String::from).to_vec())
}

/// `[guard]`
pub(super) fn guard(root: &mut Section<'_>) -> Guard {
    let mut guard = root.section("guard").unwrap_or_else(|| root.empty("guard"));
    let max_label_values = guard.number("max_label_values", 100, 1..=100_000);
    let max_streams = guard.number("max_streams", 1000, 1..=100_000);
    guard.later(&["hash", "remove", "unparsed"]);
    guard.finish();
    let positive = |number| NonZeroUsize::new(number).unwrap_or(NonZeroUsize::MIN);
    Guard { max_label_values: positive(max_label_values), max_streams: positive(max_streams) }
}

fn host(agent: &mut Section<'_>) -> Option<String> {
    if agent.has("host") {
        return agent.line("host", "a name").map(|item| item.value);
    }
    agent.line("host", "");
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.is_empty() {
        agent.missing("host", "a name, because this machine has none");
        return None;
    }
    Some(name)
}

/// `None` when it is off, and after an error.
fn admin(agent: &mut Section<'_>) -> Option<Admin> {
    const FORM: &str = "an IP address and a port, such as \"127.0.0.1:9617\" or \"[::]:9617\", or \"off\"";
    let token = auth::file(agent, "admin_token_file");
    let address = match agent.line("admin", FORM) {
        Some(item) if item.value == "off" => return None,
        Some(item) => match item.value.parse() {
            Ok(address) => address,
            Err(_) => {
                agent.wrong(&item.at, "admin", format!("found {}", show_text(&item.value)), FORM);
                return None;
            }
        },
        None => SocketAddr::from((Ipv4Addr::LOCALHOST, ADMIN_PORT)),
    };
    Some(Admin { address, token })
}

/// The bound of a folder below the state folder.
fn max_bytes(agent: &mut Section<'_>, key: &'static str) -> u64 {
    let mut section = agent.section(key).unwrap_or_else(|| agent.empty(key));
    let max_bytes = section.size("max_bytes", 1 << 30, 0..=1 << 50);
    section.finish();
    max_bytes
}

fn log(agent: &mut Section<'_>) -> (Level, LogFormat) {
    let mut log = agent.section("log").unwrap_or_else(|| agent.empty("log"));
    let levels = [
        ("error", Level::ERROR),
        ("warn", Level::WARN),
        ("info", Level::INFO),
        ("debug", Level::DEBUG),
        ("trace", Level::TRACE),
    ];
    let level = log.choice("level", &levels).unwrap_or(Level::INFO);
    let format = log.choice("format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]);
    log.finish();
    (level, format.unwrap_or(LogFormat::Text))
}

/// Where the admin server listens by default, on loopback.
const ADMIN_PORT: u16 = 9617;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
