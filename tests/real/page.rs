//! `docs/compatibility.md`, from the table.

use crate::table::{Limit, Row, Table, Verdict, number};
use std::{fmt::Write as _, fs, path::Path};

const HEAD: &str = "\
# Compatibility

What auditship was tested against: real servers, read back by their own interfaces, and real writers, each compared line by line
with what was written. This page is written by the tests, from the table that they end with:

```sh
tests/real/install                  # gets the programs, once per machine; names what cannot be had
cargo test --test real              # all cases; the table
BLESS=1 cargo test --test real      # writes this page
```

*missing*: lines that were written and are not there. *duplicates*: records that are there more than once. *altered*: lines with other
bytes, or that nobody wrote. Where there is no 0, the program makes it impossible, for the reason that is given below.

";

const TAIL: &str = include_str!("not-tested.md");

/// Compares the page with what this run found, or writes it.
pub(crate) fn check(table: &mut Table) {
    if !table.is_whole() {
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/compatibility.md");
    let made = render(&table.rows);
    let is_whole = table.rows.iter().all(|row| matches!(row.verdict, Verdict::Passed(_)));
    if std::env::var_os("BLESS").is_some() {
        return match is_whole {
            true => fs::write(path, made).unwrap(),
            false => table.fail("docs/compatibility.md", "is not written: not every case has passed".into()),
        };
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    // A machine that lacks a program, or a case that failed, is told already.
    if !is_whole || made == written {
        return;
    }
    // Debian has another version from time to time.
    if without_versions(&made) == without_versions(&written) {
        return println!("docs/compatibility.md names other versions: BLESS=1 cargo test --test real");
    }
    table.fail("docs/compatibility.md", "is not what this run found: BLESS=1 cargo test --test real".into());
}

fn without_versions(page: &str) -> Vec<String> {
    let cells = |line: &str| line.split('|').enumerate().filter(|(nth, _)| *nth != 2).map(|(_, cell)| cell).collect();
    page.lines().map(|line| if line.starts_with('|') { cells(line) } else { line.to_owned() }).collect()
}

/// Without what differs from run to run.
fn render(rows: &[Row]) -> String {
    let mut page = HEAD.to_owned();
    page.push_str(
        "| program | version | case | lines | missing | duplicates | altered |\n|---|---|---|--:|--:|--:|--:|\n",
    );
    let mut limits: Vec<&str> = Vec::new();
    for Row { program, version, case, verdict, .. } in rows {
        let Verdict::Passed(outcome) = verdict else { continue };
        let nth = outcome.limit.as_ref().map(|limit| (limit, number(&mut limits, &limit.reason)));
        // Where a limit of the program allows more, how much it is can be chance.
        let cell = |may: fn(&Limit) -> bool| match nth {
            Some((limit, nth)) if may(limit) => format!("[{nth}]"),
            _ => "0".into(),
        };
        let (missing, duplicates) = (cell(|limit| limit.missing), cell(|limit| limit.duplicates));
        let (altered, lines) = (cell(|limit| limit.altered), thousands(outcome.lines));
        let _ = writeln!(page, "| {program} | {version} | {case} | {lines} | {missing} | {duplicates} | {altered} |");
    }
    for (nth, limit) in limits.iter().enumerate() {
        let _ = write!(page, "\n[{}] {limit}.\n", nth + 1);
    }
    page.push('\n');
    page.push_str(TAIL);
    page
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}
