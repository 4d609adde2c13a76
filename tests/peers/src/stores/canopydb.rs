//! canopydb, with its log. Every commit syncs it; relaxed: it syncs in the background.

use std::path::Path;

use anyhow::{Context, Result};
use canopydb::{Database, DbOptions, EnvOptions, Tree};

use crate::data::{Key, Value};
use crate::store::{Change, Reader, Settings, Store, Visit, sorted};

const ENTRIES: &[u8] = b"entries";

struct Canopydb {
    database: Database,
    relaxed: bool,
}

pub fn open(directory: &Path, settings: Settings) -> Result<Box<dyn Store>> {
    let mut env = EnvOptions::new(directory);
    env.page_cache_size = usize::try_from(settings.cache_bytes)?;
    let database = Database::with_options(env, DbOptions::new())?;
    let txn = database.begin_write()?;
    drop(txn.get_or_create_tree(ENTRIES)?);
    txn.commit_with(true)?;
    Ok(Box::new(Canopydb { database, relaxed: settings.relaxed }))
}

impl Store for Canopydb {
    fn write(&self, changes: &[Change], _: usize) -> Result<()> {
        let txn = self.database.begin_write()?;
        {
            let mut tree = txn.get_or_create_tree(ENTRIES)?;
            for Change { key, value } in changes {
                match value {
                    Some(value) => tree.insert(key, value)?,
                    None => {
                        tree.delete(key)?;
                    }
                }
            }
        }
        txn.commit_with(!self.relaxed)?;
        Ok(())
    }

    fn load(&self, entries: &mut dyn Iterator<Item = (Key, Value)>) -> Result<()> {
        let txn = self.database.begin_write()?;
        {
            let mut tree = txn.get_or_create_tree(ENTRIES)?;
            for (key, value) in sorted(entries) {
                tree.insert(&key, &value)?;
            }
        }
        txn.commit_with(true)?;
        Ok(())
    }

    fn read(&self, work: &mut dyn FnMut(&mut dyn Reader) -> Result<()>) -> Result<()> {
        let txn = self.database.begin_read()?;
        work(&mut View(txn.get_tree(ENTRIES)?.context("the tree is there since the store was opened")?))
    }

    fn sync(&self) -> Result<()> {
        Ok(self.database.sync()?)
    }

    fn settle(&self) -> Result<()> {
        Ok(self.database.checkpoint()?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

struct View<'a>(Tree<'a>);

impl Reader for View<'_> {
    fn get(&mut self, key: &Key, found: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<bool> {
        self.0.get(key)?.map_or(Ok(false), |value| found(&value).map(|()| true))
    }

    fn range(&mut self, from: &[u8], limit: usize, visit: &mut Visit<'_>) -> Result<()> {
        for entry in self.0.range(from..)?.take(limit) {
            let (key, value) = entry?;
            visit(&key, &value)?;
        }
        Ok(())
    }
}
