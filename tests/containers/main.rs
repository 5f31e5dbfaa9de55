//! Container logs as real runtimes write them: a Docker engine (json-file) and conmon (the CRI form), each started by
//! the tests with folders of its own. The agent is killed again and again while a container writes and its log is
//! rotated away; every audit line must arrive once in effect, and nothing else.
//!
//! What the container writes is known beforehand ([`story`]), what the runtime makes of it is read by a follower that
//! shares no code with the agent ([`witness`]), and what arrives is joined and compared in [`proof`].
//!
//! A machine without the programs, or without the right to mount, skips these by name.
//! `cargo test --test containers -- --nocapture` shows the figures.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

// Shared with other tests; each uses some of it only.
#[allow(dead_code, unused_imports)]
#[path = "../rig/mod.rs"]
mod rig;

mod case;
mod conmon;
mod docker;
mod engine;
mod pause;
mod proof;
mod story;
mod witness;
