//! The destination: `auditship receiver` in its own process, as strict as Loki.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{self, BufRead as _, BufReader, Read as _},
    process::{Child, ChildStderr, ChildStdout, Command, Stdio},
};

/// A running receiver.
pub(crate) struct Receiver {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// `http://127.0.0.1:PORT`
    pub(crate) url: String,
}

/// What a receiver counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) accepted: u64,
    pub(crate) duplicates: u64,
    pub(crate) rejected: u64,
    pub(crate) streams: u64,
}

impl Receiver {
    /// One that counts entries and keeps none.
    pub(crate) fn counting() -> io::Result<Receiver> {
        Receiver::start(&mut command(), Stdio::inherit())
    }

    /// One that also writes every entry that it accepts to a pipe, as JSON: a file of it would be twice the input.
    pub(crate) fn logging() -> io::Result<(Receiver, ChildStderr)> {
        let mut receiver = Receiver::start(command().args(["--log", "/dev/stderr"]), Stdio::piped())?;
        let log = receiver.child.stderr.take().ok_or_else(|| io::Error::other("no pipe"))?;
        Ok((receiver, log))
    }

    fn start(command: &mut Command, stderr: Stdio) -> io::Result<Receiver> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("no pipe"))?;
        let mut receiver = Receiver { child, stdout: BufReader::new(stdout), url: String::new() };
        let mut line = String::new();
        receiver.stdout.read_line(&mut line)?;
        let url = line.trim().strip_prefix("listening on ");
        receiver.url = url.ok_or_else(|| io::Error::other(format!("receiver: {line}")))?.to_owned();
        Ok(receiver)
    }

    /// Ends it.
    pub(crate) fn stop(mut self) -> io::Result<Counts> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let mut text = String::new();
        self.stdout.read_to_string(&mut text)?;
        self.child.wait()?;
        let text = text.lines().find_map(|line| line.strip_prefix("Loki: ")).unwrap_or_default();
        let numbers: Vec<u64> = text.split([' ', ',']).filter_map(|word| word.trim().parse().ok()).collect();
        match numbers[..] {
            [requests, accepted, duplicates, rejected, streams] => {
                Ok(Counts { requests, accepted, duplicates, rejected, streams })
            }
            _ => Err(io::Error::other(format!("receiver: {text}"))),
        }
    }
}

impl Drop for Receiver {
    /// Also when the benchmark fails halfway, nothing keeps running.
    fn drop(&mut self) {
        // It has ended already, or is ended now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_auditship"));
    command.args(["receiver", "--listen", "127.0.0.1:0", "--discard-lines"]);
    command
}
