//! An ordered, versioned map with one writer: read views for in-memory engines in a few lines.
//!
//! Promises: readers never wait for the writer, and the writer never waits for a reader or a view. A batch is staged
//! unseen and published at one instant. A view is a point in time; taking one costs the same whatever the
//! map holds. Memory is bounded: a view ends in `ViewTooOld`, and keeps nothing alive any more, once the bytes
//! discarded since it was taken exceed a limit: by default what the map holds, or 256 MiB if that is more.
//! Discarded are the entries that were overwritten or deleted, and the nodes that were copied to change them. What
//! nobody sees any more is freed with the writes that follow, a bounded part with each.
//! Engines that keep their data in memory call it.
//!
//! An entry costs its key and value and about 50 bytes more. An engine may keep a value elsewhere (`Away`): the entry
//! then costs its key and about 80 bytes, and whoever reads it is told where the value lies. To overwrite an entry
//! copies nothing but the entry; to add or delete one copies the few nodes on the way to it, once in a batch.
//!
//! ```
//! # use adapter_api::*;
//! let map = VersionedMap::new();
//! let mut batch = BatchBuilder::new();
//! batch.put(b"key", b"value")?;
//! let mut staged = map.stage(batch.as_batch());
//! assert!(staged.view().contains(b"key")? && !map.contains(b"key"));
//! // Here an engine makes the batch durable; if it cannot, it drops `staged`, and nothing happened.
//! staged.publish();
//! assert!(map.contains(b"key"));
//! # Ok::<(), EngineError>(())
//! ```

mod changes;
mod edit;
mod history;
mod node;
mod pointer;
mod record;
mod shape;
mod tree;
mod view;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::batch::Mutations;
use crate::{
    Batch, Buffer, Cursor, EngineError, Estimate, KEY_BYTES_MAX, KeyRange, Metric, Mutation, Result,
    VALUE_BYTES_MAX, Values,
};
pub use changes::Changes;
use edit::Edit;
use history::History;
use node::{BRANCH_ROOM, LEAF_ROOM};
pub use record::{Away, Stored};
use shape::FanOut;
use tree::SIDE_BY_SIDE;
pub use view::{Held, View, ViewCursor};

/// A leaf has room for one entry more, with which it is divided.
const FAN_OUT: FanOut = FanOut { leaf: LEAF_ROOM - 1, branch: BRANCH_ROOM };
/// How much may be discarded before a view ends, in bytes, unless the map is large.
const VIEW_LIMIT_BYTES: u64 = 256 << 20;

/// An ordered map from keys to values with one writer and any number of readers and views.
pub struct VersionedMap {
    history: Arc<History>,
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
        Self { history: Arc::new(History::new()), view_limit_bytes, fan_out }
    }

    /// Prepares the batch unseen. Waits until no other staged change is alive, then holds the writer's turn
    /// until the result is published or dropped: a thread that stages again meanwhile waits for itself.
    pub fn stage(&self, batch: Batch<'_>) -> Staged<'_> {
        let mut staged = self.begin();
        let mut ahead = batch.iter();
        for (at, mutation) in batch.iter().enumerate() {
            if at % SIDE_BY_SIDE == 0 {
                staged.prefetch(&mut ahead);
            }
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
        let mut entries = read_sorted(entries)?;
        let mut staged = self.begin();
        if let Some((first, last)) = entries.ends() {
            let tree = staged.edit.tree();
            if !tree.is_empty_in(KeyRange::new(first, last)) || tree.find(last).is_some() {
                let (first, last) = (first.escape_ascii(), last.escape_ascii());
                return Err(EngineError::rejected(format!(
                    "the range of the entries, \"{first}\" to \"{last}\", is not empty"
                )));
            }
        }
        staged.merge(&mut entries);
        Ok(staged)
    }

    /// Takes the writer's turn.
    fn begin(&self) -> Staged<'_> {
        Staged { map: self, edit: Edit::begin(&self.history, self.fan_out) }
    }

    /// Appends the value of the key and answers `true`, or answers `false`.
    pub fn get(&self, key: &[u8], value: &mut Buffer) -> bool {
        self.history.pin().tree().get(key, value)
    }

    /// Appends the values of the keys in their order, absent ones as absent, all as of one instant.
    pub fn multi_get(&self, keys: &[&[u8]], values: &mut Values) {
        self.history.pin().tree().multi_get(keys, values);
    }

    /// The same for as many keys as have values here, from the first on, and no more than `bytes_max` bytes of them.
    pub fn multi_get_here(&self, keys: &[&[u8]], bytes_max: usize, values: &mut Values) {
        self.history.pin().tree().multi_get_here(keys, bytes_max, values);
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
        self.history.pin().tree().find_each(keys, |found| with(found.map(|record| record.stored())))
    }

    /// Whether the key is there.
    pub fn contains(&self, key: &[u8]) -> bool {
        self.history.pin().tree().find(key).is_some()
    }

    /// The map as it is now.
    pub fn view(&self) -> View {
        View::new(self.history.view())
    }

    /// How many entries the map has, exactly.
    pub fn len(&self) -> u64 {
        self.history.pin().tree().size().entries
    }

    /// Whether the map has no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of all keys and values, wherever they lie.
    pub fn bytes(&self) -> u64 {
        self.history.pin().tree().size().bytes
    }

    /// Bytes of values that are away.
    pub fn away_bytes(&self) -> u64 {
        self.history.pin().tree().size().away
    }

    /// Ends every view that is open now, for the sake of what holds values that are away.
    pub fn end_views(&self) {
        self.history.end_views_from(0);
        self.history.collect();
    }

    /// What the range holds: exactly, in the time of two reads, but that bytes may count overwrites that are staged.
    pub fn estimate(&self, range: KeyRange<'_>) -> Estimate {
        let size = self.history.pin().tree().size_of(range);
        Estimate { entries: size.entries, bytes: size.bytes, exact: true }
    }

    /// The numbers of the map.
    pub fn usage(&self) -> Usage {
        let (open_views, oldest) = self.history.count_views();
        let now = self.history.pin();
        let (size, discarded_now) = (now.tree().size(), now.moment().discarded);
        Usage {
            entries: size.entries,
            bytes: size.bytes,
            open_views,
            retained_bytes: oldest.map_or(0, |discarded| discarded_now.saturating_sub(discarded)),
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
}

/// The key that a mutation changes, or where its range begins.
fn key_of<'a>(mutation: &Mutation<'a>) -> &'a [u8] {
    match mutation {
        Mutation::Put { key, .. } | Mutation::Delete { key } => key,
        Mutation::DeleteRange(range) => range.start(),
    }
}

/// Reads all entries and checks that they ascend and keep to the limits.
fn read_sorted(entries: &mut dyn Cursor) -> Result<Changes> {
    let mut list = Changes::new();
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
        if list.ends().is_some_and(|(_, last)| last >= entry.key) {
            return Err(EngineError::rejected(format!("the entries do not ascend at \"{key}\"")));
        }
        list.put(entry.key, entry.value);
    }
    Ok(list)
}

/// A change that nobody sees yet, and the writer's turn. Dropping it abandons the change.
#[must_use = "a staged change counts only after `publish`"]
pub struct Staged<'a> {
    map: &'a VersionedMap,
    edit: Edit<'a>,
}

impl Staged<'_> {
    /// Fetches what the next mutations will look at.
    fn prefetch(&self, ahead: &mut Mutations<'_>) {
        let mut keys = [&[][..]; SIDE_BY_SIDE];
        let next = keys.iter_mut().zip(ahead.by_ref());
        let count = next.map(|(key, mutation)| *key = key_of(&mutation)).count();
        self.edit.tree().prefetch(&keys[..count]);
    }

    /// The map as it will be once this is published. The view ends if the change is abandoned.
    pub fn view(&mut self) -> View {
        View::new(self.edit.view())
    }

    /// Adds many changes at once; takes them, and leaves none.
    pub fn merge(&mut self, changes: &mut Changes) {
        self.edit.merge(changes.take_sorted());
    }

    /// Replaces an entry of a view by its value, if the entry is still there as it was; answers whether it was.
    pub fn replace(&mut self, held: &Held, value: Stored<'_>) -> bool {
        let found = self.edit.tree().find(&held.key);
        let is_there = found.is_some_and(|record| record.version() == held.version);
        if is_there {
            self.edit.put(&held.key, value);
        }
        is_there
    }

    /// Adds the removal of every key of the range.
    pub fn delete_range(&mut self, range: KeyRange<'_>) {
        self.edit.delete_range(range);
    }

    /// Bytes of keys and values that the map itself will hold.
    pub fn bytes_here(&self) -> u64 {
        self.edit.tree().size().here()
    }

    /// Makes the change visible at one instant.
    pub fn publish(self) {
        let Self { map, edit } = self;
        let here = edit.tree().size().here();
        edit.publish(map.view_limit_bytes.unwrap_or_else(|| VIEW_LIMIT_BYTES.max(here)));
    }
}
