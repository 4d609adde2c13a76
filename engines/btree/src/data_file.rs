//! The data file: reading what the superblocks, maps and pages say, each with its checksum.
//!
//! Promises: what is read is what was written, or the error names the file and the position; memory grows with what is
//! there, not with what a number claims. Called by recovery, the checkpointer, `places` and
//! `verify`.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};

use adapter_api::environment::{Cause, Directory, File, OpenFile, ReadRequest, read_exact_at};
use adapter_api::{EngineError, Result};
use page::{Beginning, Page, PageId};
use wal::{ADVICE, lock};

use crate::map::{self, Decoded, MapChain, MapRef, PageMap, Place};
use crate::space::{BLOCK, Extent, Space};
use crate::superblock::{SUPERBLOCKS, Superblock};

/// The name of the data file.
pub(crate) const DATA: &str = "data";

/// The open data file.
#[derive(Clone)]
pub(crate) struct DataFile {
    file: Arc<dyn File>,
    /// A page is called what whoever asks for it calls it, and not what it says itself.
    renames: bool,
    /// How many syncs failed. Syncs come one behind the other: the system tells of a write-back that failed once for each
    /// open file, so the sync of a checkpoint that follows a failed one of an ingest answers Ok whatever was lost.
    failed_syncs: Arc<Mutex<u64>>,
}

/// When a stretch of writes began, for the sync behind it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Since(u64);

/// A superblock that counts, and the one of the two places that it lies in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) superblock: Superblock,
    pub(crate) slot: u64,
}

/// What was found in both places.
pub(crate) struct Superblocks {
    /// Newest first.
    pub(crate) valid: Vec<Found>,
    /// A place that holds something else: what a write left that was not finished, or damage.
    pub(crate) invalid: Option<u64>,
}

impl DataFile {
    /// Opens the file, if there is one.
    pub(crate) fn open(directory: &dyn Directory) -> Result<Option<Self>> {
        Self::open_how(directory, OpenFile::WRITE, false)
    }

    /// Opens the file for reading only, if there is one. What is left of it may be put together under new numbers.
    pub(crate) fn open_to_salvage(directory: &dyn Directory) -> Result<Option<Self>> {
        Self::open_how(directory, OpenFile::READ, true)
    }

    fn open_how(directory: &dyn Directory, how: OpenFile, renames: bool) -> Result<Option<Self>> {
        match directory.open_file(DATA, how) {
            Ok(file) => Ok(Some(Self { renames, ..Self::of(file) })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(EngineError::failed_by(format!("could not open {DATA}"), error)),
        }
    }

    /// Creates the file. What is there without a superblock that counts goes first, for its name may be on no disk:
    /// where a sync of the directory failed, common kernels count the names in it as clean until one changes.
    pub(crate) fn create(directory: &dyn Directory) -> io::Result<Self> {
        match directory.remove(DATA) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = directory.open_file(DATA, OpenFile::CREATE_NEW)?;
        directory.sync()?;
        Ok(Self::of(file))
    }

    fn of(file: Arc<dyn File>) -> Self {
        Self { file, renames: false, failed_syncs: Arc::default() }
    }

    /// A stretch of writes begins, which `sync` will end.
    pub(crate) fn begin(&self) -> Since {
        Since(*lock(&self.failed_syncs))
    }

    /// Makes durable what was written since.
    ///
    /// # Errors
    /// Its own, or that another sync failed meanwhile: what was written must be written anew.
    pub(crate) fn sync(&self, since: Since) -> io::Result<()> {
        let mut failed = lock(&self.failed_syncs);
        if *failed != since.0 {
            return Err(io::Error::other("another sync failed meanwhile"));
        }
        self.file.sync_data().inspect_err(|_| *failed += 1)
    }

    /// Writes bytes where nothing lies that counts.
    pub(crate) fn write(&self, bytes: &[IoSlice<'_>], offset: u64, cause: Cause) -> io::Result<()> {
        self.file.write_at(bytes, offset, cause)?;
        // A hint, so that the sync at the end finds little left to do.
        let _ = self.file.write_back(offset, bytes.iter().map(|part| part.len() as u64).sum());
        Ok(())
    }

    /// Reads both superblocks.
    pub(crate) fn superblocks(&self) -> Result<Superblocks> {
        let (mut valid, mut invalid) = (Vec::new(), None);
        for slot in 0..SUPERBLOCKS.blocks {
            let mut bytes = vec![0; BLOCK as usize];
            let read = self.file.read_at(&mut bytes, slot * BLOCK).map_err(unreadable)?;
            match Superblock::decode(&bytes[..read]) {
                Some(superblock) => valid.push(Found { superblock, slot }),
                None if bytes.iter().any(|byte| *byte != 0) => invalid = Some(slot),
                None => {}
            }
        }
        valid.sort_by_key(|found| std::cmp::Reverse(found.superblock.generation));
        Ok(Superblocks { valid, invalid })
    }

    /// Makes a superblock durable in one of the two places.
    pub(crate) fn write_superblock(&self, found: &Found) -> io::Result<()> {
        let (bytes, mut failed) = (found.superblock.encode(), lock(&self.failed_syncs));
        let written =
            self.file.write_durable_at(&[IoSlice::new(&bytes)], found.slot * BLOCK, Cause::Metadata);
        written.inspect_err(|_| *failed += 1)
    }

    /// Reads the maps that a superblock names, and what is free besides them and the pages.
    pub(crate) fn read_map(&self, newest: MapRef) -> Result<(PageMap, MapChain, Space)> {
        let (map, chain) = self.read_maps(newest)?;
        // Asked last: where a page lay before a later map moved it, the file may have been cut since.
        let len = self.len()?;
        if map.pages().any(|(_, place)| place.extent.end() * BLOCK > len) {
            return Err(corrupt(newest.extent().offset(), "the map names a page behind the end of the file"));
        }
        let pages = map.pages().map(|(_, place)| place.extent);
        let used = pages.chain(chain.maps.iter().map(MapRef::extent)).chain([SUPERBLOCKS]).collect();
        let overlap =
            |extent: Extent| corrupt(extent.offset(), "two pages of the map lie on each other here");
        let space = Space::besides(used).map_err(overlap)?;
        Ok((map, chain, space))
    }

    /// Reads the maps that a superblock names. What they say of the pages is held against nothing.
    pub(crate) fn read_maps(&self, newest: MapRef) -> Result<(PageMap, MapChain)> {
        let (mut decoded, mut next) = (Vec::new(), Some(newest));
        while let Some(at) = next {
            // Each map is older than the one that names it, so a chain that is longer than the file goes in circles.
            if decoded.len() as u64 > self.len()? / BLOCK {
                return Err(corrupt(at.extent().offset(), "the maps of pages name each other in a circle"));
            }
            let map = self.read_one_map(at)?;
            next = map.before;
            decoded.push((at, map));
        }
        let (mut map, mut chain) = (PageMap::default(), MapChain::default());
        for (at, decoded) in decoded.into_iter().rev() {
            if decoded.changes.iter().any(|(id, _)| *id == PageId::MAX) {
                return Err(corrupt(
                    at.extent().offset(),
                    "the map names a page with a number that none has",
                ));
            }
            chain.push(at, decoded.before.is_none(), decoded.changes.len());
            for (id, place) in decoded.changes {
                map.set(id, place);
            }
        }
        Ok((map, chain))
    }

    fn read_one_map(&self, at: MapRef) -> Result<Decoded> {
        let offset = at.start.saturating_mul(BLOCK);
        let bytes = self.read(offset, at.bytes, "a map of pages")?;
        let decoded = (crc32fast::hash(&bytes) == at.checksum).then(|| map::decode(&bytes)).flatten();
        decoded.ok_or_else(|| corrupt(offset, "the map of pages here is damaged, and all pages are at stake"))
    }

    /// Reads a page, in one read.
    pub(crate) fn read_page(&self, id: PageId, place: Place) -> Result<Page> {
        let mut bytes = empty_page(place);
        let offset = place.extent.offset();
        match read_exact_at(&*self.file, &mut bytes, offset) {
            Ok(()) => self.open_page(id, place, bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(corrupt(offset, format!("page {id} should be here, and the file ends before")))
            }
            Err(error) => Err(unreadable(error)),
        }
    }

    /// Reads several pages at once.
    pub(crate) fn read_pages(&self, pages: &[(PageId, Place)]) -> Result<Vec<Page>> {
        let mut buffers: Vec<_> = pages.iter().map(|(_, place)| empty_page(*place)).collect();
        let reads = pages.iter().zip(&mut buffers);
        let mut reads: Vec<_> =
            reads.map(|((_, place), bytes)| ReadRequest { offset: place.extent.offset(), bytes }).collect();
        match self.file.read_many(&mut reads) {
            Ok(()) => {
                let read = pages.iter().zip(buffers);
                read.map(|((id, place), bytes)| self.open_page(*id, *place, bytes)).collect()
            }
            // One after the other, to say which.
            Err(_) => pages.iter().map(|(id, place)| self.read_page(*id, *place)).collect(),
        }
    }

    /// The page that was read, if it is the one that the map names.
    fn open_page(&self, id: PageId, place: Place, bytes: Box<[u8]>) -> Result<Page> {
        let offset = place.extent.offset();
        let mut page = Page::from_bytes(bytes).map_err(|damage| {
            corrupt(offset + damage.position as u64, format!("page {id}: {}", damage.what))
        })?;
        let says = page.view().id();
        if !page.view().is(if self.renames { says } else { id }, place.checksum) {
            return Err(corrupt(offset, format!("this is not page {id} as it was written last")));
        }
        if says != id {
            page.set_id(id);
        }
        Ok(page)
    }

    /// What a page says of itself that seems to begin at a block; and the page, if it is whole.
    pub(crate) fn page_at(&self, start: u64) -> Option<(Beginning, Option<Page>)> {
        let mut bytes = vec![0; BLOCK as usize];
        let offset = start.checked_mul(BLOCK)?;
        read_exact_at(&*self.file, &mut bytes, offset).ok()?;
        let beginning = Beginning::read(&bytes)?;
        let bytes = self.read(offset, beginning.length as u64, "a page").ok();
        Some((beginning, bytes.and_then(|bytes| Page::from_bytes(bytes.into_boxed_slice()).ok())))
    }

    fn read(&self, offset: u64, bytes: u64, what: &str) -> Result<Vec<u8>> {
        if offset.checked_add(bytes).is_none_or(|end| end > self.len().unwrap_or(0)) {
            return Err(corrupt(
                offset,
                format!("{what} of {bytes} bytes should be here, and the file ends before"),
            ));
        }
        let mut read = vec![0; bytes as usize];
        read_exact_at(&*self.file, &mut read, offset).map_err(unreadable)?;
        Ok(read)
    }

    /// Whether the file is long enough for a page.
    pub(crate) fn has(&self, place: Place) -> bool {
        self.len().is_ok_and(|len| place.extent.end() * BLOCK <= len)
    }

    pub(crate) fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    pub(crate) fn len(&self) -> Result<u64> {
        self.file.len().map_err(unreadable)
    }
}

/// Memory for a page. How much is known from a map that was held against the length of the file.
fn empty_page(place: Place) -> Box<[u8]> {
    vec![0; (place.extent.blocks * BLOCK) as usize].into_boxed_slice()
}

/// The error for damage in the data file.
pub(crate) fn corrupt(offset: u64, what: impl Into<String>) -> EngineError {
    EngineError::corrupt(DATA, offset, format!("{}; {ADVICE}", what.into()))
}

fn unreadable(error: io::Error) -> EngineError {
    EngineError::failed_by(format!("could not read {DATA}"), error)
}
