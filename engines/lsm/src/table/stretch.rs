//! A stretch: entries of one block that come one behind the other, on their way to whoever walks.
//!
//! ```text
//! block    │ … │ at │ ahead … │ …        the key at `at` is put together, its item stays where it lies
//! ```
//!
//! Promises: holds one block and no table, so that whoever has one holds up nobody; nothing in it is read from a device.
//! Called by walks of tables, and by cursors, which walk through what a merge lends them without it.

use std::ops::Range;
use std::sync::Arc;

use adapter_api::Direction;

use super::Block;
use crate::item::Item;

/// How many entries ahead a walk fetches.
const FETCHED_AHEAD: usize = 4;

/// Entries of one block, in a direction.
pub(crate) struct Stretch {
    block: Option<Arc<Block>>,
    direction: Direction,
    /// The entry that it is at.
    at: usize,
    /// Those that come behind it.
    ahead: Range<usize>,
    /// Of the entry that it is at.
    key: Vec<u8>,
}

impl Stretch {
    /// One without entries.
    pub(crate) fn new(direction: Direction) -> Self {
        Self { block: None, direction, at: 0, ahead: 0..0, key: Vec::new() }
    }

    /// Goes before these entries of a block.
    pub(super) fn enter(&mut self, block: Arc<Block>, entries: Range<usize>) {
        let page = block.page();
        match self.direction {
            Direction::Forward => entries.clone().take(FETCHED_AHEAD).for_each(|at| page.prefetch_cell(at)),
            Direction::Reverse => {
                entries.clone().rev().take(FETCHED_AHEAD).for_each(|at| page.prefetch_cell(at))
            }
        }
        (self.block, self.ahead) = (Some(block), entries);
    }

    /// Lets go of the block.
    pub(crate) fn leave(&mut self) {
        (self.block, self.ahead) = (None, 0..0);
    }

    /// Moves to the next entry; answers whether there is one.
    #[inline]
    pub(crate) fn advance(&mut self) -> bool {
        let (next, later) = match self.direction {
            Direction::Forward => (self.ahead.next(), self.ahead.clone().nth(FETCHED_AHEAD - 1)),
            Direction::Reverse => (self.ahead.next_back(), self.ahead.clone().nth_back(FETCHED_AHEAD - 1)),
        };
        let (Some(at), Some(block)) = (next, &self.block) else { return false };
        if let Some(later) = later {
            block.page().prefetch_cell(later);
        }
        self.at = at;
        block.page().key_into(at, &mut self.key);
        true
    }

    /// The key that it is at.
    #[inline]
    pub(crate) fn key(&self) -> &[u8] {
        &self.key
    }

    /// What the table says of it.
    #[inline]
    pub(crate) fn item(&self) -> Item<'_> {
        self.block.as_ref().map_or(Item::Tombstone, |block| block.item(self.at))
    }

    /// How many of the entries that come next lie before the bound.
    pub(super) fn count_before(&self, bound: Option<&[u8]>) -> usize {
        let Range { start, end } = self.ahead;
        let (Some(block), Some(bound)) = (&self.block, bound) else { return self.ahead.len() };
        let found = block.page().find(bound);
        match self.direction {
            Direction::Forward => found.unwrap_or_else(|at| at).clamp(start, end) - start,
            Direction::Reverse => end - found.map_or_else(|at| at, |at| at + 1).clamp(start, end),
        }
    }

    /// Lends the entry that it is at and `count` that come next, at most, to another one, which goes before them; it is at
    /// the last of them itself then. Answers whether it is at an entry.
    pub(super) fn lend(&mut self, count: usize, other: &mut Self) -> bool {
        let Some(block) = &self.block else { return false };
        if other.block.as_ref().is_none_or(|there| !Arc::ptr_eq(there, block)) {
            other.block = Some(Arc::clone(block));
        }
        let count = count.min(self.ahead.len());
        match self.direction {
            Direction::Forward => {
                let behind = self.ahead.start + count;
                other.ahead = self.at..behind;
                (self.ahead.start, self.at) = (behind, behind - 1);
            }
            Direction::Reverse => {
                let first = self.ahead.end - count;
                other.ahead = first..self.at + 1;
                (self.ahead.end, self.at) = (first, first);
            }
        }
        if count > 0 {
            block.page().key_into(self.at, &mut self.key);
        }
        true
    }
}
