//! Our server beside Debian's redis-server: the rows, the runs, the table.
//!
//! Promises: one default configuration of ours for all rows; both servers on one file system, in turns, each
//! at rest when a run begins. The example `server` calls [`measure`].
//!
//! Every row's data is `key:000000000000` and 100 bytes. Servers stay up from run to run, filled with the same
//! keys, save where memory and restarts are measured: there each run has a server of its own.

mod contestant;
pub mod rows;
mod runs;
mod targets;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

pub use contestant::{Contestant, Launcher, Running};
pub use runs::Scale;

use crate::pairs::{Pairs, Side, interleaved};
use crate::report::{Machine, Results, Row, RowSpec, Sample, now};

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Request {
    /// The name of an engine of ours, or the path of a plugin.
    pub engine: String,
    /// Options of the engine, `NAME=VALUE`.
    pub options: Vec<String>,
    /// How many pairs of runs a row gets.
    pub pairs: usize,
    /// Parts of names of rows; every row if empty.
    pub rows: Vec<String>,
    /// Where the servers' folders are made.
    pub parent: Option<PathBuf>,
    /// How long and how much.
    pub scale: Scale,
    /// How the results say that they were made.
    pub command: String,
}

impl Request {
    fn wants(&self, spec: RowSpec) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|part| spec.id.contains(part.as_str()))
    }

    /// Every part names some row.
    fn check(&self) -> Result<()> {
        for part in &self.rows {
            let ids: Vec<_> = rows::all().map(|spec| spec.id).collect();
            let is_known = !part.is_empty() && ids.iter().any(|id| id.contains(part.as_str()));
            ensure!(is_known, "no row is called {part:?}; there are {}", ids.join(", "));
        }
        Ok(())
    }
}

/// Measures, telling `progress` of every run. Blocks for as long as it takes: a quarter of an hour for
/// everything in five pairs.
///
/// # Errors
/// If a server does not do what it should; no figure is made up for it.
pub fn measure(request: &Request, progress: &mut dyn FnMut(&str)) -> Result<Results> {
    request.check()?;
    let launcher = Launcher::build(&request.engine, &request.options, request.parent.as_deref())?;
    let ours = launcher.start(Contestant::Enginebay)?;
    let is_durable = ours.is_durable()?;
    let redis = if is_durable { Contestant::RedisDurable } else { Contestant::RedisInMemory };
    let rival = launcher.start(redis)?;
    let mut table = Table {
        request,
        launcher: &launcher,
        engine: ours.engine()?,
        is_durable,
        rows: Vec::new(),
        progress,
    };
    let (described_ours, described_rival) = (ours.description()?, rival.description()?);
    table.benchmark(&ours, &rival)?;
    table.mixes(&ours, &rival)?;
    drop((ours, rival));
    table.restarts(redis)?;
    Ok(Results {
        command: request.command.clone(),
        time: now(),
        machine: Machine::this(),
        rival: format!("{described_rival}; for GET alone: appendonly no"),
        ours: [vec![described_ours], request.options.clone()].concat().join(" "),
        quick: request.scale != Scale::WHOLE,
        rows: table.rows,
    })
}

struct Table<'a> {
    request: &'a Request,
    launcher: &'a Launcher,
    engine: String,
    is_durable: bool,
    rows: Vec<Row>,
    progress: &'a mut dyn FnMut(&str),
}

impl Table<'_> {
    /// Runs both sides in turns; tells of each run.
    fn pairs<T>(
        &mut self,
        title: &str,
        show: impl Fn(&T) -> f64,
        mut run: impl FnMut(Side) -> Result<T>,
    ) -> Result<Pairs<T>> {
        let Self { request, progress, .. } = self;
        interleaved(request.pairs, |side, pair| {
            let name = if side == Side::Ours { "ours" } else { "rival" };
            let sample = run(side).with_context(|| format!("{title}, {name}, pair {}", pair + 1))?;
            progress(&format!("{title}: {name} {} of {}: {:.3}", pair + 1, request.pairs, show(&sample)));
            Ok(sample)
        })
    }

    fn add(&mut self, spec: RowSpec, runs: Pairs<Sample>) -> Result<()> {
        if !self.request.wants(spec) {
            return Ok(());
        }
        let targets = targets::of(&self.engine, spec.id);
        let title = spec.title.replace(" durable", if self.is_durable { " durable" } else { " in memory" });
        let row = Row::new(spec, runs, targets)?;
        self.rows.push(Row { title, ..row });
        Ok(())
    }

    fn benchmark(&mut self, ours: &Running, rival: &Running) -> Result<()> {
        let (request, scale) = (self.request, self.request.scale);
        let wanted: Vec<_> = rows::BENCHMARK.iter().filter(|row| request.wants(row.spec)).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        ours.fill(scale.keys)?;
        rival.fill(scale.keys)?;
        let mut reader = None;
        for row in wanted {
            if !row.is_write && reader.is_none() {
                let running = self.launcher.start(Contestant::RedisInMemory)?;
                running.fill(scale.keys)?;
                reader = Some(running);
            }
            let redis = reader.as_ref().filter(|_| !row.is_write).unwrap_or(rival);
            let run = |side| runs::benchmark(if side == Side::Ours { ours } else { redis }, row, scale);
            let runs = self.pairs(row.spec.title, |sample| sample.value, run)?;
            self.add(row.spec, runs)?;
        }
        Ok(())
    }

    fn mixes(&mut self, ours: &Running, rival: &Running) -> Result<()> {
        let (request, scale) = (self.request, self.request.scale);
        let wants = |specs: &[RowSpec]| specs.iter().any(|spec| request.wants(*spec));
        if !wants(&[rows::MIX_TOTAL, rows::MIX_GET_P99, rows::MIX_OPEN, rows::MIX_PIPELINE]) {
            return Ok(());
        }
        // The rows before have put values there that are not the ones that our GETs check.
        ours.fill(scale.keys)?;
        rival.fill(scale.keys)?;
        let running = |side| if side == Side::Ours { ours } else { rival };
        if wants(&[rows::MIX_TOTAL, rows::MIX_GET_P99]) {
            let title = rows::MIX_TOTAL.title;
            let both = self.pairs(
                title,
                |samples: &[Sample; 2]| samples[0].value,
                |side| runs::mix(running(side), scale),
            )?;
            let [total, gets] = [0, 1].map(|which| both.each(|samples| samples[which].clone()));
            self.add(rows::MIX_TOTAL, total)?;
            self.add(rows::MIX_GET_P99, gets)?;
        }
        if wants(&[rows::MIX_OPEN]) {
            let run = |side| runs::mix_open(running(side), scale);
            let runs = self.pairs(rows::MIX_OPEN.title.trim(), |sample| sample.value, run)?;
            self.add(rows::MIX_OPEN, runs)?;
        }
        if wants(&[rows::MIX_PIPELINE]) {
            let run = |side| runs::mix_pipeline(running(side), scale);
            let runs = self.pairs(rows::MIX_PIPELINE.title, |sample| sample.value, run)?;
            self.add(rows::MIX_PIPELINE, runs)?;
        }
        Ok(())
    }

    /// The rows for which every run has a server of its own.
    fn restarts(&mut self, redis: Contestant) -> Result<()> {
        let (request, launcher, scale) = (self.request, self.launcher, self.request.scale);
        let contestant = |side| if side == Side::Ours { Contestant::Enginebay } else { redis };
        if request.wants(rows::MEMORY) || request.wants(rows::RESTART_ORDERLY) {
            let run = |side| runs::memory_and_restart(launcher, contestant(side), scale);
            let both = self.pairs(rows::MEMORY.title, |(memory, _)| memory.value, run)?;
            self.add(rows::MEMORY, both.each(|(memory, _)| memory.clone()))?;
            if self.is_durable {
                let restarts = both.each(|(_, restart)| restart.clone().unwrap_or_default());
                self.add(rows::RESTART_ORDERLY, restarts)?;
            }
        }
        if self.is_durable && request.wants(rows::RESTART_KILL) {
            let run = |side| runs::restart_after_kill(launcher, contestant(side), scale);
            let runs = self.pairs(rows::RESTART_KILL.title, |sample| sample.value, run)?;
            self.add(rows::RESTART_KILL, runs)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(rows: &[&str]) -> Request {
        Request {
            engine: "logmap".to_string(),
            options: Vec::new(),
            pairs: 1,
            rows: rows.iter().map(ToString::to_string).collect(),
            parent: None,
            scale: Scale::QUICK,
            command: String::new(),
        }
    }

    #[test]
    fn rows_are_chosen_by_parts_of_their_names() {
        let chosen = |parts: &[&str]| {
            let request = request(parts);
            rows::all().filter(|spec| request.wants(*spec)).map(|spec| spec.id).collect::<Vec<_>>()
        };
        assert_eq!(chosen(&["mset", "restart"]), ["mset-c50-p1", "restart-orderly", "restart-kill"]);
        assert_eq!(chosen(&[]).len(), rows::all().count());
    }

    #[test]
    fn a_row_that_does_not_exist_is_refused_with_those_that_do() {
        let error = request(&["set-c50-p1", "scan"]).check().unwrap_err().to_string();
        assert!(error.contains("\"scan\"") && error.contains("mix-pipeline"), "{error}");
        assert!(request(&[""]).check().is_err() && request(&["get"]).check().is_ok());
    }
}
