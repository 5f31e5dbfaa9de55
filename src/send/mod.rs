//! Send: the only place that names `reqwest`. What is sent next, what an answer changes, and how long to wait are
//! pure ([`Work`], [`Health`]); [`Client`] is the edge.
//!
//! Nothing here ever gives up on a record: a stall is retried for ever with back-off, and a record that the
//! destination refuses is found by halving, then held and tried again.

mod client;
mod download;
mod health;
mod pace;
pub(crate) mod secret;
mod settings;
#[cfg(test)]
mod tests;
mod work;

pub use client::{Answer, Client};
pub use download::Download;
pub use health::{Change, Gate, Health};
pub use pace::{Concurrency, Pace};
pub use secret::SecretError;
pub use settings::{Auth, Http, Secret};
pub use work::{Failed, Next, Refusal, Work};
