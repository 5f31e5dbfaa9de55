//! auditship ships audit logs: every audit line that it could still read reaches the SIEM, byte for byte.
//!
//! The folders are the flow, in this order:
//!
//! ```text
//! discover → tail → frame → parse → guard → batch → send → settle (ack) → commit (state)
//! ```
//!
//! [`model`] holds the nouns that all stages share, [`output`] the destinations, [`pipeline`] the only wiring.
//! `ARCHITECTURE.md` says what each part never does; `tests/tidy.rs` keeps the direction of the dependencies.

pub mod ack;
pub mod admin;
pub mod batch;
pub mod cli;
pub mod config;
pub mod dead_letters;
pub mod discover;
pub mod frame;
pub mod guard;
pub mod model;
pub mod output;
pub mod parse;
pub mod pipeline;
pub mod receiver;
pub mod send;
pub mod state;
pub mod tail;
