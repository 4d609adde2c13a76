//! What lanes have done, what went wrong, and how long writes waited: for `metrics`, and to try again in time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use adapter_api::Metric;
use wal::lock;

use crate::compaction::Compaction;
use crate::store::RETRY_AFTER;
use crate::version::LEVELS_MAX;

/// What one lane does.
#[derive(Default)]
pub(crate) struct Work {
    steps: AtomicU64,
    done: AtomicU64,
    bytes: AtomicU64,
    failures: AtomicU64,
    waits: AtomicU64,
    waited_nanos: AtomicU64,
    is_troubled: AtomicBool,
    /// When to begin again after a failure, by the monotone clock.
    retry_at: Mutex<Option<Duration>>,
}

impl Work {
    /// How long until it may begin again.
    pub(crate) fn wait(&self, now: Duration) -> Option<Duration> {
        lock(&self.retry_at).and_then(|at| at.checked_sub(now)).filter(|wait| !wait.is_zero())
    }

    /// Whether what was tried last failed.
    pub(crate) fn is_troubled(&self) -> bool {
        self.is_troubled.load(Ordering::Relaxed)
    }

    /// How many steps there were, to see whether the lane is run at all.
    pub(crate) fn steps(&self) -> u64 {
        self.steps.load(Ordering::Acquire)
    }

    pub(crate) fn note_step(&self) {
        self.steps.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn note_done(&self, bytes: u64) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.is_troubled.store(false, Ordering::Relaxed);
        *lock(&self.retry_at) = None;
    }

    /// Answers whether nobody knows of it yet.
    pub(crate) fn note_failure(&self, now: Duration) -> bool {
        self.note_step();
        self.failures.fetch_add(1, Ordering::Relaxed);
        *lock(&self.retry_at) = Some(now + RETRY_AFTER);
        !self.is_troubled.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn note_wait(&self, waited: Duration) {
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.waited_nanos.fetch_add(u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The numbers of one lane; `noun` is what it does, once, `nouns` is more of that.
    fn report(&self, noun: &str, nouns: &str, metrics: &mut Vec<Metric>) {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed) as f64;
        metrics.extend([
            Metric::counter(nouns, load(&self.done)),
            Metric::counter(format!("{noun}_written_bytes"), load(&self.bytes)),
            Metric::counter(format!("{noun}_failures"), load(&self.failures)),
            Metric::counter("apply_waits", load(&self.waits)).label("reason", noun),
            Metric::counter("apply_waited_seconds", load(&self.waited_nanos) / 1e9).label("reason", noun),
        ]);
    }
}

/// The numbers of the store.
#[derive(Default)]
pub(crate) struct Numbers {
    pub(crate) flush: Work,
    pub(crate) compaction: Work,
    /// Bytes that compactions read from each level, and wrote into it.
    levels: Mutex<[(u64, u64); LEVELS_MAX]>,
    /// Bytes that compaction owed when tables changed last.
    pub(crate) debt: AtomicU64,
    /// How many of them merges under way have paid.
    pub(crate) paid: AtomicU64,
    /// How many make writes wait until there are less.
    pub(crate) debt_bound: AtomicU64,
    /// Runs of level 0.
    pub(crate) runs: AtomicU64,
    /// Bytes written that have not yet waited for their part of compaction.
    pub(crate) unpaid_bytes: AtomicU64,
}

impl Numbers {
    /// A compaction has done its work.
    pub(crate) fn note_compaction(&self, compaction: &Compaction) {
        let mut levels = lock(&self.levels);
        for (level, bytes) in compaction.bytes_read() {
            levels[usize::from(level)].0 += bytes;
        }
        levels[usize::from(compaction.plan().target.level)].1 += compaction.bytes_written().0;
    }

    pub(crate) fn report(&self) -> Vec<Metric> {
        let mut metrics = Vec::new();
        self.flush.report("flush", "flushes", &mut metrics);
        self.compaction.report("compaction", "compactions", &mut metrics);
        for (level, (read, written)) in lock(&self.levels).iter().enumerate() {
            let of_level = |metric: Metric| metric.label("level", level.to_string());
            metrics.push(of_level(Metric::counter("level_read_bytes", *read as f64)));
            metrics.push(of_level(Metric::counter("level_written_bytes", *written as f64)));
        }
        metrics
    }
}
