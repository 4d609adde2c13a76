//! Which of two engines is faster, and where that changes: by the share of writes, by how much data there is for the memory
//! that either may use, and by the length of values.
//!
//! ```text
//! for each length and amount:   fill in order ─▶ rest ─▶ a mix of gets and overwrites for each share ─▶ until nothing is owed
//!                                                        └────────────────── the time of one figure ──────────────────┘
//! ```
//!
//! One thread asks: gets of random keys, and overwrites of random keys in durable batches. What an engine puts off counts as
//! if it had been done: the time goes on until it owes nothing. The engines take turns, one amount at a time; both have the
//! same budget of memory, which is small, so that a little data is many times as much. The page cache of the system is
//! theirs as well, so nearly no read waits for a device.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use adapter_api::{BatchBuilder, Buffer, Cursor, EngineError, Entry, StorageEngine};
use anyhow::{Context, Result, ensure};
use fastrand::Rng;

use super::data;
use super::findings::{Cell, Findings};
use super::store::{Launcher, Store};
use super::{Scale, lsm_option};
use crate::chart::{Axis, Scale as AxisScale, Series, Style, chart};
use crate::load::{KEY_BYTES, VALUE_BYTES, key};

/// The memory of either engine, unless given.
const CACHE: &str = "cache_bytes";
const BUDGET: u64 = 32 << 20;
const BUDGET_QUICK: u64 = 2 << 20;
/// A memtable is so small a part of it; a table is half a memtable, as by default.
const MEMTABLE_PART: u64 = 8;
const LOG_SEGMENT: u64 = 4 << 20;
/// Of so many requests in a row some are writes, in one batch or several.
const REQUESTS: u64 = 1_000;
const BATCH: u64 = 100;
/// How long the mix runs when it is only tried whether everything works.
const WINDOW_QUICK: Duration = Duration::from_millis(40);
/// What there is of work that was put off, how long to wait for it, and between two looks at it.
const OWED: [&str; 2] = ["sealed_memtables", "compaction_debt_bytes"];
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(1);
/// So many bytes of entries are ingested at once.
const PORTION_BYTES: u64 = 4 << 20;
/// Ratios within this of one are a tie.
const TIE: f64 = 0.05;
/// What values behind their beginning are cut from.
const NOISE_BYTES: usize = 1 << 20;

/// What is varied.
struct Grid {
    /// Bytes of a value.
    values: &'static [usize],
    /// How many times the budget the data is.
    amounts: &'static [f64],
    /// Per cent of all requests.
    writes: &'static [u64],
}

const WHOLE: Grid =
    Grid { values: &[100, 1 << 10, 16 << 10], amounts: &[0.5, 2.0, 8.0], writes: &[0, 10, 50, 90, 100] };
const QUICK: Grid = Grid { values: &[100, 1 << 10], amounts: &[0.5, 2.0], writes: &[0, 50, 100] };

/// Requests a second of both engines, at one point of the grid.
#[derive(Debug, Clone, Copy)]
struct Point {
    value: usize,
    amount: f64,
    writes: u64,
    rates: [f64; 2],
}

impl Point {
    /// The second engine's rate for each request of the first.
    fn ratio(&self) -> f64 {
        self.rates[1] / self.rates[0]
    }
}

pub(super) fn run(
    launchers: [&Launcher; 2],
    scale: &Scale,
    progress: &mut dyn FnMut(&str),
) -> Result<Findings> {
    let grid = if scale.is_quick { QUICK } else { WHOLE };
    let window = if scale.is_quick { WINDOW_QUICK } else { Duration::from_secs(scale.seconds) };
    let names = launchers.map(Launcher::name);
    let mut points = Vec::new();
    for value in grid.values.iter().copied() {
        let values = Values::new(value);
        for amount in grid.amounts.iter().copied() {
            let mut rates = [Vec::new(), Vec::new()];
            for (launcher, rates) in launchers.into_iter().zip(&mut rates) {
                *rates = measure(launcher, &values, amount, grid.writes, window, scale.is_quick)
                    .with_context(|| format!("engine {}", launcher.engine()))?;
            }
            let [first, second] = rates;
            for ((writes, first), second) in grid.writes.iter().zip(first).zip(second) {
                points.push(Point { value, amount, writes: *writes, rates: [first, second] });
            }
            progress(&format!("values of {value} bytes, data {amount} times the budget: done"));
        }
    }
    Ok(findings(&points, &grid, &names, window))
}

/// Requests a second of one engine with so much data, for each share of writes.
fn measure(
    launcher: &Launcher,
    values: &Values,
    amount: f64,
    shares: &[u64],
    window: Duration,
    is_quick: bool,
) -> Result<Vec<f64>> {
    let budget = if is_quick { BUDGET_QUICK } else { BUDGET };
    let memtable = budget / MEMTABLE_PART;
    let small = [
        (CACHE, budget),
        (lsm_option::MEMTABLE, memtable),
        (lsm_option::TABLE, memtable / 2),
        (lsm_option::LOG_SEGMENT, LOG_SEGMENT.min(memtable)),
    ];
    let small = small.into_iter().filter(|(name, _)| launcher.has_option(name) && !launcher.is_given(name));
    let store = launcher.open(&small.collect::<Vec<_>>())?;
    let budget = store.option(CACHE).context("it has no budget of memory, which this is about")?;
    let keys = ((amount * budget as f64) as u64 / values.entry_bytes()).max(1);
    fill(&store, values, keys)?;
    store.come_to_rest()?;
    let mut version = 0;
    let mut rates = Vec::new();
    for share in shares {
        let began = Instant::now();
        let done = mix(&store, values, keys, *share, window, &mut version)?;
        pay(&store)?;
        rates.push(done as f64 / began.elapsed().as_secs_f64());
    }
    store.close()?;
    Ok(rates)
}

/// Stores version 0 of all keys, in order.
fn fill(store: &Store, values: &Values, keys: u64) -> Result<()> {
    let portion = (PORTION_BYTES / values.entry_bytes()).max(1);
    for from in (0..keys).step_by(portion as usize) {
        let numbers = from..keys.min(from + portion);
        store.engine().ingest(&mut Portion { numbers, values, key: [0; KEY_BYTES], value: Vec::new() })?;
    }
    Ok(())
}

/// Gets and overwrites until the time is over; answers how many.
fn mix(
    store: &Store,
    values: &Values,
    keys: u64,
    share: u64,
    window: Duration,
    version: &mut u64,
) -> Result<u64> {
    let (mut random, mut found) = (Rng::with_seed(share), Buffer::new());
    let (mut done, mut batch, mut value) = (0, BatchBuilder::new(), Vec::new());
    let began = Instant::now();
    while began.elapsed() < window {
        let writes = REQUESTS * share / 100;
        for some in (0..writes).step_by(BATCH as usize) {
            *version += 1;
            batch.clear();
            for _ in some..writes.min(some + BATCH) {
                let number = random.u64(..keys);
                values.write(number, *version, &mut value);
                batch.put(&key(number), &value)?;
            }
            store.engine().apply(batch.as_batch())?;
        }
        for _ in writes..REQUESTS {
            let number = random.u64(..keys);
            found.clear();
            ensure!(store.engine().get(&key(number), &mut found)?, "key {number} is gone");
            values.check(number, &found)?;
        }
        done += REQUESTS;
    }
    Ok(done)
}

/// Waits until the engine owes nothing that it tells of.
fn pay(store: &Store) -> Result<()> {
    let began = Instant::now();
    while OWED.iter().filter_map(|owed| store.metric(owed)).sum::<f64>() > 0.0 {
        ensure!(began.elapsed() < PATIENCE, "it does not come to an end with what it owes");
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Values of one length that do not compress, and the check of them: each begins as the other experiments' do, and goes on
/// with a piece of noise that follows from key and version.
struct Values {
    bytes: usize,
    noise: Vec<u8>,
}

impl Values {
    /// Of no less than `VALUE_BYTES` each.
    fn new(bytes: usize) -> Self {
        let mut noise = vec![0; NOISE_BYTES + bytes];
        Rng::with_seed(5).fill(&mut noise);
        Self { bytes: bytes.max(VALUE_BYTES), noise }
    }

    fn entry_bytes(&self) -> u64 {
        (KEY_BYTES + self.bytes) as u64
    }

    fn noise(&self, number: u64, version: u64) -> &[u8] {
        let at = Rng::with_seed(number ^ version.rotate_left(32)).usize(..NOISE_BYTES);
        &self.noise[at..at + self.bytes - VALUE_BYTES]
    }

    fn write(&self, number: u64, version: u64, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&data::value(number, version));
        out.extend_from_slice(self.noise(number, version));
    }

    fn check(&self, number: u64, bytes: &[u8]) -> Result<()> {
        ensure!(bytes.len() == self.bytes, "key {number} has a value of {} bytes", bytes.len());
        let (beginning, noise) = bytes.split_at(VALUE_BYTES);
        let version = data::version(number, beginning)?;
        ensure!(noise == self.noise(number, version), "key {number} has a value that nobody stored");
        Ok(())
    }
}

/// Entries for one ingest.
struct Portion<'a> {
    numbers: std::ops::Range<u64>,
    values: &'a Values,
    key: [u8; KEY_BYTES],
    value: Vec<u8>,
}

impl Cursor for Portion<'_> {
    fn next(&mut self) -> Result<Option<Entry<'_>>, EngineError> {
        let Some(number) = self.numbers.next() else { return Ok(None) };
        self.key = key(number);
        self.values.write(number, 0, &mut self.value);
        Ok(Some(Entry { key: &self.key, value: &self.value }))
    }

    fn seek(&mut self, _: &[u8]) -> Result<(), EngineError> {
        Err(EngineError::unsupported("seek in entries to ingest"))
    }
}

fn findings(points: &[Point], grid: &Grid, names: &[String; 2], window: Duration) -> Findings {
    let row = |point: &Point| -> Vec<Cell> {
        let is_tie = (point.ratio() - 1.0).abs() <= TIE;
        let faster = if is_tie { "tie" } else { names[usize::from(point.ratio() > 1.0)].as_str() };
        vec![
            (point.value as u64).into(),
            point.amount.into(),
            point.writes.into(),
            point.rates[0].round().into(),
            point.rates[1].round().into(),
            point.ratio().into(),
            faster.into(),
        ]
    };
    let mut series = Vec::new();
    for value in grid.values {
        for amount in grid.amounts {
            let some = points.iter().filter(|it| it.value == *value && it.amount == *amount);
            series.push(Series {
                name: format!("values of {value} bytes, data {amount} times the budget"),
                style: Style::Line,
                points: some.map(|it| (it.writes as f64, it.ratio())).collect(),
            });
        }
    }
    let [first, second] = names;
    let mut remarks = vec![
        format!(
            "requests a second: first {first}, then {second}; {:.1} s of one thread at each point, and the time until nothing is \
             owed",
            window.as_secs_f64()
        ),
        format!("overwrites are durable in batches of up to {BATCH}; both have the same budget of memory"),
    ];
    remarks.extend(crossings(points, grid, names));
    let axis = |title, scale| Axis { title, scale };
    Findings {
        columns: vec![
            "value bytes",
            "data / budget",
            "writes %",
            "first/s",
            "second/s",
            "second / first",
            "faster",
        ],
        rows: points.iter().map(row).collect(),
        remarks,
        svg: chart(
            &format!("Requests a second of {second} for each of {first}"),
            &axis("per cent of requests that write", AxisScale::Linear),
            &axis("times as many; above 1 the second engine is faster", AxisScale::Logarithmic),
            &series,
        ),
        series,
        ..Findings::default()
    }
}

/// A sentence for each line through the grid: along the shares of writes for every amount and length, along amounts and
/// along lengths where the faster engine changes.
fn crossings(points: &[Point], grid: &Grid, names: &[String; 2]) -> Vec<String> {
    let at = |value: usize, amount: f64, writes: u64| {
        let here = points.iter().find(|it| it.value == value && it.amount == amount && it.writes == writes);
        here.map_or(f64::NAN, Point::ratio)
    };
    let mut lines = Vec::new();
    for value in grid.values {
        for amount in grid.amounts {
            let line = grid.writes.iter().map(|writes| (*writes as f64, at(*value, *amount, *writes)));
            let says = changes(line, names, Spacing::Even, " % writes");
            lines.push(format!("values of {value} bytes, data {amount} times the budget: {}", says.text));
        }
    }
    for writes in grid.writes {
        for value in grid.values {
            let line = grid.amounts.iter().map(|amount| (*amount, at(*value, *amount, *writes)));
            let says = changes(line, names, Spacing::Times, " times the budget");
            if says.changes {
                lines.push(format!("{writes} % writes, values of {value} bytes: {}", says.text));
            }
        }
        for amount in grid.amounts {
            let line = grid.values.iter().map(|value| (*value as f64, at(*value, *amount, *writes)));
            let says = changes(line, names, Spacing::Times, " bytes");
            if says.changes {
                lines.push(format!("{writes} % writes, data {amount} times the budget: {}", says.text));
            }
        }
    }
    lines
}

/// How what is varied goes from one point to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spacing {
    Even,
    Times,
}

struct Says {
    text: String,
    changes: bool,
}

/// Which engine is faster along a line of ratios, and from where on the other one: between two points by a straight line
/// through the logarithms of their ratios. Ties say nothing.
fn changes(
    line: impl Iterator<Item = (f64, f64)>,
    names: &[String; 2],
    spacing: Spacing,
    unit: &str,
) -> Says {
    let name = |ratio: f64| &names[usize::from(ratio > 1.0)];
    let mut points = line.filter(|(_, ratio)| (ratio - 1.0).abs() > TIE);
    let Some((mut before, mut then)) = points.next() else {
        return Says { text: "neither is faster".to_string(), changes: false };
    };
    let (mut text, mut changes) = (format!("{} is faster", name(then)), false);
    for (at, ratio) in points {
        if (then > 1.0) != (ratio > 1.0) {
            let part = then.ln() / (then.ln() - ratio.ln());
            let crossing = match spacing {
                Spacing::Even => before + part * (at - before),
                Spacing::Times => before * f64::powf(at / before, part),
            };
            let digits = usize::from(crossing < 10.0);
            let _ = write!(text, ", {} from {crossing:.digits$}{unit} on", name(ratio));
            changes = true;
        }
        (before, then) = (at, ratio);
    }
    if !changes {
        text += " throughout";
    }
    Says { text, changes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(line: &[(f64, f64)], spacing: Spacing) -> String {
        let names = ["tree".to_string(), "merge".to_string()];
        changes(line.iter().copied(), &names, spacing, " %").text
    }

    #[test]
    fn the_winner_changes_where_the_ratio_passes_one() {
        assert_eq!(says(&[(0.0, 0.5), (100.0, 0.9)], Spacing::Even), "tree is faster throughout");
        assert_eq!(says(&[(0.0, 2.0), (100.0, 1.1)], Spacing::Even), "merge is faster throughout");
        assert_eq!(says(&[(0.0, 2.0), (100.0, 0.97)], Spacing::Even), "merge is faster throughout");
        assert_eq!(says(&[(0.0, 1.02)], Spacing::Even), "neither is faster");
        let line = [(0.0, 0.5), (50.0, 2.0), (100.0, 0.5)];
        assert_eq!(says(&line, Spacing::Even), "tree is faster, merge from 25 % on, tree from 75 % on");
        assert_eq!(says(&[(1.0, 0.5), (16.0, 2.0)], Spacing::Times), "tree is faster, merge from 4.0 % on");
    }

    #[test]
    fn only_a_value_that_was_stored_for_the_key_passes() {
        for bytes in [VALUE_BYTES, 1 << 10] {
            let (values, mut value) = (Values::new(bytes), Vec::new());
            values.write(7, 3, &mut value);
            values.check(7, &value).unwrap();
            assert_eq!(value.len(), bytes);
            assert!(values.check(8, &value).is_err() && values.check(7, &value[1..]).is_err());
            *value.last_mut().unwrap() ^= 1;
            assert!(values.check(7, &value).is_err());
        }
    }
}
