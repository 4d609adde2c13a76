//! An open table: its index, filter and deleted ranges in memory, its blocks where the cache has room.
//!
//! Promises: a search reads one block at most, and none if the filter or the index says that the key is not there; one
//! that may not wait touches memory alone. The file goes when the table is retired and nobody has it. Called by runs,
//! the compactor and `verify`.

use std::io;
use std::sync::Arc;

use adapter_api::environment::{Directory, File, OpenFile, read_exact_at};
use adapter_api::{Direction, EngineError, KeyRange, Result};
use arc_swap::Guard;
use wal::ADVICE;

use super::filter::{Filter, FilterCounters, FilterUsage};
use super::footer::{FOOTER_BYTES, Footer};
use super::index::Index;
use super::{Answer, Block, Bounds, Position, Sought, TableWalk, block, properties};
use crate::cache::{Cache, Slots};
use crate::files::{Fate, Graveyard, table_name};
use crate::item::Item;
use crate::losses::Losses;
use crate::ranges::Ranges;
use crate::version::TableInfo;

/// One hit of so many is counted, for so many: which, the hash of the key decides, or the number of the block.
pub(super) const SAMPLED: u64 = 16;

/// A table, open to be read.
pub(crate) struct Table {
    /// What the manifest says of it, and the table itself.
    pub(crate) info: TableInfo,
    file: Arc<dyn File>,
    filter: Filter,
    pub(super) index: Index,
    ranges: Ranges,
    pub(super) slots: Slots,
    counters: FilterCounters,
    fate: Fate,
    /// Set if what is damaged is left out: who is told of it.
    losses: Option<Arc<Losses>>,
}

/// What a table holds in memory.
pub(super) struct Parts {
    pub(super) filter: Filter,
    pub(super) index: Index,
    pub(super) info: TableInfo,
    pub(super) ranges: Ranges,
}

impl Parts {
    /// Reads everything but the blocks of a table.
    ///
    /// # Errors
    /// `Corrupt` if it is not what was written; `Failed` if a read fails.
    pub(super) fn read(file: &dyn File, table: u64) -> Result<Self> {
        let tail = Tail::read(file, table)?;
        let (filter, index, (info, ranges)) = (tail.filter()?, tail.index()?, tail.properties()?);
        if info.entries != index.total() {
            let position = Position { table, offset: tail.footer.properties };
            return Err(position.corrupt("these are no properties of this table"));
        }
        Ok(Self { filter, index, info, ranges })
    }
}

/// What stands behind the blocks of a table.
pub(super) struct Tail<'a> {
    file: &'a dyn File,
    table: u64,
    footer: Footer,
}

impl<'a> Tail<'a> {
    /// Finds it by the footer.
    pub(super) fn read(file: &'a dyn File, table: u64) -> Result<Self> {
        let bytes = file.len().map_err(|error| unreadable(table, error))?;
        let Some(offset) = bytes.checked_sub(FOOTER_BYTES as u64) else {
            let message = format!("the file has {bytes} bytes, and a table has more");
            return Err(Position { table, offset: 0 }.corrupt(message));
        };
        let mut footer = [0; FOOTER_BYTES];
        read_exact_at(file, &mut footer, offset).map_err(|error| unreadable(table, error))?;
        Ok(Self { file, table, footer: Footer::decode(&footer, table, bytes)? })
    }

    /// Where the last block ends.
    pub(super) fn blocks_end(&self) -> u64 {
        self.footer.filter
    }

    pub(super) fn filter(&self) -> Result<Filter> {
        self.part(0, "the filter", Filter::decode)
    }

    pub(super) fn index(&self) -> Result<Index> {
        let is_its = |index: &Index| index.blocks_end() == self.footer.filter;
        self.part(1, "the index", |bytes| Index::decode(bytes).filter(is_its))
    }

    pub(super) fn properties(&self) -> Result<(TableInfo, Ranges)> {
        self.part(2, "the properties", |bytes| properties::decode(bytes, self.table, self.footer.bytes))
    }

    fn part<P>(&self, number: usize, what: &str, decode: impl FnOnce(&[u8]) -> Option<P>) -> Result<P> {
        let place = self.footer.parts()[number].clone();
        let mut part = vec![0; (place.end - place.start) as usize];
        read_exact_at(self.file, &mut part, place.start).map_err(|error| unreadable(self.table, error))?;
        let position = Position { table: self.table, offset: place.start };
        decode(position.open(&part, what)?)
            .ok_or_else(|| position.corrupt(format!("this is not {what} of this table")))
    }
}

impl Table {
    /// Opens a table that the manifest names, and holds what it says against what the manifest does.
    ///
    /// # Errors
    /// `Corrupt` if the file is not there or is not what was written; `Failed` if a read fails.
    pub(crate) fn open(
        directory: &dyn Directory,
        info: TableInfo,
        cache: &Arc<Cache>,
        graveyard: &Arc<Graveyard>,
    ) -> Result<Arc<Self>> {
        let name = table_name(info.id);
        let file = directory.open_file(&name, OpenFile::READ).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => EngineError::corrupt(
                &name,
                0,
                format!("the manifest names this file, and it is not there; {ADVICE}"),
            ),
            _ => unreadable(info.id, error),
        })?;
        let parts = Parts::read(&*file, info.id)?;
        if parts.info != info {
            let position = Position { table: info.id, offset: 0 };
            return Err(position.corrupt("the table is not the one that the manifest names"));
        }
        Ok(Arc::new(Self::of_parts(parts, file, cache, graveyard, None)))
    }

    /// A table of these parts. If somebody is told of losses, what is damaged is left out.
    pub(super) fn of_parts(
        parts: Parts,
        file: Arc<dyn File>,
        cache: &Arc<Cache>,
        graveyard: &Arc<Graveyard>,
        losses: Option<Arc<Losses>>,
    ) -> Self {
        let Parts { filter, index, info, ranges } = parts;
        let slots = Slots::new(cache, index.count(), index.bytes() + filter.bytes());
        let fate = Fate::new(table_name(info.id), info.bytes, graveyard);
        let counters = FilterCounters::default();
        Self { info, file, filter, index, ranges, slots, counters, fate, losses }
    }

    /// Whether it leaves out what is damaged.
    pub(super) fn leaves_out(&self) -> bool {
        self.losses.is_some()
    }

    /// Asks what the table says of a key, and lends it to `with`.
    ///
    /// # Errors
    /// `Corrupt` or `Failed` if a block has to be read, and what `with` answers.
    #[inline]
    pub(crate) fn find<R>(
        &self,
        sought: &Sought<'_>,
        with: impl FnOnce(Item<'_>) -> Result<R>,
    ) -> Result<Answer<R>> {
        if !self.may_have(sought) {
            return Ok(Answer::Nothing);
        }
        let Some(number) = self.index.find(sought.key) else { return Ok(Answer::Nothing) };
        self.find_at(number, &self.slots.get(number), sought, with)
    }

    /// The same, of the one block that may have the key; `resident` if it is in memory.
    #[inline]
    fn find_at<R>(
        &self,
        number: usize,
        resident: &Option<Arc<Block>>,
        sought: &Sought<'_>,
        with: impl FnOnce(Item<'_>) -> Result<R>,
    ) -> Result<Answer<R>> {
        match resident {
            Some(block) => {
                if sought.hash.is_multiple_of(SAMPLED) {
                    self.slots.cache().note_hits(SAMPLED);
                }
                self.find_in(block, sought, with)
            }
            None if !sought.may_wait => Ok(Answer::WouldBlock),
            None => {
                let block = self.load_block(number)?;
                self.find_in(&block, sought, with)
            }
        }
    }

    fn find_in<R>(
        &self,
        block: &Block,
        sought: &Sought<'_>,
        with: impl FnOnce(Item<'_>) -> Result<R>,
    ) -> Result<Answer<R>> {
        let found = block.find(sought.key);
        if self.filter.is_there() {
            self.counters.looked(sought, found.is_some());
        }
        found.map_or(Ok(Answer::Nothing), |item| with(item).map(Answer::Says))
    }

    /// Whether the filter leaves it open that the key is here.
    #[inline]
    pub(crate) fn may_have(&self, sought: &Sought<'_>) -> bool {
        if self.filter.is_there() {
            self.counters.checked(sought);
        }
        self.filter.may_have(sought.hash)
    }

    /// The one block that a key may be in.
    #[inline]
    pub(crate) fn candidate(&self, key: &[u8]) -> Option<Candidate<'_>> {
        let number = self.index.find(key)?;
        self.slots.prefetch_slot(number);
        Some(Candidate { table: self, number, resident: Guard::from_inner(None) })
    }

    /// A walk over the entries of a range, in a direction. One that is made once, for whoever reads much and none of it
    /// again, reads far ahead and leaves the cache alone.
    pub(crate) fn walk(
        self: &Arc<Self>,
        bounds: &Arc<Bounds>,
        direction: Direction,
        is_once: bool,
    ) -> TableWalk {
        TableWalk::new(Arc::clone(self), Arc::clone(bounds), direction, is_once)
    }

    /// The ranges that the table deletes in older sources.
    pub(crate) fn ranges(&self) -> &Ranges {
        &self.ranges
    }

    /// About how many entries lie in a range, and how many bytes of keys and values. Reads nothing.
    pub(crate) fn estimate(&self, range: KeyRange<'_>) -> (u64, u64) {
        let behind = range.end().map_or(self.info.entries, |end| self.rank(end));
        let entries = behind.saturating_sub(self.rank(range.start()));
        let bytes =
            u128::from(self.info.data_bytes) * u128::from(entries) / u128::from(self.info.entries.max(1));
        (entries, bytes as u64)
    }

    /// About how many entries lie before a key; exact where the block is in memory.
    fn rank(&self, key: &[u8]) -> u64 {
        let blocks = self.index.between(key, None);
        if blocks.is_empty() {
            return self.info.entries;
        }
        let before = self.index.entries_before(blocks.start);
        if key <= self.index.separator(blocks.start) {
            return before;
        }
        match &*self.slots.get(blocks.start) {
            Some(block) => before + block.page().rank(key) as u64,
            None => before.midpoint(self.index.entries_before(blocks.start + 1)),
        }
    }

    /// How often its filter was asked, and how often it was right, about.
    pub(crate) fn filter_usage(&self) -> FilterUsage {
        self.counters.usage()
    }

    /// The file is to be removed when nobody has the table any more: nothing durable names it now.
    pub(crate) fn retire(&self) {
        self.fate.retire();
    }

    #[cold]
    pub(super) fn load_block(&self, number: usize) -> Result<Arc<Block>> {
        let place = self.index.place(number);
        let mut bytes = vec![0; (place.end - place.start) as usize];
        let block = match self.read(&mut bytes, place.start) {
            Ok(()) => self.open_block(number, &bytes)?,
            Err(error) => self.instead_of(number, error)?,
        };
        Ok(self.slots.put(number, block))
    }

    /// The block of this number, from the bytes at its place.
    pub(super) fn open_block(&self, number: usize, bytes: &[u8]) -> Result<Block> {
        self.whole_block(number, bytes).or_else(|error| self.instead_of(number, error))
    }

    /// What stands for a block that cannot be had: one that says nothing, where damage is left out.
    #[cold]
    pub(super) fn instead_of(&self, number: usize, error: EngineError) -> Result<Block> {
        let Some(losses) = &self.losses else { return Err(error) };
        let (lower, upper) = (self.index.separator(number), self.index.upper(number));
        losses.tell_keys(&error, KeyRange::with_end(lower, upper));
        Ok(Block::empty(lower, upper))
    }

    fn whole_block(&self, number: usize, bytes: &[u8]) -> Result<Block> {
        let position = Position { table: self.info.id, offset: self.index.place(number).start };
        let block = block::decode(bytes, position, self.index.id(number))?;
        let page = block.page();
        let is_it = page.lower() == self.index.separator(number)
            && page.upper() == self.index.upper(number)
            && page.count() as u64
                == self.index.entries_before(number + 1) - self.index.entries_before(number);
        if is_it { Ok(block) } else { Err(position.corrupt("this is not the block that the index names")) }
    }

    /// Reads from the file.
    pub(super) fn read(&self, bytes: &mut [u8], offset: u64) -> Result<()> {
        read_exact_at(&*self.file, bytes, offset).map_err(|error| unreadable(self.info.id, error))
    }

    pub(super) fn file(&self) -> &dyn File {
        &*self.file
    }

    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }
}

/// The one block of a table that a key may be in, step by step on its way to the processor: whoever looks for several keys
/// takes each step for all of them.
pub(crate) struct Candidate<'a> {
    table: &'a Table,
    number: usize,
    /// The block, once it was looked for and if it is in memory.
    resident: Guard<Option<Arc<Block>>>,
}

impl Candidate<'_> {
    /// The first step: fetches the block.
    pub(crate) fn prefetch(&self) {
        self.table.slots.prefetch(self.number);
    }

    /// The second step: fetches the entry.
    pub(crate) fn prefetch_entry(&mut self, key: &[u8]) {
        self.resident = self.table.slots.get(self.number);
        if let Some(block) = &*self.resident {
            block.page().prefetch_inside(key);
        }
    }

    /// The last step: as `Table::find`.
    pub(crate) fn find<R>(
        self,
        sought: &Sought<'_>,
        with: impl FnOnce(Item<'_>) -> Result<R>,
    ) -> Result<Answer<R>> {
        self.table.find_at(self.number, &self.resident, sought, with)
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        self.slots.bequeath(self.counters.usage());
    }
}

/// What a read that failed means. A file that ends too early has lost what was in it.
pub(super) fn unreadable(table: u64, error: io::Error) -> EngineError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Position { table, offset: 0 }.corrupt(error),
        _ => EngineError::failed_by(format!("could not read {}", table_name(table)), error),
    }
}
