//! The proof that what arrived is what was written.

use crate::lines::Lines;
use serde::Deserialize;
use std::{
    borrow::Cow,
    collections::HashSet,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    os::unix::fs::FileExt as _,
};

/// An entry as the receiver logs it. A line in base64 does not fit, and is an error: all input is UTF-8.
#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    stream: Stream<'a>,
    #[serde(borrow)]
    line: Cow<'a, str>,
    #[serde(borrow)]
    metadata: Metadata<'a>,
    duplicate: bool,
}

#[derive(Deserialize)]
struct Stream<'a> {
    event_type: &'a str,
    tenant: &'a str,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    auditship_seq: &'a str,
    auditship_offset: &'a str,
}

/// Reads the receiver's log to its end and compares every entry with the line of `file` that it says it is. Returns
/// the number of streams. An error is the first difference.
pub(crate) fn verify(log: impl Read, file: &File, lines: &Lines) -> Result<usize, String> {
    let mut log = BufReader::with_capacity(1 << 20, log);
    let result = compare(&mut log, file, lines);
    // A receiver that cannot write its log accepts nothing, and the agent would never end.
    io::copy(&mut log, &mut io::sink()).map_err(|error| error.to_string())?;
    result
}

fn compare(log: &mut impl BufRead, file: &File, lines: &Lines) -> Result<usize, String> {
    let mut check = Check { file, lines, seen: vec![false; lines.count()], source: Vec::new() };
    let mut streams: HashSet<String> = HashSet::new();
    let (mut text, mut key) = (Vec::new(), String::new());
    let mut count = 0;
    loop {
        text.clear();
        if log.read_until(b'\n', &mut text).map_err(|error| error.to_string())? == 0 {
            break;
        }
        let shown = || String::from_utf8_lossy(&text);
        let entry: Entry<'_> =
            serde_json::from_slice(&text).map_err(|error| format!("not an entry: {error}: {}", shown()))?;
        check.entry(&entry).map_err(|what| format!("{what}: {}", shown()))?;
        key.clear();
        key.extend([entry.stream.tenant, " ", entry.stream.event_type]);
        if !streams.contains(&key) {
            streams.insert(key.clone());
        }
        count += 1;
    }
    match lines.count() - count {
        0 => Ok(streams.len()),
        missing => Err(format!("{missing} of {} lines did not arrive", lines.count())),
    }
}

struct Check<'a> {
    file: &'a File,
    lines: &'a Lines,
    /// By line. Numbers are distinct and so are the places in the file: each line can only be seen once.
    seen: Vec<bool>,
    /// The line as it is in the file.
    source: Vec<u8>,
}

impl Check<'_> {
    fn entry(&mut self, entry: &Entry<'_>) -> Result<(), String> {
        let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
        let seq = number(entry.metadata.auditship_seq)?;
        let nth = (seq as usize).wrapping_sub(1);
        let seen = self.seen.get_mut(nth).ok_or("there is no such line")?;
        if entry.duplicate || std::mem::replace(seen, true) {
            return Err("sent twice".into());
        }
        let (start, end) = (self.lines.starts[nth], self.lines.starts[nth + 1]);
        if number(entry.metadata.auditship_offset)? != start {
            return Err(format!("the line is at {start}"));
        }
        self.source.resize((end - start) as usize, 0);
        self.file.read_exact_at(&mut self.source, start).map_err(|error| error.to_string())?;
        if self.source.split_last() != Some((&b'\n', entry.line.as_bytes())) {
            return Err("other bytes than in the file".into());
        }
        let has = |name: &str, value: &str| entry.line.contains(&format!(r#""{name}":"{value}""#));
        if !has("tenant", entry.stream.tenant) || !has("event_type", entry.stream.event_type) {
            return Err("in the wrong stream".into());
        }
        Ok(())
    }
}
