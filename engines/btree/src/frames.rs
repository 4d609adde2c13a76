//! The pages in memory: by their numbers, each as it is and as it was for those who hold a point in time.
//!
//! ```text
//! table[id] ─▶ frame (version 9) ─older▶ frame (version 4) ─older▶ frame (version 1)
//!                 never changed            kept for views of 4 … 8    kept for views of 1 … 3
//! ```
//!
//! A frame is never changed once it can be found. The writer puts the frames of version w into the table while
//! readers are at w − 1: they walk on to what is older. Then it publishes w. A removed page is a frame without a page,
//! until nobody needs what is behind it; only then its number may be used again.
//!
//! Who may look at a frame P that was made in `from` and superseded in `to`: reads that began before `to` was
//! published, and reads through a view of a version in `from .. to`. Others may only pass it: reads through older
//! views. So P goes in three steps:
//! 1. superseded: until no slot shows an epoch below `to`;
//! 2. retained: while a view of `from .. to` is registered;
//! 3. unlinked, when x is published: until no slot shows an epoch of x or below. Then it is freed.
//!
//! Promises: a page that was found stays as long as the `Pin` it was found through; a read takes no lock, allocates
//! nothing, and writes to its own slot alone. Called by `tree`, `edit` and the checkpointer.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use adapter_api::{EngineError, Result};
use page::{Page, PageId, PageRef};
use wal::lock;

use crate::reclaim::{Reclaimer, Superseded};
use crate::slots::{Slots, Taken};
use crate::views::{State, Ticket, Views};

/// The numbers in the first piece of the table; each further one is twice as large.
const FIRST_PIECE: u64 = 64;
/// So many pieces hold every number.
const PIECES: usize = 27;

/// A page as it was from one version on, or the lack of it.
pub(crate) struct Frame {
    pub(crate) version: u64,
    pub(crate) older: AtomicPtr<Frame>,
    pub(crate) page: Option<Page>,
}

impl Frame {
    /// The memory that the frame takes, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.page.as_ref().map_or(0, |page| page.view().bytes().len() as u64)
    }
}

/// Which frame is the newest of each page.
struct Table {
    pieces: [OnceLock<Box<[AtomicPtr<Frame>]>>; PIECES],
}

impl Table {
    /// The entry of a page; makes the piece that it lies in if need be.
    fn entry(&self, id: PageId) -> &AtomicPtr<Frame> {
        let (piece, at) = Self::place(id);
        let len = (FIRST_PIECE << piece) as usize;
        // SAFETY: zeros are null pointers. Memory that is zero from the start is not touched before it is used, so a
        // high number costs next to nothing.
        let empty = || unsafe { Box::new_zeroed_slice(len).assume_init() };
        &self.pieces[piece].get_or_init(empty)[at]
    }

    /// The newest frame of a page; null if there is none.
    fn newest(&self, id: PageId) -> *mut Frame {
        let (piece, at) = Self::place(id);
        self.pieces[piece].get().map_or(ptr::null_mut(), |piece| piece[at].load(Ordering::Acquire))
    }

    fn place(id: PageId) -> (usize, usize) {
        let number = u64::from(id) + FIRST_PIECE;
        let piece = number.ilog2() - FIRST_PIECE.ilog2();
        (piece as usize, (number - (FIRST_PIECE << piece)) as usize)
    }
}

/// All pages in memory.
pub(crate) struct Frames {
    table: Table,
    slots: Slots,
    published: AtomicU64,
    views: Mutex<Views>,
    reclaimer: Mutex<Reclaimer>,
    /// What superseded pages may take before views end.
    retained_bytes_max: u64,
}

/// What the frames take and hold.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct FrameUsage {
    /// Bytes of the newest frame of each page.
    pub(crate) current_bytes: u64,
    /// Bytes of frames that only views or reads may still need.
    pub(crate) retained_bytes: u64,
    /// Frames of that kind.
    pub(crate) retained_frames: u64,
    /// Views that are open.
    pub(crate) open_views: u64,
    /// Views that were ended for the sake of memory.
    pub(crate) ended_views: u64,
}

impl Frames {
    /// These pages, as they are in a version from 1 on. Views end when more than `retained_bytes_max` bytes of
    /// superseded pages are kept.
    pub(crate) fn new(version: u64, pages: Vec<Page>, retained_bytes_max: u64) -> Self {
        let frames = Self {
            table: Table { pieces: [const { OnceLock::new() }; PIECES] },
            slots: Slots::default(),
            published: AtomicU64::new(version),
            views: Mutex::default(),
            reclaimer: Mutex::default(),
            retained_bytes_max,
        };
        let mut reclaimer = lock(&frames.reclaimer);
        for page in pages {
            let id = page.view().id();
            let frame = Box::new(Frame { version, older: AtomicPtr::new(ptr::null_mut()), page: Some(page) });
            reclaimer.current_bytes += frame.bytes();
            frames.table.entry(id).store(Box::into_raw(frame), Ordering::Release);
        }
        drop(reclaimer);
        frames
    }

    /// Begins a read of what is published.
    pub(crate) fn pin(&self) -> Pin<'_> {
        let taken = self.slots.take(&self.published);
        Pin { frames: self, version: taken.epoch(), _taken: taken }
    }

    /// Makes the pages of an edit visible at one instant; `None` is a page that is removed. Returns the numbers that
    /// may be used again. The caller has the writer's turn.
    pub(crate) fn publish(&self, changes: impl Iterator<Item = (PageId, Option<Page>)>) -> Vec<PageId> {
        let mut reclaimer = lock(&self.reclaimer);
        let version = self.published.load(Ordering::Relaxed) + 1;
        for (id, mut page) in changes {
            if let Some(page) = &mut page {
                page.set_version(version);
            }
            let entry = self.table.entry(id);
            let older = entry.load(Ordering::Relaxed);
            let frame = Box::new(Frame { version, older: AtomicPtr::new(older), page });
            reclaimer.current_bytes += frame.bytes();
            entry.store(Box::into_raw(frame), Ordering::Release);
            if let Some(frame) = ptr::NonNull::new(older) {
                // SAFETY: `older` was in the table, and what is in the table is freed only with the lock held.
                let (from, bytes) = unsafe { (frame.as_ref().version, frame.as_ref().bytes()) };
                reclaimer.supersede(Superseded { id, frame, from, to: version, bytes });
            }
        }
        self.published.store(version, Ordering::SeqCst);
        self.collect(&mut reclaimer);
        std::mem::take(&mut reclaimer.free_ids)
    }

    /// Frees what nobody can come upon any more.
    fn collect(&self, reclaimer: &mut Reclaimer) {
        let mut views = lock(&self.views);
        let published = self.published.load(Ordering::Relaxed);
        let oldest = self.slots.oldest();
        views.forget_ended(oldest);
        reclaimer.collect(&views, oldest, published, |id| self.table.entry(id));
        if reclaimer.retained_bytes > self.retained_bytes_max && views.end_oldest(published) {
            reclaimer.ended_views += 1;
        }
    }

    /// Registers what is published now; `may_end` if it may be ended for the sake of memory.
    pub(crate) fn open_view(&self, may_end: bool) -> (Ticket, Arc<State>) {
        let mut views = lock(&self.views);
        let published = self.published.load(Ordering::SeqCst);
        views.open(published, may_end)
    }

    /// Forgets a view, and frees what only it held, unless the writer is about to do so.
    pub(crate) fn close_view(&self, ticket: Ticket) {
        lock(&self.views).close(ticket);
        if let Ok(mut reclaimer) = self.reclaimer.try_lock() {
            self.collect(&mut reclaimer);
        }
    }

    /// Begins a read of a registered version.
    ///
    /// # Errors
    /// `ViewTooOld` if the view was ended.
    pub(crate) fn pin_view(&self, ticket: Ticket, state: &State) -> Result<Pin<'_>> {
        let taken = self.slots.take(&self.published);
        match state.is_ended() {
            true => Err(EngineError::ViewTooOld),
            false => Ok(Pin { frames: self, version: ticket.0, _taken: taken }),
        }
    }

    /// What the frames take.
    pub(crate) fn usage(&self) -> FrameUsage {
        let open_views = lock(&self.views).count() as u64;
        let reclaimer = lock(&self.reclaimer);
        FrameUsage { open_views, ..reclaimer.usage() }
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        let entries = self.table.pieces.iter_mut().filter_map(OnceLock::get_mut);
        for entry in entries.flat_map(|piece| piece.iter_mut()) {
            let mut next = *entry.get_mut();
            while !next.is_null() {
                // SAFETY: nobody reads any more, and a frame is in one chain only: those that were unlinked are in
                // none, and belong to the reclaimer.
                let mut frame = unsafe { Box::from_raw(next) };
                next = *frame.older.get_mut();
            }
        }
    }
}

/// A read that is going on: every page of one version, for as long as this lives.
pub(crate) struct Pin<'a> {
    frames: &'a Frames,
    version: u64,
    _taken: Taken<'a>,
}

impl Pin<'_> {
    /// A page as it is in this version, if there is one.
    pub(crate) fn get(&self, id: PageId) -> Option<&Page> {
        let mut next = self.frames.table.newest(id);
        // SAFETY: frames in a chain are freed only once no slot shows an epoch at or below the one that was published
        // when they were unlinked; ours does, for it was taken before this and is given back after the borrow ends.
        while let Some(frame) = unsafe { next.as_ref() } {
            if frame.version <= self.version {
                return frame.page.as_ref();
            }
            next = frame.older.load(Ordering::Acquire);
        }
        None
    }

    /// A page as it is in this version.
    ///
    /// # Errors
    /// `Failed` if there is none: some other page names one that is not there.
    pub(crate) fn page(&self, id: PageId) -> Result<PageRef<'_>> {
        let missing = || EngineError::failed(format!("page {id} is missing in version {}", self.version));
        self.get(id).map(Page::view).ok_or_else(missing)
    }
}
