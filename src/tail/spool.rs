//! The spool: what deleted files held and some output has not got, saved so that it survives the agent's end. The
//! file's bytes as they are, from the lowest place that is needed on; one file per content, in one folder.
//!
//! While the agent runs, it reads the deleted file itself; the spool is read after a restart.

use crate::model::{FileName, Packing};
use std::{
    collections::HashMap,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::backing::read_at;

/// Bytes of a deleted file to save.
#[derive(Debug)]
pub struct Saving {
    /// The content.
    pub name: FileName,
    pub(super) file: Arc<File>,
    pub(super) packing: Packing,
    /// From this offset in the file …
    pub(super) from: u64,
    /// … to this one.
    pub(super) to: u64,
}

/// What became of it.
#[derive(Debug)]
pub struct Saved {
    /// The content.
    pub name: FileName,
    /// Everything before this offset is saved; 0 when nothing is.
    pub to: u64,
    /// Bytes that are not, because there is no room or the disk refuses.
    pub at_risk: u64,
    /// Why.
    pub error: Option<io::Error>,
}

/// A file of the spool.
#[derive(Debug)]
pub struct Spooled {
    /// The content.
    pub(super) name: FileName,
    /// The offset of its first byte.
    pub(super) base: u64,
    pub(super) packing: Packing,
    pub(super) path: PathBuf,
    pub(super) len: u64,
}

/// The folder. Owned by one thread.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    max_bytes: u64,
    files: HashMap<FileName, Entry>,
}

#[derive(Debug)]
struct Entry {
    path: PathBuf,
    len: u64,
}

impl Spool {
    /// Opens the folder, which is made when it is first needed, with what it holds. A folder that cannot be listed
    /// is empty.
    pub fn open(folder: PathBuf, max_bytes: u64) -> (Spool, Vec<Spooled>) {
        let found: Vec<Spooled> = fs::read_dir(&folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|item| Spooled::of(item.path(), item.metadata().ok()?.len()))
            .collect();
        let entry = |spooled: &Spooled| (spooled.name, Entry { path: spooled.path.clone(), len: spooled.len });
        let files = found.iter().map(entry).collect();
        (Spool { folder, max_bytes, files }, found)
    }

    /// Copies as much as there is room for, and syncs it.
    pub fn save(&mut self, saving: &Saving) -> Saved {
        let Saving { name, from, to, .. } = *saving;
        let used: u64 = self.files.values().map(|entry| entry.len).sum();
        let end = to.min(from.saturating_add(self.max_bytes.saturating_sub(used)));
        // A part of a compressed file is of no use.
        let end = if saving.packing != Packing::Plain && end < to { from } else { end };
        let mut saved_to = from;
        let result = if end > from { self.copy(saving, end, &mut saved_to) } else { Ok(()) };
        let at_risk = to - saved_to;
        let full = || io::Error::other("agent.spool.max_bytes is reached");
        let error = result.err().or_else(|| (at_risk > 0).then(full));
        Saved {
            name,
            to: if saved_to > from || self.files.contains_key(&name) { saved_to } else { 0 },
            at_risk,
            error,
        }
    }

    fn copy(&mut self, saving: &Saving, end: u64, at: &mut u64) -> io::Result<()> {
        if !self.files.contains_key(&saving.name) {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
            // A power cut takes a folder away whose name is not on the disk.
            File::open(self.folder.parent().unwrap_or(&self.folder))?.sync_all()?;
            let path = self.folder.join(file_name(saving.name, saving.from, saving.packing));
            // What is left of an earlier attempt is not claimed by anyone.
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            self.files.insert(saving.name, Entry { path, len: 0 });
        }
        let Some(entry) = self.files.get_mut(&saving.name) else { return Ok(()) };
        let mut out = OpenOptions::new().append(true).open(&entry.path)?;
        out.set_len(entry.len)?;
        let mut chunk = vec![0; 256 << 10];
        let mut next = *at;
        let result = loop {
            let wanted = usize::try_from(end - next).unwrap_or(usize::MAX).min(chunk.len());
            if wanted == 0 {
                break Ok(());
            }
            match read_at(&saving.file, &mut chunk[..wanted], next) {
                Ok(0) => break Ok(()),
                Ok(n) => match out.write_all(&chunk[..n]) {
                    Ok(()) => next += n as u64,
                    Err(error) => break Err(error),
                },
                Err(error) => break Err(error),
            }
        };
        out.sync_all()?;
        File::open(&self.folder)?.sync_all()?;
        entry.len += next - *at;
        *at = next;
        result
    }

    /// Removes what was saved of a content.
    pub fn remove(&mut self, name: FileName) {
        if let Some(entry) = self.files.remove(&name) {
            // Left behind, it takes room, and the next start asks again whether it is needed.
            let _ = fs::remove_file(entry.path);
        }
    }
}

fn file_name(name: FileName, base: u64, packing: Packing) -> String {
    let extension = match packing {
        Packing::Plain => "log",
        Packing::Gzip => "gz",
        Packing::Zstd => "zst",
    };
    format!("{name}-{base}.{extension}")
}

impl Spooled {
    fn of(path: PathBuf, len: u64) -> Option<Spooled> {
        let (stem, extension) = path.file_name()?.to_str()?.split_once('.')?;
        let (name, base) = stem.split_once('-')?;
        let packing = match extension {
            "log" => Packing::Plain,
            "gz" => Packing::Gzip,
            "zst" => Packing::Zstd,
            _ => return None,
        };
        Some(Spooled { name: name.parse().ok()?, base: base.parse().ok()?, packing, path, len })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
