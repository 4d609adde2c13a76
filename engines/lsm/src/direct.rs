//! Memtables that go down directly: a merge takes them as they are, and not a table that a flush has made of them.
//!
//! ```text
//! flush     memtable ─▶ table of level 0 ─▶ merge with level 0 and what is below ─▶ level below
//! directly  memtable ─────────────────────▶ the same merge ───────────────────────▶ level below
//! ```
//!
//! Where the next flush would make level 0 so full that it is merged, its table would live for that merge alone. A picker sees
//! the memtables as the newest run of level 0, so that what it plans is right by the same rules; only what is written
//! is less. The memtables are held back from flushes meanwhile, so the merge has to be short: a few memtables of tables. When
//! others wait behind them, they are taken back.
//!
//! Promises: if the merge fails or is given up, the memtables are flushed as others are. Called by the flush lane, and by
//! `compact`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use adapter_api::environment::Lanes;
use adapter_api::{Direction, KeyRange, Result};
use wal::lock;

use crate::memtable::{Memtable, MemtableWalk};
use crate::picker::{self, PickOptions, Plan, RunShape, Shape, TableShape};
use crate::ranges::Ranges;
use crate::store::{COMPACTION_LANE, FLUSH_LANE, Merging, Store};
use crate::table::behind;
use crate::version::TableInfo;
use crate::walk::Walk;

/// The tables of such a merge are as long as so many memtables, at most.
const TABLES_MEMTABLES: u64 = 4;

/// No flush takes memtables while this lives.
pub(crate) struct Held {
    are_held: Arc<AtomicBool>,
    lanes: Arc<dyn Lanes>,
}

impl Held {
    pub(crate) fn new(store: &Store) -> Self {
        store.are_held.store(true, Ordering::Release);
        Self { are_held: Arc::clone(&store.are_held), lanes: Arc::clone(&store.lanes) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.are_held.store(false, Ordering::Release);
        self.lanes.wake(FLUSH_LANE);
    }
}

impl Store {
    /// Whether a merge holds memtables.
    pub(crate) fn holds_memtables(&self) -> bool {
        self.are_held.load(Ordering::Acquire)
    }

    /// Begins to merge memtables that would be flushed now, if their table would be merged at once; answers whether it
    /// has. The caller is the flusher.
    pub(crate) fn begin_directly(&self, memtables: &[Arc<Memtable>]) -> Result<bool> {
        // A merge is under way, or is about to be.
        let Ok(mut compactor) = self.compactor.try_lock() else { return Ok(false) };
        let waiting = self.catalog.sources().sealed.len();
        // When they are behind, memtables would be taken back at once.
        let is_late = memtables.len() < waiting || self.flushes_are_behind() || !compactor.is_empty();
        if is_late || self.numbers.compaction.is_troubled() || self.owes_a_merge() {
            return Ok(false);
        }
        self.take_down(&mut compactor, memtables, |shape, options, _| picker::pick(shape, options))
    }

    fn owes_a_merge(&self) -> bool {
        picker::pick(&self.shape(), &self.pick_options()).is_some()
    }

    /// Takes memtables from a merge if so many wait behind them that writes would wait too: to flush all is shorter.
    pub(crate) fn take_back_what_is_late(&self) {
        if self.holds_memtables() && self.flushes_are_behind() {
            self.take_back(&mut lock(&self.compactor));
        }
    }

    /// Takes memtables from a merge, so that they can be flushed.
    pub(crate) fn take_back(&self, compactor: &mut Vec<Merging>) {
        self.give_up_merges(compactor, |merging| merging.held.is_some());
    }

    /// Begins what `pick` plans of a shape in which memtables are a run of level 0 with the number that it is told, if that
    /// takes them along; answers whether it does. The caller is the flusher.
    pub(crate) fn take_down(
        &self,
        compactor: &mut Vec<Merging>,
        memtables: &[Arc<Memtable>],
        pick: impl FnOnce(&Shape, &PickOptions, u64) -> Option<Plan>,
    ) -> Result<bool> {
        let (mut shape, number) = (self.shape(), self.catalog.next_id());
        let Some(run) = run_of(memtables, number)? else { return Ok(false) };
        shape.levels.resize_with(shape.levels.len().max(1), Vec::new);
        shape.levels[0].insert(0, run);
        let Some(mut plan) = pick(&shape, &self.pick_options(), number) else { return Ok(false) };
        let takes_them = plan.tables().any(|id| id == number) && !plan.is_move;
        plan.inputs.retain(|(_, ids)| *ids != [number]);
        let is_short = shape.bytes_of(&plan) <= TABLES_MEMTABLES * self.settings.memtable_bytes;
        let is_alone = compactor.iter().all(|merging| plan.includes(merging.compaction.plan()));
        if !takes_them || !is_short || !is_alone {
            return Ok(false);
        }
        self.give_up_merges(compactor, |_| true);
        compactor.push(self.begin(plan, memtables)?);
        self.lanes.wake(COMPACTION_LANE);
        Ok(true)
    }

    /// Gives up merges that are under way: what they have written so far is worth nothing.
    fn give_up_merges(&self, compactor: &mut Vec<Merging>, is_one: impl Fn(&Merging) -> bool) {
        for merging in compactor.extract_if(.., |merging| is_one(merging)) {
            self.remove(merging.compaction.abandon());
        }
        self.catalog.bury();
    }
}

/// The run of level 0 that a flush of these memtables would make, as a picker sees it; none, if they say nothing.
fn run_of(memtables: &[Arc<Memtable>], number: u64) -> Result<Option<RunShape>> {
    let (all, mut ranges, mut bounds) = (KeyRange::all(), Ranges::default(), Vec::new());
    let (mut entries, mut bytes) = (0, 0);
    for memtable in memtables {
        ranges.add_all(memtable.ranges());
        let found = memtable.estimate(all);
        (entries, bytes) = (entries + found.0, bytes + found.1);
        for direction in [Direction::Forward, Direction::Reverse] {
            let mut walk = MemtableWalk::new(memtable, memtable.snapshot(), all, direction);
            if walk.advance()? {
                bounds.push((Arc::<[u8]>::from(walk.key()), behind(walk.key()).map(Arc::from)));
            }
        }
    }
    bounds.extend(ranges.spans().iter().map(|span| (Arc::clone(&span.start), span.end.clone())));
    let Some(lower) = bounds.iter().map(|(lower, _)| Arc::clone(lower)).min() else { return Ok(None) };
    let is_bounded = bounds.iter().all(|(_, upper)| upper.is_some());
    let upper = bounds.into_iter().filter_map(|(_, upper)| upper).max().filter(|_| is_bounded);
    // How many of the entries delete nobody has counted; one makes the picker careful.
    let info = TableInfo {
        id: number,
        bytes,
        lower,
        upper,
        entries,
        tombstones: 1,
        data_bytes: bytes,
        blobs: Vec::new(),
    };
    Ok(Some(RunShape { number, tables: vec![TableShape { info, ranges }] }))
}
