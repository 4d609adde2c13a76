//! Views of a `VersionedMap` and cursors over them, and the table of open views that bounds what they hold.
//!
//! Promises: a view that is dropped gives back at once what it held; a view that is too old gives it back
//! even if nobody drops it, and then answers `ViewTooOld`; so a view or cursor that is kept for ever holds at
//! most one leaf. A view outlives its map. Called by `versioned_map` and, through it, by engines.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::record::{Held as HeldEntry, Stored};
use super::tree::{Node, Tree};
use crate::{Buffer, Cursor, Direction, EngineError, Entry, Estimate, KeyRange, ReadView, Result, Values};

/// A version of the map, and how much had been discarded when it was published.
#[derive(Clone, Default)]
pub(super) struct Moment {
    pub(super) tree: Tree,
    pub(super) version: u64,
    /// Bytes discarded since the map was made.
    pub(super) discarded: u64,
}

impl Tree {
    pub(super) fn get(&self, key: &[u8], value: &mut Buffer) -> bool {
        let found = self.find(key);
        if let Some(found) = found {
            value.extend_from_slice(found.here());
        }
        found.is_some()
    }

    pub(super) fn multi_get(&self, keys: &[&[u8]], values: &mut Values) {
        for key in keys {
            match self.find(key) {
                Some(found) => values.push(found.here()),
                None => values.push_absent(),
            }
        }
    }
}

/// What a view holds, until it is too old.
struct Held {
    tree: RwLock<Option<Tree>>,
    /// `Moment::discarded` when the view was taken.
    discarded: u64,
}

/// The views that somebody holds, oldest first.
#[derive(Default)]
pub(super) struct OpenViews {
    table: Mutex<ViewTable>,
}

#[derive(Default)]
struct ViewTable {
    next_id: u64,
    /// Of all views since the table was last empty.
    newest_version: u64,
    open: BTreeMap<u64, Arc<Held>>,
}

impl OpenViews {
    fn table(&self) -> MutexGuard<'_, ViewTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No open view is of a newer version.
    pub(super) fn newest_version(&self) -> u64 {
        self.table().newest_version
    }

    /// How many views are open, and how much had been discarded when the oldest was taken.
    pub(super) fn count(&self) -> (u64, Option<u64>) {
        let table = self.table();
        let oldest = table.open.first_key_value().map(|(_, held)| held.discarded);
        (table.open.len() as u64, oldest)
    }

    /// Ends every view that was taken before `discarded` bytes had been discarded, and frees what it held.
    pub(super) fn end_older_than(&self, discarded: u64) {
        loop {
            let mut table = self.table();
            let Some(oldest) = table.open.first_entry().filter(|oldest| oldest.get().discarded < discarded)
            else {
                return;
            };
            let held = oldest.remove();
            drop(table);
            let tree = held.tree.write().unwrap_or_else(PoisonError::into_inner).take();
            drop(tree);
        }
    }
}

/// A point in time of a `VersionedMap`. Clones share what they hold.
#[derive(Clone)]
pub struct View {
    open: Arc<OpenView>,
}

/// One row of the table of open views; dropping it removes the row.
struct OpenView {
    held: Arc<Held>,
    views: Arc<OpenViews>,
    id: u64,
}

impl Drop for OpenView {
    fn drop(&mut self) {
        let mut table = self.views.table();
        // What the view held is freed with the last owner of `held`, when nobody waits for the table.
        let _held = table.open.remove(&self.id);
        if table.open.is_empty() {
            table.newest_version = 0;
        }
        drop(table);
    }
}

impl View {
    pub(super) fn open(views: &Arc<OpenViews>, moment: Moment) -> Self {
        let held = Arc::new(Held { tree: RwLock::new(Some(moment.tree)), discarded: moment.discarded });
        let mut table = views.table();
        let id = table.next_id;
        table.next_id += 1;
        table.newest_version = table.newest_version.max(moment.version);
        table.open.insert(id, Arc::clone(&held));
        drop(table);
        Self { open: Arc::new(OpenView { held, views: Arc::clone(views), id }) }
    }

    /// Whether the key is there.
    ///
    /// # Errors
    /// `ViewTooOld`.
    pub fn contains(&self, key: &[u8]) -> Result<bool> {
        Ok(self.tree()?.find(key).is_some())
    }

    /// How many entries the view has, exactly.
    ///
    /// # Errors
    /// `ViewTooOld`.
    pub fn len(&self) -> Result<u64> {
        Ok(self.tree()?.size().entries)
    }

    /// Whether the view has no entry.
    ///
    /// # Errors
    /// `ViewTooOld`.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// What the range holds, exactly, in the time of two reads.
    ///
    /// # Errors
    /// `ViewTooOld`.
    pub fn estimate(&self, range: KeyRange<'_>) -> Result<Estimate> {
        let size = self.tree()?.size_of(range);
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
        let tree = self.tree()?;
        keys.iter().try_for_each(|key| with(tree.find(key)))
    }

    /// A cursor that keeps the view open by itself.
    pub fn walk(&self, range: KeyRange<'_>, direction: Direction) -> ViewCursor {
        ViewCursor::new(self.clone(), range, direction)
    }

    /// The tree, for one short use: while somebody uses it, it is not freed.
    fn tree(&self) -> Result<Tree> {
        let tree = self.open.held.tree.read().unwrap_or_else(PoisonError::into_inner).clone();
        tree.ok_or(EngineError::ViewTooOld)
    }
}

impl ReadView for View {
    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        Ok(self.tree()?.get(key, value))
    }

    fn multi_get(&self, keys: &[&[u8]], values: &mut Values) -> Result<()> {
        self.tree()?.multi_get(keys, values);
        Ok(())
    }

    fn cursor(&self, range: KeyRange<'_>, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        Ok(Box::new(self.walk(range, direction)))
    }
}

/// A walk over the entries of a view. It holds one leaf at a time and looks the next one up by key, so a
/// cursor that nobody moves holds next to nothing.
pub struct ViewCursor {
    view: View,
    start: Box<[u8]>,
    end: Option<Box<[u8]>>,
    direction: Direction,
    leaf: Arc<Node>,
    /// The entries of the leaf that lie ahead.
    ahead: Range<usize>,
    /// Where the walk goes on behind them: at or above the key, or in reverse below it; in reverse without a
    /// key at the very end.
    bound: Option<Vec<u8>>,
    /// Nothing of the range lies behind `ahead`.
    is_last: bool,
}

impl ViewCursor {
    fn new(view: View, range: KeyRange<'_>, direction: Direction) -> Self {
        let bound = match direction {
            Direction::Forward => Some(range.start().to_vec()),
            Direction::Reverse => range.end().map(<[u8]>::to_vec),
        };
        Self {
            view,
            start: range.start().into(),
            end: range.end().map(Into::into),
            direction,
            leaf: Arc::default(),
            ahead: 0..0,
            bound,
            is_last: range.is_empty(),
        }
    }

    /// Looks up the leaf at `bound` and moves `bound` behind it.
    fn load(&mut self) -> Result<()> {
        let tree = self.view.tree()?;
        let found = match self.direction {
            Direction::Forward => tree.at_or_above(self.bound.as_deref().unwrap_or_default()),
            Direction::Reverse => tree.below(self.bound.as_deref()),
        };
        let Some((leaf, at)) = found else {
            self.is_last = true;
            return Ok(());
        };
        let entries = leaf.entries();
        let bound = self.bound.get_or_insert_default();
        bound.clear();
        match self.direction {
            Direction::Forward => {
                let end = self.end.as_ref().map_or(entries.len(), |end| entries.rank(end));
                self.ahead = at..end.max(at);
                self.is_last = end < entries.len();
                bound.extend_from_slice(entries.last_key());
                bound.push(0);
            }
            Direction::Reverse => {
                let start = entries.rank(&self.start);
                self.ahead = start.min(at + 1)..at + 1;
                self.is_last = start > 0;
                bound.extend_from_slice(entries.first_key());
            }
        }
        self.leaf = leaf;
        Ok(())
    }
}

impl ViewCursor {
    /// Like `next`, with the value as the map has it.
    ///
    /// # Errors
    /// `ViewTooOld`.
    pub fn next_stored(&mut self) -> Result<Option<(&[u8], Stored<'_>)>> {
        let at = self.advance()?;
        Ok(at.map(|at| self.leaf.entries().entry(at)))
    }

    /// Like `next`, keeping the entry.
    ///
    /// # Errors
    /// `ViewTooOld`.
    pub fn next_held(&mut self) -> Result<Option<HeldEntry>> {
        let at = self.advance()?;
        Ok(at.map(|at| HeldEntry { leaf: Arc::clone(&self.leaf), at }))
    }

    /// Moves on; answers where in the leaf the next entry is.
    fn advance(&mut self) -> Result<Option<usize>> {
        if self.ahead.is_empty() && !self.is_last {
            self.load()?;
        }
        Ok(match self.direction {
            Direction::Forward => self.ahead.next(),
            Direction::Reverse => self.ahead.next_back(),
        })
    }
}

impl Cursor for ViewCursor {
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        Ok(self.next_stored()?.map(|(key, stored)| Entry { key, value: stored.here() }))
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

#[cfg(test)]
impl View {
    /// The root of what the view holds, to see whether it is freed.
    pub(super) fn tree_for_test(&self) -> Arc<Node> {
        self.tree().map(|tree| Arc::clone(&tree.root.node)).unwrap_or_default()
    }
}
