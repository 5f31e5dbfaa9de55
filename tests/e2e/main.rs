//! The agent as its users run it, end to end: started, killed, starved, misconfigured and lied to. Everything happens
//! on loopback and in temporary folders.
//!
//! `AUDITSHIP_TEST_LONG=1` makes outages as long as real ones; `AUDITSHIP_TEST_SEED=n` repeats a run by chance.
//! `cargo test --test e2e -- --nocapture` shows the figures.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

// Shared with the fault tests; each of the two uses some of it only.
#[allow(dead_code, unused_imports)]
#[path = "../rig/mod.rs"]
mod rig;

mod admin;
mod configuration;
mod connect;
mod kill;
mod labels;
mod late;
mod metadata;
mod once;
mod outage;
mod refused;
mod rotation;
mod stop;
mod tls;
