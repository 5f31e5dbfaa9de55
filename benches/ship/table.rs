//! The result, for people.

use crate::child::Usage;

/// What one process cost and what it sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) usage: Usage,
    pub(crate) requests: u64,
    /// Of the bodies of its requests.
    pub(crate) sent_bytes: u64,
}

/// The run with the middle CPU time; with the most memory that any of them took.
pub(crate) fn median(mut rows: Vec<Row>) -> Row {
    let rss = rows.iter().map(|row| row.usage.rss).max().unwrap_or(0);
    rows.sort_by(|a, b| a.usage.cpu().total_cmp(&b.usage.cpu()));
    let middle = rows[rows.len() / 2];
    Row { usage: Usage { rss, ..middle.usage }, ..middle }
}

/// A table in Markdown, so that it can go into a document as it is.
pub(crate) fn table(rows: &[(&str, Row)]) -> String {
    let mut text = line("", ["CPU s", "user", "system", "peak MiB", "requests", "MB sent"].map(str::to_owned));
    text.push_str(&format!("\n|{:-<26}|{}", "", format!("{:->11}|", ":").repeat(6)));
    for (name, row) in rows {
        let Row { usage, requests, sent_bytes } = row;
        let cells = [
            format!("{:.2}", usage.cpu()),
            format!("{:.2}", usage.user),
            format!("{:.2}", usage.system),
            format!("{:.1}", usage.rss as f64 / f64::from(1 << 20)),
            count(*requests),
            format!("{:.1}", *sent_bytes as f64 / 1e6),
        ];
        text.push('\n');
        text.push_str(&line(name, cells));
    }
    text
}

fn line(name: &str, cells: [String; 6]) -> String {
    format!("| {name:24} |{}", cells.map(|cell| format!(" {cell:>9} |")).concat())
}

/// "1,234,567"
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
