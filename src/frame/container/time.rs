//! The times of container runtimes: RFC 3339 with any number of fractional digits, in UTC or with an offset.

use crate::model::{Nanos, Stamp};

/// The length of the time that `bytes` begin with: `2024-01-02T03:04:05`, a point and digits or nothing, `Z` or an
/// offset such as `+01:00`. Only the shape is looked at: a thirteenth month has it too.
pub(super) fn shape(bytes: &[u8]) -> Option<usize> {
    const SEPARATED: usize = 19;
    let fixed = bytes.get(..SEPARATED)?;
    if !(has_shape(&fixed[..8], *b"0000-00-") && has_shape(&fixed[8..16], *b"00T00:00")) {
        return None;
    }
    if fixed[16] != b':' || !fixed[17].is_ascii_digit() || !fixed[18].is_ascii_digit() {
        return None;
    }
    let mut at = SEPARATED;
    if bytes.get(at) == Some(&b'.') {
        let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        at += 1 + digits;
    }
    match bytes.get(at)? {
        b'Z' => Some(at + 1),
        b'+' | b'-' => match bytes.get(at + 1..at + 6)? {
            [a, b, b':', c, d] if [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()) => Some(at + 6),
            _ => None,
        },
        _ => None,
    }
}

/// Whether eight bytes are those of `shape`, where a `0` in it stands for any digit. All of them at once: this is
/// done for every line.
fn has_shape(bytes: &[u8], shape: [u8; 8]) -> bool {
    let Some(bytes) = bytes.first_chunk() else { return false };
    let shape = u64::from_le_bytes(shape);
    // Digits become 0 to 9, and what is no digit in the shape becomes 0, when it is right.
    let differs = u64::from_le_bytes(*bytes) ^ shape;
    let digits = is_zero_digit(shape);
    let over_nine = differs.wrapping_add(0x7676_7676_7676_7676) | differs;
    differs & !digits == 0 && over_nine & 0x8080_8080_8080_8080 == 0
}

/// 0xFF in each byte where `shape` has a `0`.
const fn is_zero_digit(shape: u64) -> u64 {
    let bytes = shape.to_le_bytes();
    let mut mask = [0; 8];
    let mut index = 0;
    while index < 8 {
        if bytes[index] == b'0' {
            mask[index] = 0xFF;
        }
        index += 1;
    }
    u64::from_le_bytes(mask)
}

/// The time that `text` is, with the precision that its digits have: runtimes that trim zeros make it coarser than
/// it was. `None` when it has not the shape, or is a time that there is not or that [`Nanos`] cannot hold. Digits after
/// the ninth are cut.
pub(super) fn stamp(text: &[u8]) -> Option<Stamp> {
    if shape(text) != Some(text.len()) {
        return None;
    }
    let number = |from: usize, to: usize| {
        text.get(from..to)?
            .iter()
            .try_fold(0_i64, |number, digit| Some(number * 10 + i64::from(digit.checked_sub(b'0')?)))
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let is_time = (1..=12).contains(&month) && day >= 1 && day <= days_in(year, month);
    // A leap second is the first of the next minute.
    if !is_time || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let fraction = match text.get(19) {
        Some(b'.') => text[20..].iter().take_while(|byte| byte.is_ascii_digit()).count(),
        _ => 0,
    };
    let digits = fraction.min(9);
    let unit = (digits..9).fold(1_i64, |unit, _| unit * 10);
    let nanos = if digits == 0 { 0 } else { number(20, 20 + digits)? * unit };
    let zone = if fraction == 0 { 19 } else { 20 + fraction };
    let east = match text.get(zone)? {
        b'Z' => 0,
        sign => {
            let seconds = number(zone + 1, zone + 3)? * 3600 + number(zone + 4, zone + 6)? * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - east;
    let time = seconds.checked_mul(Nanos::SECOND)?.checked_add(nanos)?;
    Some(Stamp { time: Nanos(time), unit })
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `year` is not negative.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years that begin in March have their leap day at the end.
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}
