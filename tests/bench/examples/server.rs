//! Prints the whole table of our server beside Debian's redis-server.
//!
//! ```text
//! cargo run --release -p bench --example server -- --engine logmap
//! cargo run --release -p bench --example server -- --rows set-c50,restart --pairs 3 --json results.json
//! ```
//!
//! It builds the host and the engine, starts both servers, fills them and measures in interleaved pairs.
//! Needs redis-server and redis-benchmark. Nothing else should run on the machine.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its results")]

use std::path::PathBuf;

use anyhow::{Context, Result};
use bench::plot;
use bench::report::Results;
use bench::server::{Request, Scale, measure};
use clap::Parser;

/// Our server beside redis-server, row by row, in interleaved pairs of runs.
#[derive(Debug, Parser)]
struct Arguments {
    /// The name of an engine of ours, or the path of a plugin
    #[arg(long, default_value = "logmap")]
    engine: String,
    /// An option of the engine
    #[arg(long = "option", value_name = "NAME=VALUE")]
    options: Vec<String>,
    /// Pairs of runs for each row
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Only rows whose names contain one of these
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Where the servers keep their data; cargo's target folder unless set
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Also write every run, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also draw the ratios, and beside them the times of the open loop in FILE-times.svg
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Only see whether everything works: few keys, short runs, figures that mean nothing
    #[arg(long)]
    quick: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let words: Vec<_> = std::env::args().skip(1).collect();
    let request = Request {
        engine: arguments.engine,
        options: arguments.options,
        pairs: arguments.pairs,
        rows: arguments.rows,
        parent: arguments.dir,
        scale: if arguments.quick { Scale::QUICK } else { Scale::WHOLE },
        command: format!("cargo run --release -p bench --example server -- {}", words.join(" ")),
    };
    let results = measure(&request, &mut |line| eprintln!("{line}"))?;
    print!("{}", results.table());
    println!("{} of {} rows missed what is expected of them", results.missed(), results.rows.len());
    if let Some(file) = arguments.json {
        std::fs::write(&file, results.json()?).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if let Some(file) = arguments.svg {
        draw(&results, &file)?;
    }
    Ok(())
}

fn draw(results: &Results, file: &std::path::Path) -> Result<()> {
    let write = |file: &std::path::Path, svg: String| {
        std::fs::write(file, svg).with_context(|| format!("cannot write {}", file.display()))
    };
    let title = format!("{} beside {}", results.ours, results.rival);
    write(file, plot::ratios(&title, &results.rows))?;
    let sides =
        |row: &bench::report::Row| [("ours", row.ours.last().cloned()), ("rival", row.rival.last().cloned())];
    let rows = results.rows.iter().filter(|row| row.id == "mix-open-get-p99");
    let summaries: Vec<_> = rows
        .flat_map(sides)
        .filter_map(|(side, sample)| Some((side.to_string(), sample?.latency?)))
        .collect();
    if summaries.is_empty() {
        return Ok(());
    }
    let curves: Vec<_> = summaries.iter().map(|(side, summary)| (side.clone(), summary)).collect();
    let times = plot::latencies("GET beside SET, open loop: time from when it was meant to be sent", &curves);
    write(&file.with_extension("times.svg"), times)
}
