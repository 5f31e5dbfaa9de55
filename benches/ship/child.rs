//! A process and what it cost.

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use std::{
    fs,
    io::{self, Read},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
    time::Duration,
};

/// The unit of times in /proc (`USER_HZ`): the same on every Linux of the machines that Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// How often the peak is looked at. The kernel keeps the maximum, so only the last pause before the end can hide
/// something.
const LOOK: Duration = Duration::from_millis(2);

/// What a process cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// Seconds of CPU in the program.
    pub(crate) user: f64,
    /// Seconds of CPU in the kernel on its behalf.
    pub(crate) system: f64,
    /// The most resident memory, in bytes.
    pub(crate) rss: u64,
}

impl Usage {
    pub(crate) fn cpu(&self) -> f64 {
        self.user + self.system
    }
}

/// What a process said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command to its end. A failure of it is an error with its words.
pub(crate) fn run(command: &mut Command) -> io::Result<(Usage, Said)> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdout = read_all(child.stdout.take());
    let stderr = read_all(child.stderr.take());
    let usage = watch(&child);
    let status = child.wait()?;
    let text = |thread: JoinHandle<Vec<u8>>| String::from_utf8_lossy(&thread.join().unwrap_or_default()).into_owned();
    let said = Said { stdout: text(stdout), stderr: text(stderr) };
    if !status.success() {
        let program = command.get_program().display();
        return Err(io::Error::other(format!("{program}: {status}\n{}{}", said.stdout, said.stderr)));
    }
    Ok((usage?, said))
}

/// Read while it runs: a full pipe would stop the process for ever.
fn read_all(from: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut from) = from {
            // What came before an error is still of use.
            let _ = from.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// Waits for the end, and reads the times of the dead process before it is reaped: they are then complete.
fn watch(child: &Child) -> io::Result<Usage> {
    let pid = Pid::from_child(child);
    let mut rss = 0;
    let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    while waitid(WaitId::Pid(pid), ended)?.is_none() {
        rss = peak(child.id()).unwrap_or(0).max(rss);
        thread::sleep(LOOK);
    }
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id()))?;
    let (user, system) = times(&stat).ok_or_else(|| io::Error::other(format!("not understood: {stat}")))?;
    Ok(Usage { user, system, rss })
}

/// `VmHWM`, in bytes. A process that has ended has none.
fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// User and system time, of all threads.
fn times(stat: &str) -> Option<(f64, f64)> {
    // The name before it is in parentheses and may contain anything.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut seconds = || Some(fields.next()?.parse::<f64>().ok()? / TICKS_PER_SECOND);
    Some((seconds()?, seconds()?))
}
