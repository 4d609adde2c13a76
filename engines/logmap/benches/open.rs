//! What a start costs: the log done again, and a checkpoint loaded; and what an entry takes in memory.
//!
//! ```text
//! cargo bench -p engine_logmap                             on the file system of the target folder
//! LOGMAP_BENCH_DIR=/mnt/x cargo bench -p engine_logmap     on another one
//! LOGMAP_BENCH_PUTS=4000000 cargo bench -p engine_logmap   how many puts; 1,000,000 unless set
//! ```
//!
//! The keys are random, all different, of 16 bytes, the values of 100. The page cache is warm: what is measured
//! is the engine, not the device. Every row is one run; run it more than once.

#![allow(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use adapter_api::environment::Directory;
use adapter_api::environment::real::{IoCounters, RealClock, RealDirectory};
use adapter_api::*;
use crash::by_hand::{NoLanes, Unwatched};
use engine_logmap::LogmapEngine;
use tempfile::TempDir;

const LOG: Lane = Lane(0);
const VALUE: [u8; 100] = [7; 100];
/// Set for the process that opens: the folder.
const OPEN_VARIABLE: &str = "LOGMAP_BENCH_OPEN";

fn open(directory: &Arc<dyn Directory>) -> LogmapEngine {
    let environment = Environment {
        directory: Arc::clone(directory),
        clock: Arc::new(RealClock::new()),
        lanes: Arc::new(NoLanes),
    };
    let mut request = OpenRequest::new(environment);
    request.options = Options::complete(&LogmapEngine::describe().options, []).expect("the defaults");
    request.durability = Durability::Os;
    LogmapEngine::open(request).expect("open the directory")
}

/// A key that looks random, another one for each number.
fn key(number: u64) -> [u8; 16] {
    let mixed = (number ^ 0x5bd1_e995).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let mut key = [0; 16];
    key[..8].copy_from_slice(&(mixed ^ (mixed >> 29)).to_le_bytes());
    key[8..].copy_from_slice(&number.to_be_bytes());
    key
}

/// The memory of this process that is in use, in bytes; 0 where the system does not tell.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().map_or(0, |kib| kib * 1024)
}

/// Writes so many puts, so many in a batch, and ends in order. Returns the bytes of the log.
fn write(directory: &Arc<dyn Directory>, puts: u64, batch_puts: u64) -> f64 {
    let engine = open(directory);
    let mut batch = BatchBuilder::new();
    for number in 0..puts {
        batch.put(&key(number), &VALUE).expect("within the limits");
        if (number + 1) % batch_puts == 0 {
            engine.apply(batch.as_batch()).expect("apply");
            batch.clear();
            while engine.background(LOG).expect("prepare the log") == Step::More {}
        }
    }
    engine.close().expect("close");
    let metrics = engine.metrics();
    metrics.iter().find(|metric| metric.name == "log_written_bytes").map_or(0.0, |metric| metric.value)
}

/// Opens a directory in a process of its own, whose memory is that of the open engine, and prints what it took.
fn row(name: &str, folder: &Path, puts: u64, bytes: f64) {
    let program = std::env::current_exe().expect("the path of this program");
    let output = Command::new(program).env(OPEN_VARIABLE, folder).output().expect("run it again");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().map(|number| number.parse::<f64>().expect("a number"));
    let mut next = || numbers.next().expect("the other process reports four numbers");
    let (found, seconds, busy, memory) = (next(), next(), next(), next());
    assert_eq!(found, puts as f64);
    println!(
        "{name:<40}{:>10.2}{:>16.2}{:>10.0}{:>12.1}{:>14.0}",
        found / seconds / 1e6,
        found / busy / 1e6,
        bytes / seconds / 1e6,
        bytes / 1e6,
        memory / found
    );
}

/// Seconds that this thread was on a processor: what a machine that has other work to do cannot change much.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|number| number.parse::<f64>().ok());
    nanos.unwrap_or(0.0) / 1e9
}

/// The other process: reports how many entries it found, the seconds that passed and those on a processor, and the
/// memory it has more.
fn open_and_report(folder: &Path) {
    let before = resident_bytes();
    let directory = directory(folder);
    let (began, busy_before) = (Instant::now(), processor_seconds());
    let engine = open(&directory);
    let (seconds, busy) = (began.elapsed().as_secs_f64(), processor_seconds() - busy_before);
    let found = engine.estimate(KeyRange::all()).expect("an estimate").entries;
    println!("{found} {seconds} {busy} {}", resident_bytes().saturating_sub(before));
}

fn directory(folder: &Path) -> Arc<dyn Directory> {
    Arc::new(RealDirectory::open(folder, Arc::new(IoCounters::default())).expect("open the folder"))
}

fn main() {
    if let Some(folder) = std::env::var_os(OPEN_VARIABLE) {
        return open_and_report(Path::new(&folder));
    }
    let puts = std::env::var("LOGMAP_BENCH_PUTS").ok().and_then(|text| text.parse().ok());
    let puts: u64 = puts.unwrap_or(1_000_000);
    println!(
        "{:<40}{:>10}{:>16}{:>10}{:>12}{:>14}",
        "", "M puts/s", "of processor", "MB/s", "MB on disk", "memory B/key"
    );
    for (name, batch_puts, puts) in [
        ("log done again, batches of one put", 1, puts / 4),
        ("log done again, batches of 10 puts", 10, puts),
        ("log done again, batches of 100 puts", 100, puts),
    ] {
        let parent = std::env::var_os("LOGMAP_BENCH_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
        let folder = TempDir::new_in(parent).expect("make a folder");
        let directory = directory(folder.path());
        let bytes = write(&directory, puts, batch_puts);
        row(name, folder.path(), puts, bytes);
        if batch_puts == 100 {
            let engine = open(&directory);
            engine.compact(KeyRange::all(), &Unwatched).expect("write a checkpoint");
            let metrics = engine.metrics();
            let written = metrics.iter().find(|metric| metric.name == "checkpoint_bytes");
            engine.close().expect("close");
            row("checkpoint loaded", folder.path(), puts, written.map_or(0.0, |metric| metric.value));
        }
    }
}
