//! Opens a damaged directory for reading what can still be read.
//!
//! | what is whole | what is read |
//! |---|---|
//! | the manifest | the tables that it names, each as far as it is whole, and the log behind them |
//! | some of its edits, or none | every table that there is: those that an edit names in their places, the others as if flushes had made them one after the other; and all of the log |
//!
//! A source that has lost a block says nothing of its keys, so what older sources say of them comes back. Without the
//! manifest the order of tables is guessed, and tables count that did not any more. Both are findings.
//!
//! Promises: each damage is told once, by `open` or by the read that comes to it, and no read fails for it; nothing is written. Memory is
//! the budget of the cache and what the log has. Called by `engine`.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use adapter_api::environment::Directory;
use adapter_api::{EngineError, Result, Watch};
use wal::{LogOptions, Lsn};

use crate::cache::Cache;
use crate::files::{Graveyard, number_in};
use crate::losses::Losses;
use crate::manifest::Manifest;
use crate::recovery::{Blobs, Redo, list};
use crate::settings::Settings;
use crate::sources::Sources;
use crate::table::Table;
use crate::version::{Place, TableInfo, Version};

/// Reads what is left, and tells `watch` what is not.
pub(crate) fn open(
    directory: &Arc<dyn Directory>,
    log_options: LogOptions,
    settings: &Settings,
    watch: Arc<dyn Watch>,
) -> Result<Sources> {
    let (losses, names) = (&Losses::new(watch), list(&**directory)?);
    let (cache, graveyard) = (&Cache::new(settings.cache_bytes), &Arc::<Graveyard>::default());
    let (found, is_whole) = Manifest::salvage(&**directory, &names, losses)?;
    let mut tables: BTreeMap<u64, (Place, Option<TableInfo>)> =
        found.tables.into_iter().map(|(id, (place, info))| (id, (place, Some(info)))).collect();
    if !is_whole {
        for id in names.iter().filter_map(|name| number_in(name, "table-")) {
            tables.entry(id).or_insert((Place { level: 0, run: id }, None));
        }
    }
    let open = |(id, (place, named)): (u64, (Place, Option<TableInfo>))| {
        Some((place, Table::salvage(&**directory, id, named.as_ref(), cache, graveyard, losses)?))
    };
    let tables: Vec<_> = tables.into_iter().filter_map(open).collect();
    let version = Version::of(if is_whole { tables } else { apart(tables) });
    let mut blobs = Blobs { directory, graveyard, open: BTreeMap::new(), losses: Some(Arc::clone(losses)) };
    names.iter().filter_map(|name| number_in(name, "blob-")).try_for_each(|id| blobs.need(id))?;
    let (from, next_id) = match is_whole {
        true => (found.position + 1, found.next_id),
        false => (first_record(directory, found.position + 1, &**losses)?, u64::MAX),
    };
    let mut redo = Redo::new(settings.memtable_bytes, log_options, next_id, blobs);
    let recovery = wal::salvage(directory, from, &**losses, &mut |lsn, record| {
        redo.take(lsn, record).or_else(|error| {
            losses.finding(error);
            Ok(())
        })
    })?;
    let sources = redo.finish(version)?;
    let tables = sources.version.tables().count();
    log::info!("salvaged what is left of {tables} tables and {} log records", recovery.replayed);
    Ok(sources)
}

/// Every table as a run of its own: nobody knows whether those of a run still lie side by side.
fn apart(mut tables: Vec<(Place, Arc<Table>)>) -> Vec<(Place, Arc<Table>)> {
    tables.sort_by_key(|(place, table)| (*place, table.info.id));
    let numbered = tables.into_iter().zip(1..);
    numbered.map(|((place, table), run)| (Place { run, ..place }, table)).collect()
}

/// The first record from a number on that the log has; tables have those before it.
fn first_record(directory: &Arc<dyn Directory>, from: Lsn, watch: &dyn Watch) -> Result<Lsn> {
    let mut first = None;
    let outcome = wal::salvage(directory, from, &Quiet(watch), &mut |lsn, _| {
        first = Some(lsn);
        Err(EngineError::rejected("this is the first one"))
    });
    first.map_or_else(|| outcome.map(|_| from), Ok)
}

/// Leaves it to a later look to tell of damage.
struct Quiet<'a>(&'a dyn Watch);

impl Watch for Quiet<'_> {
    fn progress(&self, done: u64, total: u64) -> ControlFlow<()> {
        self.0.progress(done, total)
    }

    fn finding(&self, _: EngineError) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::{Model, Shelf};

    #[test]
    fn tables_that_may_overlap_are_runs_of_their_own_and_newer_ones_come_first() {
        let (shelf, model) = (Shelf::new(), Model::from([(vec![1], vec![0, 1]), (vec![9], vec![0, 9])]));
        let at = |level, run, id| (Place { level, run }, shelf.table(id, &model));
        let version = Version::of(apart(vec![at(7, 1, 3), at(7, 1, 8), at(0, 5, 5), at(0, 9, 4)]));
        let ids: Vec<_> = version.runs().map(|(level, run)| (level, run.tables()[0].info.id)).collect();
        assert_eq!(ids, [(0, 4), (0, 5), (7, 8), (7, 3)]);
    }
}
