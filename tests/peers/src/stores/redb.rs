//! redb. Every commit is `Durability::Immediate`; relaxed: `None`, made durable by an empty commit behind it.

use std::path::Path;

use anyhow::Result;
use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition, WriteTransaction};

use crate::data::{Key, Value};
use crate::store::{Change, Reader, Settings, Store, Visit, sorted};

const ENTRIES: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("entries");

struct Redb {
    database: Database,
    relaxed: bool,
}

pub fn open(directory: &Path, settings: Settings) -> Result<Box<dyn Store>> {
    let cache = usize::try_from(settings.cache_bytes)?;
    let database = Database::builder().set_cache_size(cache).create(directory.join("entries.redb"))?;
    let txn = database.begin_write()?;
    txn.open_table(ENTRIES)?;
    txn.commit()?;
    Ok(Box::new(Redb { database, relaxed: settings.relaxed }))
}

impl Redb {
    fn begin(&self, relaxed: bool) -> Result<WriteTransaction> {
        let mut txn = self.database.begin_write()?;
        txn.set_durability(if relaxed { Durability::None } else { Durability::Immediate })?;
        Ok(txn)
    }
}

impl Store for Redb {
    fn write(&self, changes: &[Change], _: usize) -> Result<()> {
        let txn = self.begin(self.relaxed)?;
        {
            let mut table = txn.open_table(ENTRIES)?;
            for Change { key, value } in changes {
                match value {
                    Some(value) => drop(table.insert(&key[..], &value[..])?),
                    None => drop(table.remove(&key[..])?),
                }
            }
        }
        Ok(txn.commit()?)
    }

    fn load(&self, entries: &mut dyn Iterator<Item = (Key, Value)>) -> Result<()> {
        let txn = self.begin(false)?;
        {
            let mut table = txn.open_table(ENTRIES)?;
            for (key, value) in sorted(entries) {
                table.insert(&key[..], &value[..])?;
            }
        }
        Ok(txn.commit()?)
    }

    fn read(&self, work: &mut dyn FnMut(&mut dyn Reader) -> Result<()>) -> Result<()> {
        work(&mut View(self.database.begin_read()?.open_table(ENTRIES)?))
    }

    fn sync(&self) -> Result<()> {
        Ok(self.begin(false)?.commit()?)
    }

    fn settle(&self) -> Result<()> {
        // It has no background work; its own compaction wants the database for itself.
        self.sync()
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct View(ReadOnlyTable<&'static [u8], &'static [u8]>);

impl Reader for View {
    fn get(&mut self, key: &Key, found: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<bool> {
        self.0.get(&key[..])?.map_or(Ok(false), |value| found(value.value()).map(|()| true))
    }

    fn range(&mut self, from: &[u8], limit: usize, visit: &mut Visit<'_>) -> Result<()> {
        for entry in self.0.range::<&[u8]>(from..)?.take(limit) {
            let (key, value) = entry?;
            visit(key.value(), value.value())?;
        }
        Ok(())
    }
}
