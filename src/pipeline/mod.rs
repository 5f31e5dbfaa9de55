//! Pipeline: the only wiring. It starts the threads, and passes what the stages say to one another.
//!
//! ```text
//!  follow thread            one lane (thread) per output                       tokio
//!  discover, tail  ──────▶  read → frame → parse → guard → encode → batch ──▶  compress, send
//!     ▲    │   files, growth         settle  ◀───────────── verdicts ──────────────┘
//!     │    ▼                            │
//!     │   state ◀── cursors ────────────┘        commit thread: state.sync() once a second
//!     ├── "its content was replaced"
//!     ├── helpers: inspect (unpacks what was compressed), spool (saves what was deleted)
//!     └── pods: asks for the labels of pods, which nobody waits for
//! ```
//!
//! Channels carry files, sealed batches and verdicts, never lines.

mod alarm;
mod batches;
mod burying;
mod committing;
mod connect;
mod containers;
mod files;
mod follow;
mod gauges;
mod helpers;
mod lane;
mod late;
mod owners;
mod paces;
mod plan;
mod pods;
mod reading;
mod ready;
mod receipts;
mod replay;
mod report;
mod run;
mod sealing;
mod sending;
mod settings;
mod showing;
mod succession;

pub use connect::{Connection, try_outputs};
pub use gauges::{Figures, FileNumbers, Live, OutputFigures, OutputNumbers};
pub use replay::{ReplayError, Replayed, replay, skip};
pub use report::{Counts, Left, OutputReport, Report};
pub use run::{Ended, Moment, Options, Outcome, Progress, RunError, run};
pub use settings::*;
