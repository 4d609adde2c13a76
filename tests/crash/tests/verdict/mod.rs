//! What the judge says of engines, for their tests.

use crash::judge::{Effort, Judge, Violation};
use crash::subject::Subject;

/// Judges until so many states were seen, from a seed on.
pub fn judge(subject: &Subject, states: u64, seed: u64) -> Result<(), Box<Violation>> {
    let mut judge = Judge::new(subject, Effort::of(states));
    judge.judge(seed)?;
    assert!(judge.tally.states >= states && judge.tally.nested > states / 4, "{:?}", judge.tally);
    Ok(())
}

/// The engine loses nothing in so many states, from a seed on.
#[track_caller]
pub fn keeps_its_promise(subject: &Subject, states: u64, seed: u64) {
    if let Err(violation) = judge(subject, states, seed) {
        panic!("seed {seed}: {violation}");
    }
}

/// What is planted around the engine is caught; what needs a failed sync is looked for with some.
#[track_caller]
pub fn is_caught(subject: &Subject, planted: &str) {
    let effort = Effort { failing_syncs: planted == "retry-after-failed-sync", ..Effort::of(60_000) };
    assert!(Judge::new(subject, effort).judge(1).is_err(), "{planted} was not caught");
}
