//! Tally: an ordered map in memory that counts what it holds, written as a stranger would write it.
//!
//! It depends on `adapter_api` alone, contains no unsafe code, has only the mandatory primitives (`apply`,
//! `get`, `scan`) and one background lane, which recounts the bytes after writes.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use adapter_api::environment::Lanes;
use adapter_api::*;

const COUNT: Lane = Lane(0);

/// The engine: one map behind one lock.
pub struct Tally {
    map: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    lanes: Arc<dyn Lanes>,
    counts: AtomicU64,
    counted_entries: AtomicU64,
    counted_bytes: AtomicU64,
}

impl Tally {
    /// A panic of another thread cannot leave the map half changed, so a poisoned lock is taken as it is.
    fn map(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Vec<u8>>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plugin for Tally {
    fn describe() -> Description {
        let mut about = Description::new("tally", env!("CARGO_PKG_VERSION"), "an ordered map that counts");
        about.lanes = vec![LaneSpec::new("count", "recounts entries and bytes after writes")];
        about
    }

    fn open(request: OpenRequest) -> Result<Self> {
        Ok(Self {
            map: Mutex::default(),
            lanes: request.environment.lanes,
            counts: AtomicU64::new(0),
            counted_entries: AtomicU64::new(0),
            counted_bytes: AtomicU64::new(0),
        })
    }

    fn guarantees(_: &Options, _: Durability) -> Guarantees {
        Guarantees::new()
            .kept(Promise::Semantics, "an ordered map from the standard library")
            .not_kept(Promise::Restart, "nothing is stored on disk")
    }
}

impl StorageEngine for Tally {
    fn apply(&self, batch: Batch<'_>) -> Result<()> {
        let mut map = self.map();
        for mutation in batch {
            match mutation {
                Mutation::Put { key, value } => {
                    map.insert(key.to_vec(), value.to_vec());
                }
                Mutation::Delete { key } => {
                    map.remove(key);
                }
                Mutation::DeleteRange(range) => map.retain(|key, _| !range.contains(key)),
            }
        }
        drop(map);
        self.lanes.wake(COUNT);
        Ok(())
    }

    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        let map = self.map();
        let found = map.get(key);
        if let Some(bytes) = found {
            value.extend_from_slice(bytes);
        }
        Ok(found.is_some())
    }

    fn scan(&self, range: KeyRange<'_>, direction: Direction, visit: &mut Visit<'_>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let end = range.end().map_or(Bound::Unbounded, Bound::Excluded);
        let map = self.map();
        let entries = map.range::<[u8], _>((Bound::Included(range.start()), end));
        let mut visit = |(key, value): (&Vec<u8>, &Vec<u8>)| visit(Entry { key, value }).is_continue();
        match direction {
            Direction::Forward => entries.take_while(|entry| visit(*entry)).for_each(drop),
            Direction::Reverse => entries.rev().take_while(|entry| visit(*entry)).for_each(drop),
        }
        Ok(())
    }

    fn background(&self, _: Lane) -> Result<Step> {
        let map = self.map();
        let bytes = map.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        self.counted_entries.store(map.len() as u64, Ordering::Relaxed);
        self.counted_bytes.store(bytes as u64, Ordering::Relaxed);
        self.counts.fetch_add(1, Ordering::Relaxed);
        Ok(Step::Idle)
    }

    fn metrics(&self) -> Vec<Metric> {
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed) as f64;
        vec![
            Metric::counter("tally_counts", number(&self.counts)),
            Metric::gauge("tally_counted_entries", number(&self.counted_entries)),
            Metric::gauge("tally_counted_bytes", number(&self.counted_bytes)),
        ]
    }
}

export_engine!(Tally);
