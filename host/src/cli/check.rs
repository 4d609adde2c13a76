//! `check`: judges an engine case by case, and says which badges it earned.
//!
//! Promises: each case runs in a process of its own, with bounds on its time and memory, so an engine that crashes,
//! hangs or eats memory is a finding and no end of this program; not even the plugin's description is read here. A
//! finding names the command that shows it again. What is left of a cancelled check is nothing.

mod case_process;
mod report;

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use conformance::{Badge, Case, Certificate, Outcome, Standing, Time, all_cases, case_named};

use super::arguments::CheckArguments;
use super::failure::Failure;
use super::output;
pub use case_process::check_case;
use case_process::{CaseProcess, Described};

/// How many cases run side by side at most: more would only wait for the same disk.
const SIDE_BY_SIDE: usize = 4;
/// The part of the time that is given to cases that roll dice: each may overdraw its own by a life.
const SHARED_PARTS: f64 = 0.85;
/// The least time that such a case gets.
const SHARE_LEAST: Duration = Duration::from_millis(300);

/// Judges an engine.
pub fn check(arguments: &CheckArguments) -> Result<(), Failure> {
    let begun = Instant::now();
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))
            .map_err(|error| Failure::Check(format!("cannot catch signals: {error}")))?;
    }
    let process = CaseProcess::new(arguments, &interrupted)?;
    let engine = process.describe()?;
    let process = process.of(&engine);
    let certificate = match &arguments.case {
        Some(name) => run_one(&process, name, arguments)?,
        None => run_all(&process, Duration::from_secs(arguments.time), begun),
    };
    if interrupted.load(Ordering::Relaxed) {
        return Err(Failure::Ended {
            code: 130,
            message: "interrupted; no certificate was made".to_string(),
        });
    }
    let text = match arguments.json {
        true => report::as_json(arguments, &engine, &certificate),
        false => report::as_text(arguments, &engine, &certificate, begun.elapsed()),
    };
    output::answer(&text)?;
    judge(arguments, &engine, &certificate)
}

/// Whether the certificate is the one asked for; one without findings, if nothing was asked for.
fn judge(arguments: &CheckArguments, engine: &Described, certificate: &Certificate) -> Result<(), Failure> {
    let (name, failed) = (&engine.name, certificate.badges(Standing::Failed));
    let level = arguments.level.as_ref().map(|level| level.parse::<Badge>()).transpose();
    match level.map_err(Failure::Usage)? {
        Some(level) => {
            let is_missing =
                |badge: &Badge| *badge <= level && certificate.standing(*badge) != Standing::Earned;
            let missing: Vec<_> = Badge::ALL.into_iter().filter(is_missing).map(Badge::code).collect();
            match missing.is_empty() {
                true => Ok(()),
                false => Err(Failure::Check(format!("{name} is below {level}: no {}", missing.join(" ")))),
            }
        }
        None if failed.is_empty() => Ok(()),
        None => Err(Failure::Check(format!("{name} failed {}", failed.join(" ")))),
    }
}

fn run_one(
    process: &CaseProcess<'_>,
    name: &str,
    arguments: &CheckArguments,
) -> Result<Certificate, Failure> {
    let case = case_named(name).ok_or_else(|| {
        Failure::Usage(format!("there is no case {name:?}; `check --json` lists the names of all of them"))
    })?;
    let mut certificate = Certificate::default();
    certificate.add(case, process.run(&case, Duration::from_secs(arguments.time)));
    Ok(certificate)
}

/// First what is done once, then what rolls dice in the time that is left.
fn run_all(process: &CaseProcess<'_>, time: Duration, begun: Instant) -> Certificate {
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(SIDE_BY_SIDE);
    let progress = Progress { count: all_cases().len(), is_shown: io::stderr().is_terminal() };
    let certificate = Mutex::new(Certificate::default());
    let shares = |case: &Case| if let Time::Share(parts) = case.time { parts } else { 0 };
    let (once, mut shared): (Vec<_>, Vec<_>) = all_cases().into_iter().partition(|case| shares(case) == 0);
    let once = once.into_iter().map(|case| (case, Duration::ZERO)).collect();
    run_side_by_side(process, workers, once, &certificate, &progress);
    let parts: u32 = shared.iter().map(shares).sum();
    let left = time.saturating_sub(begun.elapsed());
    let part = left.mul_f64(SHARED_PARTS * workers as f64 / f64::from(parts.max(1)));
    shared.sort_by_key(|case| std::cmp::Reverse(shares(case)));
    let share = |case: Case| (case, (part * shares(&case)).min(left).max(SHARE_LEAST));
    run_side_by_side(process, workers, shared.into_iter().map(share).collect(), &certificate, &progress);
    progress.end();
    certificate.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn run_side_by_side(
    process: &CaseProcess<'_>,
    workers: usize,
    cases: VecDeque<(Case, Duration)>,
    certificate: &Mutex<Certificate>,
    progress: &Progress,
) {
    let cases = Mutex::new(cases);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = cases.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((case, time)) = next.filter(|_| !process.is_interrupted()) else { break };
                    let outcome = process.run(&case, time);
                    let mut certificate = certificate.lock().unwrap_or_else(PoisonError::into_inner);
                    certificate.add(case, outcome);
                    progress.show(&certificate, &case);
                }
            });
        }
    });
}

/// One line that changes, for people who wait at a terminal.
struct Progress {
    count: usize,
    is_shown: bool,
}

impl Progress {
    fn show(&self, certificate: &Certificate, last: &Case) {
        if !self.is_shown {
            return;
        }
        let done = certificate.outcomes().count();
        let is_failed = |outcome: &Outcome| matches!(outcome, Outcome::Failed(_));
        let failed = certificate.outcomes().filter(|(_, outcome)| is_failed(outcome)).count();
        let count = self.count;
        // A line that cannot be shown is no reason to stop.
        let _ = write!(
            io::stderr(),
            "\r\u{1b}[K{done} of {count} cases, {failed} failed; {} {}",
            last.badge,
            last.name
        );
    }

    fn end(&self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\u{1b}[K");
        }
    }
}
