//! What the log costs: appends, replay, and what preparing segments ahead is worth.
//!
//! ```text
//! cargo bench -p wal                          on the file system of the target folder
//! WAL_BENCH_DIR=/mnt/x cargo bench -p wal     on another one
//! WAL_BENCH_SECONDS=1 cargo bench -p wal      how long each row writes; 5 unless set
//! ```
//!
//! The limit to compare with is the raw loop: one write of a block to a file that was filled before, durable
//! before the next one. No log can be faster with one caller. Every row is one run; run it more than once.

#![allow(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapter_api::environment::real::{IoCounters, RealClock, RealDirectory};
use adapter_api::environment::{Cause, Clock, Directory, File, OpenFile};
use adapter_api::{Durability, Step};
use tempfile::TempDir;
use wal::{Log, LogOptions};

const BLOCK: usize = 4096;
const SEGMENT_BYTES: u64 = 64 << 20;
/// Of key, value and frame: what a small SET appends.
const RECORD: [u8; 116] = [7; 116];
const RECORDS_TO_REPLAY: u64 = 4_000_000;

/// A new folder on the device to measure.
struct Place {
    _folder: TempDir,
    directory: Arc<dyn Directory>,
    clock: Arc<dyn Clock>,
}

impl Place {
    fn new() -> Self {
        let parent = std::env::var_os("WAL_BENCH_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
        let folder = TempDir::new_in(parent).expect("make a folder");
        let counters = Arc::new(IoCounters::default());
        let directory = Arc::new(RealDirectory::open(folder.path(), counters).expect("open it"));
        Self { _folder: folder, directory, clock: Arc::new(RealClock::new()) }
    }

    fn open(&self, durability: Durability, replay: &mut wal::Replay<'_>) -> Log {
        let options = LogOptions { segment_bytes: SEGMENT_BYTES, durability, ..LogOptions::default() };
        Log::open(&self.directory, &self.clock, options, 1, replay).expect("open the log").0
    }

    fn file(&self, bytes: u64) -> Arc<dyn File> {
        let file = self.directory.open_file("raw", OpenFile::CREATE_NEW).expect("create a file");
        let zeros = vec![0; 1 << 20];
        for at in (0..bytes).step_by(zeros.len()) {
            file.write_at(&[IoSlice::new(&zeros)], at, Cause::Other).expect("fill it");
        }
        file.sync_all().expect("sync it");
        self.directory.sync().expect("sync its name");
        file
    }
}

fn prepare(log: &Log) {
    while log.prepare() == Step::More {}
}

/// Calls `one` for the time that is set, and prints how often a second and the median time of a call.
fn row(name: &str, mut one: impl FnMut(u64)) {
    let seconds = std::env::var("WAL_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    let (began, end) = (Instant::now(), Duration::from_secs(seconds));
    let mut times = Vec::new();
    while began.elapsed() < end {
        let start = Instant::now();
        one(times.len() as u64);
        times.push(start.elapsed());
    }
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    times.sort_unstable();
    let at = |share: usize| times[times.len() * share / 1000].as_secs_f64() * 1e6;
    println!("{name:<52}{rate:>12.0}{:>12.1}{:>12.1}", at(500), at(990));
}

/// One durable block after the other, without a log.
fn raw_rows() {
    let block = [7; BLOCK];
    let durable = |file: &Arc<dyn File>, at| {
        file.write_durable_at(&[IoSlice::new(&block)], at, Cause::Log).expect("write a block");
    };
    let synced = |file: &Arc<dyn File>, at| {
        file.write_at(&[IoSlice::new(&block)], at, Cause::Log).expect("write a block");
        file.sync_data().expect("sync it");
    };
    let blocks = SEGMENT_BYTES / BLOCK as u64;
    let filled = Place::new();
    let file = filled.file(SEGMENT_BYTES);
    row("raw, prepared file, durable write", |n| durable(&file, n % blocks * BLOCK as u64));
    row("raw, prepared file, write and data sync", |n| synced(&file, n % blocks * BLOCK as u64));
    let growing = Place::new();
    let file = growing.file(0);
    row("raw, growing file, durable write", |n| durable(&file, n * BLOCK as u64));
    let growing = Place::new();
    let file = growing.file(0);
    row("raw, growing file, write and data sync", |n| synced(&file, n * BLOCK as u64));
}

/// Groups of one record and of many. The work of the lane is done in between by the same thread: it is in the
/// rate, and in the times of the few calls that it falls to.
fn append_rows() {
    for records in [1_u64, 16, 256] {
        let place = Place::new();
        let log = place.open(Durability::Always, &mut |_, _| Ok(()));
        prepare(&log);
        row(&format!("log, always, a group of {records} records"), |_| {
            for _ in 0..records {
                log.append(&[&RECORD]).expect("append");
            }
            log.make_durable(log.last()).expect("make durable");
            log.retire_before(log.last());
            if log.needs_preparation() {
                prepare(&log);
            }
        });
    }
    let place = Place::new();
    let log = place.open(Durability::Always, &mut |_, _| Ok(()));
    row("log, always, one record, segments not prepared ahead", |_| {
        log.append(&[&RECORD]).expect("append");
        log.make_durable(log.last()).expect("make durable");
    });
    let place = Place::new();
    let log = place.open(Durability::Os, &mut |_, _| Ok(()));
    row("log, os, one record", |_| {
        log.append(&[&RECORD]).expect("append");
        log.make_durable(log.last()).expect("make durable");
        log.retire_before(log.last());
        if log.needs_preparation() {
            prepare(&log);
        }
    });
}

fn replay_row() {
    let place = Place::new();
    let log = place.open(Durability::Os, &mut |_, _| Ok(()));
    for number in 1..=RECORDS_TO_REPLAY {
        log.append(&[&RECORD]).expect("append");
        if number % 1000 == 0 {
            log.make_durable(number).expect("write");
        }
    }
    log.close().expect("close the log");
    drop(log);
    let mut bytes = 0;
    let began = Instant::now();
    let log = place.open(Durability::Always, &mut |_, record| {
        bytes += record.len();
        Ok(())
    });
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!(log.last(), RECORDS_TO_REPLAY);
    println!(
        "replay of {RECORDS_TO_REPLAY} records of {} bytes, page cache warm: {:.2} M records/s, {:.0} MB/s",
        RECORD.len(),
        RECORDS_TO_REPLAY as f64 / seconds / 1e6,
        bytes as f64 / seconds / 1e6
    );
}

fn main() {
    println!("{:<52}{:>12}{:>12}{:>12}", "", "a second", "median µs", "99 % µs");
    raw_rows();
    append_rows();
    replay_row();
}
