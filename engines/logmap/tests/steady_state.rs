//! What the engine asks of the real file system, counted.

mod life;

use std::sync::Arc;

use adapter_api::environment::Cause;
use adapter_api::environment::real::{IoCounters, RealClock, RealDirectory};
use adapter_api::*;
use crash::by_hand::{NoLanes, put, run};
use engine_logmap::LogmapEngine;
use life::{CHECKPOINT, LOG};

/// Opens the engine on a real directory.
fn open(folder: &tempfile::TempDir, counters: &Arc<IoCounters>, options: &[(&str, &str)]) -> LogmapEngine {
    let directory = Arc::new(RealDirectory::open(folder.path(), Arc::clone(counters)).unwrap());
    let environment = Environment { directory, clock: Arc::new(RealClock::new()), lanes: Arc::new(NoLanes) };
    let mut request = OpenRequest::new(environment);
    request.options = Options::complete(&LogmapEngine::describe().options, options.iter().copied()).unwrap();
    LogmapEngine::open(request).unwrap()
}

#[test]
fn segments_that_a_checkpoint_made_needless_are_used_again() {
    let (folder, counters) = (tempfile::tempdir().unwrap(), Arc::new(IoCounters::default()));
    let engine = open(&folder, &counters, &[("log_segment", "256KiB"), ("checkpoint_log_bytes", "256KiB")]);
    let recycled = || {
        let metrics = engine.metrics();
        metrics.iter().find(|metric| metric.name == "log_recycled_segments").unwrap().value
    };
    let write = |puts: u32| {
        for number in 0..puts {
            put(&engine, &(number % 50).to_be_bytes(), &[7; 30_000]).unwrap();
            run(&engine, CHECKPOINT);
            run(&engine, LOG);
        }
    };
    write(100);
    let (created, before) = (counters.counts().files_created, recycled());
    write(200);
    // Of 200 puts of 32 KiB each in segments of 256 KiB; the files created are those of checkpoints.
    assert!(recycled() - before >= 25.0, "{}", recycled() - before);
    let checkpoints = engine.metrics().iter().find(|metric| metric.name == "checkpoints").unwrap().value;
    assert!((counters.counts().files_created - created) as f64 <= checkpoints);
}

#[test]
fn a_thousand_lone_puts_cost_a_thousand_syncs_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let counters = Arc::new(IoCounters::default());
    // Two segments are prepared ahead: with the first one, room for a thousand puts of a block each.
    let engine = open(&folder, &counters, &[("log_segment", "4MiB")]);
    put(&engine, b"first", b"value").unwrap();
    run(&engine, LOG);
    run(&engine, CHECKPOINT);
    let before = counters.counts();
    for number in 0..1000_u32 {
        put(&engine, &number.to_be_bytes(), b"value").unwrap();
    }
    let after = counters.counts();
    let log = Cause::Log as usize;
    assert_eq!(after.writes[log] - before.writes[log], 1000);
    assert_eq!(after.durable_writes + after.data_syncs - before.durable_writes - before.data_syncs, 1000);
    assert_eq!(after.full_syncs, before.full_syncs);
    assert_eq!(after.directory_syncs, before.directory_syncs);
    assert_eq!(after.files_created, before.files_created);
    assert_eq!(after.files_grown, before.files_grown);
    assert_eq!(after.names_changed, before.names_changed);
    assert_eq!(after.writes.iter().sum::<u64>() - before.writes.iter().sum::<u64>(), 1000);
}
