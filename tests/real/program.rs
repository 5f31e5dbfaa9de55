//! A program that `tests/real/install` has put into its folder, and a server that a test starts of it.

use crate::rig::eventually;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// How long a server may take to answer first, on a busy machine.
const START: Duration = Duration::from_secs(120);
const STOP: Duration = Duration::from_secs(60);

/// A program, or why there is none.
pub(crate) struct Program {
    /// Its folder, where there is one with everything in it.
    home: Result<PathBuf, String>,
    /// Its name and version, as `install` wrote them down.
    pub(crate) name: String,
    pub(crate) version: String,
}

impl Program {
    pub(crate) fn find(key: &str) -> Program {
        let home = folder().join(key);
        let read = |name: &str| fs::read_to_string(home.join(name)).ok().map(|text| text.trim().to_owned());
        let (name, version) = match read("version").and_then(|text| {
            let (name, version) = text.rsplit_once(' ')?;
            Some((name.to_owned(), version.to_owned()))
        }) {
            Some(both) => both,
            None => (key.to_owned(), "-".into()),
        };
        let is_there = version != "-" && home.join("run").exists() && home.join("complete").exists();
        let why = || read("refused").unwrap_or_else(|| "not installed: run tests/real/install".into());
        Program { home: if is_there { Ok(home.clone()) } else { Err(why()) }, name, version }
    }

    /// Why it cannot be used.
    pub(crate) fn refused(&self) -> Option<&str> {
        self.home.as_ref().err().map(String::as_str)
    }

    /// Starts it as a program that reads its standard input and ends with it.
    pub(crate) fn writer(&self, args: &[&str]) -> Child {
        let home = self.home.as_ref().expect("it is installed");
        let mut command = Command::new(home.join("run"));
        command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Starts it with its data in a folder that is gone after the test.
    pub(crate) fn start(&self, options: &[&str]) -> Server {
        let data = tempfile::Builder::new().prefix("auditship-real-").tempdir().unwrap();
        self.start_in(Arc::new(data), options)
    }

    /// The same, with the data that an earlier one has left.
    pub(crate) fn start_in(&self, data: Arc<TempDir>, options: &[&str]) -> Server {
        let home = self.home.as_ref().expect("it is installed");
        let mut child = Command::new(home.join("run"))
            .arg(data.path())
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Mutex::new(Vec::new()));
        let address = Arc::new(Mutex::new(None));
        let (out, found) = (child.stdout.take().unwrap(), Arc::clone(&address));
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Some(url) = line.strip_prefix("listening http://") {
                    *found.lock().unwrap() = Some(url.parse().unwrap());
                }
            }
        });
        let (err, lines) = (child.stderr.take().unwrap(), Arc::clone(&said));
        thread::spawn(move || {
            for line in BufReader::new(err).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        let stdin = child.stdin.take();
        let mut server = Server { child, stdin, data, said, address: "127.0.0.1:0".parse().unwrap() };
        eventually(START, "the server answers", || {
            let ended = server.child.try_wait().unwrap();
            assert!(ended.is_none(), "{}: {ended:?}: {:#?}", self.name, server.said());
            let found = *address.lock().unwrap();
            server.address = found.unwrap_or(server.address);
            found.is_some()
        });
        server
    }
}

/// Where `tests/real/install` puts what it builds.
pub(crate) fn folder() -> PathBuf {
    let given = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = || given("XDG_CACHE_HOME").or_else(|| Some(given("HOME")?.join(".cache")));
    given("AUDITSHIP_REAL").or_else(|| Some(cache()?.join("auditship-real"))).expect("HOME")
}

/// A running server. It ends with its standard input, so that none outlives a test that is killed.
pub(crate) struct Server {
    child: Child,
    stdin: Option<ChildStdin>,
    data: Arc<TempDir>,
    said: Arc<Mutex<Vec<String>>>,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The end of what it wrote to standard error.
    pub(crate) fn said(&self) -> Vec<String> {
        let said = self.said.lock().unwrap();
        said[said.len().saturating_sub(20)..].to_vec()
    }

    /// Stops it. Returns its data, for the next one.
    pub(crate) fn stop(mut self) -> Arc<TempDir> {
        self.end();
        Arc::clone(&self.data)
    }

    fn end(&mut self) {
        drop(self.stdin.take());
        let deadline = std::time::Instant::now() + STOP;
        while self.child.try_wait().is_ok_and(|status| status.is_none()) {
            if std::time::Instant::now() > deadline {
                // A script ends what it has started.
                let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
                thread::sleep(Duration::from_secs(2));
                let _ = self.child.kill();
                let _ = self.child.wait();
                println!("a server did not end within {STOP:?} and was killed");
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}
