//! A store that is larger than the memory its process may use: filled without a limit, then read and overwritten under one.
//!
//! ```text
//! fill, settle, close │ page cache emptied │ limit holds ─▶ open ─▶ gets that do not count ─▶ each row for one window ─▶ close
//! ```
//!
//! Promises: every row takes a window, or four for the overwrites, however slow the store is; a process that takes far
//! longer ends itself with an error. What is read is checked as in `workload`. The keys come
//! in order, which every store takes fastest and lays out best: how it is filled is not what is asked here.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::data::{Key, check_entry, key, value};
use crate::store::{Settings, Store};
use crate::stores;
use crate::workload::{BATCH, Figures, Plan, batches, get_hits, get_misses, range_reads};

/// So many windows of its own has each of the two processes, but at least a minute.
const PATIENCE_WINDOWS: u32 = 60;
const PATIENCE_LEAST: Duration = Duration::from_secs(60);
/// Overwrites run for so many windows: in the first one memory takes what the disk still has to.
const OVERWRITE_WINDOWS: u32 = 4;
/// A scan looks at the clock once in so many entries.
const PIECE: usize = 10_000;

/// Fills the store that [`run`] reads.
///
/// # Errors
/// If it does not take it.
pub fn fill(plan: &Plan) -> Result<Figures> {
    end_when_impatient(plan);
    let mut numbers: Vec<u64> = (0..plan.keys).collect();
    numbers.sort_by_cached_key(|number| key(*number));
    let began = Instant::now();
    // Memory has no limit here, and larger memtables are filled faster.
    let store = open(plan, false)?;
    store.load(&mut numbers.into_iter().map(|number| (key(number), value(number, 0))))?;
    store.settle()?;
    store.close()?;
    Ok(Figures::from([("large_fill_s".to_string(), began.elapsed().as_secs_f64())]))
}

/// Reads and overwrites what [`fill`] has left, under the limit that holds for this process. Each row is told when it is
/// measured: a store that needs more memory than there is ends with the process.
///
/// # Errors
/// If a key is missing or has another value, or a write fails.
pub fn run(plan: &Plan, tell: &mut dyn FnMut(Figures) -> Result<()>) -> Result<()> {
    end_when_impatient(plan);
    let store = open(plan, true)?;
    let (keys, window) = (plan.keys, plan.window);
    let mut rate = |name: &str, rate: f64| tell(Figures::from([(name.to_string(), rate / 1e3)]));
    // What is read first finds nothing in memory, whichever row that is.
    get_hits(&*store, keys, 8, window)?;
    rate("large_get_1", get_hits(&*store, keys, 1, window)?.per_second)?;
    rate("large_get_8", get_hits(&*store, keys, 8, window)?.per_second)?;
    rate("large_miss_1", get_misses(&*store, keys, 1, window)?.per_second)?;
    rate("large_miss_8", get_misses(&*store, keys, 8, window)?.per_second)?;
    rate("large_range100_1", range_reads(&*store, keys, 100, 1, window)?.per_second)?;
    rate("large_scan", scan(&*store, window)?)?;
    let overwrites = batches(&*store, keys, 1, OVERWRITE_WINDOWS * window)?;
    rate("large_overwrite", overwrites.per_second * BATCH as f64)?;
    tell(Figures::from([
        ("large_overwrite_p50_ms".to_string(), overwrites.latency.percentile_us(50.0) / 1e3),
        ("large_overwrite_p99_ms".to_string(), overwrites.latency.percentile_us(99.0) / 1e3),
    ]))?;
    store.close()
}

/// Walks in order, from the first key again where the last one was; answers entries a second.
fn scan(store: &dyn Store, window: Duration) -> Result<f64> {
    let mut entries = 0_u64;
    let began = Instant::now();
    store.read(&mut |reader| {
        // A key of another length, in front of all.
        let mut from = vec![0];
        while began.elapsed() < window {
            let (mut seen, mut last) = (0, Key::default());
            reader.range(&from, PIECE, &mut |stored, bytes| {
                ensure!(stored >= &from[..] && (seen == 0 || stored > &last[..]), "a scan is out of order");
                last.copy_from_slice(stored);
                seen += 1;
                if seen % 64 == 0 { check_entry(stored, bytes) } else { Ok(()) }
            })?;
            ensure!(seen > 0 || from.len() > 1, "a scan finds nothing");
            entries += seen;
            from.clear();
            // The next piece begins behind the last key.
            match seen < PIECE as u64 {
                true => from.push(0),
                false => from.extend(last.iter().chain([&0])),
            }
        }
        Ok(())
    })?;
    Ok(entries as f64 / began.elapsed().as_secs_f64())
}

fn open(plan: &Plan, is_larger_than_memory: bool) -> Result<Box<dyn Store>> {
    let directory: &Path = &plan.directory.join("large");
    let settings = Settings { cache_bytes: plan.cache_bytes, relaxed: false, is_larger_than_memory };
    stores::open(&plan.store, directory, settings)
}

/// Ends this process if it is still there when the patience with it is over.
#[allow(clippy::print_stderr, reason = "whoever started the process reads why it ended")]
fn end_when_impatient(plan: &Plan) {
    let patience = (PATIENCE_WINDOWS * plan.window).max(PATIENCE_LEAST);
    thread::spawn(move || {
        thread::sleep(patience);
        eprintln!("it takes more than {} s", patience.as_secs());
        std::process::exit(1);
    });
}
