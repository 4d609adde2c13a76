//! Frames that were superseded or evicted, on their way to be freed. The steps stand at the top of `frames`.
//!
//! Promises: what is freed can be found by nobody; a number is free only when every frame of its page is. The time is
//! in proportion to what was superseded, not to what is kept. Called by `frames` and `evict`, one call at a time.

use std::collections::{BTreeMap, VecDeque};
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;

use page::PageId;

use crate::dirty::Dirty;
use crate::frames::{Content, Frame};
use crate::holds::Holds;
use crate::sync::AtomicPtr;
use crate::views::Views;

/// A frame that is not the newest of its page any more.
pub(crate) struct Superseded {
    pub(crate) id: PageId,
    pub(crate) frame: NonNull<Frame>,
    /// The version that it was made in.
    pub(crate) from: u64,
    /// The version that made the next one.
    pub(crate) to: u64,
    pub(crate) bytes: u64,
}

// SAFETY: the pointer is read with the lock of the reclaimer held, and a `Frame` may be read and dropped by any thread.
unsafe impl Send for Superseded {}

/// A frame that is in no chain any more; dropping it frees it. No `Box`, for reads that go on may still pass it.
struct Unlinked(NonNull<Frame>);

// SAFETY: it is touched once, to be dropped, and a `Frame` may be dropped by any thread.
unsafe impl Send for Unlinked {}

impl Drop for Unlinked {
    fn drop(&mut self) {
        // SAFETY: it came from a `Box`, nothing names it, and whoever passed it has gone (see `collect`); or the whole
        // reclaimer is dropped, which nobody reads beside.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// Frames on their way to be freed, and what is known of the others.
#[derive(Default)]
pub(crate) struct Reclaimer {
    /// In the order of `to`.
    superseded: VecDeque<Superseded>,
    /// By the newest view that needs them.
    retained: BTreeMap<u64, Vec<Superseded>>,
    /// What was published when each of them was unlinked, in that order.
    unlinked: VecDeque<(u64, Unlinked)>,
    /// Bytes of those.
    pub(crate) waiting_bytes: u64,
    /// Numbers that may be used again.
    pub(crate) free_ids: Vec<PageId>,
    pub(crate) holds: Holds,
    pub(crate) dirty: Dirty,
    /// The number that is looked at next for a page to evict.
    pub(crate) hand: PageId,
    /// Bytes of frames that are superseded and in a chain.
    pub(crate) retained_bytes: u64,
    /// Bytes of frames that came out of their chains since the last call of `take_unlinked_bytes`.
    unlinked_bytes: u64,
    pub(crate) retained_frames: u64,
    /// Views that were ended for the sake of memory.
    pub(crate) ended_views: u64,
}

impl Reclaimer {
    pub(crate) fn new(dirty: Dirty) -> Self {
        Self { dirty, ..Self::default() }
    }

    pub(crate) fn supersede(&mut self, frame: Superseded) {
        self.retained_bytes += frame.bytes;
        self.retained_frames += 1;
        self.superseded.push_back(frame);
    }

    /// Whether frames may be free to go on, now that a view of a version is closed or a read through it is over.
    pub(crate) fn may_go_on(&self, version: u64, published: u64) -> bool {
        !self.superseded.is_empty()
            || self.retained.contains_key(&version)
            || self.unlinked.front().is_some_and(|(at, _)| *at < published)
    }

    /// A frame that is in no chain since now.
    pub(crate) fn push_unlinked(&mut self, frame: NonNull<Frame>, bytes: u64, published: u64) {
        self.unlinked_bytes += bytes;
        self.waiting_bytes += bytes;
        self.unlinked.push_back((published, Unlinked(frame)));
    }

    /// Bytes of frames that came out of their chains since the last call.
    pub(crate) fn take_unlinked_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.unlinked_bytes)
    }

    /// Goes on with every frame that may go on. `oldest` is the lowest epoch of a read that goes on.
    pub(crate) fn collect<'t>(
        &mut self,
        views: &Views,
        oldest: u64,
        published: u64,
        entry: impl Fn(PageId) -> &'t AtomicPtr<Frame>,
    ) {
        let released: Vec<u64> = self.retained.keys().copied().filter(|it| !views.holds(*it)).collect();
        let mut ready: Vec<Superseded> =
            released.iter().filter_map(|version| self.retained.remove(version)).flatten().collect();
        while self.superseded.front().is_some_and(|frame| frame.to <= oldest) {
            ready.extend(self.superseded.pop_front());
        }
        for frame in ready {
            match views.newest_in(frame.from..frame.to) {
                Some(version) => self.retained.entry(version).or_default().push(frame),
                None => self.unlink(frame, published, &entry),
            }
        }
        let over = oldest.min(published);
        while let Some((_, unlinked)) = self.unlinked.pop_front_if(|(at, _)| *at < over) {
            // SAFETY: it is freed only when it is dropped, behind this.
            let frame = unsafe { unlinked.0.as_ref() };
            self.waiting_bytes -= frame.bytes();
            if let Content::Stored(place) = frame.content {
                self.holds.release(place.extent);
            }
        }
        self.holds.collect(over);
    }

    /// Takes a frame out of its chain, and the chain out of the table if nothing is left of the page.
    fn unlink<'t>(
        &mut self,
        superseded: Superseded,
        published: u64,
        entry: &impl Fn(PageId) -> &'t AtomicPtr<Frame>,
    ) {
        self.retained_bytes -= superseded.bytes;
        self.retained_frames -= 1;
        let newest = entry(superseded.id);
        let mut link = newest;
        while link.load(Ordering::Relaxed) != superseded.frame.as_ptr() {
            // SAFETY: a frame that was not unlinked is in the chain of its page, so the walk ends before a null; and
            // chains are changed and frames freed by this object alone, which is borrowed. A page with something older
            // behind it is not evicted, so the entry is a frame.
            link = unsafe { &(*link.load(Ordering::Relaxed)).older };
        }
        // SAFETY: it is in the chain, so it is allocated.
        let older = unsafe { superseded.frame.as_ref() }.older.load(Ordering::Relaxed);
        link.store(older, Ordering::Release);
        self.push_unlinked(superseded.frame, superseded.bytes, published);

        let Some(top) = NonNull::new(newest.load(Ordering::Relaxed)) else { return };
        // SAFETY: what is in the table is allocated, as above.
        let frame = unsafe { top.as_ref() };
        if matches!(frame.content, Content::Gone) && frame.older.load(Ordering::Relaxed).is_null() {
            newest.store(ptr::null_mut(), Ordering::Release);
            self.push_unlinked(top, 0, published);
            self.free_ids.push(superseded.id);
        }
    }
}
