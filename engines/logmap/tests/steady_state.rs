//! What the engine asks of the real file system, counted.

mod life;

use std::sync::Arc;

use adapter_api::environment::Cause;
use adapter_api::environment::real::{IoCounters, RealClock, RealDirectory};
use adapter_api::*;
use engine_logmap::LogmapEngine;
use life::{CHECKPOINT, LOG, NoLanes, put, run};

#[test]
fn a_thousand_lone_puts_cost_a_thousand_syncs_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let counters = Arc::new(IoCounters::default());
    let directory = Arc::new(RealDirectory::open(folder.path(), Arc::clone(&counters)).unwrap());
    let environment = Environment { directory, clock: Arc::new(RealClock::new()), lanes: Arc::new(NoLanes) };
    let mut request = OpenRequest::new(environment);
    // Two segments are prepared ahead: with the first one, room for a thousand puts of a block each.
    request.options =
        Options::complete(&LogmapEngine::describe().options, [("log_segment", "4MiB")]).unwrap();
    let engine = LogmapEngine::open(request).unwrap();
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
