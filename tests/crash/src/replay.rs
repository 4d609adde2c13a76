//! Runs a script again, and says how its last life came to show what it shows.

use std::fmt;

use crate::damage::{check_damaged, history_of_damaged};
use crate::environment::Disk;
use crate::life::{Complaint, Life};
use crate::oracle::History;
use crate::power_cut::Crash;
use crate::script::{LifeScript, Point, Script};
use crate::state::State;
use crate::subject::Subject;
use crate::workload::Operation;

/// How many calls before a crash are shown.
const CALLS_SHOWN: usize = 14;
/// What a complaint begins with if it is the script that is wrong.
const MISFIT: &str = "the script does not fit this engine: ";

/// A life that shows what it must not, and the crash before it.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What is wrong.
    pub complaint: Complaint,
    /// The last calls before the crash.
    pub calls: Vec<String>,
    /// The disk right before the crash, with what was pending.
    pub before: String,
    /// What the crash, or the damage, was.
    pub crash: String,
    /// The disk as the last life found it.
    pub after: String,
}

impl Failure {
    /// Whether the script does not fit the engine, and so shows nothing of it: a life has fewer moments than the
    /// script says. That happens when an engine, or its options, changed.
    pub fn is_misfit(&self) -> bool {
        self.complaint.starts_with(MISFIT)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.complaint)?;
        writeln!(f, "\nthe last calls before the crash:")?;
        self.calls.iter().try_for_each(|call| writeln!(f, "    {call}"))?;
        writeln!(f, "\nthe disk then, with what was not durable:\n{}", self.before)?;
        writeln!(f, "the crash: {}", self.crash)?;
        write!(f, "\nthe disk after it:\n{}", self.after)
    }
}

/// Runs a script of this engine.
///
/// # Errors
/// The failure, if a life shows what it must not; or if the script does not fit the engine, see
/// [`Failure::is_misfit`].
pub fn replay(subject: &Subject, script: &Script) -> Result<(), Box<Failure>> {
    let (state, history) = (State::default(), History::default());
    let mut replayed = Replay { subject, state, history, was_closed: false, last: None };
    script.lives.iter().try_for_each(|life| replayed.live(life))
}

struct Replay<'a> {
    subject: &'a Subject,
    state: State,
    history: History,
    /// Whether the last life ended in order.
    was_closed: bool,
    /// The failure that it will be if the next life fails.
    last: Option<Failure>,
}

impl Replay<'_> {
    fn live(&mut self, script: &LifeScript) -> Result<(), Box<Failure>> {
        if let Some(damage) = &script.damage {
            self.state = damage.apply(&self.state);
            if let Some(last) = &mut self.last {
                last.crash = format!("{}, then {damage}", last.crash);
                last.after = self.state.to_string();
            }
            let history = history_of_damaged(&self.history, self.was_closed);
            let checked = check_damaged(self.subject, self.state.clone(), &history);
            return checked.map_err(|complaint| self.failure(complaint));
        }
        let disk = Disk::new(self.state.clone()).without(script.without);
        disk.record();
        let history = self.history.clone();
        let begun = Life::begin(self.subject, disk.clone(), history, script.hours, script.fault);
        let (mut life, _) = begun.map_err(|complaint| self.failure(complaint))?;
        let mut end = (disk.state(), life.as_ref().map_or(&self.history, Life::history).clone());
        let opened = (end.clone(), disk.lines());
        if let Some(life) = &mut life {
            life.run(&script.operations).map_err(|complaint| self.failure(complaint))?;
            end = (disk.state(), life.history().clone());
        }
        let Some((point, crash)) = script.crash else { return Ok(()) };
        let mut recording = disk.take_recording();
        let ((state, history), lines) = match point {
            Point::Opened => opened,
            Point::End => (end, recording.lines.len()),
            Point::Moment(at) if at < recording.moments.len() => {
                let moment = recording.moments.swap_remove(at);
                ((moment.state, moment.history), moment.lines)
            }
            Point::Moment(at) => {
                let moments = recording.moments.len();
                let reason = format!("{MISFIT}a life has {moments} moments, and crashes at moment {at}");
                return Err(self.failure(reason));
            }
        };
        recording.lines.truncate(lines);
        self.state = state.after(crash);
        self.history = history.after(crash == Crash::Kill);
        self.was_closed = point == Point::End && script.operations.last() == Some(&Operation::Close);
        self.last = Some(Failure {
            complaint: String::new(),
            calls: recording.lines.split_off(recording.lines.len().saturating_sub(CALLS_SHOWN)),
            before: state.to_string(),
            crash: crash.to_string(),
            after: self.state.to_string(),
        });
        Ok(())
    }

    fn failure(&self, complaint: Complaint) -> Box<Failure> {
        let nothing = || Failure {
            complaint: String::new(),
            calls: Vec::new(),
            before: String::new(),
            crash: "none".to_string(),
            after: self.state.to_string(),
        };
        Box::new(Failure { complaint, ..self.last.clone().unwrap_or_else(nothing) })
    }
}
