//! Memory while a view is held under full write load, once a second: of the process, and by the engine's own count.
//!
//! The load is random overwrites, batch after batch. The view is read through every second and must show what it showed
//! when it was taken. When it ends in `ViewTooOld`, that is noted, and the next one is taken at once.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use adapter_api::host::View;
use adapter_api::{Buffer, EngineError, ReadView};
use anyhow::{Context, Result, anyhow, ensure};
use fastrand::Rng;

use super::data::version;
use super::findings::{Cell, Findings};
use super::store::{BATCH, Launcher, Store};
use super::{MIB, Scale};
use crate::chart::{Axis, Scale as AxisScale, Series, Style, chart};
use crate::load::key;
use crate::process;

/// Keys that are read through the view each second.
const WATCHED: usize = 100;
/// About how many of the samples get a row; the curves have all of them.
const ROWS: usize = 20;
/// What the engine says of its memory, and how the curves call it.
const RETAINED: &str = "view_retained_bytes";
const CACHE: &str = "cache_bytes";

struct Sample {
    seconds: f64,
    resident: f64,
    retained: f64,
    cache: f64,
    updates: u64,
}

/// A view, and what it showed when it was taken.
struct Held {
    view: View,
    taken: Instant,
    shown: Vec<(u64, u64)>,
}

pub(super) fn run(launcher: &Launcher, scale: &Scale, progress: &mut dyn FnMut(&str)) -> Result<Findings> {
    let store = launcher.open(&[])?;
    store.needed_metric(RETAINED)?;
    store.fill_and_rest(scale.keys)?;
    let (is_over, updates) = (AtomicBool::new(false), AtomicU64::new(0));
    let watched = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&store, scale.keys, &is_over, &updates));
        let watched = watch(&store, scale, &updates, &|| writer.is_finished(), progress);
        is_over.store(true, Ordering::Relaxed);
        let written = writer.join().unwrap_or_else(|_| Err(anyhow!("the writer panicked")));
        written.and(watched)
    });
    let (samples, ends) = watched?;
    let bound = store.option("view_bytes");
    store.close()?;
    Ok(findings(&samples, &ends, bound))
}

/// Overwrites random keys, as fast as it goes.
fn write(store: &Store, keys: u64, is_over: &AtomicBool, updates: &AtomicU64) -> Result<()> {
    let mut random = Rng::with_seed(2);
    for version in 1.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        store.put((0..BATCH).map(|_| random.u64(..keys)), version)?;
        updates.fetch_add(BATCH, Ordering::Relaxed);
    }
    Ok(())
}

/// Holds a view and looks at the memory each second; answers the samples, and after how many seconds views ended.
fn watch(
    store: &Store,
    scale: &Scale,
    updates: &AtomicU64,
    has_ended: &dyn Fn() -> bool,
    progress: &mut dyn FnMut(&str),
) -> Result<(Vec<Sample>, Vec<f64>)> {
    let (began, mut samples, mut ends) = (Instant::now(), Vec::new(), Vec::new());
    let mut held = Held::take(store, scale.keys)?;
    for second in 0..=scale.seconds {
        let due = began + Duration::from_secs(second);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        ensure!(!has_ended(), "nobody writes any more");
        samples.push(Sample::now(store, began, updates.load(Ordering::Relaxed))?);
        if !held.is_as_it_was()? {
            ends.push(held.taken.elapsed().as_secs_f64());
            held = Held::take(store, scale.keys)?;
        }
        if let Some(sample) = samples.last().filter(|_| second % 10 == 0) {
            progress(&format!(
                "{second} s: {:.0} MiB resident, {:.0} MiB kept for views, {} updates",
                sample.resident, sample.retained, sample.updates
            ));
        }
    }
    Ok((samples, ends))
}

impl Held {
    fn take(store: &Store, keys: u64) -> Result<Self> {
        let mut random = Rng::with_seed(3);
        let (view, taken) = (store.engine().view()?, Instant::now());
        let mut shown = Vec::new();
        for number in std::iter::repeat_with(|| random.u64(..keys)).take(WATCHED) {
            match read(&view, number)? {
                Some(version) => shown.push((number, version)),
                // It ended already; the next look says so.
                None => break,
            }
        }
        Ok(Self { view, taken, shown })
    }

    /// Whether the view goes on.
    ///
    /// # Errors
    /// If it shows something else than before.
    fn is_as_it_was(&self) -> Result<bool> {
        for (number, before) in &self.shown {
            let Some(now) = read(&self.view, *number)? else { return Ok(false) };
            ensure!(now == *before, "the view showed version {before} of key {number} and now shows {now}");
        }
        Ok(self.shown.len() == WATCHED)
    }
}

/// The version of a key's value in a view; `None` if the view has ended.
fn read(view: &View, number: u64) -> Result<Option<u64>> {
    let mut found = Buffer::new();
    match view.get(&key(number), &mut found) {
        Ok(true) => version(number, &found).map(Some),
        Ok(false) => Err(anyhow!("the view does not show key {number}")),
        Err(EngineError::ViewTooOld) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Sample {
    fn now(store: &Store, began: Instant, updates: u64) -> Result<Self> {
        let resident = process::field(&std::fs::read_to_string("/proc/self/status")?, "VmRSS:");
        let resident = resident.context("the kernel reports no VmRSS")? as f64 / 1024.0;
        Ok(Self {
            seconds: began.elapsed().as_secs_f64(),
            resident,
            retained: store.needed_metric(RETAINED)? / MIB,
            cache: store.metric(CACHE).unwrap_or(0.0) / MIB,
            updates,
        })
    }
}

fn findings(samples: &[Sample], ends: &[f64], bound: Option<u64>) -> Findings {
    let row = |sample: &Sample| -> Vec<Cell> {
        vec![
            sample.seconds.round().into(),
            sample.updates.into(),
            sample.resident.into(),
            sample.cache.into(),
            sample.retained.into(),
        ]
    };
    let (_, later) = samples.split_at(samples.len() / 2);
    let spread = |pick: fn(&Sample) -> f64| {
        let picked = || later.iter().map(pick);
        let (least, most) = (picked().fold(f64::INFINITY, f64::min), picked().fold(0.0, f64::max));
        format!("{least:.0} to {most:.0} MiB")
    };
    let mut remarks = vec![format!(
        "in the second half of the time: resident {}, cache {}, kept for views {}",
        spread(|sample| sample.resident),
        spread(|sample| sample.cache),
        spread(|sample| sample.retained)
    )];
    remarks.extend(bound.map(|bytes| format!("views may keep {:.0} MiB (view_bytes)", bytes as f64 / MIB)));
    remarks.push(match ends {
        [] => "one view was held all the time, and showed what it showed at first".to_string(),
        [first, ..] => format!(
            "views ended in ViewTooOld {} times, the first after {first:.0} s; each was followed by another",
            ends.len()
        ),
    });
    let series = |name: &str, pick: fn(&Sample) -> f64| Series {
        name: name.to_string(),
        style: Style::Line,
        points: samples.iter().map(|sample| (sample.seconds, pick(sample))).collect(),
    };
    let series = vec![
        series("resident memory of the process", |sample| sample.resident),
        series("pages in memory (cache_bytes)", |sample| sample.cache),
        series("kept for views (view_retained_bytes)", |sample| sample.retained),
    ];
    let axis = |title| Axis { title, scale: AxisScale::Linear };
    Findings {
        columns: vec!["second", "updates", "resident MiB", "cache MiB", "kept for views MiB"],
        rows: samples.iter().step_by(samples.len().div_ceil(ROWS).max(1)).map(row).collect(),
        remarks,
        svg: chart("A view held under full write load", &axis("seconds"), &axis("MiB"), &series),
        series,
        ..Findings::default()
    }
}
