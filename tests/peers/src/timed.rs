//! Threads that do the same until the time is over, and how often and how fast they did.
//!
//! Promises: an error in any thread ends the run without a figure; no figure counts what was not done.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use bench::latency::Latency;
use fastrand::Rng;

/// How many cheap operations go by between two looks at the clock.
const LOOK_EVERY: u64 = 32;

/// What the threads of a run did.
pub struct Outcome {
    /// Operations a second, of all threads together.
    pub per_second: f64,
    /// How long single operations took, where they were timed.
    pub latency: Latency,
}

/// One thread's part of a run.
pub struct Part {
    /// Random numbers of its own.
    pub random: Rng,
    /// Its number.
    pub thread: usize,
    deadline: Instant,
    done: u64,
    latency: Latency,
}

impl Part {
    /// Whether there is time for one more. For cheap operations, which are not timed one by one.
    pub fn more(&mut self) -> bool {
        self.done += 1;
        if !self.done.is_multiple_of(LOOK_EVERY) || Instant::now() < self.deadline {
            return true;
        }
        self.done -= 1;
        false
    }

    /// Does one operation and records how long it took; answers whether there is time for another.
    pub fn time(&mut self, operation: impl FnOnce() -> Result<()>) -> Result<bool> {
        let began = Instant::now();
        operation()?;
        let now = Instant::now();
        self.latency.record(now - began);
        self.done += 1;
        Ok(now < self.deadline)
    }
}

/// Runs `work` on so many threads; each works until its part says that the time is over. No two runs of a process draw the
/// same numbers: what one has read would be in memory for the other. Every store is given the same.
///
/// # Errors
/// The first error of a thread.
pub fn run(
    threads: usize,
    window: Duration,
    work: impl Fn(&mut Part) -> Result<()> + Sync,
) -> Result<Outcome> {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let seed = RUNS.fetch_add(1, Ordering::Relaxed) << 32;
    let start = Barrier::new(threads);
    let one = |thread: usize| {
        start.wait();
        let began = Instant::now();
        let random = Rng::with_seed(seed + thread as u64 + 1);
        let deadline = began + window;
        let mut part = Part { random, thread, deadline, done: 0, latency: Latency::new() };
        work(&mut part)?;
        Ok((part.done as f64 / began.elapsed().as_secs_f64(), part))
    };
    let parts: Vec<Result<(f64, Part)>> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || one(thread))).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err(anyhow!("a thread of the workload panicked")))
        };
        running.into_iter().map(join).collect()
    });
    let mut outcome = Outcome { per_second: 0.0, latency: Latency::new() };
    for part in parts {
        let (per_second, part) = part?;
        ensure!(part.done > 0, "thread {} did nothing", part.thread);
        outcome.per_second += per_second;
        outcome.latency.add(&part.latency);
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn what_was_done_counts_and_nothing_else() {
        let calls = AtomicU64::new(0);
        let outcome = run(3, Duration::from_millis(30), |part| {
            while part.more() {
                calls.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        });
        // Rates of threads that ran for about 30 ms each add up to the calls in that time.
        let about = calls.into_inner() as f64 / 0.03;
        let found = outcome.unwrap().per_second;
        assert!(found <= about * 1.01, "{found} a second, {about} at most");
    }

    #[test]
    fn timed_operations_are_in_the_histogram() {
        let outcome = run(2, Duration::from_millis(5), |part| {
            let rest = || {
                thread::sleep(Duration::from_millis(1));
                Ok(())
            };
            while part.time(rest)? {}
            Ok(())
        });
        let latency = outcome.unwrap().latency;
        assert!(latency.count() >= 2 && latency.percentile_us(1.0) >= 1000.0);
    }

    #[test]
    fn an_error_of_one_thread_is_the_error_of_the_run() {
        let outcome = run(2, Duration::from_millis(5), |part| {
            ensure!(part.thread == 0, "thread 1 errs");
            while part.more() {}
            Ok(())
        });
        assert_eq!(outcome.err().unwrap().to_string(), "thread 1 errs");
    }
}
