//! The state folder: its lock, its generations, and writing to them.

use super::{
    entry::Entry,
    log::{self, Ending, Reading},
    memory::Memory,
};
use crate::model::{FileName, Point};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// A generation is replaced by a snapshot of it when its changes are larger than this and than four snapshots.
const COMPACT_BYTES: u64 = 1 << 20;

/// Why the agent cannot start on a state folder. Nothing in the folder was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made.
    #[error("agent.state_dir {path}: cannot make this folder; make it, writable for the user that auditship runs as")]
    Make {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder, or its lock, cannot be opened at all.
    #[error("agent.state_dir {path}: cannot be used; it must be a folder that the user that auditship runs as owns")]
    Use {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process holds the lock.
    #[error(
        "agent.state_dir {path}: another auditship{holder} is using this folder; stop it, or give this one its own state_dir"
    )]
    Locked {
        /// The folder.
        path: PathBuf,
        /// " (process N)" when it is known.
        holder: String,
    },
    /// Written by a later version.
    #[error(
        "{path}: written by a later version of auditship (state format {version}); run that version, or move the folder away to send everything again"
    )]
    Newer {
        /// The state file.
        path: PathBuf,
        /// Its format.
        version: u8,
    },
}

/// The state folder, held by this process until it ends.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    is_damaged: bool,
    inner: Mutex<Inner>,
    sync_failures: AtomicU64,
    /// Held, never read: the lock ends with the process, also with kill -9.
    _lock: File,
}

#[derive(Debug)]
struct Inner {
    memory: Memory,
    /// The newest generation on disk, whether this process made it or not.
    generation: u64,
    /// Where changes are appended; `None` until the first sync and after a failed one: the next sync then begins a
    /// new generation.
    log: Option<Log>,
    /// Changes that are not on disk yet; they are in `memory` already. Not kept while there is no log.
    unsynced: Vec<Entry>,
    /// Whether the last sync failed: alarmed once, and once more when it works again.
    is_failing: bool,
}

#[derive(Debug)]
struct Log {
    file: File,
    generation: u64,
    index: u64,
    len: u64,
    snapshot_len: u64,
}

impl Store {
    /// Makes the folder (0700) when it is missing, takes its lock, and reads what it holds. Damage is alarmed and
    /// survived; `Err` only when the agent must not run.
    pub fn open(folder: &Path) -> Result<Store, OpenError> {
        make_folder(folder).map_err(|source| OpenError::Make { path: folder.to_owned(), source })?;
        let lock = take_lock(folder)?;
        let Loaded { memory, generation, is_damaged } = load(folder)?;
        let inner = Inner { memory, generation, log: None, unsynced: Vec::new(), is_failing: false };
        let sync_failures = AtomicU64::new(0);
        Ok(Store { folder: folder.to_owned(), is_damaged, inner: Mutex::new(inner), sync_failures, _lock: lock })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether some of what the folder held could not be read: what is missing now may have been known before.
    pub fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    /// Looks at the state as of now. Nobody can change it meanwhile.
    pub fn with_memory<T>(&self, look: impl FnOnce(&Memory) -> T) -> T {
        look(&self.lock().memory)
    }

    /// How far an output has got in a file.
    pub fn point(&self, output: &str, file: FileName) -> Option<Point> {
        self.lock().memory.cursors.get(output)?.get(&file).copied()
    }

    /// Takes changes into the state. They are on disk after the next [`Store::sync`].
    pub fn append(&self, entries: impl IntoIterator<Item = Entry>) {
        let mut inner = self.lock();
        for entry in entries {
            inner.memory.apply(&entry);
            if inner.log.is_some() {
                inner.unsynced.push(entry);
            }
        }
    }

    /// Writes and syncs all changes taken so far; costs nothing when there are none. When it fails, the changes are
    /// kept for the next time, nothing is claimed, and the alarm has been given.
    pub fn sync(&self) -> bool {
        let mut inner = self.lock();
        if inner.unsynced.is_empty() && inner.log.is_some() {
            return true;
        }
        match inner.write(&self.folder) {
            Ok(()) => {
                if inner.is_failing {
                    inner.is_failing = false;
                    tracing::info!(folder = %self.folder.display(), "the state folder can be written again");
                }
                true
            }
            Err(error) => {
                self.sync_failures.fetch_add(1, Ordering::Relaxed);
                // The next attempt writes a snapshot, which holds them: nothing piles up while the disk is full.
                inner.log = None;
                inner.unsynced = Vec::new();
                if !inner.is_failing {
                    inner.is_failing = true;
                    alarm_unwritable(&self.folder, &error);
                }
                false
            }
        }
    }

    /// How often a sync has failed.
    pub fn sync_failures(&self) -> u64 {
        self.sync_failures.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic while it was held ends the process; what it guards is valid between statements.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn write(&mut self, folder: &Path) -> io::Result<()> {
        let is_due = |log: &Log| log.len - log.snapshot_len > COMPACT_BYTES.max(4 * log.snapshot_len);
        let log = match &mut self.log {
            Some(log) if !is_due(log) => log,
            _ => {
                // What is unsynced is in `memory`, and so in the snapshot.
                let log = begin_generation(folder, self.generation + 1, &self.memory)?;
                self.generation = log.generation;
                self.unsynced.clear();
                self.log = Some(log);
                return Ok(());
            }
        };
        let mut bytes = Vec::new();
        let mut index = log.index;
        for entry in &self.unsynced {
            log::put(&mut bytes, log.generation, index, entry);
            index += 1;
        }
        log.file.write_all(&bytes)?;
        log.file.sync_data()?;
        log.index = index;
        log.len += bytes.len() as u64;
        self.unsynced.clear();
        Ok(())
    }
}

/// Makes a folder (0700) and what is missing above it, so that a power cut does not take it away: a folder's name is on
/// the disk when the folder above is synced.
fn make_folder(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|path| !path.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    for above in missing.into_iter().filter_map(Path::parent) {
        // One that may not be read was made by somebody else, who has to care.
        let _ = File::open(above).and_then(|above| above.sync_all());
    }
    Ok(())
}

/// Reads a state folder without taking its lock, for `status`. `None` when there is no usable state.
pub fn read(folder: &Path) -> io::Result<Option<Memory>> {
    // The agent may replace a generation between the listing and the reading of it.
    for _ in 0..3 {
        for generation in generations(folder)? {
            match fs::read(file_of(folder, generation)) {
                Ok(bytes) => match log::read(&bytes, generation) {
                    Reading::Usable { memory, .. } => return Ok(Some(*memory)),
                    Reading::Unusable(_) | Reading::Newer(_) => {}
                },
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(None)
}

fn take_lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("lock");
    let open =
        |path: &Path| OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    // A read-only folder does not stop shipping, if only its lock can be taken.
    let lock = open(&path).or_else(|_| File::open(&path)).or_else(|_| File::open(folder));
    let mut lock = lock.map_err(|source| OpenError::Use { path: path.clone(), source })?;
    match lock.try_lock() {
        Ok(()) => {
            // For the message of the next one only.
            let _ = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
            Ok(lock)
        }
        Err(TryLockError::WouldBlock) => {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            let holder = match holder.trim().parse::<u32>() {
                Ok(pid) => format!(" (process {pid})"),
                Err(_) => String::new(),
            };
            Err(OpenError::Locked { path: folder.to_owned(), holder })
        }
        Err(TryLockError::Error(source)) => Err(OpenError::Use { path, source }),
    }
}

/// What the folder held.
struct Loaded {
    /// The newest usable state.
    memory: Memory,
    /// The highest generation number in use.
    generation: u64,
    /// Whether something before that could not be read.
    is_damaged: bool,
}

fn load(folder: &Path) -> Result<Loaded, OpenError> {
    let found = generations(folder).map_err(|source| OpenError::Use { path: folder.to_owned(), source })?;
    let newest = found.first().copied().unwrap_or(0);
    let mut damage = Vec::new();
    for generation in found.iter().copied() {
        let path = file_of(folder, generation);
        let mut note = |why: &str| damage.push(format!("{}: {why}", path.display()));
        let reading = match fs::read(&path) {
            Ok(bytes) => log::read(&bytes, generation),
            Err(error) => {
                note(&error.to_string());
                continue;
            }
        };
        match reading {
            Reading::Usable { memory, ending } => {
                if ending == Ending::Damaged {
                    note("an entry is damaged; what follows it is not used");
                }
                let is_damaged = !damage.is_empty();
                if is_damaged {
                    alarm_damaged(&damage, &path);
                }
                return Ok(Loaded { memory: *memory, generation: newest, is_damaged });
            }
            Reading::Unusable(why) => note(why),
            Reading::Newer(version) => return Err(OpenError::Newer { path, version }),
        }
    }
    if fs::exists(file_of(folder, 1).with_extension("tmp")).unwrap_or(true) && damage.is_empty() {
        damage.push(format!("{}: only the beginning of a first state is there", folder.display()));
    }
    let is_damaged = !damage.is_empty();
    if is_damaged {
        alarm_from_nothing(&damage);
    }
    Ok(Loaded { memory: Memory::default(), generation: newest, is_damaged })
}

/// The numbers of the generations in the folder, newest first.
fn generations(folder: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    for item in fs::read_dir(folder)? {
        let name = item?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("state-")).and_then(|n| n.parse::<u64>().ok());
        found.extend(number.filter(|number| *number < u64::MAX));
    }
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

fn file_of(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("state-{generation:010}"))
}

fn begin_generation(folder: &Path, generation: u64, memory: &Memory) -> io::Result<Log> {
    let mut bytes = log::MAGIC.to_vec();
    let mut index = 0;
    for entry in memory.entries().chain([Entry::SnapshotEnd]) {
        log::put(&mut bytes, generation, index, &entry);
        index += 1;
    }
    let path = file_of(folder, generation);
    let temporary = path.with_extension("tmp");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, &path)?;
    File::open(folder)?.sync_all()?;
    for old in generations(folder)?.into_iter().filter(|old| old + 1 < generation) {
        // Left behind, it costs room and nothing else.
        let _ = fs::remove_file(file_of(folder, old));
    }
    let len = bytes.len() as u64;
    Ok(Log { file, generation, index, len, snapshot_len: len })
}

fn alarm_unwritable(folder: &Path, error: &io::Error) {
    tracing::error!(
        folder = %folder.display(), %error,
        "the state folder cannot be written: shipping goes on, but what is delivered from now on will be sent again \
         after a restart; free space or mend its permissions"
    );
}

fn alarm_damaged(damage: &[String], usable: &Path) {
    tracing::error!(
        damage = damage.join("; "), going_on_from = %usable.display(),
        "the state is damaged: what is whole before it is used, and what was delivered since is sent again; nothing is \
         skipped"
    );
}

fn alarm_from_nothing(damage: &[String]) {
    tracing::error!(
        damage = damage.join("; "),
        "no usable state: all files are sent again from their start; nothing is skipped"
    );
}
