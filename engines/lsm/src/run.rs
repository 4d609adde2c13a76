//! A run: tables side by side, which together are one sorted source.
//!
//! Promises: no key is in two tables of a run, so a read looks into one of them. Called by `version` and by readers.

use std::ops::Range;
use std::sync::Arc;

use adapter_api::{Direction, KeyRange, Result};

use crate::item::Item;
use crate::ranges::Span;
use crate::table::{Answer, Bounds, Sought, Stretch, Table, TableWalk};
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
        &self.tables[self.inside(range)]
    }

    /// Which tables those are.
    fn inside(&self, range: KeyRange<'_>) -> Range<usize> {
        let first = self.first_behind(range.start());
        let behind = range
            .end()
            .map_or(self.tables.len(), |end| self.tables.partition_point(|table| *table.info.lower < *end));
        first.min(behind)..behind
    }

    /// The first table that may say something of the key or of one behind it.
    fn first_behind(&self, key: &[u8]) -> usize {
        let behind = self.tables.partition_point(|table| *table.info.lower <= *key);
        let holds = |at: &usize| self.tables[*at].info.upper.as_deref().is_none_or(|upper| key < upper);
        behind.checked_sub(1).filter(holds).unwrap_or(behind)
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
    bounds: Arc<Bounds>,
    direction: Direction,
    /// Whether it leaves the cache alone.
    is_once: bool,
    /// The walk in the table that it is in, and the tables that are left.
    current: Option<TableWalk>,
    left: Range<usize>,
}

impl RunWalk {
    /// A walk of the tables in these bounds. One that is made once is for whoever reads much and none of it again, as
    /// `Table::walk`.
    pub(crate) fn new(run: Arc<Run>, bounds: Arc<Bounds>, direction: Direction, is_once: bool) -> Self {
        let left = run.inside(bounds.range());
        Self { run, bounds, direction, is_once, current: None, left }
    }

    /// Whether there is a table in the bounds that the walk has not come to.
    pub(crate) fn has_more(&self) -> bool {
        !self.left.is_empty()
    }

    /// Enters the next table; answers whether there is one.
    fn enter(&mut self) -> bool {
        let next = match self.direction {
            Direction::Forward => self.left.next(),
            Direction::Reverse => self.left.next_back(),
        };
        let table = next.map(|at| &self.run.tables[at]);
        self.current = table.map(|table| table.walk(&self.bounds, self.direction, self.is_once));
        self.current.is_some()
    }
}

impl Walk for RunWalk {
    fn advance(&mut self) -> Result<bool> {
        loop {
            if let Some(walk) = &mut self.current
                && walk.advance()?
            {
                return Ok(true);
            }
            if !self.enter() {
                return Ok(false);
            }
        }
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        let Range { start, end } = self.run.inside(self.bounds.range());
        self.left = match self.direction {
            Direction::Forward => self.run.first_behind(key).clamp(start, end)..end,
            Direction::Reverse => {
                let behind = self.run.tables.partition_point(|table| *table.info.lower <= *key);
                start..behind.clamp(start, end)
            }
        };
        self.enter();
        self.current.as_mut().map_or(Ok(()), |walk| walk.seek(key))
    }

    fn prefetch(&mut self) {
        if self.current.is_some() || self.enter() {
            self.current.iter_mut().for_each(Walk::prefetch);
        }
    }

    fn key(&self) -> &[u8] {
        self.current.as_ref().map_or(&[], Walk::key)
    }

    fn item(&self) -> Item<'_> {
        self.current.as_ref().map_or(Item::Tombstone, Walk::item)
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

    fn count_before(&self, bound: Option<&[u8]>) -> usize {
        self.current.as_ref().map_or(0, |walk| walk.count_before(bound))
    }

    fn lend(&mut self, count: usize, stretch: &mut Stretch) -> bool {
        self.current.as_mut().is_some_and(|walk| walk.lend(count, stretch))
    }
}
