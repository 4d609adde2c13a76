//! Makes room: pages that the data file has, and that nobody looked at for long, leave memory.
//!
//! ```text
//!            hand ─▶
//! table   [ STORED | frame, used | frame, unused, clean | frame, dirty | null | … ]      by number, in a circle
//!                     is unused     STORED from now on     stays
//!                     next time
//! ```
//!
//! Numbers whose page is not in memory cost the hand a quarter of a cache line each, so it needs no list of the others.
//!
//! Promises: what goes is the newest of its page, with nothing older behind it, and exactly what the durable checkpoint
//! has. Pages go many at a time, so that empty versions are few. Called behind each cold read and each write.

use std::ptr::NonNull;
use std::sync::atomic::Ordering;

use page::PageId;

use crate::frames::{Content, Frames, STORED};
use crate::reclaim::Reclaimer;
use crate::sync::Number;

/// Pages go when no more than two such parts of the budget are left, until there are three. What went takes memory a
/// little longer, until reads are over.
const PART: u64 = 64;
/// Memory that it takes to know where a page is, in the table and in the map.
const BYTES_A_NUMBER: u64 = 28;
/// The hand goes past so many numbers at once at most. What it did not find then, it finds the next time.
const STEPS_MAX: u64 = 1 << 16;
/// The hand goes around so often at most.
const TURNS_MAX: u64 = 4;

/// What is read without a lock. Each is exact when nothing goes on.
#[derive(Default)]
pub(crate) struct Numbers {
    /// Bytes of frames that are in a chain.
    pub(crate) resident_bytes: Number,
    /// Bytes of newest pages that the durable checkpoint has not.
    pub(crate) dirty_bytes: Number,
    /// Pages that are STORED.
    pub(crate) stored_pages: Number,
    /// No page has this number, or one above.
    pub(crate) end: Number,
    pub(crate) misses: Number,
    pub(crate) evictions: Number,
}

impl Frames {
    /// The memory that counts: of pages in chains, and of what tells where pages are.
    pub(crate) fn cache_bytes(&self) -> u64 {
        let index = self.numbers.end.load(Ordering::Relaxed) * BYTES_A_NUMBER;
        self.numbers.resident_bytes.load(Ordering::Relaxed) + index
    }

    /// Bytes of newest pages that the durable checkpoint has not.
    pub(crate) fn dirty_bytes(&self) -> u64 {
        self.numbers.dirty_bytes.load(Ordering::Relaxed)
    }

    /// Whether there are pages that are not in memory.
    pub(crate) fn has_stored(&self) -> bool {
        self.numbers.stored_pages.load(Ordering::Relaxed) > 0
    }

    /// How much is too much.
    fn full_bytes(&self) -> u64 {
        self.bounds.cache_bytes - 2 * (self.bounds.cache_bytes / PART)
    }

    /// Evicts what is too much, unless somebody is about to do so.
    pub(crate) fn make_room(&self) {
        if self.cache_bytes() > self.full_bytes()
            && let Ok(mut reclaimer) = self.reclaimer.try_lock()
        {
            self.collect(&mut reclaimer);
        }
    }

    /// Evicts what is too much.
    pub(crate) fn evict(&self, reclaimer: &mut Reclaimer) {
        let used = self.cache_bytes();
        if used <= self.full_bytes() {
            return;
        }
        let mut wanted = used - (self.full_bytes() - self.bounds.cache_bytes / PART).min(used);
        let end = self.numbers.end.load(Ordering::Relaxed);
        let mut evicted = 0;
        for _ in 0..(end * TURNS_MAX).min(STEPS_MAX) {
            if wanted == 0 {
                break;
            }
            let next = if u64::from(reclaimer.hand) + 1 < end { reclaimer.hand + 1 } else { 0 };
            reclaimer.hand = next;
            if let Some(bytes) = self.evict_one(reclaimer, next) {
                wanted = wanted.saturating_sub(bytes);
                evicted += 1;
            }
        }
        if evicted > 0 {
            self.numbers.evictions.fetch_add(evicted, Ordering::Relaxed);
            self.publish_nothing();
        }
    }

    /// Evicts a page if it may go; answers how many bytes it had.
    fn evict_one(&self, reclaimer: &mut Reclaimer, id: PageId) -> Option<u64> {
        let newest = self.table.newest(id);
        if newest == STORED {
            return None;
        }
        let newest = NonNull::new(newest)?;
        // SAFETY: what is in the table is freed only with the lock of the reclaimer held.
        let frame = unsafe { newest.as_ref() };
        let is_alone = frame.older.load(Ordering::Relaxed).is_null();
        let may_go =
            is_alone && matches!(frame.content, Content::Page(_)) && reclaimer.dirty.is_clean(frame.version);
        if !may_go || !frame.is_unused() {
            return None;
        }
        // Before it can be found, so that a read that brings it back takes from what was added.
        self.numbers.stored_pages.fetch_add(1, Ordering::Relaxed);
        // Nobody else changes an entry that is a frame without the lock of the reclaimer.
        self.table.entry(id).store(STORED, Ordering::Release);
        let bytes = frame.bytes();
        reclaimer.push_unlinked(newest, bytes, self.published.load(Ordering::Relaxed));
        Some(bytes)
    }
}
