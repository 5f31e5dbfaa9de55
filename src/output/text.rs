//! Text in the forms that destinations take it in, written without allocating.

use crate::model::{Digest, FileName, Nanos, Sink};
use base64::{Engine as _, engine::general_purpose::STANDARD};

#[cfg(test)]
mod tests;

/// Bytes on the stack. Each use is sized for the longest content that its types allow.
pub struct Small<const N: usize> {
    bytes: [u8; N],
    /// How many of them are written, at most `N`.
    len: usize,
}

impl<const N: usize> Default for Small<N> {
    fn default() -> Self {
        Small { bytes: [0; N], len: 0 }
    }
}

impl<const N: usize> std::fmt::Debug for Small<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Small").field(&String::from_utf8_lossy(self.bytes())).finish()
    }
}

impl<const N: usize> Small<N> {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Appends one byte.
    #[inline]
    pub fn byte(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    /// Appends bytes.
    #[inline]
    pub fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

impl<const N: usize> Sink for Small<N> {
    fn put(&mut self, bytes: &[u8]) {
        Small::put(self, bytes);
    }
}

/// A record's id, `file-offset-first 16 hex of leaf`: the same at every destination.
pub fn record_id(file: FileName, offset: u64, leaf: &Digest) -> Small<54> {
    let mut id = Small::new();
    id.put(&file.hex());
    id.byte(b'-');
    id.put(Decimal::new(offset).bytes());
    id.byte(b'-');
    put_hex(&mut id, &leaf[..8]);
    id
}

/// A number's decimal digits.
#[derive(Debug)]
pub struct Decimal {
    digits: [u8; 20],
    /// Where the first digit is.
    start: usize,
}

impl Decimal {
    /// Of this number.
    pub fn new(mut value: u64) -> Decimal {
        let mut digits = [0; 20];
        let mut start = digits.len();
        loop {
            start -= 1;
            // A digit.
            digits[start] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                return Decimal { digits, start };
            }
        }
    }

    /// The digits.
    pub fn bytes(&self) -> &[u8] {
        &self.digits[self.start..]
    }
}

/// The digits of hexadecimal numbers.
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `bytes` in lower-case hexadecimal digits.
pub fn put_hex(out: &mut impl Sink, bytes: &[u8]) {
    for byte in bytes {
        out.put(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// Appends `body` in standard base64.
#[cold]
pub fn put_base64(out: &mut impl Sink, body: &[u8]) {
    let mut text = [0; 1024];
    // 768 bytes are 1,024 digits, and a multiple of three: padding comes only at the very end.
    for chunk in body.chunks(768) {
        if let Ok(len) = STANDARD.encode_slice(chunk, &mut text) {
            out.put(&text[..len]);
        }
    }
}

/// Appends UTF-8 text as the inside of a JSON string: `"`, `\` and bytes below 0x20 escaped, all others as they are, so
/// that any reader of JSON gets the same bytes back.
pub fn put_escaped(out: &mut impl Sink, text: &[u8]) {
    let mut plain = 0;
    for (at, byte) in text.iter().enumerate() {
        if *byte >= 0x20 && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.put(&text[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => out.put(b"\\\""),
            b'\\' => out.put(b"\\\\"),
            b'\n' => out.put(b"\\n"),
            b'\r' => out.put(b"\\r"),
            b'\t' => out.put(b"\\t"),
            byte => out.put(&[b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]),
        }
    }
    out.put(&text[plain..]);
}

/// A date of the proleptic Gregorian calendar, and the time in it, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// 1677 to 2262.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// Seconds since its midnight.
    pub second: u32,
    /// Nanoseconds in it.
    pub nanos: u32,
}

impl Civil {
    /// Of this time.
    pub fn of(time: Nanos) -> Civil {
        let (seconds, nanos) = (time.seconds(), time.subsec());
        let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Days since 0000-03-01, by which leap days come last in a year (H. Hinnant, "chrono-compatible low-level date
        // algorithms", civil_from_days).
        let days = days + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        // All of them are in the ranges that the fields name.
        Civil { year: year as u16, month: month as u8, day: day as u8, second: second as u32, nanos: nanos as u32 }
    }

    /// `2026-11-25T19:05:03.123456789Z`, always with nine digits.
    pub fn rfc3339(self) -> Small<30> {
        let mut out = Small::new();
        self.put_date(&mut out);
        for (before, value) in [(b'T', self.second / 3600), (b':', self.second / 60 % 60), (b':', self.second % 60)] {
            out.byte(before);
            put_digits(&mut out, value, 2);
        }
        out.byte(b'.');
        put_digits(&mut out, self.nanos, 9);
        out.byte(b'Z');
        out
    }

    fn put_date(self, out: &mut Small<30>) {
        put_digits(out, self.year.into(), 4);
        for value in [self.month, self.day] {
            out.byte(b'-');
            put_digits(out, value.into(), 2);
        }
    }
}

/// Appends the last `count` digits of `value`.
pub fn put_digits<const N: usize>(out: &mut Small<N>, value: u32, count: u32) {
    for nth in (0..count).rev() {
        // A digit.
        out.byte(b'0' + (value / 10_u32.pow(nth) % 10) as u8);
    }
}
