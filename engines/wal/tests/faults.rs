//! Each call of a life that can fail, failing once or from then on.

mod workload;

use std::sync::Arc;
use std::time::Duration;

use adapter_api::environment::fault::{Fault, FaultPlan, FaultyDirectory};
use adapter_api::{Durability, EngineError, Step};
use crash::environment::Disk;
use wal::{Log, LogOptions};
use workload::{Files, Model, small};

/// One call to the log with a record or the lane, and what has to hold of the answer.
struct Session {
    log: Log,
    plan: Arc<FaultPlan>,
    failed: bool,
}

impl Session {
    fn call(&mut self, call: impl FnOnce(&Log) -> Result<(), EngineError>) -> bool {
        let reached_before = self.plan.reached();
        let outcome = call(&self.log);
        match &outcome {
            Ok(()) => {
                assert!(!self.failed, "an OK after the first failure");
                assert!(reached_before || !self.plan.reached(), "an OK for a call that met the fault");
            }
            Err(EngineError::Full { .. }) => assert!(!self.failed, "a failure is final"),
            Err(EngineError::Failed { .. }) => self.failed = true,
            Err(other) => panic!("{other}"),
        }
        outcome.is_ok()
    }
}

fn live_with(plan: &Arc<FaultPlan>, disk: &Disk, options: LogOptions) -> Model {
    let files: Files = Arc::new(FaultyDirectory::new(disk.root(), Arc::clone(plan)));
    let mut model = Model::default();
    let Ok((log, _)) = model.open(&files, options, 0) else { return model };
    let mut session = Session { log, plan: Arc::clone(plan), failed: false };
    for round in 0..14_usize {
        let len = [10, 4000, 9000, 300][round % 4];
        // A record that found no room leaves everything as it was: it may be tried again.
        let appended =
            session.call(|log| model.append(log, len)) || session.call(|log| model.append(log, len));
        if appended || session.failed {
            session.call(|log| model.commit(log));
        }
        if round % 3 == 2 && !session.failed {
            let keep_from = model.acknowledged;
            if session.call(|log| log.sync()) {
                model.durable = model.acknowledged;
                model.from = keep_from;
                session.log.retire_before(keep_from);
            }
        }
        // The lane may fail; that is nobody's loss.
        for _ in 0..3 {
            let _: Step = session.log.prepare();
        }
    }
    session.call(|log| log.close());
    model
}

fn every_call_may_fail(fault: Fault, lasting: bool, durability: Durability) {
    let options = small(durability);
    for at in 1.. {
        let plan = if lasting { FaultPlan::from(fault, at) } else { FaultPlan::once(fault, at) };
        let disk = Disk::default();
        let model = live_with(&plan, &disk, options);
        let acknowledged = model.acknowledged;
        model.clone().open(&disk.killed().root(), options, acknowledged).expect("after a kill");
        let durable = model.durable;
        model.clone().open(&disk.cut_to_durable().root(), options, durable).expect("after a power cut");
        if !plan.reached() {
            assert!(at > 60, "only {at} calls");
            break;
        }
    }
}

#[test]
fn after_an_error_nothing_is_acknowledged_and_the_log_reopens_right() {
    for lasting in [false, true] {
        every_call_may_fail(Fault::Error, lasting, Durability::Always);
        every_call_may_fail(Fault::Error, lasting, Durability::Os);
    }
}

#[test]
fn after_a_short_write_nothing_is_acknowledged_and_the_log_reopens_right() {
    for lasting in [false, true] {
        every_call_may_fail(Fault::ShortWrite, lasting, Durability::Always);
    }
}

#[test]
fn no_space_at_any_call_loses_nothing() {
    for lasting in [false, true] {
        every_call_may_fail(Fault::NoSpace, lasting, Durability::Always);
    }
}

#[test]
fn a_full_disk_refuses_before_anything_is_appended_and_clears_by_itself() {
    let (disk, mut model, options) = (Disk::default(), Model::default(), small(Durability::Always));
    let (log, _) = model.open(&disk.root(), options, 0).unwrap();
    disk.set_capacity(Some(3 * 16384));
    let refused = loop {
        match model.commit_one(&log, 100) {
            Ok(()) => {}
            Err(error) => break error,
        }
        assert!(model.acknowledged < 100);
    };
    assert!(matches!(refused, EngineError::Full { .. }), "{refused}");
    assert!(!log.room_for(100));
    let before = disk.contents();
    assert!(model.append(&log, 100).unwrap_err().changed_nothing());
    assert_eq!(before, disk.contents(), "what could not be finished is taken away again");
    // A checkpoint makes room without any new space: the oldest segment is used again.
    model.from = model.acknowledged + 1;
    log.retire_before(model.from);
    for _ in 0..4 {
        model.commit_one(&log, 100).unwrap();
    }
    let full = loop {
        if let Err(error) = model.commit_one(&log, 100) {
            break error;
        }
    };
    assert!(matches!(full, EngineError::Full { .. }), "{full}");
    disk.set_capacity(None);
    model.commit_one(&log, 100).unwrap();
    let last = model.acknowledged;
    model.open(&disk.cut_to_durable().root(), options, last).unwrap();
}

#[test]
fn a_record_that_is_too_large_for_the_disk_does_not_keep_small_ones_out() {
    let (disk, mut model, options) = (Disk::default(), Model::default(), small(Durability::Always));
    let (log, _) = model.open(&disk.root(), options, 0).unwrap();
    disk.set_capacity(Some(5 * 16384));
    assert!(matches!(model.append(&log, 100_000), Err(EngineError::Full { .. })));
    model.commit_one(&log, 100).unwrap();
    disk.set_capacity(None);
    model.commit_one(&log, 100_000).unwrap();
    model.commit_one(&log, 100).unwrap();
    let last = model.acknowledged;
    model.open(&disk.cut_to_durable().root(), options, last).unwrap();
}

#[test]
fn a_lane_that_fails_does_not_stop_the_log() {
    let options = LogOptions { segment_bytes: 1 << 20, ..small(Durability::Always) };
    let faulty = |disk: &Disk, plan: &Arc<FaultPlan>| -> Files {
        Arc::new(FaultyDirectory::new(disk.root(), Arc::clone(plan)))
    };
    let counted = FaultPlan::once(Fault::Error, 0);
    Model::default().open(&faulty(&Disk::default(), &counted), options, 0).unwrap();
    for further in 1..=6 {
        let (disk, mut model) = (Disk::default(), Model::default());
        let plan = FaultPlan::once(Fault::Error, counted.calls() + further);
        let (log, _) = model.open(&faulty(&disk, &plan), options, 0).unwrap();
        let mut steps = (0..9).map(|_| log.prepare());
        assert!(steps.any(|step| matches!(step, Step::IdleFor(_))), "call {further}");
        model.commit_one(&log, 100).unwrap();
        while log.prepare() == Step::More {}
        assert_eq!(log.metrics().segments_ready, 1);
        drop(log);
        model.open(&disk.cut_to_durable().root(), options, 1).unwrap();
    }
}

#[test]
fn a_reserve_that_cannot_be_had_is_full_for_lack_of_space_alone() {
    let options = small(Durability::Always);
    for (fault, is_full) in [(Fault::NoSpace, true), (Fault::Error, false)] {
        let counted = FaultPlan::once(Fault::Error, 0);
        let files = |plan: &Arc<FaultPlan>| -> Files {
            Arc::new(FaultyDirectory::new(Disk::default().root(), Arc::clone(plan)))
        };
        Model::default().open(&files(&counted), options, 0).unwrap();
        let plan = FaultPlan::from(fault, counted.calls() + 1);
        let (log, _) = Model::default().open(&files(&plan), options, 0).unwrap();
        match log.leave_reserve(8000) {
            Err(EngineError::Full { .. }) => assert!(is_full),
            answer => assert!(!is_full && answer.is_ok(), "{answer:?}"),
        }
    }
}

#[test]
fn a_sync_that_fails_in_the_lane_is_as_final_as_one_of_the_writer() {
    let disk = Disk::default();
    let options = LogOptions { segment_bytes: 32 << 10, ..small(Durability::Interval(Duration::ZERO)) };
    Model::default().open(&disk.root(), options, 0).unwrap().0.close().unwrap();
    // One call for the names at open, one for the write of the group, and then the sync.
    let plan = FaultPlan::once(Fault::Error, 3);
    let files: Files = Arc::new(FaultyDirectory::new(disk.root(), Arc::clone(&plan)));
    let mut model = Model::default();
    let (log, _) = model.open(&files, options, 0).unwrap();
    model.commit_one(&log, 10).unwrap();
    assert!(matches!(log.sync_due(), Err(EngineError::Failed { .. })));
    assert!(matches!(model.append(&log, 10), Err(EngineError::Failed { .. })));
    assert!(matches!(log.make_durable(1), Err(EngineError::Failed { .. })));
    assert!(matches!(log.close(), Err(EngineError::Failed { .. })));
    assert!(matches!(log.sync_due(), Ok(Step::IdleFor(_))));
    assert_eq!((log.durable(), plan.calls()), (0, 3));
    drop(log);
    let (_, recovery) = model.open(&disk.root(), options, 1).unwrap();
    assert_eq!(recovery.rewritten, 1);
    model.open(&disk.cut_to_durable().root(), options, 1).unwrap();
}
