//! What a registry is told, and what it says.

use crate::{
    ack::FileKey,
    model::{Container, FileName, Known, Mark, Nanos, Point},
    tail::{file::TailFile, inspect::Inspection, spool::Saving},
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// Now, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// Since the agent started; never goes back.
    pub uptime: Duration,
    /// The wall clock.
    pub wall: Nanos,
}

/// What the state remembers of a file's content.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// What it is.
    pub known: Known,
    /// Every output's place in it.
    pub points: Vec<Point>,
    /// Ends of stretches before those places, and their marks, rising; not kept over a restart.
    pub trail: Vec<(u64, Mark)>,
}

impl Remembered {
    pub(super) fn of(file: &TailFile) -> Remembered {
        Remembered { known: file.known_now(), points: file.points(), trail: file.trail() }
    }
}

/// What a look at the files found.
#[derive(Debug)]
pub enum Change {
    /// A file's content to read: new, known from before, or in the place of one that was truncated.
    Opened {
        /// The content.
        file: Arc<TailFile>,
        /// Whether the state knew it; otherwise it must be persisted before the first send.
        is_remembered: bool,
    },
    /// Something of what is persisted of a content is another now.
    Updated(Known),
    /// No output takes the source that owned a content, or there is none of that name any more: the one that names its
    /// file now owns it.
    PassedOn {
        /// The content.
        known: Known,
        /// The source that owned it.
        from: Arc<str>,
    },
    /// A content that no file holds any more was dropped to make room, or because it is long gone.
    Forgotten(FileName),
    /// A remembered content is in no file that can be found: truncated away, deleted, or out of sight, while nobody
    /// looked.
    Destroyed {
        /// The content.
        known: Known,
        /// How many bytes of it, at least, some output did not have, where that is known.
        unread: Option<u64>,
    },
    /// The file grew or changed.
    Grew,
    /// Nobody needs the file open any more; its place is remembered.
    Closed {
        /// Its number in this process.
        key: FileKey,
    },
    /// A file cannot be opened or read; tried again at each scan.
    Unreadable {
        /// Where it is.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Has to be unpacked to know what it is: [`Registry::inspected`](super::Registry::inspected) wants the answer.
    Inspect(Inspection),
    /// A compressed file is cut off or damaged, and stays so; what comes out of it is read.
    Broken {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        error: io::Error,
    },
    /// Deleted, and some output has not got all of it: [`Registry::saved`](super::Registry::saved) wants the answer.
    Save(Saving),
    /// Nothing of a content is needed from the spool.
    Unsave(FileName),
    /// A program writes to a file that was deleted.
    WrittenThoughDeleted {
        /// Where it was.
        path: PathBuf,
    },
    /// So many files wait for a descriptor; 0 when none waits any more. Said when it changes from or to 0.
    Short {
        /// How many.
        waiting: usize,
    },
}

/// What is known of the container that wrote a file of this source at this path.
pub type Describe = Box<dyn Fn(usize, &Path) -> Option<Arc<Container>> + Send>;

/// What a registry is told about the agent.
#[derive(Debug)]
pub struct Site {
    /// What tells this machine's files from those of others.
    pub machine: Vec<u8>,
    /// The agent's name in every record.
    pub host: Arc<str>,
    /// The names of the sources, in configuration order.
    pub sources: Vec<Arc<str>>,
    /// By source: whether rotated files go to a folder of their own.
    pub rotates_elsewhere: Vec<bool>,
    /// By source: whether the files of a family go on in one another, and are read in turn.
    pub in_turn: Vec<bool>,
    /// How many outputs there are.
    pub outputs: usize,
    /// By source: how many of them take it.
    pub takers: Vec<usize>,
    /// How many files may be open.
    pub capacity: usize,
}

impl Site {
    /// The source that owned the content at first sight, where there still is one of that name: how its lines are framed
    /// must not change.
    pub(super) fn source_of(&self, known: &Known) -> Option<usize> {
        self.sources.iter().position(|name| *name == known.origin.source)
    }

    /// The same, but a source that no output takes gives its contents to the one that names their files now.
    pub(super) fn owner_of(&self, known: &Known, named_by: usize) -> usize {
        let owner = self.source_of(known).unwrap_or(named_by);
        if self.takers_of(owner) == 0 && self.takers_of(named_by) > 0 { named_by } else { owner }
    }

    /// How many outputs take the source.
    pub(super) fn takers_of(&self, source: usize) -> usize {
        self.takers.get(source).copied().unwrap_or(0)
    }

    /// Whether the source's rotated files go to a folder of their own.
    pub(super) fn is_rotated_elsewhere(&self, source: usize) -> bool {
        self.rotates_elsewhere.get(source) == Some(&true)
    }

    /// Whether the source's files are read one after the other.
    pub(super) fn is_in_turn(&self, source: usize) -> bool {
        self.in_turn.get(source) == Some(&true)
    }
}

impl Clock {
    pub(super) fn day(self) -> Nanos {
        Nanos(self.wall.0 - self.wall.0.rem_euclid(super::DAY))
    }
}
