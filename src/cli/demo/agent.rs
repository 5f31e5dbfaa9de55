//! The agent as a process of its own, because only a process can be killed.

use super::destinations::Kind;
use crate::{cli::Failure, state};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    os::unix::{fs::OpenOptionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

/// The files of the demo's folder in which the secrets of Splunk and of Datadog are, and what is in them: the token that
/// the receiver knows, and any key.
const SECRETS: [(&str, &str); 2] =
    [("splunk-token", "00000000-0000-0000-0000-000000000000"), ("datadog-key", "00000000000000000000000000000000")];

/// So much of the agent's log is shown when something goes wrong.
const LAST_WORDS: usize = 6;

/// A running agent. It does not outlive this value.
#[derive(Debug)]
pub(super) struct Agent {
    child: Child,
    log: PathBuf,
}

/// The whole configuration: `folder` is the demo's, `port` the receiver's.
pub(super) fn config(folder: &str, port: u16) -> String {
    let text = |text: String| toml::Value::String(text).to_string();
    let state = text(format!("{folder}/state"));
    // The folder's name may contain what means something in a glob.
    let include = text(format!("{}/app-audit*.jsonl", globset::escape(folder).replace('\\', "\\\\")));
    let mut config = format!(
        "[agent]\nstate_dir = {state}\nadmin = \"off\"\n\n[sources.app]\ntype = \"file\"\ninclude = [{include}]\n"
    );
    let [splunk, datadog] = SECRETS.map(|(name, _)| text(format!("{folder}/{name}")));
    for kind in Kind::ALL {
        let (name, own) = match kind {
            // A request carries one stream and there are 201: at 50 a second the demo would take twice as long.
            Kind::Loki => ("loki", "max_requests_per_second = 200\n".to_owned()),
            Kind::Elastic => ("elasticsearch", "index = \"audit-%Y.%m\"\n".to_owned()),
            Kind::Splunk => ("splunk_hec", format!("auth.token = {{ file = {splunk} }}\n")),
            Kind::Datadog => ("datadog", format!("auth.token = {{ file = {datadog} }}\n")),
        };
        let output = kind.output();
        config
            .push_str(&format!("\n[outputs.{output}]\ntype = \"{name}\"\nurl = \"http://127.0.0.1:{port}\"\n{own}"));
    }
    config
}

/// Writes the files that [`config`] names.
pub(super) fn write_secrets(folder: &Path) -> io::Result<()> {
    for (name, secret) in SECRETS {
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(folder.join(name))?;
        file.write_all(secret.as_bytes())?;
    }
    Ok(())
}

impl Agent {
    /// Starts this very program as an agent in `folder`.
    pub(super) fn start(folder: &Path) -> Result<Agent, Failure> {
        let failed = |what: &str, error: std::io::Error| Failure::Failed(format!("demo: {what}: {error}"));
        let binary = std::env::current_exe().map_err(|error| failed("cannot find this program", error))?;
        let log = folder.join("agent.log");
        let file = OpenOptions::new().create(true).append(true).open(&log);
        let file = file.map_err(|error| failed("cannot write agent.log", error))?;
        let mut command = Command::new(binary);
        command.args(["run", "-c"]).arg(folder.join("demo.toml"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        // The demo decides when its agent ends, not a Ctrl-C that the terminal sends to the whole group.
        command.process_group(0);
        // The configuration that is shown is all there is.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AUDITSHIP__")) {
            command.env_remove(name);
        }
        let child = command.spawn().map_err(|error| failed("cannot start the agent", error))?;
        Ok(Agent { child, log })
    }

    /// An error when it is not there any more.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => {
                let words = self.last_words();
                Err(Failure::Failed(format!("demo: the agent ended by itself ({status}); its last words:\n{words}")))
            }
        }
    }

    /// `kill -9`
    pub(super) fn kill(&mut self) -> Result<(), Failure> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map_err(|error| Failure::Failed(format!("demo: cannot kill the agent: {error}")))?;
        Ok(())
    }

    /// Asks it to end, and waits for that. What is wrong with its end is said in the text.
    pub(super) async fn stop(mut self, patience: Duration) -> Result<Option<String>, Failure> {
        self.check()?;
        kill_process(Pid::from_child(&self.child), Signal::TERM)
            .map_err(|error| Failure::Failed(format!("demo: cannot stop the agent: {error}")))?;
        let deadline = tokio::time::Instant::now() + patience;
        while tokio::time::Instant::now() < deadline {
            if let Some(status) = self.ended()? {
                let problem = || format!("the agent ended with {status}; its last words:\n{}", self.last_words());
                return Ok((!status.success()).then(problem));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Some(format!("the agent did not end within {} s of being asked to", patience.as_secs())))
    }

    /// The end of its log.
    pub(super) fn last_words(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(LAST_WORDS)..];
        if last.is_empty() { "  (none)".to_owned() } else { format!("  {}", last.join("\n  ")) }
    }

    fn ended(&mut self) -> Result<Option<ExitStatus>, Failure> {
        self.child.try_wait().map_err(|error| Failure::Failed(format!("demo: cannot watch the agent: {error}")))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How many bytes of the files each destination has acknowledged, by the agent's own state on disk.
pub(super) fn acknowledged(folder: &Path) -> [u64; 4] {
    // It cannot be read for a moment while the agent replaces it: then the next look tells.
    let memory = state::read(&folder.join("state")).ok().flatten().unwrap_or_default();
    let of =
        |kind: Kind| memory.cursors.get(kind.output()).map(|cursors| cursors.values().map(|point| point.at).sum());
    Kind::ALL.map(|kind| of(kind).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_folder_makes_a_right_configuration() {
        for folder in ["/tmp/plain", "/tmp/a \"b\" 'c' \\d", "/tmp/[x]{y}*?"] {
            let text = config(folder, 3100);
            let table: toml::Table = text.parse().unwrap();
            assert_eq!(table["agent"]["state_dir"].as_str(), Some(format!("{folder}/state").as_str()));
            let include = table["sources"]["app"]["include"][0].as_str().unwrap();
            let pattern = crate::discover::Pattern::new(include).unwrap();
            assert!(pattern.is_match(&Path::new(folder).join("app-audit-1.jsonl")), "{include}");
            let token = table["outputs"]["splunk"]["auth"]["token"]["file"].as_str();
            assert_eq!(token, Some(format!("{folder}/splunk-token").as_str()));
        }
    }
}
