//! Sizes and durations as people write them.

use std::time::Duration;

/// Reads "64MiB", "100KB" or "4096".
pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let (_, factor) = SIZES.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

/// Reads "250ms", "1s", "5m" or "1h".
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let (_, millis) = DURATIONS.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*millis).map(Duration::from_millis)
}

/// Reads a duration such as "250ms", "30s", "5m" or "1h", for the command line.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    duration(text).ok_or_else(|| "must be a number with a unit, such as 250ms, 30s, 5m or 1h".to_owned())
}

/// The shortest exact form of a size.
pub(super) fn show_size(bytes: u64) -> String {
    show(bytes, &["TiB", "GiB", "MiB", "KiB", "B"], SIZES)
}

/// The shortest exact form of a duration of whole milliseconds.
pub(super) fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_string();
    }
    show(millis, &["h", "m", "s", "ms"], DURATIONS)
}

fn show(value: u64, names: &[&str], units: &[(&str, u64)]) -> String {
    let factor = |name: &str| units.iter().find(|(unit, _)| *unit == name).map_or(1, |(_, factor)| *factor);
    let fits = |name: &&&str| value > 0 && value.is_multiple_of(factor(name));
    let name = names.iter().find(fits).or(names.last()).copied().unwrap_or_default();
    format!("{}{name}", value / factor(name))
}

/// Digits, then at most one space, then the unit.
fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, unit.strip_prefix(' ').unwrap_or(unit)))
}

/// Splits the text of a variable at its commas, but not at those inside the braces or brackets of a glob.
pub(super) fn commas(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let at_comma = move |c: char| {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    if text.trim().is_empty() { Vec::new() } else { text.split(at_comma).map(str::trim).collect() }
}

const SIZES: &[(&str, u64)] = &[
    ("", 1),
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

const DURATIONS: &[(&str, u64)] = &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("4096", Some(4096)),
            ("7B", Some(7)),
            ("100KB", Some(100_000)),
            ("512KiB", Some(512 << 10)),
            (" 64 MiB ", Some(64 << 20)),
            ("1GiB", Some(1 << 30)),
            ("", None),
            ("MiB", None),
            ("-1", None),
            ("1.5MiB", None),
            ("64mib", None),
            ("64  MiB", None),
            ("99999999999TiB", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(size(text), bytes, "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, millis) in [
            ("250ms", Some(250)),
            ("1s", Some(1000)),
            ("5m", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("1", None),
            ("s", None),
            ("1d", None),
            ("1m30s", None),
            ("9999999999999999999h", None),
        ] {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read() {
        for bytes in [0, 1, 1023, 1024, 4 << 10, 2 << 20, 3 << 30, (1 << 20) + 1] {
            assert_eq!(size(&show_size(bytes)), Some(bytes));
        }
        assert_eq!((show_size(2 << 20), show_size(1025)), ("2MiB".to_string(), "1025B".to_string()));
        for millis in [0, 1, 50, 1000, 1500, 60_000, 3_600_000] {
            let time = Duration::from_millis(millis);
            assert_eq!(duration(&show_duration(time)), Some(time));
        }
        assert_eq!(show_duration(Duration::from_secs(60)), "1m");
    }

    #[test]
    fn commas_inside_a_glob_do_not_split() {
        assert_eq!(commas("/a/{b,c}/*, /d[,]e"), ["/a/{b,c}/*", "/d[,]e"]);
        assert_eq!(commas(" "), [""; 0]);
        assert_eq!(commas("a}b,c"), ["a}b", "c"]);
    }
}
