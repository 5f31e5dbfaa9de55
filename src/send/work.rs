//! One batch on its way: which of its records are still to be sent, and what an answer does to that.

use crate::{
    batch::{Batch, Form, Selection},
    output::{Item, Untimely, Verdict},
};
use std::collections::{BTreeSet, VecDeque};

/// When this many records of one batch have been refused alone, the rest of it waits with them: something is wrong with
/// all of them, and every search costs requests.
const MAX_SUSPECTS: usize = 16;

/// After so many failures in a row others have their turn.
const MAX_FAILURES: u32 = 3;

/// A batch that fails while nothing at all passes is in so many parts before only the smallest is halved.
const MAX_PARTS: usize = 8;

/// After so many answers in a row that say "too busy" it may be so for one batch only.
const MAX_LIMITS: u32 = 10;

/// A record that the destination refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Its number in the batch.
    pub record: usize,
    /// The destination's words.
    pub reason: String,
}

/// A sealed batch and what is left to do for it.
///
/// ```text
///             Accepted: drop the selection      nothing left
///  ┌─ Send ─────────────────────────────────────────────────────▶ Settled
///  │    │ refused, many records: two halves                          ▲ buried()
///  │    │ refused, one record, the first time: a suspect             │
///  │    ├───────────────────────────────▶ Held ──again()──▶ Send     │
///  │    │ refused again, or one of many by name, in its plainest form│
///  │    └───────────────────────────────────────────────────────▶ Bury
///  └──◀ Stall: the same selection again
/// ```
///
/// **A record is given up only when it was refused twice**, the second time in the plainest form that there is: by name
/// both times, or alone and again after a pause. A destination that refuses whole requests at random for a while buries
/// nothing.
#[derive(Debug)]
pub struct Work {
    /// The records and their bytes.
    pub batch: Batch,
    /// The form in which a record is tried for the last time.
    plainest: Form,
    /// Records that are not accepted yet.
    todo: VecDeque<Selection>,
    /// Records that were refused alone, once, and the form in which they are tried again.
    suspects: Vec<(Refusal, Form)>,
    /// Records that have been suspects.
    tried: BTreeSet<usize>,
    /// Records that are given up, and not yet buried.
    dead: Vec<Refusal>,
    /// How many were buried.
    buried: usize,
    /// How often it was held.
    pub holds: u32,
    /// Whether some of what is to be sent may have been stored by an attempt without an answer.
    is_doubtful: bool,
    /// Of these it was looked up which are stored, and they were not sent since.
    looked_up: Option<Selection>,
    /// How many requests of the output had been accepted when one of it was refused as a whole.
    pub refused_at: Option<u64>,
    /// Whether it was said that a record of it is stuck.
    pub is_said: bool,
    /// Whether it was looked at which of its records are late.
    pub is_sorted: bool,
    /// How often another time than the one that was made for its records had to be made.
    pub bases: u32,
    /// Attempts in a row that failed through no fault that was named.
    failures: u32,
    /// Attempts in a row for which the destination was too busy.
    limits: u32,
    /// How many requests of the output had passed when it last failed too often.
    passes: Option<u64>,
    /// Parts of it that were to be sent when another one passed, and have not failed too often since.
    shown: usize,
}

/// What to do with a [`Work`] after an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The same again.
    Again,
    /// Others should have their turn before it.
    Later,
    /// It is down to one record, by its number in the batch, that fails while all others pass.
    Alone(usize),
}

/// What to do with a [`Work`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send these records.
    Send(Selection),
    /// Put [`Work::dead`] into the dead letters, then call [`Work::bury`].
    Bury,
    /// Every record is accepted or buried.
    Settled,
    /// What is left was refused: wait, then [`Work::again`].
    Held,
}

impl Work {
    /// All of `batch` is to be sent; `plainest`: the form of the last attempt with a record.
    pub fn new(batch: Batch, plainest: Form) -> Work {
        let all = Selection::of(0..batch.records(), Form::Full);
        let mut todo = VecDeque::new();
        todo.extend((!all.is_empty()).then_some(all));
        Work {
            is_doubtful: batch.is_doubtful,
            batch,
            plainest,
            todo,
            suspects: Vec::new(),
            tried: BTreeSet::new(),
            dead: Vec::new(),
            buried: 0,
            holds: 0,
            looked_up: None,
            refused_at: None,
            is_said: false,
            is_sorted: false,
            bases: 0,
            failures: 0,
            limits: 0,
            passes: None,
            shown: 0,
        }
    }

    /// What to do now.
    pub fn next(&self) -> Next {
        match self.todo.front() {
            _ if !self.dead.is_empty() => Next::Bury,
            Some(selection) if self.suspects.len() < MAX_SUSPECTS => Next::Send(selection.clone()),
            _ if self.suspects.is_empty() => Next::Settled,
            _ => Next::Held,
        }
    }

    /// Takes in the verdict on the selection that [`Work::next`] named.
    pub fn take(&mut self, verdict: &Verdict) {
        if matches!(verdict, Verdict::Stall(_) | Verdict::Queued { .. }) {
            return;
        }
        let Some(sent) = self.todo.pop_front() else { return };
        // In a row: one that passes ends it.
        let is_pass = |items: &[Item]| items.contains(&Item::Stored);
        if matches!(verdict, Verdict::Accepted) || matches!(verdict, Verdict::Items(items) if is_pass(items)) {
            (self.failures, self.limits) = (0, 0);
            self.shown = if self.passes.is_some() { self.todo.len() } else { 0 };
        }
        match verdict {
            Verdict::Accepted => self.holds = 0,
            Verdict::Stall(_) | Verdict::Queued { .. } => {}
            Verdict::Untimely(Untimely { reason, .. }) if sent.len() == 1 => self.refused_alone(&sent, reason),
            Verdict::Refused { reason } | Verdict::TooLarge { reason } if sent.len() == 1 => {
                self.refused_alone(&sent, reason);
            }
            Verdict::Refused { .. } | Verdict::TooLarge { .. } | Verdict::Untimely(_) => {
                let (first, second) = sent.split_at(sent.len() / 2);
                self.front(second);
                self.front(first);
            }
            // It says nothing about any of them.
            Verdict::RefusedAt { nth, .. } if *nth >= sent.len() => self.front(sent),
            Verdict::RefusedAt { nth, is_before_stored, reason } => {
                let (before, rest) = sent.split_at(*nth);
                let (one, after) = rest.split_at(1);
                self.front(after);
                if !is_before_stored {
                    self.front(before);
                }
                match one.form == self.plainest {
                    true => self.refused_alone(&one, reason),
                    // It is named: nothing has to be found out before it is tried more plainly.
                    false => self.front(Selection::from_iter(one.records(), self.plainest)),
                }
            }
            Verdict::Items(items) => self.judged(&sent, items),
        }
    }

    /// The form of each record of the selection that [`Work::next`] named is this from now on. `false`: it is what it
    /// was, for all of them.
    pub fn sort(&mut self, form: impl Fn(usize) -> Form) -> bool {
        let Some(front) = self.todo.pop_front() else { return false };
        let mut sorted: Vec<(Form, Vec<usize>)> = Vec::new();
        for record in front.records() {
            let form = form(record);
            match sorted.iter_mut().find(|(other, _)| *other == form) {
                Some((_, records)) => records.push(record),
                None => sorted.push((form, vec![record])),
            }
        }
        let is_news = sorted.iter().any(|(form, _)| *form != front.form);
        for (form, records) in sorted {
            self.front(Selection::from_iter(records, form));
        }
        is_news
    }

    /// The destination was too busy for it, which it is for all; but if that does not end, it may be so for this one only
    /// (more bytes than its tenant may send at once, a part of an index), and then it is like any other failure.
    pub fn limited(&mut self, passes: u64) -> Failed {
        self.limits += 1;
        match if self.limits < MAX_LIMITS { Failed::Again } else { self.failed(passes) } {
            // One record cannot be made smaller.
            Failed::Alone(_) => Failed::Later,
            other => other,
        }
    }

    /// An attempt failed, and nobody said that it is its fault; `passes` requests of the output have passed so far. When
    /// others pass again and again and this one does not, it is its fault after all (Loki answers 500 to a push that is too
    /// large for its ingester): it is halved. When nothing passes at all, it may be all that there is: parts of it are tried,
    /// of which one that passes shows that the destination works. Few, so that an outage ends without a crowd of small
    /// requests.
    pub fn failed(&mut self, passes: u64) -> Failed {
        self.failures += 1;
        if self.failures < MAX_FAILURES {
            return Failed::Again;
        }
        self.failures = 0;
        let before = self.passes.replace(passes);
        let is_its_fault = self.shown > 0 || before.is_some_and(|before| before < passes);
        self.shown = self.shown.saturating_sub(1);
        let Some(front) = self.todo.pop_front() else { return Failed::Later };
        // Of so many parts only the smallest: each of them may have a record that fails.
        let is_smallest = || self.todo.iter().all(|other| front.len() <= other.len());
        let may_be_parted = before.is_some() && (self.todo.len() + 1 < MAX_PARTS || is_smallest());
        // Behind the others, which have not been tried.
        if front.len() > 1 && (is_its_fault || may_be_parted) {
            let (first, second) = front.split_at(front.len() / 2);
            self.todo.extend([first, second]);
            return Failed::Later;
        }
        let is_down_to_single = front.len() == 1 && self.todo.iter().all(|other| other.len() == 1);
        let record = front.records().next().filter(|_| is_its_fault && is_down_to_single);
        self.todo.push_back(front);
        record.map_or(Failed::Later, Failed::Alone)
    }

    /// Whether an attempt failed, as far as is known not by its own fault.
    pub fn has_failed(&self) -> bool {
        self.failures > 0 || self.passes.is_some()
    }

    /// Some of what is to be sent may be stored already.
    pub fn doubt(&mut self) {
        self.is_doubtful = true;
        self.looked_up = None;
    }

    /// Whether it is to be looked up first which records of this selection are stored.
    pub fn needs_look_up(&self, selection: &Selection) -> bool {
        self.is_doubtful && self.looked_up.as_ref() != Some(selection)
    }

    /// What was found out about the selection that [`Work::next`] named: which of its records are stored.
    pub fn known(&mut self, stored: &[bool]) {
        let Some(front) = self.todo.front().filter(|front| front.len() == stored.len()) else { return };
        let left = front.records().zip(stored).filter(|(_, is_stored)| !**is_stored).map(|(record, _)| record);
        let left = Selection::from_iter(left, front.form);
        self.todo.pop_front();
        self.front(left.clone());
        self.looked_up = Some(left);
    }

    /// Gives up these records, of those that are still to be sent or were refused, for this reason.
    pub fn condemn(&mut self, records: &BTreeSet<usize>, reason: &str) {
        let mut condemned: BTreeSet<usize> = BTreeSet::new();
        self.suspects.retain(|(one, _)| !(records.contains(&one.record) && condemned.insert(one.record)));
        for selection in std::mem::take(&mut self.todo) {
            condemned.extend(selection.records().filter(|record| records.contains(record)));
            let rest = selection.records().filter(|record| !records.contains(record));
            let rest = Selection::from_iter(rest, selection.form);
            self.todo.extend((!rest.is_empty()).then_some(rest));
        }
        self.dead.extend(condemned.into_iter().map(|record| Refusal { record, reason: reason.to_owned() }));
    }

    /// Each record has its own verdict.
    fn judged(&mut self, sent: &Selection, items: &[Item]) {
        if items.len() != sent.len() {
            // It says nothing about the others: send them all again.
            return self.front(sent.clone());
        }
        let judged = || sent.records().zip(items);
        let again = judged().filter(|(_, item)| matches!(item, Item::Again(_))).map(|(record, _)| record);
        let again = Selection::from_iter(again, sent.form);
        let refused = judged().filter_map(|(record, item)| match item {
            Item::Refused { reason } => Some(Refusal { record, reason: reason.clone() }),
            Item::Stored | Item::Again(_) => None,
        });
        if sent.form == self.plainest {
            self.dead.extend(refused);
        } else {
            let plain = Selection::from_iter(refused.map(|refusal| refusal.record), self.plainest);
            self.front(plain);
        }
        self.front(again);
    }

    fn refused_alone(&mut self, one: &Selection, reason: &str) {
        let Some(record) = one.records().next() else { return };
        let refusal = Refusal { record, reason: reason.to_owned() };
        // A form that stands for a time is as plain as it gets.
        let is_plainest = one.form == self.plainest || !matches!(one.form, Form::Full);
        if self.tried.insert(record) || !is_plainest {
            let form = if is_plainest { one.form } else { self.plainest };
            self.suspects.push((refusal, form));
        } else {
            self.dead.push(refusal);
        }
    }

    fn front(&mut self, selection: Selection) {
        if !selection.is_empty() {
            self.todo.push_front(selection);
        }
    }

    /// The suspects are to be sent again.
    pub fn again(&mut self) {
        self.holds = self.holds.saturating_add(1);
        // Behind what has not been tried yet: what is refused for good must not keep the rest from its turn.
        let suspects = self.suspects.drain(..).map(|(one, form)| Selection::of(one.record..one.record + 1, form));
        self.todo.extend(suspects);
    }

    /// The records that are not accepted, whatever becomes of them.
    pub fn left(&self) -> BTreeSet<usize> {
        let todo = self.todo.iter().flat_map(Selection::records);
        let refused = self.suspects().chain(&self.dead).map(|refusal| refusal.record);
        todo.chain(refused).collect()
    }

    /// The records that were refused alone.
    pub fn suspects(&self) -> impl DoubleEndedIterator<Item = &Refusal> + ExactSizeIterator {
        self.suspects.iter().map(|(refusal, _)| refusal)
    }

    /// The records that are given up.
    pub fn dead(&self) -> &[Refusal] {
        &self.dead
    }

    /// They are in the dead letters.
    pub fn bury(&mut self) {
        self.buried += self.dead.len();
        self.holds = 0;
        self.dead.clear();
    }

    /// How many records are in the dead letters.
    pub fn buried(&self) -> usize {
        self.buried
    }
}
