//! A disk that fails: errors, no space, half writes, syncs that fail and leave pages marked clean.

use adapter_api::environment::fault::Fault;
use crash::environment::Disk;
use crash::judge::script_of;
use crash::life::{Life, LifeFault};
use crash::oracle::History;
use crash::power_cut::Crash;
use crash::replay::replay;
use crash::scope::Scope;
use crash::script::{LifeScript, Point};
use crash::subject::Subject;
use crash::workload::{Dice, Operation};

use crate::badge::Badge::HostileDisk;
use crate::case::Case;
use crate::cases::crashes::{Judged, explain};
use crate::outcome::{Stop, Verdict, lives};
use crate::trial::{Trial, finding};

pub const CASES: &[Case] = &[
    Case::new(
        HostileDisk,
        "after_a_call_that_failed_nothing_is_answered_ok_and_nothing_is_lost",
        after_a_call_that_failed,
    )
    .share(2),
    Case::new(HostileDisk, "a_full_disk_loses_nothing_and_is_no_end", a_full_disk).share(1),
    Case::new(HostileDisk, "a_sync_that_failed_is_never_believed", a_sync_that_failed).share(2),
];

/// Operations of a life with a fault.
const OPERATIONS: usize = 14;

fn after_a_call_that_failed(trial: &Trial) -> Verdict {
    faults(trial, &[(Fault::Error, false), (Fault::Error, true), (Fault::ShortWrite, true)])
}

fn a_full_disk(trial: &Trial) -> Verdict {
    faults(trial, &[(Fault::NoSpace, false), (Fault::NoSpace, true)])
}

/// How many calls that change something a life makes, and how many syncs.
fn calls_of(subject: &Subject, operations: &[Operation]) -> Result<(u64, u64), Stop> {
    let disk = Disk::default();
    let life = Life::begin(subject, disk.clone(), History::default(), 0, None)
        .and_then(|(life, _)| life.map_or(Ok(()), |mut life| life.run(operations)));
    match life {
        Ok(()) => Ok((disk.changes(), disk.syncs())),
        Err(wrong) => Err(Stop::NotJudged(format!("without any fault it did wrong: {wrong}"))),
    }
}

/// A life with a fault at each of its calls; then the process ends, and the next life has a disk that is well.
fn faults(trial: &Trial, faults: &[(Fault, bool)]) -> Verdict {
    let mut tried = 0_u64;
    let count = trial.for_seeds(|seed| {
        let subject = trial.small_subject(seed, Scope::KeptUnderFaults);
        let operations = Dice::new(seed).operations(OPERATIONS);
        let (calls, _) = calls_of(&subject, &operations)?;
        for at in 1..=calls {
            let (fault, lasting) = faults[(at + seed) as usize % faults.len()];
            try_fault(&subject, &operations, LifeFault::Call { fault, at, lasting }, seed)?;
            tried += 1;
            if at > 20 && trial.time_left().is_zero() {
                break;
            }
        }
        Ok(())
    })?;
    Ok(format!("{tried} faults in {}", lives(count)))
}

fn try_fault(subject: &Subject, operations: &[Operation], fault: LifeFault, seed: u64) -> Result<(), Stop> {
    let first = LifeScript {
        fault: Some(fault),
        operations: operations.to_vec(),
        crash: Some((Point::End, Crash::Kill)),
        ..LifeScript::default()
    };
    let mut dice = Dice::new(!seed);
    let next = vec![dice.batch(), Operation::Read, Operation::Settle, dice.batch(), Operation::Read];
    let last = LifeScript { operations: next, ..LifeScript::default() };
    let script = script_of(subject, vec![first, last]);
    replay(subject, &script)
        .map_err(|failure| finding(failure.complaint.clone(), format!("{script}\n{failure}")))
}

fn a_sync_that_failed(trial: &Trial) -> Verdict {
    let (mut judged, mut weak) = (Judged::default(), None);
    let count = trial.for_seeds(|seed| {
        let subject = trial.small_subject(seed, Scope::KeptUnderFaults);
        let operations = Dice::new(seed).operations(OPERATIONS);
        let (_, syncs) = calls_of(&subject, &operations)?;
        let fault = LifeFault::Sync(1 + Dice::new(seed ^ 1).roll(syncs.max(1)));
        let without_fault = LifeScript { operations, ..LifeScript::default() };
        let with_fault = LifeScript { fault: Some(fault), ..without_fault.clone() };
        let Err(violation) = judged.life(&subject, with_fault) else { return Ok(()) };
        // What a crash alone does to it as well is another badge's.
        match judged.life(&subject, without_fault) {
            Ok(()) => Err(explain(&subject, *violation)),
            Err(violation) => {
                weak = Some(violation.complaint);
                Ok(())
            }
        }
    })?;
    match weak {
        Some(complaint) => {
            Err(Stop::NotJudged(format!("a crash alone loses something already (L2, L3): {complaint}")))
        }
        None => judged.report(count),
    }
}
