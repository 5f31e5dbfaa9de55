//! Reading a stretch of a file, and knowing that it is still the same file.

use super::file::TailFile;
use crate::{
    frame::{HEAD, MAX_PREFIX},
    model::Mark,
};
use std::io;

/// The most new bytes in one burst: enough for a step of framing always to decide.
pub const TURN: usize = HEAD + 64 * 1024;
const _: () = assert!(TURN > HEAD + MAX_PREFIX + 2);

/// The one buffer that a thread reads all its files into.
#[derive(Debug)]
pub struct Buffer {
    bytes: Box<[u8]>,
}

impl Default for Buffer {
    fn default() -> Self {
        Buffer { bytes: vec![0; Mark::MAX + TURN].into_boxed_slice() }
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
        let len = file.metadata()?.len();
        if len < position {
            return Ok(Burst::Replaced);
        }
        let before = mark.len as usize;
        let Some(start) = position.checked_sub(u64::from(mark.len)) else { return Ok(Burst::Replaced) };
        let wanted = before + TURN;
        let n = file.read_at(&mut self.bytes[..wanted], start)?;
        let bytes = &self.bytes[..n];
        let is_same =
            if position == 0 { has_head(bytes, &file.head()) } else { n >= before && mark.agrees(&bytes[..before]) };
        // Truncated while it was read, the bytes may be of two contents.
        if !is_same || file.metadata()?.len() < start + n as u64 {
            return Ok(Burst::Replaced);
        }
        file.note_verified(len);
        Ok(Burst::Data { bytes, before })
    }
}

/// Whether `bytes`, from the start of a file, begin as `head` says.
pub(super) fn has_head(bytes: &[u8], head: &Mark) -> bool {
    let len = head.len as usize;
    bytes.len() >= len && head.agrees(&bytes[..len])
}
