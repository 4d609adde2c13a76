//! Who reads now: a slot for each read that is going on, with the version at which it began.
//!
//! ```text
//! reader                                        writer
//! 1  e = published                              1  published = w
//! 2  slot = e                                   2  look at all slots
//! 3  published is still e? else e again, 2
//! ```
//!
//! All of it is sequentially consistent, so one of the two sees the other: either the writer finds the slot, or the
//! reader finds that the version moved and takes the new one. What the writer frees by what it saw, no reader that it
//! did not see can come upon. A reader never waits: it takes another round only if a version was published meanwhile.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sync::{AtomicU64, Number, sequential};

/// How many slots are made at once; more reads than that at the same time make more.
const SLOTS: usize = if cfg!(loom) {
    3
} else if cfg!(miri) {
    4
} else {
    64
};
/// In a slot that nobody has taken.
const FREE: u64 = 0;

/// A slot on cache lines of its own, so that readers do not slow each other down.
#[repr(align(128))]
struct Slot {
    epoch: AtomicU64,
    /// Pages that reads in this slot found in memory; changed by whoever has taken it.
    hits: Number,
}

impl Slot {
    fn free() -> Self {
        Self { epoch: AtomicU64::new(FREE), hits: 0.into() }
    }
}

/// Slots for all reads that go on.
pub(crate) struct Slots {
    slots: [Slot; SLOTS],
    more: OnceLock<Box<Slots>>,
}

impl Default for Slots {
    fn default() -> Self {
        Self { slots: std::array::from_fn(|_| Slot::free()), more: OnceLock::new() }
    }
}

/// A slot that was taken. Dropping it gives it back.
pub(crate) struct Taken<'a> {
    slot: &'a Slot,
    epoch: u64,
}

impl Taken<'_> {
    /// The version that was published when the read began.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Counts pages that were found in memory.
    pub(crate) fn add_hits(&self, hits: u64) {
        let before = self.slot.hits.load(Ordering::Relaxed);
        self.slot.hits.store(before + hits, Ordering::Relaxed);
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.slot.epoch.store(FREE, Ordering::Release);
    }
}

/// Where a thread looks for a free slot first.
fn first_choice() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local!(static CHOICE: Cell<usize> = const { Cell::new(usize::MAX) });
    let choose = |choice: &Cell<usize>| {
        if choice.get() == usize::MAX {
            choice.set(NEXT.fetch_add(1, Ordering::Relaxed) % SLOTS);
        }
        choice.get()
    };
    CHOICE.try_with(choose).unwrap_or(0)
}

impl Slots {
    /// Takes a slot for a read that begins now.
    pub(crate) fn take(&self, published: &AtomicU64) -> Taken<'_> {
        let mut epoch = published.load(Ordering::SeqCst);
        let slot = self.find_free(epoch);
        loop {
            sequential();
            let now = published.load(Ordering::SeqCst);
            if now == epoch {
                return Taken { slot, epoch };
            }
            epoch = now;
            slot.epoch.store(epoch, Ordering::SeqCst);
        }
    }

    fn find_free(&self, epoch: u64) -> &Slot {
        let (mut slots, first) = (self, first_choice());
        loop {
            for at in 0..SLOTS {
                let slot = &slots.slots[(first + at) % SLOTS];
                if slot.epoch.load(Ordering::Relaxed) == FREE
                    && slot.epoch.compare_exchange(FREE, epoch, Ordering::SeqCst, Ordering::Relaxed).is_ok()
                {
                    return slot;
                }
            }
            slots = slots.more.get_or_init(Box::default);
        }
    }

    /// The lowest version at which a read began that may still go on; `u64::MAX` if none does.
    pub(crate) fn oldest(&self) -> u64 {
        sequential();
        let epochs = self.all().map(|slot| slot.epoch.load(Ordering::SeqCst));
        epochs.filter(|epoch| *epoch != FREE).min().unwrap_or(u64::MAX)
    }

    /// How many pages were found in memory.
    pub(crate) fn hits(&self) -> u64 {
        self.all().map(|slot| slot.hits.load(Ordering::Relaxed)).sum()
    }

    fn all(&self) -> impl Iterator<Item = &Slot> {
        let pieces = std::iter::successors(Some(self), |slots| slots.more.get().map(|more| &**more));
        pieces.flat_map(|slots| &slots.slots)
    }
}
