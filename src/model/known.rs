//! What survives a restart about a file.

use super::{Mark, Origin};

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

/// A file's content as the state remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Name, host, path and source of first sight.
    pub origin: Origin,
    /// What the file system said.
    pub identity: Identity,
    /// Random; enters the name where there is no birth time.
    pub nonce: u64,
    /// Raised by each truncation.
    pub generation: u32,
    /// The mark of the first bytes of the content: all of them up to [`Mark::MAX`] as of the last look.
    pub head: Mark,
}

/// A file that a scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Where; absolute.
    pub path: std::path::PathBuf,
    /// The number of the source that owns it, in configuration order.
    pub source: usize,
    /// The device number behind the path.
    pub device: u64,
    /// The inode number behind the path.
    pub inode: u64,
    /// Its length in bytes.
    pub size: u64,
    /// The time of its last change of content, nanoseconds since 1970.
    pub changed: i64,
}
