//! SurrealKV. Every commit is `Durability::Immediate`; relaxed: `Eventual`. Its commits are asynchronous: each
//! thread waits for its own.

use std::path::Path;

use anyhow::Result;
use surrealkv::{CompactRangeOptions, Durability, Error, LSMIterator, Mode, Transaction, Tree, TreeBuilder};
use tokio::runtime::{Builder, Runtime};

use crate::data::{KEY_BYTES, Key, Value};
use crate::store::{Change, Reader, Settings, Store, Visit};

const LOAD_BATCH: usize = 10_000;
/// What part of a small cache a memtable is.
const MEMTABLE_PART: u64 = 8;
/// Behind every key.
const END: [u8; KEY_BYTES + 1] = [0xff; KEY_BYTES + 1];

struct Surrealkv {
    tree: Tree,
    runtime: Runtime,
    relaxed: bool,
}

pub fn open(directory: &Path, settings: Settings) -> Result<Box<dyn Store>> {
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let guard = runtime.enter();
    let mut builder = TreeBuilder::new().with_path(directory.to_path_buf());
    // As large as those of the others: its own are 100 MB.
    if settings.is_larger_than_memory {
        builder = builder.with_max_memtable_size(usize::try_from(settings.cache_bytes / MEMTABLE_PART)?);
    }
    let tree = builder.with_block_cache_capacity(settings.cache_bytes).build()?;
    drop(guard);
    Ok(Box::new(Surrealkv { tree, runtime, relaxed: settings.relaxed }))
}

impl Surrealkv {
    fn begin(&self, relaxed: bool) -> Result<Transaction> {
        let durability = if relaxed { Durability::Eventual } else { Durability::Immediate };
        Ok(self.tree.begin_with_mode(Mode::WriteOnly)?.with_durability(durability))
    }
}

impl Store for Surrealkv {
    fn write(&self, changes: &[Change], _: usize) -> Result<()> {
        loop {
            let mut txn = self.begin(self.relaxed)?;
            for Change { key, value } in changes {
                match value {
                    Some(value) => txn.set(&key[..], &value[..])?,
                    None => txn.delete(&key[..])?,
                }
            }
            match self.runtime.block_on(txn.commit()) {
                // Two threads wrote one key at once: its user does it again, and so do we, in the time.
                Err(Error::TransactionWriteConflict) => {}
                outcome => return Ok(outcome?),
            }
        }
    }

    fn load(&self, entries: &mut dyn Iterator<Item = (Key, Value)>) -> Result<()> {
        loop {
            let mut txn = self.begin(true)?;
            let mut is_empty = true;
            for (key, value) in entries.take(LOAD_BATCH) {
                txn.set(&key[..], &value[..])?;
                is_empty = false;
            }
            if is_empty {
                return self.sync();
            }
            self.runtime.block_on(txn.commit())?;
        }
    }

    fn read(&self, work: &mut dyn FnMut(&mut dyn Reader) -> Result<()>) -> Result<()> {
        work(&mut View(self.tree.begin_with_mode(Mode::ReadOnly)?))
    }

    fn sync(&self) -> Result<()> {
        Ok(self.tree.flush_wal(true)?)
    }

    fn settle(&self) -> Result<()> {
        self.sync()?;
        Ok(self.tree.compact_range(None, None, &CompactRangeOptions::default())?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.runtime.block_on(self.tree.close())?)
    }
}

struct View(Transaction);

impl Reader for View {
    fn get(&mut self, key: &Key, found: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<bool> {
        self.0.get(&key[..])?.map_or(Ok(false), |value| found(&value).map(|()| true))
    }

    fn range(&mut self, from: &[u8], limit: usize, visit: &mut Visit<'_>) -> Result<()> {
        let mut cursor = self.0.range(from, &END[..])?;
        cursor.seek_first()?;
        for _ in 0..limit {
            if !cursor.valid() {
                break;
            }
            visit(cursor.key().user_key(), &cursor.value()?)?;
            cursor.next()?;
        }
        Ok(())
    }
}
