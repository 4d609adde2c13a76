//! Makes an experiment on one engine, in process, through the plugin border, on the real disk.
//!
//! ```text
//! cargo run --release -p bench --example engine -- write-amplification --engine btree --svg wa.svg
//! cargo run --release -p bench --example engine -- held-view --engine btree --option view_bytes=67108864 --seconds 60
//! ```
//!
//! Prints the command, the machine and a table. Nothing else should run on the machine.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an experiment prints its findings")]

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
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
    /// An option of the engine
    #[arg(long = "option", value_name = "NAME=VALUE")]
    options: Vec<String>,
    /// Entries that are there before anything is measured; of 16 and 100 bytes
    #[arg(long)]
    keys: Option<u64>,
    /// Seconds of one run, where it is time that ends it
    #[arg(long)]
    seconds: Option<u64>,
    /// Bytes of the log between two checkpoints, where several are tried
    #[arg(long, value_delimiter = ',')]
    budgets: Vec<u64>,
    /// Pairs of runs, where two sides are compared
    #[arg(long)]
    pairs: Option<usize>,
    /// Where the stores are; cargo's target folder unless set
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Also write everything, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also draw it
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Only see whether everything works: few keys, short runs, figures that mean nothing
    #[arg(long)]
    quick: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let words: Vec<_> = std::env::args().skip(1).collect();
    let scale = if arguments.quick { Scale::quick() } else { Scale::whole(arguments.experiment) };
    let scale = Scale {
        keys: arguments.keys.unwrap_or(scale.keys),
        seconds: arguments.seconds.unwrap_or(scale.seconds),
        budgets: if arguments.budgets.is_empty() { scale.budgets } else { arguments.budgets },
        pairs: arguments.pairs.unwrap_or(scale.pairs),
        is_quick: scale.is_quick,
    };
    let request = Request {
        experiment: arguments.experiment,
        engine: arguments.engine,
        options: arguments.options,
        parent: arguments.dir,
        scale,
        command: format!("cargo run --release -p bench --example engine -- {}", words.join(" ")),
    };
    let findings = run(&request, &mut |line| eprintln!("{line}"))?;
    print!("{}", findings.text());
    if let Some(file) = arguments.json {
        write(&file, &findings.json()?)?;
    }
    if let Some(file) = arguments.svg {
        write(&file, &findings.svg)?;
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}
