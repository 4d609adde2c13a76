//! sled. Every commit is followed by a flush; relaxed: it flushes by itself.

use std::path::Path;

use anyhow::Result;
use sled::{Batch, Db};

use crate::data::{Key, Value};
use crate::store::{Change, Reader, Settings, Store, Visit};

const LOAD_BATCH: usize = 1000;

struct Sled {
    database: Db,
    relaxed: bool,
}

pub fn open(directory: &Path, settings: Settings) -> Result<Box<dyn Store>> {
    let database = sled::Config::new().path(directory).cache_capacity(settings.cache_bytes).open()?;
    Ok(Box::new(Sled { database, relaxed: settings.relaxed }))
}

impl Store for Sled {
    fn write(&self, changes: &[Change], _: usize) -> Result<()> {
        let mut batch = Batch::default();
        for Change { key, value } in changes {
            match value {
                Some(value) => batch.insert(&key[..], &value[..]),
                None => batch.remove(&key[..]),
            }
        }
        self.database.apply_batch(batch)?;
        if self.relaxed { Ok(()) } else { self.sync() }
    }

    fn load(&self, entries: &mut dyn Iterator<Item = (Key, Value)>) -> Result<()> {
        loop {
            let mut batch = Batch::default();
            let mut is_empty = true;
            for (key, value) in entries.take(LOAD_BATCH) {
                batch.insert(&key[..], &value[..]);
                is_empty = false;
            }
            if is_empty {
                return self.sync();
            }
            self.database.apply_batch(batch)?;
        }
    }

    fn read(&self, work: &mut dyn FnMut(&mut dyn Reader) -> Result<()>) -> Result<()> {
        // It has no snapshots: its reads see the newest state.
        work(&mut View(&self.database))
    }

    fn sync(&self) -> Result<()> {
        self.database.flush()?;
        Ok(())
    }

    fn settle(&self) -> Result<()> {
        self.sync()
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.sync()
    }
}

struct View<'a>(&'a Db);

impl Reader for View<'_> {
    fn get(&mut self, key: &Key, found: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<bool> {
        self.0.get(key)?.map_or(Ok(false), |value| found(&value).map(|()| true))
    }

    fn range(&mut self, from: &[u8], limit: usize, visit: &mut Visit<'_>) -> Result<()> {
        for entry in self.0.range(from..).take(limit) {
            let (key, value) = entry?;
            visit(&key, &value)?;
        }
        Ok(())
    }
}
