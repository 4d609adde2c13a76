//! Writes one table, from front to back.
//!
//! ```text
//! entries   a b c d e f g h i j k …
//! blocks    [ a b c d │ e f g h i │ j k …      as full as they can be; where one ends is known when the next key is
//! ```
//!
//! Promises: a block is not longer than it should be unless one entry is. Memory is taken for one block, for what waits to
//! be written, for the index and for eight bytes a key; for a moment thirty bytes a key more, when the filter is built.
//! Nothing is durable before `finish` returns, and not the name even then. After an error the file is worth nothing:
//! whoever began it removes it and begins another one. Called by flush, compaction and ingest.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;

use adapter_api::environment::{Directory, File, OpenFile, is_full};
use adapter_api::{EngineError, Result};
use page::{Cell, HEADER_BYTES, Head, Page, Payload};

use super::block::{Compressor, TRAILER_BYTES};
use super::filter::Filter;
use super::footer::{FOOTER_BYTES, Footer};
use super::index::IndexWriter;
use super::properties::Tally;
use super::{ITEM_BYTES_MAX, Position, TableOptions, behind, block, hash_of, properties};
use crate::files::table_name;
use crate::item::Item;
use crate::ranges::{Ranges, Span};
use crate::version::TableInfo;

/// So many bytes are gathered before they are written.
const WRITE_BYTES: usize = 256 << 10;
/// All writes but the last end where a page of the page cache does: one that is written in two parts costs twice.
const PAGE_CACHE_BYTES: usize = 4096;
/// The shortest and the longest block that may be asked for.
const BLOCK_BYTES: Range<usize> = 4 << 10..64 << 10;

/// The entries of the block that is not cut yet.
#[derive(Default)]
struct Gathered {
    /// Keys and items, one behind the other.
    bytes: Vec<u8>,
    /// Where each key begins, and where it ends and the item begins.
    entries: Vec<(usize, usize)>,
    /// What the cells take where nothing of their keys is left out.
    cells: usize,
}

impl Gathered {
    fn push(&mut self, key: &[u8], item: Item<'_>) {
        self.entries.push((self.bytes.len(), self.bytes.len() + key.len()));
        self.bytes.extend_from_slice(key);
        item.encode(&mut self.bytes);
        self.cells += self.cell(self.len() - 1).bytes(0);
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn cell(&self, index: usize) -> Cell<'_> {
        let (key, item) = self.entries[index];
        let end = self.entries.get(index + 1).map_or(self.bytes.len(), |next| next.0);
        Cell::new(&self.bytes[key..item], Payload::Here(&self.bytes[item..end]))
    }

    fn key(&self, index: usize) -> &[u8] {
        self.cell(index).suffix
    }

    /// How long a page with all of them is. Every key begins as both fences do.
    fn page_bytes(&self, head: &Head<'_>) -> usize {
        head.bytes() + self.cells - head.prefix() * self.len()
    }

    /// Forgets all entries but those from `first` on.
    fn keep_from(&mut self, first: usize) {
        let start = self.entries.get(first).map_or(self.bytes.len(), |entry| entry.0);
        self.cells -= (0..first).map(|index| self.cell(index).bytes(0)).sum::<usize>();
        self.bytes.drain(..start);
        self.entries.drain(..first);
        for (key, item) in &mut self.entries {
            (*key, *item) = (*key - start, *item - start);
        }
    }
}

/// A table on its way to its file.
pub(crate) struct TableBuilder {
    id: u64,
    options: TableOptions,
    compressor: Compressor,
    file: Arc<dyn File>,
    /// What waits to be written, and how much was.
    out: Vec<u8>,
    written: u64,
    gathered: Gathered,
    /// The lower fence of the block that comes next.
    fence: Vec<u8>,
    last: Vec<u8>,
    index: IndexWriter,
    hashes: Vec<u64>,
    tally: Tally,
    /// The first key.
    first: Arc<[u8]>,
}

impl TableBuilder {
    /// Creates the file.
    ///
    /// # Errors
    /// `Full` if the disk is, else `Failed`.
    pub(crate) fn create(directory: &dyn Directory, id: u64, mut options: TableOptions) -> Result<Self> {
        options.block_bytes = options.block_bytes.clamp(BLOCK_BYTES.start, BLOCK_BYTES.end);
        let compressor = Compressor::new(options.compression).map_err(|e| failure(id, e))?;
        let file = directory.open_file(&table_name(id), OpenFile::CREATE_NEW).map_err(|e| failure(id, e))?;
        Ok(Self {
            id,
            options,
            compressor,
            file,
            out: Vec::new(),
            written: 0,
            gathered: Gathered::default(),
            fence: Vec::new(),
            last: Vec::new(),
            index: IndexWriter::default(),
            hashes: Vec::new(),
            tally: Tally::default(),
            first: Arc::default(),
        })
    }

    /// The number of the table.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Whether no entry was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.tally.entries == 0
    }

    /// How long the file would be without its filter, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.position().offset + (self.gathered.cells + self.index.bytes()) as u64
    }

    /// Adds an entry behind all others; writes when enough is gathered.
    ///
    /// # Errors
    /// `Full` if the disk is; `Failed` if a write fails or keys do not ascend; `Rejected` if the item is longer than
    /// `ITEM_BYTES_MAX`.
    pub(crate) fn add(&mut self, key: &[u8], item: Item<'_>) -> Result<()> {
        if key <= &*self.last {
            let what = format!("the keys of {} do not ascend", table_name(self.id));
            return Err(EngineError::failed(what));
        }
        if item.encoded_bytes() > ITEM_BYTES_MAX {
            let bytes = item.encoded_bytes();
            return Err(EngineError::rejected(format!("a table takes no item of {bytes} bytes")));
        }
        if self.is_empty() {
            self.fence = key.to_vec();
            self.first = key.into();
        } else if self.may_be_full(key) {
            let separator = page::separator(&self.last, key);
            self.cut_if_full(Some(separator));
        }
        self.gathered.push(key, item);
        self.tally.add(key, item);
        self.hashes.push(hash_of(key));
        self.last.clear();
        self.last.extend_from_slice(key);
        match self.out.len() {
            ..WRITE_BYTES => Ok(()),
            bytes => self.write(bytes - bytes % PAGE_CACHE_BYTES),
        }
    }

    /// How long the page of a block becomes.
    fn page_bytes_max(&self) -> usize {
        self.options.block_bytes - TRAILER_BYTES
    }

    /// Whether the block could be too long in front of this key, if nothing of its keys were left out. Most entries
    /// come while it could not, and nobody has to look closer.
    fn may_be_full(&self, next: &[u8]) -> bool {
        HEADER_BYTES + self.fence.len() + next.len() + self.gathered.cells > self.page_bytes_max()
    }

    /// Cuts a block in front of the last entry, if with it and with this upper fence the block is too long. In front
    /// of it, it was not: that was seen when the last entry came.
    fn cut_if_full(&mut self, upper: Option<&[u8]>) {
        let head = Head { id: 0, level: 0, lower: &self.fence, upper };
        let last = self.gathered.len().saturating_sub(1);
        if last > 0 && self.gathered.page_bytes(&head) > self.page_bytes_max() {
            let fence = page::separator(self.gathered.key(last - 1), self.gathered.key(last)).to_vec();
            self.cut(last, Some(&fence));
        }
    }

    /// Cuts a block with the first `count` entries.
    fn cut(&mut self, count: usize, upper: Option<&[u8]>) {
        let head = Head { id: self.index.count(), level: 0, lower: &self.fence, upper };
        let mut page = Page::build(head, (0..count).map(|index| self.gathered.cell(index)), 0);
        page.set_version(self.id);
        let start = self.out.len();
        let position = self.position();
        block::encode(&mut page, position, &mut self.compressor, &mut self.out);
        self.index.add(&self.fence, self.out.len() - start, count);
        self.gathered.keep_from(count);
        self.fence = upper.unwrap_or_default().to_vec();
    }

    /// Where what is gathered next will lie.
    fn position(&self) -> Position {
        Position { table: self.id, offset: self.written + self.out.len() as u64 }
    }

    /// Writes so many of the bytes that wait.
    fn write(&mut self, bytes: usize) -> Result<()> {
        let slices = [IoSlice::new(&self.out[..bytes])];
        let written = self.file.write_at(&slices, self.written, self.options.cause);
        written.map_err(|error| failure(self.id, error))?;
        // A hint, so that the sync at the end finds little left to do.
        let _ = self.file.write_back(self.written, bytes as u64);
        self.written += bytes as u64;
        self.out.drain(..bytes);
        Ok(())
    }

    /// Writes the rest, with the ranges that the table deletes in older sources, and makes the file durable, but not its
    /// name. A table may have ranges alone.
    ///
    /// # Errors
    /// `Full` if the disk is, else `Failed`.
    pub(crate) fn finish(mut self, ranges: Ranges) -> Result<TableInfo> {
        let end = behind(&self.last).filter(|_| !self.is_empty());
        if !self.is_empty() {
            self.cut_if_full(end.as_deref());
            self.cut(self.gathered.len(), end.as_deref());
        }
        let filter = Filter::build(self.options.filter, std::mem::take(&mut self.hashes)).encode();
        let filter = self.part(filter);
        let index = self.part(self.index.encode(end.as_deref()));
        let mut info = self.info(end, &ranges);
        let properties = self.part(properties::encode(&info, &ranges));
        info.bytes = self.position().offset + FOOTER_BYTES as u64;
        let footer = Footer { filter, index, properties, bytes: info.bytes };
        self.out.extend_from_slice(&footer.encode(self.id));
        self.write(self.out.len())?;
        self.file.sync_data().map_err(|error| failure(self.id, error))?;
        Ok(info)
    }

    /// Adds a part with its checksum; answers where it begins.
    fn part(&mut self, mut bytes: Vec<u8>) -> u64 {
        let position = self.position();
        position.seal(&mut bytes);
        self.out.extend_from_slice(&bytes);
        position.offset
    }

    /// What the manifest will say of the table, but for the length of the file.
    fn info(&mut self, end: Option<Vec<u8>>, ranges: &Ranges) -> TableInfo {
        let Tally { entries, tombstones, data_bytes, blobs } = std::mem::take(&mut self.tally);
        let keys = (entries > 0).then(|| Span { start: Arc::clone(&self.first), end: end.map(Into::into) });
        let deleted = ranges.spans().first().zip(ranges.spans().last());
        let deleted =
            deleted.map(|(first, last)| Span { start: Arc::clone(&first.start), end: last.end.clone() });
        let Span { start: lower, end: upper } = match (keys, deleted) {
            (Some(one), Some(other)) => Span {
                start: one.start.min(other.start),
                // Where one has no end, both together have none.
                end: one.end.zip(other.end).map(|(one, other)| one.max(other)),
            },
            // With nothing in it, there is nothing between its bounds.
            (one, other) => {
                one.or(other).unwrap_or(Span { start: Arc::default(), end: Some(Arc::default()) })
            }
        };
        let blobs = blobs.into_iter().collect();
        TableInfo { id: self.id, bytes: 0, lower, upper, entries, tombstones, data_bytes, blobs }
    }
}

/// What a write that failed means to whoever asked for a table.
fn failure(id: u64, error: io::Error) -> EngineError {
    let name = table_name(id);
    match is_full(&error) {
        true => EngineError::full(format!("the disk has no room for {name} ({error}); free some space")),
        false => EngineError::failed_by(format!("could not write {name}"), error),
    }
}
