//! Reads a time as sources write it: RFC 3339 text, or a number since 1970.

use crate::model::{Nanos, Stamp};

/// 1990-01-01T00:00:00Z. A number that means an earlier time in every unit is not a time.
const EARLIEST: i128 = 631_152_000 * 1_000_000_000;

/// The time that `text` says, or `None` when it says none, or not its zone, or one that [`Nanos`] cannot hold.
///
/// - RFC 3339: `2023-11-14T22:13:20.123Z`, also with `t`, a space, `z`, a decimal comma, or
///   an offset instead of `Z`. Digits after the ninth are cut.
/// - A number of seconds, milliseconds, microseconds or nanoseconds since 1970, also with decimals or an exponent.
///   The unit is the one that puts it between 1990 and April 2262: seconds from 631152000 to 9223372036,
///   milliseconds from 631152000000 to 9223372036854, and so on. These ranges do not touch.
pub(super) fn stamp(text: &str) -> Option<Stamp> {
    match text.as_bytes().get(4) {
        Some(b'-') => rfc3339(text),
        _ => epoch(text),
    }
}

fn rfc3339(text: &str) -> Option<Stamp> {
    // jiff takes more than RFC 3339, such as times without seconds, whose precision would be a guess.
    let bytes = text.as_bytes();
    let shape = |at: usize, byte: u8| bytes.get(at) == Some(&byte);
    if !(shape(7, b'-') && shape(13, b':') && shape(16, b':')) {
        return None;
    }
    let digits = match bytes.get(19)? {
        b'.' | b',' => bytes.get(20..)?.iter().take_while(|byte| byte.is_ascii_digit()).count(),
        _ => 0,
    };
    let cut;
    let text = match digits {
        0..=9 => text,
        _ => {
            cut = format!("{}{}", text.get(..29)?, text.get(20 + digits..)?);
            &cut
        }
    };
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(Stamp { time: Nanos(i64::try_from(time.as_nanosecond()).ok()?), unit: unit(digits) })
}

/// What the last of `digits` fractional digits of a second counts, in nanoseconds.
fn unit(digits: usize) -> i64 {
    (digits..9).fold(1, |unit, _| unit * 10)
}

fn epoch(text: &str) -> Option<Stamp> {
    let (value, decimals) = decimal(text)?;
    let divisor = 10_i128.checked_pow(decimals)?;
    [1_000_000_000, 1_000_000, 1_000, 1].into_iter().find_map(|unit| {
        let time = value.checked_mul(unit)? / divisor;
        if time < EARLIEST {
            return None;
        }
        let unit = i64::try_from((unit / divisor).max(1)).ok()?;
        Some(Stamp { time: Nanos(i64::try_from(time).ok()?), unit })
    })
}

/// The exact value of a number without sign: its digits as a whole number, and how many of them are decimals.
/// Decimals after the 27th digit are cut: they are far below a nanosecond.
fn decimal(text: &str) -> Option<(i128, u32)> {
    let (digits, exponent) = match text.split_once(['e', 'E']) {
        Some((digits, exponent)) => (digits, exponent.parse::<i8>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = match digits.split_once('.') {
        Some((_, "")) => return None,
        Some(both) => both,
        None => (digits, ""),
    };
    if whole.is_empty() || whole.len() > 27 || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction = fraction.get(..27 - whole.len()).unwrap_or(fraction);
    let value = whole.bytes().chain(fraction.bytes()).fold(0, |value, digit| 10 * value + i128::from(digit - b'0'));
    // At most 27 digits.
    let decimals = fraction.len() as i32 - i32::from(exponent);
    match u32::try_from(decimals) {
        Ok(decimals) => Some((value, decimals)),
        Err(_) => Some((value.checked_mul(10_i128.checked_pow(decimals.unsigned_abs())?)?, 0)),
    }
}
