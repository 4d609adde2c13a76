//! What a group wrote to which key: where the last write of a key stands in the batch.
//!
//! Promises: a write costs one entry of a list, and no key is looked at before somebody reads; from the first
//! read on, keys are found by their hash, each write is hashed once, and no key is copied. The overlay calls it.

use std::hash::{BuildHasher, RandomState};

use adapter_api::KeyRange;
use hashbrown::HashTable;

/// The puts, deletes and range deletes of one batch.
#[derive(Default)]
pub(super) struct Written {
    writes: Vec<Write>,
    ranges: Vec<DeletedRange>,
    /// The last write of each key, of the first `indexed` writes.
    last: HashTable<Last>,
    indexed: usize,
    hasher: RandomState,
}

/// A put or a delete, by places in the batch.
struct Write {
    key: usize,
    /// Behind the key; the value begins here.
    value: usize,
    /// Behind the value; `None` for a delete.
    end: Option<usize>,
    /// The write of the same key before it, once it is indexed.
    before: Option<usize>,
}

struct DeletedRange {
    start: Vec<u8>,
    end: Option<Vec<u8>>,
    /// How many writes came before it.
    writes: usize,
}

struct Last {
    hash: u64,
    write: usize,
}

/// How much had been written at some moment.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Mark {
    writes: usize,
    ranges: usize,
}

/// What a key holds after the writes of the group.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// The group did not write it.
    Untouched,
    /// The group deleted it last.
    Deleted,
    /// The group put this value last.
    Put(&'a [u8]),
}

impl Written {
    /// Notes a put, whose encoding ends at `end` of the batch with the key and the value behind it.
    pub(super) fn put(&mut self, end: usize, key_bytes: usize, value_bytes: usize) {
        let value = end - value_bytes;
        self.writes.push(Write { key: value - key_bytes, value, end: Some(end), before: None });
    }

    /// Notes a delete, whose encoding ends at `end` of the batch with the key.
    pub(super) fn delete(&mut self, end: usize, key_bytes: usize) {
        self.writes.push(Write { key: end - key_bytes, value: end, end: None, before: None });
    }

    /// Notes that a range was deleted.
    pub(super) fn delete_range(&mut self, range: KeyRange<'_>) {
        let (start, end) = (range.start().to_vec(), range.end().map(<[u8]>::to_vec));
        self.ranges.push(DeletedRange { start, end, writes: self.writes.len() });
    }

    /// What the key holds, where `batch` is the encoding of the whole batch.
    pub(super) fn find<'a>(&mut self, key: &[u8], batch: &'a [u8]) -> Found<'a> {
        if self.writes.is_empty() && self.ranges.is_empty() {
            return Found::Untouched;
        }
        self.index(batch);
        let hash = self.hasher.hash_one(key);
        let last = self.last.find(hash, |last| self.writes[last.write].key(batch) == key);
        let last = last.map(|last| last.write);
        let deleted = |range: &DeletedRange| {
            last.is_none_or(|last| last < range.writes)
                && KeyRange::with_end(&range.start, range.end.as_deref()).contains(key)
        };
        if self.ranges.iter().any(deleted) {
            return Found::Deleted;
        }
        match last.map(|last| &self.writes[last]) {
            None => Found::Untouched,
            Some(write) => write.end.map_or(Found::Deleted, |end| Found::Put(&batch[write.value..end])),
        }
    }

    fn index(&mut self, batch: &[u8]) {
        for place in self.indexed..self.writes.len() {
            let key = self.writes[place].key(batch);
            let hash = self.hasher.hash_one(key);
            let same = |last: &Last| self.writes[last.write].key(batch) == key;
            match self.last.find_mut(hash, same).map(|last| &mut last.write) {
                Some(last) => self.writes[place].before = Some(std::mem::replace(last, place)),
                None => {
                    self.last.insert_unique(hash, Last { hash, write: place }, |last| last.hash);
                }
            }
        }
        self.indexed = self.writes.len();
    }

    /// How much is written now.
    pub(super) fn mark(&self) -> Mark {
        Mark { writes: self.writes.len(), ranges: self.ranges.len() }
    }

    /// Forgets what was written since the mark; `batch` still holds it.
    pub(super) fn undo(&mut self, mark: Mark, batch: &[u8]) {
        for place in (mark.writes..self.indexed).rev() {
            let hash = self.hasher.hash_one(self.writes[place].key(batch));
            if let Ok(mut last) = self.last.find_entry(hash, |last| last.write == place) {
                match self.writes[place].before {
                    Some(before) => last.get_mut().write = before,
                    None => drop(last.remove()),
                }
            }
        }
        self.indexed = self.indexed.min(mark.writes);
        self.writes.truncate(mark.writes);
        self.ranges.truncate(mark.ranges);
    }

    /// Forgets everything. The memory is kept unless it is large.
    pub(super) fn clear(&mut self) {
        const KEPT_WRITES: usize = 1 << 16;
        if self.writes.len() > KEPT_WRITES {
            *self = Self::default();
            return;
        }
        self.writes.clear();
        self.ranges.clear();
        self.last.clear();
        self.indexed = 0;
    }
}

impl Write {
    fn key<'a>(&self, batch: &'a [u8]) -> &'a [u8] {
        &batch[self.key..self.value]
    }
}
