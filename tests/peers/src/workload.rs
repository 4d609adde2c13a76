//! The workload of one store, in one process: it is filled, read, written, overwritten, emptied by half, closed, opened.
//!
//! Promises: every value that a get or a range returns is checked; of a scan the order and the number of all
//! entries, and one value in 64, since the walk is what is measured. The first error ends it without
//! figures. Called in a child process, so that memory and CPU time are one store's own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fastrand::Rng;

use crate::data::{self, ABSENT, ENTRY_BYTES, check, check_entry, key, value};
use crate::loop_device;
use crate::store::{Change, Settings, Store};
use crate::stores;
use crate::timed::{self, Outcome};
use crate::usage;

/// How many keys a batch has.
pub const BATCH: u64 = 1000;
const MIB: f64 = (1 << 20) as f64;

/// What is measured, by name; the unit is the table's.
pub type Figures = BTreeMap<String, f64>;

/// How much and how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The store, as `stores::open` takes it.
    pub store: String,
    /// Where it lives.
    pub directory: PathBuf,
    /// How many keys it is filled with.
    pub keys: u64,
    /// How long each load by time runs.
    pub window: Duration,
    /// Which groups of rows are wanted; all if empty.
    pub groups: Vec<String>,
    /// Bytes of memory for its cache.
    pub cache_bytes: u64,
    /// The block device that it alone lives on, if written bytes are to be the device's.
    pub device: Option<String>,
}

impl Plan {
    fn wants(&self, group: &str) -> bool {
        self.groups.is_empty() || self.groups.iter().any(|wanted| wanted == group)
    }

    /// Opens the store in a folder of its own below the plan's.
    ///
    /// # Errors
    /// If it does not open.
    pub fn open(&self, folder: &str, relaxed: bool) -> Result<Box<dyn Store>> {
        let settings = Settings { cache_bytes: self.cache_bytes, relaxed, is_larger_than_memory: false };
        stores::open(&self.store, &self.directory.join(folder), settings)
    }
}

/// Runs it, and returns what was measured.
///
/// # Errors
/// The first thing that went wrong.
pub fn run(plan: &Plan) -> Result<Figures> {
    let mut workload = Workload { plan, store: plan.open("data", false)?, figures: Figures::new() };
    workload.load()?;
    if plan.wants("get") {
        workload.gets()?;
    }
    if plan.wants("range") {
        workload.ranges()?;
    }
    if plan.wants("put") {
        workload.puts()?;
    }
    if plan.wants("batch") {
        workload.batches()?;
    }
    if plan.wants("overwrite") {
        workload.overwrites()?;
    }
    if plan.wants("delete") {
        workload.deletes()?;
    }
    workload.note("peak_anon_mib", usage::memory_mib("RssAnon:")?);
    workload.note("peak_mib", usage::memory_mib("VmHWM:")?);
    let Workload { store, mut figures, .. } = workload;
    let deleted = plan.wants("delete") && plan.store != stores::LIMIT;
    let left = if deleted { plan.keys - plan.keys / 2 } else { plan.keys };
    if plan.wants("reopen") && plan.store != stores::LIMIT {
        reopen(plan, store, left, &mut figures)?;
    } else {
        store.close()?;
    }
    if plan.wants("relaxed") {
        relaxed(plan, &mut figures)?;
    }
    Ok(figures)
}

struct Workload<'a> {
    plan: &'a Plan,
    store: Box<dyn Store>,
    figures: Figures,
}

impl Workload<'_> {
    fn note(&mut self, name: &str, figure: f64) {
        self.figures.insert(name.to_string(), figure);
    }

    fn note_times(&mut self, name: &str, outcome: &Outcome, scale: f64) {
        self.note(name, outcome.per_second / scale);
        self.note(&format!("{name}_p50_us"), outcome.latency.percentile_us(50.0));
        self.note(&format!("{name}_p99_us"), outcome.latency.percentile_us(99.0));
    }

    fn data(&self) -> PathBuf {
        self.plan.directory.join("data")
    }

    /// Bytes written to the device so far.
    fn written(&self) -> Result<f64> {
        if let Some(device) = &self.plan.device {
            return Ok(loop_device::written_bytes(device, &self.plan.directory)? as f64);
        }
        let own = self.store.written_bytes().map(|bytes| bytes as f64);
        own.map_or_else(|| usage::kernel_written_bytes().map(|bytes| bytes as f64), Ok)
    }

    fn user_bytes(&self) -> f64 {
        (self.plan.keys * ENTRY_BYTES) as f64
    }

    fn load(&mut self) -> Result<()> {
        let keys = self.plan.keys;
        let (cpu, written, began) = (usage::cpu_seconds()?, self.written()?, Instant::now());
        self.store.load(&mut (0..keys).map(|number| (key(number), value(number, 0))))?;
        let seconds = began.elapsed().as_secs_f64();
        self.note("load", keys as f64 / seconds / 1e3);
        self.note("load_cpu_s", usage::cpu_seconds()? - cpu);
        self.note("load_disk_mib", usage::disk_bytes(&self.data())? as f64 / MIB);
        self.store.settle()?;
        self.note("load_disk_settled_mib", usage::disk_bytes(&self.data())? as f64 / MIB);
        let amplification = (self.written()? - written) / self.user_bytes();
        self.note("load_write_amp", amplification);
        Ok(())
    }

    fn gets(&mut self) -> Result<()> {
        for threads in [1, 2, 8] {
            let hits = self.get_hits(threads)?;
            self.note(&format!("get_hit_{threads}"), hits.per_second / 1e3);
        }
        let (keys, store, window) = (self.plan.keys, &*self.store, self.plan.window);
        let fresh = timed::run(1, window, |part| {
            while part.more() {
                let number = part.random.u64(..keys);
                store.read(&mut |reader| {
                    let hit = reader.get(&key(number), &mut |bytes| check(number, bytes))?;
                    ensure!(hit, "key {number} is missing");
                    Ok(())
                })?;
            }
            Ok(())
        })?;
        let misses = |threads| get_misses(store, keys, threads, window);
        let (one, eight) = (misses(1)?, misses(8)?);
        self.note("get_fresh", fresh.per_second / 1e3);
        self.note("get_miss_1", one.per_second / 1e3);
        self.note("get_miss_8", eight.per_second / 1e3);
        Ok(())
    }

    fn get_hits(&self, threads: usize) -> Result<Outcome> {
        get_hits(&*self.store, self.plan.keys, threads, self.plan.window)
    }

    fn ranges(&mut self) -> Result<()> {
        let (keys, store, window) = (self.plan.keys, &*self.store, self.plan.window);
        let mut found = Vec::new();
        for (limit, threads) in [(10, 1), (10, 8), (100, 1), (100, 8)] {
            let outcome = range_reads(store, keys, limit, threads, window)?;
            found.push((format!("range{limit}_{threads}"), outcome.per_second / 1e3));
        }
        self.figures.extend(found);
        let entries = scan(&*self.store, keys)?;
        self.note("scan", entries / 1e3);
        Ok(())
    }

    /// Durable puts of single keys that are there.
    fn puts(&mut self) -> Result<()> {
        let keys = self.plan.keys;
        for threads in [1, 8, 32] {
            let (store, window, written) = (&*self.store, self.plan.window, self.written()?);
            let outcome = timed::run(threads, window, |part| {
                loop {
                    let number = part.random.u64(..keys);
                    let value = Some(value(number, part.thread as u64 + 1));
                    let change = Change { key: key(number), value };
                    if !part.time(|| store.write(&[change], threads))? {
                        return Ok(());
                    }
                }
            })?;
            let user_bytes = (outcome.latency.count() * ENTRY_BYTES) as f64;
            let amplification = (self.written()? - written) / user_bytes;
            self.note_times(&format!("put_{threads}"), &outcome, 1.0);
            self.note(&format!("put_{threads}_write_amp"), amplification);
        }
        Ok(())
    }

    fn batches(&mut self) -> Result<()> {
        let outcome = batches(&*self.store, self.plan.keys, 100, self.plan.window)?;
        self.note_times("batch", &outcome, 1e3 / BATCH as f64);
        Ok(())
    }

    /// Every key twice on average, in durable batches; at most five windows long.
    fn overwrites(&mut self) -> Result<()> {
        let (keys, mut random) = (self.plan.keys, Rng::with_seed(7));
        let (cpu, written, began) = (usage::cpu_seconds()?, self.written()?, Instant::now());
        let mut done = 0;
        while done < 2 * keys && began.elapsed() < 5 * self.plan.window {
            self.store.write(&overwrite(&mut random, keys, 200), 1)?;
            done += BATCH;
        }
        let seconds = began.elapsed().as_secs_f64();
        self.note("overwrite", done as f64 / seconds / 1e3);
        self.note("overwrite_share", done as f64 / (2 * keys) as f64);
        self.note("overwrite_cpu_us", (usage::cpu_seconds()? - cpu) * 1e6 / done as f64);
        self.note("overwrite_disk_mib", usage::disk_bytes(&self.data())? as f64 / MIB);
        let began = Instant::now();
        self.store.settle()?;
        self.note("compact_s", began.elapsed().as_secs_f64());
        let amplification = (self.written()? - written) / (done * ENTRY_BYTES) as f64;
        self.note("overwrite_write_amp", amplification);
        let space = usage::disk_bytes(&self.data())? as f64 / self.user_bytes();
        self.note("overwrite_space_amp", space);
        let hits = self.get_hits(1)?;
        self.note("get_hit_compacted", hits.per_second / 1e3);
        Ok(())
    }

    fn deletes(&mut self) -> Result<()> {
        let half = self.plan.keys / 2;
        let (written, began) = (self.written()?, Instant::now());
        for first in (0..half).step_by(10 * BATCH as usize) {
            let numbers = first..half.min(first + 10 * BATCH);
            let changes: Vec<_> = numbers.map(|number| Change { key: key(number), value: None }).collect();
            self.store.write(&changes, 1)?;
        }
        let seconds = began.elapsed().as_secs_f64();
        self.note("delete", half as f64 / seconds / 1e3);
        self.store.settle()?;
        let amplification = (self.written()? - written) / (half * ENTRY_BYTES) as f64;
        self.note("delete_write_amp", amplification);
        self.note("delete_disk_mib", usage::disk_bytes(&self.data())? as f64 / MIB);
        let is_limit = self.plan.store == stores::LIMIT;
        let entries = scan(&*self.store, if is_limit { 2 * half } else { self.plan.keys - half })?;
        self.note("delete_scan", entries / 1e3);
        Ok(())
    }
}

/// Checked reads of random keys that are there.
///
/// # Errors
/// If one is missing or has another value.
pub fn get_hits(store: &dyn Store, keys: u64, threads: usize, window: Duration) -> Result<Outcome> {
    timed::run(threads, window, |part| {
        store.read(&mut |reader| {
            while part.more() {
                let number = part.random.u64(..keys);
                let hit = reader.get(&key(number), &mut |bytes| check(number, bytes))?;
                ensure!(hit, "key {number} is missing");
            }
            Ok(())
        })
    })
}

/// Reads of random keys that are not there.
///
/// # Errors
/// If one is.
pub fn get_misses(store: &dyn Store, keys: u64, threads: usize, window: Duration) -> Result<Outcome> {
    timed::run(threads, window, |part| {
        store.read(&mut |reader| {
            while part.more() {
                let absent = key(ABSENT + part.random.u64(..keys));
                ensure!(!reader.get(&absent, &mut |_| Ok(()))?, "a key is there that nobody stored");
            }
            Ok(())
        })
    })
}

/// Checked ranges of up to `limit` entries from random keys that are there.
///
/// # Errors
/// If a range does not begin at its key, or an entry has another's value.
pub fn range_reads(
    store: &dyn Store,
    keys: u64,
    limit: usize,
    threads: usize,
    window: Duration,
) -> Result<Outcome> {
    timed::run(threads, window, |part| {
        store.read(&mut |reader| {
            while part.more() {
                let from = key(part.random.u64(..keys));
                let mut seen = 0;
                reader.range(&from, limit, &mut |stored, bytes| {
                    ensure!(seen > 0 || stored == from, "a range does not begin at its first key");
                    seen += 1;
                    check_entry(stored, bytes)
                })?;
                ensure!(seen > 0, "a range that begins at a key is empty");
            }
            Ok(())
        })
    })
}

/// Durable batches of new values for random keys, one behind the other.
///
/// # Errors
/// If one fails.
pub fn batches(store: &dyn Store, keys: u64, version: u64, window: Duration) -> Result<Outcome> {
    timed::run(1, window, |part| {
        loop {
            let changes = overwrite(&mut part.random, keys, version);
            if !part.time(|| store.write(&changes, 1))? {
                return Ok(());
            }
        }
    })
}

/// A batch of new values for random keys.
fn overwrite(random: &mut Rng, keys: u64, version: u64) -> Vec<Change> {
    let change = |_| {
        let number = random.u64(..keys);
        Change { key: key(number), value: Some(value(number, version)) }
    };
    (0..BATCH).map(change).collect()
}

/// Walks over everything; returns entries a second.
///
/// # Errors
/// If there are not `expected` entries in order, each with its own value.
pub fn scan(store: &dyn Store, expected: u64) -> Result<f64> {
    let (mut seen, mut last) = (0_u64, data::Key::default());
    let began = Instant::now();
    store.read(&mut |reader| {
        reader.range(&[0], usize::MAX, &mut |stored, bytes| {
            ensure!(seen == 0 || stored > &last[..], "a scan is out of order");
            last.copy_from_slice(stored);
            seen += 1;
            if seen.is_multiple_of(64) { check_entry(stored, bytes) } else { Ok(()) }
        })
    })?;
    let seconds = began.elapsed().as_secs_f64();
    ensure!(seen == expected, "a scan found {seen} entries, not {expected}");
    Ok(seen as f64 / seconds)
}

/// Ends the store in order, opens it again and counts.
fn reopen(plan: &Plan, store: Box<dyn Store>, entries: u64, figures: &mut Figures) -> Result<()> {
    let began = Instant::now();
    store.close()?;
    figures.insert("close_s".to_string(), began.elapsed().as_secs_f64());
    let began = Instant::now();
    let store = plan.open("data", false)?;
    figures.insert("open_closed_ms".to_string(), began.elapsed().as_secs_f64() * 1e3);
    if stores::is_durable(&plan.store)? {
        scan(&*store, entries)?;
    }
    store.close()
}

/// Puts that are complete once the operating system has them, into a store of their own.
fn relaxed(plan: &Plan, figures: &mut Figures) -> Result<()> {
    let store = plan.open("relaxed", true)?;
    let outcome = timed::run(1, plan.window, |part| {
        for number in 0.. {
            let change = Change { key: key(number), value: Some(value(number, 0)) };
            if !part.time(|| store.write(&[change], 1))? {
                break;
            }
        }
        Ok(())
    })?;
    let began = Instant::now();
    store.sync()?;
    store.close()?;
    let sync_ms = began.elapsed().as_secs_f64() * 1e3;
    let latency = &outcome.latency;
    figures.extend([
        ("relaxed".to_string(), outcome.per_second / 1e3),
        ("relaxed_p50_us".to_string(), latency.percentile_us(50.0)),
        ("relaxed_p99_us".to_string(), latency.percentile_us(99.0)),
        ("relaxed_max_us".to_string(), latency.percentile_us(100.0)),
        ("relaxed_sync_ms".to_string(), sync_ms),
    ]);
    Ok(())
}

/// Fills a store in durable batches, for a kill: returns it with the number of keys, all acknowledged. A store
/// that needs more than twelve windows for them gets fewer.
///
/// # Errors
/// If a batch fails.
pub fn fill(plan: &Plan) -> Result<(Box<dyn Store>, u64)> {
    let store = plan.open("killed", false)?;
    let began = Instant::now();
    for first in (0..plan.keys).step_by(BATCH as usize) {
        if began.elapsed() > 12 * plan.window {
            return Ok((store, first));
        }
        let numbers = first..plan.keys.min(first + BATCH);
        let put = |number| Change { key: key(number), value: Some(value(number, 0)) };
        store.write(&numbers.map(put).collect::<Vec<_>>(), 1)?;
    }
    Ok((store, plan.keys))
}

/// Opens a store that was killed after [`fill`], and checks that everything is there.
///
/// # Errors
/// If an acknowledged key is lost.
pub fn recover(plan: &Plan) -> Result<Figures> {
    let began = Instant::now();
    let store = plan.open("killed", false)?;
    let opened = began.elapsed().as_secs_f64();
    get_hits(&*store, plan.keys, 1, Duration::from_millis(1))?;
    scan(&*store, plan.keys)?;
    store.close()?;
    Ok(Figures::from([
        ("recover_keys".to_string(), plan.keys as f64 / 1e3),
        ("recover_ms".to_string(), opened * 1e3),
        ("recover_mps".to_string(), plan.keys as f64 / opened / 1e6),
    ]))
}
