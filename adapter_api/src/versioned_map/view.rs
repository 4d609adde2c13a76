//! Views of a `VersionedMap` and cursors over them.
//!
//! Promises: every operation keeps its version alive for its own time, by a pin; between operations a view is a row in
//! a table and a cursor a place, a key and the entry that it lends. So one that is kept for ever holds next to
//! nothing once its view has ended, and then answers `ViewTooOld`. A view outlives its map. Called by engines.

use std::ops::Range;
use std::sync::Arc;

use super::history::{Pin, ViewRow};
use super::node::Node;
use super::pointer::Shared;
use super::record::{Away, Cell, Record, Stored};
use super::tree::Tree;
use crate::{Buffer, Cursor, Direction, EngineError, Entry, Estimate, KeyRange, ReadView, Result, Values};

/// The memory for an entry that a cursor keeps between calls, in bytes.
const ENTRY_MEMORY_BYTES: usize = 1 << 20;

/// How many entries ahead a walk fetches.
const FETCHED_AHEAD: usize = 8;

/// A point in time of a `VersionedMap`. Clones share what they hold.
#[derive(Clone)]
pub struct View {
    row: Arc<ViewRow>,
}

impl View {
    pub(super) fn new(row: ViewRow) -> Self {
        Self { row: Arc::new(row) }
    }

    /// Keeps what the view shows alive, for one operation.
    fn pin(&self) -> Result<Pin<'_>> {
        self.row.pin().ok_or(EngineError::ViewTooOld)
    }

    /// Whether the key is there.
    ///
    /// # Errors
    /// `ViewTooOld`.
    pub fn contains(&self, key: &[u8]) -> Result<bool> {
        Ok(self.pin()?.tree().find(key).is_some())
    }

    /// How many entries the view has, exactly.
    ///
    /// # Errors
    /// `ViewTooOld`.
    pub fn len(&self) -> Result<u64> {
        Ok(self.pin()?.tree().size().entries)
    }

    /// Whether the view has no entry.
    ///
    /// # Errors
    /// `ViewTooOld`.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// What the range holds, in the time of two reads: entries exactly; bytes, too, but for values that were
    /// overwritten by longer or shorter ones since the view was taken.
    ///
    /// # Errors
    /// `ViewTooOld`.
    pub fn estimate(&self, range: KeyRange<'_>) -> Result<Estimate> {
        let size = self.pin()?.tree().size_of(range);
        Ok(Estimate { entries: size.entries, bytes: size.bytes, exact: true })
    }

    /// Calls `with` with what there is of each key, in their order.
    ///
    /// # Errors
    /// `ViewTooOld`; what `with` answers.
    pub fn find_each(
        &self,
        keys: &[&[u8]],
        mut with: impl FnMut(Option<Stored<'_>>) -> Result<()>,
    ) -> Result<()> {
        self.pin()?.tree().find_each(keys, |found| with(found.map(|record| record.stored())))
    }

    /// A cursor that keeps the view open by itself.
    pub fn walk(&self, range: KeyRange<'_>, direction: Direction) -> ViewCursor {
        ViewCursor::new(self.clone(), range, direction)
    }
}

impl ReadView for View {
    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        Ok(self.pin()?.tree().get(key, value))
    }

    fn multi_get(&self, keys: &[&[u8]], values: &mut Values) -> Result<()> {
        self.pin()?.tree().multi_get(keys, values);
        Ok(())
    }

    fn cursor(&self, range: KeyRange<'_>, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        Ok(Box::new(self.walk(range, direction)))
    }
}

/// An entry of a view, to be replaced if it is still there: the outcome of work that took a while.
#[derive(Debug, Clone)]
pub struct Held {
    pub(super) key: Box<[u8]>,
    /// That of the record: no other one of the key has it.
    pub(super) version: u64,
}

/// A walk over the entries of a view. It copies what it lends, and looks its next leaf up by key.
pub struct ViewCursor {
    view: View,
    walk: Walk,
    lent: Lent,
}

/// How far a cursor is.
struct Walk {
    start: Box<[u8]>,
    end: Option<Box<[u8]>>,
    direction: Direction,
    /// The leaf that the walk is in, and its entries that lie ahead. To be looked at under a pin of the view alone.
    leaf: Option<Shared<Node>>,
    ahead: Range<usize>,
    /// Where the walk goes on behind them: at or above the key, or in reverse below it; in reverse without a
    /// key at the very end.
    bound: Option<Vec<u8>>,
    /// Nothing of the range lies behind `ahead`.
    is_last: bool,
}

/// A copy of the entry that a cursor lends.
#[derive(Default)]
struct Lent {
    /// The key, and the value if it is here.
    bytes: Vec<u8>,
    key_len: usize,
    away: Option<Away>,
    version: u64,
}

impl Lent {
    fn copy(&mut self, record: Record<'_>) {
        let (key, stored) = (record.key(), record.stored());
        self.bytes.clear();
        self.bytes.shrink_to(ENTRY_MEMORY_BYTES);
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(stored.here());
        self.away = match stored {
            Stored::Here(_) => None,
            Stored::Away(away) => Some(away.clone()),
        };
        (self.key_len, self.version) = (key.len(), record.version());
    }

    fn entry(&self) -> (&[u8], Stored<'_>) {
        let (key, value) = self.bytes.split_at(self.key_len);
        (key, self.away.as_ref().map_or(Stored::Here(value), Stored::Away))
    }
}

impl ViewCursor {
    fn new(view: View, range: KeyRange<'_>, direction: Direction) -> Self {
        Self { view, walk: Walk::new(range, direction), lent: Lent::default() }
    }

    /// Like `next`, with the value as the map has it.
    ///
    /// # Errors
    /// `ViewTooOld`.
    pub fn next_stored(&mut self) -> Result<Option<(&[u8], Stored<'_>)>> {
        let pin = self.view.pin()?;
        let Some(cell) = self.walk.next(pin.tree()) else { return Ok(None) };
        self.lent.copy(cell.at(pin.tree().version()));
        Ok(Some(self.lent.entry()))
    }

    /// The entry that was lent last; an empty one before the first.
    pub fn lent(&self) -> (&[u8], Stored<'_>) {
        self.lent.entry()
    }

    /// The entry that was lent last, to be kept.
    pub fn hold(&self) -> Held {
        Held { key: self.lent.entry().0.into(), version: self.lent.version }
    }
}

impl Walk {
    fn new(range: KeyRange<'_>, direction: Direction) -> Self {
        let bound = match direction {
            Direction::Forward => Some(range.start().to_vec()),
            Direction::Reverse => range.end().map(<[u8]>::to_vec),
        };
        Self {
            start: range.start().into(),
            end: range.end().map(Into::into),
            direction,
            leaf: None,
            ahead: 0..0,
            bound,
            is_last: range.is_empty(),
        }
    }

    /// The cell of the next entry. The tree must be the same with every call.
    fn next(&mut self, tree: Tree<'_>) -> Option<&Cell> {
        if self.ahead.is_empty() && !self.is_last {
            self.load(tree);
        }
        let (at, later) = match self.direction {
            Direction::Forward => (self.ahead.next()?, self.ahead.clone().nth(FETCHED_AHEAD)),
            Direction::Reverse => (self.ahead.next_back()?, self.ahead.clone().nth_back(FETCHED_AHEAD)),
        };
        let cells = self.leaf.as_ref()?.entries().cells();
        if let Some(later) = later {
            cells[later].newest().prefetch();
        }
        Some(&cells[at])
    }

    /// Looks up the leaf at `bound` and moves `bound` behind it.
    fn load(&mut self, tree: Tree<'_>) {
        let found = match self.direction {
            Direction::Forward => tree.at_or_above(self.bound.as_deref().unwrap_or_default()),
            Direction::Reverse => tree.below(self.bound.as_deref()),
        };
        let Some((leaf, at)) = found else {
            self.is_last = true;
            return;
        };
        let entries = leaf.entries();
        let bound = self.bound.get_or_insert_default();
        bound.clear();
        match self.direction {
            Direction::Forward => {
                let end = self.end.as_ref().map_or(entries.len(), |end| entries.rank(end));
                self.ahead = at..end.max(at);
                self.is_last = end < entries.len();
                bound.extend_from_slice(entries.key(entries.len() - 1));
                bound.push(0);
            }
            Direction::Reverse => {
                let start = entries.rank(&self.start);
                self.ahead = start.min(at + 1)..at + 1;
                self.is_last = start > 0;
                bound.extend_from_slice(entries.key(0));
            }
        }
        let (coming, fetch) = (self.ahead.clone(), |at: usize| entries.cells()[at].newest().prefetch());
        match self.direction {
            Direction::Forward => coming.take(FETCHED_AHEAD).for_each(fetch),
            Direction::Reverse => coming.rev().take(FETCHED_AHEAD).for_each(fetch),
        }
        self.leaf = Some(leaf.duplicate());
    }

    fn seek(&mut self, key: &[u8]) {
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
    }
}

impl Cursor for ViewCursor {
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        Ok(self.next_stored()?.map(|(key, stored)| Entry { key, value: stored.here() }))
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.walk.seek(key);
        Ok(())
    }
}
