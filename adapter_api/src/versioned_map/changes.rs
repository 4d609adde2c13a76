//! Many changes that are made at once: gathered in any order, put in the order of their keys, merged into the
//! tree node by node.
//!
//! Promises: the outcome is that of the changes one after the other. What is gathered is a record in the form in which
//! the map keeps it, and each node of the tree is opened once however many changes fall into it; changes that come in the
//! order of their keys are not sorted. For recovery, which does a log of many records again; called by engines
//! through `Staged::merge`.

use super::node::{bytes_behind, common};
use super::record::{Away, OwnedRecord, Stored};

/// Changes to single keys, in the order in which they happened.
#[derive(Default)]
pub struct Changes {
    list: Vec<Change>,
    /// How many bytes at their beginning all keys have in common.
    common: usize,
    /// A key did not come behind the one before.
    is_unsorted: bool,
    bytes: usize,
}

/// A change of one key.
pub(super) enum Change {
    Put(OwnedRecord),
    /// The record has the key alone.
    Delete(OwnedRecord),
}

impl Change {
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Put(record) | Self::Delete(record) => record.lend().key(),
        }
    }

    /// Begins to fetch it from memory.
    pub(super) fn prefetch(&self) {
        match self {
            Self::Put(record) | Self::Delete(record) => record.lend().prefetch(),
        }
    }
}

impl Changes {
    /// Nothing changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that the key gets the value. The key has at most 65,535 bytes.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.push(key, Change::Put(OwnedRecord::new(key, Stored::Here(value))));
        self.bytes += key.len() + value.len();
    }

    /// Notes that the key gets a value that is away. The key has at most 65,535 bytes.
    pub fn put_away(&mut self, key: &[u8], away: Away) {
        self.push(key, Change::Put(OwnedRecord::new(key, Stored::Away(&away))));
        self.bytes += key.len();
    }

    /// Notes that the key is deleted. The key has at most 65,535 bytes.
    pub fn delete(&mut self, key: &[u8]) {
        self.push(key, Change::Delete(OwnedRecord::new(key, Stored::Here(&[]))));
        self.bytes += key.len();
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Bytes of all keys and values gathered, but for values that are away.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn push(&mut self, key: &[u8], change: Change) {
        match self.list.last() {
            Some(last) => {
                self.common = common(&last.key()[..self.common], key);
                self.is_unsorted |= last.key() >= key;
            }
            None => self.common = key.len(),
        }
        self.list.push(change);
    }

    /// Takes the changes in ascending order of their keys, of each key the last one.
    pub(super) fn take_sorted(&mut self) -> Vec<Change> {
        let Self { list, common, is_unsorted, .. } = std::mem::take(self);
        if !is_unsorted {
            return list;
        }
        // Eight bytes behind what all keys share tell most of them apart without going to the records.
        let head = |change: &Change| u64::from_be_bytes(bytes_behind(change.key(), common));
        let mut list: Vec<(u64, Change)> = list.into_iter().map(|change| (head(&change), change)).collect();
        // Stable: changes of one key stay in the order in which they happened.
        list.sort_by(|one, other| one.0.cmp(&other.0).then_with(|| one.1.key().cmp(other.1.key())));
        list.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0 && later.1.key() == kept.1.key();
            if is_same {
                std::mem::swap(later, kept);
            }
            is_same
        });
        list.into_iter().map(|(_, change)| change).collect()
    }
}
