//! A run: tables side by side, which together are one sorted source.
//!
//! Promises: no key is in two tables of a run, so a read looks into one of them. Called by `version` and by readers.

use std::sync::Arc;

use adapter_api::{Direction, KeyRange, Result};

use crate::item::Item;
use crate::ranges::Span;
use crate::table::{Answer, Sought, Table, TableWalk};
use crate::walk::Walk;

/// Tables side by side, ascending.
pub(crate) struct Run {
    number: u64,
    tables: Vec<Arc<Table>>,
    has_ranges: bool,
}

impl Run {
    pub(crate) fn new(number: u64, mut tables: Vec<Arc<Table>>) -> Self {
        tables.sort_by(|one, other| one.info.lower.cmp(&other.info.lower));
        let has_ranges = tables.iter().any(|table| !table.ranges().is_empty());
        Self { number, tables, has_ranges }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    /// The one table that may say something of the key.
    pub(crate) fn table_for(&self, key: &[u8]) -> Option<&Arc<Table>> {
        let behind = self.tables.partition_point(|table| *table.info.lower <= *key);
        let table = self.tables.get(behind.checked_sub(1)?)?;
        table.info.range().contains(key).then_some(table)
    }

    /// The tables that may say something of a key of the range.
    pub(crate) fn tables_in(&self, range: KeyRange<'_>) -> &[Arc<Table>] {
        let first = self
            .tables
            .partition_point(|table| table.info.upper.as_deref().is_some_and(|upper| upper <= range.start()));
        let behind =
            self.tables.partition_point(|table| range.end().is_none_or(|end| *table.info.lower < *end));
        &self.tables[first.min(behind)..behind]
    }

    /// Asks the table that may know of the key.
    ///
    /// # Errors
    /// Those of reading, and what `with` answers.
    pub(crate) fn find<R>(
        &self,
        sought: &Sought<'_>,
        with: impl FnOnce(Item<'_>) -> Result<R>,
    ) -> Result<Answer<R>> {
        self.table_for(sought.key).map_or(Ok(Answer::Nothing), |table| table.find(sought, with))
    }

    /// Whether the run deletes the key in every older run.
    pub(crate) fn covers(&self, key: &[u8]) -> bool {
        self.covering(key).is_some()
    }

    /// The range around the key that the run deletes in every older run.
    pub(crate) fn covering(&self, key: &[u8]) -> Option<&Span> {
        let table = self.has_ranges.then(|| self.table_for(key)).flatten()?;
        table.ranges().covering(key)
    }
}

/// A walk over the tables of a run, one behind the other.
pub(crate) struct RunWalk {
    run: Arc<Run>,
    /// Of the range.
    start: Vec<u8>,
    end: Option<Vec<u8>>,
    direction: Direction,
    /// Whether it leaves the cache alone.
    is_once: bool,
    /// The table that the walk is in, and the walk there.
    current: Option<(usize, TableWalk)>,
    /// Which table comes next, if there is one.
    next: Option<usize>,
}

impl RunWalk {
    pub(crate) fn new(run: Arc<Run>, range: KeyRange<'_>, direction: Direction) -> Self {
        Self::begin(run, range, direction, false)
    }

    /// The same for whoever reads much and none of it again, as `Table::walk_once`.
    pub(crate) fn once(run: Arc<Run>, range: KeyRange<'_>, direction: Direction) -> Self {
        Self::begin(run, range, direction, true)
    }

    fn begin(run: Arc<Run>, range: KeyRange<'_>, direction: Direction, is_once: bool) -> Self {
        let (start, end) = (range.start().to_vec(), range.end().map(<[u8]>::to_vec));
        let mut walk = Self { run, start, end, direction, is_once, current: None, next: None };
        walk.next = walk.first_table();
        walk
    }

    fn range(&self) -> KeyRange<'_> {
        KeyRange::with_end(&self.start, self.end.as_deref())
    }

    fn first_table(&self) -> Option<usize> {
        let inside = self.run.tables_in(self.range());
        let first = inside.first()?;
        let at = self.run.tables.partition_point(|table| table.info.lower < first.info.lower);
        Some(if self.direction == Direction::Forward { at } else { at + inside.len() - 1 })
    }

    fn enter(&mut self, at: usize) {
        let table = &self.run.tables[at];
        let walk = match self.is_once {
            true => table.walk_once(self.range(), self.direction),
            false => table.walk(self.range(), self.direction),
        };
        self.current = Some((at, walk));
        let next = match self.direction {
            Direction::Forward => Some(at + 1),
            Direction::Reverse => at.checked_sub(1),
        };
        self.next = self.inside(next);
    }

    /// The table, if it may have keys of the range.
    fn inside(&self, at: Option<usize>) -> Option<usize> {
        at.filter(|at| self.run.tables.get(*at).is_some_and(|table| table.info.overlaps(self.range())))
    }
}

impl Walk for RunWalk {
    fn advance(&mut self) -> Result<bool> {
        loop {
            if let Some((_, walk)) = &mut self.current
                && walk.advance()?
            {
                return Ok(true);
            }
            let Some(at) = self.next.take() else { return Ok(false) };
            self.enter(at);
        }
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        let tables = &self.run.tables;
        let at = match self.direction {
            Direction::Forward => Some(tables.partition_point(|table| {
                table.info.upper.as_deref().is_some_and(|upper| upper <= key.max(&self.start))
            })),
            Direction::Reverse => {
                let behind = tables.partition_point(|table| *table.info.lower <= *key);
                behind.checked_sub(1).min(self.first_table())
            }
        };
        (self.current, self.next) = (None, None);
        if let Some(at) = self.inside(at) {
            self.enter(at);
            if let Some((_, walk)) = &mut self.current {
                walk.seek(key)?;
            }
        }
        Ok(())
    }

    fn key(&self) -> &[u8] {
        self.current.as_ref().map_or(&[], |(_, walk)| walk.key())
    }

    fn item(&self) -> Item<'_> {
        self.current.as_ref().map_or(Item::Tombstone, |(_, walk)| walk.item())
    }

    fn covers(&self, key: &[u8]) -> bool {
        self.run.covers(key)
    }

    fn has_ranges(&self) -> bool {
        self.run.has_ranges
    }

    fn covering(&self, key: &[u8]) -> Option<&Span> {
        self.run.covering(key)
    }
}
