//! The orderly end: what the next start would have to do again is written first, if that is much, and never at the cost
//! of anything that was acknowledged.

mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use adapter_api::environment::Clock;
use adapter_api::environment::fault::{Fault, FaultPlan, FaultyDirectory};
use adapter_api::*;
use crash::by_hand::{metric, put, state};
use crash::environment::Disk;
use engine_btree::BtreeEngine;
use store::{CHECKPOINT, Files, batch, open, request, request_at};

/// So many bytes of the log call for a checkpoint, and a 64th of them for one at the end.
const LOG_BYTES: u64 = 1 << 20;

/// A store with some 100 KiB in the log, and without a checkpoint.
fn filled(directory: Files) -> BtreeEngine {
    let engine = BtreeEngine::open(request(directory, LOG_BYTES)).unwrap();
    fill(&engine);
    engine
}

fn fill(engine: &BtreeEngine) {
    (0..120).for_each(|number| engine.apply(batch(5, number).as_batch()).unwrap());
    assert!(metric(engine, "checkpoint_backlog_log_bytes") > (LOG_BYTES / 64) as f64);
}

/// What the log makes the next start do again.
fn redone_bytes(engine: &BtreeEngine) -> f64 {
    metric(engine, "checkpoint_backlog_log_bytes")
}

#[test]
fn an_orderly_end_leaves_nothing_to_do_again() {
    let disk = Disk::default();
    let engine = filled(disk.root());
    let expected = state(&engine);
    engine.close().unwrap();
    assert!(metric(&engine, "checkpoints") >= 1.0);
    engine.close().expect("closing again does nothing");
    drop(engine);
    for disk in [disk.cut_to_durable(), disk.killed()] {
        let again = open(&disk);
        assert_eq!(redone_bytes(&again), 0.0);
        assert!(state(&again) == expected);
    }
}

#[test]
fn an_orderly_end_finishes_the_checkpoint_that_a_lane_has_begun_and_takes_in_what_came_since() {
    let disk = Disk::default();
    let engine = BtreeEngine::open(request(disk.root(), 1)).unwrap();
    put(&engine, b"first", &[1; 3_000]).unwrap();
    assert_eq!(engine.background(CHECKPOINT).unwrap(), Step::More, "it is begun");
    put(&engine, b"second", &[2; 3_000]).unwrap();
    engine.close().unwrap();
    assert_eq!(metric(&engine, "checkpoints"), 2.0);
    drop(engine);
    let again = open(&disk.cut_to_durable());
    assert_eq!((redone_bytes(&again), state(&again).len()), (0.0, 2));
}

#[test]
fn an_orderly_end_behind_a_few_records_leaves_them_to_the_next_start() {
    let disk = Disk::default();
    let engine = BtreeEngine::open(request(disk.root(), LOG_BYTES)).unwrap();
    put(&engine, b"k", b"v").unwrap();
    engine.close().unwrap();
    assert_eq!(metric(&engine, "checkpoints"), 0.0);
    drop(engine);
    assert_eq!(state(&open(&disk.cut_to_durable())).len(), 1);
}

#[test]
fn a_call_that_fails_at_the_end_loses_nothing() {
    let counted = FaultPlan::once(Fault::Error, 0);
    let faulty = |disk: &Disk, plan: &Arc<FaultPlan>| -> Files {
        Arc::new(FaultyDirectory::new(disk.root(), Arc::clone(plan)))
    };
    let expected = state(&filled(faulty(&Disk::default(), &counted)));
    let (mut failing, mut in_order) = (0, 0);
    for fault in [Fault::Error, Fault::ShortWrite, Fault::NoSpace] {
        for further in 1.. {
            let (disk, plan) = (Disk::default(), FaultPlan::once(fault, counted.calls() + further));
            let engine = filled(faulty(&disk, &plan));
            let closed = engine.close();
            drop(engine);
            if !plan.reached() {
                break;
            }
            (failing, in_order) = (failing + 1, in_order + u32::from(closed.is_ok()));
            for disk in [disk.cut_to_durable(), disk.killed()] {
                assert!(state(&open(&disk)) == expected, "{fault:?} at call {further} of the end");
            }
        }
    }
    // All but those of the log are a checkpoint's alone.
    assert!(failing >= 12 && in_order >= 9, "{failing} calls failed, {in_order} ends were in order");
}

#[test]
fn a_disk_that_is_full_at_the_end_loses_nothing() {
    let disk = Disk::default();
    let engine = filled(disk.root());
    let expected = state(&engine);
    // Segments of the log have their room already.
    disk.set_capacity(Some(disk.contents().iter().map(|(_, bytes)| bytes.len()).sum()));
    engine.close().expect("the log has room for its end");
    assert_eq!((metric(&engine, "checkpoints"), metric(&engine, "checkpoint_failures")), (0.0, 1.0));
    drop(engine);
    disk.set_capacity(None);
    assert!(state(&open(&disk.cut_to_durable())) == expected);
}

/// A clock on which each look takes some time.
struct Slow(AtomicU64, Duration);

impl Clock for Slow {
    fn monotonic(&self) -> Duration {
        self.1 * self.0.fetch_add(1, Ordering::Relaxed) as u32
    }

    fn wall(&self) -> Duration {
        self.monotonic()
    }
}

#[test]
fn a_checkpoint_at_the_end_that_takes_too_long_is_given_up() {
    let disk = Disk::default();
    let clock = Arc::new(Slow(AtomicU64::new(0), Duration::from_secs(20)));
    let engine = BtreeEngine::open(request_at(disk.root(), clock, LOG_BYTES)).unwrap();
    fill(&engine);
    let expected = state(&engine);
    engine.close().unwrap();
    assert_eq!(metric(&engine, "checkpoints"), 0.0);
    drop(engine);
    let again = open(&disk.cut_to_durable());
    assert!(redone_bytes(&again) > 0.0 && state(&again) == expected);
}
