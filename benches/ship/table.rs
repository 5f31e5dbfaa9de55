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

/// What is compared: the agent, the floor, and the floor without hashes, with the same number of requests.
pub(crate) type Round = [Row; 3];

/// The round with the middle ratio of agent to floor; with the most memory that was taken in any.
pub(crate) fn middle(mut rounds: Vec<Round>) -> Round {
    let most = |nth: usize| rounds.iter().map(|round| round[nth].usage.rss).max().unwrap_or(0);
    let rss = [most(0), most(1), most(2)];
    rounds.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    let mut round = rounds[rounds.len() / 2];
    round.iter_mut().zip(rss).for_each(|(row, rss)| row.usage.rss = rss);
    round
}

/// The agent's CPU time in multiples of the floor's.
pub(crate) fn ratio([agent, floor, _]: &Round) -> f64 {
    agent.usage.cpu() / floor.usage.cpu()
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
