//! How fast an output may send. Pure: the clock comes in.

use std::time::Duration;

/// A token bucket: so much a second, and after a rest at most so much at once.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    per_second: f64,
    burst: f64,
    /// What may be spent now; below 0 what was spent ahead.
    left: f64,
    /// When `left` was that.
    at: Duration,
}

impl Pace {
    /// `per_second` units, and at most `burst` at once; full at the start.
    pub fn new(per_second: f64, burst: f64) -> Pace {
        Pace { per_second, burst, left: burst, at: Duration::ZERO }
    }

    /// When something may be spent: `now`, or later.
    pub fn ready(&self, now: Duration) -> Duration {
        let left = self.left_at(now);
        if left >= 0.0 { now } else { now + Duration::from_secs_f64((-left / self.per_second).min(3600.0)) }
    }

    /// So much is spent, also when there is less: what follows waits for it.
    pub fn spend(&mut self, now: Duration, amount: f64) {
        self.left = self.left_at(now) - amount;
        self.at = now;
    }

    /// Whether it is as if nothing had ever been spent.
    pub fn is_full(&self, now: Duration) -> bool {
        self.left_at(now) >= self.burst
    }

    fn left_at(&self, now: Duration) -> f64 {
        (self.left + now.saturating_sub(self.at).as_secs_f64() * self.per_second).min(self.burst)
    }
}

/// How many requests may be under way: one more with every round of requests that passes, half as many when the destination
/// has too much to do (additive increase, multiplicative decrease, as in TCP).
#[derive(Clone, Copy, Debug)]
pub struct Concurrency {
    most: f64,
    now: f64,
}

impl Concurrency {
    /// At most `most`, which is where it begins.
    pub fn new(most: usize) -> Concurrency {
        Concurrency { most: most as f64, now: most as f64 }
    }

    /// As many, at least one.
    pub fn limit(&self) -> usize {
        // Between 1 and 64.
        self.now as usize
    }

    /// A request passed.
    pub fn passed(&mut self) {
        self.now = (self.now + 1.0 / self.now).min(self.most);
    }

    /// The destination is too busy.
    pub fn halve(&mut self) {
        self.now = (self.now / 2.0).max(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn what_is_spent_ahead_is_waited_for() {
        let mut pace = Pace::new(10.0, 20.0);
        assert!(pace.is_full(Duration::ZERO));
        pace.spend(seconds(1.0), 20.0);
        assert_eq!((pace.ready(seconds(1.0)), pace.is_full(seconds(1.0))), (seconds(1.0), false));
        pace.spend(seconds(1.0), 15.0);
        assert_eq!(pace.ready(seconds(1.0)), seconds(2.5));
        assert_eq!(pace.ready(seconds(2.5)), seconds(2.5));
        assert!(pace.is_full(seconds(5.0)));
    }

    #[test]
    fn concurrency_falls_fast_and_rises_slowly() {
        let mut concurrency = Concurrency::new(8);
        assert_eq!(concurrency.limit(), 8);
        concurrency.halve();
        assert_eq!(concurrency.limit(), 4);
        (0..5).for_each(|_| concurrency.passed());
        assert_eq!(concurrency.limit(), 5);
        (0..10).for_each(|_| concurrency.halve());
        assert_eq!(concurrency.limit(), 1);
        (0..100).for_each(|_| concurrency.passed());
        assert_eq!(concurrency.limit(), 8);
    }

    proptest! {
        /// Whoever waits until it is ready never spends more than the rate and one burst, and one amount.
        #[test]
        fn the_rate_is_kept(amounts in prop::collection::vec(1u32..50, 1..100)) {
            let mut pace = Pace::new(10.0, 20.0);
            let (mut now, mut spent) = (Duration::ZERO, 0.0);
            for amount in amounts {
                now = pace.ready(now);
                pace.spend(now, f64::from(amount));
                spent += f64::from(amount);
                prop_assert!(spent <= 20.0 + now.as_secs_f64() * 10.0 + f64::from(amount) + 0.001);
            }
        }
    }
}
