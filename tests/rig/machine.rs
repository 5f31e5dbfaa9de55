//! A machine with the agent on it: its folders, its configuration, and what the agent says of itself.

use super::{Agent, append, command, eventually, finish, http, seconds};
use serde_json::Value;
use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// The outputs of a configuration, each as its text. `more`: further keys.
pub(crate) fn loki(url: &str, more: &str) -> String {
    format!("[outputs.loki]\ntype = \"loki\"\nurl = {url:?}\nbatch = {{ max_wait = \"100ms\" }}\n{more}\n")
}

pub(crate) fn elastic(url: &str, more: &str) -> String {
    format!("[outputs.elastic]\ntype = \"elasticsearch\"\nurl = {url:?}\n{more}\n")
}

pub(crate) fn splunk(url: &str, more: &str) -> String {
    format!(
        "[outputs.splunk]\ntype = \"splunk_hec\"\nurl = {url:?}\nauth.token = {{ file = \"TOKEN\" }}\n\
         batch = {{ max_wait = \"100ms\" }}\n{more}\n"
    )
}

pub(crate) fn datadog(url: &str, more: &str) -> String {
    format!(
        "[outputs.datadog]\ntype = \"datadog\"\nurl = {url:?}\nauth.token = {{ file = \"TOKEN\" }}\n\
         batch = {{ max_wait = \"100ms\" }}\n{more}\n"
    )
}

/// All four, as they come.
pub(crate) fn all(url: &str) -> String {
    let elastic = elastic(url, "index = \"audit-%Y.%m\"\nbatch = { max_wait = \"100ms\" }");
    [loki(url, ""), elastic, splunk(url, ""), datadog(url, "")].concat()
}

pub(crate) struct Machine {
    dir: TempDir,
    /// Further keys of `[agent]`.
    pub(crate) agent: String,
    pub(crate) outputs: String,
}

impl Machine {
    pub(crate) fn new(outputs: impl Into<String>) -> Machine {
        let dir = tempfile::Builder::new().prefix("auditship-outputs-").tempdir().unwrap();
        fs::create_dir(dir.path().join("logs")).unwrap();
        fs::write(dir.path().join("token"), "00000000-0000-0000-0000-000000000000\n").unwrap();
        Machine { dir, agent: String::new(), outputs: outputs.into() }
    }

    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.dir.path().join("logs").join(name)
    }

    pub(crate) fn append(&self, name: &str, lines: &[Vec<u8>]) {
        append(&self.log(name), lines);
    }

    /// Another token takes the place of the one in the file.
    pub(crate) fn replace_token(&self, token: &str) {
        let [new, path] = ["token.new", "token"].map(|name| self.dir.path().join(name));
        fs::write(&new, token).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// Writes the configuration. Returns its path.
    pub(crate) fn config(&self) -> PathBuf {
        let path = |name: &str| self.dir.path().join(name);
        let (state, logs, agent) = (path("state"), path("logs/*.jsonl"), &self.agent);
        let outputs = self.outputs.replace("TOKEN", path("token").to_str().unwrap());
        let text = format!(
            "[agent]\nhost = \"test-host\"\nstate_dir = {state:?}\nadmin = \"127.0.0.1:0\"\nscan_interval = \"100ms\"\n\
             log = {{ level = \"info\", format = \"json\" }}\n{agent}\n\
             [sources.app]\ntype = \"file\"\ninclude = [{logs:?}]\n{outputs}"
        );
        let config = path("auditship.toml");
        fs::write(&config, text).unwrap();
        config
    }

    pub(crate) fn start(&self) -> Running {
        let agent = Agent::spawn(command().arg("run").arg("-c").arg(self.config()));
        let mut address = None;
        eventually(seconds(20), "the agent serves its status", || {
            address = agent.log().iter().find_map(|line| line["admin"].as_str()?.parse::<SocketAddr>().ok());
            address.is_some()
        });
        Running { agent, address: address.unwrap() }
    }

    /// What `auditship status` says while no agent runs.
    pub(crate) fn status(&self) -> Value {
        let done = finish(command().args(["status", "--json", "--offline", "-c"]).arg(self.config()));
        assert_eq!(done.code, Some(0), "{done:?}");
        serde_json::from_str(&done.stdout).unwrap()
    }

    /// The dead letters of an output, as anybody can read them.
    pub(crate) fn letters(&self, output: &str) -> Vec<Value> {
        let path = self.dir.path().join(format!("state/dead-letters/{output}.jsonl"));
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// No output has any.
    #[track_caller]
    pub(crate) fn has_no_letters(&self) {
        for output in ["loki", "elastic", "splunk", "datadog"] {
            let letters = self.letters(output);
            let show: Vec<_> = letters.iter().take(3).map(|letter| (&letter["reason"], &letter["body"])).collect();
            assert!(letters.is_empty(), "{output}: {} dead letters: {show:?}", letters.len());
        }
    }
}

/// The bytes that an output has acknowledged of the file with this name.
pub(crate) fn position(status: &Value, output: &str, name: &str) -> u64 {
    let outputs = status["outputs"].as_array().unwrap();
    let files = outputs.iter().find(|of| of["output"] == output).unwrap()["files"].as_array().unwrap();
    let file = files.iter().find(|file| file["path"].as_str().unwrap().ends_with(name));
    file.map_or(0, |file| file["acknowledged"].as_u64().unwrap())
}

pub(crate) struct Running {
    pub(crate) agent: Agent,
    pub(crate) address: SocketAddr,
}

impl Running {
    pub(crate) fn status(&self) -> Value {
        let (status, body) = get(self.address, "/api/status").expect("the agent answers");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Waits until all outputs, or this one, have everything acknowledged.
    #[track_caller]
    pub(crate) fn delivered(&self, limit: Duration, output: Option<&str>) {
        let mut last = Value::Null;
        // What is behind is looked at once a second: what was written just now has to be known.
        std::thread::sleep(Duration::from_millis(1200));
        let start = Instant::now();
        loop {
            let status = self.status();
            let outputs = status["outputs"].as_array().unwrap();
            let mut wanted = outputs.iter().filter(|of| output.is_none_or(|output| of["output"] == output));
            if wanted.all(|of| of["behind_bytes"] == 0) {
                return;
            }
            last.clone_from(&status["outputs"]);
            let alarms = self.agent.alarms();
            assert!(start.elapsed() < limit, "not delivered within {limit:?}: {last:#}\n{alarms:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What it warned of with these words, of this output.
    pub(crate) fn alarms(&self, output: &str, words: &str) -> Vec<Value> {
        let is_it = |alarm: &Value| alarm["output"] == output && alarm.to_string().contains(words);
        self.agent.alarms().into_iter().filter(is_it).collect()
    }
}

/// Status and body of an answer; nothing when there is none.
pub(crate) fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let (status, body) = http::ask(address, "GET", path, &[], b"").ok()?;
    Some((status, String::from_utf8(body).ok()?))
}
