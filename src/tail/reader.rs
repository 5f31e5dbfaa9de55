//! Reading a stretch of a content, and knowing that it is still the same content.

use super::{backing::Backing, file::TailFile, unpack::Unpacker};
use crate::{
    ack::FileKey,
    frame::{GAP, HEAD, MAX_PREFIX},
    model::{Mark, Packing},
};
use std::io;

/// The most new bytes in one burst: enough for a step of framing always to decide.
pub const TURN: usize = HEAD + 64 * 1024;
const _: () = assert!(TURN > HEAD + MAX_PREFIX + GAP + 2);

/// The one buffer that a thread reads all its files into. A compressed file has a second one, because it can only be
/// read in order: one such file at a time.
#[derive(Debug)]
pub struct Buffer {
    bytes: Box<[u8]>,
    unpacker: Option<(FileKey, Unpacker)>,
}

impl Default for Buffer {
    fn default() -> Self {
        Buffer { bytes: vec![0; Mark::MAX + TURN].into_boxed_slice(), unpacker: None }
    }
}

/// What a look at a file gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Burst<'b> {
    /// New bytes, perhaps none.
    Data {
        /// Up to 4 KiB before the position, then what comes at the position.
        bytes: &'b [u8],
        /// How many bytes lie before the position.
        before: usize,
    },
    /// The file does not hold what was read from it: it was truncated, and perhaps grew again.
    Replaced,
}

impl Buffer {
    /// Reads what comes at `position`, up to [`TURN`] bytes, after making sure that what was before it is still
    /// there. `mark` is the mark of the bytes before `position`.
    pub fn read(&mut self, file: &TailFile, position: u64, mark: &Mark) -> io::Result<Burst<'_>> {
        let backing = file.backing();
        let end = backing.end()?;
        // Before the bytes are read: it grows while the file does.
        let head = file.head();
        if end < position {
            let nothing = Burst::Data { bytes: &[], before: 0 };
            return Ok(if backing.is_copy { nothing } else { Burst::Replaced });
        }
        // In the spool, which is ours, there may be less before the position than the mark covers.
        let before = u64::from(mark.len).min(position - backing.base.min(position));
        let start = position - before;
        // At most 4 KiB.
        let before = before as usize;
        let wanted = before + TURN;
        let is_plain = backing.packing == Packing::Plain;
        let bytes = if is_plain {
            let n = backing.read_at(&mut self.bytes[..wanted], start)?;
            &self.bytes[..n]
        } else {
            let n = usize::try_from(end - start).unwrap_or(usize::MAX).min(wanted);
            if unpacker(&mut self.unpacker, file.key, &backing, start)?.read(start).len() < n {
                // More came out of it when it was inspected.
                self.unpacker = None;
                return Err(io::Error::other("the compressed file cannot be read any further"));
            }
            let bytes = unpacker(&mut self.unpacker, file.key, &backing, start)?.read(start);
            &bytes[..bytes.len().min(n)]
        };
        let is_same = match () {
            () if position == 0 => has_head(bytes, &head),
            () if before < mark.len as usize => true,
            () => bytes.len() >= before && mark.agrees(&bytes[..before]),
        };
        // Truncated while it was read, the bytes may be of two contents.
        if !is_same || (is_plain && backing.end()? < start + bytes.len() as u64) {
            return Ok(Burst::Replaced);
        }
        file.note_verified(end);
        if position == 0 && bytes.len() > file.head().len as usize && file.head().len < Mark::MAX as u32 {
            // Whoever sees a content first says what it begins with.
            file.grow_head(bytes);
        }
        Ok(Burst::Data { bytes, before })
    }

    /// The compressed file that is being read: to read another one before its end is reached would begin it anew.
    pub fn unpacks(&self) -> Option<FileKey> {
        self.unpacker.as_ref().map(|(key, _)| *key)
    }

    /// Ends the reading of a compressed file.
    pub fn stop_unpacking(&mut self) {
        self.unpacker = None;
    }

    /// The memory for the compressed file that is being read, in bytes.
    pub fn unpacking_memory(&self) -> usize {
        self.unpacker.as_ref().map_or(0, |(_, unpacker)| unpacker.memory())
    }
}

fn unpacker<'u>(
    open: &'u mut Option<(FileKey, Unpacker)>,
    key: FileKey,
    backing: &Backing,
    start: u64,
) -> io::Result<&'u mut Unpacker> {
    if open.as_ref().is_some_and(|(of, unpacker)| *of != key || !unpacker.is_before(backing, start)) {
        *open = None;
    }
    let unpacker = match open.take() {
        Some((_, unpacker)) => unpacker,
        None => Unpacker::new(backing, Mark::MAX + TURN)?,
    };
    Ok(&mut open.insert((key, unpacker)).1)
}

/// Whether `bytes`, from the start of a file, begin as `head` says.
pub(super) fn has_head(bytes: &[u8], head: &Mark) -> bool {
    let len = head.len as usize;
    bytes.len() >= len && head.agrees(&bytes[..len])
}
