//! The memtable: what was written last, in memory and in order, until it is sealed and flushed.
//!
//! A memtable is a tree that only grows, whose snapshots are points in time, and a set of ranges that it deletes in what is
//! older. The set never changes: a batch that deletes a range goes into a new memtable, unseen, and both become visible with
//! it. So to publish is one store, whatever a batch does.
//!
//! Promises: one writer; readers wait for nobody. Called by the store, which has the writer's turn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use adapter_api::{Batch, Direction, KeyRange, Mutation, Result};
use blink::{Cursor, Snapshot, Tree};
use wal::{Lsn, lock};

use crate::item::{BlobRef, Item};
use crate::ranges::{Ranges, Span};
use crate::walk::Walk;

/// A memtable is sealed, too, once the log or blob files have this many times more of it.
const DISK_FACTOR: u64 = 4;
/// About how many bytes a range takes beside its bounds.
const RANGE_BYTES: u64 = 56;

pub(crate) struct Memtable {
    /// Values are items.
    tree: Arc<Tree>,
    ranges: Ranges,
    /// About how many bytes the ranges take.
    range_bytes: u64,
    /// Bytes of the log since the memtable is in use.
    log_bytes: AtomicU64,
    /// The last record that it has.
    last: AtomicU64,
    /// The numbers of the blob files that it refers to.
    blobs: Mutex<BTreeSet<u64>>,
    /// What it has ever referred to there.
    blob_bytes: AtomicU64,
}

impl Memtable {
    /// An empty one that deletes these ranges in what is older.
    pub(crate) fn new(ranges: Ranges) -> Self {
        let range_bytes = ranges.spans().iter().map(|span| RANGE_BYTES + 2 * span.start.len() as u64).sum();
        Self {
            tree: Arc::default(),
            ranges,
            range_bytes,
            log_bytes: AtomicU64::new(0),
            last: AtomicU64::new(0),
            blobs: Mutex::default(),
            blob_bytes: AtomicU64::new(0),
        }
    }

    /// One with all that this one has, and then the mutations of a batch, in which values are items.
    pub(crate) fn copy_with(&self, batch: Batch<'_>) -> Self {
        let mut ranges = self.ranges.clone();
        deleted_in(batch).for_each(|range| ranges.add(range));
        let copy = Self::new(ranges);
        let mut entries = BTreeMap::new();
        let mut cursor = Cursor::new(&self.tree, self.snapshot(), KeyRange::all(), Direction::Forward);
        while cursor.advance() {
            entries.insert(cursor.key().to_vec(), cursor.value().to_vec());
        }
        for mutation in batch {
            match mutation {
                Mutation::Put { key, value } => drop(entries.insert(key.to_vec(), value.to_vec())),
                Mutation::Delete { .. } => {}
                // What the batch has put before it goes, and nothing behind it.
                Mutation::DeleteRange(range) => entries.retain(|key, _| !range.contains(key)),
            }
        }
        copy.tree.apply(entries.iter().map(|(key, value)| (&**key, &**value)));
        copy.log_bytes.store(self.log_bytes.load(Ordering::Relaxed), Ordering::Relaxed);
        copy.last.store(self.last(), Ordering::Relaxed);
        *lock(&copy.blobs) = self.blobs();
        copy.blob_bytes.store(self.blob_bytes(), Ordering::Relaxed);
        copy
    }

    /// Makes a batch visible, in which values are items and which deletes no range in what is older.
    pub(crate) fn apply(&self, batch: Batch<'_>) {
        self.tree.apply(puts_of(batch));
    }

    /// Notes which record of the log the memtable has now.
    pub(crate) fn note(&self, last: Lsn, log_bytes: u64) {
        self.last.store(last, Ordering::Relaxed);
        self.log_bytes.fetch_add(log_bytes, Ordering::Relaxed);
    }

    /// Notes that it refers, or is about to refer, to a value in a blob file: that is kept from now on.
    pub(crate) fn refer_to(&self, blob: BlobRef) {
        lock(&self.blobs).insert(blob.file);
        self.blob_bytes.fetch_add(blob.bytes.into(), Ordering::Relaxed);
    }

    /// Bytes of values that were written into blob files for it, those that were overwritten since too.
    pub(crate) fn blob_bytes(&self) -> u64 {
        self.blob_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn last(&self) -> Lsn {
        self.last.load(Ordering::Relaxed)
    }

    pub(crate) fn log_bytes(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn blobs(&self) -> BTreeSet<u64> {
        lock(&self.blobs).clone()
    }

    pub(crate) fn ranges(&self) -> &Ranges {
        &self.ranges
    }

    /// Whether it says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.tree.is_empty() && self.ranges.is_empty()
    }

    /// How many bytes of memory it takes, about.
    pub(crate) fn bytes(&self) -> u64 {
        self.tree.bytes() + self.range_bytes
    }

    /// Whether it should be sealed, with memtables of so many bytes.
    pub(crate) fn is_full(&self, most: u64) -> bool {
        self.bytes() >= most || self.log_bytes().max(self.blob_bytes()) >= DISK_FACTOR * most
    }

    /// About how many keys and bytes of the range it says something of; no keys only if it says nothing of any.
    pub(crate) fn estimate(&self, range: KeyRange<'_>) -> (u64, u64) {
        let found = self.tree.estimate(range);
        (found.entries, found.bytes)
    }

    /// What it says now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.tree.snapshot()
    }

    /// What a snapshot of it says of the key, if it says anything.
    pub(crate) fn find(&self, key: &[u8], snapshot: Snapshot) -> Option<Item<'_>> {
        self.tree.find(key, snapshot).map(item_of)
    }

    /// Hands on, for each key in order, its place and the same.
    pub(crate) fn find_each<'a>(
        &'a self,
        keys: &[&[u8]],
        snapshot: Snapshot,
        mut found: impl FnMut(usize, Option<Item<'a>>),
    ) {
        self.tree.find_each(keys, snapshot, |at, value| found(at, value.map(item_of)));
    }
}

/// What a value of the tree says. Nothing but items was put there.
fn item_of(value: &[u8]) -> Item<'_> {
    Item::decode(value).unwrap_or(Item::Tombstone)
}

/// The puts of a batch.
fn puts_of<'a>(batch: Batch<'a>) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    batch.into_iter().filter_map(|mutation| match mutation {
        Mutation::Put { key, value } => Some((key, value)),
        _ => None,
    })
}

/// The ranges that a batch deletes.
pub(crate) fn deleted_in<'a>(batch: Batch<'a>) -> impl Iterator<Item = KeyRange<'a>> {
    batch.into_iter().filter_map(|mutation| match mutation {
        Mutation::DeleteRange(range) => Some(range),
        _ => None,
    })
}

/// A walk over a snapshot of a memtable.
pub(crate) struct MemtableWalk {
    memtable: Arc<Memtable>,
    cursor: Cursor,
}

impl MemtableWalk {
    pub(crate) fn new(
        memtable: &Arc<Memtable>,
        snapshot: Snapshot,
        range: KeyRange<'_>,
        direction: Direction,
    ) -> Self {
        let cursor = Cursor::new(&memtable.tree, snapshot, range, direction);
        Self { memtable: Arc::clone(memtable), cursor }
    }
}

impl Walk for MemtableWalk {
    fn advance(&mut self) -> Result<bool> {
        Ok(self.cursor.advance())
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.cursor.seek(key);
        Ok(())
    }

    fn key(&self) -> &[u8] {
        self.cursor.key()
    }

    fn item(&self) -> Item<'_> {
        item_of(self.cursor.value())
    }

    fn covers(&self, key: &[u8]) -> bool {
        !self.memtable.ranges.is_empty() && self.memtable.ranges.covers(key)
    }

    fn has_ranges(&self) -> bool {
        !self.memtable.ranges.is_empty()
    }

    fn covering(&self, key: &[u8]) -> Option<&Span> {
        self.memtable.ranges.covering(key)
    }
}
