//! One open file, shared by the threads that read it.

use crate::{
    ack::FileKey,
    model::{FileName, Identity, Known, Mark, Nanos},
};
use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};
use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

/// What has become of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It may grow.
    Live,
    /// It has a successor, or was deleted, and was still long enough: a last line without a newline is its end. It
    /// is read on all the same when it does grow.
    Final,
    /// Its content was truncated away; there is nothing more to read under this name.
    Replaced,
}

/// A file's content, open. Readers use `read_at` on the one descriptor.
#[derive(Debug)]
pub struct TailFile {
    /// The number of this content in this process.
    pub key: FileKey,
    /// The number of the source that owns it.
    pub source: usize,
    /// What is persisted of it, as of when it was opened.
    pub known: Known,
    /// The mark of its first bytes, as many as were ever seen up to 4 KiB.
    head: Mutex<Mark>,
    /// Shared with the content that replaces this one in the same inode.
    file: Arc<File>,
    life: AtomicU8,
    /// Counts the changes of length or time that a look has noticed.
    changes: AtomicU64,
    /// The length at the last look.
    size: AtomicU64,
    /// The greatest length that a reader has seen together with bytes of this content.
    verified: AtomicU64,
    /// The length at the look before the one that found it shorter; 0 while none has.
    shrunk_from: AtomicU64,
    /// By output: up to here it needs nothing again; `u64::MAX` when it has let go of the file.
    settled: Vec<AtomicU64>,
}

impl TailFile {
    pub(super) fn new(key: FileKey, source: usize, known: Known, file: Arc<File>, size: u64, outputs: usize) -> Self {
        TailFile {
            key,
            source,
            head: Mutex::new(known.head),
            known,
            file,
            life: AtomicU8::new(0),
            changes: AtomicU64::new(0),
            size: AtomicU64::new(size),
            verified: AtomicU64::new(0),
            shrunk_from: AtomicU64::new(0),
            settled: (0..outputs).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Its name at the destinations.
    pub fn name(&self) -> FileName {
        self.known.origin.name
    }

    /// What has become of it.
    pub fn life(&self) -> Life {
        match self.life.load(Ordering::Acquire) {
            0 => Life::Live,
            1 => Life::Final,
            _ => Life::Replaced,
        }
    }

    pub(super) fn set_life(&self, life: Life) {
        let number = match life {
            Life::Live => 0,
            Life::Final => 1,
            Life::Replaced => 2,
        };
        self.life.store(number, Ordering::Release);
    }

    /// The mark of its first bytes. Looked at by readers that begin, and by scans while it grows.
    pub(super) fn head(&self) -> Mark {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_head(&self, head: Mark) {
        *self.head.lock().unwrap_or_else(PoisonError::into_inner) = head;
    }

    /// A number that is another one after every change that was noticed.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub(super) fn note_change(&self, size: u64) {
        let before = self.size.swap(size, Ordering::AcqRel);
        if size < before {
            // Only the first time: what shrinks later is the content that came after this one.
            let _ = self.shrunk_from.compare_exchange(0, before, Ordering::AcqRel, Ordering::Acquire);
        }
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// Its length in bytes at the last look.
    pub fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    pub(super) fn note_verified(&self, len: u64) {
        self.verified.fetch_max(len, Ordering::AcqRel);
    }

    /// How many bytes from `position` on this content is known to have had. Of one that was truncated away, its
    /// length now says nothing: that is the length of what came after it.
    pub fn known_after(&self, position: u64) -> u64 {
        let known = self.verified.load(Ordering::Acquire).max(self.shrunk_from.load(Ordering::Acquire));
        known.saturating_sub(position)
    }

    /// What the file system says of it now.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.file.metadata()
    }

    pub(super) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Output number `output` needs nothing before `position` again.
    pub fn set_settled(&self, output: usize, position: u64) {
        if let Some(settled) = self.settled.get(output) {
            settled.store(position, Ordering::Release);
        }
    }

    /// Output number `output` is done with the file.
    pub fn let_go(&self, output: usize) {
        self.set_settled(output, u64::MAX);
    }

    pub(super) fn is_let_go(&self) -> bool {
        self.settled.iter().all(|position| position.load(Ordering::Acquire) == u64::MAX)
    }

    /// Where the line after the last newline begins (0 when there is none in the last 64 MiB), and its mark.
    pub fn end_of_last_line(&self) -> io::Result<(u64, Mark)> {
        const FURTHEST: u64 = 64 << 20;
        let size = self.metadata()?.len();
        let mut end = size;
        let mut chunk = vec![0; 64 * 1024];
        while end > 0 && size - end < FURTHEST {
            let start = end.saturating_sub(chunk.len() as u64);
            // At most the chunk's length.
            let wanted = (end - start) as usize;
            let n = self.read_at(&mut chunk[..wanted], start)?;
            if let Some(newline) = memchr::memrchr(b'\n', &chunk[..n]) {
                let at = start + newline as u64 + 1;
                return Ok((at, mark_before(&self.file, at)?));
            }
            end = start;
        }
        Ok((0, Mark::default()))
    }

    /// Fills `buffer` from `offset`; less than all of it only at the end of the file.
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        read_at(&self.file, buffer, offset)
    }
}

/// Opens a regular file for reading. What a scan saw may be something else by now: opening a pipe would wait for its
/// writer.
pub(super) fn open(path: &Path) -> io::Result<File> {
    // The bits are the same whatever the sign.
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("is not a regular file any more")),
    }
}

pub(super) fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The mark of the up to 4 KiB before `position`.
pub(super) fn mark_before(file: &File, position: u64) -> io::Result<Mark> {
    let len = position.min(Mark::MAX as u64);
    let mut bytes = [0; Mark::MAX];
    // At most MAX.
    let bytes = &mut bytes[..len as usize];
    let n = read_at(file, bytes, position - len)?;
    Ok(Mark::of(&bytes[..n]))
}

pub(super) fn identify(metadata: &Metadata) -> Identity {
    let since_1970 = |time: std::time::SystemTime| time.duration_since(std::time::UNIX_EPOCH).ok();
    // A file system without birth times says so, or says 1970.
    let birth = metadata.created().ok().and_then(since_1970).and_then(|age| i64::try_from(age.as_nanos()).ok());
    Identity { device: metadata.dev(), inode: metadata.ino(), birth: birth.filter(|birth| *birth != 0) }
}

/// The time of the last change of content, nanoseconds since 1970.
pub(super) fn changed(metadata: &Metadata) -> i64 {
    metadata.mtime().saturating_mul(Nanos::SECOND).saturating_add(metadata.mtime_nsec())
}

/// hash(machine, device, inode, birth time or else the nonce, generation).
pub(super) fn name(machine: &[u8], identity: &Identity, nonce: u64, generation: u32) -> FileName {
    let mut hash = Sha256::new();
    hash.update((machine.len() as u64).to_le_bytes());
    hash.update(machine);
    hash.update(identity.device.to_le_bytes());
    hash.update(identity.inode.to_le_bytes());
    match identity.birth {
        Some(birth) => hash.update(birth.to_le_bytes()),
        None => hash.update(nonce.to_le_bytes()),
    }
    hash.update(generation.to_le_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    FileName(u64::from_be_bytes(first))
}
