//! The pages: by their numbers, each as it is and as it was for those who hold a point in time.
//!
//! ```text
//! table[id] ─▶ frame (version 9) ─older▶ frame (version 4) ─older▶ frame (version 1)
//!                 never changed            kept for views of 4 … 8    kept for views of 1 … 3
//! table[id] ─▶ frame (version 9) ─older▶ frame that says where the page lies in the data file
//! table[id] ── STORED: the page is as the durable checkpoint has it, and nothing older of it is needed
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
//! Memory is kept to a budget. A newest frame that the durable checkpoint has, with nothing older behind it, may be
//! evicted: STORED takes its place, and it goes through step 3. A read that finds STORED reads the page from the file
//! and puts a frame there, if nobody else did meanwhile. What a reader of epoch e finds so is right: a page that
//! changes behind e leaves something older in its chain until that read is over, and is not evicted before.
//!
//! Where STORED is published over, the older frame says where the page lies, and its place is held (`holds`). Its
//! version is 0, "since ever": nobody looks for a page in a version that does not name it. As hours may pass between two
//! writes, whoever evicts publishes an empty version, so that reads that begin from then on are told apart.
//!
//! Promises: a page that was found stays as long as the `Pin` it was found through; a read of what is in memory takes no
//! lock, allocates nothing, and writes to its own slot alone, and once to a page that was not used for long. Called by
//! `tree`, `edit` and the checkpointer; `pin` reads, `evict` makes room.

use std::collections::BTreeMap;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use adapter_api::{EngineError, Result};
use page::{Kind, Page, PageId};

use crate::dirty::Dirty;
use crate::evict::Numbers;
use crate::map::{Changes, Place};
use crate::pin::Pin;
use crate::places::Places;
use crate::reclaim::{Reclaimer, Superseded};
use crate::slots::Slots;
use crate::space::Extent;
use crate::sync::{AtomicPtr, AtomicU64, Hint, Mutex, Number, lock};
use crate::views::{State, Ticket, Views};

/// The numbers in the first piece of the table; each further one is twice as large.
const FIRST_PIECE: u64 = if cfg!(loom) { 2 } else { 64 };
/// So many pieces hold every number.
const PIECES: usize = if cfg!(loom) { 32 } else { 27 };

/// In the table where the page is as the durable checkpoint has it; no frame has this address.
pub(crate) const STORED: *mut Frame = ptr::without_provenance_mut(1);

/// How often the hand comes by before a page goes that nobody looks at: a leaf or a value, and a branch.
const ROUNDS: (u8, u8) = (1, 3);
/// So many changes of places are taken in at once: readers and the writer wait for that long.
const CHANGES_AT_ONCE: usize = 1024;

/// What a search looks at first: the header of a page, and heads and slots of some 50 keys.
const SEARCHED_BYTES: usize = 512;

/// A page as it was from one version on, or the lack of it.
pub(crate) struct Frame {
    pub(crate) version: u64,
    pub(crate) older: AtomicPtr<Frame>,
    /// How often the hand comes by before the page may go, and the most that this may be.
    rounds: AtomicU8,
    rounds_max: u8,
    pub(crate) content: Content,
    #[cfg(loom)]
    looks: loom::cell::UnsafeCell<()>,
}

/// What a frame says of its page.
pub(crate) enum Content {
    /// It is this.
    Page(Page),
    /// There is none any more.
    Gone,
    /// It lies here in the data file; nothing older is behind this frame.
    Stored(Place),
}

impl Frame {
    pub(crate) fn new(version: u64, older: *mut Self, content: Content) -> Self {
        let rounds_max = match &content {
            Content::Page(page) if page.view().kind() == Kind::Branch => ROUNDS.1,
            _ => ROUNDS.0,
        };
        let (older, rounds) = (AtomicPtr::new(older), AtomicU8::new(0));
        Self {
            version,
            older,
            rounds,
            rounds_max,
            content,
            #[cfg(loom)]
            looks: loom::cell::UnsafeCell::new(()),
        }
    }

    /// A read has come upon the frame: for loom, which then knows whether it is freed behind that.
    pub(crate) fn note_look(&self) {
        #[cfg(loom)]
        self.looks.with(|_| ());
    }

    /// The memory that the frame takes, about.
    pub(crate) fn bytes(&self) -> u64 {
        match &self.content {
            Content::Page(page) => page.view().bytes().len() as u64,
            Content::Gone | Content::Stored(_) => 0,
        }
    }

    /// Somebody looked at the page. Writes only if the hand came by since.
    pub(crate) fn note_use(&self) {
        if self.rounds.load(Ordering::Relaxed) != self.rounds_max {
            self.rounds.store(self.rounds_max, Ordering::Relaxed);
        }
    }

    /// The hand comes by; answers whether nobody looked at the page for long enough.
    pub(crate) fn is_unused(&self) -> bool {
        let rounds = self.rounds.load(Ordering::Relaxed);
        self.rounds.store(rounds.saturating_sub(1), Ordering::Relaxed);
        rounds == 0
    }
}

#[cfg(loom)]
impl Drop for Frame {
    fn drop(&mut self) {
        self.looks.with_mut(|_| ());
    }
}

/// Which frame is the newest of each page.
pub(crate) struct Table {
    pieces: [OnceLock<Box<[Entry]>>; PIECES],
}

/// What the table has of a page.
struct Entry {
    newest: AtomicPtr<Frame>,
    /// Where the bytes of the newest page begin, or of one that was: a hint to fetch them while the frame is looked at.
    bytes: Hint<u8>,
}

impl Table {
    /// The entry of a page; makes the piece that it lies in if need be.
    pub(crate) fn entry(&self, id: PageId) -> &AtomicPtr<Frame> {
        let (piece, at) = Self::place(id);
        let len = (FIRST_PIECE << piece) as usize;
        // SAFETY: zeros are null pointers. Memory that is zero from the start is not touched before it is used, so a
        // high number costs next to nothing.
        #[cfg(not(loom))]
        let empty = || unsafe { Box::new_zeroed_slice(len).assume_init() };
        #[cfg(loom)]
        let empty = || {
            let entry = |_| Entry { newest: AtomicPtr::new(ptr::null_mut()), bytes: Hint::default() };
            (0..len).map(entry).collect()
        };
        &self.pieces[piece].get_or_init(empty)[at].newest
    }

    /// The bytes of a page that is about to be put into the table begin here.
    pub(crate) fn note_bytes(&self, id: PageId, page: &Page) {
        let (piece, at) = Self::place(id);
        if let Some(piece) = self.pieces[piece].get() {
            piece[at].bytes.store(page.view().bytes().as_ptr().cast_mut(), Ordering::Relaxed);
        }
    }

    /// The newest frame of a page, as `newest` does, for a search: its bytes are on their way then.
    pub(crate) fn newest_to_search(&self, id: PageId) -> *mut Frame {
        let (piece, at) = Self::place(id);
        let Some(piece) = self.pieces[piece].get() else { return ptr::null_mut() };
        page::prefetch(piece[at].bytes.load(Ordering::Relaxed), SEARCHED_BYTES);
        piece[at].newest.load(Ordering::Acquire)
    }

    /// The newest frame of a page, or STORED; null if there is none.
    pub(crate) fn newest(&self, id: PageId) -> *mut Frame {
        let (piece, at) = Self::place(id);
        self.pieces[piece].get().map_or(ptr::null_mut(), |piece| piece[at].newest.load(Ordering::Acquire))
    }

    fn place(id: PageId) -> (usize, usize) {
        let number = u64::from(id) + FIRST_PIECE;
        let piece = number.ilog2() - FIRST_PIECE.ilog2();
        (piece as usize, (number - (FIRST_PIECE << piece)) as usize)
    }
}

/// How much memory the pages may take, and do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// What everything may take before pages are evicted.
    pub(crate) cache_bytes: u64,
    /// What superseded pages may take before views end.
    pub(crate) retained_bytes: u64,
}

/// All pages.
pub(crate) struct Frames {
    pub(crate) table: Table,
    pub(crate) slots: Slots,
    pub(crate) published: AtomicU64,
    pub(crate) places: Arc<Places>,
    views: Mutex<Views>,
    pub(crate) reclaimer: Mutex<Reclaimer>,
    pub(crate) bounds: Bounds,
    pub(crate) numbers: Numbers,
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
    /// Bytes of newest frames that the durable checkpoint has not.
    pub(crate) dirty_bytes: u64,
    /// Bytes of all frames, those among them that nobody can find any more, and of what tells where pages are.
    pub(crate) cache_bytes: u64,
    /// Pages that are in the data file alone.
    pub(crate) stored_pages: u64,
    /// Pages that reads found in memory, that they read from the file, and that had to go.
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) evictions: u64,
    /// Views that are open.
    pub(crate) open_views: u64,
    /// Views that were ended for the sake of memory.
    pub(crate) ended_views: u64,
}

impl Frames {
    /// The pages of a durable checkpoint, which is of this version.
    pub(crate) fn new(version: u64, places: Arc<Places>, bounds: Bounds) -> Self {
        let reclaimer = Reclaimer::new(Dirty::none(version));
        let frames = Self {
            table: Table { pieces: [const { OnceLock::new() }; PIECES] },
            slots: Slots::default(),
            published: AtomicU64::new(version.max(1)),
            places,
            views: Mutex::default(),
            reclaimer: Mutex::new(reclaimer),
            bounds,
            numbers: Numbers::default(),
        };
        let (map, mut end) = (frames.places.map(), 0);
        for (id, _) in map.pages() {
            frames.table.entry(id).store(STORED, Ordering::Release);
            end = u64::from(id) + 1;
        }
        frames.numbers.end.store(end, Ordering::Relaxed);
        frames.numbers.stored_pages.store(map.len() as u64, Ordering::Relaxed);
        drop(map);
        frames
    }

    /// Begins a read of what is published.
    pub(crate) fn pin(&self) -> Pin<'_> {
        let taken = self.slots.take(&self.published);
        Pin::new(self, taken.epoch(), taken)
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
            let content = page.map_or(Content::Gone, Content::Page);
            self.put(&mut reclaimer, id, Frame::new(version, ptr::null_mut(), content));
        }
        self.published.store(version, Ordering::SeqCst);
        self.collect(&mut reclaimer);
        std::mem::take(&mut reclaimer.free_ids)
    }

    /// Pages that lie in the file, and that no page names yet, may be found from now on. Their numbers are free.
    pub(crate) fn put_ahead(&self, pages: &BTreeMap<PageId, Place>) {
        let Some((last, _)) = pages.last_key_value() else { return };
        self.places.put_ahead(pages.iter().map(|(id, place)| (*id, *place)));
        let _reclaimer = lock(&self.reclaimer);
        self.numbers.end.fetch_max(u64::from(*last) + 1, Ordering::Relaxed);
        self.numbers.stored_pages.fetch_add(pages.len() as u64, Ordering::Relaxed);
        for id in pages.keys() {
            self.table.entry(*id).store(STORED, Ordering::Release);
        }
    }

    /// Puts a frame in front of what there is of its page.
    fn put(&self, reclaimer: &mut Reclaimer, id: PageId, frame: Frame) {
        let (to, bytes) = (frame.version, frame.bytes());
        frame.note_use();
        reclaimer.dirty.add(bytes);
        self.numbers.resident_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.numbers.end.fetch_max(u64::from(id) + 1, Ordering::Relaxed);
        let entry = self.table.entry(id);
        if let Content::Page(page) = &frame.content {
            self.table.note_bytes(id, page);
        }
        let frame = Box::into_raw(Box::new(frame));
        loop {
            let newest = entry.load(Ordering::Acquire);
            let older = if newest == STORED { self.stored_frame(id) } else { newest };
            // SAFETY: nobody else knows the frame yet.
            unsafe { &*frame }.older.store(older, Ordering::Relaxed);
            if entry.compare_exchange(newest, frame, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return self.supersede(reclaimer, id, newest == STORED, older, to);
            }
            // A read has brought the page into memory meanwhile; only once, for nothing else does without the lock.
            if newest == STORED && !older.is_null() {
                // SAFETY: it was made above and put nowhere.
                drop(unsafe { Box::from_raw(older) });
            }
        }
    }

    /// A frame that says where the durable checkpoint has a page; it may be looked for since ever.
    fn stored_frame(&self, id: PageId) -> *mut Frame {
        let place = self.places.place(id);
        let frame = |place| Box::into_raw(Box::new(Frame::new(0, ptr::null_mut(), Content::Stored(place))));
        place.map_or(ptr::null_mut(), frame)
    }

    /// Notes that a frame has a newer one in front of it since a version.
    fn supersede(&self, reclaimer: &mut Reclaimer, id: PageId, was_stored: bool, older: *mut Frame, to: u64) {
        let Some(frame) = NonNull::new(older) else { return };
        // SAFETY: it is in a chain, and those frames are freed only with the lock of the reclaimer held.
        let superseded = unsafe { frame.as_ref() };
        let (from, bytes) = (superseded.version, superseded.bytes());
        if was_stored {
            self.numbers.stored_pages.fetch_sub(1, Ordering::Relaxed);
        }
        if let Content::Stored(place) = superseded.content {
            reclaimer.holds.name(place.extent);
        }
        reclaimer.dirty.remove(from, bytes);
        reclaimer.supersede(Superseded { id, frame, from, to, bytes });
    }

    /// Frees what nobody can come upon any more, and evicts what is too much.
    pub(crate) fn collect(&self, reclaimer: &mut Reclaimer) {
        self.evict(reclaimer);
        let mut views = lock(&self.views);
        let published = self.published.load(Ordering::Relaxed);
        let oldest = self.slots.oldest();
        views.forget_ended(oldest);
        reclaimer.collect(&views, oldest, published, |id| self.table.entry(id));
        if reclaimer.retained_bytes > self.bounds.retained_bytes && views.end_oldest(published) {
            reclaimer.ended_views += 1;
        }
        drop(views);
        self.numbers.resident_bytes.fetch_sub(reclaimer.take_unlinked_bytes(), Ordering::Relaxed);
        self.numbers.dirty_bytes.store(reclaimer.dirty.bytes(), Ordering::Relaxed);
        if !reclaimer.holds.free.is_empty() {
            self.places.give_back(reclaimer.holds.free.drain(..));
        }
    }

    /// A checkpoint of a version is begun.
    pub(crate) fn begin_checkpoint(&self, version: u64) {
        lock(&self.reclaimer).dirty.begin(version);
    }

    /// The checkpoint that was begun last is durable, and has put pages where it says. It has no need of `spent`.
    pub(crate) fn end_checkpoint(&self, changes: &Changes, spent: Vec<Extent>) {
        for changes in changes.chunks(CHANGES_AT_ONCE) {
            let mut reclaimer = lock(&self.reclaimer);
            let published = self.published.load(Ordering::Relaxed);
            let replaced = self.places.change(changes);
            replaced.into_iter().for_each(|extent| reclaimer.holds.replace(extent, published));
        }
        let mut reclaimer = lock(&self.reclaimer);
        let published = self.published.load(Ordering::Relaxed);
        spent.into_iter().for_each(|extent| reclaimer.holds.replace(extent, published));
        reclaimer.dirty.end();
        self.publish_nothing();
        self.collect(&mut reclaimer);
    }

    /// Publishes a version that is like the one before. The caller has the lock of the reclaimer.
    pub(crate) fn publish_nothing(&self) {
        self.published.store(self.published.load(Ordering::Relaxed) + 1, Ordering::SeqCst);
    }

    /// Registers what is published now; `may_end` if it may be ended for the sake of memory.
    pub(crate) fn open_view(&self, may_end: bool) -> (Ticket, Arc<State>) {
        let mut views = lock(&self.views);
        let published = self.published.load(Ordering::SeqCst);
        views.open(published, may_end)
    }

    /// Forgets a view, and frees what only it held, unless the writer is about to do so. Most views hold nothing.
    pub(crate) fn close_view(&self, ticket: Ticket) {
        lock(&self.views).close(ticket);
        if let Ok(mut reclaimer) = self.reclaimer.try_lock()
            && reclaimer.may_go_on(ticket.0, self.published.load(Ordering::Relaxed))
        {
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
            false => Ok(Pin::new(self, ticket.0, taken)),
        }
    }

    /// What the frames take.
    pub(crate) fn usage(&self) -> FrameUsage {
        let load = |number: &Number| number.load(Ordering::Relaxed);
        let open_views = lock(&self.views).count() as u64;
        let (reclaimer, numbers) = (lock(&self.reclaimer), &self.numbers);
        FrameUsage {
            current_bytes: load(&numbers.resident_bytes).saturating_sub(reclaimer.retained_bytes),
            retained_bytes: reclaimer.retained_bytes,
            retained_frames: reclaimer.retained_frames,
            dirty_bytes: reclaimer.dirty.bytes(),
            cache_bytes: self.cache_bytes() + reclaimer.waiting_bytes,
            stored_pages: load(&numbers.stored_pages),
            hits: self.slots.hits(),
            misses: load(&numbers.misses),
            evictions: load(&numbers.evictions),
            open_views,
            ended_views: reclaimer.ended_views,
        }
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        let entries = self.table.pieces.iter().filter_map(OnceLock::get);
        for entry in entries.flat_map(|piece| piece.iter()) {
            let mut next = entry.newest.load(Ordering::Relaxed);
            while !next.is_null() && next != STORED {
                // SAFETY: nobody reads any more, and a frame is in one chain only: those that were unlinked are in
                // none, and belong to the reclaimer.
                let frame = unsafe { Box::from_raw(next) };
                next = frame.older.load(Ordering::Relaxed);
            }
        }
    }
}
