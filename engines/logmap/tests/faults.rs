//! Each call of a life that can fail, failing once or from then on.

mod life;

use std::sync::Arc;

use adapter_api::environment::fault::{Fault, FaultPlan, FaultyDirectory};
use adapter_api::*;
use crash::by_hand::{put, run, state};
use crash::environment::{Disk, SimulatedClock};
use crash::findings::Findings;
use engine_logmap::LogmapEngine;
use life::{CHECKPOINT, LOG, Life, files, request, request_at};

/// Lives with the fault; checks every answer, and what is visible after it.
fn live_with(plan: &Arc<FaultPlan>, disk: &Disk, born: &Life) -> Life {
    let mut life = born.clone();
    let faulty = files(FaultyDirectory::new(disk.root(), Arc::clone(plan)));
    let Ok(engine) = life.open(&faulty, 0) else { return life };
    let mut failed = false;
    for round in 0..16 {
        // What found no room changed nothing: it may be tried again.
        for _ in 0..2 {
            match life.apply(&engine) {
                Ok(()) => {
                    assert!(!failed, "an OK after the first failure");
                    break;
                }
                Err(EngineError::Full { .. }) => assert!(!failed, "a failure is final"),
                Err(EngineError::Failed { .. }) => {
                    failed = true;
                    break;
                }
                Err(other) => panic!("{other}"),
            }
        }
        if failed {
            // Nothing more may be tried, for the model knows of one batch in flight only.
            assert!(matches!(put(&engine, b"later", b""), Err(EngineError::Failed { .. })));
        }
        // The lanes may fail; that is nobody's loss.
        engine.background(LOG).unwrap();
        for _ in 0..round % 4 {
            engine.background(CHECKPOINT).unwrap();
        }
        if round % 7 == 6 {
            // Neither is a checkpoint.
            let _ = engine.compact(KeyRange::all(), &Findings::default());
        }
        if failed {
            assert!(matches!(put(&engine, b"later", b""), Err(EngineError::Failed { .. })));
            break;
        }
    }
    assert!(state(&engine) == life.states[life.acknowledged]);
    let _ = engine.close();
    life
}

fn every_call_may_fail(fault: Fault) {
    let born = Life::new(11, Durability::Always);
    for (lasting, born) in [(false, &born), (true, &born), (false, &born.clone().on_disk())] {
        for at in 1.. {
            let plan = if lasting { FaultPlan::from(fault, at) } else { FaultPlan::once(fault, at) };
            let disk = Disk::default();
            let life = live_with(&plan, &disk, born);
            let acknowledged = life.acknowledged;
            life.clone().open(&disk.killed().root(), acknowledged).expect("after a kill");
            life.clone().open(&disk.cut_to_durable().root(), acknowledged).expect("after a power cut");
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
    let engine = life::open(disk.root()).unwrap();
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
    assert!(
        engine.compact(KeyRange::all(), &Findings::default()).is_err_and(|error| error.changed_nothing())
    );
    assert_eq!(state(&engine).len(), acknowledged.len(), "reads go on");
    let mut delete = BatchBuilder::new();
    delete.delete(&acknowledged[0]).unwrap();
    engine.apply(delete.as_batch()).expect("deletes pass");
    assert!(matches!(put(&engine, b"k", b"v"), Err(EngineError::Full { .. })));
    disk.set_capacity(None);
    put(&engine, b"k", b"v").expect("there is room again");
    engine.compact(KeyRange::all(), &Findings::default()).unwrap();
    assert_eq!(state(&life::open(disk.cut_to_durable().root()).unwrap()).len(), acknowledged.len());
}

#[test]
fn a_store_that_was_killed_opens_on_a_full_disk_for_reads_and_writes_again_when_there_is_room() {
    let disk = Disk::default();
    let used = |disk: &Disk| disk.contents().iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    let open = |disk: &Disk| {
        let mut request = request(disk.root(), Durability::Always, 1 << 30);
        request.options.set("log_segment", "65536");
        LogmapEngine::open(request)
    };
    let engine = open(&disk).unwrap();
    disk.set_capacity(Some(used(&disk)));
    let acknowledged = (0..60_u8).take_while(|key| put(&engine, &[*key], &[7; 100]).is_ok()).count();
    assert!(acknowledged > 5);
    drop(engine);

    let refused = disk.killed();
    refused.set_capacity(Some(used(&refused)));
    let error = open(&refused).err().expect("not a block is left");
    assert!(
        matches!(&error, EngineError::Full { message } if message.contains("free some space")),
        "{error}"
    );

    // Three blocks are left: a header, the group that is written again behind its mark, and the end.
    let disk = disk.killed();
    disk.set_capacity(Some(used(&disk) + 16384));
    let engine = open(&disk).expect("a small segment fits");
    assert_eq!(state(&engine).len(), acknowledged, "reads go on");
    assert!(matches!(put(&engine, b"k", b"v"), Err(EngineError::Full { .. })));
    disk.set_capacity(None);
    put(&engine, b"k", b"v").expect("there is room again");
    assert_eq!(state(&open(&disk.cut_to_durable()).unwrap()).len(), acknowledged + 1);
}

#[test]
fn a_checkpoint_that_failed_is_tried_again_from_scratch_after_a_while() {
    // What begins behind the open: the temporary file, its bytes, its sync, its name, the directory.
    let opened = |disk: &Disk, plan: &Arc<FaultPlan>, clock: &Arc<SimulatedClock>| {
        let directory = files(FaultyDirectory::new(disk.root(), Arc::clone(plan)));
        LogmapEngine::open(request_at(directory, Arc::clone(clock) as _, Durability::Always, 4096)).unwrap()
    };
    let clock = Arc::new(SimulatedClock::default());
    let counted = FaultPlan::once(Fault::Error, 0);
    put(&opened(&Disk::default(), &counted, &clock), b"k", b"v").unwrap();
    for further in 1..=6 {
        let disk = Disk::default();
        let plan = FaultPlan::once(Fault::Error, counted.calls() + further);
        let engine = opened(&disk, &plan, &clock);
        put(&engine, b"k", b"v").unwrap();
        let checkpoints =
            |disk: &Disk| disk.contents().iter().filter(|(name, _)| name.starts_with("checkpoint")).count();
        run(&engine, CHECKPOINT);
        assert!(plan.reached(), "call {further}");
        assert!(matches!(engine.background(CHECKPOINT).unwrap(), Step::IdleFor(_)), "not at once");
        put(&engine, b"l", b"w").expect("writes go on");
        clock.advance(std::time::Duration::from_secs(2));
        run(&engine, CHECKPOINT);
        assert_eq!(engine.background(CHECKPOINT).unwrap(), Step::Idle, "call {further}");
        assert_eq!(checkpoints(&disk), 1, "call {further}");
        assert_eq!(state(&life::open(disk.cut_to_durable().root()).unwrap()).len(), 2);
    }
}

#[test]
fn a_failing_call_while_opening_fails_the_open_and_harms_nothing() {
    let disk = Disk::default();
    let engine = life::open(disk.root()).unwrap();
    (0..9_u8).for_each(|key| put(&engine, &[key], b"v").unwrap());
    run(&engine, CHECKPOINT);
    drop(engine);
    for at in 1.. {
        let (disk, plan) = (disk.killed(), FaultPlan::from(Fault::Error, at));
        let directory = files(FaultyDirectory::new(disk.root(), Arc::clone(&plan)));
        let opened = LogmapEngine::open(request(directory, Durability::Always, 16384));
        assert_eq!(state(&life::open(disk.killed().root()).unwrap()).len(), 9, "call {at}");
        if opened.is_ok() {
            assert!(at > 2);
            break;
        }
    }
}
