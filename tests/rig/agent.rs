//! The agent as a process of its own, which alone can be killed for good.

use super::{eventually, millis, seconds};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{BufRead as _, BufReader, Read as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// A run that has come to its end.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The binary, in an environment without keys of ours.
pub(crate) fn command() -> Command {
    command_of(binary())
}

pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_auditship"))
}

pub(crate) fn command_of(binary: &Path) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AUDITSHIP__")) {
        command.env_remove(name);
    }
    command
}

/// Runs a command that ends by itself.
pub(crate) fn finish(command: &mut Command) -> Finished {
    let mut agent = Agent::spawn(command);
    let status = agent.wait(seconds(120));
    Finished { code: status.code(), stdout: agent.stdout(), stderr: agent.lines().join("\n") }
}

/// A running agent; killed when it is dropped.
pub(crate) struct Agent {
    child: Child,
    stderr: Arc<Mutex<Vec<String>>>,
    stdout: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Agent {
    pub(crate) fn spawn(command: &mut Command) -> Agent {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = Arc::new(Mutex::new(Vec::new()));
        let stdout = Arc::new(Mutex::new(String::new()));
        let (err, err_lines) = (child.stderr.take().unwrap(), Arc::clone(&stderr));
        let (mut out, out_text) = (child.stdout.take().unwrap(), Arc::clone(&stdout));
        let readers = vec![
            thread::spawn(move || {
                for line in BufReader::new(err).lines().map_while(Result::ok) {
                    err_lines.lock().unwrap().push(line);
                }
            }),
            thread::spawn(move || {
                let mut text = String::new();
                let _ = out.read_to_string(&mut text);
                *out_text.lock().unwrap() = text;
            }),
        ];
        Agent { child, stderr, stdout, readers }
    }

    /// What it wrote to standard error so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.stderr.lock().unwrap().clone()
    }

    /// After its end: what it wrote to standard output.
    fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> Vec<serde_json::Value> {
        let parse = |line: String| serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a log line: {line}"));
        self.lines().into_iter().map(parse).collect()
    }

    /// Log lines of the levels WARN and ERROR.
    pub(crate) fn alarms(&self) -> Vec<serde_json::Value> {
        self.log().into_iter().filter(|line| line["level"] == "WARN" || line["level"] == "ERROR").collect()
    }

    /// A count in the line that it writes at its end.
    pub(crate) fn ended(&self, count: &str) -> u64 {
        let log = self.log();
        let ended = log.iter().find(|line| line["message"] == "ended").expect("a line of counts at the end");
        ended[count].as_u64().unwrap()
    }

    /// Log lines of the level ERROR.
    pub(crate) fn errors(&self) -> Vec<serde_json::Value> {
        self.log().into_iter().filter(|line| line["level"] == "ERROR").collect()
    }

    /// SIGTERM, and then the account: for each output, what was read is acknowledged, pending or in the dead letters.
    #[track_caller]
    pub(crate) fn end(&mut self) {
        let (status, _) = self.stop(seconds(30));
        assert!(status.success(), "{status}: {:#?}", self.lines());
        let ended: Vec<_> = self.log().into_iter().filter(|line| line["message"] == "ended").collect();
        assert!(!ended.is_empty(), "no line of counts at the end");
        for line in ended {
            let count = |name: &str| line[name].as_u64().unwrap_or_else(|| panic!("no {name} in {line}"));
            let settled = count("acknowledged") + count("pending") + count("dead_lettered");
            assert_eq!(count("records"), settled, "{line}");
        }
    }

    pub(crate) fn kill_9(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.read_on();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// SIGTERM, then its end. Returns how it ended and how long that took.
    pub(crate) fn stop(&mut self, limit: Duration) -> (ExitStatus, Duration) {
        let start = Instant::now();
        self.signal(Signal::TERM);
        let status = self.wait(limit);
        (status, start.elapsed())
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self, limit: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                self.read_on();
                return status;
            }
            assert!(start.elapsed() < limit, "still running after {limit:?}: {:#?}", self.lines());
            thread::sleep(millis(5));
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The same, looked at from outside.
    pub(crate) fn has_ended(&self) -> bool {
        self.proc("status").lines().all(|line| !line.starts_with("State:") || line.contains('Z'))
    }

    /// Waits until it has this file open.
    pub(crate) fn has_open(&self, path: &Path) {
        let links = format!("/proc/{}/fd", self.child.id());
        eventually(seconds(20), "the agent opens the file", || {
            let Ok(items) = std::fs::read_dir(&links) else { return false };
            items.flatten().any(|item| std::fs::read_link(item.path()).is_ok_and(|target| target == path))
        });
    }

    /// Whether it has this very file open, whatever it is called now.
    pub(crate) fn holds(&self, file: &std::fs::Metadata) -> bool {
        let Ok(items) = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())) else { return false };
        let is_it = |open: std::fs::Metadata| (open.dev(), open.ino()) == (file.dev(), file.ino());
        items.flatten().any(|item| std::fs::metadata(item.path()).is_ok_and(is_it))
    }

    /// The file `name` of its folder in /proc.
    pub(crate) fn proc(&self, name: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{name}", self.child.id())).unwrap_or_default()
    }

    /// Resident memory in bytes: now, at its highest, and how much of it is the mapped binary.
    pub(crate) fn memory(&self) -> [u64; 3] {
        let status = self.proc("status");
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
        };
        ["VmRSS:", "VmHWM:", "RssFile:"].map(|name| field(name).unwrap_or(0))
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn read_on(&mut self) {
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.is_running() {
            self.kill_9();
        }
    }
}
