//! `auditship demo`: receivers, an application, the agent, an outage and a `kill -9`, and then the proof.

mod agent;
mod destinations;
mod door;
mod proof;
mod writer;

use super::{
    Failure,
    table::{bytes, count, table},
};
use crate::receiver::serve;
use agent::Agent;
use clap::Args;
use destinations::{Destinations, Found, Kind};
use door::Door;
use indicatif::{ProgressBar, ProgressStyle};
use proof::Verdict;
use std::{
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use writer::{ROTATIONS, Writer, Written};

/// How often the demo looks around.
const TICK: Duration = Duration::from_millis(50);
/// The destinations are unreachable for this long, and for at most a quarter of the writing.
const OUTAGE: Duration = Duration::from_secs(2);
/// The agent is not there for this long after the kill.
const DOWN: Duration = Duration::from_millis(300);
/// How long requests are collected that are stored but not answered, before the kill.
const HELD: Duration = Duration::from_millis(500);
/// At most this long is waited for one of them at each destination.
const HELD_AT_MOST: Duration = Duration::from_secs(20);
/// What is written is acknowledged within this time, or never.
const PATIENCE: Duration = Duration::from_secs(60);

/// Arguments of `auditship demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// How many lines are written
    #[arg(long, value_name = "N", default_value_t = 40_000, value_parser = clap::value_parser!(u64).range(1000..=5_000_000))]
    lines: u64,
    /// How long the writing takes
    #[arg(long, value_name = "S", default_value_t = 8, value_parser = clap::value_parser!(u64).range(2..=3600))]
    seconds: u64,
    /// Keep the folder with the audit files, the configuration, the state and the agent's log, and print its path
    #[arg(long)]
    keep: bool,
}

pub(super) fn demo(args: &DemoArgs) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::Failed(format!("demo: {error}"));
    // 0700, and removed when this function returns, however it does.
    let mut folder = tempfile::Builder::new()
        .prefix("auditship-demo-")
        .tempdir()
        .map_err(|error| Failure::Failed(format!("demo: cannot make a temporary folder: {error}")))?;
    folder.disable_cleanup(args.keep);
    let path = std::path::absolute(folder.path()).map_err(failed)?;
    let destinations = Destinations::new().map_err(failed)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(failed)?;
    // Each destination stores all of them.
    let progress = Progress::new(args.lines * Kind::ALL.len() as u64);
    let played = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
        tokio::select! {
            // What is left of the play (agent and writer) ends when it is dropped.
            _ = interrupt.recv() => Err(Failure::Failed("demo: stopped".into())),
            _ = terminate.recv() => Err(Failure::Failed("demo: stopped".into())),
            _ = hangup.recv() => Err(Failure::Failed("demo: stopped".into())),
            played = play(args, &path, &destinations, &progress) => played,
        }
    });
    let result = played.and_then(|played| {
        progress.phase("comparing what each receiver holds with what was written");
        let found = destinations.compare(&played.written.files);
        progress.end();
        say(&show(&played, &found))?;
        conclude(played, found)
    });
    progress.end();
    runtime.shutdown_timeout(Duration::from_secs(1));
    let kept = if args.keep { say(&format!("\n  kept: {}", path.display())) } else { folder.close().map_err(failed) };
    result.and(kept)
}

/// What happened, and what only the writer knows.
#[derive(Debug)]
struct Played {
    written: Written,
    kills: u64,
    /// Requests that were stored and not answered when the agent was killed, by destination.
    held: [u64; 4],
    outage: Duration,
    /// Requests that were answered with 503.
    refused: u64,
    /// What went wrong on the way.
    problems: Vec<String>,
}

async fn play(
    args: &DemoArgs,
    folder: &Path,
    destinations: &Destinations,
    progress: &Progress,
) -> Result<Played, Failure> {
    let failed = |error: io::Error| Failure::Failed(format!("demo: {error}"));
    let door = Door::new();
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .map_err(|error| Failure::Failed(format!("demo: cannot listen on 127.0.0.1: {error}")))?;
    let port = listener.local_addr().map_err(failed)?.port();
    tokio::spawn(serve(listener, destinations.behind(&door), std::future::pending()));
    let text = folder.to_str().ok_or_else(|| {
        Failure::Failed(format!("demo: {}: not UTF-8; set TMPDIR to another folder", folder.display()))
    })?;
    let config = agent::config(text, port);
    std::fs::write(folder.join("demo.toml"), &config).map_err(failed)?;
    agent::write_secrets(folder).map_err(failed)?;
    let indented = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") };
    say(&format!("This is all the configuration:\n\n{}", config.lines().map(indented).collect::<String>()))?;

    let time = Duration::from_secs(args.seconds);
    let begin = Instant::now();
    let agent = Agent::start(folder)?;
    let writer = Writer::start(folder, args.lines, time).map_err(failed)?;
    let mut stage = Stage { folder: folder.to_owned(), agent, writer, destinations, progress };
    progress
        .phase(&format!("the agent runs; an application writes {} lines and rotates its file", count(args.lines)));
    stage.run_until(begin + time.mul_f64(0.25)).await?;

    let outage = OUTAGE.min(time / 4);
    progress.phase(&format!("the receivers are unreachable for {:.1} s", outage.as_secs_f64()));
    door.shut();
    stage.run_until(Instant::now() + outage).await?;
    door.open();
    progress.phase("the receivers are back");
    stage.run_until(begin + time.mul_f64(0.6)).await?;

    door.mute();
    let deadline = Instant::now() + HELD_AT_MOST;
    while door.held().contains(&0) && Instant::now() < deadline {
        stage.run_until(Instant::now() + TICK).await?;
    }
    stage.run_until(Instant::now() + HELD).await?;
    let held = door.held();
    stage.kill_and_start(&door, held).await?;

    let problems = stage.all_acknowledged().await?;
    let Stage { agent, writer, .. } = stage;
    let mut problems: Vec<String> = problems.into_iter().collect();
    problems.extend(agent.stop(Duration::from_secs(20)).await?);
    Ok(Played { written: writer.finish()?, kills: 1, held, outage, refused: door.refused(), problems })
}

/// Everything that runs. Agent and writer end when it is dropped.
struct Stage<'a> {
    folder: PathBuf,
    agent: Agent,
    writer: Writer,
    destinations: &'a Destinations,
    progress: &'a Progress,
}

impl Stage<'_> {
    /// Lets everything run.
    async fn run_until(&mut self, end: Instant) -> Result<(), Failure> {
        loop {
            self.agent.check()?;
            self.progress.show(self.destinations.stored());
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(left.min(TICK)).await;
        }
    }

    async fn kill_and_start(&mut self, door: &Door, held: [u64; 4]) -> Result<(), Failure> {
        self.progress.phase(&format!(
            "kill -9 (requests that are stored but not answered: {}; lines written so far: {})",
            each(held),
            count(self.writer.lines())
        ));
        self.agent.kill()?;
        door.open();
        tokio::time::sleep(DOWN).await;
        self.agent = Agent::start(&self.folder)?;
        self.progress.phase("the agent runs again, from its state on disk");
        Ok(())
    }

    /// Waits for the last line and then for the last acknowledgement. What is left is said in the text.
    async fn all_acknowledged(&mut self) -> Result<Option<String>, Failure> {
        while !self.writer.is_finished() {
            self.run_until(Instant::now() + TICK).await?;
        }
        self.progress.phase("all lines are written; waiting for the last acknowledgement");
        let written = self.written_bytes()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let acknowledged = agent::acknowledged(&self.folder);
            let mut left = Kind::ALL.into_iter().zip(acknowledged).filter(|(_, bytes)| *bytes < written).peekable();
            if left.peek().is_none() {
                return Ok(None);
            }
            if Instant::now() >= deadline {
                let left = left.map(|(kind, sum)| format!("{} by {}", bytes(written - sum), kind.title()));
                let (left, patience) = (left.collect::<Vec<_>>().join(", "), PATIENCE.as_secs());
                let words = self.agent.last_words();
                return Ok(Some(format!(
                    "not acknowledged after {patience} s: {left}; the agent's last words:\n{words}"
                )));
            }
            self.run_until(Instant::now() + 4 * TICK).await?;
        }
    }

    /// The size of all audit files.
    fn written_bytes(&self) -> Result<u64, Failure> {
        let size = |entry: io::Result<std::fs::DirEntry>| {
            let entry = entry?;
            let is_audit = entry.file_name().to_string_lossy().starts_with("app-audit");
            Ok(if is_audit { entry.metadata()?.len() } else { 0 })
        };
        let sum = std::fs::read_dir(&self.folder).and_then(|entries| entries.map(size).sum::<io::Result<u64>>());
        sum.map_err(|error| Failure::Failed(format!("demo: cannot look at the audit files: {error}")))
    }
}

fn show(played: &Played, found: &Found) -> String {
    let row = |what: &str, number: String, note: String| vec![what.to_owned(), number, note];
    let files = &played.written.files;
    let lines = files.iter().map(|file| file.lines.len() as u64).sum();
    let rows = [
        row(
            "lines written",
            count(lines),
            format!(
                "in {}; {} are awkward: not JSON, not UTF-8, empty, repeated, up to 600 KiB",
                bytes(files.iter().map(|file| file.size).sum()),
                count(played.written.awkward)
            ),
        ),
        row("files", count(files.len() as u64), format!("one file, renamed {ROTATIONS} times")),
        row("streams", count(found.streams), "at Loki: tenants × event types, and one for what is not JSON".into()),
        row(
            "kills",
            count(played.kills),
            format!("by kill -9; requests stored but not answered: {}", each(played.held)),
        ),
        row(
            "outage",
            format!("{:.1} s", played.outage.as_secs_f64()),
            format!("requests refused: {}", count(played.refused)),
        ),
    ];
    let what = table(&["what", "number", ""], &rows);
    let rows = Kind::ALL.into_iter().zip(&found.verdicts).map(|(kind, found)| {
        let numbers =
            [found.once, found.missing, found.altered, found.foreign, found.twice, found.gaps, found.resent];
        let name = [kind.title().to_owned()];
        name.into_iter().chain(numbers.map(count)).chain([kind.again().to_owned()]).collect()
    });
    let head = ["destination", "lines", "missing", "altered", "foreign", "stored twice", "gaps", "came again", ""];
    format!("\n{what}\n\n{}\n", table(&head, &rows.collect::<Vec<_>>()))
}

/// "Loki 8, Elasticsearch 1, …"
fn each(numbers: [u64; 4]) -> String {
    let each = Kind::ALL.into_iter().zip(numbers).map(|(kind, number)| format!("{} {}", kind.title(), count(number)));
    each.collect::<Vec<_>>().join(", ")
}

fn conclude(mut played: Played, found: Found) -> Result<(), Failure> {
    let is_right = found.verdicts.iter().all(Verdict::is_right) && played.problems.is_empty();
    if is_right {
        say("  Every line once, byte for byte.\n")?;
        return say("  Next: the same with a real Loki. README.md, \"To a real Loki in five minutes\".");
    }
    let mut text = "demo: this is not what was promised:".to_owned();
    for (kind, verdict) in Kind::ALL.into_iter().zip(found.verdicts) {
        played.problems.extend(verdict.problems.into_iter().map(|problem| format!("{}: {problem}", kind.title())));
    }
    for problem in played.problems {
        text.push_str(&format!("\n  {problem}"));
    }
    text.push_str("\n  --keep keeps the files and the agent's log");
    Err(Failure::Failed(text))
}

/// Prints to standard output. That can be closed early (`| head`), which must not leave the folder behind.
fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::Failed(format!("demo: cannot print: {error}")))
}

/// Phases on standard error, and under them, on a terminal, a bar.
struct Progress {
    bar: Option<ProgressBar>,
    begin: Instant,
    lines: u64,
}

impl Progress {
    fn new(lines: u64) -> Progress {
        let bar = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("  {spinner} {bar:40} {human_pos} of {human_len} lines stored");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(lines).with_style(style)
        });
        Progress { bar, begin: Instant::now(), lines }
    }

    fn phase(&self, text: &str) {
        let text = format!("  {:4.1} s  {text}", self.begin.elapsed().as_secs_f64());
        match &self.bar {
            Some(bar) => bar.println(text),
            // Nobody may be listening, and that is no reason to end.
            None => _ = writeln!(io::stderr(), "{text}"),
        }
    }

    /// `stored` counts records: a line in parts is several.
    fn show(&self, stored: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(stored.min(self.lines));
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
