//! Sorted entries that are stored as one: tables, written once.
//!
//! ```text
//! entries ─▶ tables, long values into blob files ─▶ sync ─▶ writer's turn: is the range empty? ─▶ edit of the manifest
//! ```
//!
//! The tables become the newest run of level 0, and move down without being written again. Whatever a memtable says of the
//! range, a tombstone for example, has to become older than that, so it is flushed first. Promises: all entries count or
//! none; what is refused changed nothing. Others write meanwhile, but for the end. Called by the engine.

use adapter_api::environment::Cause;
use adapter_api::{Cursor, Direction, EngineError, Entry, KEY_BYTES_MAX, KeyRange, Result, VALUE_BYTES_MAX};
use wal::lock;

use crate::catalog::Catalog;
use crate::files::table_name;
use crate::item::Item;
use crate::long_values::LongValues;
use crate::picker;
use crate::ranges::Ranges;
use crate::store::Store;
use crate::table::TableBuilder;
use crate::version::{Edit, Place, TableInfo};
use crate::walk::Walk;

/// Stores sorted entries, if there is no key from the first to the last of them.
///
/// # Errors
/// `Rejected` if there is one, or if the entries do not ascend; `Full` and `Failed`. Nothing changed.
pub(crate) fn ingest(store: &Store, entries: &mut dyn Cursor) -> Result<()> {
    let since = store.catalog.failed_syncs.count();
    let (infos, names) = (Vec::new(), Vec::new());
    let long_values = LongValues::new(&store.catalog, &store.settings);
    let mut tables = Tables { store, since, builder: None, long_values, infos, names };
    let outcome = tables.write(entries).and_then(|ends| match ends {
        Some((first, last)) => commit(store, &mut tables, &first, &last),
        None => Ok(()),
    });
    let left = std::mem::take(&mut tables.names);
    left.into_iter().for_each(|name| store.catalog.graveyard.put_back(name));
    store.catalog.bury();
    outcome
}

/// Makes the tables count, if the range is empty.
fn commit(store: &Store, tables: &mut Tables<'_>, first: &[u8], last: &[u8]) -> Result<()> {
    let end = [last, &[0]].concat();
    let range = KeyRange::new(first, &end);
    // Before the writer's turn most of it is flushed; what comes in between is little.
    if is_in_memtables(&store.catalog, range) {
        store.seal_and_flush()?;
    }
    let _turn = lock(&store.writer);
    if is_in_memtables(&store.catalog, range) {
        store.seal();
        store.flush_all()?;
    }
    if store.catalog.moment().walk(range, Direction::Forward).advance()? {
        let (first, last) = (first.escape_ascii(), last.escape_ascii());
        return Err(EngineError::rejected(format!(
            "the range of the entries, \"{first}\" to \"{last}\", is not empty"
        )));
    }
    // What was acknowledged before has to be proven before something newer counts.
    store.note_manifest()?;
    let place = Place { level: 0, run: store.catalog.next_id() };
    let added = tables.infos.drain(..).map(|info| (place, info)).collect();
    match store.catalog.install(Edit { added, ..Edit::default() }, tables.since, &[]) {
        Ok(()) => {
            tables.names.clear();
            store.note_new_run();
            Ok(())
        }
        Err(crate::catalog::Failed::Before(error)) => Err(error),
        Err(crate::catalog::Failed::Doubtful(error)) => {
            tables.names.clear();
            Err(EngineError::failed_by("it is unknown whether the ingest is durable", error))
        }
    }
}

/// Whether a memtable says anything of the range.
fn is_in_memtables(catalog: &Catalog, range: KeyRange<'_>) -> bool {
    catalog.sources().memtables().any(|it| it.estimate(range).0 > 0 || it.ranges().overlaps(range))
}

/// Tables on their way.
struct Tables<'a> {
    store: &'a Store,
    /// How many syncs of the directory had failed when it began.
    since: u64,
    builder: Option<TableBuilder>,
    long_values: LongValues,
    infos: Vec<TableInfo>,
    /// The files that were begun, to be removed unless they count.
    names: Vec<String>,
}

impl Tables<'_> {
    /// Writes all entries and makes them durable; answers the first and the last key.
    fn write(&mut self, entries: &mut dyn Cursor) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let mut ends: Option<(Vec<u8>, Vec<u8>)> = None;
        while let Some(Entry { key, value }) = entries.next()? {
            check(key, value, ends.as_ref().map(|(_, last)| &**last))?;
            match &mut ends {
                Some((_, last)) => {
                    last.clear();
                    last.extend_from_slice(key);
                }
                None => ends = Some((key.to_vec(), key.to_vec())),
            }
            self.add(key, value)?;
        }
        self.finish_table()?;
        self.long_values.finish()?;
        let directory = &self.store.catalog.directory;
        directory.sync().map_err(|error| {
            EngineError::failed_by("could not make the names of new tables durable", error)
        })?;
        Ok(ends)
    }

    fn add(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let (catalog, settings) = (&self.store.catalog, &self.store.settings);
        if self.builder.as_ref().is_some_and(|builder| builder.bytes() >= settings.table_bytes) {
            self.finish_table()?;
        }
        let builder = match &mut self.builder {
            Some(builder) => builder,
            None => {
                let number = catalog.next_id();
                self.names.push(table_name(number));
                // It will move down as it is, so it is written as for the last level.
                let options = settings.table(picker::LAST as u8, Cause::Ingest);
                self.builder.insert(TableBuilder::create(&*catalog.directory, number, options)?)
            }
        };
        let entry = (key, Item::Value(value));
        builder.add(key, self.long_values.place(entry, &mut self.names)?)
    }

    fn finish_table(&mut self) -> Result<()> {
        if let Some(builder) = self.builder.take() {
            self.infos.push(builder.finish(Ranges::default())?);
        }
        Ok(())
    }
}

/// Refuses what does not ascend, or is longer than keys and values are.
fn check(key: &[u8], value: &[u8], last: Option<&[u8]>) -> Result<()> {
    if !(1..=KEY_BYTES_MAX).contains(&key.len()) || value.len() > VALUE_BYTES_MAX {
        return Err(EngineError::rejected(format!(
            "an entry has a key of {} and a value of {} bytes, which is more or less than may be",
            key.len(),
            value.len()
        )));
    }
    match last.is_some_and(|last| last >= key) {
        true => {
            Err(EngineError::rejected(format!("the entries do not ascend at \"{}\"", key.escape_ascii())))
        }
        false => Ok(()),
    }
}
