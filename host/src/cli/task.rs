//! Long work as the operator sees it: how far it is, how fast, how long it will take; and its end by a signal.
//!
//! Promises: a bar is drawn only where stderr is a terminal; the first SIGINT or SIGTERM ends the work at its
//! next report of progress.

use std::fmt;
use std::ops::ControlFlow;
use std::time::Instant;

use adapter_api::{EngineError, Watch};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::failure::Failure;
use super::findings::Findings;
use super::interruption::Interruption;
use crate::transfer::Totals;

const BAR: &str = "{msg} {wide_bar} {percent}%  {binary_bytes_per_sec}  {eta} left";
const PLAIN_BAR: &str = "{msg} {wide_bar} {percent}%  {eta} left";

/// A command's work: several steps, one behind the other.
pub struct Task {
    bar: ProgressBar,
    interruption: Interruption,
    findings: Findings,
    started: Instant,
}

impl Task {
    /// Begins, and listens for signals from now on.
    ///
    /// # Errors
    /// If signals cannot be caught.
    pub fn begin(as_json: bool) -> Result<Self, Failure> {
        Ok(Self {
            bar: ProgressBar::hidden(),
            interruption: Interruption::listen()?,
            findings: Findings::new(as_json),
            started: Instant::now(),
        })
    }

    /// The next step, whose progress is counted in bytes.
    pub fn step(&mut self, name: &'static str) {
        self.draw(name, BAR);
    }

    /// The next step, whose progress is counted in units of the engine's own.
    pub fn step_of_engine(&mut self, name: &'static str) {
        self.draw(name, PLAIN_BAR);
    }

    fn draw(&mut self, name: &'static str, template: &str) {
        self.end_step();
        self.bar = ProgressBar::new(0);
        // The templates are ours: were one wrong, a plainer bar would do.
        self.bar.set_style(
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        self.bar.set_message(name);
    }

    /// Takes the bar off the terminal.
    pub fn end_step(&self) {
        self.bar.finish_and_clear();
    }

    /// What was found so far.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Whether a signal has asked for the end.
    pub fn interruption(&self) -> &Interruption {
        &self.interruption
    }

    /// How long the work on so many bytes has taken so far.
    pub fn pace(&self, bytes: u64) -> Pace {
        let seconds = self.started.elapsed().as_secs_f64();
        Pace { seconds, mb_per_second: bytes as f64 / 1e6 / seconds.max(1e-6) }
    }

    /// What was moved, and how fast, for scripts.
    pub fn as_json(&self, totals: &Totals) -> Value {
        let Pace { seconds, mb_per_second } = self.pace(totals.bytes);
        json!({
            "entries": totals.entries,
            "bytes": totals.bytes,
            "digest": totals.digest_text(),
            "seconds": seconds,
            "mb_per_second": mb_per_second,
        })
    }

    /// The same in words.
    pub fn as_text(&self, totals: &Totals) -> String {
        format!("{totals}, {}", self.pace(totals.bytes))
    }
}

/// How long work took, and how fast it went.
pub struct Pace {
    /// Seconds.
    pub seconds: f64,
    /// Millions of bytes in a second.
    pub mb_per_second: f64,
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in {:.1} s, {:.0} MB/s", self.seconds, self.mb_per_second)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.end_step();
    }
}

impl Watch for Task {
    fn progress(&self, done: u64, total: u64) -> ControlFlow<()> {
        self.bar.set_length(total);
        self.bar.set_position(done);
        match self.interruption.signal() {
            None => ControlFlow::Continue(()),
            Some(_) => ControlFlow::Break(()),
        }
    }

    fn finding(&self, finding: EngineError) {
        self.bar.suspend(|| self.findings.finding(finding));
    }
}
