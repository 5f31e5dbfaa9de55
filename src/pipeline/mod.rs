//! Pipeline: the only wiring. It starts the threads, and passes what the stages say to one another.
//!
//! ```text
//!  follow thread            one lane (thread) per output                       tokio
//!  discover, tail  ──────▶  read → frame → parse → guard → encode → batch ──▶  compress, send
//!     ▲    │   files, growth         settle  ◀───────────── verdicts ──────────────┘
//!     │    ▼                            │
//!     │   state ◀── cursors ────────────┘        commit thread: state.sync() once a second
//!     ├── "its content was replaced"
//!     └── helpers: inspect (unpacks what was compressed), spool (saves what was deleted)
//! ```
//!
//! Channels carry files, sealed batches and verdicts, never lines.

mod alarm;
mod committing;
mod connect;
mod files;
mod follow;
mod helpers;
mod lane;
mod owners;
mod plan;
mod reading;
mod ready;
mod report;
mod run;
mod sending;
mod settings;

pub use connect::{Connection, try_outputs};
pub use report::{Counts, Left, OutputReport, Report};
pub use run::{Ended, Options, Outcome, Progress, RunError, run};
pub use settings::*;
