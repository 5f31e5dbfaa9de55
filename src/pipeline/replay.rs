//! Replay: dead letters are sent again, in the order in which they were put aside. What is delivered leaves them; what still
//! fails stays, and so does everything when the destination takes nothing any more. What fails while others pass is looked
//! for by halving.

use super::{
    late::{base_of, forms},
    plan::{self, Labelling, Plan},
    sending::{Outcome, attempt},
    settings::Settings,
};
use crate::{
    batch::{Bases, Batch, Form, Pool, Records},
    dead_letters::{DeadLetters, Letter, Skips},
    model::Sink as _,
    output::{Stall, StreamHead, Verdict},
    send::{Client, Next, Refusal, Work},
};
use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    io,
    time::Duration,
};

/// An attempt that stalls is made again after this, then after twice that …
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// … so often.
const ATTEMPTS: u32 = 6;
/// After so many batches in a row that fail nothing more is sent.
const FAILURES: u32 = 4;
/// A destination with receipts is asked for them this often.
const ASK: Duration = Duration::from_secs(1);

/// What a replay did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Letters that were there.
    pub letters: usize,
    /// Of those, delivered and taken out.
    pub delivered: usize,
    /// Ids of those that are refused again, with the destination's words.
    pub refused: Vec<(String, String)>,
    /// Why it ended before the end: the destination does not answer, or not as it should.
    pub stalled: Option<String>,
}

/// Why a replay cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// No such output.
    #[error("no output is named {0}")]
    NoOutput(String),
    /// A letter is of another type of output.
    #[error("{path}: the letter {id} is for an output of type {kind}, and this one is of type {found}")]
    OtherKind {
        /// The file.
        path: String,
        /// The letter.
        id: String,
        /// Its type.
        kind: String,
        /// The output's.
        found: &'static str,
    },
    /// The file cannot be read, or written.
    #[error("{path}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The system refuses.
    #[error("cannot start")]
    System(#[from] io::Error),
}

/// Asks the agent to put a record aside although the destination does not refuse it by name.
pub fn skip(settings: &Settings, output: &str, id: &str) -> Result<(), ReplayError> {
    if !settings.outputs.iter().any(|other| other.name == output) {
        return Err(ReplayError::NoOutput(output.to_owned()));
    }
    let skips = Skips::new(&settings.agent.state_dir, output);
    skips.add(id).map_err(|source| ReplayError::File { path: skips.path().display().to_string(), source })
}

/// Sends the dead letters of an output again. `show` is told how many of how many have been tried.
pub fn replay(
    mut settings: Settings,
    output: &str,
    mut show: impl FnMut(usize, usize),
) -> Result<Replayed, ReplayError> {
    let mut letters = DeadLetters::new(&settings.agent.state_dir, output, settings.agent.dead_letters_max_bytes);
    let (labelling, _) = Labelling::new(&settings);
    let plans = plan::plans(&mut settings, labelling);
    let plan = plans.iter().find(|plan| plan.name == output);
    let plan = plan.ok_or_else(|| ReplayError::NoOutput(output.to_owned()))?;
    let path = letters.path().display().to_string();
    let failed = |source| ReplayError::File { path: path.clone(), source };
    let all = letters.read().map_err(failed)?;
    if let Some(other) = all.iter().find(|letter| letter.kind != plan.output.kind()) {
        let (id, kind, found) = (other.id.clone(), other.kind.clone(), plan.output.kind());
        return Err(ReplayError::OtherKind { path, id, kind, found });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut replayed = Replayed { letters: all.len(), ..Replayed::default() };
    let mut delivered: HashSet<String> = HashSet::new();
    let (mut rest, mut parts) = (&all[..], VecDeque::new());
    // Once: an attempt without an answer is made again with the same times.
    let mut bases = Bases::default();
    // In a row; and what failed while nothing had passed.
    let (mut failures, mut last) = (0, Vec::new());
    loop {
        if parts.is_empty() && !rest.is_empty() {
            let (now, after) = rest.split_at(first_batch(plan, rest));
            parts.push_back(now.iter().collect::<Vec<_>>());
            rest = after;
        }
        let Some(mut part) = parts.pop_front().or_else(|| last.pop()) else { break };
        let stall = runtime.block_on(send(plan, &mut part, &mut bases, &mut delivered, &mut replayed)).err();
        show(delivered.len() + replayed.refused.len(), all.len());
        let Some(stall) = stall else {
            failures = 0;
            continue;
        };
        failures += 1;
        match part[..] {
            _ if failures == FAILURES => {
                replayed.stalled = Some(stall.text);
                break;
            }
            [one] if !delivered.is_empty() => replayed.refused.push((one.id.clone(), stall.text)),
            [_] => last.push(part),
            // One after the other: where one has the letter that fails, the other passes.
            _ => {
                let second = part.split_off(part.len() / 2);
                parts.extend([part, second]);
            }
        }
    }
    replayed.delivered = delivered.len();
    if !delivered.is_empty() {
        letters.remove(&delivered).map_err(failed)?;
    }
    Ok(replayed)
}

/// How many of the letters go into one batch.
fn first_batch(plan: &Plan, letters: &[Letter]) -> usize {
    let mut bytes = 0;
    let fits = |letter: &&Letter| {
        bytes += letter.encoded.len();
        letter.labels == letters[0].labels && bytes <= plan.batch_max_bytes
    };
    letters.iter().take_while(fits).count().clamp(1, plan.output.max_records())
}

/// Sends these as one batch. `letters` are those that are to be sent again then.
async fn send<'l>(
    plan: &Plan,
    letters: &mut Vec<&'l Letter>,
    bases: &mut Bases,
    delivered: &mut HashSet<String>,
    replayed: &mut Replayed,
) -> Result<(), Stall> {
    let head = plan.output.stream(&letters[0].label_set());
    let (mut pool, mut batch) = (Pool::new(usize::MAX / 2), Batch::new(0, Duration::ZERO));
    let mut sent: Vec<&'l Letter> = Vec::new();
    for letter in letters.iter().copied() {
        match letter.encoded() {
            Some(bytes) => {
                batch.body.writer(&mut pool).put(&bytes);
                batch.end_record();
                sent.push(letter);
            }
            None => replayed.refused.push((letter.id.clone(), "`encoded` is not base64".into())),
        }
    }
    let mut work = Work::new(batch, plan.output.plainest());
    let mut dead: BTreeSet<usize> = BTreeSet::new();
    let result = loop {
        match work.next() {
            Next::Send(_) => {
                if let Err(stall) = step(plan, &head, &mut work, bases).await {
                    break Err(stall);
                }
            }
            Next::Held => work.again(),
            Next::Bury => {
                for Refusal { record, reason } in work.dead() {
                    dead.insert(*record);
                    replayed.refused.extend(sent.get(*record).map(|letter| (letter.id.clone(), reason.clone())));
                }
                work.bury();
            }
            Next::Settled => break Ok(()),
        }
    };
    let left = work.left();
    let good = sent.iter().enumerate().filter(|(record, _)| !left.contains(record) && !dead.contains(record));
    delivered.extend(good.map(|(_, letter)| letter.id.clone()));
    *letters = left.iter().filter_map(|record| sent.get(*record).copied()).collect();
    result
}

/// One request and what it leads to, tried again while it stalls.
async fn step(plan: &Plan, head: &StreamHead, work: &mut Work, bases: &mut Bases) -> Result<(), Stall> {
    let mut pause = FIRST_PAUSE;
    for attempt_number in 1.. {
        let Next::Send(selection) = work.next() else { break };
        if selection.form == Form::Retimed {
            let describe = |record: usize| plan.output.describe(&work.batch.record(record));
            for file in selection.records().filter_map(describe).map(|record| record.file) {
                if bases.time(file, 0).is_none() {
                    bases.set(file, 0, base_of(file));
                }
            }
        }
        let channel = if plan.output.has_receipts() { super::receipts::new_channel() } else { String::new() };
        let client = Client::new(&plan.http, 1)?;
        let records = Records { batch: &work.batch, selection: &selection, bases };
        let (outcome, _) = attempt(&plan.output, &client, head, records, &channel).await;
        let Outcome::Sent(mut verdict) = outcome else { break };
        if let Verdict::Queued { receipt } = verdict {
            verdict = receive(plan, &client, receipt, &channel).await;
        }
        match verdict {
            Verdict::Stall(stall) if attempt_number >= ATTEMPTS => return Err(stall),
            Verdict::Stall(_) => {}
            Verdict::Items(ref items) => {
                let stall = items.iter().find_map(super::sending::waits).cloned();
                work.take(&verdict);
                match stall {
                    Some(stall) if attempt_number >= ATTEMPTS => return Err(stall),
                    Some(_) => {}
                    None => return Ok(()),
                }
            }
            Verdict::Untimely(ref untimely) if selection.form != Form::Retimed => {
                let forms = forms(&plan.output, work, &selection, untimely);
                if !work.sort(|record| forms.get(&record).copied().unwrap_or(selection.form)) {
                    work.take(&verdict);
                }
                return Ok(());
            }
            verdict => {
                work.take(&verdict);
                return Ok(());
            }
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    Ok(())
}

/// Waits until what was taken is stored.
async fn receive(plan: &Plan, client: &Client, receipt: u64, channel: &str) -> Verdict {
    let mut waited = Duration::ZERO;
    while waited < plan.ack_timeout {
        tokio::time::sleep(ASK).await;
        waited += ASK;
        match super::receipts::ask(&plan.output, client, &[receipt], channel).await {
            Ok(stored) if stored.contains(&receipt) => return Verdict::Accepted,
            Ok(_) => {}
            Err(verdict) => return verdict,
        }
    }
    Verdict::Stall(Stall {
        cause: crate::output::Cause::TimedOut,
        scope: crate::output::Scope::Output,
        retry_after: None,
        text: format!("not acknowledged within {} s", plan.ack_timeout.as_secs()),
    })
}
