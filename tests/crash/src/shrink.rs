//! Makes a violation small: fewer operations, smaller values, fewer lives, as long as something is still wrong.
//!
//! What is wrong may change on the way; what is left is a script that fails, which is what a person wants to read.

use adapter_api::environment::FileFeatures;

use crate::judge::{Effort, Judge, Violation};
use crate::replay::replay;
use crate::script::{LifeScript, Script};
use crate::subject::Subject;
use crate::workload::{Edit, Operation};

/// How many states are looked at for each attempt.
const STATES: u64 = 1_500;
/// How many attempts are made at most.
const ATTEMPTS: usize = 400;

/// The smallest violation that is found from this one on.
pub fn shrink(subject: &Subject, violation: Violation) -> Violation {
    let mut shrinking = Shrinking { subject, best: violation, attempts: 0 };
    shrinking.first_life();
    shrinking.lives();
    shrinking.best
}

struct Shrinking<'a> {
    subject: &'a Subject,
    best: Violation,
    attempts: usize,
}

impl Shrinking<'_> {
    /// Tries a smaller first life: any crash of it that fails will do.
    fn try_first(&mut self, life: &LifeScript) -> bool {
        self.attempts += 1;
        if self.attempts > ATTEMPTS {
            return false;
        }
        let effort = Effort { random: 1, thorough: 20, ..Effort::of(STATES) };
        let life = LifeScript { crash: None, ..life.clone() };
        match Judge::new(self.subject, effort).judge_life(life) {
            Ok(()) => false,
            Err(violation) => {
                self.best = Violation { script: self.keep_planted(violation.script), ..*violation };
                true
            }
        }
    }

    fn keep_planted(&self, script: Script) -> Script {
        Script { planted: self.best.script.planted.clone(), ..script }
    }

    /// Tries another script.
    fn try_script(&mut self, script: Script) -> bool {
        match replay(self.subject, &script) {
            Ok(()) => false,
            Err(failure) if failure.is_misfit() => false,
            Err(failure) => {
                let (complaint, state) = (failure.complaint, failure.after);
                self.best = Violation { complaint, script, state };
                true
            }
        }
    }

    fn first_life(&mut self) {
        let Some(mut life) = self.best.script.lives.first().cloned() else { return };
        if self.best.script.lives.iter().any(|life| life.damage.is_some()) {
            return;
        }
        let simplify: [fn(&mut LifeScript); 2] =
            [|life| life.fault = None, |life| life.without = FileFeatures::default()];
        for simplify in simplify {
            let mut simpler = life.clone();
            simplify(&mut simpler);
            if simpler != life && self.try_first(&simpler) {
                life = simpler;
            }
        }
        self.drop_operations(&mut life);
        self.simplify_edits(&mut life);
        self.drop_operations(&mut life);
    }

    /// Takes away halves, quarters, … single operations.
    fn drop_operations(&mut self, life: &mut LifeScript) {
        let mut size = life.operations.len().div_ceil(2).max(1);
        loop {
            let mut at = 0;
            while at < life.operations.len() {
                let mut fewer = life.clone();
                fewer.operations.drain(at..(at + size).min(life.operations.len()));
                match self.try_first(&fewer) {
                    true => *life = fewer,
                    false => at += size,
                }
            }
            if size == 1 {
                break;
            }
            size = size.div_ceil(2);
        }
    }

    /// Takes edits out of batches, and makes values short.
    fn simplify_edits(&mut self, life: &mut LifeScript) {
        for at in 0..life.operations.len() {
            let Operation::Apply(mut edits) = life.operations[at].clone() else { continue };
            for edit in (0..edits.len()).rev() {
                let mut simpler = vec![];
                if edits.len() > 1 {
                    let mut fewer = edits.clone();
                    fewer.remove(edit);
                    simpler.push(fewer);
                }
                if let Edit::Put { key, len, tag } = edits[edit]
                    && len > 9
                {
                    let mut shorter = edits.clone();
                    shorter[edit] = Edit::Put { key, len: 9, tag };
                    simpler.push(shorter);
                }
                for simpler in simpler {
                    let mut whole = life.clone();
                    whole.operations[at] = Operation::Apply(simpler.clone());
                    if self.try_first(&whole) {
                        (*life, edits) = (whole, simpler);
                        break;
                    }
                }
            }
        }
    }

    /// Takes away whole lives, and operations of the later ones.
    fn lives(&mut self) {
        let mut at = 0;
        while at + 1 < self.best.script.lives.len() {
            let mut fewer = self.best.script.clone();
            fewer.lives.remove(at);
            if !self.try_script(fewer) {
                at += 1;
            }
        }
        for life in 0..self.best.script.lives.len() {
            let mut at = 0;
            while let Some(operations) = self.best.script.lives.get(life).map(|life| life.operations.len())
                && at < operations
            {
                let mut fewer = self.best.script.clone();
                fewer.lives[life].operations.remove(at);
                if !self.try_script(fewer) {
                    at += 1;
                }
            }
        }
    }
}
