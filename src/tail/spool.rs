//! The spool: what deleted files held and some output has not got, saved so that it survives the agent's end. The
//! file's bytes as they are, from the lowest place that is needed on; one file per content, in one folder.
//!
//! While the agent runs, it reads the deleted file itself; the spool is read after a restart.
//!
//! A file has `.part` at its end until all of what is to be saved is in it: a kill in between leaves one that is cut.

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
    /// More of the content was to be saved.
    pub(super) is_cut: bool,
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
    /// The offset of its first byte in the content.
    base: u64,
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
        let entry = |spooled: &Spooled| {
            (spooled.name, Entry { path: spooled.path.clone(), base: spooled.base, len: spooled.len })
        };
        let files = found.iter().map(entry).collect();
        (Spool { folder, max_bytes, files }, found)
    }

    /// Bytes in it.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|entry| entry.len).sum()
    }

    /// Copies as much as there is room for, and syncs it.
    pub fn save(&mut self, saving: &Saving) -> Saved {
        let Saving { name, from, to, .. } = *saving;
        let used = self.bytes();
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
        self.begin(saving)?;
        let Some(entry) = self.files.get_mut(&saving.name) else { return Ok(()) };
        entry.append(saving, end, at)?;
        // What it is called says that it is whole: after its bytes are on the disk, never before.
        if *at == saving.to {
            entry.rename(file_name(saving.name, entry.base, saving.packing))?;
        }
        File::open(&self.folder)?.sync_all()
    }

    /// From here on what there is of it is called cut.
    fn begin(&mut self, saving: &Saving) -> io::Result<()> {
        let name = |base: u64| file_name(saving.name, base, saving.packing) + PART;
        if let Some(entry) = self.files.get_mut(&saving.name) {
            entry.rename(name(entry.base))?;
            return File::open(&self.folder)?.sync_all();
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
        // A power cut takes a folder away whose name is not on the disk.
        File::open(self.folder.parent().unwrap_or(&self.folder))?.sync_all()?;
        let path = self.folder.join(name(saving.from));
        // What is left of an earlier attempt is not claimed by anyone.
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        self.files.insert(saving.name, Entry { path, base: saving.from, len: 0 });
        Ok(())
    }

    /// Removes what was saved of a content.
    pub fn remove(&mut self, name: FileName) {
        if let Some(entry) = self.files.remove(&name) {
            // Left behind, it takes room, and the next start asks again whether it is needed.
            let _ = fs::remove_file(entry.path);
        }
    }
}

const PART: &str = ".part";

impl Entry {
    fn rename(&mut self, name: String) -> io::Result<()> {
        let path = self.path.with_file_name(name);
        if path != self.path {
            fs::rename(&self.path, &path)?;
            self.path = path;
        }
        Ok(())
    }

    /// Copies from `at` to `end`, and syncs it.
    fn append(&mut self, saving: &Saving, end: u64, at: &mut u64) -> io::Result<()> {
        let mut out = OpenOptions::new().append(true).open(&self.path)?;
        out.set_len(self.len)?;
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
        self.len += next - *at;
        *at = next;
        result
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
        let name = path.file_name()?.to_str()?;
        let is_cut = name.ends_with(PART);
        let (stem, extension) = name.strip_suffix(PART).unwrap_or(name).split_once('.')?;
        let (name, base) = stem.split_once('-')?;
        let packing = match extension {
            "log" => Packing::Plain,
            "gz" => Packing::Gzip,
            "zst" => Packing::Zstd,
            _ => return None,
        };
        Some(Spooled { name: name.parse().ok()?, base: base.parse().ok()?, packing, len, is_cut, path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a start finds in the folder: how much, and whether more was to be saved.
    fn found(folder: &Path) -> Option<(u64, bool)> {
        let (_, spooled) = Spool::open(folder.into(), 0);
        assert!(spooled.len() < 2, "{spooled:?}");
        spooled.first().map(|spooled| (spooled.len, spooled.is_cut))
    }

    #[test]
    fn what_is_not_all_there_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, source) = (dir.path().join("spool"), dir.path().join("source"));
        fs::write(&source, [7; 300]).unwrap();
        let file = Arc::new(File::open(&source).unwrap());
        let name = FileName(0xab);
        let saving = |from, to| Saving { name, file: Arc::clone(&file), packing: Packing::Plain, from, to };
        let (mut spool, _) = Spool::open(folder.clone(), 200);
        // All of it, then more, for which there is no room; then there is.
        assert_eq!(spool.save(&saving(0, 100)).to, 100);
        assert_eq!(found(&folder), Some((100, false)));
        let saved = spool.save(&saving(100, 300));
        assert_eq!((saved.to, saved.at_risk), (200, 100));
        assert_eq!(found(&folder), Some((200, true)));
        spool.max_bytes = 1000;
        assert_eq!(spool.save(&saving(200, 300)).to, 300);
        assert_eq!(found(&folder), Some((300, false)));
        // The source is shorter than it was: what is missing is missing.
        assert_eq!(spool.save(&saving(300, 400)).to, 300);
        assert_eq!(found(&folder), Some((300, true)));
        spool.remove(name);
        assert_eq!(found(&folder), None);
    }
}
