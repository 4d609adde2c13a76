//! What an LSM tree writes, reads and takes on disk for each byte of the user: by the style of its compaction, with and
//! without filters, for several amounts of data, beside the models (`lsm_model`).
//!
//! ```text
//! fill ─▶ some random overwrites ─▶ rest ─▶ … more of them … ─▶ rest ─▶ gets of keys that are there ─▶ of keys that are not
//!                                       └──── writes count ────┘ room
//! ```
//!
//! Rest is what background work comes to by itself: nobody asks for a compaction. Behind each batch the load waits until
//! nothing is owed, so what is found does not depend on how fast the machine is: a tree that is behind merges more at once,
//! and writes less. What memtables hold takes no room but that of the log, which does not count. Keys that are not there
//! lie between those that are.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use adapter_api::environment::Cause;
use anyhow::{Context, Error, Result, ensure};
use fastrand::Rng;

use super::data::{ENTRY_BYTES, shuffled};
use super::findings::{Cell, Findings};
use super::lsm_model::{Compaction, Tree, blocks_for_nothing};
use super::reads::{Reads, read};
use super::store::{BATCH, Launcher, Store, Written};
use super::{MIB, Scale, lsm_option};
use crate::chart::{Axis, Scale as AxisScale, Series, Style, chart};

/// Options unless given: a small memtable, so that a little data is many memtables; tables of half of it, as by default; and
/// a ratio that gives the tree a level more within twenty memtables.
const MEMTABLE: u64 = 1 << 20;
const MEMTABLE_QUICK: u64 = 64 << 10;
const LOG_SEGMENT: u64 = 1 << 20;
const RATIO: (&str, u64) = ("level_ratio", 4);
/// How often each key is overwritten on average; and how many memtables are, at least. A part of that goes ahead, so that
/// levels and log are as they stay.
const ROUNDS: u64 = 2;
const MEMTABLES_LEAST: u64 = 20;
/// Gets of each kind.
const GETS: usize = 100_000;
const GETS_QUICK: usize = 10_000;
/// What there is of work that was put off, how long to wait for it, and between two looks at it.
const OWED: [&str; 2] = ["sealed_memtables", "compaction_debt_bytes"];
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_micros(200);
/// Of so many keys in a row one is there.
const STRIDE: u64 = 16;

/// One store.
#[derive(Debug, Clone, Copy)]
struct Setup {
    compaction: Compaction,
    has_filters: bool,
    /// How many memtables of data there are.
    size: u64,
}

/// What was found of one store.
struct Outcome {
    setup: Setup,
    updates: f64,
    written: Written,
    room: f64,
    /// Runs of each level, from level 0 on.
    runs: Vec<f64>,
    tree: Tree,
    present: Reads,
    absent: Reads,
}

pub(super) fn run(launcher: &Launcher, scale: &Scale, progress: &mut dyn FnMut(&str)) -> Result<Findings> {
    let mut outcomes = Vec::new();
    for compaction in Compaction::ALL {
        for has_filters in [true, false] {
            for size in scale.sizes.iter().copied() {
                let setup = Setup { compaction, has_filters, size };
                let outcome = measure(launcher, setup, scale.is_quick)?;
                progress(&format!(
                    "{}, {size} memtables: {:.2} bytes written for a byte",
                    setup.name(),
                    outcome.times(outcome.written.total())
                ));
                outcomes.push(outcome);
            }
        }
    }
    Ok(findings(&outcomes))
}

impl Setup {
    fn name(self) -> String {
        format!("{}, filters {}", self.compaction.name(), self.filters())
    }

    fn filters(self) -> &'static str {
        if self.has_filters { "on" } else { "off" }
    }

    fn open(self, launcher: &Launcher, is_quick: bool) -> Result<Store> {
        let memtable = if is_quick { MEMTABLE_QUICK } else { MEMTABLE };
        let small = [
            (lsm_option::MEMTABLE, memtable),
            (lsm_option::TABLE, memtable / 2),
            (lsm_option::LOG_SEGMENT, LOG_SEGMENT.min(memtable)),
            RATIO,
        ];
        let small = small.into_iter().filter(|(name, _)| !launcher.is_given(name));
        let mut set: Vec<_> = small.map(|(name, value)| (name, value.to_string())).collect();
        set.push(("compaction", self.compaction.name().to_string()));
        set.push(("filters", self.filters().to_string()));
        launcher.open_with(&set)
    }
}

fn measure(launcher: &Launcher, setup: Setup, is_quick: bool) -> Result<Outcome> {
    let store = setup.open(launcher, is_quick)?;
    let memtable = store.option(lsm_option::MEMTABLE).context("it has no memtables, which this is about")?;
    let keys = (setup.size * memtable / ENTRY_BYTES).max(1);
    let there: Vec<_> = shuffled(keys, 1).into_iter().map(|number| STRIDE * number).collect();
    store.fill(&there)?;
    let batches = (ROUNDS * keys).max(MEMTABLES_LEAST * memtable / ENTRY_BYTES).div_ceil(BATCH);
    let (ahead, mut random) = (batches / ROUNDS, Rng::with_seed(2));
    overwrite(&store, keys, 1..ahead + 1, &mut random)?;
    let (before, flushes) = (store.written(), store.needed_metric("flushes")?);
    overwrite(&store, keys, ahead + 1..ahead + batches + 1, &mut random)?;
    let (written, flushes) = (store.written().since(before), store.needed_metric("flushes")? - flushes);
    let (updates, data) = ((batches * BATCH) as f64, (keys * ENTRY_BYTES) as f64);
    let room = store.disk_bytes_without_log()? as f64 / data;
    let runs = runs_by_level(&store);
    let tree = Tree {
        compaction: setup.compaction,
        ratio: store.option(RATIO.0).context("it has no ratio of levels, which this is about")? as f64,
        levels: runs.iter().skip(1).filter(|runs| **runs > 0.0).count() as u32,
        data,
        overwritten: ((ahead + batches) * BATCH * ENTRY_BYTES) as f64,
        flushed: updates * ENTRY_BYTES as f64 / flushes.max(1.0),
    };
    let gets = if is_quick { GETS_QUICK } else { GETS };
    let mut random = |from: u64, to: u64| STRIDE * random.u64(..keys) + random.u64(from..to);
    let present = read(&store, std::iter::repeat_with(|| random(0, 1)).take(gets), true)?;
    let absent = read(&store, std::iter::repeat_with(|| random(1, STRIDE)).take(gets), false)?;
    store.close()?;
    Ok(Outcome { setup, updates, written, room, runs, tree, present, absent })
}

/// Overwrites random keys, a batch for each version; at every moment behind a batch the tree is as it should be.
fn overwrite(store: &Store, keys: u64, versions: std::ops::Range<u64>, random: &mut Rng) -> Result<()> {
    for version in versions {
        store.put((0..BATCH).map(|_| STRIDE * random.u64(..keys)), version)?;
        let began = Instant::now();
        while OWED.iter().try_fold(0.0, |sum, owed| Ok::<_, Error>(sum + store.needed_metric(owed)?))? > 0.0 {
            ensure!(began.elapsed() < PATIENCE, "it does not come to an end with what it owes");
            std::thread::sleep(LOOK);
        }
    }
    store.come_to_rest()
}

/// How many runs each level has, from level 0 on.
fn runs_by_level(store: &Store) -> Vec<f64> {
    let by_level = store.by_label("level_runs", "level").into_iter();
    let by_level: BTreeMap<u64, f64> =
        by_level.filter_map(|(level, runs)| Some((level.parse().ok()?, runs))).collect();
    by_level.into_values().collect()
}

impl Outcome {
    /// Bytes written for a byte of the user.
    fn times(&self, bytes: u64) -> f64 {
        bytes as f64 / (self.updates * ENTRY_BYTES as f64)
    }

    fn row(&self) -> Vec<Cell> {
        let of = |cause| self.written.of(cause);
        let [log, flush, compaction, blob] =
            [Cause::Log, Cause::Flush, Cause::Compaction, Cause::Blob].map(of);
        let all = self.written.total();
        let (least, most) = self.tree.writes();
        let by_level: Vec<_> =
            self.runs.iter().filter(|runs| **runs > 0.0).map(ToString::to_string).collect();
        vec![
            Cell::Text(self.setup.name()),
            self.setup.size.into(),
            self.times(log).into(),
            self.times(flush).into(),
            self.times(compaction).into(),
            self.times(blob).into(),
            self.times(all - log - flush - compaction - blob).into(),
            self.times(all).into(),
            least.into(),
            most.into(),
            self.room.into(),
            self.tree.room().into(),
            self.runs.iter().sum::<f64>().into(),
            Cell::Text(by_level.join("+")),
            self.present.blocks.into(),
            self.absent.blocks.into(),
            blocks_for_nothing(&self.runs, self.setup.has_filters).into(),
        ]
    }
}

fn findings(outcomes: &[Outcome]) -> Findings {
    let of = |compaction: Compaction, figure: fn(&Outcome) -> f64| {
        let ours = outcomes.iter().filter(|it| it.setup.compaction == compaction && it.setup.has_filters);
        ours.map(|outcome| (outcome.setup.size as f64, figure(outcome))).collect()
    };
    let mut series = Vec::new();
    for compaction in Compaction::ALL {
        let named = |what: &str, style, points| Series {
            name: format!("{}, {what}", compaction.name()),
            style,
            points,
        };
        series.push(named("measured", Style::Points, of(compaction, |it| it.times(it.written.total()))));
        series.push(named("model, levels full", Style::Line, of(compaction, |it| it.tree.writes().1)));
    }
    let axis = |title, scale| Axis { title, scale };
    let small = outcomes.first().map_or(0.0, |outcome| outcome.tree.flushed / MIB);
    Findings {
        columns: vec![
            "compaction",
            "data, memtables",
            "log ×",
            "flush ×",
            "compaction ×",
            "blob ×",
            "other ×",
            "all ×",
            "model from",
            "to",
            "room ×",
            "model to",
            "runs",
            "by level",
            "blocks a hit",
            "blocks a miss",
            "model",
        ],
        rows: outcomes.iter().map(Outcome::row).collect(),
        remarks: vec![
            format!(
                "× is bytes for each byte of keys and values ({ENTRY_BYTES} an entry); a flush brings {small:.2} MiB of them; \
                 memtables count what they take in memory"
            ),
            "writes: the model is from levels that fill to levels that are full; runs by level are from level 0 on, \
             empty levels left out"
                .to_string(),
            format!("a batch of {BATCH} entries is durable by itself: the log writes whole blocks of the disk for it"),
            "blocks are those of tables that a get looked into, in memory or not; a hit is of a key that is there"
                .to_string(),
        ],
        svg: chart(
            "What an LSM tree writes for a byte of random overwrites",
            &axis("data, in memtables", AxisScale::Logarithmic),
            &axis("bytes written for a byte of the user", AxisScale::Linear),
            &series,
        ),
        series,
        ..Findings::default()
    }
}
