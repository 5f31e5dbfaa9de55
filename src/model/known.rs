//! What survives a restart about a file.

use super::{Family, Mark, Nanos, Origin};
use std::sync::Arc;

/// What the file system says a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The device number; can change when the machine starts again.
    pub device: u64,
    /// The inode number; is used again after a file is deleted.
    pub inode: u64,
    /// The birth time in nanoseconds since 1970, where the file system keeps one.
    pub birth: Option<i64>,
}

impl Identity {
    /// Device and inode: what is unique among the files that exist.
    pub fn place(&self) -> (u64, u64) {
        (self.device, self.inode)
    }
}

/// A file's content as the state remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Name, host and path of first sight, and the source that owns it.
    pub origin: Origin,
    /// What the file system said.
    pub identity: Identity,
    /// Random; enters the name where there is no birth time.
    pub nonce: u64,
    /// Raised by each truncation.
    pub generation: u32,
    /// The mark of the first bytes of the content: all of them up to [`Mark::MAX`] as of the last look.
    pub head: Mark,
    /// How the file that holds it now keeps it; offsets always count the bytes as they were written.
    pub packing: Packing,
    /// Its length when that was last worth keeping: when it was rotated, deleted, or the agent stopped.
    pub size: u64,
    /// Of a compressed file: its own length when it was found out how much comes out of it.
    pub packed_size: u64,
    /// A place that was read early, with its mark, where the head is not even one line: others may begin alike.
    pub pin: Option<(u64, Mark)>,
    /// Whether no path led to it any more: its inode may be another file's by now.
    pub is_deleted: bool,
    /// Whether it was said that what some output has not got of it is lost.
    pub is_lost: bool,
    /// When a scan last found it, to the day: what was not seen for long is forgotten.
    pub last_seen: Nanos,
    /// Where it was last found, links resolved; absolute.
    pub seen_at: Arc<str>,
}

/// How a file keeps its content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Packing {
    /// As it is.
    #[default]
    Plain,
    /// gzip (RFC 1952), perhaps several members.
    Gzip,
    /// Zstandard (RFC 8878), perhaps several frames, with a window of at most 8 MiB.
    Zstd,
}

/// A file that a scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Where; absolute.
    pub path: std::path::PathBuf,
    /// The number of the source that owns it, in configuration order.
    pub source: usize,
    /// What its name says of it.
    pub family: Family,
    /// The device number behind the path.
    pub device: u64,
    /// The inode number behind the path.
    pub inode: u64,
    /// Its length in bytes.
    pub size: u64,
    /// The time of its last change of content, nanoseconds since 1970.
    pub changed: i64,
}
