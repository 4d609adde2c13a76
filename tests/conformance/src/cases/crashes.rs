//! What crashes leave: whole versions, whatever was promised about their age.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use adapter_api::Durability;
use crash::judge::{Effort, Judge, Violation, absent_features};
use crash::scope::Scope;
use crash::script::LifeScript;
use crash::shrink::shrink;
use crash::subject::Subject;
use crash::workload::Dice;

use crate::badge::Badge::AtomicUnderCrash;
use crate::case::Case;
use crate::outcome::{Stop, Verdict, lives};
use crate::trial::{Trial, finding};

pub const CASES: &[Case] = &[
    Case::new(AtomicUnderCrash, "a_crash_leaves_batches_whole_and_in_order", a_crash_leaves_batches_whole)
        .share(3),
    Case::new(
        AtomicUnderCrash,
        "with_syncs_left_to_later_a_crash_leaves_batches_whole_and_in_order",
        with_syncs_left_to_later,
    )
    .share(1),
];

/// Operations of a life.
pub const OPERATIONS: usize = 40;
/// States of one life; more lives show more than every state of one.
const STATES: u64 = 600;
/// How long a violation may take to be made small.
const SHRINKING: Duration = Duration::from_secs(10);

fn a_crash_leaves_batches_whole(trial: &Trial) -> Verdict {
    judge_lives(trial, Scope::Whole, Durability::Always)
}

fn with_syncs_left_to_later(trial: &Trial) -> Verdict {
    judge_lives(trial, Scope::Whole, Durability::Os)
}

/// Judges one life after the other until the time has passed.
pub fn judge_lives(trial: &Trial, scope: Scope, durability: Durability) -> Verdict {
    let mut judged = Judged::default();
    let count = trial.for_seeds(|seed| {
        let subject = trial.small_subject(seed, scope).with_durability(durability);
        let (operations, without) = (Dice::new(seed).operations(OPERATIONS), absent_features(seed));
        let life = LifeScript { operations, without, ..LifeScript::default() };
        judged.life(&subject, life).map_err(|it| explain(&subject, *it))
    })?;
    judged.report(count)
}

/// What was seen in all lives together.
#[derive(Default)]
pub struct Judged {
    states: u64,
    wrote_elsewhere: bool,
    stray: Option<String>,
}

impl Judged {
    /// Judges one life with all its crashes.
    pub fn life(&mut self, subject: &Subject, life: LifeScript) -> Result<(), Box<Violation>> {
        let mut judge = Judge::new(subject, Effort { states_of_life: STATES / 2, ..Effort::of(STATES) });
        let verdict = judge.judge_life(life);
        self.states += judge.tally.states;
        self.wrote_elsewhere |= judge.tally.wrote_elsewhere;
        self.stray = self.stray.take().or(judge.stray);
        verdict
    }

    /// What to say if nothing was wrong.
    pub fn report(self, count: u64) -> Verdict {
        if self.wrote_elsewhere {
            return Err(Stop::NotJudged(
                "it answered a write OK without any call to its environment: it keeps its data elsewhere, or nowhere"
                    .to_string(),
            ));
        }
        match self.stray {
            Some(stray) => Err(Stop::NotJudged(format!("without any crash it did wrong: {stray}"))),
            None => Ok(format!("{} crash states of {}", self.states, lives(count))),
        }
    }
}

/// The smallest violation that is found in a short time, for people.
pub fn explain(subject: &Subject, violation: Violation) -> Stop {
    let (sender, smallest) = mpsc::channel();
    let (own, first) = (subject.clone(), violation.clone());
    // Not waited for: whoever runs this case is about to end.
    thread::spawn(move || drop(sender.send(shrink(&own, first))));
    let Violation { complaint, script, state } = smallest.recv_timeout(SHRINKING).unwrap_or(violation);
    finding(complaint, format!("{script}\nthe disk when the last life began:\n{state}"))
}
