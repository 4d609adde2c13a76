//! What requests read from and write to: the engine plus what their group already wrote.
//!
//! Promises: a read sees every earlier write of its group, as if it had been applied; `undo` takes back
//! exactly what the request now evaluated wrote. Keys and values are the engine's (see
//! `storage::keyspace`). The group fills one batch through it; submissions use it in `evaluate`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use adapter_api::{Batch, BatchBuilder, Buffer, Capabilities, EngineError, KeyRange, Values};

use crate::storage::{Databases, Storage};

/// The writes of one group so far, and what was fetched for it.
#[derive(Default)]
pub(super) struct Writes {
    batch: BatchBuilder,
    /// The last write of each key that was put or deleted, or that a range delete found in here.
    keys: HashMap<Arc<[u8]>, Write>,
    ranges: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    /// What the request now evaluated replaced in `keys`, for `undo`.
    replaced: Vec<(Arc<[u8]>, Option<Write>)>,
    savepoint: Savepoint,
    /// Values fetched before the first request; they hold as long as nothing was applied.
    fetched: Values,
    fetched_keys: HashMap<Vec<u8>, usize>,
    /// What the slots of the databases are once the batch is applied, if the request now evaluated changes
    /// them. It is the last one of its batch.
    databases: Option<Databases>,
}

#[derive(Debug, Clone, Copy)]
enum Write {
    /// Where the value lies in the batch.
    Put {
        start: usize,
        end: usize,
    },
    Deleted,
}

#[derive(Debug, Default, Clone, Copy)]
struct Savepoint {
    batch_bytes: usize,
    ranges: usize,
}

impl Writes {
    /// Fetches the values of `keys` together.
    pub(super) fn fetch(&mut self, keys: &[&[u8]], storage: &Storage) -> Result<(), EngineError> {
        if keys.len() < 2 || !storage.has(Capabilities::READ_VIEW) {
            return Ok(());
        }
        storage.multi_get(keys, &mut self.fetched)?;
        self.fetched_keys.extend(keys.iter().enumerate().map(|(index, key)| (key.to_vec(), index)));
        Ok(())
    }

    /// Begins the next request: `undo` goes back to here.
    pub(super) fn begin_request(&mut self) {
        self.replaced.clear();
        self.savepoint = Savepoint { batch_bytes: self.batch.bytes(), ranges: self.ranges.len() };
    }

    /// Takes back what was written since `begin_request`.
    pub(super) fn undo(&mut self) {
        self.databases = None;
        for (key, before) in self.replaced.drain(..).rev() {
            match before {
                Some(write) => drop(self.keys.insert(key, write)),
                None => drop(self.keys.remove(&key)),
            }
        }
        self.ranges.truncate(self.savepoint.ranges);
        self.batch.truncate(self.savepoint.batch_bytes);
    }

    /// What the requests before the current one wrote, in encoded bytes.
    pub(super) fn bytes_before_request(&self) -> usize {
        self.savepoint.batch_bytes
    }

    /// What the group wrote so far, in encoded bytes.
    pub(super) fn bytes(&self) -> usize {
        self.batch.bytes()
    }

    /// The slots of the databases once the batch is applied, if it changes them: nothing may be written behind
    /// that in the same batch.
    pub(super) fn databases(&self) -> Option<Databases> {
        self.databases
    }

    /// What the group wrote so far.
    pub(super) fn batch(&self) -> Batch<'_> {
        self.batch.as_batch()
    }

    /// Puts a value that no request of the group reads, behind everything else.
    pub(super) fn put_unread(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        self.batch.put(key, value)
    }

    /// Forgets everything. The memory is kept unless it is large.
    pub(super) fn clear(&mut self) {
        const KEPT_BYTES: usize = 16 << 20;
        if self.batch.bytes() > KEPT_BYTES || self.fetched.bytes() > KEPT_BYTES {
            *self = Self::default();
            return;
        }
        self.databases = None;
        self.batch.clear();
        self.keys.clear();
        self.ranges.clear();
        self.replaced.clear();
        self.savepoint = Savepoint::default();
        self.fetched.clear();
        self.fetched_keys.clear();
    }

    fn note(&mut self, key: &[u8], write: Write) {
        let key: Arc<[u8]> = key.into();
        let before = self.keys.insert(Arc::clone(&key), write);
        self.replaced.push((key, before));
    }

    fn is_in_deleted_range(&self, key: &[u8]) -> bool {
        self.ranges.iter().any(|(start, end)| KeyRange::with_end(start, end.as_deref()).contains(key))
    }
}

/// The engine as the next request of a group sees it.
pub struct Overlay<'a> {
    pub(super) writes: &'a mut Writes,
    pub(super) storage: &'a Storage,
    pub(super) now: Duration,
}

impl Overlay<'_> {
    /// The instant of the group, since 1970: the same for all of its requests, and never before that of an
    /// earlier group.
    pub fn now(&self) -> Duration {
        self.now
    }

    /// Appends the value of an engine key and answers `true`, or answers `false`. May wait for a device.
    ///
    /// # Errors
    /// What the engine says.
    pub fn get(&mut self, key: &[u8], value: &mut Buffer) -> Result<bool, EngineError> {
        match self.writes.keys.get(key) {
            Some(Write::Put { start, end }) => {
                value.extend_from_slice(&self.writes.batch.as_batch().as_bytes()[*start..*end]);
                return Ok(true);
            }
            Some(Write::Deleted) => return Ok(false),
            None => {}
        }
        if self.writes.is_in_deleted_range(key) {
            return Ok(false);
        }
        if let Some(index) = self.writes.fetched_keys.get(key) {
            let fetched = self.writes.fetched.get(*index);
            fetched.inspect(|fetched| value.extend_from_slice(fetched));
            return Ok(fetched.is_some());
        }
        self.storage.get(key, value)
    }

    /// Stores the value under an engine key.
    ///
    /// # Errors
    /// `Rejected` if key or value are outside the engine's limits; nothing is stored then.
    pub fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
        self.writes.batch.put(key, value)?;
        let end = self.writes.batch.bytes();
        self.writes.note(key, Write::Put { start: end - value.len(), end });
        Ok(())
    }

    /// Removes an engine key, whether it is there or not.
    ///
    /// # Errors
    /// `Rejected` if the key is outside the engine's limits.
    pub fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        self.writes.batch.delete(key)?;
        self.writes.note(key, Write::Deleted);
        Ok(())
    }

    /// Removes every engine key of a range.
    ///
    /// # Errors
    /// `Rejected` if a bound is outside the engine's limits.
    pub fn delete_range(&mut self, range: KeyRange<'_>) -> Result<(), EngineError> {
        self.writes.batch.delete_range(range)?;
        let within: Vec<_> = self.writes.keys.keys().filter(|key| range.contains(key)).cloned().collect();
        for key in within {
            self.writes.note(&key, Write::Deleted);
        }
        self.writes.ranges.push((range.start().to_vec(), range.end().map(<[u8]>::to_vec)));
        Ok(())
    }

    /// Which slot each database has.
    pub fn databases(&self) -> Databases {
        self.storage.databases()
    }

    /// Exchanges the slots of two databases once the batch is applied, which ends with this request: those
    /// behind it find the databases swapped, this one does not.
    ///
    /// # Errors
    /// `Rejected` if the engine takes no such key; nothing is changed then.
    pub fn swap_databases(&mut self, one: u8, other: u8) -> Result<(), EngineError> {
        let swapped = self.databases().swapped(one, other);
        self.put(&Databases::key(), &swapped.encode())?;
        self.writes.databases = Some(swapped);
        Ok(())
    }

    /// Takes back what the request now evaluated wrote: for a request that fails half way.
    pub fn undo(&mut self) {
        self.writes.undo();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::test_engine::{TestEngine, opened};

    fn read(overlay: &mut Overlay<'_>, key: &[u8]) -> Option<Vec<u8>> {
        let mut value = Buffer::new();
        overlay.get(key, &mut value).unwrap().then(|| value.to_vec())
    }

    fn stored() -> Storage {
        let storage = opened(TestEngine::new());
        let mut batch = BatchBuilder::new();
        for key in [b"a", b"b", b"c"] {
            batch.put(key, b"old").unwrap();
        }
        storage.apply(batch.as_batch()).unwrap();
        storage
    }

    fn overlay<'a>(writes: &'a mut Writes, storage: &'a Storage) -> Overlay<'a> {
        Overlay { writes, storage, now: Duration::ZERO }
    }

    #[test]
    fn reads_see_puts_deletes_and_range_deletes_in_their_order() {
        let storage = stored();
        for fetch in [false, true] {
            let mut writes = Writes::default();
            if fetch {
                writes.fetch(&[b"a", b"b", b"c", b"d"], &storage).unwrap();
            }
            let mut overlay = overlay(&mut writes, &storage);
            assert_eq!(read(&mut overlay, b"a"), Some(b"old".to_vec()));
            assert_eq!(read(&mut overlay, b"d"), None);
            overlay.put(b"a", b"new").unwrap();
            overlay.delete(b"b").unwrap();
            assert_eq!(read(&mut overlay, b"a"), Some(b"new".to_vec()));
            assert_eq!(read(&mut overlay, b"b"), None);
            overlay.delete_range(KeyRange::new(b"a", b"d")).unwrap();
            assert_eq!((read(&mut overlay, b"a"), read(&mut overlay, b"c")), (None, None));
            overlay.put(b"c", b"").unwrap();
            assert_eq!((read(&mut overlay, b"a"), read(&mut overlay, b"c")), (None, Some(Vec::new())));
            assert_eq!(overlay.writes.batch().len(), 4);
        }
    }

    #[test]
    fn undo_takes_back_the_request_and_nothing_before_it() {
        let storage = stored();
        let mut writes = Writes::default();
        writes.begin_request();
        overlay(&mut writes, &storage).put(b"a", b"first").unwrap();
        let before = writes.bytes();
        writes.begin_request();
        let mut overlay = overlay(&mut writes, &storage);
        overlay.put(b"a", b"second").unwrap();
        overlay.delete(b"a").unwrap();
        overlay.put(b"e", b"e").unwrap();
        overlay.delete_range(KeyRange::all()).unwrap();
        overlay.undo();
        assert_eq!(read(&mut overlay, b"a"), Some(b"first".to_vec()));
        assert_eq!(read(&mut overlay, b"b"), Some(b"old".to_vec()));
        assert_eq!(read(&mut overlay, b"e"), None);
        assert_eq!(writes.bytes(), before);
    }
}
