//! A walk over a table, in one direction.
//!
//! Promises: holds one block and what was read ahead of it; where a read fails the walk stays, and the next call tries
//! again. Called by `run` and by whoever merges tables.

use std::ops::Range;
use std::sync::Arc;

use adapter_api::{Direction, KeyRange, Result};

use super::ahead::Ahead;
use super::{Block, Stretch, Table};
use crate::item::Item;
use crate::ranges::Span;
use crate::walk::Walk;

/// The range of a walk, shared by all of its parts.
pub(crate) struct Bounds {
    start: Box<[u8]>,
    end: Option<Box<[u8]>>,
}

impl Bounds {
    pub(crate) fn new(range: KeyRange<'_>) -> Arc<Self> {
        Arc::new(Self { start: range.start().into(), end: range.end().map(Into::into) })
    }

    pub(crate) fn range(&self) -> KeyRange<'_> {
        KeyRange::with_end(&self.start, self.end.as_deref())
    }
}

/// A walk over the entries of a table in a range.
pub(crate) struct TableWalk {
    table: Arc<Table>,
    bounds: Arc<Bounds>,
    /// The bound that `seek` has put in the place of the one where the walk begins, if that is inside.
    sought: Option<Vec<u8>>,
    direction: Direction,
    ahead: Ahead,
    is_once: bool,
    /// The blocks that are left, and of the current one the entries that are left.
    blocks: Range<usize>,
    here: Stretch,
}

/// The next of what is left.
fn next(left: &mut Range<usize>, direction: Direction) -> Option<usize> {
    match direction {
        Direction::Forward => left.next(),
        Direction::Reverse => left.next_back(),
    }
}

impl TableWalk {
    pub(super) fn new(table: Arc<Table>, bounds: Arc<Bounds>, direction: Direction, is_once: bool) -> Self {
        let (ahead, blocks) =
            (Ahead::new(is_once), table.index.between(&bounds.start, bounds.end.as_deref()));
        let here = Stretch::new(direction);
        Self { table, bounds, sought: None, direction, ahead, is_once, blocks, here }
    }

    /// What is left of the range, from the key that was sought on.
    fn bounds(&self) -> (&[u8], Option<&[u8]>) {
        let Bounds { start, end } = &*self.bounds;
        let (start, end, sought) = (&**start, end.as_deref(), self.sought.as_deref());
        match self.direction {
            Direction::Forward => (sought.unwrap_or(start).max(start), end),
            Direction::Reverse => (start, sought.into_iter().chain(end).min()),
        }
    }

    /// The entries of a block that are left of the range.
    fn inside(&self, block: &Block) -> Range<usize> {
        let (page, (from, to)) = (block.page(), self.bounds());
        let first = if page.lower() < from { page.rank(from) } else { 0 };
        let behind = match to {
            Some(to) if page.upper().is_none_or(|upper| to < upper) => page.rank(to),
            _ => page.count(),
        };
        first..behind.max(first)
    }

    /// Enters the next block; answers whether there is one.
    fn go_on(&mut self) -> Result<bool> {
        self.here.leave();
        let mut blocks = self.blocks.clone();
        let Some(number) = next(&mut blocks, self.direction) else { return Ok(false) };
        let block = self.ahead.load(&self.table, number, &self.blocks, self.direction)?;
        let entries = self.inside(&block);
        self.blocks = blocks;
        // The processor fetches the block behind it while this one is walked through.
        self.prefetch();
        self.here.enter(block, entries);
        Ok(true)
    }
}

impl Walk for TableWalk {
    fn advance(&mut self) -> Result<bool> {
        while !self.here.advance() {
            if !self.go_on()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        // In reverse, the key itself is still of the range.
        let behind: &[u8] = if self.direction == Direction::Forward { &[] } else { &[0] };
        self.sought = Some([key, behind].concat());
        self.ahead = Ahead::new(self.is_once);
        let (from, to) = self.bounds();
        self.blocks = self.table.index.between(from, to);
        self.here.leave();
        Ok(())
    }

    fn prefetch(&mut self) {
        if let Some(number) = next(&mut self.blocks.clone(), self.direction) {
            self.table.slots.prefetch(number);
        }
    }

    fn key(&self) -> &[u8] {
        self.here.key()
    }

    fn item(&self) -> Item<'_> {
        self.here.item()
    }

    fn covers(&self, key: &[u8]) -> bool {
        self.table.ranges().covers(key)
    }

    fn has_ranges(&self) -> bool {
        !self.table.ranges().is_empty()
    }

    fn covering(&self, key: &[u8]) -> Option<&Span> {
        self.table.ranges().covering(key)
    }

    fn count_before(&self, bound: Option<&[u8]>) -> usize {
        self.here.count_before(bound)
    }

    fn lend(&mut self, count: usize, stretch: &mut Stretch) -> bool {
        self.here.lend(count, stretch)
    }
}
