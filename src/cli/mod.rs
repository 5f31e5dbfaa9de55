//! The commands. Exit codes: 0 done; 1 failed while running; 2 usage or configuration.

// What a command says is its purpose.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod check;
mod demo;
mod logging;
mod receive;
mod replay;
mod run;
mod status;
mod table;

use crate::{
    config::{self, ConfigErrors},
    pipeline::Settings,
};
use clap::{Args, Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

/// Ships audit logs to the SIEM, byte for byte.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ship, until stopped
    Run(run::RunArgs),
    /// Check a configuration: every error with its place, what was found and what is allowed
    Check(check::CheckArgs),
    /// Show per output and file what is acknowledged and what is not
    Status(status::StatusArgs),
    /// Send the dead letters of an output again, or have a record that stalls it put into them
    Replay(replay::ReplayArgs),
    /// Be a local Loki, Elasticsearch, Splunk HEC and Datadog, as strict as the real ones
    Receiver(receive::ReceiverArgs),
    /// See it all work in half a minute: nothing to install, nothing left behind
    Demo(demo::DemoArgs),
}

/// Where the configuration comes from.
#[derive(Clone, Debug, Args)]
struct ConfigArgs {
    /// The configuration (TOML). AUDITSHIP__… variables override its keys; without a file they alone are it
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    fn load(&self) -> Result<Settings, Failure> {
        Ok(config::load(self.config.as_deref(), std::env::vars_os())?)
    }
}

/// Why a command ends with something else than 0.
#[derive(Debug)]
enum Failure {
    /// Exit code 2.
    Usage(String),
    /// Exit code 1.
    Failed(String),
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Failure {
        Failure::Usage(errors.to_string().trim_end().to_owned())
    }
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::check(&args),
        Command::Status(args) => status::status(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Receiver(args) => receive::receive(&args),
        Command::Demo(args) => demo::demo(&args),
    };
    let (code, text) = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Failed(text)) => (1, text),
        Err(Failure::Usage(text)) => (2, text),
    };
    eprintln!("{text}");
    ExitCode::from(code)
}
