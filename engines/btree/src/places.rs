//! The pages that lie in the data file: where each one does, and reading it from there; and which blocks are free.
//!
//! They are those of the durable checkpoint, and those that were written *ahead* of the one that will name them (`pending`).
//!
//! Whoever reads asks for the place, lets go of the map, and then reads the file. So a place is not used again when the
//! map names another one, but when nobody reads there any more; `holds` says when that is.
//!
//! Promises: a lock is held for a look alone, never for I/O but that of cutting the file. Shared by `frames`, which
//! reads, the checkpointer, which changes the map, and whoever writes pages.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use adapter_api::{EngineError, Result};
use page::{Page, PageId};
use wal::lock;

use crate::data_file::DataFile;
use crate::map::{PageMap, Place};
use crate::space::{Extent, Space};

/// Pages of more bytes than this are not read ahead.
const AHEAD_BYTES_MAX: u64 = 256 << 10;
/// So many pages are read ahead at once.
pub(crate) const AHEAD_PAGES_MAX: usize = 64;

/// Where the pages are that lie in the file.
#[derive(Default)]
pub(crate) struct Places {
    file: OnceLock<DataFile>,
    /// The durable checkpoint.
    map: RwLock<PageMap>,
    /// Pages that no durable checkpoint names yet; they count where both have one of a number.
    ahead: RwLock<PageMap>,
    space: Mutex<Space>,
}

impl Places {
    /// The pages of a durable checkpoint in this file, and what is free in it.
    pub(crate) fn new(file: DataFile, map: PageMap, space: Space) -> Self {
        let (file, map, space) = (file.into(), RwLock::new(map), Mutex::new(space));
        Self { file, map, ahead: RwLock::default(), space }
    }

    /// The data file, if there is one.
    pub(crate) fn file(&self) -> Option<&DataFile> {
        self.file.get()
    }

    /// The data file, which is this one if there was none.
    pub(crate) fn file_or(&self, file: DataFile) -> &DataFile {
        self.file.get_or_init(|| file)
    }

    /// What is free, for whoever takes some now and then.
    pub(crate) fn free(&self) -> &Mutex<Space> {
        &self.space
    }

    /// What is free.
    pub(crate) fn space(&self) -> MutexGuard<'_, Space> {
        lock(&self.space)
    }

    /// The blocks of these extents are free.
    pub(crate) fn give_back(&self, extents: impl IntoIterator<Item = Extent>) {
        let mut space = self.space();
        extents.into_iter().for_each(|extent| space.give_back(extent));
    }

    /// The map of the durable checkpoint, as long as the guard lives; nobody can change it meanwhile.
    pub(crate) fn map(&self) -> RwLockReadGuard<'_, PageMap> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a page lies.
    pub(crate) fn place(&self, id: PageId) -> Option<Place> {
        let ahead = self.ahead.read().unwrap_or_else(PoisonError::into_inner).place(id);
        ahead.or_else(|| self.map().place(id))
    }

    /// Takes changes of a checkpoint into the map; answers which places it does not name any more.
    pub(crate) fn change(&self, changes: &[(PageId, Option<Place>)]) -> Vec<Extent> {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let mut ahead = self.ahead.write().unwrap_or_else(PoisonError::into_inner);
        let replaced = changes.iter().filter_map(|(id, place)| {
            // What is ahead of this checkpoint too stays so.
            if ahead.place(*id) == *place {
                ahead.set(*id, None);
            }
            map.set(*id, *place)
        });
        replaced.map(|place| place.extent).collect()
    }

    /// These pages are there, and no durable checkpoint names them yet.
    pub(crate) fn put_ahead(&self, pages: impl IntoIterator<Item = (PageId, Place)>) {
        let mut ahead = self.ahead.write().unwrap_or_else(PoisonError::into_inner);
        for (id, place) in pages {
            ahead.set(id, Some(place));
        }
    }

    /// The page counts no more that was ahead under this number.
    pub(crate) fn forget_ahead(&self, id: PageId) {
        self.ahead.write().unwrap_or_else(PoisonError::into_inner).set(id, None);
    }

    /// Reads a page, if it lies in the file.
    pub(crate) fn read(&self, id: PageId) -> Result<Option<Page>> {
        self.place(id).map(|place| self.read_at(id, place)).transpose()
    }

    /// Reads a page from the place where it was.
    pub(crate) fn read_at(&self, id: PageId, place: Place) -> Result<Page> {
        let no_file = || EngineError::failed(format!("page {id} should be in a file, and there is none"));
        self.file().ok_or_else(no_file)?.read_page(id, place)
    }

    /// Reads those of the pages that lie in the file and that are not very long, all at once.
    pub(crate) fn read_ahead(&self, ids: &[PageId]) -> Result<Vec<Page>> {
        let named = ids.iter().filter_map(|id| Some((*id, self.place(*id)?)));
        let named: Vec<_> = named.filter(|(_, place)| place.extent.bytes() <= AHEAD_BYTES_MAX).collect();
        match self.file() {
            Some(file) if !named.is_empty() => file.read_pages(&named),
            _ => Ok(Vec::new()),
        }
    }
}
