//! The cache of blocks: which of them are in memory, and which leave it when room is needed.
//!
//! ```text
//! table ─▶ slots [ block | - | - | block | block | … ]      one for each block of the table: a hit is one load
//!                     ▲                    ▲
//! clock    [ (slots, 0), (slots, 3), … ] ──┘                a hand goes around: what nobody looked at since goes
//! ```
//!
//! Where there is no room, most blocks that are read stay outside (`ADMITTED`). The system's page cache has those for a while,
//! so the two caches hold different blocks: together they hold more, and a long scan takes the place of few.
//!
//! One budget covers blocks, what tables hold in memory for as long as they are open, and what memtables take; blocks
//! have what is left of it. Promises: a block that somebody has stays with him when its slot is cleared; slots change
//! under one lock, and a hit takes none. Called by tables, and by the store, which says what memtables take.

use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use arc_swap::{ArcSwapOption, Guard};
use wal::lock;

use crate::table::{Block, FilterUsage};

/// Blocks have so much at least, whatever else takes memory.
const FLOOR_BYTES: u64 = 1 << 20;
/// The hand passes so many blocks that are used at most, so that no reader waits while it goes all around: where nearly
/// all are used, one is as good as another.
const PASSED_MAX: usize = 64;
/// One of so many blocks that are read where there is no room comes in. Which, chance decides: a block that is read often has
/// many. With fewer the page cache would hold the same blocks again; with more, hot ones would come in late.
const ADMITTED: u64 = 8;
/// What a table takes beside what it counts.
const TABLE_BYTES: u64 = 512;

/// Header, heads and slots of a page with some fifty entries, in bytes: what a search touches first.
const SEARCHED_BYTES: usize = 512;

/// The room for one block.
#[derive(Default)]
struct Slot {
    block: ArcSwapOption<Block>,
    /// Where it lies itself and where its page begins, for the processor to fetch before the block is looked at. Nobody else
    /// follows them: the block may have gone.
    holder: AtomicPtr<u8>,
    page: AtomicPtr<u8>,
}

/// What the cache holds, and what came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct CacheUsage {
    /// Of blocks.
    pub(crate) bytes: u64,
    /// Of indexes, filters and slots of open tables.
    pub(crate) pinned: u64,
    /// Blocks that were there, about.
    pub(crate) hits: u64,
    /// Blocks that were read from the file.
    pub(crate) misses: u64,
    pub(crate) evictions: u64,
    /// Of filters of tables that are gone.
    pub(crate) past_filters: FilterUsage,
}

/// The blocks of all open tables that are in memory.
pub(crate) struct Cache {
    budget: u64,
    reserved: AtomicU64,
    hits: AtomicU64,
    clock: Mutex<Clock>,
}

/// What changes under the lock.
#[derive(Default)]
struct Clock {
    entries: Vec<Entry>,
    /// Which entry is looked at next; 0 if there is none.
    hand: usize,
    /// Entries of tables that are gone.
    stale: usize,
    usage: CacheUsage,
}

/// A slot with a block.
struct Entry {
    slots: Weak<[Slot]>,
    number: u32,
}

impl Entry {
    /// Whether somebody looked at the block; the note of it is gone then.
    fn take_use(&self) -> bool {
        let Some(slots) = self.slots.upgrade() else { return false };
        slots[self.number as usize].block.load().as_ref().is_some_and(|block| block.take_use())
    }
}

impl Cache {
    /// A cache with a budget in bytes.
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        let (reserved, hits) = (AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { budget: bytes, reserved, hits, clock: Mutex::default() })
    }

    /// Says how much of the budget others take: memtables.
    pub(crate) fn set_reserved(&self, bytes: u64) {
        self.reserved.store(bytes, Ordering::Relaxed);
        self.make_room(&mut lock(&self.clock));
    }

    /// What it holds now, and what came of it so far.
    pub(crate) fn usage(&self) -> CacheUsage {
        CacheUsage { hits: self.hits.load(Ordering::Relaxed), ..lock(&self.clock).usage }
    }

    /// Counts blocks that were there.
    pub(crate) fn note_hits(&self, count: u64) {
        self.hits.fetch_add(count, Ordering::Relaxed);
    }

    /// What blocks may take.
    fn limit(&self, clock: &Clock) -> u64 {
        let taken = clock.usage.pinned + self.reserved.load(Ordering::Relaxed);
        self.budget.saturating_sub(taken).max(FLOOR_BYTES)
    }

    /// Whether the block that was read last comes in.
    fn admits(&self, clock: &Clock, block: &Block) -> bool {
        clock.usage.bytes + block.bytes() <= self.limit(clock) || clock.usage.misses.is_multiple_of(ADMITTED)
    }

    /// Evicts blocks until the rest fits.
    fn make_room(&self, clock: &mut Clock) {
        let limit = self.limit(clock);
        while clock.usage.bytes > limit && !clock.entries.is_empty() {
            clock.evict();
        }
    }
}

impl Clock {
    /// There are entries: evicts the next block that nobody looked at since the hand was there, or the one behind many others.
    fn evict(&mut self) {
        let mut passed = 0;
        while passed < PASSED_MAX && self.entries[self.hand].take_use() {
            self.go_on();
            passed += 1;
        }
        let Entry { slots, number } = self.entries.swap_remove(self.hand);
        if self.hand == self.entries.len() {
            self.hand = 0;
        }
        match slots.upgrade() {
            Some(slots) => {
                if let Some(block) = slots[number as usize].block.swap(None) {
                    self.usage.bytes -= block.bytes();
                    self.usage.evictions += 1;
                }
            }
            None => self.stale = self.stale.saturating_sub(1),
        }
    }

    /// Adds an entry where the hand comes last.
    fn add(&mut self, entry: Entry) {
        self.entries.push(entry);
        let last = self.entries.len() - 1;
        self.entries.swap(self.hand, last);
        self.go_on();
    }

    /// Moves the hand to the next entry.
    fn go_on(&mut self) {
        self.hand = if self.hand + 1 < self.entries.len() { self.hand + 1 } else { 0 };
    }
}

/// The blocks of one table.
pub(crate) struct Slots {
    slots: Arc<[Slot]>,
    cache: Arc<Cache>,
    pinned: u64,
}

impl Slots {
    /// Room for `count` blocks of a table that holds `pinned` more bytes for as long as it is open.
    pub(crate) fn new(cache: &Arc<Cache>, count: usize, pinned: u64) -> Self {
        let slots: Arc<[Slot]> = (0..count).map(|_| Slot::default()).collect();
        let pinned = pinned + size_of_val(&*slots) as u64 + TABLE_BYTES;
        lock(&cache.clock).usage.pinned += pinned;
        Self { slots, cache: Arc::clone(cache), pinned }
    }

    /// Has the processor fetch what `prefetch` looks at.
    #[inline]
    pub(crate) fn prefetch_slot(&self, number: usize) {
        page::prefetch(std::ptr::from_ref(&self.slots[number]).cast(), size_of::<Slot>());
    }

    /// Has the processor fetch what a search of the block looks at first, if it is in memory.
    #[inline]
    pub(crate) fn prefetch(&self, number: usize) {
        page::prefetch(self.slots[number].holder.load(Ordering::Relaxed), size_of::<Block>());
        page::prefetch(self.slots[number].page.load(Ordering::Relaxed), SEARCHED_BYTES);
    }

    /// The block, if it is in memory.
    #[inline]
    pub(crate) fn get(&self, number: usize) -> Guard<Option<Arc<Block>>> {
        self.prefetch(number);
        let found = self.slots[number].block.load();
        if let Some(block) = &*found {
            block.touch();
        }
        found
    }

    /// Puts a block there that was read, if the cache admits it. If somebody else was faster, his is there and is answered.
    pub(crate) fn put(&self, number: usize, block: Block) -> Arc<Block> {
        let mut clock = lock(&self.cache.clock);
        clock.usage.misses += 1;
        let slot = &self.slots[number];
        if let Some(there) = slot.block.load_full() {
            return there;
        }
        let block = Arc::new(block);
        if !self.cache.admits(&clock, &block) {
            return block;
        }
        clock.usage.bytes += block.bytes();
        slot.holder.store(Arc::as_ptr(&block).cast_mut().cast(), Ordering::Relaxed);
        slot.page.store(block.page().bytes().as_ptr().cast_mut(), Ordering::Relaxed);
        slot.block.store(Some(Arc::clone(&block)));
        clock.add(Entry { slots: Arc::downgrade(&self.slots), number: number as u32 });
        self.cache.make_room(&mut clock);
        block
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Keeps what is known of the filter of a table that goes.
    pub(crate) fn bequeath(&self, filter: FilterUsage) {
        let past = &mut lock(&self.cache.clock).usage.past_filters;
        *past = *past + filter;
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        let mut clock = lock(&self.cache.clock);
        clock.usage.pinned -= self.pinned;
        for block in self.slots.iter().filter_map(|slot| slot.block.swap(None)) {
            clock.usage.bytes -= block.bytes();
            clock.stale += 1;
        }
        // Now and then, so that it costs little for each.
        if 2 * clock.stale > clock.entries.len() {
            let gone = Arc::as_ptr(&self.slots);
            clock.entries.retain(|entry| {
                !std::ptr::addr_eq(entry.slots.as_ptr(), gone) && entry.slots.strong_count() > 0
            });
            (clock.stale, clock.hand) = (0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Sought;
    use crate::table::tests::{Dice, Shelf};

    #[test]
    fn nothing_is_kept_of_tables_that_are_gone() {
        let (shelf, model) = (Shelf::new(), Dice(2).model(2_000));
        for id in 0..30 {
            let table = shelf.table(id, &model);
            for key in model.keys() {
                table.find(&Sought::new(key, true), |_| Ok(())).unwrap();
            }
        }
        let clock = lock(&shelf.cache.clock);
        assert!(clock.usage.misses > 1_000 && clock.usage.evictions == 0, "{:?}", clock.usage);
        assert_eq!((clock.usage.bytes, clock.usage.pinned, clock.entries.len()), (0, 0, 0));
    }
}
