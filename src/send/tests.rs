use super::*;
use crate::{
    batch::{Batch, Form, Pool, Selection},
    model::Sink as _,
    output::{Cause, Item, Scope, Stall, Verdict},
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

fn all(records: usize) -> Selection {
    Selection::of(0..records, Form::Full)
}

#[test]
fn a_stall_changes_nothing_and_acceptance_settles() {
    let mut work = Work::new(batch(3), Form::Full);
    work.take(&Verdict::Stall(stall(Cause::TimedOut, None)));
    assert_eq!(work.next(), Next::Send(all(3)));
    work.take(&Verdict::Queued { receipt: 1 });
    assert_eq!(work.next(), Next::Send(all(3)));
    // It does not say which.
    work.take(&Verdict::Items(vec![Item::Stored; 2]));
    assert_eq!(work.next(), Next::Send(all(3)));
    work.take(&Verdict::Accepted);
    assert_eq!(work.next(), Next::Settled);
}

#[test]
fn items_are_sent_again_each_as_it_needs() {
    let mut work = Work::new(batch(5), Form::Plain);
    let busy = || Item::Again(stall(Cause::RateLimited, None));
    let bad = || Item::Refused { reason: "HTTP 400".into() };
    work.take(&Verdict::Items(vec![Item::Stored, busy(), bad(), busy(), bad()]));
    assert_eq!(work.next(), Next::Send(Selection::from_iter([1, 3], Form::Full)));
    work.take(&Verdict::Items(vec![Item::Stored, busy()]));
    assert_eq!(work.next(), Next::Send(Selection::from_iter([3], Form::Full)));
    work.take(&Verdict::Accepted);
    assert_eq!(work.next(), Next::Send(Selection::from_iter([2, 4], Form::Plain)));
    work.take(&Verdict::Items(vec![Item::Stored, bad()]));
    assert_eq!((work.next(), work.dead().len(), work.dead()[0].record), (Next::Bury, 1, 4));
    work.bury();
    assert_eq!((work.next(), work.buried()), (Next::Settled, 1));
}

#[test]
fn when_all_are_refused_the_search_ends() {
    let mut work = Work::new(batch(1000), Form::Full);
    let mut requests = 0;
    while let Next::Send(_) = work.next() {
        work.take(&refused());
        requests += 1;
    }
    assert_eq!((work.next(), work.suspects().count(), work.dead().len()), (Next::Held, 16, 0));
    assert!(requests < 64, "{requests}");
    // The next rounds go on where the search ended; the first ones get their turn again after the rest.
    let mut tried = BTreeSet::new();
    for _ in 0..50 {
        work.again();
        while let Next::Send(selection) = work.next() {
            tried.extend(selection.records());
            work.take(&refused());
        }
    }
    assert_eq!((tried.len(), work.buried()), (984, 0));
    // Later all are taken.
    work.again();
    let mut records = BTreeSet::new();
    while let Next::Send(selection) = work.next() {
        records.extend(selection.records());
        work.take(&Verdict::Accepted);
    }
    assert_eq!((work.next(), records.len()), (Next::Settled, 1000));
}

/// How a destination says that it refuses some.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// All or nothing.
    Whole,
    /// One by one.
    Items,
    /// It stops at the first; whether those before it are stored.
    First(bool),
}

proptest! {
    /// Whatever is refused, however that is said, and however often it stalls: every good record is accepted exactly
    /// once, exactly the bad ones are buried, and finding each costs at most 2·log2(n)+2 requests beside the first.
    #[test]
    fn the_bad_ones_are_found(
        records in 1usize..500,
        bad in prop::collection::btree_set(0usize..500, 0..6),
        way in prop::sample::select(vec![Way::Whole, Way::Items, Way::First(true), Way::First(false)]),
        plainest in prop::sample::select(vec![Form::Full, Form::Plain]),
        stalls in any::<u64>(),
    ) {
        let bad: BTreeSet<usize> = bad.into_iter().filter(|record| *record < records).collect();
        let mut work = Work::new(batch(records), plainest);
        let (mut accepted, mut buried) = (Vec::new(), Vec::new());
        let mut requests = 0u32;
        let mut chance = stalls;
        loop {
            prop_assert!(requests < 5000);
            let selection = match work.next() {
                Next::Send(selection) => selection,
                Next::Held => {
                    work.again();
                    continue;
                }
                Next::Bury => {
                    prop_assert!(work.dead().iter().all(|dead| !dead.reason.is_empty()));
                    buried.extend(work.dead().iter().map(|dead| dead.record));
                    work.bury();
                    continue;
                }
                Next::Settled => break,
            };
            chance = chance.rotate_left(1);
            if chance & 7 == 7 {
                work.take(&Verdict::Stall(stall(Cause::ServerError, None)));
                continue;
            }
            requests += 1;
            let sent: Vec<usize> = selection.records().collect();
            let verdict = match (sent.iter().position(|record| bad.contains(record)), way) {
                (None, _) => {
                    accepted.extend(sent);
                    Verdict::Accepted
                }
                (Some(_), Way::Whole) if chance & 8 == 0 => refused(),
                (Some(_), Way::Whole) => Verdict::TooLarge { reason: "413".into() },
                (Some(_), Way::Items) => {
                    accepted.extend(sent.iter().filter(|record| !bad.contains(record)));
                    let item = |record: &usize| match bad.contains(record) {
                        true => Item::Refused { reason: "HTTP 400".into() },
                        false => Item::Stored,
                    };
                    Verdict::Items(sent.iter().map(item).collect())
                }
                (Some(nth), Way::First(is_before_stored)) => {
                    if is_before_stored {
                        accepted.extend(&sent[..nth]);
                    }
                    Verdict::RefusedAt { nth, is_before_stored, reason: "HTTP 400".into() }
                }
            };
            work.take(&verdict);
        }
        accepted.sort_unstable();
        let good: Vec<usize> = (0..records).filter(|record| !bad.contains(record)).collect();
        prop_assert_eq!(accepted, good);
        buried.sort_unstable();
        prop_assert_eq!(buried, bad.iter().copied().collect::<Vec<_>>());
        prop_assert_eq!(work.buried(), bad.len());
        let depth = usize::BITS - records.leading_zeros();
        prop_assert!(requests <= 1 + (2 * depth + 2) * bad.len() as u32, "{requests}");
    }
}

/// Sends until all is accepted, or until one is found to fail while others pass. Returns that one, and how many requests
/// it took.
fn send(work: &mut Work, passes: &mut u64, fails: impl Fn(&Selection) -> bool) -> (Option<usize>, usize) {
    for requests in 0..10_000 {
        let Next::Send(selection) = work.next() else { return (None, requests) };
        match fails(&selection) {
            true => {
                if let Failed::Alone(record) = work.failed(*passes) {
                    return (Some(record), requests);
                }
            }
            false => {
                *passes += 1;
                work.take(&Verdict::Accepted);
            }
        }
    }
    panic!("it does not end")
}

#[test]
fn what_fails_for_ever_is_found_where_there_is_nothing_else_that_could_pass() {
    for poison in [0, 1, 137, 255, 298, 299] {
        let mut work = Work::new(batch(300), Form::Full);
        let (found, requests) = send(&mut work, &mut 0, |selection| selection.records().any(|one| one == poison));
        assert_eq!(found, Some(poison));
        assert!(requests < 80, "{requests}");
    }
    // More than the destination takes at once.
    let mut work = Work::new(batch(300), Form::Full);
    assert_eq!(send(&mut work, &mut 0, |selection| selection.len() > 60).0, None);
}

#[test]
fn after_a_long_outage_a_batch_is_still_a_few_requests() {
    let mut most = 0;
    for failures in 0..500 {
        let mut work = Work::new(batch(300), Form::Full);
        (0..failures).for_each(|_| assert!(!matches!(work.failed(7), Failed::Alone(_))));
        let (found, requests) = send(&mut work, &mut 7, |_| false);
        assert_eq!((found, work.next()), (None, Next::Settled));
        most = most.max(requests);
    }
    assert!((8..=16).contains(&most), "{most}");
}

#[test]
fn many_records_that_fail_are_found_where_there_is_nothing_else_that_could_pass() {
    let mut work = Work::new(batch(300), Form::Full);
    let (found, _) = send(&mut work, &mut 0, |selection| selection.records().any(|one| one % 10 == 3));
    assert_eq!(found.map(|one| one % 10), Some(3));
}

#[test]
fn failures_that_are_not_in_a_row_are_nobodys_fault() {
    let mut work = Work::new(batch(8), Form::Full);
    // An outage, until each is alone.
    (0..201).for_each(|_| _ = work.failed(0));
    let mut passes = 0;
    // Each fails twice, and then passes.
    while let Next::Send(_) = work.next() {
        for _ in 0..2 {
            passes += 1;
            assert!(!matches!(work.failed(passes), Failed::Alone(_)));
        }
        work.take(&Verdict::Accepted);
    }
}

#[test]
fn a_destination_that_is_too_busy_for_one_batch_for_ever_gets_parts_of_it() {
    let mut work = Work::new(batch(300), Form::Full);
    let mut limited = 0;
    while let Next::Send(selection) = work.next() {
        match selection.len() > 100 {
            true => {
                limited += 1;
                work.limited(0);
            }
            false => work.take(&Verdict::Accepted),
        }
    }
    assert!((20..40).contains(&limited), "{limited}");
}
