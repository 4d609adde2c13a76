//! The judge: lets a store live, crashes it at every moment in every way that is tried, and looks what is left.
//!
//! ```text
//! a life with a workload ─▶ its moments ─▶ crashes ─▶ distinct states
//!    each is opened, compared, written to, and cut again: what it showed and what it was told must stay
//!    some of them are crashed inside that second life too, and some of those inside the third
//! ```
//!
//! Promises: the same engine, seed and number of states give the same verdict. A state is counted once, by its
//! digest; if it comes about again where other versions may be found, what it showed is judged anew.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use adapter_api::environment::FileFeatures;
use adapter_api::environment::fault::Fault;

use crate::activity::{Activity, Doing};
use crate::enumerate::{crashes, few_crashes};
use crate::environment::Disk;
use crate::image::mix;
use crate::life::{Complaint, Life, LifeFault};
use crate::oracle::History;
use crate::power_cut::Crash;
use crate::script::{LifeScript, Point, Script};
use crate::state::State;
use crate::subject::Subject;
use crate::workload::{Dice, KEYS, Operation};

/// How thorough a judge is.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Ends after so many distinct states.
    pub states: u64,
    /// Operations of the first life.
    pub operations: usize,
    /// Keys that batches use, up to 100.
    pub keys: u64,
    /// After so many distinct states of one first life only a few crashes are tried at each later moment: many lives
    /// show more than every state of a few.
    pub states_of_life: u64,
    /// Random power cuts at each moment.
    pub random: u64,
    /// Whether syncs fail in some of the first lives, and leave marked clean what they should have written.
    pub failing_syncs: bool,
    /// One state of so many is crashed inside its recovery and behind it, at every moment.
    pub thorough: u64,
}

impl Effort {
    /// What a judge does unless told otherwise, for so many states.
    pub fn of(states: u64) -> Self {
        Self {
            states,
            operations: 40,
            keys: KEYS,
            states_of_life: 1_500,
            random: 4,
            failing_syncs: false,
            thorough: 40,
        }
    }
}

/// What a judge has seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Distinct states that were opened.
    pub states: u64,
    /// States that came about again.
    pub repeated: u64,
    /// Moments at which the store was crashed.
    pub moments: u64,
    /// First lives, each with a seed of its own.
    pub lives: u64,
    /// States that were made inside a recovery or behind one.
    pub nested: u64,
    /// Writes were acknowledged although no call changed the disk.
    pub wrote_elsewhere: bool,
}

/// A store that did not keep its promise.
#[derive(Clone, Debug)]
pub struct Violation {
    /// What was wrong.
    pub complaint: Complaint,
    /// How it came to that.
    pub script: Script,
    /// The disk as it was when the last life began.
    pub state: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}\n\nscript:\n{}\nthe disk when the last life began:\n{}",
            self.complaint, self.script, self.state
        )
    }
}

/// Judges one engine.
pub struct Judge<'a> {
    subject: &'a Subject,
    effort: Effort,
    /// What each state showed, by the digests of both.
    seen: HashMap<u64, u64>,
    /// What was seen so far.
    pub tally: Tally,
    /// What the store was doing when it was crashed, by distinct states.
    pub activity: Activity,
    /// The same of the crashes that led here.
    doing: Vec<Doing>,
    /// What the store did wrong without any crash, where that is not judged.
    pub stray: Option<Complaint>,
    /// How many states were seen when the first life began.
    before_life: u64,
    /// The lives that led here.
    path: Vec<LifeScript>,
}

/// A state that is to be judged.
struct Case {
    state: State,
    history: History,
    depth: usize,
    /// Whether crashes inside this life are tried too.
    is_thorough: bool,
}

impl Case {
    /// Whether this is a life after one crash that is cut twice more: when it was opened, and at its end.
    fn is_quick(&self) -> bool {
        self.depth == 1 && !self.is_thorough
    }
}

type Verdict = Result<(), Box<Violation>>;

impl<'a> Judge<'a> {
    /// A judge of this engine.
    pub fn new(subject: &'a Subject, effort: Effort) -> Self {
        Self {
            subject,
            effort,
            seen: HashMap::new(),
            tally: Tally::default(),
            activity: Activity::default(),
            doing: Vec::new(),
            stray: None,
            before_life: 0,
            path: Vec::new(),
        }
    }

    /// Judges workloads of one seed after the other, until enough states were seen.
    pub fn judge(&mut self, seed: u64) -> Verdict {
        for seed in seed.. {
            let operations = self.dice(seed).operations(self.effort.operations);
            let (fault, without) = (self.fault_of(seed), absent_features(seed));
            self.judge_life(LifeScript { without, fault, operations, ..LifeScript::default() })?;
            if self.is_enough() {
                break;
            }
        }
        Ok(())
    }

    /// Of 16 lives three have a call that fails, and eight more a sync that does, if syncs are to fail.
    fn fault_of(&self, seed: u64) -> Option<LifeFault> {
        let mut dice = Dice::new(!seed);
        let (which, at) = (dice.roll(16), 1 + dice.roll(60));
        let call = |fault, lasting| Some(LifeFault::Call { fault, at, lasting });
        match which {
            0 | 4..11 if self.effort.failing_syncs => Some(LifeFault::Sync(1 + at / 6)),
            1 => call(Fault::Error, false),
            2 => call(Fault::ShortWrite, true),
            3 => call(Fault::NoSpace, dice.roll(2) == 0),
            _ => None,
        }
    }

    fn dice(&self, seed: u64) -> Dice {
        Dice::new(seed).with_keys(self.effort.keys)
    }

    fn is_enough(&self) -> bool {
        self.tally.states >= self.effort.states
    }

    /// Judges one life on an empty disk. The lives behind it have the same optional features.
    pub fn judge_life(&mut self, script: LifeScript) -> Verdict {
        self.tally.lives += 1;
        self.before_life = self.tally.states;
        let case = Case { state: State::default(), history: History::default(), depth: 0, is_thorough: true };
        self.live(&case, script).map(drop)
    }

    /// Lets a store live, and crashes it; answers what it showed when it was opened.
    fn live(&mut self, case: &Case, script: LifeScript) -> Result<u64, Box<Violation>> {
        let disk = Disk::new(case.state.clone()).without(script.without);
        if case.is_thorough {
            disk.record();
        }
        self.path.push(script.clone());
        let history = case.history.clone();
        let begun = Life::begin(self.subject, disk.clone(), history, script.hours, script.fault);
        let (mut life, shown) = begun.map_err(|complaint| self.violation(case, complaint))?;
        if let Some(life) = &life
            && case.is_quick()
        {
            self.crash_quickly(case, life, Point::Opened)?;
        }
        if let Some(life) = &mut life {
            life.run(&script.operations).map_err(|complaint| self.violation(case, complaint))?;
            self.tally.wrote_elsewhere |= life.wrote_elsewhere;
            self.stray = self.stray.take().or(life.stray.take());
        }
        if case.is_thorough {
            let recording = disk.take_recording();
            let doings = Doing::at_moments(&recording);
            for (at, (moment, doing)) in recording.moments.into_iter().zip(doings).enumerate() {
                self.doing.push(doing);
                self.crash_at(case, &moment.history, &moment.state, Point::Moment(at))?;
                self.doing.pop();
                if self.is_enough() {
                    break;
                }
            }
        } else if let Some(life) = &life
            && case.is_quick()
        {
            self.crash_quickly(case, life, Point::End)?;
        }
        self.path.pop();
        Ok(shown)
    }

    /// Cuts the power, and keeps what is durable.
    fn crash_quickly(&mut self, case: &Case, life: &Life<'_>, point: Point) -> Verdict {
        let (state, history) = (life.disk().state(), life.history());
        self.crash(case, history, &state, point, Crash::TO_DURABLE)
    }

    /// Crashes in every way that is tried at this depth.
    fn crash_at(&mut self, case: &Case, history: &History, state: &State, point: Point) -> Verdict {
        self.tally.moments += 1;
        let seed = mix(self.tally.moments ^ mix(self.tally.lives));
        let is_early = self.tally.states - self.before_life < self.effort.states_of_life;
        let tried = match case.depth {
            0 if is_early => crashes(state, self.effort.random, seed),
            _ => few_crashes(state, seed),
        };
        tried.into_iter().try_for_each(|crash| self.crash(case, history, state, point, crash))
    }

    fn crash(
        &mut self,
        case: &Case,
        history: &History,
        state: &State,
        point: Point,
        crash: Crash,
    ) -> Verdict {
        let state = state.after(crash);
        let history = history.after(crash == Crash::Kill);
        if let Some(life) = self.path.last_mut() {
            life.crash = Some((point, crash));
        }
        let digest = state.digest();
        if let Entry::Occupied(shown) = self.seen.entry(digest) {
            self.tally.repeated += 1;
            let shown = *shown.get();
            return match history.find(shown) {
                Some(_) => Ok(()),
                None if history.scope.takes_halves() => self.look(case, state, history, digest),
                None => {
                    let complaint = history.complaint(shown, None);
                    self.path.push(LifeScript::default());
                    let case = Case { state, history, depth: 0, is_thorough: false };
                    Err(self.violation(&case, complaint))
                }
            };
        }
        self.tally.states += 1;
        self.tally.nested += u64::from(case.depth > 0);
        if let (Point::Moment(_), Some(doing)) = (point, self.doing.last()) {
            self.activity.add(doing);
        }
        self.look(case, state, history, digest)
    }

    /// Opens the store as the crash left it.
    fn look(&mut self, case: &Case, state: State, history: History, digest: u64) -> Verdict {
        let next =
            Case { state, history, depth: case.depth + 1, is_thorough: self.is_thorough(case, digest) };
        let script = self.next_life(&next, digest);
        let shown = self.live(&next, script)?;
        self.seen.insert(digest, shown);
        Ok(())
    }

    fn is_thorough(&self, parent: &Case, digest: u64) -> bool {
        // The dice of a state, so that the same state has the same life wherever it comes about.
        let dice = mix(digest ^ 1);
        match parent.depth {
            0 => dice.is_multiple_of(self.effort.thorough),
            1 => parent.is_thorough && dice.is_multiple_of(4),
            _ => false,
        }
    }

    /// What a store does in its life after a crash.
    fn next_life(&self, case: &Case, digest: u64) -> LifeScript {
        let mut dice = self.dice(digest);
        let hours = [0, 0, 1, -1][dice.roll(4) as usize];
        let mut operations = Vec::new();
        if case.depth == 1 {
            operations.push(dice.batch());
            if dice.roll(3) == 0 {
                operations.push(Operation::Settle);
            }
            operations.push(dice.batch());
        }
        let without = self.path.first().map(|first| first.without).unwrap_or_default();
        LifeScript { hours, without, operations, ..LifeScript::default() }
    }

    fn violation(&mut self, case: &Case, complaint: Complaint) -> Box<Violation> {
        let script = script_of(self.subject, std::mem::take(&mut self.path));
        Box::new(Violation { complaint, script, state: case.state.to_string() })
    }
}

/// The optional features that the file system does not have in the lives of a seed: in every second none is missing.
pub fn absent_features(seed: u64) -> FileFeatures {
    let mut dice = Dice::new(mix(seed));
    let mut is_absent = || dice.roll(2) == 0;
    match is_absent() {
        true => FileFeatures::default(),
        false => {
            FileFeatures { direct: is_absent(), allocate: is_absent(), punch: is_absent(), link: is_absent() }
        }
    }
}

/// The script of these lives of an engine.
pub fn script_of(subject: &Subject, lives: Vec<LifeScript>) -> Script {
    Script {
        engine: subject.name().to_string(),
        options: subject.options().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        durability: subject.durability,
        planted: None,
        lives,
    }
}
