//! One generation of the state on disk.
//!
//! ```text
//! file  = magic frame*            magic = "audship\x01": name and version
//! frame = len:u32le sum[8] entry  sum = first 8 bytes of SHA-256(generation:u64le ‖ index:u64le ‖ entry)
//! ```
//!
//! Generation and index are in the checksum, so that a block of an older file or a repeated frame is not taken for
//! an entry. The entries up to `SnapshotEnd` are the whole state; the ones after it are changes.

use super::{entry::Entry, memory::Memory};
use sha2::{Digest as _, Sha256};

/// The first bytes of every state file; the last of them is the version of the format.
pub(super) const MAGIC: &[u8; 8] = b"audship\x01";

/// No entry is larger.
const MAX_ENTRY: usize = 1 << 20;

const FRAME_HEAD: usize = 12;

/// Appends a frame.
pub(super) fn put(out: &mut Vec<u8>, generation: u64, index: u64, entry: &Entry) {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_HEAD]);
    entry.encode(out);
    let sum = checksum(generation, index, &out[start + FRAME_HEAD..]);
    let len = (out.len() - start - FRAME_HEAD) as u32;
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    out[start + 4..start + FRAME_HEAD].copy_from_slice(&sum);
}

/// How a generation reads.
#[derive(Debug, PartialEq)]
pub(super) enum Reading {
    /// The snapshot is whole. `ending` says how the changes after it end.
    Usable {
        /// What the whole entries add up to.
        memory: Box<Memory>,
        /// How they end.
        ending: Ending,
    },
    /// Not even the snapshot is whole.
    Unusable(&'static str),
    /// Written by a later version, whose number this is.
    Newer(u8),
}

/// How the changes end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// At the end of the file.
    Whole,
    /// In an entry that was being written when the process or the machine stopped: that change was never claimed.
    Torn,
    /// In a damaged entry, with more behind it.
    Damaged,
}

/// Reads the bytes of generation `generation`.
pub(super) fn read(bytes: &[u8], generation: u64) -> Reading {
    let Some(mut rest) = bytes.strip_prefix(MAGIC.as_slice()) else {
        return match bytes.strip_prefix(&MAGIC[..7]) {
            Some([version, ..]) if *version > MAGIC[7] => Reading::Newer(*version),
            _ if bytes.is_empty() => Reading::Unusable("it is empty"),
            _ if bytes.iter().all(|byte| *byte == 0) => Reading::Unusable("it is all zero bytes"),
            _ => Reading::Unusable("it does not begin like a state file"),
        };
    };
    let mut memory = Memory::default();
    let mut has_snapshot = false;
    let mut index = 0;
    let ending = loop {
        if rest.is_empty() {
            break Ending::Whole;
        }
        match frame(rest, generation, index) {
            Ok((entry, after)) => {
                has_snapshot |= entry == Entry::SnapshotEnd;
                memory.apply(&entry);
                rest = after;
                index += 1;
            }
            Err(ending) => break ending,
        }
    };
    if has_snapshot {
        Reading::Usable { memory: Box::new(memory), ending }
    } else {
        Reading::Unusable("its snapshot is cut off or damaged")
    }
}

fn frame(bytes: &[u8], generation: u64, index: u64) -> Result<(Entry, &[u8]), Ending> {
    let Some((head, rest)) = bytes.split_first_chunk::<FRAME_HEAD>() else { return Err(Ending::Torn) };
    let len = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    // A power cut can leave a file that is longer than what was written to it, filled with zeros.
    let is_tail = rest.iter().all(|byte| *byte == 0);
    if len > MAX_ENTRY {
        return Err(Ending::Damaged);
    }
    let Some((payload, after)) = rest.split_at_checked(len) else { return Err(Ending::Torn) };
    if checksum(generation, index, payload) != head[4..] {
        let is_last = after.is_empty() || is_tail;
        return Err(if is_last { Ending::Torn } else { Ending::Damaged });
    }
    // Checked, so it was written like this: an entry that this version does not know would be read as damage.
    Entry::decode(payload).map(|entry| (entry, after)).ok_or(Ending::Damaged)
}

fn checksum(generation: u64, index: u64, payload: &[u8]) -> [u8; 8] {
    let mut hash = Sha256::new();
    hash.update(generation.to_le_bytes());
    hash.update(index.to_le_bytes());
    hash.update(payload);
    let mut sum = [0; 8];
    sum.copy_from_slice(&hash.finalize()[..8]);
    sum
}
