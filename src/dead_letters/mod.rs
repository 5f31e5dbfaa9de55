//! Dead letters: records that a destination refused for good, put aside on disk with the reason, so that what comes after
//! them can go on and they can be sent again later. One file per output in one folder, one JSON object a line, 0600.
//!
//! A letter is on disk, synced, before the position passes its record; a folder that is full or cannot be written stalls
//! the output instead. Nothing here ever removes a letter but [`DeadLetters::remove`], for those that were delivered.
//!
//! Whoever changes a file holds the lock beside it, for as long as that takes: the agent appends, and `auditship replay`
//! puts a shorter file in its place, each without knowing of the other.

mod letter;
mod skips;
#[cfg(test)]
mod tests;

pub use letter::{Letter, Refused};
pub use skips::Skips;

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, OpenOptions},
    hash::{BuildHasher as _, RandomState},
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Ids are looked for in so many bytes at the end of a file: what a crash sends again was put aside lately.
const RECALLED: u64 = 64 << 20;

/// Why letters were not put aside.
#[derive(Debug, thiserror::Error)]
pub enum BuryError {
    /// The folder has as many bytes as it may.
    #[error("agent.dead_letters.max_bytes ({max_bytes} bytes) is reached in {}: send them again with `auditship replay`, or raise it", .folder.display())]
    Full {
        /// The folder.
        folder: PathBuf,
        /// The bound.
        max_bytes: u64,
    },
    /// The disk refuses.
    #[error("{}: cannot be written", .path.display())]
    Disk {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The dead letters of one output.
#[derive(Debug)]
pub struct DeadLetters {
    folder: PathBuf,
    path: PathBuf,
    max_bytes: u64,
    hasher: RandomState,
    /// Hashes of the ids that are in the file, once they were looked for.
    known: Option<HashSet<u64>>,
}

impl DeadLetters {
    /// Those of `output` below the state folder, which together with those of all other outputs take at most
    /// `max_bytes`. Touches nothing.
    pub fn new(state_dir: &Path, output: &str, max_bytes: u64) -> DeadLetters {
        let folder = state_dir.join("dead-letters");
        let path = folder.join(format!("{output}.jsonl"));
        DeadLetters { folder, path, max_bytes, hasher: RandomState::new(), known: None }
    }

    /// Where they are.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends letters, all or none, and syncs them; those that are there already are not there twice. Returns how
    /// many were new.
    pub fn bury(&mut self, letters: &[Letter]) -> Result<usize, BuryError> {
        let (path, folder) = (self.path.clone(), self.folder.clone());
        let failed = |source| BuryError::Disk { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed)?;
        let _lock = self.lock().map_err(failed)?;
        if self.known.is_none() {
            self.known = Some(self.recall().map_err(failed)?);
        }
        let known = self.known.get_or_insert_default();
        let mut text = Vec::new();
        let mut new = Vec::new();
        for letter in letters {
            let hash = self.hasher.hash_one(&letter.id);
            if !known.contains(&hash) && !new.contains(&hash) {
                new.push(hash);
                letter.append_to(&mut text).map_err(failed)?;
            }
        }
        if text.is_empty() {
            return Ok(0);
        }
        if size_of(&folder).map_err(failed)?.saturating_add(text.len() as u64) > self.max_bytes {
            return Err(BuryError::Full { folder, max_bytes: self.max_bytes });
        }
        let state_dir = folder.parent().unwrap_or(&folder);
        let sync = |folder: &Path| File::open(folder).and_then(|folder| folder.sync_all());
        let written = append(&self.path, &text).and_then(|()| sync(&folder)).and_then(|()| sync(state_dir));
        match written {
            Ok(()) => known.extend(&new),
            // What is there now is looked at again, and a torn end cut off.
            Err(error) => {
                self.known = None;
                return Err(failed(error));
            }
        }
        Ok(new.len())
    }

    /// All of them, in the order in which they were put aside. A line that cannot be read is an error that names it:
    /// nothing is passed over.
    pub fn read(&self) -> io::Result<Vec<Letter>> {
        let _lock = if self.folder.exists() { Some(self.lock()?) } else { None };
        let mut letters = Vec::new();
        self.each(|nth, line| {
            letters.push(Letter::read(line).map_err(|error| bad_line(&self.path, nth, &error))?);
            Ok(())
        })?;
        Ok(letters)
    }

    /// Takes out those with these ids, which were delivered. What was appended meanwhile stays.
    pub fn remove(&mut self, delivered: &HashSet<String>) -> io::Result<()> {
        let _lock = self.lock()?;
        let mut kept = Vec::new();
        self.each(|_, line| {
            if !Letter::read(line).is_ok_and(|letter| delivered.contains(&letter.id)) {
                kept.extend_from_slice(line);
                kept.push(b'\n');
            }
            Ok(())
        })?;
        self.known = None;
        let temporary = self.path.with_extension("jsonl.new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&kept)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        File::open(&self.folder)?.sync_all()
    }

    /// Shows the lines of the file, with their numbers from 1. No file: none.
    fn each(&self, mut show: impl FnMut(usize, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let (mut reader, mut line) = (BufReader::new(file), Vec::new());
        for nth in 1.. {
            line.clear();
            reader.read_until(b'\n', &mut line)?;
            // A last piece without an end is what a crash tore off: its record was not passed, and is refused again.
            if line.pop() != Some(b'\n') {
                break;
            }
            show(nth, &line)?;
        }
        Ok(())
    }

    fn lock(&self) -> io::Result<File> {
        let path = self.path.with_extension("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.lock()?;
        Ok(file)
    }

    /// The ids at the end of the file; and an end for a line that a crash left without one.
    fn recall(&self) -> io::Result<HashSet<u64>> {
        let mut file = match OpenOptions::new().read(true).write(true).open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashSet::new()),
            Err(error) => return Err(error),
        };
        let len = file.metadata()?.len();
        // A life before this one may have been killed before it had synced what it wrote.
        file.sync_all()?;
        file.seek(SeekFrom::Start(len.saturating_sub(RECALLED)))?;
        let mut ids = HashSet::new();
        let (mut whole, mut reader) = (len.saturating_sub(RECALLED), BufReader::new(file));
        loop {
            let mut line = Vec::new();
            let read = reader.by_ref().take(RECALLED).read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') {
                break;
            }
            whole += read as u64;
            if let Ok(letter) = Letter::read(&line) {
                ids.insert(self.hasher.hash_one(&letter.id));
            }
        }
        if whole < len {
            // Its record was not passed: it is refused again.
            reader.into_inner().set_len(whole)?;
        }
        Ok(ids)
    }
}

fn append(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let len = file.metadata()?.len();
    let written = file.write_all(text).and_then(|()| file.sync_all());
    if written.is_err() {
        // A half line would be in front of the next one.
        let _ = file.set_len(len);
    }
    written
}

fn size_of(folder: &Path) -> io::Result<u64> {
    fs::read_dir(folder)?.map(|item| Ok(item?.metadata()?.len())).sum()
}

fn bad_line(path: &Path, nth: usize, error: &serde_json::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{}:{nth}: not a dead letter: {error}", path.display()))
}
