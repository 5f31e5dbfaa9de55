//! `cargo bench --bench ship`: ships 1,000,000 audit lines to `auditship receiver` over loopback, proves that each
//! arrived once with its bytes unchanged, and compares the agent's CPU time and memory with those of a plain loop
//! that sends the same (see `floor`). docs/benchmark.md says how to read the result.
//!
//! It fails when a line is lost, doubled or altered. It never fails on time.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]

mod child;
mod floor;
mod lines;
mod receiver;
mod slow;
mod table;
mod verify;

use clap::Parser;
use floor::Job;
use lines::Lines;
use receiver::{Counts, Receiver};
use serde::Deserialize;
use std::{
    env, fs,
    fs::File,
    io,
    path::Path,
    process::{Command, ExitCode},
    sync::atomic::Ordering,
    thread,
};
use table::{Row, count, middle, ratio, table};

/// The input, in the temporary folder.
const INPUT: &str = "audit.jsonl";
/// The name of the machine in every record.
const HOST: &str = "bench-host";
/// The first argument of a process that is to be the floor.
const FLOOR: &str = "--floor";

/// Measures what shipping costs.
#[derive(Debug, Parser)]
struct Args {
    /// How many lines. 1,000,000 under cargo bench; 20,000 under anything else, which then is only a test
    #[arg(long)]
    lines: Option<usize>,
    /// Measure this often; the table has the round with the middle ratio
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Leave the temporary folder in place, with the lines, the configuration and the state
    #[arg(long)]
    keep: bool,
    /// Set by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let result = match env::args().nth(1).as_deref() {
        Some(FLOOR) => {
            let words: Vec<String> = env::args().skip(2).collect();
            job(&words).ok_or_else(|| io::Error::other("not for use by hand")).and_then(|job| floor::run(&job))
        }
        _ => bench(&Args::parse()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn bench(args: &Args) -> io::Result<()> {
    let temp = tempfile::Builder::new().prefix("auditship-bench-").disable_cleanup(args.keep).tempdir()?;
    let dir = temp.path();
    let lines = Lines::write(&dir.join(INPUT), args.count())?;
    let average = lines.bytes() as f64 / lines.count() as f64;
    println!("{} lines of {average:.1} bytes on average, {} streams", count(lines.count() as u64), lines.streams);
    println!("{}", prove(dir, &lines)?);

    let mut rounds = Vec::new();
    for _ in 0..args.repeat {
        let agent = counted(&lines, |url| ship(dir, url))?;
        let floor = |hash| counted(&lines, |url| run_floor(dir, url, &lines, agent.requests, hash));
        rounds.push([agent, floor(true)?, floor(false)?]);
    }
    let round = middle(rounds);
    let [agent, floor, bare_floor] = round;
    let rows = [
        ("auditship", agent),
        ("floor", floor),
        ("floor without SHA-256", bare_floor),
        ("auditship, slow receiver", slow(dir)?),
    ];
    println!("\n{}\n", table(&rows));
    // The kernel counts in hundredths of a second.
    if floor.usage.cpu() >= 0.5 {
        println!("auditship takes {:.2} times the CPU time of the floor", ratio(&round));
    } else {
        println!("too few lines to compare CPU times");
    }
    if args.keep {
        println!("kept: {}", dir.display());
    }
    Ok(())
}

impl Args {
    fn count(&self) -> usize {
        self.lines.unwrap_or(if self.bench { 1_000_000 } else { 20_000 }).max(1)
    }
}

/// Ships once to a receiver that logs every entry, and compares each with its line. Not measured: the log costs the
/// receiver more than shipping costs the agent.
fn prove(dir: &Path, lines: &Lines) -> io::Result<String> {
    let file = File::open(dir.join(INPUT))?;
    let (receiver, log) = Receiver::logging()?;
    let streams = thread::scope(|scope| {
        let verified = scope.spawn(|| verify::verify(log, &file, lines));
        let shipped = ship(dir, &receiver.url);
        // Its end is the end of the log.
        let stopped = receiver.stop();
        let verified = verified.join().map_err(|_| io::Error::other("the comparison broke"))?;
        match (shipped.and(stopped), verified) {
            (Ok(_), Ok(streams)) => Ok(streams),
            (Ok(_), Err(what)) => Err(io::Error::other(what)),
            // What the lines show may be a consequence.
            (Err(error), Ok(_)) => Err(error),
            (Err(error), Err(what)) => Err(io::Error::other(format!("{error}\n{what}"))),
        }
    })?;
    if streams != lines.streams {
        return Err(io::Error::other(format!("{streams} streams, not {}", lines.streams)));
    }
    let n = count(lines.count() as u64);
    Ok(format!("proof: {n} of {n} lines once, bytes identical, {streams} streams"))
}

/// Measures against a receiver of its own, which must have counted every line once.
fn counted(lines: &Lines, measure: impl FnOnce(&str) -> io::Result<Row>) -> io::Result<Row> {
    let receiver = Receiver::counting()?;
    let row = measure(&receiver.url)?;
    let counts = receiver.stop()?;
    let expected = Counts {
        requests: row.requests,
        accepted: lines.count() as u64,
        duplicates: 0,
        rejected: 0,
        streams: lines.streams as u64,
    };
    if counts != expected {
        return Err(io::Error::other(format!("the receiver counted {counts:?}, not {expected:?}")));
    }
    Ok(row)
}

/// The agent against a destination that is late at first: only its memory is of interest.
fn slow(dir: &Path) -> io::Result<Row> {
    let (url, answered) = slow::start()?;
    let row = ship(dir, &url)?;
    let answered = answered.load(Ordering::Relaxed);
    if answered != row.requests {
        return Err(io::Error::other(format!("{} requests, {answered} answers", row.requests)));
    }
    Ok(row)
}

/// Runs the agent over the input, with nothing known from an earlier run and with the defaults of the configuration.
fn ship(dir: &Path, url: &str) -> io::Result<Row> {
    let state = dir.join("state");
    if state.exists() {
        fs::remove_dir_all(&state)?;
    }
    let config = dir.join("auditship.toml");
    let text = format!(
        "[agent]\nstate_dir = {state:?}\nhost = {HOST:?}\nlog = {{ format = \"json\" }}\nadmin = \"off\"\n\n\
         [sources.audit]\ntype = \"file\"\ninclude = [{:?}]\n\n\
         [outputs.loki]\ntype = \"loki\"\nurl = {url:?}\nmax_requests_per_second = 10000\n",
        dir.join(INPUT)
    );
    fs::write(&config, text)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_auditship"));
    // The limit only keeps a broken agent from hanging for ever.
    command.args(["run", "--once", "--timeout", "30m", "--config"]).arg(&config);
    let (usage, said) = child::run(&mut command)?;
    let ended = said.stderr.lines().find_map(|line| serde_json::from_str::<Ended>(line).ok());
    let Ended { requests, sent_bytes } =
        ended.ok_or_else(|| io::Error::other(format!("the agent did not report: {}", said.stderr)))?;
    Ok(Row { usage, requests, sent_bytes })
}

/// The agent's last words in its log.
#[derive(Deserialize)]
struct Ended {
    requests: u64,
    sent_bytes: u64,
}

fn run_floor(dir: &Path, url: &str, lines: &Lines, requests: u64, hash: bool) -> io::Result<Row> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(FLOOR).arg(url).arg(dir.join(INPUT));
    command.args([lines.count() as u64, requests, u64::from(hash)].map(|number| number.to_string()));
    let (usage, said) = child::run(&mut command)?;
    let mut numbers = said.stdout.split(' ').map_while(|word| word.parse().ok());
    match (numbers.next(), numbers.next()) {
        (Some(requests), Some(sent_bytes)) => Ok(Row { usage, requests, sent_bytes }),
        _ => Err(io::Error::other(format!("the floor did not report: {}", said.stdout))),
    }
}

/// Reads back what [`run_floor`] wrote.
fn job(words: &[String]) -> Option<Job> {
    let [url, file, lines, requests, hash] = words else { return None };
    Some(Job {
        address: url.strip_prefix("http://")?.to_owned(),
        file: file.into(),
        lines: lines.parse().ok()?,
        requests: requests.parse().ok()?,
        hash: hash == "1",
    })
}
