//! Checkpoints in their lane beside a clock and writers: they rest when they are ahead, and nobody waits for a rest.

mod store;

use std::sync::Arc;
use std::time::Duration;

use adapter_api::*;
use crash::by_hand::{metric, run, state};
use crash::environment::{Disk, SimulatedClock};
use engine_btree::BtreeEngine;
use store::{CHECKPOINT, open, request_at};

/// A store whose checkpoint of some 4 MiB is under way since a second, and rests; the clock stands at its rest.
fn resting(disk: &Disk) -> (BtreeEngine, Arc<SimulatedClock>, Duration) {
    let clock = Arc::new(SimulatedClock::default());
    let engine = BtreeEngine::open(request_at(disk.root(), Arc::clone(&clock) as _, 2 << 20)).unwrap();
    fill(&engine, 0, 30_000);
    assert_eq!(engine.background(CHECKPOINT).unwrap(), Step::More, "it begins");
    clock.advance(Duration::from_secs(1));
    for _ in 0..10 {
        if let Step::IdleFor(rest) = engine.background(CHECKPOINT).unwrap() {
            return (engine, clock, rest);
        }
    }
    panic!("it never rests");
}

fn fill(engine: &BtreeEngine, from: u32, keys: u32) {
    let mut batch = BatchBuilder::new();
    (from..from + keys).for_each(|key| batch.put(&key.to_be_bytes(), &[key as u8; 100]).unwrap());
    engine.apply(batch.as_batch()).unwrap();
}

#[test]
fn a_lane_that_is_woken_early_writes_nothing_before_the_rest_is_over() {
    let disk = Disk::default();
    let (engine, clock, rest) = resting(&disk);
    let data =
        |disk: &Disk| disk.contents().into_iter().find(|(name, _)| name == "data").map(|it| it.1.len());
    let before = data(&disk);
    let step = engine.background(CHECKPOINT).unwrap();
    assert!(matches!(step, Step::IdleFor(left) if left <= rest), "{step:?}");
    assert_eq!(data(&disk), before);
    clock.advance(rest);
    engine.background(CHECKPOINT).unwrap();
    assert!(data(&disk) > before, "{before:?}");
}

#[test]
fn a_checkpoint_rests_no_more_once_the_next_one_is_due() {
    let disk = Disk::default();
    let (engine, clock, rest) = resting(&disk);
    clock.advance(rest);
    // As much as called for this one.
    fill(&engine, 0, 30_000);
    run(&engine, CHECKPOINT);
    assert!(metric(&engine, "checkpoints") >= 1.0);
}

#[test]
fn where_nobody_writes_a_checkpoint_ends_soon_all_the_same() {
    let disk = Disk::default();
    let (engine, clock, _) = resting(&disk);
    let mut rested = Duration::ZERO;
    loop {
        match engine.background(CHECKPOINT).unwrap() {
            Step::More => {}
            Step::Idle => break,
            Step::IdleFor(rest) => {
                rested += rest;
                clock.advance(rest);
            }
        }
    }
    assert_eq!(metric(&engine, "checkpoint_backlog_log_bytes"), 0.0);
    assert!(rested > Duration::from_millis(50) && rested < Duration::from_secs(1), "{rested:?}");
    let expected = state(&engine);
    drop(engine);
    assert!(state(&open(&disk.cut_to_durable())) == expected);
}

#[test]
fn whoever_wants_a_checkpoint_now_does_not_wait_for_a_rest() {
    let disk = Disk::default();
    let (engine, _, _) = resting(&disk);
    engine.compact(KeyRange::all(), &crash::findings::Findings::default()).unwrap();
    assert!(metric(&engine, "checkpoints") >= 1.0);
}
