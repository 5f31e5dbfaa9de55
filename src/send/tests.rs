use super::*;
use crate::{
    batch::{Batch, Pool},
    model::Sink as _,
    output::{Cause, Scope, Stall, Verdict},
};
use proptest::prelude::*;
use std::{collections::BTreeSet, time::Duration};

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn stall(cause: Cause, retry_after: Option<u64>) -> Stall {
    Stall {
        cause,
        scope: Scope::Output,
        retry_after: retry_after.map(Duration::from_secs),
        text: format!("{cause:?}"),
    }
}

/// What happens at a time, and what is said about it.
#[derive(Debug)]
enum Act {
    Fails(Cause),
    Asks(u64),
    Passes,
}

/// Runs the acts against one output; the words that are said, and the gate after each at that time.
fn check(acts: &[(f64, Act, Option<&str>, Gate)]) {
    let mut health = Health::default();
    for (nth, (at, act, said, gate)) in acts.iter().enumerate() {
        let now = seconds(*at);
        let change = match act {
            Act::Fails(cause) => health.stall(now, &stall(*cause, None), 1.0),
            Act::Asks(after) => health.stall(now, &stall(Cause::RateLimited, Some(*after)), 1.0),
            Act::Passes => health.pass(now),
        };
        let words = change.map(|change| match change {
            Change::Stalled { text, .. } => text,
            Change::Recovered { after, failures } => format!("{:.1} s, {failures}", after.as_secs_f64()),
        });
        assert_eq!(words.as_deref(), *said, "act {nth}");
        assert_eq!(health.gate(now), *gate, "act {nth}");
    }
}

#[test]
fn one_failure_is_not_worth_a_word_and_two_are_one() {
    use Act::{Fails, Passes};
    use Cause::ServerError;
    let wait = |until: f64| Gate::Wait(seconds(until));
    check(&[
        (0.0, Passes, None, Gate::Open),
        (1.0, Fails(ServerError), None, wait(1.25)),
        (1.3, Passes, None, Gate::Open),
        (2.0, Fails(ServerError), None, wait(2.25)),
        (2.25, Fails(ServerError), Some("ServerError"), wait(2.75)),
        (2.75, Fails(ServerError), None, wait(3.75)),
        (3.75, Fails(ServerError), None, wait(5.75)),
        (10.0, Passes, Some("8.0 s, 4"), Gate::Open),
        // The pauses begin anew.
        (11.0, Fails(ServerError), None, wait(11.25)),
    ]);
}

#[test]
fn another_cause_is_another_word() {
    use Act::{Asks, Fails, Passes};
    let wait = |until: f64| Gate::Wait(seconds(until));
    check(&[
        // Somebody has to mend it: said at once.
        (0.0, Fails(Cause::Credentials), Some("Credentials"), wait(0.25)),
        (0.25, Fails(Cause::Credentials), None, wait(0.75)),
        (0.75, Fails(Cause::Unreachable), Some("Unreachable"), wait(1.75)),
        // What was under way when the pause began says nothing new, but a pause that is asked for is kept.
        (1.0, Fails(Cause::Broken), None, wait(1.75)),
        (1.0, Asks(60), None, wait(61.0)),
        (61.0, Asks(5), Some("RateLimited"), wait(66.0)),
        (66.0, Passes, Some("66.0 s, 4"), Gate::Open),
    ]);
}

#[test]
fn a_probe_is_let_through_when_the_pause_is_over() {
    let mut health = Health::default();
    health.stall(Duration::ZERO, &stall(Cause::Broken, None), 0.0);
    // However small chance is, a tenth of the bound is kept.
    assert_eq!(health.gate(Duration::from_millis(24)), Gate::Wait(Duration::from_millis(25)));
    assert_eq!(health.gate(Duration::from_millis(25)), Gate::Probe);
    for _ in 0..100 {
        let Gate::Wait(until) = health.gate(Duration::ZERO) else { panic!("it waits") };
        health.stall(until, &stall(Cause::Broken, None), 1.0);
        let Gate::Wait(next) = health.gate(until) else { panic!("it waits") };
        assert!(next - until <= Duration::from_secs(10));
    }
}

fn batch(records: usize) -> Batch {
    let mut pool = Pool::new(1 << 20);
    let mut batch = Batch::new(0, Duration::ZERO);
    for record in 0..records {
        batch.body.writer(&mut pool).put(record.to_string().as_bytes());
        batch.end_record();
    }
    batch
}

fn refused() -> Verdict {
    Verdict::Refused { reason: "too long".into() }
}

#[test]
fn a_stall_changes_nothing_and_acceptance_settles() {
    let mut work = Work::new(batch(3));
    assert_eq!(work.take(&Verdict::Stall(stall(Cause::TimedOut, None))), None);
    assert_eq!(work.next(), Next::Send(0..3));
    assert_eq!(work.take(&Verdict::Accepted), None);
    assert_eq!(work.next(), Next::Settled);
}

#[test]
fn when_all_are_refused_the_search_ends() {
    let mut work = Work::new(batch(1000));
    let mut requests = 0;
    while let Next::Send(_) = work.next() {
        work.take(&refused());
        requests += 1;
    }
    assert_eq!((work.next(), work.refused().len()), (Next::Held, 16));
    assert!(requests < 64, "{requests}");
    // The next rounds go on where the search ended; the first ones get their turn again after the rest.
    let mut tried = BTreeSet::new();
    for _ in 0..100 {
        work.again();
        while let Next::Send(range) = work.next() {
            tried.extend(range);
            work.take(&refused());
        }
    }
    assert_eq!(tried.len(), 1000);
    // Later all are taken.
    work.again();
    let mut records = BTreeSet::new();
    while let Next::Send(range) = work.next() {
        records.extend(range);
        work.take(&Verdict::Accepted);
    }
    assert_eq!((work.next(), records.len()), (Next::Settled, 1000));
}

proptest! {
    /// Whatever is refused, and however often it stalls: every good record is accepted exactly once, exactly the bad
    /// ones are held, and finding each costs at most 2·log2(n) requests beside the first.
    #[test]
    fn the_bad_ones_are_found(records in 1usize..500, bad in prop::collection::btree_set(0usize..500, 0..6), stalls in any::<u64>()) {
        let bad: BTreeSet<usize> = bad.into_iter().filter(|record| *record < records).collect();
        let mut work = Work::new(batch(records));
        let mut accepted = Vec::new();
        let mut found = BTreeSet::new();
        let mut requests = 0u32;
        let mut chance = stalls;
        while let Next::Send(range) = work.next() {
            chance = chance.rotate_left(1);
            let verdict = if chance & 7 == 7 {
                Verdict::Stall(stall(Cause::ServerError, None))
            } else if range.clone().any(|record| bad.contains(&record)) {
                requests += 1;
                if chance & 8 == 0 { refused() } else { Verdict::TooLarge { reason: "413".into() } }
            } else {
                requests += 1;
                accepted.extend(range.clone());
                Verdict::Accepted
            };
            if let Some(refusal) = work.take(&verdict) {
                prop_assert!(found.insert(refusal.record));
            }
            if requests > 5000 { break; }
        }
        let good: Vec<usize> = (0..records).filter(|record| !bad.contains(record)).collect();
        prop_assert_eq!(accepted, good);
        prop_assert_eq!(&found, &bad);
        let depth = usize::BITS - records.leading_zeros();
        prop_assert!(requests <= 1 + 2 * depth * bad.len() as u32, "{requests}");
        prop_assert_eq!(work.next(), if bad.is_empty() { Next::Settled } else { Next::Held });
    }
}
