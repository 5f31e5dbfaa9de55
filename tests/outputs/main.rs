//! The four outputs of the real agent against local destinations that misbehave in the way of each: what was confirmed is
//! not sent again, what is refused is found and put aside, and everything else arrives once in effect, byte for byte.
//! Everything happens on loopback and in temporary folders.
//!
//! `AUDITSHIP_TEST_LONG=1` makes the backlog of `isolation` as large as in production.
//! `cargo test --test outputs -- --nocapture` shows the figures.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

// Shared with the other tests; this one uses some of it only.
#[allow(dead_code, unused_imports)]
#[path = "../rig/mod.rs"]
mod rig;

use rig::{kinds, machine};

mod credentials;
mod elastic;
mod four;
mod isolation;
mod noise;
mod read;
mod server;
mod splunk;
mod world;
