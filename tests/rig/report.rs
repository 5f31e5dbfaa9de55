//! What a suite of real programs has found, for the table of `tests/real`.

use serde::{Deserialize, Serialize};
use std::{fs::OpenOptions, io::Write as _, path::PathBuf};

/// One case. `name` begins with the program's.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(crate) struct Report {
    pub(crate) name: String,
    pub(crate) lines: usize,
    pub(crate) missing: usize,
    pub(crate) duplicates: usize,
    pub(crate) altered: usize,
    pub(crate) seconds: f64,
    /// Why it was not run.
    pub(crate) skipped: Option<String>,
}

impl Report {
    /// The file that reports are appended to, when somebody wants them.
    pub(crate) fn file() -> Option<PathBuf> {
        std::env::var_os("AUDITSHIP_REPORTS").map(PathBuf::from)
    }

    /// It is not run, for this reason.
    pub(crate) fn skip(name: &str, why: &str) {
        println!("{name}: SKIPPED: {why}");
        Report { name: name.into(), skipped: Some(why.into()), ..Report::default() }.write();
    }

    pub(crate) fn write(&self) {
        let Some(path) = Report::file() else { return };
        let mut line = serde_json::to_vec(self).unwrap();
        line.push(b'\n');
        // In one write: tests run at the same time.
        OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(&line).unwrap();
    }
}
