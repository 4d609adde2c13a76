//! What the operator types, and what the program answers: one module a command.
//!
//! Promises: what is asked for goes to stdout; logs and errors go to stderr, an error is one line and has an
//! exit code: 0 all is well, 1 a check failed, 2 usage or configuration, 3 the plugin is refused, 4 the data
//! is refused, 128 and more a signal. Called by `main` alone.

mod arguments;
mod arrival;
mod backup;
mod check;
mod config;
mod dump;
mod engines;
mod failure;
mod findings;
mod inspect;
mod interruption;
mod load;
mod load_rdb;
mod migrate;
mod new_engine;
mod output;
mod restore;
mod salvage;
mod serve;
mod signals;
mod store;
mod task;
mod transfer_arguments;
mod verify;

use std::process::ExitCode;

use clap::Parser;
use env_logger::Env;

use arguments::{Command, CommandLine, ConfigCommand};
use failure::Failure;

/// Runs the program with the arguments of the process, until the command is done.
pub fn main() -> ExitCode {
    let line = CommandLine::parse();
    // Before any plugin is loaded: plugins are told the log's level once.
    env_logger::Builder::from_env(Env::default().default_filter_or("info")).format_timestamp_millis().init();
    match run(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::error(&failure.to_string());
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(line: CommandLine) -> Result<(), Failure> {
    match line.command {
        None => serve::serve(&line.serve),
        Some(Command::Serve(arguments)) => serve::serve(&arguments),
        Some(Command::Engines(arguments)) => engines::engines(&arguments),
        Some(Command::Inspect(arguments)) => inspect::inspect(&arguments),
        Some(Command::Check(arguments)) => check::check(&arguments),
        Some(Command::CheckCase(arguments)) => check::check_case(&arguments),
        Some(Command::NewEngine(arguments)) => new_engine::new_engine(&arguments),
        Some(Command::Salvage(arguments)) => salvage::salvage(&arguments),
        Some(Command::Backup(arguments)) => backup::backup(&arguments),
        Some(Command::Restore(arguments)) => restore::restore(&arguments),
        Some(Command::Dump(arguments)) => dump::dump(&arguments),
        Some(Command::Load(arguments)) => load::load(&arguments),
        Some(Command::Migrate(arguments)) => migrate::migrate(&arguments),
        Some(Command::Verify(arguments)) => verify::verify(&arguments),
        Some(Command::Config { command }) => match command {
            ConfigCommand::Check(arguments) => config::check(&arguments),
            ConfigCommand::Explain(arguments) => config::explain(&arguments),
            ConfigCommand::Default { markdown } => config::default(markdown),
        },
    }
}
