//! Single runs: one server, one row, one sample.
//!
//! Promises: what a sample says of CPU time and files is of this run alone; a server that counted an error,
//! fewer commands than were sent, or a GET that found nothing has no sample.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::contestant::{Contestant, Launcher, Running};
use super::rows::{BenchmarkRow, OFFERED_PER_SECOND};
use crate::driver::{self, Group, GroupOutcome, Load, Pace};
use crate::load::{Kind, RandomKeys};
use crate::report::{FileUse, Sample};

const CLIENTS: usize = 50;
const PIPELINE: usize = 16;

/// How long and how much: everything, or just enough to see that it works.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Keys that are there.
    pub keys: u64,
    /// By which requests are divided.
    pub divisor: u64,
    /// How long own loads warm up.
    pub warm_up: Duration,
    /// How long they count.
    pub window: Duration,
}

impl Scale {
    /// For figures that mean something.
    pub const WHOLE: Self = Self {
        keys: super::rows::KEYS,
        divisor: 1,
        warm_up: Duration::from_secs(1),
        window: Duration::from_secs(5),
    };
    /// To see that everything works.
    pub const QUICK: Self = Self {
        keys: 20_000,
        divisor: 50,
        warm_up: Duration::from_millis(50),
        window: Duration::from_millis(300),
    };
}

/// What a server had used at one moment.
struct Used {
    cpu_seconds: f64,
    kernel_written: Option<u64>,
    info: HashMap<String, f64>,
    metrics: HashMap<String, f64>,
}

impl Used {
    fn by(running: &Running) -> Result<Self> {
        let mut client = running.client()?;
        let is_ours = running.contestant == Contestant::Enginebay;
        let metrics = if is_ours { client.engine_metrics()? } else { HashMap::new() };
        let (kernel_written, cpu_seconds) = (running.server.written_bytes(), running.server.cpu_seconds()?);
        Ok(Self { cpu_seconds, kernel_written, metrics, info: client.info()? })
    }

    fn counted(&self, since: &Self, name: &str) -> Result<f64> {
        let counter =
            |used: &Self| used.info.get(name).copied().with_context(|| format!("INFO has no {name}"));
        Ok(counter(self)? - counter(since)?)
    }

    /// What was used since, for one of `operations`.
    fn sample(&self, since: &Self, operations: f64) -> Sample {
        let kernel_written = self.kernel_written.zip(since.kernel_written);
        Sample {
            cpu_us: Some((self.cpu_seconds - since.cpu_seconds) * 1e6 / operations),
            kernel_written_bytes: kernel_written
                .map(|(now, then)| now.saturating_sub(then) as f64 / operations),
            files: (!self.metrics.is_empty()).then(|| self.file_use(since, operations)),
            ..Sample::default()
        }
    }

    fn file_use(&self, since: &Self, operations: f64) -> FileUse {
        let used =
            |name: &str| self.metrics.get(name).unwrap_or(&0.0) - since.metrics.get(name).unwrap_or(&0.0);
        let causes = self.metrics.keys().filter_map(|name| {
            let cause = name.strip_prefix("file_written_bytes{cause=\"")?.strip_suffix("\"}")?;
            Some((cause.to_string(), used(name) / operations))
        });
        let mut written_bytes: Vec<_> = causes.filter(|(_, bytes)| *bytes > 0.0).collect();
        written_bytes.sort_by(|a, b| a.0.cmp(&b.0));
        let syncs = ["file_durable_writes", "file_data_syncs", "file_full_syncs"].map(used);
        FileUse { written_bytes, syncs: syncs.iter().sum::<f64>() / operations }
    }
}

/// Runs between two looks at what the server has used, once it is at rest; checks that it did what it was
/// sent. `run` returns how many commands were answered, and what it says of them.
fn measured<T>(running: &Running, run: impl FnOnce() -> Result<(f64, T)>) -> Result<(Sample, T)> {
    running.server.come_to_rest()?;
    let before = Used::by(running)?;
    let (commands, said) = run()?;
    let after = Used::by(running)?;
    let errors = after.counted(&before, "total_error_replies")?;
    ensure!(errors == 0.0, "the server answered {errors} errors during a run");
    let processed = after.counted(&before, "total_commands_processed")?;
    ensure!(processed >= commands, "the server did {processed} of {commands} commands");
    let missed = after.counted(&before, "keyspace_misses")?;
    ensure!(missed == 0.0, "{missed} reads found nothing, though every key is there");
    Ok((after.sample(&before, commands), said))
}

/// One run of `redis-benchmark`.
///
/// # Errors
/// If anything went wrong in it.
pub fn benchmark(running: &Running, row: &BenchmarkRow, scale: Scale) -> Result<Sample> {
    let mut run = row.run;
    run.keys = scale.keys;
    run.requests = (run.requests / scale.divisor).max(1000);
    let (sample, figures) = measured(running, || {
        let figures = run.against(running.server.address())?;
        Ok((run.requests as f64, figures))
    })?;
    let (p50_ms, p99_ms) = (Some(figures.p50_ms), Some(figures.p99_ms));
    Ok(Sample { value: figures.per_second, p50_ms, p99_ms, ..sample })
}

fn group(name: &'static str, connections: usize, kind: Kind, keys: u64) -> Group {
    Group { name, connections, requests: Box::new(move |seed| Box::new(RandomKeys::new(kind, keys, seed))) }
}

fn load(running: &Running, groups: Vec<Group>, pipeline: usize, pace: Pace, scale: Scale) -> Load {
    let Scale { warm_up, window, .. } = scale;
    Load { address: running.server.address(), groups, pipeline, pace, warm_up, window }
}

/// Runs a load of our own; the sample's value is requests a second over all groups.
fn own(running: &Running, load: &Load) -> Result<(Sample, Vec<GroupOutcome>)> {
    let (sample, groups) = measured(running, || {
        let groups = driver::run(load)?;
        // What was sent while warming up was done too, and cost CPU time.
        let answered = groups.iter().map(|group| group.answered as f64).sum();
        Ok((answered, groups))
    })?;
    let value = groups.iter().map(|group| group.per_second).sum();
    Ok((Sample { value, ..sample }, groups))
}

fn with_times(sample: Sample, outcome: &GroupOutcome) -> Sample {
    let summary = outcome.latency.summary();
    let (p50_ms, p99_ms) = (Some(summary.p50_us / 1000.0), Some(summary.p99_us / 1000.0));
    Sample { p50_ms, p99_ms, latency: Some(summary), ..sample }
}

fn gets(groups: &[GroupOutcome]) -> Result<&GroupOutcome> {
    groups.iter().find(|group| group.name == "GET").context("the load has GETs")
}

/// SETs and GETs on connections of their own: the rate of both together, and the GETs' times.
///
/// # Errors
/// If anything went wrong in it.
pub fn mix(running: &Running, scale: Scale) -> Result<[Sample; 2]> {
    let half = CLIENTS / 2;
    let groups = vec![group("SET", half, Kind::Set, scale.keys), group("GET", half, Kind::Get, scale.keys)];
    let (total, groups) = own(running, &load(running, groups, 1, Pace::Closed, scale))?;
    let gets = with_times(Sample::default(), gets(&groups)?);
    let value = gets.p99_ms.unwrap_or_default();
    Ok([total, Sample { value, ..gets }])
}

/// The same offered at a fixed rate: the GETs' times, from when they were meant to be sent.
///
/// # Errors
/// If anything went wrong in it.
pub fn mix_open(running: &Running, scale: Scale) -> Result<Sample> {
    let half = CLIENTS / 2;
    let groups = vec![group("SET", half, Kind::Set, scale.keys), group("GET", half, Kind::Get, scale.keys)];
    let pace = Pace::Open { per_second: OFFERED_PER_SECOND };
    let (sample, groups) = own(running, &load(running, groups, 1, pace, scale))?;
    let sample = with_times(sample, gets(&groups)?);
    Ok(Sample { value: sample.p99_ms.unwrap_or_default(), ..sample })
}

/// SETs and GETs in turns in each pipeline: the rate of both together.
///
/// # Errors
/// If anything went wrong in it.
pub fn mix_pipeline(running: &Running, scale: Scale) -> Result<Sample> {
    let groups = vec![group("both", CLIENTS, Kind::Alternating, scale.keys)];
    let (sample, groups) = own(running, &load(running, groups, PIPELINE, Pace::Closed, scale))?;
    Ok(groups.first().map_or(sample.clone(), |outcome| with_times(sample, outcome)))
}

/// A server's memory for each key, and how long it takes to start again after an orderly end: `None` if it
/// keeps nothing.
///
/// # Errors
/// If anything went wrong, or a key is lost.
pub fn memory_and_restart(
    launcher: &Launcher,
    contestant: Contestant,
    scale: Scale,
) -> Result<(Sample, Option<Sample>)> {
    let running = launcher.start(contestant)?;
    running.server.come_to_rest()?;
    let empty = running.server.resident_bytes()?;
    running.fill(scale.keys)?;
    running.server.come_to_rest()?;
    let grown = running.server.resident_bytes()?.saturating_sub(empty);
    let memory = Sample { value: grown as f64 / scale.keys as f64, ..Sample::default() };
    if !running.is_durable()? {
        return Ok((memory, None));
    }
    let running = launcher.restart(running)?;
    Ok((memory, Some(started(&running, scale)?)))
}

/// How long a server takes to start again after a kill, straight after its last answer.
///
/// # Errors
/// If anything went wrong, or a key is lost.
pub fn restart_after_kill(launcher: &Launcher, contestant: Contestant, scale: Scale) -> Result<Sample> {
    let running = launcher.start(contestant)?;
    running.fill(scale.keys)?;
    started(&launcher.kill_and_restart(running)?, scale)
}

fn started(running: &Running, scale: Scale) -> Result<Sample> {
    let value = running.server.started_in().as_secs_f64();
    running.client()?.check_filled(scale.keys)?;
    Ok(Sample { value, ..Sample::default() })
}
