//! fjall. Every commit syncs its journal's data; relaxed: the journal is written, not synced.

use std::path::Path;

use anyhow::Result;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable, Snapshot};

use crate::data::{Key, Value};
use crate::store::{Change, Reader, Settings, Store, Visit, sorted};

struct Fjall {
    database: Database,
    entries: Keyspace,
    relaxed: bool,
}

pub fn open(directory: &Path, settings: Settings) -> Result<Box<dyn Store>> {
    let database = Database::builder(directory).cache_size(settings.cache_bytes).open()?;
    let entries = database.keyspace("entries", KeyspaceCreateOptions::default)?;
    Ok(Box::new(Fjall { database, entries, relaxed: settings.relaxed }))
}

impl Store for Fjall {
    fn write(&self, changes: &[Change], _: usize) -> Result<()> {
        let mode = if self.relaxed { PersistMode::Buffer } else { PersistMode::SyncData };
        let mut batch = self.database.batch().durability(Some(mode));
        for Change { key, value } in changes {
            match value {
                Some(value) => batch.insert(&self.entries, &key[..], &value[..]),
                None => batch.remove(&self.entries, &key[..]),
            }
        }
        Ok(batch.commit()?)
    }

    fn load(&self, entries: &mut dyn Iterator<Item = (Key, Value)>) -> Result<()> {
        let mut ingestion = self.entries.start_ingestion()?;
        for (key, value) in sorted(entries) {
            ingestion.write(&key[..], &value[..])?;
        }
        Ok(ingestion.finish()?)
    }

    fn read(&self, work: &mut dyn FnMut(&mut dyn Reader) -> Result<()>) -> Result<()> {
        work(&mut View { snapshot: self.database.snapshot(), entries: &self.entries })
    }

    fn sync(&self) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }

    fn settle(&self) -> Result<()> {
        self.entries.rotate_memtable_and_wait()?;
        Ok(self.entries.major_compact()?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.sync()
    }
}

struct View<'a> {
    snapshot: Snapshot,
    entries: &'a Keyspace,
}

impl Reader for View<'_> {
    fn get(&mut self, key: &Key, found: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<bool> {
        self.snapshot.get(self.entries, key)?.map_or(Ok(false), |value| found(&value).map(|()| true))
    }

    fn range(&mut self, from: &[u8], limit: usize, visit: &mut Visit<'_>) -> Result<()> {
        for entry in self.snapshot.range(self.entries, from..).take(limit) {
            let (key, value) = entry.into_inner()?;
            visit(&key, &value)?;
        }
        Ok(())
    }
}
