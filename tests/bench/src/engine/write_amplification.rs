//! Bytes written for each byte of the user, by cause, for several lengths of the log between two checkpoints.
//!
//! The model of a B-tree: of L pages, U random updates between two checkpoints leave L·e^(−U/L) unchanged, so a
//! checkpoint writes L·(1 − e^(−U/L)). By page and update that is one curve for every tree, (1 − e^(−x))/x with x = U/L, and
//! each store is one point beside it. U is what was really written between two checkpoints, which is more than what called
//! for one: writers do not stop while it is written.
//!
//! ```text
//! fill ─▶ checkpoint ─▶ … random overwrites … ─▶ checkpoint     a whole number of rounds: from the end of one
//!                    └────────── what counts ──────────┘        checkpoint to the end of another
//! ```

use adapter_api::environment::Cause;
use anyhow::Result;
use fastrand::Rng;

use super::data::{ENTRY_BYTES, shuffled};
use super::findings::{Cell, Findings};
use super::store::{BATCH, Launcher, Store, Written};
use super::{MIB, Scale};
use crate::chart::{Axis, Scale as AxisScale, Series, Style, chart};

/// The option that says how long the log gets between two checkpoints, the counter of checkpoints, and what tells the
/// number of pages.
const BUDGET: &str = "checkpoint_log_bytes";
const CHECKPOINTS: &str = "checkpoints";
const PAGES_BYTES: &str = "tree_page_bytes";
const PAGE_BYTES: &str = "page_bytes";
/// Whole rounds that count at least.
const ROUNDS: u64 = 4;
/// Batches between two looks at the counters: asking costs about a tenth of a batch.
const LOOK: u64 = 8;

/// The counters when a checkpoint had just ended.
#[derive(Clone, Copy)]
struct Reading {
    updates: u64,
    checkpoints: f64,
    written: Written,
    /// `None` if the engine has no such pages.
    pages: Option<f64>,
}

/// What was written for some updates.
struct Rounds {
    updates: f64,
    checkpoints: f64,
    written: Written,
    pages: Option<f64>,
}

pub(super) fn run(launcher: &Launcher, scale: &Scale, progress: &mut dyn FnMut(&str)) -> Result<Findings> {
    let columns = vec![
        "load",
        "log MiB",
        "updates to a checkpoint",
        "to a page",
        "log ×",
        "checkpoint ×",
        "metadata ×",
        "other ×",
        "all ×",
        "model of checkpoint ×",
        "measured / model",
    ];
    let mut findings = Findings { columns, ..Findings::default() };
    let mut points = [Vec::new(), Vec::new()];
    for budget in &scale.budgets {
        let store = launcher.open(&[(BUDGET, *budget)])?;
        for (kind, rounds) in both_kinds(&store, scale)?.into_iter().enumerate() {
            let name = ["overwrites", "inserts"][kind];
            let Some(rounds) = rounds else {
                findings.remarks.push(format!(
                    "no row of {name} for {} MiB: the keys were all there before a second checkpoint",
                    *budget as f64 / MIB
                ));
                continue;
            };
            let row = row(name, *budget, &rounds, &store);
            progress(&format!("{name}, {} MiB: {:.0} updates", *budget as f64 / MIB, rounds.updates));
            findings.rows.push(row);
            points[kind].extend(point(&rounds, &store));
        }
        store.close()?;
    }
    findings.remarks.push(format!(
        "× is bytes written for each byte of keys and values ({ENTRY_BYTES} an update, {BATCH} updates a batch); a page is a \
         leaf or one of the few branches"
    ));
    draw(&mut findings, points);
    Ok(findings)
}

/// Random overwrites of every second key, then the keys between them in random order.
fn both_kinds(store: &Store, scale: &Scale) -> Result<[Option<Rounds>; 2]> {
    let there: Vec<_> = shuffled(scale.keys, 1).into_iter().map(|number| 2 * number).collect();
    store.fill(&there)?;
    let (keys, mut random) = (scale.keys, Rng::with_seed(2));
    let overwrites =
        measure(store, keys, &mut |_| Some((0..BATCH).map(|_| 2 * random.u64(..keys)).collect()))?;
    let new: Vec<_> = shuffled(scale.keys, 3).into_iter().map(|number| 2 * number + 1).collect();
    let mut rest = new.chunks(BATCH as usize);
    let inserts = measure(store, u64::MAX, &mut |_| rest.next().map(<[u64]>::to_vec))?;
    Ok([overwrites, inserts])
}

/// Puts batches until enough whole rounds and updates are over, or until there are no more; `None` without a whole round.
fn measure(
    store: &Store,
    updates_least: u64,
    next: &mut dyn FnMut(u64) -> Option<Vec<u64>>,
) -> Result<Option<Rounds>> {
    let (mut first, mut last) = (None::<Reading>, None);
    let (mut updates, mut before) = (0, store.needed_metric(CHECKPOINTS)?);
    for batch in 1.. {
        let Some(numbers) = next(batch) else { break };
        updates += numbers.len() as u64;
        store.put(numbers, batch)?;
        if batch % LOOK != 0 {
            continue;
        }
        let checkpoints = store.needed_metric(CHECKPOINTS)?;
        if checkpoints == before {
            continue;
        }
        before = checkpoints;
        let reading = Reading { updates, checkpoints, written: store.written(), pages: pages(store) };
        let Some(first) = first else {
            first = Some(reading);
            continue;
        };
        last = Some(reading);
        let rounds = checkpoints - first.checkpoints;
        if rounds >= ROUNDS as f64 && updates - first.updates >= updates_least {
            break;
        }
    }
    Ok(first.zip(last).map(|(first, last)| Rounds {
        updates: (last.updates - first.updates) as f64,
        checkpoints: last.checkpoints - first.checkpoints,
        written: last.written.since(first.written),
        pages: first.pages.zip(last.pages).map(|(first, last)| f64::midpoint(first, last)),
    }))
}

fn pages(store: &Store) -> Option<f64> {
    Some(store.metric(PAGES_BYTES)? / store.option(PAGE_BYTES)? as f64)
}

/// Pages that a checkpoint writes for each update by the model, given how many updates there are to a page.
fn model(updates_to_a_page: f64) -> f64 {
    -(-updates_to_a_page).exp_m1() / updates_to_a_page
}

impl Rounds {
    /// Updates between two checkpoints for each page.
    fn updates_to_a_page(&self) -> Option<f64> {
        Some(self.updates / self.checkpoints / self.pages?)
    }

    /// Bytes written for a byte of the user.
    fn times(&self, bytes: u64) -> f64 {
        bytes as f64 / (self.updates * ENTRY_BYTES as f64)
    }
}

fn row(name: &str, budget: u64, rounds: &Rounds, store: &Store) -> Vec<Cell> {
    let of = |cause| rounds.written.of(cause);
    let [log, checkpoint, metadata] = [Cause::Log, Cause::Checkpoint, Cause::Metadata].map(of);
    let all = rounds.written.total();
    let page = rounds.updates_to_a_page().zip(store.option(PAGE_BYTES));
    let model = page.map(|(x, page_bytes)| model(x) * page_bytes as f64 / ENTRY_BYTES as f64);
    vec![
        name.into(),
        (budget as f64 / MIB).into(),
        (rounds.updates / rounds.checkpoints).round().into(),
        rounds.updates_to_a_page().into(),
        rounds.times(log).into(),
        rounds.times(checkpoint).into(),
        rounds.times(metadata).into(),
        rounds.times(all - log - checkpoint - metadata).into(),
        rounds.times(all).into(),
        model.into(),
        model.map(|model| rounds.times(checkpoint) / model).into(),
    ]
}

/// Where the rounds lie beside the model's curve.
fn point(rounds: &Rounds, store: &Store) -> Option<(f64, f64)> {
    let pages_written = rounds.written.of(Cause::Checkpoint) as f64 / store.option(PAGE_BYTES)? as f64;
    Some((rounds.updates_to_a_page()?, pages_written / rounds.updates))
}

fn draw(findings: &mut Findings, [overwrites, inserts]: [Vec<(f64, f64)>; 2]) {
    let across = overwrites.iter().chain(&inserts).map(|point| point.0);
    let (least, most) =
        across.fold((f64::INFINITY, 0.0), |(least, most), x| (f64::min(least, x), f64::max(most, x)));
    let curve = (0..=60).map(|step| least / 2.0 * (4.0 * most / least).powf(f64::from(step) / 60.0));
    let curve = if most > 0.0 { curve.map(|x| (x, model(x))).collect() } else { Vec::new() };
    let series = |name: &str, style, points| Series { name: name.to_string(), style, points };
    findings.series = vec![
        series("model: (1 − e^(−x))/x", Style::Line, curve),
        series("random overwrites, measured", Style::Points, overwrites),
        series("random inserts, measured", Style::Points, inserts),
    ];
    let axis = |title| Axis { title, scale: AxisScale::Logarithmic };
    findings.svg = chart(
        "What checkpoints write",
        &axis("updates between two checkpoints, for each page of the tree"),
        &axis("pages written for each update"),
        &findings.series,
    );
}
