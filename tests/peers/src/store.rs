//! What every store is to the workloads: ours through the plugin border, and the rivals.
//!
//! Promises: a write that returns in a store opened durable survives a power cut, as far as the store claims
//! it; a reader sees one point in time. Each store is opened with its own best settings for that.

use anyhow::Result;

use crate::data::{Key, Value};

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of memory for the store's cache.
    pub cache_bytes: u64,
    /// Whether a write is complete once the operating system has it, instead of once it is durable.
    pub relaxed: bool,
    /// Whether the data is larger than memory.
    pub is_larger_than_memory: bool,
}

/// One change.
#[derive(Debug, Clone, Copy)]
pub struct Change {
    /// The key.
    pub key: Key,
    /// Its new value; `None` deletes it.
    pub value: Option<Value>,
}

/// An open store.
pub trait Store: Send + Sync {
    /// Makes the changes in one commit, durable on return unless the store was opened relaxed. Called by
    /// several threads at once; `writers` says by how many.
    fn write(&self, changes: &[Change], writers: usize) -> Result<()>;

    /// Fills an empty store with `entries` entries, in no order, by its fastest way; durable on return.
    fn load(&self, entries: &mut dyn Iterator<Item = (Key, Value)>) -> Result<()>;

    /// Calls `work` with a reader of the present state.
    fn read(&self, work: &mut dyn FnMut(&mut dyn Reader) -> Result<()>) -> Result<()>;

    /// Makes what was written relaxed durable.
    fn sync(&self) -> Result<()>;

    /// Does what the store would do some time in the background, to its end.
    fn settle(&self) -> Result<()>;

    /// Bytes written to the device by the store's own count, if it has one.
    fn written_bytes(&self) -> Option<u64> {
        None
    }

    /// Ends in order.
    fn close(self: Box<Self>) -> Result<()>;
}

/// What a range calls with each key and its value.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 'a;

/// A view of a store at one point in time.
pub trait Reader {
    /// Calls `found` with the value and answers `true`, or answers `false`.
    fn get(&mut self, key: &Key, found: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<bool>;

    /// Calls `visit` with up to `limit` entries from `from` on, in order.
    fn range(&mut self, from: &[u8], limit: usize, visit: &mut Visit<'_>) -> Result<()>;
}

/// The entries in the order of their keys, for stores that load sorted data.
pub fn sorted(entries: &mut dyn Iterator<Item = (Key, Value)>) -> Vec<(Key, Value)> {
    let mut all: Vec<_> = entries.collect();
    all.sort_unstable_by_key(|(key, _)| *key);
    all
}
