//! `auditship run`

use super::{
    ConfigArgs, Failure, logging,
    table::{bytes, count, table},
};
use crate::{
    admin::Showing,
    config::{self, chain},
    pipeline::{self, Ended, Left, Moment, Options, Outcome, Progress, Report, RunError},
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::{io::IsTerminal as _, time::Duration};

/// Arguments of `auditship run`.
#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Ship all there is, wait for every acknowledgement, and end
    #[arg(long)]
    once: bool,
    /// With --once: end after this (such as 30s or 5m) all the same, with exit code 1, and say what is left and why
    #[arg(long, value_name = "T", requires = "once", value_parser = config::parse_duration)]
    timeout: Option<Duration>,
}

pub(super) fn run(args: &RunArgs) -> Result<(), Failure> {
    let settings = args.config.load()?;
    let warnings = config::check_surroundings(&settings)?;
    logging::start(settings.agent.log_level, settings.agent.log_format);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let options = Options { once: args.once, timeout: args.timeout };
    let mut bar = (args.once && std::io::stderr().is_terminal()).then(Bar::new);
    // A run that ends by itself often runs beside an agent that has the port.
    let mut showing = Showing::new(&settings, !args.once).map_err(|error| Failure::Usage(chain(&error)))?;
    let result = pipeline::run(settings, options, |moment| {
        showing.take(&moment);
        if let (Moment::Tick(progress), Some(bar)) = (moment, &mut bar) {
            bar.show(progress);
        }
    });
    if let Some(bar) = bar {
        bar.end();
    }
    let outcome = result.map_err(|error| match error {
        RunError::State(_) | RunError::Pattern(_) => Failure::Usage(chain(&error)),
        RunError::System(_) | RunError::Broken => Failure::Failed(chain(&error)),
    })?;
    conclude(args.once, &outcome)
}

fn conclude(once: bool, outcome: &Outcome) -> Result<(), Failure> {
    for output in &outcome.report.outputs {
        let counts = &output.counts;
        tracing::info!(
            output = output.name,
            records = counts.records,
            acknowledged = counts.acknowledged,
            pending = output.pending,
            dead_lettered = counts.dead_lettered,
            malformed = counts.malformed,
            invalid_utf8 = counts.invalid_utf8,
            empty = counts.empty,
            unterminated = counts.unterminated,
            gaps = counts.gaps,
            lost_bytes = counts.lost_bytes,
            parts = counts.parts,
            too_old = counts.too_old,
            twins = counts.twins,
            refused = counts.refused,
            read_bytes = counts.read_bytes,
            passed_bytes = counts.passed_bytes,
            requests = counts.requests,
            sent_bytes = counts.wire_bytes,
            "ended"
        );
    }
    if !once {
        return Ok(());
    }
    println!("{}", summary(&outcome.report));
    let is_complete = outcome.report.outputs.iter().all(pipeline::OutputReport::is_complete);
    let unreadable = &outcome.report.unreadable;
    match outcome.ended {
        Ended::Done if !unreadable.is_empty() => {
            let paths: Vec<String> = unreadable.iter().map(|path| format!("  {}", path.display())).collect();
            Err(Failure::Failed(format!("cannot be read, and so not shipped:\n{}", paths.join("\n"))))
        }
        Ended::Done if is_complete => Ok(()),
        Ended::Done => {
            Err(Failure::Failed(format!("some files could not be read to their end:\n{}", left(&outcome.report))))
        }
        Ended::TimedOut => {
            Err(Failure::Failed(format!("the time is up; not acknowledged yet:\n{}", left(&outcome.report))))
        }
        Ended::Stopped => {
            Err(Failure::Failed(format!("stopped before the end; not acknowledged yet:\n{}", left(&outcome.report))))
        }
    }
}

fn summary(report: &Report) -> String {
    let rows: Vec<Vec<String>> = report
        .outputs
        .iter()
        .map(|output| {
            let counts = &output.counts;
            vec![
                output.name.clone(),
                count(counts.records),
                count(counts.acknowledged),
                bytes(counts.read_bytes),
                count(counts.requests),
                bytes(counts.wire_bytes),
            ]
        })
        .collect();
    let mut text = table(&["output", "records", "acknowledged", "read", "requests", "sent"], &rows);
    for output in &report.outputs {
        let counts = &output.counts;
        let marked = [
            (counts.malformed, "not a JSON object"),
            (counts.invalid_utf8, "not UTF-8 (sent in base64)"),
            (counts.empty, "empty"),
            (counts.unterminated, "without a newline at the end of a file"),
            (counts.parts, "parts of long lines"),
            (counts.too_old, "older than the destination keeps, though it takes them"),
            (counts.twins, "the same as the one before them to the nanosecond (the destination keeps one)"),
        ];
        for (number, what) in marked.into_iter().filter(|(number, _)| *number > 0) {
            text.push_str(&format!("\n  {}: {} records are {what}", output.name, count(number)));
        }
        if counts.dead_lettered > 0 {
            let number = count(counts.dead_lettered);
            text.push_str(&format!(
                "\n  {}: {number} records are refused; they are in the dead letters",
                output.name
            ));
        }
        for tail in output.left.iter().filter(|left| left.is_tail_only) {
            let Left { path, bytes, .. } = tail;
            text.push_str(&format!(
                "\n  {}: {path} ends with {bytes} bytes of a line that has no newline yet",
                output.name
            ));
        }
    }
    text
}

/// What is not acknowledged, and why.
fn left(report: &Report) -> String {
    let mut lines = Vec::new();
    for output in &report.outputs {
        let files: Vec<&Left> = output.left.iter().filter(|left| !left.is_tail_only).collect();
        if files.is_empty() {
            continue;
        }
        let total = files.iter().map(|left| left.bytes).sum();
        let why = output.stalled.as_deref().unwrap_or("the destination has not answered yet");
        lines.push(format!("  {}: {} in {} files: {why}", output.name, bytes(total), files.len()));
        lines.extend(files.iter().take(10).map(|left| format!("    {}  {}", bytes(left.bytes), left.path)));
        if files.len() > 10 {
            lines.push(format!("    (and {} more)", files.len() - 10));
        }
    }
    lines.join("\n")
}

/// The progress bar.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Bar {
        let style =
            ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes} acknowledged, {bytes_per_sec}, {eta} left");
        Bar(ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    fn show(&mut self, progress: Progress) {
        self.0.set_length(progress.total);
        self.0.set_position(progress.settled.min(progress.total));
    }

    fn end(self) {
        self.0.finish_and_clear();
    }
}
