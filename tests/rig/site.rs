//! A machine to run the agent on: folders, a configuration, and how often the agent was started.

use super::{Agent, Destination, Finished, agent};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};
use tempfile::TempDir;

/// The sections' texts are what comes in each beside the defaults; a test adds its own.
pub(crate) struct Site {
    dir: TempDir,
    lives: AtomicU32,
    pub(crate) log_level: &'static str,
    /// The source's type.
    pub(crate) kind: &'static str,
    pub(crate) agent: String,
    /// `agent.admin`; off, because many agents run at the same time.
    pub(crate) admin: String,
    pub(crate) source: String,
    pub(crate) labels: String,
    pub(crate) guard: String,
    pub(crate) output: String,
    /// Of the files that are followed, below the folder for logs; several are separated by spaces.
    pub(crate) glob: String,
}

impl Site {
    pub(crate) fn new() -> Site {
        let dir = tempfile::Builder::new().prefix("auditship-e2e-").tempdir().unwrap();
        fs::create_dir(dir.path().join("logs")).unwrap();
        Site {
            dir,
            lives: AtomicU32::new(0),
            log_level: "info",
            kind: "file",
            admin: "off".into(),
            agent: "scan_interval = \"100ms\"".into(),
            source: String::new(),
            labels:
                "event_type = { field = [\"event_type\"] }\ntenant = { field = [\"tenant\"], default = \"none\" }"
                    .into(),
            guard: String::new(),
            output: "batch = { max_wait = \"50ms\" }".into(),
            glob: "*.jsonl".into(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.path("logs").join(name)
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    /// The configuration with this URL.
    pub(crate) fn config(&self, url: &str) -> String {
        let Site { log_level, kind, agent, admin, source, labels, guard, output, glob, .. } = self;
        let (state, logs) = (self.path("state"), self.path("logs"));
        let include: Vec<PathBuf> = glob.split(' ').map(|glob| logs.join(glob)).collect();
        format!(
            "[agent]\nhost = \"test-host\"\nlog = {{ level = \"{log_level}\", format = \"json\" }}\nstate_dir = {state:?}\n\
             admin = {admin:?}\n{agent}\n[sources.app]\ntype = {kind:?}\ninclude = {include:?}\n{source}\n[labels]\n{labels}\n\
             [guard]\n{guard}\n[outputs.loki]\ntype = \"loki\"\nurl = {url:?}\n{output}\n"
        )
    }

    /// Writes the configuration of the next life, and returns its path.
    pub(crate) fn prepare(&self, destination: &Destination) -> PathBuf {
        let life = self.lives.fetch_add(1, Ordering::Relaxed);
        let path = self.path("auditship.toml");
        fs::write(&path, self.config(&destination.url(life))).unwrap();
        path
    }

    /// Starts `auditship run`.
    pub(crate) fn start(&self, destination: &Destination) -> Agent {
        let config = self.prepare(destination);
        Agent::spawn(agent::command().arg("run").arg("-c").arg(config))
    }

    /// The same by way of another command, which is given the agent's command line as its last arguments.
    pub(crate) fn start_by(&self, destination: &Destination, way: &[&str]) -> Agent {
        let config = self.prepare(destination);
        let mut command = agent::command_of(Path::new(way[0]));
        Agent::spawn(command.args(&way[1..]).arg(agent::binary()).arg("run").arg("-c").arg(config))
    }

    /// Runs `auditship run --once` to its end.
    pub(crate) fn once(&self, destination: &Destination, args: &[&str]) -> Finished {
        let config = self.prepare(destination);
        agent::finish(agent::command().args(["run", "--once", "-c"]).arg(config).args(args))
    }

    /// `auditship status --json`, with the configuration of the last life.
    pub(crate) fn status(&self) -> serde_json::Value {
        let config = self.path("auditship.toml");
        let done = agent::finish(agent::command().args(["status", "--json", "-c"]).arg(config));
        assert_eq!(done.code, Some(0), "{done:?}");
        serde_json::from_str(&done.stdout).unwrap()
    }

    /// Bytes that are not acknowledged, as `status` says.
    pub(crate) fn behind(&self) -> u64 {
        self.status()["outputs"][0]["behind_bytes"].as_u64().unwrap()
    }
}
