//! The agent's own log: to standard error, for people or one JSON object a line.

use crate::pipeline::LogFormat;
use std::io::IsTerminal as _;
use tracing::Level;
use tracing_subscriber::{filter::LevelFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Starts logging. The libraries below us say nothing under `warn`.
pub(super) fn start(level: Level, format: LogFormat) {
    let ours = tracing_subscriber::filter::Targets::new()
        .with_default(LevelFilter::from_level(level.min(Level::WARN)))
        .with_target("auditship", level);
    let registry = tracing_subscriber::registry().with(ours);
    let is_terminal = std::io::stderr().is_terminal();
    let layer = fmt::layer().with_writer(std::io::stderr).with_ansi(is_terminal).with_target(false);
    // Only the first of a process counts; a second one means a test.
    let _ = match format {
        LogFormat::Text => registry.with(layer).try_init(),
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
}
