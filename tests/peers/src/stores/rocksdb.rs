//! RocksDB, the system's librocksdb. Every write syncs its log; relaxed: the log is written, not synced.

use std::path::Path;

use anyhow::Result;
use rocksdb::{
    BlockBasedOptions, Cache, DB, DBCompressionType, FlushOptions, Options, Snapshot, WriteBatch,
    WriteOptions,
};

use crate::data::{Key, Value};
use crate::store::{Change, Reader, Settings, Store, Visit};

const BLOOM_BITS: f64 = 10.0;
const LOAD_BATCH: usize = 10_000;

struct Rocksdb {
    database: DB,
    relaxed: bool,
}

pub fn open(directory: &Path, settings: Settings) -> Result<Box<dyn Store>> {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_lru_cache(usize::try_from(settings.cache_bytes)?)?);
    table.set_bloom_filter(BLOOM_BITS, false);
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    // The values do not compress, and most of the others are not asked to try.
    options.set_compression_type(DBCompressionType::None);
    options.increase_parallelism(2);
    let database = DB::open(&options, directory)?;
    Ok(Box::new(Rocksdb { database, relaxed: settings.relaxed }))
}

impl Store for Rocksdb {
    fn write(&self, changes: &[Change], _: usize) -> Result<()> {
        let mut batch = WriteBatch::default();
        for Change { key, value } in changes {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(!self.relaxed);
        Ok(self.database.write_opt(batch, &options)?)
    }

    fn load(&self, entries: &mut dyn Iterator<Item = (Key, Value)>) -> Result<()> {
        // Through memtables, without the log, flushed at the end: the entries come in no order.
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        loop {
            let mut batch = WriteBatch::default();
            entries.take(LOAD_BATCH).for_each(|(key, value)| batch.put(key, value));
            if batch.is_empty() {
                break;
            }
            self.database.write_opt(batch, &options)?;
        }
        self.flush()
    }

    fn read(&self, work: &mut dyn FnMut(&mut dyn Reader) -> Result<()>) -> Result<()> {
        work(&mut View(self.database.snapshot()))
    }

    fn sync(&self) -> Result<()> {
        Ok(self.database.flush_wal(true)?)
    }

    fn settle(&self) -> Result<()> {
        self.flush()?;
        self.database.compact_range::<&[u8], &[u8]>(None, None);
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.sync()
    }
}

impl Rocksdb {
    fn flush(&self) -> Result<()> {
        let mut options = FlushOptions::default();
        options.set_wait(true);
        Ok(self.database.flush_opt(&options)?)
    }
}

struct View<'a>(Snapshot<'a>);

impl Reader for View<'_> {
    fn get(&mut self, key: &Key, found: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<bool> {
        let value = self.0.get_pinned_opt(key, rocksdb::ReadOptions::default())?;
        value.map_or(Ok(false), |value| found(&value).map(|()| true))
    }

    fn range(&mut self, from: &[u8], limit: usize, visit: &mut Visit<'_>) -> Result<()> {
        let mut cursor = self.0.raw_iterator();
        cursor.seek(from);
        for _ in 0..limit {
            let Some((key, value)) = cursor.item() else { break };
            visit(key, value)?;
            cursor.next();
        }
        Ok(cursor.status()?)
    }
}
