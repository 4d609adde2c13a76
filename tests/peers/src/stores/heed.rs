//! LMDB, through heed. Every commit syncs; relaxed: NOSYNC. The map is larger than the data will ever be.

use std::ops::Bound;
use std::path::Path;

use anyhow::Result;
use heed::types::Bytes;
use heed::{Database, Env, EnvFlags, EnvOpenOptions, PutFlags, RoTxn, WithoutTls};

use crate::data::{Key, Value};
use crate::store::{Change, Reader, Settings, Store, Visit, sorted};

const MAP_BYTES: usize = 64 << 30;

struct Heed {
    env: Env<WithoutTls>,
    entries: Database<Bytes, Bytes>,
}

pub fn open(directory: &Path, settings: Settings) -> Result<Box<dyn Store>> {
    let mut flags = EnvFlags::empty();
    if settings.relaxed {
        flags |= EnvFlags::NO_SYNC;
    }
    if settings.is_larger_than_memory {
        flags |= EnvFlags::NO_READ_AHEAD;
    }
    let mut options = EnvOpenOptions::new().read_txn_without_tls();
    options.map_size(MAP_BYTES).max_readers(256);
    // SAFETY: nothing else changes the files while the map is open, and no flag gives up its consistency
    // within a run.
    let env = unsafe { options.flags(flags).open(directory)? };
    let mut txn = env.write_txn()?;
    let entries = env.create_database(&mut txn, None)?;
    txn.commit()?;
    Ok(Box::new(Heed { env, entries }))
}

impl Store for Heed {
    fn write(&self, changes: &[Change], _: usize) -> Result<()> {
        let mut txn = self.env.write_txn()?;
        for Change { key, value } in changes {
            match value {
                Some(value) => self.entries.put(&mut txn, key, value)?,
                None => {
                    self.entries.delete(&mut txn, key)?;
                }
            }
        }
        Ok(txn.commit()?)
    }

    fn load(&self, entries: &mut dyn Iterator<Item = (Key, Value)>) -> Result<()> {
        let mut txn = self.env.write_txn()?;
        for (key, value) in sorted(entries) {
            self.entries.put_with_flags(&mut txn, PutFlags::APPEND, &key, &value)?;
        }
        Ok(txn.commit()?)
    }

    fn read(&self, work: &mut dyn FnMut(&mut dyn Reader) -> Result<()>) -> Result<()> {
        work(&mut View { txn: self.env.read_txn()?, entries: self.entries })
    }

    fn sync(&self) -> Result<()> {
        Ok(self.env.force_sync()?)
    }

    fn settle(&self) -> Result<()> {
        self.sync()
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.env.prepare_for_closing().wait();
        Ok(())
    }
}

struct View<'a> {
    txn: RoTxn<'a, WithoutTls>,
    entries: Database<Bytes, Bytes>,
}

impl Reader for View<'_> {
    fn get(&mut self, key: &Key, found: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<bool> {
        self.entries.get(&self.txn, key)?.map_or(Ok(false), |value| found(value).map(|()| true))
    }

    fn range(&mut self, from: &[u8], limit: usize, visit: &mut Visit<'_>) -> Result<()> {
        let range: (Bound<&[u8]>, Bound<&[u8]>) = (Bound::Included(from), Bound::Unbounded);
        for entry in self.entries.range(&self.txn, &range)?.take(limit) {
            let (key, value) = entry?;
            visit(key, value)?;
        }
        Ok(())
    }
}
