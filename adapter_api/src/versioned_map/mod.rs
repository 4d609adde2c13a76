//! An ordered, versioned map with one writer: read views for in-memory engines in a few lines.
//!
//! Promises: readers never wait for the writer, and the writer never waits for a view. A batch is staged
//! unseen and published at one instant. A view is a point in time; taking one costs the same whatever the
//! map holds. Memory is bounded: a view ends in `ViewTooOld`, and gives back what it held, once the bytes
//! discarded since it was taken exceed a limit: by default what the map holds, or 256 MiB if that is more.
//! Discarded are the nodes that were copied to change them if a view may hold them, and large entries.
//! Engines that keep their data in memory call it.
//!
//! An entry of up to 256 bytes costs its key and value and about 20 bytes more, a larger one about 60. An engine
//! may keep a value elsewhere (`Away`): the entry then costs its key and about 110 bytes, and whoever reads it is
//! told where the value lies.
//!
//! ```
//! # use adapter_api::*;
//! let map = VersionedMap::new();
//! let mut batch = BatchBuilder::new();
//! batch.put(b"key", b"value")?;
//! let staged = map.stage(batch.as_batch());
//! assert!(staged.view().contains(b"key")? && !map.contains(b"key"));
//! // Here an engine makes the batch durable; if it cannot, it drops `staged`, and nothing happened.
//! staged.publish();
//! assert!(map.contains(b"key"));
//! # Ok::<(), EngineError>(())
//! ```

mod changes;
mod edit;
mod packed;
mod record;
mod room;
mod tree;
mod view;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::{
    Batch, Buffer, Cursor, EngineError, Estimate, KEY_BYTES_MAX, KeyRange, Metric, Mutation, Result,
    VALUE_BYTES_MAX, Values,
};
pub use changes::Changes;
use edit::{Edit, FanOut};
use packed::Packed;
pub use record::{Away, Held, Stored};
use tree::Tree;
use view::{Moment, OpenViews};
pub use view::{View, ViewCursor};

/// Copying a leaf moves its bytes, and copying a branch touches the counter of each child, which speaks for
/// small nodes; every level is another step of a search, which speaks for large ones.
const FAN_OUT: FanOut = FanOut { leaf: 48, branch: 16 };
/// How much may be discarded before a view ends, in bytes, unless the map is large.
const VIEW_LIMIT_BYTES: u64 = 256 << 20;

/// An ordered map from keys to values with one writer and any number of readers and views.
pub struct VersionedMap {
    published: RwLock<Moment>,
    /// The version of the last edit that was begun. Whoever holds the lock has the writer's turn.
    turn: Mutex<u64>,
    views: Arc<OpenViews>,
    view_limit_bytes: Option<u64>,
    fan_out: FanOut,
}

/// The numbers that a map reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Entries, exactly.
    pub entries: u64,
    /// Bytes of their keys and values, wherever they lie.
    pub bytes: u64,
    /// Views that somebody holds.
    pub open_views: u64,
    /// What the map has discarded since the oldest open view was taken, in bytes: the most that views may
    /// hold beside the map.
    pub retained_bytes: u64,
}

impl Default for VersionedMap {
    fn default() -> Self {
        Self::new()
    }
}

impl VersionedMap {
    /// An empty map with the default limit for views.
    pub fn new() -> Self {
        Self::build(None, FAN_OUT)
    }

    /// An empty map whose views end once `bytes` bytes were discarded since they were taken.
    pub fn with_view_limit(bytes: u64) -> Self {
        Self::build(Some(bytes), FAN_OUT)
    }

    fn build(view_limit_bytes: Option<u64>, fan_out: FanOut) -> Self {
        Self {
            published: RwLock::default(),
            turn: Mutex::default(),
            views: Arc::default(),
            view_limit_bytes,
            fan_out,
        }
    }

    /// Prepares the batch unseen. Waits until no other staged change is alive, then holds the writer's turn
    /// until the result is published or dropped: a thread that stages again meanwhile waits for itself.
    pub fn stage(&self, batch: Batch<'_>) -> Staged<'_> {
        let mut staged = self.begin();
        for mutation in batch {
            match mutation {
                Mutation::Put { key, value } => staged.edit.put(key, Stored::Here(value)),
                Mutation::Delete { key } => staged.edit.delete(key),
                Mutation::DeleteRange(range) => staged.edit.delete_range(range),
            }
        }
        staged
    }

    /// Prepares sorted entries, for `ingest`. Reads all of them before it takes the writer's turn.
    ///
    /// # Errors
    /// `Rejected` if the keys do not ascend, a key or value is outside its limits, or the map has a key from
    /// the first to the last of them; what the cursor answers if it fails. Nothing changed.
    pub fn stage_sorted(&self, entries: &mut dyn Cursor) -> Result<Staged<'_>> {
        let runs = self.read_sorted(entries)?;
        let mut staged = self.begin();
        if let (Some(first), Some(last)) = (runs.first(), runs.last()) {
            let (first, last) = (first.first_key(), last.last_key());
            let tree = staged.edit.tree();
            let within = tree.size_of(KeyRange::new(first, last)).entries > 0;
            if within || tree.find(last).is_some() {
                let (first, last) = (first.escape_ascii(), last.escape_ascii());
                return Err(EngineError::rejected(format!(
                    "the range of the entries, \"{first}\" to \"{last}\", is not empty"
                )));
            }
        }
        staged.edit.graft(runs);
        Ok(staged)
    }

    /// Reads all entries and checks that they ascend and keep to the limits.
    fn read_sorted(&self, entries: &mut dyn Cursor) -> Result<Vec<Packed>> {
        let mut runs: Vec<Packed> = Vec::new();
        while let Some(entry) = entries.next()? {
            let key = entry.key.escape_ascii();
            if entry.key.is_empty() || entry.key.len() > KEY_BYTES_MAX {
                let len = entry.key.len();
                return Err(EngineError::rejected(format!(
                    "a key has 1 to {KEY_BYTES_MAX} bytes, one has {len}"
                )));
            }
            if entry.value.len() > VALUE_BYTES_MAX {
                return Err(EngineError::rejected(format!(
                    "the value of \"{key}\" is longer than {VALUE_BYTES_MAX} bytes"
                )));
            }
            if runs.last().is_some_and(|last| last.last_key() >= entry.key) {
                return Err(EngineError::rejected(format!("the entries do not ascend at \"{key}\"")));
            }
            match runs.last_mut() {
                Some(run) if run.len() < self.fan_out.leaf => run.push(entry.key, Stored::Here(entry.value)),
                _ => {
                    let mut run = Packed::default();
                    run.push(entry.key, Stored::Here(entry.value));
                    runs.push(run);
                }
            }
        }
        Ok(runs)
    }

    /// Takes the writer's turn.
    fn begin(&self) -> Staged<'_> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        *turn += 1;
        let edit = Edit::new(self.tree(), *turn, self.views.newest_version(), self.fan_out);
        Staged { map: self, _turn: turn, edit }
    }

    /// Appends the value of the key and answers `true`, or answers `false`.
    pub fn get(&self, key: &[u8], value: &mut Buffer) -> bool {
        self.tree().get(key, value)
    }

    /// Appends the values of the keys in their order, absent ones as absent, all as of one instant.
    pub fn multi_get(&self, keys: &[&[u8]], values: &mut Values) {
        self.tree().multi_get(keys, values);
    }

    /// Calls `with` with what there is of each key, in their order, all as of one instant.
    ///
    /// # Errors
    /// What `with` answers.
    pub fn find_each(
        &self,
        keys: &[&[u8]],
        mut with: impl FnMut(Option<Stored<'_>>) -> Result<()>,
    ) -> Result<()> {
        let tree = self.tree();
        keys.iter().try_for_each(|key| with(tree.find(key)))
    }

    /// Whether the key is there.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.tree().find(key).is_some()
    }

    /// The map as it is now.
    pub fn view(&self) -> View {
        // Under the lock, so that no version is published between reading the moment and registering it.
        let published = self.published.read().unwrap_or_else(PoisonError::into_inner);
        View::open(&self.views, published.clone())
    }

    /// How many entries the map has, exactly.
    pub fn len(&self) -> u64 {
        self.tree().size().entries
    }

    /// Whether the map has no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all keys and values, wherever they lie.
    pub fn bytes(&self) -> u64 {
        self.tree().size().bytes
    }

    /// Bytes of values that are away.
    pub fn away_bytes(&self) -> u64 {
        self.tree().size().away
    }

    /// Ends every view that is open now, for the sake of what holds values that are away.
    pub fn end_views(&self) {
        self.views.end_older_than(u64::MAX);
    }

    /// What the range holds: exactly, in the time of two reads.
    pub fn estimate(&self, range: KeyRange<'_>) -> Estimate {
        let size = self.tree().size_of(range);
        Estimate { entries: size.entries, bytes: size.bytes, exact: true }
    }

    /// The numbers of the map.
    pub fn usage(&self) -> Usage {
        let now = self.moment();
        let (open_views, oldest) = self.views.count();
        let size = now.tree.size();
        Usage {
            entries: size.entries,
            bytes: size.bytes,
            open_views,
            retained_bytes: oldest.map_or(0, |discarded| now.discarded.saturating_sub(discarded)),
        }
    }

    /// The numbers of the map, as an engine reports them.
    pub fn metrics(&self) -> Vec<Metric> {
        let usage = self.usage();
        vec![
            Metric::gauge("map_entries", usage.entries as f64),
            Metric::gauge("map_bytes", usage.bytes as f64),
            Metric::gauge("open_views", usage.open_views as f64),
            Metric::gauge("view_retained_bytes", usage.retained_bytes as f64),
        ]
    }

    fn moment(&self) -> Moment {
        self.published.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tree(&self) -> Tree {
        self.published.read().unwrap_or_else(PoisonError::into_inner).tree.clone()
    }
}

/// A change that nobody sees yet, and the writer's turn. Dropping it abandons the change.
#[must_use = "a staged change counts only after `publish`"]
pub struct Staged<'a> {
    map: &'a VersionedMap,
    _turn: MutexGuard<'a, u64>,
    edit: Edit,
}

impl Staged<'_> {
    /// The map as it will be once this is published.
    pub fn view(&self) -> View {
        let discarded = self.map.moment().discarded;
        let moment = Moment { tree: self.edit.tree().clone(), version: self.edit.version(), discarded };
        View::open(&self.map.views, moment)
    }

    /// Adds many changes at once; takes them, and leaves none.
    pub fn merge(&mut self, changes: &mut Changes) {
        self.edit.merge(changes.take_sorted());
    }

    /// Replaces an entry of a view by its value, if the entry is still there as it was; answers whether it was.
    pub fn replace(&mut self, held: &Held, value: Stored<'_>) -> bool {
        let is_there = self.edit.tree().find(held.key()).is_some_and(|found| found.is(&held.stored()));
        if is_there {
            self.edit.put(held.key(), value);
        }
        is_there
    }

    /// Adds the removal of every key of the range.
    pub fn delete_range(&mut self, range: KeyRange<'_>) {
        self.edit.delete_range(range);
    }

    /// Bytes that the map itself will hold.
    pub fn bytes_here(&self) -> u64 {
        self.edit.tree().size().here()
    }

    /// Makes the change visible at one instant. What no view holds any more is freed before this returns.
    pub fn publish(self) {
        let Self { map, _turn, edit } = self;
        let (discarded, version) = (edit.discarded, edit.version());
        let mut now = Moment { tree: edit.into_tree(), version, discarded: 0 };
        let entry_bytes = now.tree.size().here();
        let limit = map.view_limit_bytes.unwrap_or_else(|| VIEW_LIMIT_BYTES.max(entry_bytes));

        let mut published = map.published.write().unwrap_or_else(PoisonError::into_inner);
        // A view taken while the edit went on sees every node that the edit copied.
        let seen_all = map.views.newest_version() >= published.version;
        let nodes = if seen_all { discarded.nodes } else { discarded.nodes_seen };
        now.discarded = published.discarded + discarded.entries + nodes;
        let oldest_allowed = now.discarded.saturating_sub(limit);
        let before = std::mem::replace(&mut *published, now);
        drop(published);
        map.views.end_older_than(oldest_allowed);
        drop(before);
    }
}
