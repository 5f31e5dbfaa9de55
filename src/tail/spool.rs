//! The spool: what deleted files held and some output has not got, saved so that it survives the agent's end. The
//! file's bytes as they are, from the lowest place that is needed on; one file per content, in one folder.
//!
//! While the agent runs, it reads the deleted file itself; the spool is read after a restart. A kill can cut a copy off: the
//! state knows how long the content was before anything of it is saved.

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
    /// The offset of its first byte in the content.
    base: u64,
    packing: Packing,
    len: u64,
}

impl Entry {
    /// What of it stays when this is saved: what lies before that, if that goes on in it.
    fn kept(&self, saving: &Saving) -> Option<u64> {
        let kept = saving.from.checked_sub(self.base).filter(|kept| *kept <= self.len);
        kept.filter(|_| self.packing == saving.packing && self.packing == Packing::Plain)
    }
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
        let entry = |of: &Spooled| {
            (of.name, Entry { path: of.path.clone(), base: of.base, packing: of.packing, len: of.len })
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
        match self.files.get_mut(&saving.name).map(|entry| (entry.kept(saving), entry)) {
            Some((Some(kept), entry)) => entry.len = kept,
            // It begins elsewhere, as where the disk was full when it was begun.
            Some((None, _)) => self.remove(saving.name),
            None => {}
        }
        if !self.files.contains_key(&saving.name) {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
            // A power cut takes a folder away whose name is not on the disk.
            File::open(self.folder.parent().unwrap_or(&self.folder))?.sync_all()?;
            let path = self.folder.join(file_name(saving.name, saving.from, saving.packing));
            // What is left of an earlier attempt is not claimed by anyone.
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            let (base, packing) = (saving.from, saving.packing);
            self.files.insert(saving.name, Entry { path, base, packing, len: 0 });
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a start finds in the folder: where it begins in the content, and its bytes.
    fn found(folder: &Path) -> Option<(u64, Vec<u8>)> {
        let (_, spooled) = Spool::open(folder.into(), 0);
        assert!(spooled.len() < 2, "{spooled:?}");
        spooled.first().map(|spooled| (spooled.base, fs::read(&spooled.path).unwrap()))
    }

    #[test]
    fn what_is_saved_is_where_its_name_says() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, source) = (dir.path().join("spool"), dir.path().join("source"));
        let bytes: Vec<u8> = (0..=255).collect();
        fs::write(&source, &bytes).unwrap();
        let file = Arc::new(File::open(&source).unwrap());
        let name = FileName(0xab);
        let saving = |from, to| Saving { name, file: Arc::clone(&file), packing: Packing::Plain, from, to };
        let part = |from: usize, to: usize| Some((from as u64, bytes[from..to].to_vec()));
        let (mut spool, _) = Spool::open(folder.clone(), 1000);
        let mut save = |from: usize, to: usize| {
            assert_eq!(spool.save(&saving(from as u64, to as u64)).to, to as u64);
        };
        save(10, 50);
        assert_eq!(found(&folder), part(10, 50));
        // It goes on; a part of it comes again; what comes next begins behind its end, or before its beginning.
        save(50, 60);
        assert_eq!(found(&folder), part(10, 60));
        save(40, 70);
        assert_eq!(found(&folder), part(10, 70));
        save(100, 200);
        assert_eq!(found(&folder), part(100, 200));
        save(20, 120);
        assert_eq!(found(&folder), part(20, 120));
    }
}
