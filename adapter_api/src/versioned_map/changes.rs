//! Many changes that are made at once: gathered in any order, put in the order of their keys, merged into the
//! tree node by node.
//!
//! Promises: the outcome is that of the changes one after the other. A change costs one allocation, that of its
//! entry, and each node of the tree is opened once however many changes fall into it. For recovery, which does a
//! log of many records again; called by engines through `Staged::merge`.

use super::packed::{bytes_behind, common};
use super::record::{Away, Record, Stored};

/// Changes to single keys, in the order in which they happened.
#[derive(Default)]
pub struct Changes {
    list: Vec<Change>,
    /// How many bytes at their beginning all keys have in common.
    common: usize,
    bytes: usize,
}

/// A change of one key.
pub(super) enum Change {
    Put(Record),
    /// The record has the key alone.
    Delete(Record),
}

impl Change {
    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Put(record) | Self::Delete(record) => record.key(),
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
        self.push(key, Change::Put(Record::new(key, Stored::Here(value))));
        self.bytes += key.len() + value.len();
    }

    /// Notes that the key gets a value that is away. The key has at most 65,535 bytes.
    pub fn put_away(&mut self, key: &[u8], away: Away) {
        self.push(key, Change::Put(Record::new(key, Stored::Away(&away))));
        self.bytes += key.len();
    }

    /// Notes that the key is deleted. The key has at most 65,535 bytes.
    pub fn delete(&mut self, key: &[u8]) {
        self.push(key, Change::Delete(Record::new(key, Stored::Here(&[]))));
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
        self.common = match self.list.first() {
            Some(first) => {
                let first = &first.key()[..self.common.min(first.key().len())];
                common(first, key)
            }
            None => key.len(),
        };
        self.list.push(change);
    }

    /// Takes the changes in ascending order of their keys, of each key the last one.
    pub(super) fn take_sorted(&mut self) -> Vec<Change> {
        let (common, mut list) = (self.common, std::mem::take(self).list);
        // Eight bytes behind what all keys share tell most of them apart without going to the entries.
        let head = |change: &Change| u64::from_be_bytes(bytes_behind(change.key(), common));
        let mut order: Vec<(u64, usize)> =
            list.iter().enumerate().map(|(at, change)| (head(change), at)).collect();
        order.sort_unstable_by(|one, other| {
            one.0
                .cmp(&other.0)
                .then_with(|| list[one.1].key().cmp(list[other.1].key()))
                .then(one.1.cmp(&other.1))
        });
        let is_last = |at: usize| {
            order
                .get(at + 1)
                .is_none_or(|next| next.0 != order[at].0 || list[next.1].key() != list[order[at].1].key())
        };
        let places: Vec<usize> = (0..order.len()).filter(|at| is_last(*at)).map(|at| order[at].1).collect();
        let mut list: Vec<Option<Change>> = list.drain(..).map(Some).collect();
        places.into_iter().filter_map(|place| list[place].take()).collect()
    }
}
