//! What was found, case by case.

use crate::{program::Program, rig::stored::Findings};
use std::{
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::{Duration, Instant},
};

/// The figures that need not be zero, and why the program cannot do better.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    pub(crate) missing: bool,
    pub(crate) duplicates: bool,
    pub(crate) altered: bool,
    pub(crate) reason: String,
}

impl Limit {
    pub(crate) fn missing(reason: &str) -> Limit {
        Limit { missing: true, duplicates: false, altered: false, reason: reason.into() }
    }

    pub(crate) fn duplicates(reason: &str) -> Limit {
        Limit { missing: false, duplicates: true, altered: false, reason: reason.into() }
    }
}

/// What a case has found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) lines: usize,
    pub(crate) missing: usize,
    pub(crate) duplicates: usize,
    pub(crate) altered: usize,
    /// Numbers of records that are not there, of those up to the highest: no more than are missing.
    pub(crate) left_out: u64,
    /// What the program makes impossible.
    pub(crate) limit: Option<Limit>,
    /// A few of what is wrong.
    pub(crate) examples: Vec<String>,
    /// What else there is to know: counts, answers.
    pub(crate) note: String,
}

impl Outcome {
    pub(crate) fn of(findings: &Findings, lines: usize) -> Outcome {
        let cut = |text: &str| text.chars().take(600).collect::<String>();
        let missing = findings.missing.iter().map(|line| format!("missing: {}", String::from_utf8_lossy(line)));
        let altered = findings.altered.iter().cloned();
        Outcome {
            lines,
            examples: altered.take(3).chain(missing.take(3)).map(|text| cut(&text)).collect(),
            missing: findings.missing.len(),
            duplicates: findings.duplicates,
            altered: findings.altered.len(),
            left_out: findings.left_out,
            ..Outcome::default()
        }
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Outcome {
        self.note = note.into();
        self
    }

    pub(crate) fn limit(mut self, limit: Limit) -> Outcome {
        self.limit = Some(limit);
        self
    }

    fn complaint(&self) -> String {
        let Outcome { missing, duplicates, altered, left_out, lines, examples, note, .. } = self;
        let examples = examples.join("\n    ");
        format!(
            "of {lines} lines {missing} missing, {duplicates} duplicates, {altered} altered, {left_out} numbers left out; \
             {note}\n    {examples}"
        )
    }

    /// Nothing but what the program makes impossible.
    fn is_right(&self) -> bool {
        let may = |of: fn(&Limit) -> bool| self.limit.as_ref().is_some_and(of);
        (self.missing == 0 || may(|limit| limit.missing))
            && (self.duplicates == 0 || may(|limit| limit.duplicates))
            && (self.altered == 0 || may(|limit| limit.altered))
            && self.left_out <= self.missing as u64
    }
}

pub(crate) enum Verdict {
    Passed(Outcome),
    Failed(String),
    Skipped(String),
}

impl Verdict {
    pub(crate) fn of(outcome: Outcome) -> Verdict {
        if outcome.is_right() { Verdict::Passed(outcome) } else { Verdict::Failed(outcome.complaint()) }
    }
}

pub(crate) struct Row {
    pub(crate) program: String,
    pub(crate) version: String,
    pub(crate) case: String,
    pub(crate) verdict: Verdict,
    pub(crate) took: Duration,
}

pub(crate) struct Table {
    filter: Option<String>,
    pub(crate) rows: Vec<Row>,
}

impl Table {
    pub(crate) fn new(filter: Option<String>) -> Table {
        Table { filter, rows: Vec::new() }
    }

    /// Whether all cases are run.
    pub(crate) fn is_whole(&self) -> bool {
        self.filter.is_none()
    }

    /// Whether a case is to be run.
    pub(crate) fn wants(&self, program: &str, case: &str) -> bool {
        let name = format!("{program}: {case}").to_lowercase();
        self.filter.as_ref().is_none_or(|filter| name.contains(&filter.to_lowercase()))
    }

    /// Runs one. A panic is its failure, and the others go on.
    pub(crate) fn case(&mut self, program: &Program, case: &str, run: impl FnOnce() -> Outcome) {
        if !self.wants(&program.name, case) {
            return;
        }
        begin(&program.name, case);
        let start = Instant::now();
        let verdict = match program.refused() {
            Some(why) => Verdict::Skipped(why.to_owned()),
            None => match catch_unwind(AssertUnwindSafe(run)) {
                Ok(outcome) => Verdict::of(outcome),
                Err(panic) => Verdict::Failed(words(&*panic)),
            },
        };
        let (name, version) = (program.name.clone(), program.version.clone());
        self.add(Row { program: name, version, case: case.into(), verdict, took: start.elapsed() });
    }

    /// Says how it went.
    pub(crate) fn add(&mut self, row: Row) {
        let seconds = row.took.as_secs_f64();
        match &row.verdict {
            Verdict::Passed(outcome) => println!("ok  {seconds:5.1} s  {}", outcome.note),
            Verdict::Failed(why) => println!("FAILED after {seconds:.1} s: {why}"),
            Verdict::Skipped(why) => println!("skipped: {why}"),
        }
        self.rows.push(row);
    }

    pub(crate) fn print(&self) {
        println!();
        let width =
            |of: fn(&Row) -> &str| self.rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0).max(7);
        let (program, version, case) = (width(|row| &row.program), width(|row| &row.version), width(|row| &row.case));
        println!(
            "{:program$}  {:version$}  {:case$}  {:>9}  {:>7}  {:>10}  {:>7}  {:>7}",
            "program", "version", "case", "lines", "missing", "duplicates", "altered", "seconds"
        );
        let mut limits: Vec<&str> = Vec::new();
        for row in &self.rows {
            print!("{:program$}  {:version$}  {:case$}  ", row.program, row.version, row.case);
            match &row.verdict {
                Verdict::Passed(outcome) => {
                    let mark = outcome
                        .limit
                        .as_ref()
                        .map_or(String::new(), |limit| format!("  [{}]", number(&mut limits, &limit.reason)));
                    println!(
                        "{:>9}  {:>7}  {:>10}  {:>7}  {:>7.1}{mark}",
                        outcome.lines,
                        outcome.missing,
                        outcome.duplicates,
                        outcome.altered,
                        row.took.as_secs_f64()
                    );
                }
                Verdict::Failed(_) => println!("FAILED"),
                Verdict::Skipped(why) => println!("skipped: {why}"),
            }
        }
        for (nth, reason) in limits.iter().enumerate() {
            println!("[{}] {reason}", nth + 1);
        }
    }

    pub(crate) fn fail(&mut self, case: &str, why: String) {
        println!("{case}: {why}");
        let verdict = Verdict::Failed(why);
        self.rows.push(Row {
            program: "auditship".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            case: case.into(),
            verdict,
            took: Duration::ZERO,
        });
    }

    /// The last line, and what the process says by its exit code.
    pub(crate) fn end(&self) -> ExitCode {
        let count = |is_it: fn(&Verdict) -> bool| self.rows.iter().filter(|row| is_it(&row.verdict)).count();
        let failed = count(|verdict| matches!(verdict, Verdict::Failed(_)));
        let passed = count(|verdict| matches!(verdict, Verdict::Passed(_)));
        println!("{passed} passed, {failed} failed, {} skipped", self.rows.len() - passed - failed);
        if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Says what comes now.
pub(crate) fn begin(program: &str, case: &str) {
    print!("{:<88} ", format!("{program}: {case}"));
    let _ = std::io::stdout().flush();
}

/// The number of a reason, which is there once.
pub(crate) fn number<'a>(reasons: &mut Vec<&'a str>, reason: &'a str) -> usize {
    match reasons.iter().position(|known| *known == reason) {
        Some(nth) => nth + 1,
        None => {
            reasons.push(reason);
            reasons.len()
        }
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").chars().take(2000).collect()
}
