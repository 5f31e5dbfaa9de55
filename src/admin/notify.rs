//! Telling the service manager: `sd_notify`, which is one datagram to the socket that it names.

use crate::pipeline::Live;
use std::{
    ffi::OsString,
    fmt::Write as _,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    path::Path,
    time::{Duration, Instant},
};

/// A start that is not complete may take so much longer: a first scan of very many files takes what it takes …
const LONGER: Duration = Duration::from_secs(60);
/// … as long as this is said again this often.
const EXTEND: Duration = Duration::from_secs(20);
/// The status is told this often at most.
const STATUS: Duration = Duration::from_secs(10);
/// The most characters of it.
const MAX_STATUS: usize = 300;

/// Tells the service manager how the agent is. One that was not asked to does not exist.
#[derive(Debug)]
pub struct Notifier {
    socket: UnixDatagram,
    address: SocketAddr,
    /// How often it wants to hear that the agent is alive, halved.
    watchdog: Option<Duration>,
    is_ready: bool,
    is_stopping: bool,
    alive_at: Option<Instant>,
    /// When more time for the start was asked for.
    extended_at: Option<Instant>,
    status: String,
    status_at: Option<Instant>,
    /// It was said that nobody listens.
    is_failing: bool,
}

impl Notifier {
    /// As `$NOTIFY_SOCKET`, `$WATCHDOG_USEC` and `$WATCHDOG_PID` say.
    pub fn from_env() -> Option<Notifier> {
        Notifier::new(|name| std::env::var_os(name), std::process::id())
    }

    fn new(variable: impl Fn(&str) -> Option<OsString>, pid: u32) -> Option<Notifier> {
        let name = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty())?;
        let opened = address(name.as_bytes()).and_then(|address| {
            let socket = UnixDatagram::unbound()?;
            // A service manager that does not listen must not hold up the agent.
            socket.set_nonblocking(true)?;
            Ok((socket, address))
        });
        let (socket, address) = opened
            .map_err(|error| tracing::warn!(%error, "NOTIFY_SOCKET cannot be used; nobody is notified"))
            .ok()?;
        let number = |name: &str| variable(name)?.to_str()?.parse::<u64>().ok();
        let is_ours = variable("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(u64::from(pid));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| is_ours && *usec > 0);
        Some(Notifier {
            socket,
            address,
            watchdog: watchdog.map(|usec| Duration::from_micros(usec / 2)),
            is_ready: false,
            is_stopping: false,
            alive_at: None,
            extended_at: None,
            status: String::new(),
            status_at: None,
            is_failing: false,
        })
    }

    /// Tells what there is to tell at `now`.
    pub fn tick(&mut self, live: &Live, now: Instant) {
        let is_due = |last: Option<Instant>, period| last.is_none_or(|last| now.duration_since(last) >= period);
        let mut message = String::new();
        if !self.is_ready && !self.is_stopping && live.is_scanned() {
            self.is_ready = true;
            message.push_str("READY=1\n");
        }
        let is_starting = !self.is_ready && !self.is_stopping;
        if is_starting && is_due(self.extended_at, EXTEND) && live.stuck().is_none() {
            self.extended_at = Some(now);
            let _ = writeln!(message, "EXTEND_TIMEOUT_USEC={}", LONGER.as_micros());
        }
        if self.watchdog.is_some_and(|period| is_due(self.alive_at, period)) && live.stuck().is_none() {
            self.alive_at = Some(now);
            message.push_str("WATCHDOG=1\n");
        }
        if !self.is_stopping && (is_due(self.status_at, STATUS) || message.starts_with("READY")) {
            self.status_at = Some(now);
            let status = if self.is_ready { status(live) } else { "the first scan is not complete".to_owned() };
            if status != self.status {
                let _ = writeln!(message, "STATUS={status}");
                self.status = status;
            }
        }
        self.send(&message);
    }

    /// The agent is about to end.
    pub fn stopping(&mut self) {
        self.is_stopping = true;
        self.send("STOPPING=1\nSTATUS=stopping: what is under way is finished\n");
    }

    fn send(&mut self, message: &str) {
        if message.is_empty() {
            return;
        }
        match self.socket.send_to_addr(message.as_bytes(), &self.address) {
            Ok(_) => self.is_failing = false,
            Err(error) if !std::mem::replace(&mut self.is_failing, true) => {
                tracing::warn!(%error, "the service manager cannot be notified");
            }
            Err(_) => {}
        }
    }
}

fn address(name: &[u8]) -> io::Result<SocketAddr> {
    match name {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(Path::new(std::ffi::OsStr::from_bytes(name))),
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, "neither a path nor an abstract name")),
    }
}

/// One line for people.
fn status(live: &Live) -> String {
    let outputs = live.outputs();
    let sum = |of: fn(&crate::pipeline::OutputNumbers) -> u64| -> u64 {
        outputs.iter().map(|output| of(&output.numbers)).sum()
    };
    let mut text = format!(
        "{} records acknowledged, {} pending, {} bytes behind",
        sum(|numbers| numbers.acknowledged),
        sum(|numbers| numbers.pending),
        sum(|numbers| numbers.behind_bytes)
    );
    for output in &outputs {
        if let Some(why) = &output.why {
            let _ = write!(text, "; {} waits: {why}", output.name);
        }
    }
    let unreadable = live.unreadable().len();
    if unreadable > 0 {
        let _ = write!(text, "; {unreadable} paths cannot be read");
    }
    one_line(&text)
}

/// Every line of a message is an assignment: what a destination says must not be one.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_STATUS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    struct Manager {
        socket: UnixDatagram,
        _folder: tempfile::TempDir,
        live: Live,
        notifier: Option<Notifier>,
    }

    const PID: u32 = 42;

    impl Manager {
        fn new(is_abstract: bool, more: &[(&str, &str)]) -> Manager {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("notify").to_str().unwrap().to_owned();
            let name = if is_abstract { format!("@auditship{path}") } else { path };
            let socket = UnixDatagram::bind_addr(&address(name.as_bytes()).unwrap()).unwrap();
            socket.set_nonblocking(true).unwrap();
            let mut variables: HashMap<&str, &str> = more.iter().copied().collect();
            variables.insert("NOTIFY_SOCKET", &name);
            let notifier = Notifier::new(|name| variables.get(name).map(OsString::from), PID);
            let ago = Duration::from_secs(1000);
            let live = Live::of_nothing(&folder.path().join("state"), ago);
            live.promise(ago);
            Manager { socket, _folder: folder, live, notifier }
        }

        /// What is told at `now`.
        fn told(&mut self, now: Instant) -> Vec<String> {
            self.notifier.as_mut().unwrap().tick(&self.live, now);
            self.heard()
        }

        fn heard(&self) -> Vec<String> {
            let mut bytes = [0; 4096];
            let mut lines = Vec::new();
            while let Ok(n) = self.socket.recv(&mut bytes) {
                lines.extend(std::str::from_utf8(&bytes[..n]).unwrap().lines().map(str::to_owned));
            }
            lines
        }
    }

    #[test]
    fn ready_comes_once_and_after_the_first_scan() {
        for is_abstract in [false, true] {
            let mut manager = Manager::new(is_abstract, &[]);
            let now = Instant::now();
            let longer = "EXTEND_TIMEOUT_USEC=60000000";
            assert_eq!(manager.told(now), [longer, "STATUS=the first scan is not complete"]);
            assert!(manager.told(now + EXTEND / 2).is_empty());
            assert_eq!(manager.told(now + EXTEND), [longer]);
            // A thread that hangs gets no more time.
            manager.live.promise(Duration::ZERO);
            assert!(manager.told(now + EXTEND * 2).is_empty());
            manager.live.promise(Duration::from_secs(1000));
            let now = now + EXTEND * 2;
            manager.live.scanned();
            let status = "STATUS=0 records acknowledged, 0 pending, 0 bytes behind";
            assert_eq!(manager.told(now), ["READY=1", status]);
            assert!(manager.told(now + STATUS * 2).is_empty());
            manager.live.say_why("no\nMAINPID=1");
            assert!(manager.told(now + STATUS * 3 - Duration::from_secs(1)).is_empty());
            assert_eq!(manager.told(now + STATUS * 3), [format!("{status}; loki waits: no MAINPID=1")]);
            manager.notifier.as_mut().unwrap().stopping();
            assert_eq!(manager.heard()[0], "STOPPING=1");
        }
    }

    #[test]
    fn the_watchdog_hears_of_the_agent_while_it_lives() {
        let check = |more: &[(&str, &str)], expect: [bool; 4]| {
            let mut manager = Manager::new(false, more);
            let now = Instant::now();
            let mut heard = |after: u64| {
                let told = manager.told(now + Duration::from_secs(after));
                let is_alive = told.contains(&"WATCHDOG=1".to_owned());
                manager.live.promise(Duration::from_secs(if after == 9 { 0 } else { 1000 }));
                is_alive
            };
            assert_eq!([heard(0), heard(4), heard(9), heard(20)], expect, "{more:?}");
        };
        check(&[("WATCHDOG_USEC", "10000000")], [true, false, true, false]);
        check(&[("WATCHDOG_USEC", "10000000"), ("WATCHDOG_PID", "42")], [true, false, true, false]);
        check(&[("WATCHDOG_USEC", "10000000"), ("WATCHDOG_PID", "43")], [false; 4]);
        check(&[("WATCHDOG_USEC", "0")], [false; 4]);
        check(&[], [false; 4]);
    }

    #[test]
    fn without_a_socket_nothing_is_told() {
        let of = |name: &str| Notifier::new(|v| (v == "NOTIFY_SOCKET").then(|| OsString::from(name)), PID).is_some();
        assert!(Notifier::new(|_| None, PID).is_none());
        assert_eq!(["", "vsock:2:1", "relative", "@name", "/nowhere"].map(of), [false, false, false, true, true]);
        let mut nobody = Notifier::new(|v| (v == "NOTIFY_SOCKET").then(|| "/nowhere/x".into()), PID).unwrap();
        nobody.stopping();
    }
}
