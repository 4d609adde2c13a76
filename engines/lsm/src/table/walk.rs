//! A walk over a table, in one direction.
//!
//! Promises: holds one block and what was read ahead of it; where a read fails the walk stays, and the next call tries
//! again. Called by `run` and by whoever merges tables.

use std::ops::Range;
use std::sync::Arc;

use adapter_api::{Direction, KeyRange, Result};

use super::ahead::Ahead;
use super::{Block, Table};
use crate::item::Item;
use crate::ranges::Span;
use crate::walk::Walk;

/// A walk over the entries of a table in a range.
pub(crate) struct TableWalk {
    table: Arc<Table>,
    /// Of the range.
    start: Vec<u8>,
    end: Option<Vec<u8>>,
    /// The bound that `seek` has put in the place of the one where the walk begins, if that is inside.
    sought: Option<Vec<u8>>,
    direction: Direction,
    ahead: Ahead,
    is_once: bool,
    /// The blocks that are left, and of the current one the entries that are left.
    blocks: Range<usize>,
    left: Range<usize>,
    current: Option<Arc<Block>>,
    at: usize,
    key: Vec<u8>,
}

/// The next of what is left.
fn next(left: &mut Range<usize>, direction: Direction) -> Option<usize> {
    match direction {
        Direction::Forward => left.next(),
        Direction::Reverse => left.next_back(),
    }
}

impl TableWalk {
    pub(super) fn new(table: Arc<Table>, range: KeyRange<'_>, direction: Direction, is_once: bool) -> Self {
        let (start, end) = (range.start().to_vec(), range.end().map(<[u8]>::to_vec));
        let (ahead, blocks) = (Ahead::new(is_once), table.index.between(&start, end.as_deref()));
        Self {
            table,
            start,
            end,
            sought: None,
            direction,
            ahead,
            is_once,
            blocks,
            left: 0..0,
            current: None,
            at: 0,
            key: Vec::new(),
        }
    }

    /// What is left of the range, from the key that was sought on.
    fn bounds(&self) -> (&[u8], Option<&[u8]>) {
        let (start, end, sought) = (&*self.start, self.end.as_deref(), self.sought.as_deref());
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
}

impl Walk for TableWalk {
    fn advance(&mut self) -> Result<bool> {
        loop {
            if let Some(block) = &self.current
                && let Some(index) = next(&mut self.left, self.direction)
            {
                self.at = index;
                block.page().key_into(index, &mut self.key);
                return Ok(true);
            }
            self.current = None;
            let mut blocks = self.blocks.clone();
            let Some(number) = next(&mut blocks, self.direction) else { return Ok(false) };
            let block = self.ahead.load(&self.table, number, &self.blocks, self.direction)?;
            self.left = self.inside(&block);
            (self.blocks, self.current) = (blocks, Some(block));
        }
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        // In reverse, the key itself is still of the range.
        let behind: &[u8] = if self.direction == Direction::Forward { &[] } else { &[0] };
        self.sought = Some([key, behind].concat());
        self.ahead = Ahead::new(self.is_once);
        let (from, to) = self.bounds();
        self.blocks = self.table.index.between(from, to);
        (self.left, self.current) = (0..0, None);
        Ok(())
    }

    fn key(&self) -> &[u8] {
        &self.key
    }

    fn item(&self) -> Item<'_> {
        self.current.as_ref().map_or(Item::Tombstone, |block| block.item(self.at))
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
}
