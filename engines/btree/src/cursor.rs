//! A walk over a view, in either direction.
//!
//! Promises: between two calls a cursor holds a copy of one leaf and nothing else, so it holds up nobody; the next leaf
//! is looked up by the fence of the last. Called by `engine`.

use std::ops::Range;

use adapter_api::{Cursor, Direction, Entry, KeyRange, Result};
use page::{Page, Payload};

use crate::tree::View;

/// The memory for a large value that a cursor keeps between calls.
const VALUE_MEMORY_BYTES: usize = 1 << 20;

/// A walk over the entries of a range.
pub(crate) struct TreeCursor<'a> {
    view: &'a View,
    start: Box<[u8]>,
    end: Option<Box<[u8]>>,
    direction: Direction,
    /// `None` until the first one is looked up: most walks are over one or two.
    leaf: Option<Page>,
    /// The cells of the leaf that lie ahead.
    ahead: Range<usize>,
    /// Where the walk goes on behind them: at or above the key, or in reverse below it; in reverse without a key at
    /// the very end.
    bound: Option<Vec<u8>>,
    /// Nothing of the range lies behind `ahead`.
    is_last: bool,
    key: Vec<u8>,
    /// The value that is lent, if it lies in a page of its own.
    value: Vec<u8>,
}

impl<'a> TreeCursor<'a> {
    pub(crate) fn new(view: &'a View, range: KeyRange<'_>, direction: Direction) -> Self {
        let bound = match direction {
            Direction::Forward => Some(range.start().to_vec()),
            Direction::Reverse => range.end().map(<[u8]>::to_vec),
        };
        Self {
            view,
            start: range.start().into(),
            end: range.end().map(Into::into),
            direction,
            leaf: None,
            ahead: 0..0,
            bound,
            is_last: range.is_empty(),
            key: Vec::new(),
            value: Vec::new(),
        }
    }

    /// Copies the leaf at `bound` and moves `bound` behind it.
    fn load(&mut self) -> Result<()> {
        let pin = self.view.pin()?;
        let bound = self.bound.as_deref();
        let leaf = match self.direction {
            Direction::Forward => pin.leaf(bound.unwrap_or_default())?,
            Direction::Reverse => pin.leaf_below(bound)?,
        };
        let from = match self.direction {
            Direction::Forward => bound.map_or(0, |bound| leaf.rank(bound)),
            Direction::Reverse => leaf.rank(&self.start),
        };
        let to = match self.direction {
            Direction::Forward => self.end.as_ref().map_or(leaf.count(), |end| leaf.rank(end)),
            Direction::Reverse => bound.map_or(leaf.count(), |bound| leaf.rank(bound)),
        };
        self.ahead = from.min(to)..to;
        let fence = match self.direction {
            Direction::Forward => {
                self.is_last =
                    leaf.upper().is_none_or(|upper| self.end.as_ref().is_some_and(|end| **end <= *upper));
                leaf.upper().unwrap_or_default()
            }
            Direction::Reverse => {
                self.is_last = leaf.lower() <= &*self.start;
                leaf.lower()
            }
        };
        match &mut self.leaf {
            Some(copy) => copy.copy_from(leaf),
            None => self.leaf = Some(leaf.to_page()),
        }
        let bound = self.bound.get_or_insert_default();
        bound.clear();
        bound.extend_from_slice(fence);
        Ok(())
    }

    /// Moves on; answers which cell of the leaf is next.
    fn advance(&mut self) -> Result<Option<usize>> {
        while self.ahead.is_empty() && !self.is_last {
            self.load()?;
        }
        Ok(match self.direction {
            Direction::Forward => self.ahead.next(),
            Direction::Reverse => self.ahead.next_back(),
        })
    }
}

impl Cursor for TreeCursor<'_> {
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        let (Some(at), Some(leaf)) = (self.advance()?, &self.leaf) else { return Ok(None) };
        let leaf = leaf.view();
        leaf.key_into(at, &mut self.key);
        let value = match leaf.payload(at) {
            Payload::Here(value) => value,
            away => {
                if self.value.capacity() > VALUE_MEMORY_BYTES {
                    self.value = Vec::new();
                }
                self.value.clear();
                self.value.extend_from_slice(self.view.pin()?.value(away)?);
                &self.value
            }
        };
        Ok(Some(Entry { key: &self.key, value }))
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        let bound = self.bound.get_or_insert_default();
        bound.clear();
        match (self.direction, &self.end) {
            (Direction::Forward, _) => bound.extend_from_slice(key.max(&self.start)),
            (Direction::Reverse, Some(end)) if key >= &**end => bound.extend_from_slice(end),
            (Direction::Reverse, _) => {
                // Below the key that follows `key` at once: at `key` or before it.
                bound.extend_from_slice(key);
                bound.push(0);
            }
        }
        self.ahead = 0..0;
        self.is_last = self.end.as_ref().is_some_and(|end| **end <= *self.start);
        Ok(())
    }
}
