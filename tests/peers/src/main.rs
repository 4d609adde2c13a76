//! Our engines, through the plugin border, beside the stores that one would embed instead.
//!
//! ```text
//! cargo run --release                                             everything, three rounds
//! cargo run --release -- --stores heed,logmap --groups get,put    some of it
//! cargo run --release -- --rounds 1 --groups large --stores ENGINES…   4 GiB of data under 1 GiB of memory; needs root
//! cargo run --release -- --quick                                  whether everything works
//! ```
//!
//! Every store lives in a child process of its own, in a fresh folder, one after the other, round by round.
//! Needs librocksdb and libclang of the system. Nothing else should run on the machine.

mod data;
mod large;
mod loop_device;
mod memory_limit;
mod rounds;
mod rows;
mod store;
mod stores;
mod table;
mod timed;
mod usage;
mod workload;

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};

use workload::{Figures, Plan};

/// Our engines beside the stores that one would embed instead.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    child: Option<Child>,
    #[command(flatten)]
    arguments: rounds::Arguments,
}

#[derive(Debug, Subcommand)]
enum Child {
    /// One phase of one store, in a process of its own; the rounds call it
    #[command(hide = true)]
    Phase(PhaseArguments),
}

/// What a child process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Phase {
    /// The whole workload, save what follows.
    Workload,
    /// Fills a store, says so, and waits to be killed.
    Fill,
    /// Opens what was filled and killed.
    Recover,
    /// Fills a store that will be larger than memory.
    FillLarge,
    /// Reads and overwrites it.
    Large,
}

#[derive(Debug, Args)]
struct PhaseArguments {
    #[arg(long)]
    phase: Phase,
    #[arg(long)]
    store: String,
    #[arg(long)]
    directory: PathBuf,
    #[arg(long)]
    keys: u64,
    #[arg(long)]
    window_ms: u64,
    #[arg(long)]
    cache_bytes: u64,
    #[arg(long)]
    device: Option<String>,
    #[arg(long, value_delimiter = ',')]
    groups: Vec<String>,
}

#[allow(clippy::print_stdout, reason = "the figures are what it is for")]
fn main() -> Result<()> {
    let line = CommandLine::parse();
    match line.child {
        Some(Child::Phase(arguments)) => {
            phase(arguments, &mut |figures| {
                println!("{}", serde_json::to_string(&figures)?);
                Ok(())
            })?;
        }
        None => {
            let results = rounds::run(&line.arguments)?;
            print!("{}", results.text());
            if let Some(file) = &line.arguments.json {
                let json = serde_json::to_string_pretty(&results)? + "\n";
                std::fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
            }
            anyhow::ensure!(results.failures.is_empty(), "{} measurements failed", results.failures.len());
        }
    }
    Ok(())
}

fn phase(arguments: PhaseArguments, tell: &mut dyn FnMut(Figures) -> Result<()>) -> Result<()> {
    let plan = Plan {
        store: arguments.store,
        directory: arguments.directory,
        keys: arguments.keys,
        window: Duration::from_millis(arguments.window_ms),
        groups: arguments.groups,
        cache_bytes: arguments.cache_bytes,
        device: arguments.device,
    };
    match arguments.phase {
        Phase::Workload => workload::run(&plan).and_then(tell),
        Phase::Recover => workload::recover(&plan).and_then(tell),
        Phase::Large => {
            // The other side closes our input when the limit of memory holds.
            std::io::stdin().read_to_end(&mut Vec::new())?;
            large::run(&plan, tell)
        }
        Phase::FillLarge => large::fill(&plan).and_then(tell),
        Phase::Fill => {
            let (_store, keys) = workload::fill(&plan)?;
            let mut output = std::io::stdout().lock();
            writeln!(output, "{} {keys}", rounds::FILLED)?;
            output.flush()?;
            // The kill comes now. If whoever would do it has ended, so does this.
            std::io::stdin().read_to_end(&mut Vec::new())?;
            anyhow::bail!("it was to be killed")
        }
    }
}
