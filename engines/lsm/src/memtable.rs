//! The memtable: what was written last, in memory and in order, until it is sealed and flushed.
//!
//! A memtable is a `VersionedMap`, whose views are points in time, and a set of ranges that it deletes in what is older.
//! The set never changes: a batch that deletes a range goes into a new memtable, unseen, and both become visible with
//! it. So to publish is one store, whatever a batch does.
//!
//! Promises: one writer; readers wait for nobody. Called by the store, which has the writer's turn.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use adapter_api::versioned_map::{Changes, Staged, Stored, View, ViewCursor};
use adapter_api::{Batch, BatchBuilder, Direction, KeyRange, Mutation, Result, VersionedMap};
use wal::{Lsn, lock};

use crate::item::{BlobRef, Item};
use crate::ranges::{Ranges, Span};
use crate::walk::Walk;

/// A memtable is sealed, too, once the log or blob files have this many times more of it.
const DISK_FACTOR: u64 = 4;
/// About how many bytes an entry takes beside its key and value.
const ENTRY_BYTES: u64 = 56;
/// Batches of so many mutations go in in the order of their keys.
const ORDERED_FROM: usize = 32;
/// How much may be discarded before a view of a memtable ends, in bytes, unless memtables are large.
const VIEW_LIMIT_BYTES: u64 = 64 << 20;

pub(crate) struct Memtable {
    map: VersionedMap,
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
    pub(crate) fn new(ranges: Ranges, bytes: u64) -> Self {
        let range_bytes = ranges.spans().iter().map(|span| ENTRY_BYTES + 2 * span.start.len() as u64).sum();
        Self {
            map: VersionedMap::with_view_limit(VIEW_LIMIT_BYTES.max(4 * bytes)),
            ranges,
            range_bytes,
            log_bytes: AtomicU64::new(0),
            last: AtomicU64::new(0),
            blobs: Mutex::default(),
            blob_bytes: AtomicU64::new(0),
        }
    }

    /// One with all that this one has, and then the mutations of a batch, in which values are items.
    pub(crate) fn copy_with(&self, batch: Batch<'_>, bytes: u64) -> Result<Self> {
        let mut ranges = self.ranges.clone();
        deleted_in(batch).for_each(|range| ranges.add(range));
        let copy = Self::new(ranges, bytes);
        let (mut changes, mut cursor) =
            (Changes::new(), self.map.view().walk(KeyRange::all(), Direction::Forward));
        while let Some((key, stored)) = cursor.next_stored()? {
            changes.put(key, bytes_of(stored));
        }
        copy.merge(&mut changes);
        // One by one: a range removes what the batch has put before it, and nothing behind it.
        copy.map.stage(batch).publish();
        copy.log_bytes.store(self.log_bytes.load(Ordering::Relaxed), Ordering::Relaxed);
        copy.last.store(self.last(), Ordering::Relaxed);
        *lock(&copy.blobs) = self.blobs();
        copy.blob_bytes.store(self.blob_bytes(), Ordering::Relaxed);
        Ok(copy)
    }

    /// Prepares a batch unseen, in which values are items and which deletes no range in what is older. A large one goes in
    /// in the order of its keys, so that each leaf is changed once.
    pub(crate) fn stage(&self, batch: Batch<'_>) -> Staged<'_> {
        if batch.iter().nth(ORDERED_FROM - 1).is_none() {
            return self.map.stage(batch);
        }
        let (mut staged, mut changes) = (self.map.stage(BatchBuilder::new().as_batch()), Changes::new());
        add_puts(batch, &mut changes);
        staged.merge(&mut changes);
        staged
    }

    /// Adds many changes of single keys at once; their values are items.
    pub(crate) fn merge(&self, changes: &mut Changes) {
        let mut staged = self.map.stage(BatchBuilder::new().as_batch());
        staged.merge(changes);
        staged.publish();
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
        self.map.is_empty() && self.ranges.is_empty()
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn bytes(&self) -> u64 {
        let usage = self.map.bytes() + ENTRY_BYTES * self.map.len();
        usage + self.range_bytes
    }

    /// The same with what views of it keep beside that.
    pub(crate) fn bytes_with_views(&self) -> u64 {
        self.bytes() + self.map.usage().retained_bytes
    }

    /// Whether it should be sealed, with memtables of so many bytes: what is overwritten takes no memory, but the log and
    /// blob files grow by it.
    pub(crate) fn is_full(&self, most: u64, waiting: u64) -> bool {
        self.bytes() + waiting >= most || self.log_bytes().max(self.blob_bytes()) >= DISK_FACTOR * most
    }

    /// About how many keys and bytes of the range it says something of.
    pub(crate) fn estimate(&self, range: KeyRange<'_>) -> (u64, u64) {
        let found = self.map.estimate(range);
        (found.entries, found.bytes)
    }

    pub(crate) fn view(&self) -> View {
        self.map.view()
    }

    /// Calls `with` with what the newest version says of the key, if it says anything.
    pub(crate) fn find<R>(&self, key: &[u8], with: impl FnMut(Item<'_>) -> Result<R>) -> Result<Option<R>> {
        look(|each| self.map.find_each(&[key], each), with)
    }
}

/// Calls `with` with what a view of a memtable says of the key, if it says anything.
pub(crate) fn find_in<R>(
    view: &View,
    key: &[u8],
    with: impl FnMut(Item<'_>) -> Result<R>,
) -> Result<Option<R>> {
    look(|each| view.find_each(&[key], each), with)
}

type Each<'a> = dyn FnMut(Option<Stored<'_>>) -> Result<()> + 'a;

fn look<R>(
    search: impl FnOnce(&mut Each<'_>) -> Result<()>,
    mut with: impl FnMut(Item<'_>) -> Result<R>,
) -> Result<Option<R>> {
    let mut answer = None;
    search(&mut |stored| {
        if let Some(stored) = stored {
            answer = Some(with(item_of(stored))?);
        }
        Ok(())
    })?;
    Ok(answer)
}

fn bytes_of(stored: Stored<'_>) -> &[u8] {
    match stored {
        Stored::Here(bytes) => bytes,
        Stored::Away(_) => &[],
    }
}

/// What the map has of a key. Nothing but items was put there.
fn item_of(stored: Stored<'_>) -> Item<'_> {
    Item::decode(bytes_of(stored)).unwrap_or(Item::Tombstone)
}

/// Adds the puts of a batch, in which values are items.
pub(crate) fn add_puts(batch: Batch<'_>, changes: &mut Changes) {
    for mutation in batch {
        if let Mutation::Put { key, value } = mutation {
            changes.put(key, value);
        }
    }
}

/// The ranges that a batch deletes.
pub(crate) fn deleted_in<'a>(batch: Batch<'a>) -> impl Iterator<Item = KeyRange<'a>> {
    batch.into_iter().filter_map(|mutation| match mutation {
        Mutation::DeleteRange(range) => Some(range),
        _ => None,
    })
}

/// A walk over a view of a memtable.
pub(crate) struct MemtableWalk {
    memtable: Arc<Memtable>,
    cursor: ViewCursor,
}

impl MemtableWalk {
    pub(crate) fn new(
        memtable: &Arc<Memtable>,
        view: &View,
        range: KeyRange<'_>,
        direction: Direction,
    ) -> Self {
        Self { memtable: Arc::clone(memtable), cursor: view.walk(range, direction) }
    }
}

impl Walk for MemtableWalk {
    fn advance(&mut self) -> Result<bool> {
        Ok(self.cursor.next_stored()?.is_some())
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        adapter_api::Cursor::seek(&mut self.cursor, key)
    }

    fn key(&self) -> &[u8] {
        self.cursor.lent().0
    }

    fn item(&self) -> Item<'_> {
        item_of(self.cursor.lent().1)
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
