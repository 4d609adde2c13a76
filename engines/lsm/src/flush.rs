//! A flush: sealed memtables become a table of level 0.
//!
//! ```text
//! memtables ─▶ merge, tombstones too ─▶ table, long values into a blob file ─▶ sync ─▶ names ─▶ edit of the manifest
//! ```
//!
//! Promises: a step writes about 1 MiB; nothing counts before the edit does, and a flush that failed begins anew with
//! other files. Called by the store, in a lane.

use std::sync::Arc;

use adapter_api::environment::Cause;
use adapter_api::{Direction, KeyRange, Result};

use crate::catalog::Catalog;
use crate::files::table_name;
use crate::item::Item;
use crate::long_values::LongValues;
use crate::memtable::{Memtable, MemtableWalk};
use crate::merge::MergeWalk;
use crate::ranges::Ranges;
use crate::settings::Settings;
use crate::table::TableBuilder;
use crate::version::{Edit, Place};
use crate::walk::Walk;

/// How many bytes one step writes, about.
const STEP_BYTES: u64 = 1 << 20;

/// A flush on its way.
pub(crate) struct Flush {
    /// The newest first.
    memtables: Vec<Arc<Memtable>>,
    walk: MergeWalk,
    builder: Option<TableBuilder>,
    ranges: Ranges,
    long_values: LongValues,
    names: Vec<String>,
    since: u64,
}

impl Flush {
    /// Begins to flush sealed memtables, the newest first.
    pub(crate) fn begin(
        catalog: &Catalog,
        settings: &Settings,
        memtables: Vec<Arc<Memtable>>,
    ) -> Result<Self> {
        let (all, forward) = (KeyRange::all(), Direction::Forward);
        let walks = memtables
            .iter()
            .map(|it| Box::new(MemtableWalk::new(it, it.snapshot(), all, forward)) as Box<dyn Walk>);
        let walk = MergeWalk::new(walks.collect(), forward).keeping_tombstones();
        let mut ranges = Ranges::default();
        memtables.iter().for_each(|memtable| ranges.add_all(memtable.ranges()));
        let (table, since) = (catalog.next_id(), catalog.failed_syncs.count());
        let builder = TableBuilder::create(&*catalog.directory, table, settings.table(0, Cause::Flush))?;
        let names = vec![table_name(table)];
        Ok(Self {
            memtables,
            walk,
            builder: Some(builder),
            ranges,
            long_values: LongValues::new(catalog, settings),
            names,
            since,
        })
    }

    /// Writes a bounded part; answers the edit when everything is written and synced.
    pub(crate) fn step(&mut self, catalog: &Catalog) -> Result<Option<Edit>> {
        let Some(builder) = &mut self.builder else { return Ok(None) };
        let (mut written, start) = (0, builder.bytes());
        while written + builder.bytes() - start < STEP_BYTES {
            if !self.walk.advance()? {
                return self.finish(catalog).map(Some);
            }
            let (key, item) = (self.walk.key(), self.walk.item());
            let placed = self.long_values.place((key, item), &mut self.names)?;
            if let (Item::Value(value), Item::Blob(_)) = (item, placed) {
                written += value.len() as u64;
            }
            builder.add(key, placed)?;
        }
        Ok(None)
    }

    fn finish(&mut self, catalog: &Catalog) -> Result<Edit> {
        let mut edit = Edit { position: self.memtables.first().map(|it| it.last()), ..Edit::default() };
        self.long_values.finish()?;
        if let Some(builder) = self.builder.take() {
            let info = builder.finish(std::mem::take(&mut self.ranges))?;
            edit.added.push((Place { level: 0, run: catalog.next_id() }, info));
        }
        catalog.directory.sync().map_err(|error| {
            adapter_api::EngineError::failed_by("could not make the name of a new table durable", error)
        })?;
        Ok(edit)
    }

    pub(crate) fn memtables(&self) -> &[Arc<Memtable>] {
        &self.memtables
    }

    /// How many syncs of the directory had failed when it began.
    pub(crate) fn since(&self) -> u64 {
        self.since
    }

    /// The files that it has begun, to be removed.
    pub(crate) fn into_names(self) -> Vec<String> {
        self.names
    }
}
