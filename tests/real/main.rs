//! The agent against real servers and real writers. `tests/real/install` gets the programs, once per machine; what a
//! machine cannot have is skipped by name. Each case reads the server back by its own API and compares, line by line,
//! with what was written.
//!
//!     tests/real/install
//!     cargo test --test real                      # all; a table at the end
//!     cargo test --test real -- victorialogs      # cases with this in their name
//!     BLESS=1 cargo test --test real              # writes docs/compatibility.md
//!
//! A case that the server makes impossible is a limit of the server: it says so beforehand, with the reason, and its
//! figures are in the table all the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

// Shared with the other tests; this one uses some of it only.
#[allow(dead_code, unused_imports)]
#[path = "../rig/mod.rs"]
mod rig;

mod loki;
mod lumberjack;
mod opensearch;
mod page;
mod program;
mod promtool;
mod suites;
mod table;
mod victorialogs;

use program::Program;
use std::process::ExitCode;
use table::Table;

fn main() -> ExitCode {
    let filter = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let mut table = Table::new(filter);
    loki::run(&Program::find("loki"), &mut table);
    victorialogs::run(&Program::find("victorialogs"), &mut table);
    opensearch::run(&Program::find("opensearch"), &mut table);
    lumberjack::run(&Program::find("lumberjack"), &mut table);
    promtool::run(&Program::find("promtool"), &mut table);
    suites::run(&mut table);
    table.print();
    page::check(&mut table);
    table.end()
}
