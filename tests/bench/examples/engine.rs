//! Makes an experiment on one engine, in process, through the plugin border, on the real disk.
//!
//! ```text
//! cargo run --release -p bench --example engine -- write-amplification --engine btree --svg wa.svg
//! cargo run --release -p bench --example engine -- amplification --engine lsm --svg lsm.svg
//! cargo run --release -p bench --example engine -- soak --engine lsm --seconds 60
//! cargo run --release -p bench --example engine -- crossover --svg crossover.svg
//! cargo run --release -p bench --example engine -- held-view --engine btree --option view_bytes=67108864 --seconds 60
//! ```
//!
//! Prints the command, the machine and a table; ends with an error if what must not be was found. Nothing else should run on the machine.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an experiment prints its findings")]

use anyhow::{Result, ensure};
use bench::arguments::{Common, command, write};
use bench::engine::{Experiment, Request, Scale, run};
use clap::Parser;

/// An experiment on one engine.
#[derive(Debug, Parser)]
struct Arguments {
    /// What is to be found out
    experiment: Experiment,
    /// The name of an engine of ours, or the path of a plugin
    #[arg(long, default_value = "btree")]
    engine: String,
    /// The engine beside it, where two are compared; options are those of both
    #[arg(long, default_value = "lsm")]
    beside: String,
    /// Entries that are there before anything is measured; of 16 and 100 bytes
    #[arg(long)]
    keys: Option<u64>,
    /// Seconds of one run, where it is time that ends it
    #[arg(long)]
    seconds: Option<u64>,
    /// Seconds of quiet behind a load
    #[arg(long)]
    quiet: Option<u64>,
    /// Bytes of the log between two checkpoints, where several are tried
    #[arg(long, value_delimiter = ',')]
    budgets: Vec<u64>,
    /// How many memtables of data, where several amounts are tried
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<u64>,
    /// Pairs of runs, where two sides are compared
    #[arg(long)]
    pairs: Option<usize>,
    #[command(flatten)]
    common: Common,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let Common { options, dir, json, svg, quick } = arguments.common;
    let scale = if quick { Scale::quick() } else { Scale::whole(arguments.experiment) };
    let scale = Scale {
        keys: arguments.keys.unwrap_or(scale.keys),
        seconds: arguments.seconds.unwrap_or(scale.seconds),
        quiet: arguments.quiet.unwrap_or(scale.quiet),
        budgets: if arguments.budgets.is_empty() { scale.budgets } else { arguments.budgets },
        sizes: if arguments.sizes.is_empty() { scale.sizes } else { arguments.sizes },
        pairs: arguments.pairs.unwrap_or(scale.pairs),
        is_quick: scale.is_quick,
    };
    let request = Request {
        experiment: arguments.experiment,
        engine: arguments.engine,
        beside: arguments.beside,
        options,
        parent: dir,
        scale,
        command: command("engine"),
    };
    let findings = run(&request, &mut |line| eprintln!("{line}"))?;
    print!("{}", findings.text());
    if let Some(file) = json {
        write(&file, &findings.json()?)?;
    }
    if let Some(file) = svg {
        write(&file, &findings.svg)?;
    }
    ensure!(findings.failures.is_empty(), "the experiment has failed: {}", findings.failures.join("; "));
    Ok(())
}
