//! The pages of the durable checkpoint: where each one lies in the data file, and reading it from there.
//!
//! Whoever reads asks for the place, lets go of the map, and then reads the file. So a place is not used again when the
//! map names another one, but when nobody reads there any more; `holds` says when that is, and the checkpointer
//! takes what is free from here.
//!
//! Promises: the lock is held for a look at the map alone, never for I/O. Shared by `frames`, which reads, and the
//! checkpointer, which changes the map.

use std::sync::{Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard};

use adapter_api::{EngineError, Result};
use page::{Page, PageId};
use wal::lock;

use crate::data_file::DataFile;
use crate::map::{PageMap, Place};
use crate::space::Extent;

/// Pages of more bytes than this are not read ahead.
const AHEAD_BYTES_MAX: u64 = 256 << 10;
/// So many pages are read ahead at once.
pub(crate) const AHEAD_PAGES_MAX: usize = 64;

/// Where the pages of the durable checkpoint are.
#[derive(Default)]
pub(crate) struct Places {
    file: OnceLock<DataFile>,
    map: RwLock<PageMap>,
    free: Mutex<Vec<Extent>>,
}

impl Places {
    /// These pages in this file.
    pub(crate) fn new(file: DataFile, map: PageMap) -> Self {
        Self { file: file.into(), map: RwLock::new(map), free: Mutex::default() }
    }

    /// The data file, if there is one.
    pub(crate) fn file(&self) -> Option<&DataFile> {
        self.file.get()
    }

    /// The data file, which is this one if there was none.
    pub(crate) fn file_or(&self, file: DataFile) -> &DataFile {
        self.file.get_or_init(|| file)
    }

    /// The map, as long as the guard lives; nobody can change it meanwhile.
    pub(crate) fn map(&self) -> RwLockReadGuard<'_, PageMap> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a page lies.
    pub(crate) fn place(&self, id: PageId) -> Option<Place> {
        self.map().place(id)
    }

    /// Takes changes into the map; answers which places it does not name any more.
    pub(crate) fn change(&self, changes: &[(PageId, Option<Place>)]) -> Vec<Extent> {
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        let replaced = changes.iter().filter_map(|(id, place)| map.set(*id, *place));
        replaced.map(|place| place.extent).collect()
    }

    /// Reads a page, if the map names it.
    pub(crate) fn read(&self, id: PageId) -> Result<Option<Page>> {
        self.place(id).map(|place| self.read_at(id, place)).transpose()
    }

    /// Reads a page from the place where it was.
    pub(crate) fn read_at(&self, id: PageId, place: Place) -> Result<Page> {
        let no_file = || EngineError::failed(format!("page {id} should be in a file, and there is none"));
        self.file().ok_or_else(no_file)?.read_page(id, place)
    }

    /// Reads those of the pages that the map names and that are not very long, all at once.
    pub(crate) fn read_ahead(&self, ids: &[PageId]) -> Result<Vec<Page>> {
        let named: Vec<_> = {
            let map = self.map();
            let named = ids.iter().filter_map(|id| Some((*id, map.place(*id)?)));
            named.filter(|(_, place)| place.extent.bytes() <= AHEAD_BYTES_MAX).collect()
        };
        match self.file() {
            Some(file) if !named.is_empty() => file.read_pages(&named),
            _ => Ok(Vec::new()),
        }
    }

    /// These places may be used again.
    pub(crate) fn give_back(&self, mut extents: Vec<Extent>) {
        lock(&self.free).append(&mut extents);
    }

    /// Places that may be used again since this was last asked.
    pub(crate) fn take_free(&self) -> Vec<Extent> {
        std::mem::take(&mut lock(&self.free))
    }
}
