//! Random lives beside a versioned model, on a simulated disk and without a crash: the same seed is the same life,
//! call for call, and one that goes wrong is made small.

use std::time::{Duration, Instant};

use adapter_api::Capabilities;
use crash::environment::Disk;
use crash::life::Life;
use crash::oracle::History;
use crash::scope::Scope;
use crash::stranger::watch;
use crash::subject::Subject;
use crash::workload::{Dice, Edit, Operation};

use crate::badge::Badge::{Restart, Semantics, ViewsAndScans};
use crate::case::Case;
use crate::outcome::{Verdict, lives};
use crate::trial::{Trial, finding};

pub const CASES: &[Case] = &[
    Case::new(Semantics, "random_batches_and_reads_agree_with_the_model", random_batches).share(1),
    Case::new(Restart, "random_lives_with_restarts_and_copies_agree_with_the_model", random_restarts)
        .share(1),
    Case::new(ViewsAndScans, "random_views_agree_with_the_versions_of_the_model", random_views).share(1),
];

/// Operations of one life.
const OPERATIONS: usize = 250;
/// How long a life that goes wrong is made smaller.
const SHRINKING: Duration = Duration::from_secs(5);

fn is_plain(operation: &Operation) -> bool {
    !is_view(operation) && !matches!(operation, Operation::Reopen | Operation::Close | Operation::Backup)
}

fn is_view(operation: &Operation) -> bool {
    matches!(operation, Operation::View | Operation::Views)
}

fn random_batches(trial: &Trial) -> Verdict {
    let looked_at = random_lives(trial, is_plain)?;
    Ok(match remark(trial) {
        Some(remark) => format!("{looked_at}; {remark}"),
        None => looked_at,
    })
}

/// Why a finding may not show again, if so: threads of its own, or calls that differ from run to run.
fn remark(trial: &Trial) -> Option<String> {
    let subject = trial.small_subject(trial.seed(), Scope::Everything);
    let remarks = watch(&subject, trial.seed()).ok()?;
    (remarks.threads > 0 || remarks.is_unrepeatable).then(|| remarks.to_string())
}

fn random_restarts(trial: &Trial) -> Verdict {
    random_lives(trial, |operation| !is_view(operation))
}

fn random_views(trial: &Trial) -> Verdict {
    random_lives(trial, |operation| is_plain(operation) || is_view(operation))
}

fn random_lives(trial: &Trial, is_done: fn(&Operation) -> bool) -> Verdict {
    let count = trial.for_seeds(|seed| {
        let subject = trial.small_subject(seed, Scope::Everything);
        let mut operations = Dice::new(seed).operations(OPERATIONS);
        operations.retain(is_done);
        let Err(wrong) = live(&subject, &operations) else { return Ok(()) };
        let (wrong, operations) = smallest(&subject, wrong, operations);
        Err(finding(wrong, written(&subject, &operations)))
    })?;
    Ok(format!("{} of {OPERATIONS} operations", lives(count)))
}

fn live(subject: &Subject, operations: &[Operation]) -> Result<(), String> {
    let (life, _) = Life::begin(subject, Disk::default(), History::default(), 0, None)?;
    let Some(mut life) = life else { return Ok(()) };
    life.run(operations)?;
    // Whatever was done last is looked at too.
    life.run(&[Operation::Read])?;
    match subject.can(Capabilities::READ_VIEW) {
        true => life.run(&[Operation::Views]),
        false => Ok(()),
    }
}

/// The operations as a script of the judge of crashes.
fn written(subject: &Subject, operations: &[Operation]) -> String {
    let options = subject.options().map(|(name, value)| format!("option {name}={value}\n"));
    options.chain(operations.iter().map(|operation| format!("{operation}\n"))).collect()
}

/// Takes away what is not needed for something to be wrong: halves, quarters, … single operations, then edits.
fn smallest(subject: &Subject, wrong: String, operations: Vec<Operation>) -> (String, Vec<Operation>) {
    let end = Instant::now() + SHRINKING;
    let mut best = (wrong, operations);
    let attempt = |smaller: Vec<Operation>, best: &mut (String, Vec<Operation>)| match live(subject, &smaller)
    {
        Err(wrong) if Instant::now() < end => {
            *best = (wrong, smaller);
            true
        }
        _ => false,
    };
    let mut size = best.1.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        while at < best.1.len() && Instant::now() < end {
            let mut fewer = best.1.clone();
            fewer.drain(at..(at + size).min(fewer.len()));
            if !attempt(fewer, &mut best) {
                at += size;
            }
        }
        if size == 1 {
            break;
        }
        size = size.div_ceil(2);
    }
    for at in 0..best.1.len() {
        while let Some(smaller) = simpler(&best.1[at]).into_iter().find_map(|simpler| {
            let mut all = best.1.clone();
            all[at] = simpler;
            live(subject, &all).is_err().then_some(all)
        }) {
            if !attempt(smaller, &mut best) {
                break;
            }
        }
    }
    best
}

/// The same operation with an edit less, or with a short value.
fn simpler(operation: &Operation) -> Vec<Operation> {
    let Operation::Apply(edits) = operation else { return Vec::new() };
    let without = |at: usize| edits.iter().enumerate().filter(move |it| it.0 != at).map(|it| *it.1);
    let mut simpler = Vec::new();
    if edits.len() > 1 {
        simpler.extend((0..edits.len()).map(|at| Operation::Apply(without(at).collect())));
    }
    for (at, edit) in edits.iter().enumerate() {
        if let Edit::Put { key, len, tag } = *edit
            && len > 9
        {
            let mut shorter = edits.clone();
            shorter[at] = Edit::Put { key, len: 9, tag };
            simpler.push(Operation::Apply(shorter));
        }
    }
    simpler
}
