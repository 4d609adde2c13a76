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

/// A change of one key: an entry, or its deletion.
pub(super) struct Change {
    /// Eight bytes of the key behind what all keys share: they tell most of them apart without going to the records.
    head: u64,
    pub(super) record: OwnedRecord,
}

impl Change {
    pub(super) fn key(&self) -> &[u8] {
        self.record.lend().key()
    }

    fn set_head(&mut self, common: usize) {
        self.head = u64::from_be_bytes(bytes_behind(self.key(), common));
    }
}

impl Changes {
    /// Nothing changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that the key gets the value. The key has at most 65,535 bytes.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.push(OwnedRecord::new(key, Stored::Here(value)));
        self.bytes += key.len() + value.len();
    }

    /// Notes that the key gets a value that is away. The key has at most 65,535 bytes.
    pub fn put_away(&mut self, key: &[u8], away: Away) {
        self.push(OwnedRecord::new(key, Stored::Away(&away)));
        self.bytes += key.len();
    }

    /// Notes that the key is deleted. The key has at most 65,535 bytes.
    pub fn delete(&mut self, key: &[u8]) {
        self.push(OwnedRecord::deletion(key));
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

    /// The keys of the first change and the last one.
    pub(super) fn ends(&self) -> Option<(&[u8], &[u8])> {
        self.list.first().map(Change::key).zip(self.list.last().map(Change::key))
    }

    fn push(&mut self, record: OwnedRecord) {
        let mut change = Change { head: 0, record };
        let common = match self.list.last() {
            Some(last) => {
                self.is_unsorted |= last.key() >= change.key();
                common(&last.key()[..self.common], change.key())
            }
            None => change.key().len(),
        };
        if common != self.common {
            self.common = common;
            self.list.iter_mut().for_each(|change| change.set_head(common));
        }
        change.set_head(common);
        self.list.push(change);
    }

    /// Takes the changes in ascending order of their keys, of each key the last one.
    pub(super) fn take_sorted(&mut self) -> Vec<Change> {
        let Self { mut list, is_unsorted, .. } = std::mem::take(self);
        if is_unsorted {
            // Stable: changes of one key stay in the order in which they happened.
            list.sort_by(|one, other| one.head.cmp(&other.head).then_with(|| one.key().cmp(other.key())));
            list.dedup_by(|later, kept| {
                let is_same = later.head == kept.head && later.key() == kept.key();
                if is_same {
                    std::mem::swap(later, kept);
                }
                is_same
            });
        }
        list
    }
}
