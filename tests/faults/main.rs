//! What goes wrong with log shippers in the field, made to happen to the real binary: rotations while nobody looks,
//! copies, compression, kills, damaged state. One file for each recipe; each prints its figures.
//!
//! `AUDITSHIP_TEST_LONG=1` takes the sizes and times of real outages; `AUDITSHIP_TEST_SEED=n` repeats a run by chance.
//! `cargo test --test faults -- --nocapture` shows the figures, and what was skipped because the machine cannot do it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

// Shared with the end-to-end tests; each of the two uses some of it only.
#[allow(dead_code, unused_imports)]
#[path = "../rig/mod.rs"]
mod rig;
mod world;

mod container;
mod content;
mod deleted;
mod disk;
mod gzip;
mod logrotate;
mod power;
mod remains;
mod siblings;
mod t1;
mod t2;
mod t3;
mod t5;
mod t6;
mod thousand;
mod volatile;
mod watch;
