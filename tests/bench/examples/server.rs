//! Prints the whole table of our server beside Debian's redis-server.
//!
//! ```text
//! cargo run --release -p bench --example server -- --engine logmap
//! cargo run --release -p bench --example server -- --rows set-c50,restart --pairs 3 --json results.json
//! ```
//!
//! It builds the host and the engine, starts both servers, fills them and measures in interleaved pairs. `--svg x.svg`
//! draws the ratios, and the times of the open loop into x.times.svg.
//! Needs redis-server and redis-benchmark. Nothing else should run on the machine.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints its results")]

use std::path::Path;

use anyhow::Result;
use bench::arguments::{Common, command, write};
use bench::chart::latencies;
use bench::plot::ratios;
use bench::report::{Results, Row};
use bench::server::{Request, Scale, measure};
use clap::Parser;

/// Our server beside redis-server, row by row, in interleaved pairs of runs.
#[derive(Debug, Parser)]
struct Arguments {
    /// The name of an engine of ours, or the path of a plugin
    #[arg(long, default_value = "logmap")]
    engine: String,
    /// Pairs of runs for each row
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Only rows whose names contain one of these
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    #[command(flatten)]
    common: Common,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let Common { options, dir, json, svg, quick } = arguments.common;
    let request = Request {
        engine: arguments.engine,
        options,
        pairs: arguments.pairs,
        rows: arguments.rows,
        parent: dir,
        scale: if quick { Scale::QUICK } else { Scale::WHOLE },
        command: command("server"),
    };
    let results = measure(&request, &mut |line| eprintln!("{line}"))?;
    print!("{}", results.table());
    println!("{} of {} rows missed what is expected of them", results.missed(), results.rows.len());
    if let Some(file) = json {
        write(&file, &results.json()?)?;
    }
    if let Some(file) = svg {
        draw(&results, &file)?;
    }
    Ok(())
}

/// Draws the ratios, and beside them the times of the open loop into a file of its own.
fn draw(results: &Results, file: &Path) -> Result<()> {
    let title = format!("{} beside {}", results.ours, results.rival);
    write(file, &ratios(&title, &results.rows))?;
    let sides = |row: &Row| [("ours", row.ours.last().cloned()), ("rival", row.rival.last().cloned())];
    let rows = results.rows.iter().filter(|row| row.id == "mix-open-get-p99");
    let summaries: Vec<_> = rows
        .flat_map(sides)
        .filter_map(|(side, sample)| Some((side.to_string(), sample?.latency?)))
        .collect();
    if summaries.is_empty() {
        return Ok(());
    }
    let curves: Vec<_> = summaries.iter().map(|(side, summary)| (side.clone(), summary)).collect();
    let times = latencies("GET beside SET, open loop: time from when it was meant to be sent", &curves);
    write(&file.with_extension("times.svg"), &times)
}
