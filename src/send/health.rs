//! Whether an output (or one stream of it) flows or waits, and for how long. Pure: the clock and chance come in.

use crate::output::{Cause, Stall};
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use std::time::Duration;

/// The first pause is at most this …
const FIRST: Duration = Duration::from_millis(250);
/// … and they double up to this, so that an output is back within 15 s of its cause being mended.
const LONGEST: Duration = Duration::from_secs(10);
/// One failure is not worth a word; it is the second in a row that makes a stall.
const ANNOUNCED_AFTER: u32 = 2;

/// ```text
///            stall                      success
///  Flowing ────────▶ Stalled ─────────────────────▶ Flowing
///                     │  ▲
///                     └──┘ stall after the pause: a longer pause
/// ```
#[derive(Debug, Default)]
pub struct Health {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Flowing,
    Stalled(Box<Stalled>),
}

#[derive(Debug)]
struct Stalled {
    cause: Cause,
    text: String,
    since: Duration,
    /// Failures after which a pause began.
    failures: u32,
    /// No request before this.
    until: Duration,
    is_announced: bool,
    pauses: ExponentialBackoff,
}

/// Whether a request may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// As many as the concurrency allows.
    Open,
    /// One, to see whether it passes; none beside it.
    Probe,
    /// None before this time.
    Wait(Duration),
}

/// A change of state that is worth a line in the log. There is none per retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It waits, or waits for another reason than before.
    Stalled {
        /// Why.
        cause: Cause,
        /// In the destination's words.
        text: String,
    },
    /// It flows again.
    Recovered {
        /// How long it waited.
        after: Duration,
        /// How many attempts failed.
        failures: u32,
    },
}

impl Health {
    /// Whether a request may go out at `now`.
    pub fn gate(&self, now: Duration) -> Gate {
        match &self.state {
            State::Flowing => Gate::Open,
            State::Stalled(stalled) if now < stalled.until => Gate::Wait(stalled.until),
            State::Stalled(_) => Gate::Probe,
        }
    }

    /// Why it waits, if it does.
    pub fn stalled(&self) -> Option<&str> {
        match &self.state {
            State::Stalled(stalled) => Some(&stalled.text),
            State::Flowing => None,
        }
    }

    /// A request stalled. `chance` is 0 to 1: the pause is that share of its bound ("full jitter"), but never so
    /// short that retries run hot.
    pub fn stall(&mut self, now: Duration, stall: &Stall, chance: f64) -> Option<Change> {
        if let State::Flowing = self.state {
            self.state = State::Stalled(Box::new(Stalled {
                cause: stall.cause,
                text: stall.text.clone(),
                since: now,
                failures: 0,
                until: now,
                is_announced: false,
                pauses: pauses(),
            }));
        }
        let State::Stalled(stalled) = &mut self.state else { return None };
        let asked = now.saturating_add(stall.retry_after.unwrap_or_default());
        if now < stalled.until {
            // Sent before the pause began: it says nothing new.
            stalled.until = stalled.until.max(asked);
            return None;
        }
        stalled.failures = stalled.failures.saturating_add(1);
        let bound = stalled.pauses.next().unwrap_or(LONGEST);
        let pause = bound.mul_f64(chance.clamp(0.1, 1.0));
        stalled.until = now.saturating_add(pause).max(asked);
        let is_news = stalled.cause != stall.cause || !stalled.is_announced;
        let is_due = stalled.failures >= ANNOUNCED_AFTER || never_passes_alone(stall.cause);
        stalled.cause = stall.cause;
        stalled.text.clone_from(&stall.text);
        if !(is_news && is_due) {
            return None;
        }
        stalled.is_announced = true;
        Some(Change::Stalled { cause: stall.cause, text: stall.text.clone() })
    }

    /// A request passed.
    pub fn pass(&mut self, now: Duration) -> Option<Change> {
        match std::mem::take(&mut self.state) {
            State::Stalled(stalled) if stalled.is_announced => {
                Some(Change::Recovered { after: now.saturating_sub(stalled.since), failures: stalled.failures })
            }
            State::Flowing | State::Stalled(_) => None,
        }
    }
}

/// Causes that somebody has to mend: said at the first failure.
fn never_passes_alone(cause: Cause) -> bool {
    matches!(cause, Cause::Credentials | Cause::Setup | Cause::Tls | Cause::Blocked | Cause::Unexpected)
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(FIRST)
        .with_max_delay(LONGEST)
        .with_factor(2.0)
        .without_max_times()
        .build()
}
