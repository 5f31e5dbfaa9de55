//! Times as the destinations keep them: whole nanoseconds since 1970.

use std::fmt;

/// A time in nanoseconds since 1970-01-01T00:00:00Z; reaches from 1677 to 2262, which is what Loki and
/// Elasticsearch's `date_nanos` can order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub i64);

impl Nanos {
    /// Nanoseconds in a second.
    pub const SECOND: i64 = 1_000_000_000;
    /// Nanoseconds in a millisecond.
    pub const MILLI: i64 = 1_000_000;

    /// Seconds since 1970, and the nanoseconds after them, as a file system keeps times.
    pub fn at(seconds: i64, nanoseconds: i64) -> Nanos {
        Nanos(seconds.saturating_mul(Self::SECOND).saturating_add(nanoseconds))
    }

    /// Whole seconds since 1970, rounded down.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(Self::SECOND)
    }

    /// The nanoseconds within the second, 0 to 999,999,999.
    pub fn subsec(self) -> i32 {
        // The remainder of a division by 10^9 always fits.
        self.0.rem_euclid(Self::SECOND) as i32
    }
}

impl fmt::Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(time) => write!(f, "{time}"),
            Err(_) => write!(f, "{}ns", self.0),
        }
    }
}

/// A time as a source wrote it: the value and how fine it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The time, its digits below `unit` zero.
    pub time: Nanos,
    /// The source's own precision in nanoseconds: 1 for nine fractional digits, 1,000,000 for milliseconds,
    /// 1,000,000,000 for whole seconds. Never 0.
    pub unit: i64,
}

impl Stamp {
    /// The time with the digits below the source's precision taken from `salt` (hash of the file + offset), so
    /// that equal lines of one second from two files stay two records at a destination that keeps one of two
    /// equal (time, line) pairs. The same `salt` always gives the same time.
    pub fn filled(self, salt: u64) -> Nanos {
        if self.unit <= 1 {
            return self.time;
        }
        // A remainder below a positive i64 fits an i64.
        let fill = (salt % self.unit.unsigned_abs()) as i64;
        Nanos(self.time.0.saturating_add(fill))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filling_stays_inside_the_written_unit() {
        fn check(time: i64, unit: i64, salt: u64, expect: i64) {
            assert_eq!(Stamp { time: Nanos(time), unit }.filled(salt), Nanos(expect));
        }
        check(5, 1, 77, 5);
        check(3_000_000, Nanos::MILLI, 1_000_007, 3_000_007);
        check(2_000_000_000, Nanos::SECOND, u64::MAX, 2_709_551_615);
    }

    #[test]
    fn seconds_and_nanoseconds_of_times_before_1970() {
        assert_eq!((Nanos(-1).seconds(), Nanos(-1).subsec()), (-1, 999_999_999));
        assert_eq!((Nanos(1_500_000_000).seconds(), Nanos(1_500_000_000).subsec()), (1, 500_000_000));
    }
}
