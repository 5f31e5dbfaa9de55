//! Records that somebody wants put aside although the destination does not refuse them by name: `replay --skip`. A file of
//! ids beside the dead letters, written by the command and read by the agent while its output waits.

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// The records of one output that are to be put aside.
#[derive(Debug)]
pub struct Skips {
    path: PathBuf,
}

impl Skips {
    /// Those of `output` below the state folder. Touches nothing.
    pub fn new(state_dir: &Path, output: &str) -> Skips {
        Skips { path: state_dir.join("dead-letters").join(format!("{output}.skip")) }
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds an id, for the agent to see.
    pub fn add(&self, id: &str) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        file.write_all(format!("{id}\n").as_bytes())?;
        file.sync_all()
    }

    /// These are done.
    pub fn remove(&self, done: &HashSet<String>) -> io::Result<()> {
        let left: String = self.read().into_iter().filter(|id| !done.contains(id)).map(|id| id + "\n").collect();
        fs::write(&self.path, left)
    }

    /// The ids; empty when there is no such file, or it cannot be read.
    pub fn read(&self) -> HashSet<String> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }
}
