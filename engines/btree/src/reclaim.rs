//! Frames that were superseded, on their way to be freed. The three steps stand at the top of `frames`.
//!
//! Promises: what is freed can be found by nobody; a number is free only when every frame of its page is. The time is
//! in proportion to what was superseded, not to what is kept. Called by `frames`, one call at a time.

use std::collections::{BTreeMap, VecDeque};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

use page::PageId;

use crate::frames::{Frame, FrameUsage};
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

/// Frames on their way to be freed.
#[derive(Default)]
pub(crate) struct Reclaimer {
    /// In the order of `to`.
    superseded: VecDeque<Superseded>,
    /// By the newest view that needs them.
    retained: BTreeMap<u64, Vec<Superseded>>,
    /// What was published when each of them was unlinked, in that order.
    unlinked: VecDeque<(u64, Unlinked)>,
    /// Numbers that may be used again.
    pub(crate) free_ids: Vec<PageId>,
    /// Bytes of the newest frames.
    pub(crate) current_bytes: u64,
    /// Bytes of frames that are superseded and not freed.
    pub(crate) retained_bytes: u64,
    frames: u64,
    /// Views that were ended for the sake of memory.
    pub(crate) ended_views: u64,
}

impl Reclaimer {
    pub(crate) fn supersede(&mut self, frame: Superseded) {
        self.current_bytes -= frame.bytes;
        self.retained_bytes += frame.bytes;
        self.frames += 1;
        self.superseded.push_back(frame);
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
        while self.unlinked.front().is_some_and(|(at, _)| *at < oldest.min(published)) {
            self.unlinked.pop_front();
        }
    }

    /// Takes a frame out of its chain, and the chain out of the table if nothing is left of the page.
    fn unlink<'t>(
        &mut self,
        superseded: Superseded,
        published: u64,
        entry: &impl Fn(PageId) -> &'t AtomicPtr<Frame>,
    ) {
        self.retained_bytes -= superseded.bytes;
        self.frames -= 1;
        let newest = entry(superseded.id);
        let mut link = newest;
        while link.load(Ordering::Relaxed) != superseded.frame.as_ptr() {
            // SAFETY: a frame that was not unlinked is in the chain of its page, so the walk ends before a null; and
            // chains are changed and frames freed by this object alone, which is borrowed.
            link = unsafe { &(*link.load(Ordering::Relaxed)).older };
        }
        // SAFETY: it is in the chain, so it is allocated.
        let older = unsafe { superseded.frame.as_ref() }.older.load(Ordering::Relaxed);
        link.store(older, Ordering::Release);
        self.unlinked.push_back((published, Unlinked(superseded.frame)));

        let Some(top) = NonNull::new(newest.load(Ordering::Relaxed)) else { return };
        // SAFETY: what is in the table is allocated, as above.
        let frame = unsafe { top.as_ref() };
        if frame.page.is_none() && frame.older.load(Ordering::Relaxed).is_null() {
            newest.store(ptr::null_mut(), Ordering::Release);
            self.unlinked.push_back((published, Unlinked(top)));
            self.free_ids.push(superseded.id);
        }
    }

    pub(crate) fn usage(&self) -> FrameUsage {
        FrameUsage {
            current_bytes: self.current_bytes,
            retained_bytes: self.retained_bytes,
            retained_frames: self.frames,
            open_views: 0,
            ended_views: self.ended_views,
        }
    }
}
