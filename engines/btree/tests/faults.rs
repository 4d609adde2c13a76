//! Each call of a life that can fail, failing once or from then on; and a disk that is full.

mod store;

use std::sync::Arc;
use std::time::Duration;

use adapter_api::environment::fault::{Fault, FaultPlan, FaultyDirectory};
use adapter_api::*;
use crash::by_hand::{State, applied, put, run, state};
use crash::environment::{Disk, SimulatedClock};
use crash::findings::Findings;
use engine_btree::BtreeEngine;
use store::{CHECKPOINT, Files, LOG, batch, open, open_on, request, request_at, stretch};

/// What a store may hold: the batches that were answered OK, and one whose outcome is unknown.
struct Outcome {
    acknowledged: State,
    unknown: Option<State>,
}

fn faulty(disk: &Disk, plan: &Arc<FaultPlan>) -> Files {
    Arc::new(FaultyDirectory::new(disk.root(), Arc::clone(plan)))
}

/// Lives with the fault; checks every answer, and what is visible after it.
fn live_with(plan: &Arc<FaultPlan>, disk: &Disk) -> Outcome {
    let (mut known, mut unknown) = (State::new(), None);
    let Ok(engine) = open_on(faulty(disk, plan)) else { return Outcome { acknowledged: known, unknown } };
    for number in 0..30 {
        let batch = batch(11, number);
        match engine.apply(batch.as_batch()) {
            Ok(()) => known = applied(&known, batch.as_batch()),
            Err(EngineError::Full { .. }) => {}
            Err(EngineError::Failed { .. }) => {
                unknown = Some(applied(&known, batch.as_batch()));
                assert!(
                    matches!(put(&engine, b"later", b""), Err(EngineError::Failed { .. })),
                    "it is final"
                );
                break;
            }
            Err(other) => panic!("{other}"),
        }
        assert!(state(&engine) == known, "reads show what was acknowledged");
        // The lanes may fail; that is nobody's loss.
        engine.background(LOG).unwrap();
        for _ in 0..number % 5 {
            engine.background(CHECKPOINT).unwrap();
        }
        if number % 9 == 8 {
            let _ = engine.compact(KeyRange::all(), &Findings::default());
        }
    }
    assert!(state(&engine) == known);
    let _ = engine.close();
    Outcome { acknowledged: known, unknown }
}

fn every_call_may_fail(fault: Fault) {
    for lasting in [false, true] {
        for at in 1.. {
            let plan = if lasting { FaultPlan::from(fault, at) } else { FaultPlan::once(fault, at) };
            let disk = Disk::default();
            let outcome = live_with(&plan, &disk);
            for left in [disk.killed(), disk.cut_to_durable()] {
                let found = state(&open(&left));
                let may_be = found == outcome.acknowledged || outcome.unknown.as_ref() == Some(&found);
                assert!(may_be, "call {at}, lasting {lasting}");
                // What was shown is durable.
                assert!(state(&open(&left.cut_to_durable())) == found, "call {at}, lasting {lasting}");
            }
            if !plan.reached() {
                assert!(at > 100, "only {at} calls");
                break;
            }
        }
    }
}

#[test]
fn after_an_error_nothing_is_acknowledged_and_the_store_reopens_right() {
    every_call_may_fail(Fault::Error);
}

#[test]
fn after_a_short_write_nothing_is_acknowledged_and_the_store_reopens_right() {
    every_call_may_fail(Fault::ShortWrite);
}

#[test]
fn no_space_at_any_call_loses_nothing() {
    every_call_may_fail(Fault::NoSpace);
}

#[test]
fn a_full_disk_refuses_puts_lets_deletes_pass_and_clears_by_itself() {
    let disk = Disk::default();
    let engine = open(&disk);
    disk.set_capacity(Some(100 << 10));
    let mut acknowledged = Vec::new();
    let refused = loop {
        let key = format!("key {:03}", acknowledged.len()).into_bytes();
        match put(&engine, &key, &[7; 100]) {
            Ok(()) => acknowledged.push(key),
            Err(error) => break error,
        }
        assert!(acknowledged.len() < 100);
    };
    assert!(matches!(refused, EngineError::Full { .. }), "{refused}");
    let compacted = engine.compact(KeyRange::all(), &Findings::default());
    assert!(compacted.is_ok() || compacted.is_err_and(|error| error.changed_nothing()));
    assert_eq!(state(&engine).len(), acknowledged.len(), "reads go on");
    let mut delete = BatchBuilder::new();
    delete.delete(&acknowledged[0]).unwrap();
    engine.apply(delete.as_batch()).expect("deletes pass");
    disk.set_capacity(None);
    put(&engine, b"k", b"v").expect("there is room again");
    engine.compact(KeyRange::all(), &Findings::default()).unwrap();
    assert_eq!(state(&open(&disk.cut_to_durable())).len(), acknowledged.len());
}

#[test]
fn a_checkpoint_that_failed_is_tried_again_from_scratch_after_a_while() {
    let opened = |disk: &Disk, plan: &Arc<FaultPlan>, clock: &Arc<SimulatedClock>| {
        BtreeEngine::open(request_at(faulty(disk, plan), Arc::clone(clock) as _, 1)).unwrap()
    };
    let clock = Arc::new(SimulatedClock::default());
    let counted = FaultPlan::once(Fault::Error, 0);
    put(&opened(&Disk::default(), &counted, &clock), b"k", b"v").unwrap();
    let mut failed = 0;
    for further in 1..=8 {
        let disk = Disk::default();
        let plan = FaultPlan::once(Fault::Error, counted.calls() + further);
        let engine = opened(&disk, &plan, &clock);
        put(&engine, b"k", b"v").unwrap();
        run(&engine, CHECKPOINT);
        if !plan.reached() {
            break;
        }
        failed += 1;
        assert!(matches!(engine.background(CHECKPOINT).unwrap(), Step::IdleFor(_)), "not at once");
        put(&engine, b"l", b"w").expect("writes go on");
        clock.advance(Duration::from_secs(2));
        run(&engine, CHECKPOINT);
        assert_eq!(engine.background(CHECKPOINT).unwrap(), Step::Idle, "call {further}");
        drop(engine);
        assert_eq!(state(&open(&disk.cut_to_durable())).len(), 2, "call {further}");
        assert_eq!(state(&open(&disk.killed())).len(), 2, "call {further}");
    }
    // The file, its name, pages and map, their sync, the superblock.
    assert!(failed >= 5, "{failed}");
}

/// What the two superblocks are on this disk.
fn superblocks(disk: &Disk) -> Vec<u8> {
    let contents = disk.contents();
    let data = contents.iter().find(|(name, _)| name == "data");
    data.map_or(vec![], |(_, bytes)| bytes[..bytes.len().min(8192)].to_vec())
}

/// Batches with a checkpoint behind every few; ends when the disk does. Returns what was acknowledged, and what may be.
fn go_on(
    engine: &BtreeEngine,
    mut known: State,
    clock: &SimulatedClock,
    each: &mut dyn FnMut(&State),
) -> [State; 2] {
    for number in 100..125 {
        let batch = batch(7, number);
        let next = applied(&known, batch.as_batch());
        if engine.apply(batch.as_batch()).is_err() {
            return [known, next];
        }
        known = next;
        clock.advance(Duration::from_secs(2));
        for _ in 0..number % 7 {
            each(&known);
            let _ = engine.background(CHECKPOINT);
        }
        let _ = engine.background(LOG);
    }
    [known.clone(), known]
}

/// Lives until the call fails; answers what is known if it was the write of a superblock, which is in the page cache then, and
/// on no disk.
fn with_a_doubtful_superblock(
    disk: &Disk,
    plan: &Arc<FaultPlan>,
    clock: &Arc<SimulatedClock>,
) -> Option<(BtreeEngine, State)> {
    let engine = BtreeEngine::open(request_at(faulty(disk, plan), Arc::clone(clock) as _, 8_000)).ok()?;
    let mut known = State::new();
    for number in 0..30 {
        let batch = batch(7, number);
        engine.apply(batch.as_batch()).ok()?;
        known = applied(&known, batch.as_batch());
        while !plan.reached() && engine.background(CHECKPOINT).unwrap() == Step::More {}
        if plan.reached() {
            let in_doubt = superblocks(disk) != superblocks(&disk.cut_to_durable());
            return (in_doubt && number > 3).then_some((engine, known));
        }
    }
    None
}

#[test]
fn a_superblock_whose_write_failed_may_be_on_the_disk_or_not() {
    let (clock, mut found) = (Arc::new(SimulatedClock::default()), 0);
    for at in 1.. {
        let (disk, plan) = (Disk::default(), FaultPlan::once(Fault::ShortWrite, at));
        let Some((engine, known)) = with_a_doubtful_superblock(&disk, &plan, &clock) else {
            if plan.reached() { continue } else { break }
        };
        found += 1;
        // The process ends and another one goes on, with the superblock that is on no disk; power may be cut at any time.
        for changes in (found % 6..).step_by(6) {
            let disk = disk.killed();
            disk.light_fuse(changes);
            let mut may_be = [known.clone(), known.clone()];
            if let Ok(engine) = BtreeEngine::open(request_at(disk.root(), Arc::clone(&clock) as _, 8_000)) {
                may_be = go_on(&engine, known.clone(), &clock, &mut |_| {});
            }
            for left in disk.power_cuts(6, changes) {
                let left = open_on(left.root()).map(|engine| state(&engine));
                let is_right = left.as_ref().is_ok_and(|left| may_be.contains(left));
                assert!(is_right, "superblock {found}, change {changes}: {:?}", left.map(|it| it.len()));
            }
            if may_be[0] == may_be[1] && may_be[0] != known {
                break;
            }
        }
        // Or the process goes on.
        go_on(&engine, known, &clock, &mut |known| {
            for left in [disk.cut_to_durable(), disk.killed()] {
                assert!(state(&open(&left)) == *known, "superblock {found}");
            }
        });
    }
    assert!(found > 3, "{found} superblocks");
}

#[test]
fn a_failing_call_while_opening_fails_the_open_and_harms_nothing() {
    let disk = Disk::default();
    let engine = open(&disk);
    (0..60).for_each(|number| engine.apply(batch(2, number).as_batch()).unwrap());
    run(&engine, CHECKPOINT);
    let expected = state(&engine);
    drop(engine);
    for at in 1.. {
        let (disk, plan) = (disk.killed(), FaultPlan::from(Fault::Error, at));
        let opened = BtreeEngine::open(request(faulty(&disk, &plan), 20_000));
        assert!(state(&open(&disk.killed())) == expected, "call {at}");
        if opened.is_ok() {
            assert!(at > 2);
            break;
        }
    }
}

#[test]
fn a_failed_sync_of_an_ingest_is_one_of_the_checkpoint_that_is_being_written_too() {
    // The checkpoint is in each of its stages when the ingest comes.
    for steps in 1..7 {
        let disk = Disk::default();
        let engine = BtreeEngine::open(request(disk.root(), 1)).unwrap();
        put(&engine, b"first", b"v").unwrap();
        run(&engine, CHECKPOINT);
        (0..60).for_each(|number| engine.apply(batch(5, number).as_batch()).unwrap());
        (0..steps).for_each(|_| assert!(engine.background(CHECKPOINT).is_ok()));
        disk.fail_sync(1);
        assert!(engine.ingest(&mut stretch("z", 200)).is_err());
        run(&engine, CHECKPOINT);
        let expected = state(&engine);
        assert!(state(&open(&disk.cut_to_durable())) == expected, "behind {steps} steps");
        engine.ingest(&mut stretch("z", 200)).unwrap();
        assert!(state(&open(&disk.cut_to_durable())) == state(&engine), "and then it is taken");
    }
}
