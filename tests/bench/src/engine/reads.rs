//! Gets that count what they cost: how long they took, and how many blocks of tables they looked into.
//!
//! Promises: what a get answers is checked. Blocks are the engine's own count, of which it takes one key in sixteen where a
//! block is in memory: right over many keys. Nothing else may read meanwhile. Called by `amplification` and `soak`.

use std::time::{Duration, Instant};

use adapter_api::{Buffer, StorageEngine};
use anyhow::{Result, bail};

use super::data::version;
use super::store::Store;
use crate::latency::Latency;
use crate::load::key;

/// What some gets cost.
pub(super) struct Reads {
    pub(super) times: Latency,
    /// Blocks looked into for each get.
    pub(super) blocks: f64,
}

/// Gets keys that are there, or keys that are not.
///
/// # Errors
/// If an answer is wrong, or the engine has no count of its blocks.
pub(super) fn read(store: &Store, numbers: impl Iterator<Item = u64>, is_there: bool) -> Result<Reads> {
    let before = blocks(store)?;
    let (mut times, mut found) = (Latency::new(), Buffer::new());
    for number in numbers {
        times.record(get(store, number, is_there, &mut found)?);
    }
    let blocks = (blocks(store)? - before) / times.count().max(1) as f64;
    Ok(Reads { times, blocks })
}

/// Gets a key and checks the answer; answers how long the engine took.
///
/// # Errors
/// If the answer is wrong.
pub(super) fn get(store: &Store, number: u64, is_there: bool, found: &mut Buffer) -> Result<Duration> {
    found.clear();
    let began = Instant::now();
    let is_found = store.engine().get(&key(number), found)?;
    let took = began.elapsed();
    match (is_found, is_there) {
        (true, true) => version(number, found).map(|_| took),
        (false, false) => Ok(took),
        (true, false) => bail!("key {number} is there, and nobody put it"),
        (false, true) => bail!("key {number} is gone"),
    }
}

fn blocks(store: &Store) -> Result<f64> {
    Ok(store.needed_metric("cache_hits")? + store.needed_metric("cache_misses")?)
}
