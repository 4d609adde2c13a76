//! Times of reads and of durable writes while checkpoints run, beside the same load without any checkpoint.
//!
//! Two stores of the same engine and the same entries: one whose log is so long that no checkpoint comes, one with a
//! checkpoint every few seconds; the same open loop on each, in turns. Times count from the moment at which a request was
//! meant to begin. A request counts as beside a checkpoint if one ran when it began or when it ended: from the first
//! byte that a checkpoint writes until the engine counts it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use adapter_api::environment::Cause;
use adapter_api::{Buffer, StorageEngine};
use anyhow::{Result, anyhow, ensure};
use fastrand::Rng;

use super::Scale;
use super::data::version;
use super::findings::{Cell, Findings};
use super::store::{Launcher, Store};
use crate::chart::latencies;
use crate::latency::{Latency, Summary};
use crate::load::key;
use crate::pairs::{Pairs, Side, interleaved};

/// Bytes of the log between two checkpoints, and what lets none come.
const BUDGET: &str = "checkpoint_log_bytes";
const WITH: u64 = 8 << 20;
const WITH_QUICK: u64 = 64 << 10;
const WITHOUT: u64 = 1 << 40;
const CHECKPOINTS: &str = "checkpoints";
/// Reads a second; durable writes a second, each a group of so many updates.
const READS: f64 = 10_000.0;
const WRITES: f64 = 250.0;
const GROUP: u64 = 100;
/// The operating system wakes a thread too late by some 60 µs: what is due sooner than this is waited for awake.
const AWAKE: Duration = Duration::from_micros(200);
/// Between two looks at whether a checkpoint runs.
const LOOK: Duration = Duration::from_millis(5);
/// How long the load may be behind at the end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Times beside a checkpoint, and at other times.
#[derive(Default)]
struct Times {
    beside: Latency,
    apart: Latency,
}

/// One run.
#[derive(Default)]
struct Outcome {
    reads: Times,
    writes: Times,
    checkpoints: f64,
    /// The share of the time in which a checkpoint ran.
    share: f64,
}

/// A load that goes by the clock.
struct Loop<'a> {
    store: &'a Store,
    keys: u64,
    per_second: f64,
    from: Instant,
    to: Instant,
    is_checkpoint: &'a AtomicBool,
}

pub(super) fn run(launcher: &Launcher, scale: &Scale, progress: &mut dyn FnMut(&str)) -> Result<Findings> {
    let with = if scale.is_quick { WITH_QUICK } else { WITH };
    let stores = [launcher.open(&[(BUDGET, WITHOUT)])?, launcher.open(&[(BUDGET, with)])?];
    stores.iter().try_for_each(|store| store.fill_and_rest(scale.keys))?;
    let runs = interleaved(scale.pairs, |side, pair| {
        let store = &stores[usize::from(side == Side::Ours)];
        let outcome = measure(store, scale, pair as u64)?;
        store.come_to_rest()?;
        let name = if side == Side::Ours { "with checkpoints" } else { "without" };
        progress(&format!("{name}, {} of {}: {} checkpoints", pair + 1, scale.pairs, outcome.checkpoints));
        ensure!(
            (outcome.checkpoints > 0.0) == (side == Side::Ours),
            "{name}: there were {} checkpoints in {} s",
            outcome.checkpoints,
            scale.seconds
        );
        Ok(outcome)
    })?;
    stores.into_iter().try_for_each(Store::close)?;
    Ok(findings(&runs, with))
}

/// Puts the load on a store for some seconds.
fn measure(store: &Store, scale: &Scale, run: u64) -> Result<Outcome> {
    let (is_over, is_checkpoint) = (AtomicBool::new(false), AtomicBool::new(false));
    let before = store.needed_metric(CHECKPOINTS)?;
    let from = Instant::now();
    let to = from + Duration::from_secs(scale.seconds);
    let of =
        |per_second| Loop { store, keys: scale.keys, per_second, from, to, is_checkpoint: &is_checkpoint };
    std::thread::scope(|scope| {
        let share = scope.spawn(|| watch(store, &is_over, &is_checkpoint));
        let reads = scope.spawn(|| read(&of(READS), run));
        let writes = write(&of(WRITES), run);
        let reads = reads.join().unwrap_or_else(|_| Err(anyhow!("the reader panicked")));
        is_over.store(true, Ordering::Relaxed);
        let share = share.join().unwrap_or_else(|_| Err(anyhow!("the watcher panicked")));
        let checkpoints = store.needed_metric(CHECKPOINTS)? - before;
        Ok(Outcome { reads: reads?, writes: writes?, checkpoints, share: share? })
    })
}

/// Notes down whether a checkpoint runs; answers for what share of the time one did.
fn watch(store: &Store, is_over: &AtomicBool, is_checkpoint: &AtomicBool) -> Result<f64> {
    let written = || store.written().of(Cause::Checkpoint);
    let (mut bytes, mut checkpoints) = (written(), store.needed_metric(CHECKPOINTS)?);
    let (mut looks, mut beside) = (0_u64, 0_u64);
    while !is_over.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
        let (bytes_now, checkpoints_now) = (written(), store.needed_metric(CHECKPOINTS)?);
        if checkpoints_now != checkpoints {
            is_checkpoint.store(false, Ordering::Relaxed);
        } else if bytes_now != bytes {
            is_checkpoint.store(true, Ordering::Relaxed);
        }
        (bytes, checkpoints) = (bytes_now, checkpoints_now);
        looks += 1;
        beside += u64::from(is_checkpoint.load(Ordering::Relaxed));
    }
    Ok(beside as f64 / looks.max(1) as f64)
}

impl Loop<'_> {
    /// Calls `request` by the clock, and records its times.
    fn run(&self, mut request: impl FnMut(&Store) -> Result<()>) -> Result<Times> {
        let mut times = Times::default();
        for number in 0_u32.. {
            let due = self.from + Duration::from_secs_f64(f64::from(number) / self.per_second);
            if due >= self.to {
                break;
            }
            wait_until(due);
            let is_beside = self.is_checkpoint.load(Ordering::Relaxed);
            request(self.store)?;
            let now = Instant::now();
            let is_beside = is_beside || self.is_checkpoint.load(Ordering::Relaxed);
            let which = if is_beside { &mut times.beside } else { &mut times.apart };
            which.record(now.saturating_duration_since(due));
            ensure!(
                now < self.to + PATIENCE,
                "it does not keep up with {} requests a second",
                self.per_second
            );
        }
        Ok(times)
    }
}

fn wait_until(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    if left > AWAKE {
        std::thread::sleep(left - AWAKE);
    }
    while Instant::now() < due {
        std::thread::yield_now();
    }
}

fn read(load: &Loop<'_>, run: u64) -> Result<Times> {
    let (mut random, mut found) = (Rng::with_seed(run ^ 5), Buffer::new());
    load.run(|store| {
        let number = random.u64(..load.keys);
        found.clear();
        ensure!(store.engine().get(&key(number), &mut found)?, "key {number} is gone");
        version(number, &found).map(drop)
    })
}

fn write(load: &Loop<'_>, run: u64) -> Result<Times> {
    let (mut random, mut version) = (Rng::with_seed(run ^ 6), run << 32);
    load.run(|store| {
        version += 1;
        store.put((0..GROUP).map(|_| random.u64(..load.keys)), version)
    })
}

/// One of the histograms of a run.
type Pick = fn(&Outcome) -> &Latency;

fn findings(runs: &Pairs<Outcome>, with: u64) -> Findings {
    let sum = |runs: &[Outcome], pick: Pick| {
        let mut sum = Latency::new();
        runs.iter().for_each(|run| sum.add(pick(run)));
        sum
    };
    let kinds: [(&str, [Pick; 2]); 2] = [
        ("reads", [|run| &run.reads.apart, |run| &run.reads.beside]),
        ("durable writes", [|run| &run.writes.apart, |run| &run.writes.beside]),
    ];
    let (mut rows, mut curves) = (Vec::new(), Vec::new());
    for (kind, [apart, beside]) in kinds {
        let without = sum(&runs.rival, apart);
        let circumstances = [
            ("no checkpoint", without.clone()),
            ("between checkpoints", sum(&runs.ours, apart)),
            ("while one runs", sum(&runs.ours, beside)),
        ];
        for (name, times) in circumstances {
            rows.push(row(kind, name, &times, &without));
            if name != "between checkpoints" {
                curves.push((format!("{kind}, {name}"), times.summary()));
            }
        }
    }
    let checkpoints: f64 = runs.ours.iter().map(|run| run.checkpoints).sum();
    let share = runs.ours.iter().map(|run| run.share).sum::<f64>() / runs.ours.len().max(1) as f64;
    let remarks = vec![
        format!(
            "{checkpoints} checkpoints, one after {with} bytes of the log; one ran for {:.0} % of the time",
            share * 100.0
        ),
        format!(
            "offered: {READS} reads a second, each of one key, and {WRITES} durable writes a second, each of {GROUP} keys"
        ),
        "times count from the moment at which a request was meant to begin".to_string(),
    ];
    let curves: Vec<(String, &Summary)> = curves.iter().map(|(name, it)| (name.clone(), it)).collect();
    Findings {
        columns: vec!["", "count", "p50 µs", "p99 µs", "p99.9 µs", "max µs", "p99 ×", "p99.9 ×"],
        rows,
        remarks,
        svg: latencies("Reads and durable writes, with and without a checkpoint", &curves),
        ..Findings::default()
    }
}

/// Times, and how many times longer the rare ones are than without checkpoints.
fn row(kind: &str, name: &str, times: &Latency, without: &Latency) -> Vec<Cell> {
    let [p50, p99, p999, max] = [50.0, 99.0, 99.9, 100.0].map(|percent| times.percentile_us(percent));
    vec![
        Cell::Text(format!("{kind}, {name}")),
        times.count().into(),
        p50.into(),
        p99.into(),
        p999.into(),
        max.into(),
        (p99 / without.percentile_us(99.0)).into(),
        (p999 / without.percentile_us(99.9)).into(),
    ]
}
