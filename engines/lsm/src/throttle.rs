//! How writes wait for the work behind them: not at all, then a little, then for all of it.
//!
//! ```text
//! debt of compaction      none ──────────▶ half of the bound ──────────▶ the bound
//! a MiB that is written   waits for nothing      waits for more and more steps      waits until there is less
//! ```
//!
//! A step of a lane writes about a MiB, so what a writer waits for is in proportion to what it writes, and grows with the
//! square of how far the debt is over half of its bound: there is no point where writes stop at once. Memtables that wait
//! to be flushed count in the same way: three of them are the bound. Promises: writes do not wait for a lane that nobody
//! runs or that fails; then memory is bounded by refusing them. After the analysis of stalls by Luo and Carey, "On
//! Performance Stability in LSM-based Storage Systems" (PVLDB 2019). Called by `apply`, and by `pressure`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use adapter_api::{EngineError, Lane, Pressure, Result};

use crate::numbers::Work;
use crate::picker;
use crate::store::{COMPACTION_LANE, FLUSH_LANE, Store};
use crate::version::Level;

/// So many sealed memtables make writes wait until there are less.
const SEALED_MAX: usize = 3;
/// So many make writes be refused, when none can be flushed.
const SEALED_REFUSED: usize = 6;
/// So many runs of level 0 make writes wait until there are less.
const RUNS_MAX: u64 = 20;
/// A store owes this many memtables of compaction before writes wait until it owes less.
const DEBT_MEMTABLES: u64 = 24;
/// And no less than the last level divided by this.
const DEBT_PART: u64 = 4;
/// How many steps a MiB waits for, just below the bound.
const STEPS_MOST: u64 = 16;
/// What is written between two looks at the debt, in bytes.
const LOOK_BYTES: u64 = 1 << 20;

/// What is behind, and how far: in percent of what makes writes wait until it is less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Lag {
    percent: u64,
    lane: Lane,
    reason: &'static str,
}

impl Lag {
    fn is_at_the_bound(&self) -> bool {
        self.percent >= 100
    }
}

impl Store {
    fn flush_lag(&self) -> Lag {
        let sealed = self.catalog.sources().sealed.len();
        Lag {
            percent: (100 * sealed / SEALED_MAX) as u64,
            lane: FLUSH_LANE,
            reason: "memtables wait to be flushed",
        }
    }

    fn compaction_lag(&self) -> Lag {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let owed = load(&self.numbers.debt).saturating_sub(load(&self.numbers.paid));
        let by_debt = 100 * owed / load(&self.numbers.debt_bound).max(1);
        let by_runs = 100 * load(&self.numbers.runs) / RUNS_MAX;
        let reason = match by_debt > by_runs {
            true => "compaction owes much work",
            false => "level 0 has many runs that are not merged yet",
        };
        Lag { percent: by_debt.max(by_runs), lane: COMPACTION_LANE, reason }
    }

    /// Looks how much compaction owes. Called when tables have changed.
    pub(crate) fn look_at_debt(&self) {
        if !self.settings.style.merges() {
            return;
        }
        let (shape, options) = (self.shape(), self.pick_options());
        let version = Arc::clone(&self.catalog.sources().version);
        let last = version.levels.iter().rev().map(Level::bytes).find(|bytes| *bytes > 0).unwrap_or(0);
        let bound = (DEBT_MEMTABLES * self.settings.memtable_bytes).max(last / DEBT_PART);
        let runs = version.levels.first().map_or(0, |level| level.runs.len()) as u64;
        self.numbers.debt.store(picker::debt_bytes(&shape, &options), Ordering::Relaxed);
        self.numbers.debt_bound.store(bound, Ordering::Relaxed);
        self.numbers.runs.store(runs, Ordering::Relaxed);
    }

    fn work(&self, lane: Lane) -> &Work {
        if lane == FLUSH_LANE { &self.numbers.flush } else { &self.numbers.compaction }
    }

    /// Whether so many memtables wait to be flushed that writes wait too.
    pub(crate) fn flushes_are_behind(&self) -> bool {
        self.flush_lag().is_at_the_bound()
    }

    /// Waits for as much work as so many bytes have to wait for.
    pub(crate) fn wait_for_lanes(&self, bytes: u64) {
        self.wait_while_behind(Self::flush_lag);
        let unpaid = self.numbers.unpaid_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if unpaid < LOOK_BYTES {
            return;
        }
        self.numbers.unpaid_bytes.fetch_sub(unpaid, Ordering::Relaxed);
        let over = self.compaction_lag().percent.clamp(50, 100) - 50;
        let steps = STEPS_MOST * (unpaid / LOOK_BYTES) * over * over / 2500;
        for _ in 0..steps {
            if !self.wait_for_step(COMPACTION_LANE) {
                return;
            }
        }
        self.wait_while_behind(Self::compaction_lag);
    }

    fn wait_while_behind(&self, lag: impl Fn(&Self) -> Lag) {
        let mut lagging = lag(self);
        while lagging.is_at_the_bound() && self.wait_for_step(lagging.lane) {
            lagging = lag(self);
        }
    }

    /// Waits for a step of a lane; answers whether there was one, and whether more is worth waiting for.
    fn wait_for_step(&self, lane: Lane) -> bool {
        let work = self.work(lane);
        if work.is_troubled() {
            return false;
        }
        let (steps, since) = (work.steps(), self.clock.monotonic());
        self.lanes.wait_for(lane);
        work.note_wait(self.clock.monotonic().saturating_sub(since));
        steps != work.steps()
    }

    pub(crate) fn pressure(&self) -> Pressure {
        let mut worst = self.flush_lag();
        let compaction = self.compaction_lag();
        if compaction.percent > worst.percent {
            worst = compaction;
        }
        // While a lane fails, nobody waits for it.
        let most = if self.work(worst.lane).is_troubled() { 99 } else { 100 };
        match (worst.percent.max(50) - 50) * 2 {
            0 => Pressure::none(),
            level => Pressure { level: level.min(most) as u8, reason: worst.reason.to_string() },
        }
    }

    /// Refuses more when memtables cannot be flushed: memory is bounded too. Deletes are refused later than puts.
    pub(crate) fn refuse_what_no_flush_takes(&self, has_puts: bool) -> Result<()> {
        let most = if has_puts { SEALED_REFUSED } else { 2 * SEALED_REFUSED };
        let is_full = self.numbers.flush.is_troubled() && self.catalog.sources().sealed.len() >= most;
        match is_full {
            true => Err(EngineError::full(
                "memory is full of memtables that could not be flushed; see the log for why, and free some space",
            )),
            false => Ok(()),
        }
    }
}
