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
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How many slots are made at once; more reads than that at the same time make more.
const SLOTS: usize = if cfg!(miri) { 4 } else { 64 };
/// In a slot that nobody has taken.
const FREE: u64 = 0;

/// A slot on cache lines of its own, so that readers do not slow each other down.
#[repr(align(128))]
struct Slot(AtomicU64);

/// Slots for all reads that go on.
pub(crate) struct Slots {
    slots: [Slot; SLOTS],
    more: OnceLock<Box<Slots>>,
}

impl Default for Slots {
    fn default() -> Self {
        Self { slots: [const { Slot(AtomicU64::new(FREE)) }; SLOTS], more: OnceLock::new() }
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
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.slot.0.store(FREE, Ordering::Release);
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
            let now = published.load(Ordering::SeqCst);
            if now == epoch {
                return Taken { slot, epoch };
            }
            epoch = now;
            slot.0.store(epoch, Ordering::SeqCst);
        }
    }

    fn find_free(&self, epoch: u64) -> &Slot {
        let (mut slots, first) = (self, first_choice());
        loop {
            for at in 0..SLOTS {
                let slot = &slots.slots[(first + at) % SLOTS];
                if slot.0.load(Ordering::Relaxed) == FREE
                    && slot.0.compare_exchange(FREE, epoch, Ordering::SeqCst, Ordering::Relaxed).is_ok()
                {
                    return slot;
                }
            }
            slots = slots.more.get_or_init(Box::default);
        }
    }

    /// The lowest version at which a read began that may still go on; `u64::MAX` if none does.
    pub(crate) fn oldest(&self) -> u64 {
        let (mut slots, mut oldest) = (Some(self), u64::MAX);
        while let Some(some) = slots {
            for slot in &some.slots {
                let epoch = slot.0.load(Ordering::SeqCst);
                if epoch != FREE {
                    oldest = oldest.min(epoch);
                }
            }
            slots = some.more.get().map(|more| &**more);
        }
        oldest
    }
}
