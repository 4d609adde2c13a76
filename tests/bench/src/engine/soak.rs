//! Random writes as fast as they go, with 10 % reads, second by second; then quiet, and whether reads are as before.
//!
//! ```text
//! fill ─▶ rest ─▶ reads ─▶ full load: 900 overwrites in a batch, 100 gets, … ─▶ a quiet minute ─▶ reads
//!                          └───────── a sample each second ─────────┘
//! ```
//!
//! It fails if a second passes in which nothing was written, which is a cliff; if the engine still owes work after the quiet
//! minute; or if a read looks into more blocks than before until another minute is over. Reads are compared after as many
//! others, so that what is in memory is again what is asked for. How long they took before, under load and after is
//! shown; times are no judge.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use adapter_api::{Buffer, StorageEngine};
use anyhow::{Result, anyhow, ensure};
use fastrand::Rng;

use super::data::ENTRY_BYTES;
use super::findings::{Cell, Findings};
use super::reads::{Reads, get, read};
use super::store::{Launcher, Store};
use super::{MIB, Scale, lsm_option};
use crate::chart::{Axis, Scale as AxisScale, Series, Style, chart};
use crate::latency::Latency;

/// Options unless given: with a memtable as large as by default, so much data would never be merged.
const MEMTABLE: u64 = 8 << 20;
const MEMTABLE_QUICK: u64 = 256 << 10;
/// Writes of one batch and the gets behind it: so many that it is merges which limit the load, and not what a small write
/// waits for the disk.
const WRITES: u64 = 900;
const READS: u64 = 100;
/// How long reads may take behind the quiet time until they are as they were.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what it owes.
const LOOK: Duration = Duration::from_millis(50);
/// What it owes itself.
const DEBT: &str = "compaction_debt_bytes";
/// How long writes waited for its lanes.
const WAITED: &str = "apply_waited_seconds";
/// Gets before and after.
const GETS: usize = 200_000;
const GETS_QUICK: usize = 10_000;
/// About how many of the samples get a row; the curves have all of them.
const ROWS: usize = 20;
/// How many more blocks a read may look into after than before.
const BLOCKS_MORE: f64 = 1.25;

/// How far the writer is, for whoever watches it.
#[derive(Default)]
struct Progress {
    is_over: AtomicBool,
    updates: AtomicU64,
    /// The longest write since the last sample, in nanoseconds.
    longest: AtomicU64,
}

/// How long the writes took, each a batch, and the gets between them.
#[derive(Default)]
struct Times {
    writes: Latency,
    reads: Latency,
}

/// One second.
struct Sample {
    second: f64,
    updates: f64,
    longest_ms: f64,
    /// What of this second writes waited for lanes.
    waited_ms: f64,
    debt: f64,
    disk: f64,
    pressure: f64,
}

/// What a whole run found.
struct Outcome {
    samples: Vec<Sample>,
    times: Times,
    /// Seconds that writes waited, by what for.
    waited: BTreeMap<String, f64>,
    before: Reads,
    after: Reads,
    /// How long it was quiet, after how much of that no work was left, and what was still owed at its end.
    quiet: Duration,
    paid_after: Option<Duration>,
    owed: f64,
    disk_at_rest: f64,
}

pub(super) fn run(launcher: &Launcher, scale: &Scale, progress: &mut dyn FnMut(&str)) -> Result<Findings> {
    let memtable = if scale.is_quick { MEMTABLE_QUICK } else { MEMTABLE };
    let small = [(lsm_option::MEMTABLE, memtable), (lsm_option::TABLE, memtable / 2)];
    let small: Vec<_> = small.into_iter().filter(|(name, _)| !launcher.is_given(name)).collect();
    let store = launcher.open(&small)?;
    store.needed_metric(DEBT)?;
    store.fill_and_rest(scale.keys)?;
    let gets = if scale.is_quick { GETS_QUICK } else { GETS };
    let before = warm_reads(&store, scale.keys, gets)?;
    let done = Progress::default();
    let watched = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&store, scale.keys, &done));
        let watched = watch(&store, scale.seconds, &done, &|| writer.is_finished(), progress);
        done.is_over.store(true, Ordering::Relaxed);
        let written = writer.join().unwrap_or_else(|_| Err(anyhow!("the writer panicked")));
        written.and_then(|times| Ok((times, watched?)))
    });
    let (times, samples) = watched?;
    let quiet = Duration::from_secs(scale.quiet);
    let (paid_after, owed) = be_quiet(&store, quiet)?;
    progress(&format!("{} quiet seconds, {:.1} MiB owed", quiet.as_secs(), owed / MIB));
    let waited = store.by_label(WAITED, "reason");
    let began = Instant::now();
    let after = loop {
        let after = warm_reads(&store, scale.keys, gets)?;
        if dearer(&before, &after).is_none() || began.elapsed() >= PATIENCE {
            break after;
        }
    };
    let disk_at_rest = store.disk_bytes()?.values().sum::<u64>() as f64 / MIB;
    store.close()?;
    let outcome = Outcome { samples, times, waited, before, after, quiet, paid_after, owed, disk_at_rest };
    Ok(findings(&outcome, scale))
}

/// Reads random keys until what is read is in memory, and then as many more, which count.
fn warm_reads(store: &Store, keys: u64, gets: usize) -> Result<Reads> {
    let mut random = Rng::with_seed(7);
    let mut some = || read(store, std::iter::repeat_with(|| random.u64(..keys)).take(gets), true);
    some()?;
    some()
}

/// Overwrites and reads random keys, as fast as it goes.
fn write(store: &Store, keys: u64, progress: &Progress) -> Result<Times> {
    let (mut random, mut found, mut times) = (Rng::with_seed(2), Buffer::new(), Times::default());
    for version in 1.. {
        if progress.is_over.load(Ordering::Relaxed) {
            break;
        }
        let began = Instant::now();
        store.put((0..WRITES).map(|_| random.u64(..keys)), version)?;
        let took = began.elapsed();
        times.writes.record(took);
        progress.longest.fetch_max(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        progress.updates.fetch_add(WRITES, Ordering::Relaxed);
        for _ in 0..READS {
            times.reads.record(get(store, random.u64(..keys), true, &mut found)?);
        }
    }
    Ok(times)
}

/// A sample each second.
fn watch(
    store: &Store,
    seconds: u64,
    done: &Progress,
    has_ended: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Sample>> {
    let (began, mut samples) = (Instant::now(), Vec::<Sample>::new());
    let (mut last, mut updates, mut waited) = (began, 0, store.needed_metric(WAITED)?);
    for second in 1..=seconds {
        let due = began + Duration::from_secs(second);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        ensure!(!has_ended(), "nobody writes any more");
        let (now, updates_now) = (Instant::now(), done.updates.load(Ordering::Relaxed));
        let waited_now = store.needed_metric(WAITED)?;
        let sample = Sample {
            second: began.elapsed().as_secs_f64(),
            updates: (updates_now - updates) as f64 / (now - last).as_secs_f64(),
            longest_ms: done.longest.swap(0, Ordering::Relaxed) as f64 / 1e6,
            waited_ms: (waited_now - waited) * 1e3,
            debt: store.needed_metric(DEBT)? / MIB,
            disk: store.disk_bytes()?.values().sum::<u64>() as f64 / MIB,
            pressure: f64::from(store.engine().pressure().level),
        };
        (last, updates, waited) = (now, updates_now, waited_now);
        if second % 10 == 0 {
            progress(&format!(
                "{second} s: {:.0} updates a second, {:.0} MiB of debt, pressure {}",
                sample.updates, sample.debt, sample.pressure
            ));
        }
        samples.push(sample);
    }
    Ok(samples)
}

/// Nobody asks the engine for anything for so long; answers when it owed nothing any more, and what it owes at the end.
fn be_quiet(store: &Store, quiet: Duration) -> Result<(Option<Duration>, f64)> {
    let (began, mut paid_after) = (Instant::now(), None);
    while began.elapsed() < quiet {
        if store.needed_metric(DEBT)? == 0.0 {
            paid_after = paid_after.or(Some(began.elapsed()));
        }
        std::thread::sleep(LOOK);
    }
    Ok((paid_after, store.needed_metric(DEBT)?))
}

/// What must not be.
fn failures(outcome: &Outcome) -> Vec<String> {
    let cliffs = outcome.samples.iter().filter(|sample| sample.updates == 0.0);
    let mut failures: Vec<_> =
        cliffs.map(|sample| format!("nothing was written in second {:.0}", sample.second)).collect();
    let Outcome { before, after, quiet, owed, .. } = outcome;
    if *owed > 0.0 {
        failures.push(format!(
            "{:.1} MiB are still owed after {} quiet seconds",
            owed / MIB,
            quiet.as_secs()
        ));
    }
    failures.extend(dearer(before, after));
    failures
}

/// Whether a read looks into more than before, in words.
fn dearer(before: &Reads, after: &Reads) -> Option<String> {
    let is_dearer = after.blocks > BLOCKS_MORE * before.blocks;
    is_dearer.then(|| format!("a get looks into {:.2} blocks, and {:.2} before", after.blocks, before.blocks))
}

fn findings(outcome: &Outcome, scale: &Scale) -> Findings {
    let samples = &outcome.samples;
    let row = |sample: &Sample| -> Vec<Cell> {
        let Sample { second, updates, longest_ms, waited_ms, debt, disk, pressure } = sample;
        vec![
            second.round().into(),
            updates.round().into(),
            (*longest_ms).into(),
            (*waited_ms).into(),
            (*debt).into(),
            (*disk).into(),
            (*pressure).into(),
        ]
    };
    let curve = |name: &str, pick: fn(&Sample) -> f64| Series {
        name: name.to_string(),
        style: Style::Line,
        points: samples.iter().map(|sample| (sample.second, pick(sample))).collect(),
    };
    let series = vec![
        curve("updates a millisecond", |sample| sample.updates / 1e3),
        curve("the longest write of the second, ms", |sample| sample.longest_ms),
        curve("debt of compaction, MiB", |sample| sample.debt),
        curve("room on disk, MiB", |sample| sample.disk),
        curve("pressure, %", |sample| sample.pressure),
    ];
    let axis = |title, scale| Axis { title, scale };
    Findings {
        columns: vec![
            "second",
            "updates/s",
            "longest write ms",
            "waited ms",
            "debt MiB",
            "disk MiB",
            "pressure",
        ],
        rows: samples.iter().step_by(samples.len().div_ceil(ROWS).max(1)).map(row).collect(),
        remarks: remarks(outcome, scale),
        failures: failures(outcome),
        svg: chart(
            "Random writes as fast as they go, with 10 % reads",
            &axis("seconds", AxisScale::Linear),
            &axis("each in its own unit", AxisScale::Logarithmic),
            &series,
        ),
        series,
        ..Findings::default()
    }
}

fn remarks(outcome: &Outcome, scale: &Scale) -> Vec<String> {
    let Outcome { samples, times, waited, before, after, quiet, paid_after, owed, disk_at_rest } = outcome;
    let waited: Vec<_> =
        waited.iter().map(|(reason, seconds)| format!("{seconds:.1} s for {reason}")).collect();
    let mut rates: Vec<_> = samples.iter().map(|sample| sample.updates).collect();
    rates.sort_by(f64::total_cmp);
    let [least, median, most] =
        [0, rates.len() / 2, rates.len().saturating_sub(1)].map(|at| rates.get(at).copied().unwrap_or(0.0));
    let highest = |pick: fn(&Sample) -> f64| samples.iter().map(pick).fold(0.0, f64::max);
    let shown = |times: &Latency| {
        let [p50, p99, p999, max] = [50.0, 99.0, 99.9, 100.0].map(|percent| times.percentile_us(percent));
        format!("p50 {p50:.1}, p99 {p99:.1}, p99.9 {p999:.1}, max {max:.0} µs")
    };
    let live = (scale.keys * ENTRY_BYTES) as f64 / MIB;
    let longest = samples.iter().max_by(|one, other| one.longest_ms.total_cmp(&other.longest_ms));
    let longest = longest.map_or(String::new(), |worst| {
        format!(
            "; the longest in second {:.0}, in which writes waited {:.0} ms for lanes and the rest of their time for the disk \
             and a processor",
            worst.second, worst.waited_ms
        )
    });
    vec![
        format!("updates a second: least {least:.0}, median {median:.0}, most {most:.0}"),
        format!(
            "writes, each of {WRITES} keys and durable: {}; they waited {}{longest}",
            shown(&times.writes),
            waited.join(", ")
        ),
        format!(
            "most debt {:.1} MiB, highest pressure {:.0}, most room {:.0} MiB for {live:.0} MiB of entries, {disk_at_rest:.0} at rest; \
             all with the log",
            highest(|sample| sample.debt),
            highest(|sample| sample.pressure),
            highest(|sample| sample.disk)
        ),
        format!("gets before: {}; {:.2} blocks each", shown(&before.times), before.blocks),
        format!("gets under load: {}", shown(&times.reads)),
        format!(
            "gets after {} quiet seconds: {}; {:.2} blocks each; {:.1} MiB owed{}",
            quiet.as_secs(),
            shown(&after.times),
            after.blocks,
            owed / MIB,
            paid_after
                .map_or(String::new(), |after| format!(", nothing from {:.1} s on", after.as_secs_f64()))
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reads(blocks: f64) -> Reads {
        Reads { times: Latency::new(), blocks }
    }

    fn healthy() -> Outcome {
        let sample = Sample {
            second: 1.0,
            updates: 5.0,
            longest_ms: 900.0,
            waited_ms: 0.0,
            debt: 9.0,
            disk: 9.0,
            pressure: 100.0,
        };
        Outcome {
            samples: vec![sample],
            times: Times::default(),
            waited: BTreeMap::new(),
            before: reads(1.0),
            after: reads(1.1),
            quiet: Duration::from_secs(3),
            paid_after: None,
            owed: 0.0,
            disk_at_rest: 9.0,
        }
    }

    #[test]
    fn a_cliff_debt_that_stays_and_reads_that_do_not_come_back_are_failures() {
        assert!(failures(&healthy()).is_empty());
        let faults: [fn(&mut Outcome); 3] = [
            |outcome| outcome.samples[0].updates = 0.0,
            |outcome| outcome.owed = 1.0,
            |outcome| outcome.after = reads(1.5),
        ];
        for fault in faults {
            let mut outcome = healthy();
            fault(&mut outcome);
            assert_eq!(failures(&outcome).len(), 1);
        }
    }
}
