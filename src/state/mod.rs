//! Commit: what survives a crash, a power cut and a full disk.
//!
//! The state is an append-only log of entries with a checksum each ([`log`]); a generation of it begins with a
//! snapshot of everything. A new generation is written to a temporary file, synced, renamed, and its folder synced;
//! the one before is kept.
//!
//! - Names, admitted label values and streams are synced before a record that uses them is sent ([`Store::sync`]).
//! - Cursors are synced at most once a second; a lost cursor means "send again", unchanged.
//! - Damage falls back to what is whole before it, then one generation, then to the start of the files: never to
//!   their end, never to a crash loop.
//! - A folder that cannot be written does not stop shipping: no position is claimed, and an alarm says so.
//!
//! Known limits: with all generations unreadable, file names are made anew; where the file system keeps birth times
//! they are the same as before.

mod entry;
#[rustfmt::skip]
#[allow(missing_docs, unreachable_pub, clippy::all)]
mod generated;
mod log;
mod memory;
mod store;
#[cfg(test)]
mod tests;

pub use entry::{Entry, Health};
pub use memory::Memory;
pub use store::{OpenError, Store, read};
