//! Tail: which content is in which file, reading it, and following it through rotation.
//!
//! A *content* is what one program wrote to one file. It has a name, positions and marks; the file that it is in can
//! change: renamed, copied, compressed, deleted and saved. `registry` keeps the list, `file` is one content that is
//! read, `backing` the file behind it, `unpack` and `inspect` are for compressed ones, `spool` for deleted ones.
//!
//! # Matching
//!
//! A file is the one that is known when device, inode and birth time agree, and the bytes at its head and before both
//! places of every cursor are still there ([`crate::model::Mark`], up to 4 KiB each). When only the bytes differ it was truncated
//! and written anew: new content, a new name, generation + 1. It works from byte 1.
//!
//! A file with a rotated name ([`crate::model::Family`]) and another inode holds what is known when its content does:
//! compared with the file itself where that is still there, and with the marks where it is not. Equal heads alone are
//! never a reason to skip anything. Each known content is found in one file; a file that was not rotated is never taken
//! for another's copy.
//!
//! # Rotations that are followed, also while the agent was stopped
//!
//! - rename and create, any number of times: rotated siblings belong to their file though no glob names them, and are
//!   read in the order in which they were written. The descriptor stays open until every output is past the end, and
//!   longer, because a program may go on writing to its renamed file (the 256 that changed last stay).
//! - compressed with gzip or Zstandard, under a temporary or the final name: read on at the same logical offset once
//!   the compressed file is whole. While its source is there, that is read. Of a damaged one what comes out is
//!   read; one whose length changes is inspected anew, and read on.
//! - copied and truncated, also grown beyond the old length: what was not read is read from the copy, and the copy is
//!   not shipped again; a copy that lacks the last bytes is recognised by earlier marks, as long as the agent runs.
//! - deleted: read through the descriptor; what some output has not got is saved in the spool at once, from where it is
//!   read after a restart.
//! - a link turned to another file: the old one is read to its end, and on when it grows, as long as it stays where it
//!   was.
//!
//! # Where data can still be lost
//!
//! - What is written between copying and truncating, or truncated without a copy, before it was read. The alarm says
//!   how many bytes, as far as the file was ever seen longer.
//! - What was written to a file that was deleted before the next look, where nobody had it open: a file that appears and
//!   goes between two scans where notifications do not work; one that was closed because there are more files than
//!   descriptors.
//! - What a program writes to its deleted file after that was still for 30 s and delivered: it is closed then, because an
//!   open one holds its disk space for as long as the agent runs. Nothing shows that there was more.
//! - With `start_at = "end"`, what came into new files while the agent was stopped, when their source or output was given
//!   another name meanwhile: they are old at the first look of that one.
//! - What is deleted while the agent is stopped: alarmed with the bytes that were known of it.
//! - What does not fit into the spool, when the agent ends: alarmed with its bytes.
//! - Of two files with the same bytes in the same family, one is taken for the copy of the other when it was never seen
//!   by itself and the other is gone. Lines with a time or an id make this impossible.
//! - A file that was truncated without a copy and grew beyond its old length between two looks is recognised when it is
//!   read next, not before: while an output is away, the alarm waits with it.
//!
//! # Where data can be sent twice, under another name
//!
//! - A copy that was made by a program that gives it a name that no rotation gives.
//! - A copy that lacks bytes that were delivered, when the agent was stopped between copy and truncation, once the copy
//!   has been still for 30 s.
//! - A file that a power cut has left shorter than what was delivered of it, or with other bytes there, and a source of
//!   which that is true beside its compressed form.
//! - A content whose state is lost, where the file system keeps no birth times.
//! - A content that was found in no file for seven days, or after 1,024 others, and comes back.
//! - An unterminated last line of a rotated file that does grow later is two records, and may after a crash at that
//!   moment come again as one.
//!
//! # What costs more than it should
//!
//! - Copies and archives that some output still needs keep their descriptors; where there are more of them than
//!   descriptors, files wait, with an alarm.
//! - A `.gz` that grows without end is unpacked anew at every look that finds it changed.
//! - A spool file whose state was lost is shipped, and then stays until somebody removes it.
//! - A kill within a second of the spool's removal may alarm bytes as destroyed that were delivered.

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
pub use registry::{Change, Clock, Describe, Figures, Registry, Remembered, Site, begins_like, identity_of};
pub use spool::{Saved, Saving, Spool, Spooled};
