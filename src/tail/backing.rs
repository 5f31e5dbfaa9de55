//! What a content is read from: a file that holds it as it was written, or compressed, or a part of it in the spool.

use crate::model::{Identity, Mark, Nanos, Packing};
use rustix::{
    fs::{OFlags, SeekFrom, seek},
    io::Errno,
};
use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    sync::Arc,
};

/// An open file that holds a content. Offsets count the content's bytes.
#[derive(Clone, Debug)]
pub(super) struct Backing {
    pub file: Arc<File>,
    pub packing: Packing,
    /// The offset of the file's first byte; more than 0 only in the spool.
    pub base: u64,
    /// Of a compressed file: how many bytes come out of it.
    pub unpacked: u64,
    /// It is a copy that was made before the last bytes of the content were written: there may be less than was read.
    pub is_copy: bool,
    /// It ends before the content did, and what lay behind its end is gone.
    pub is_cut: bool,
}

impl Backing {
    pub(super) fn plain(file: Arc<File>) -> Backing {
        Backing { file, packing: Packing::Plain, base: 0, unpacked: 0, is_copy: false, is_cut: false }
    }

    /// The offset after the last byte.
    pub(super) fn end(&self) -> io::Result<u64> {
        match self.packing {
            Packing::Plain => Ok(self.base.saturating_add(self.file.metadata()?.len())),
            Packing::Gzip | Packing::Zstd => Ok(self.unpacked),
        }
    }

    /// Fills `buffer` from `offset`; less than all of it only at the end. Plain files only.
    pub(super) fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match offset.checked_sub(self.base) {
            Some(offset) => read_at(&self.file, buffer, offset),
            None => Err(io::Error::other("these bytes were not saved when the file was deleted")),
        }
    }

    /// The first offset from `offset` on that is not in a hole; the end when only a hole follows. Plain files only;
    /// where the file system does not know holes this is `offset`.
    pub(super) fn next_data(&self, offset: u64) -> io::Result<u64> {
        let Some(inside) = offset.checked_sub(self.base) else { return Ok(offset) };
        match seek(&self.file, SeekFrom::Data(inside)) {
            Ok(data) => Ok(self.base.saturating_add(data).max(offset)),
            Err(Errno::NXIO) => Ok(self.end()?.max(offset)),
            Err(_) => Ok(offset),
        }
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

/// The mark of the up to 4 KiB before `position` in a plain file.
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
    Nanos::at(metadata.mtime(), metadata.mtime_nsec()).0
}
