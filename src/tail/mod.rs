//! Tail: file identity, reading, rotation.
//!
//! **Identity.** A file is the one that is known when device, inode and birth time agree, and the bytes at its head
//! and before every cursor are still there ([`crate::model::Mark`]). When only the bytes differ it was truncated and
//! written anew: new content, a new name, generation + 1. It works from byte 1 and never decides on equal heads alone.
//!
//! **Rotations that are followed**
//! - rename and create: the descriptor stays open until every output is past the end, and longer, because a program
//!   may go on writing to its renamed file (the 256 that changed last stay, as long as there are descriptors);
//! - the renamed file matched by the glob again: same inode, same file;
//! - delete: likewise through the descriptor;
//! - truncate in place, also grown beyond the old length before the next look;
//! - all of these while the agent was stopped, as long as the globs still match the file.
//!
//! **Where data can still be lost**
//! - bytes that are truncated away before they were read: detected, and the alarm says how many;
//! - a file that was renamed or compressed to a name that no glob matches while the agent was stopped: not read
//!   until siblings of a file are followed (the next issue of this stage);
//! - a file that appears and is deleted between two scans, where notifications do not work;
//! - nothing is lost, but sent differently: the unterminated last line of a rotated file that does grow later is two
//!   records, and may after a crash at that moment come again as one;
//! - more files than descriptors: the rest is alarmed and read when there are free ones.

mod backing;
mod file;
mod inspect;
mod reader;
mod registry;
mod spool;
#[cfg(test)]
mod tests;
mod unpack;

pub use file::{Life, TailFile};
pub use inspect::{Inspected, Inspection};
pub use reader::{Buffer, Burst, TURN};
pub use registry::{Change, Clock, Figures, Registry, Remembered, Site, begins_like};
pub use spool::{Saved, Saving, Spool, Spooled};
