//! Experiments on an engine by itself: the shared library as the server loads it, with its lanes, on the real disk,
//! without a server and its clients.
//!
//! Promises: every experiment is by the name of an engine and its options, and uses nothing but the contract, the
//! engine's metrics, and the bytes by cause that the environment counts. What it reads it checks. An engine that cannot
//! be asked a question is refused by name. The example `engine` calls [`run`].
//!
//! ```text
//! write_amplification   bytes written for a byte of the user, by cause, beside the model of a B-tree
//! space_amplification   room taken on disk for a byte of the user                                      ┐
//! checkpoint_latency    times of reads and durable writes while checkpoints run, and without           │
//! held_view             memory while a view is held under full write load                              ├─ findings
//! amplification         writes, reads and room of an LSM tree by style and size      lsm_model         │
//! crossover             which of two engines is faster, and where that changes                         │
//! soak                  full write load for long, then quiet; it can fail                              ┘
//! store   the engine, open in a folder of its own        data   entries that say whether they are right
//! reads   gets that count what they cost
//! ```

mod amplification;
mod checkpoint_latency;
mod crossover;
mod data;
mod findings;
mod held_view;
mod lsm_model;
mod reads;
mod soak;
mod space_amplification;
mod store;
mod write_amplification;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::ValueEnum;

pub use findings::{Cell, Findings};

use crate::report::{Machine, now};

/// The options that experiments on LSM trees set.
mod lsm_option {
    pub(super) const MEMTABLE: &str = "memtable_bytes";
    pub(super) const TABLE: &str = "table_bytes";
    pub(super) const LOG_SEGMENT: &str = "log_segment";
}

const MIB: f64 = (1 << 20) as f64;

/// What is to be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Experiment {
    /// Bytes written for each byte of the user, by cause, for several lengths of the log, beside the model
    WriteAmplification,
    /// Room on disk for each byte of the user: filled, overwritten twice, half of it deleted; each also compacted
    SpaceAmplification,
    /// Times of reads and of durable writes while checkpoints run, beside the same without any
    CheckpointLatency,
    /// Memory while a view is held under full write load
    HeldView,
    /// What an LSM tree writes, reads and takes for each byte, by style of compaction, filters and size, beside the models
    Amplification,
    /// Random writes as fast as they go with 10 % reads, second by second; then whether reads come back
    Soak,
    /// Two engines by the share of writes, the amount of data and the length of values, and where the faster one changes
    Crossover,
}

/// How much is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    /// Entries that are there before anything is measured.
    pub keys: u64,
    /// Seconds of one run, where it is time that ends it.
    pub seconds: u64,
    /// Seconds of quiet behind a load, where it is to be seen whether all is as before.
    pub quiet: u64,
    /// Bytes of the log between two checkpoints, one store for each.
    pub budgets: Vec<u64>,
    /// How many memtables of data there are, one store for each.
    pub sizes: Vec<u64>,
    /// Pairs of runs.
    pub pairs: usize,
    /// Whether figures mean nothing: it is only tried whether everything works.
    pub is_quick: bool,
}

impl Scale {
    /// What an experiment takes to mean something.
    pub fn whole(experiment: Experiment) -> Self {
        let seconds = match experiment {
            Experiment::HeldView => 600,
            Experiment::Soak => 180,
            Experiment::Crossover => 2,
            _ => 30,
        };
        let budgets = [1, 4, 16, 64, 256].map(|mib| mib << 20).to_vec();
        let sizes = vec![1, 2, 5, 10, 20];
        Self { keys: 1_000_000, seconds, quiet: 60, budgets, sizes, pairs: 3, is_quick: false }
    }

    /// Only to see whether everything works.
    pub fn quick() -> Self {
        let budgets = [32, 128, 512].map(|kib| kib << 10).to_vec();
        Self { keys: 20_000, seconds: 2, quiet: 2, budgets, sizes: vec![2, 20], pairs: 1, is_quick: true }
    }
}

/// What is to be found out of which engine.
#[derive(Debug, Clone)]
pub struct Request {
    /// The question.
    pub experiment: Experiment,
    /// The name of an engine of ours, or the path of a plugin.
    pub engine: String,
    /// The engine beside it, where two are compared.
    pub beside: String,
    /// Options of the engine, `NAME=VALUE`.
    pub options: Vec<String>,
    /// Where the folder of each store is made; cargo's target folder unless set.
    pub parent: Option<PathBuf>,
    /// How much is done.
    pub scale: Scale,
    /// How the findings say that they were made.
    pub command: String,
}

/// Makes the experiment, telling `progress` of every part. Blocks for as long as that takes.
///
/// # Errors
/// If the engine does not do what it should, or lacks what the question is about.
pub fn run(request: &Request, progress: &mut dyn FnMut(&str)) -> Result<Findings> {
    let launcher = store::Launcher::new(request)?;
    let found = match request.experiment {
        Experiment::WriteAmplification => write_amplification::run(&launcher, &request.scale, progress),
        Experiment::SpaceAmplification => space_amplification::run(&launcher, &request.scale, progress),
        Experiment::CheckpointLatency => checkpoint_latency::run(&launcher, &request.scale, progress),
        Experiment::HeldView => held_view::run(&launcher, &request.scale, progress),
        Experiment::Amplification => amplification::run(&launcher, &request.scale, progress),
        Experiment::Soak => soak::run(&launcher, &request.scale, progress),
        Experiment::Crossover => {
            let beside = Request { engine: request.beside.clone(), ..request.clone() };
            let beside = store::Launcher::new(&beside)?;
            crossover::run([&launcher, &beside], &request.scale, progress)
        }
    };
    let found = found.with_context(|| format!("engine {}", launcher.engine()))?;
    let experiment = request.experiment.to_possible_value();
    Ok(Findings {
        experiment: experiment.map_or_else(String::new, |value| value.get_name().to_string()),
        command: request.command.clone(),
        time: now(),
        machine: Some(Machine::this()),
        engine: launcher.engine(),
        options: launcher.options()?,
        quick: request.scale.is_quick,
        ..found
    })
}

#[cfg(test)]
mod tests;
