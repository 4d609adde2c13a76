//! A read that is going on: every page of one version, from memory or from the data file.
//!
//! Promises: a page that was found stays as long as the pin. What is in memory is found without a lock; what is not takes
//! one read of the file. Superseded pages that are in the file alone stay with the pin that read them, and go with it:
//! nobody is likely to come by again, and they must not take the place of what is new. Called by `tree`, `edit` and the
//! page writer.

use std::cell::{Cell, OnceCell};
use std::ptr;
use std::sync::atomic::Ordering;

use adapter_api::{EngineError, Result};
use page::{Page, PageId, PageRef};

use crate::frames::{Content, Frame, Frames, STORED};
use crate::map::Place;
use crate::slots::Taken;

/// Every page of one version, for as long as this lives.
pub(crate) struct Pin<'a> {
    frames: &'a Frames,
    version: u64,
    taken: Taken<'a>,
    hits: Cell<u64>,
    own: Own,
}

/// Pages that were read for one pin alone, one behind the other.
#[derive(Default)]
struct Own(OnceCell<Box<(Place, Page, Own)>>);

/// Where a page is.
enum Found<'a> {
    Memory(&'a Page),
    /// In the data file, where the map says.
    Stored,
    /// In the data file, and superseded.
    StoredAt(Place),
    Nowhere,
}

impl<'a> Pin<'a> {
    /// A read in a slot that was taken, of a version that stays.
    pub(crate) fn new(frames: &'a Frames, version: u64, taken: Taken<'a>) -> Self {
        Self { frames, version, taken, hits: Cell::new(0), own: Own::default() }
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        self.taken.add_hits(self.hits.get());
    }
}

impl Pin<'_> {
    fn find(&self, id: PageId) -> Found<'_> {
        self.find_and(id, |frame| {
            frame.note_use();
            self.hits.set(self.hits.get() + 1);
        })
    }

    /// A page as it is in this version, if it is in memory; the cache does not learn of it.
    pub(crate) fn peek(&self, id: PageId) -> Option<PageRef<'_>> {
        match self.find_and(id, |_| {}) {
            Found::Memory(page) => Some(page.view()),
            _ => None,
        }
    }

    fn find_and(&self, id: PageId, note: impl FnOnce(&Frame)) -> Found<'_> {
        let mut next = self.frames.table.newest_to_search(id);
        if next == STORED {
            return Found::Stored;
        }
        // SAFETY: frames in a chain are freed only once no slot shows an epoch at or below the one that was published
        // when they were unlinked; ours does, for it was taken before this and is given back after the borrow ends.
        while let Some(frame) = unsafe { next.as_ref() } {
            frame.note_look();
            if frame.version <= self.version {
                return match &frame.content {
                    Content::Page(page) => {
                        note(frame);
                        Found::Memory(page)
                    }
                    Content::Stored(place) => Found::StoredAt(*place),
                    Content::Gone => Found::Nowhere,
                };
            }
            next = frame.older.load(Ordering::Acquire);
        }
        Found::Nowhere
    }

    /// A page as it is in this version, if there is one. May wait for a device.
    ///
    /// # Errors
    /// `Corrupt` if the file does not have what was written to it; `Failed` if it cannot be read.
    pub(crate) fn get(&self, id: PageId) -> Result<Option<&Page>> {
        match self.find(id) {
            Found::Memory(page) => Ok(Some(page)),
            Found::Nowhere => Ok(None),
            Found::Stored | Found::StoredAt(_) => self.load(id),
        }
    }

    /// A page as it is in this version. May wait for a device.
    ///
    /// # Errors
    /// As `get`, and `Failed` if there is none: some other page names one that is not there.
    pub(crate) fn page(&self, id: PageId) -> Result<PageRef<'_>> {
        self.get(id)?.map(Page::view).ok_or_else(|| self.missing(id))
    }

    /// A page that lies in the file and that no version has yet.
    ///
    /// # Errors
    /// As `get`.
    pub(crate) fn page_at(&self, id: PageId, place: Place) -> Result<PageRef<'_>> {
        self.own.find_or_read(place, || self.frames.places.read_at(id, place)).map(Page::view)
    }

    /// A page as it is in this version; `None` if only a device can tell.
    ///
    /// # Errors
    /// `Failed` if there is none.
    pub(crate) fn resident(&self, id: PageId) -> Result<Option<PageRef<'_>>> {
        match self.find(id) {
            Found::Memory(page) => Ok(Some(page.view())),
            Found::StoredAt(place) => Ok(self.own.find(place).map(Page::view)),
            Found::Stored => Ok(None),
            Found::Nowhere => Err(self.missing(id)),
        }
    }

    /// Whether the page may be there in this version; it is, if the version is the newest.
    pub(crate) fn may_have(&self, id: PageId) -> bool {
        !matches!(self.find(id), Found::Nowhere)
    }

    /// Looks at a page without keeping it in memory; there is `None` if there is none in this version.
    pub(crate) fn look_at<R>(
        &self,
        id: PageId,
        look: impl FnOnce(Option<PageRef<'_>>) -> Result<R>,
    ) -> Result<R> {
        loop {
            match self.find(id) {
                Found::Memory(page) => return look(Some(page.view())),
                Found::Nowhere => return look(None),
                Found::StoredAt(place) => {
                    let page = self.frames.places.read_at(id, place)?;
                    return look(Some(page.view()).filter(|page| page.version() <= self.version));
                }
                Found::Stored => match self.read_stored(id)? {
                    Some(page) if page.view().version() <= self.version => return look(Some(page.view())),
                    _ if self.is_stored(id) => return look(None),
                    // A checkpoint changed the map meanwhile; what was asked for is superseded now.
                    _ => {}
                },
            }
        }
    }

    /// Brings those of the pages into memory that are not, in one go.
    pub(crate) fn read_ahead(&self, ids: &[PageId]) -> Result<()> {
        let pages = self.frames.places.read_ahead(ids)?;
        for page in pages {
            self.install(page.view().id(), page);
        }
        self.frames.make_room();
        Ok(())
    }

    #[cold]
    fn load(&self, id: PageId) -> Result<Option<&Page>> {
        let page = loop {
            match self.find(id) {
                Found::Memory(page) => break page,
                Found::Nowhere => return Ok(None),
                Found::StoredAt(place) => {
                    break self.own.find_or_read(place, || self.frames.places.read_at(id, place))?;
                }
                Found::Stored => {
                    let Some(page) = self.read_stored(id)? else { continue };
                    let Some(page) = self.install(id, page) else { continue };
                    self.frames.make_room();
                    break page;
                }
            }
        };
        Ok((page.view().version() <= self.version).then_some(page))
    }

    /// Reads a page from where the map says; `None` if it is not STORED any more.
    fn read_stored(&self, id: PageId) -> Result<Option<Page>> {
        match self.frames.places.read(id)? {
            None if self.is_stored(id) => Err(self.missing(id)),
            page => Ok(page),
        }
    }

    /// Whether the page is in the data file alone, and as new as can be.
    pub(crate) fn is_stored(&self, id: PageId) -> bool {
        self.frames.table.newest(id) == STORED
    }

    /// Puts a page that was read where STORED is; `None` if somebody was faster.
    fn install(&self, id: PageId, page: Page) -> Option<&Page> {
        let (version, bytes) = (page.view().version(), page.view().bytes().len() as u64);
        self.frames.table.note_bytes(id, &page);
        let frame = Box::into_raw(Box::new(Frame::new(version, ptr::null_mut(), Content::Page(page))));
        let (entry, numbers) = (self.frames.table.entry(id), &self.frames.numbers);
        numbers.misses.fetch_add(1, Ordering::Relaxed);
        // Before it can be found, so that whoever takes it out again takes from what was added.
        numbers.resident_bytes.fetch_add(bytes, Ordering::Relaxed);
        if entry.compare_exchange(STORED, frame, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            numbers.resident_bytes.fetch_sub(bytes, Ordering::Relaxed);
            // SAFETY: it was made above, and nobody else has seen it.
            drop(unsafe { Box::from_raw(frame) });
            return None;
        }
        numbers.stored_pages.fetch_sub(1, Ordering::Relaxed);
        // SAFETY: it was in the table behind the taking of our slot, so it is freed only when that is given back.
        match unsafe { &(*frame).content } {
            Content::Page(page) => Some(page),
            Content::Gone | Content::Stored(_) => None,
        }
    }

    fn missing(&self, id: PageId) -> EngineError {
        EngineError::failed(format!("page {id} is missing in version {}", self.version))
    }
}

impl Own {
    fn find(&self, place: Place) -> Option<&Page> {
        let pages = std::iter::successors(self.0.get(), |read| read.2.0.get());
        pages.map(|read| (read.0, &read.1)).find(|(read, _)| *read == place).map(|(_, page)| page)
    }

    fn find_or_read(&self, place: Place, read: impl FnOnce() -> Result<Page>) -> Result<&Page> {
        if let Some(page) = self.find(place) {
            return Ok(page);
        }
        let page = read()?;
        let mut last = self;
        while let Some(read) = last.0.get() {
            last = &read.2;
        }
        Ok(&last.0.get_or_init(|| Box::new((place, page, Self::default()))).1)
    }
}
