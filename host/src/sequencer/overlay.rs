//! What requests read from and write to: the engine plus what their group already wrote.
//!
//! Promises: a read sees every earlier write of its group, as if it had been applied; `undo` takes back
//! exactly what the request now evaluated wrote. Keys and values are the engine's (see
//! `storage::keyspace`). The group fills one batch through it; submissions use it in `evaluate`.

use std::iter;
use std::time::Duration;

use adapter_api::{Batch, BatchBuilder, Buffer, EngineError, KeyRange};

use super::fetched::Fetched;
use super::written::{Found, Mark, Written};
use crate::storage::{Databases, Storage};

/// The writes of one group so far, and what was fetched for it.
#[derive(Default)]
pub(super) struct Writes {
    batch: BatchBuilder,
    written: Written,
    savepoint: Savepoint,
    /// They hold as long as nothing was applied.
    fetched: Fetched,
    /// How many bytes of values were copied for requests.
    read_bytes: usize,
    /// What the slots of the databases are once the batch is applied, if the request now evaluated changes
    /// them. It is the last one of its batch.
    databases: Option<Databases>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Savepoint {
    batch_bytes: usize,
    written: Mark,
}

impl Writes {
    /// What is to be fetched, or was.
    pub(super) fn fetched(&mut self) -> &mut Fetched {
        &mut self.fetched
    }

    /// Begins the next request: `undo` goes back to here.
    pub(super) fn begin_request(&mut self) {
        self.savepoint = Savepoint { batch_bytes: self.batch.bytes(), written: self.written.mark() };
    }

    /// Takes back what was written since `begin_request`.
    pub(super) fn undo(&mut self) {
        self.databases = None;
        self.written.undo(self.savepoint.written, self.batch.as_batch().as_bytes());
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

    /// How many bytes of values the group was given so far.
    pub(super) fn read_bytes(&self) -> usize {
        self.read_bytes
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
        if self.batch.bytes() > KEPT_BYTES {
            *self = Self::default();
            return;
        }
        self.databases = None;
        self.batch.clear();
        self.written.clear();
        self.savepoint = Savepoint::default();
        self.fetched.clear();
        self.read_bytes = 0;
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
        let start = value.len();
        let is_found = self.read(key, value)?;
        self.writes.read_bytes += value.len() - start;
        Ok(is_found)
    }

    fn read(&mut self, key: &[u8], value: &mut Buffer) -> Result<bool, EngineError> {
        let known = match self.writes.written.find(key, self.writes.batch.as_batch().as_bytes()) {
            Found::Put(put) => Some(put),
            Found::Deleted => None,
            Found::Untouched => match self.writes.fetched.find(key) {
                Some(fetched) => fetched,
                None => return self.storage.get(key, value),
            },
        };
        known.inspect(|known| value.extend_from_slice(known));
        Ok(known.is_some())
    }

    /// Stores the bytes of `parts`, one behind the other, under an engine key.
    ///
    /// # Errors
    /// `Rejected` if key or value are outside the engine's limits; nothing is stored then.
    pub fn put<'p>(
        &mut self,
        key: &[u8],
        parts: impl Iterator<Item = &'p [u8]> + Clone,
    ) -> Result<(), EngineError> {
        let value_bytes = self.writes.batch.put_parts(key, parts)?;
        self.writes.written.put(self.writes.batch.bytes(), key.len(), value_bytes);
        Ok(())
    }

    /// Removes an engine key, whether it is there or not.
    ///
    /// # Errors
    /// `Rejected` if the key is outside the engine's limits.
    pub fn delete(&mut self, key: &[u8]) -> Result<(), EngineError> {
        self.writes.batch.delete(key)?;
        self.writes.written.delete(self.writes.batch.bytes(), key.len());
        Ok(())
    }

    /// Removes every engine key of a range.
    ///
    /// # Errors
    /// `Rejected` if a bound is outside the engine's limits.
    pub fn delete_range(&mut self, range: KeyRange<'_>) -> Result<(), EngineError> {
        self.writes.batch.delete_range(range)?;
        self.writes.written.delete_range(range);
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
        self.put(&Databases::key(), iter::once(&swapped.encode()[..]))?;
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
                [b"d", b"a", b"c", b"b", b"a"].iter().for_each(|key| writes.fetched().add(*key));
                writes.fetched().fetch(&storage).unwrap();
            }
            let mut overlay = overlay(&mut writes, &storage);
            assert_eq!(read(&mut overlay, b"a"), Some(b"old".to_vec()));
            assert_eq!(read(&mut overlay, b"d"), None);
            overlay.put(b"a", iter::once(&b"new"[..])).unwrap();
            overlay.delete(b"b").unwrap();
            assert_eq!(read(&mut overlay, b"a"), Some(b"new".to_vec()));
            assert_eq!(read(&mut overlay, b"b"), None);
            overlay.delete_range(KeyRange::new(b"a", b"d")).unwrap();
            assert_eq!((read(&mut overlay, b"a"), read(&mut overlay, b"c")), (None, None));
            overlay.put(b"c", iter::once(&b""[..])).unwrap();
            assert_eq!((read(&mut overlay, b"a"), read(&mut overlay, b"c")), (None, Some(Vec::new())));
            assert_eq!(overlay.writes.batch().len(), 4);
        }
    }

    #[test]
    fn undo_takes_back_the_request_and_nothing_before_it() {
        let storage = stored();
        // Reading in between changes what the overlay knows of its own writes, but nothing that it answers.
        for reads in [false, true] {
            let mut writes = Writes::default();
            writes.begin_request();
            let mut first = overlay(&mut writes, &storage);
            first.put(b"a", iter::once(&b"first"[..])).unwrap();
            first.delete(b"c").unwrap();
            let before = writes.bytes();
            writes.begin_request();
            let mut overlay = overlay(&mut writes, &storage);
            overlay.put(b"a", iter::once(&b"second"[..])).unwrap();
            if reads {
                assert_eq!(read(&mut overlay, b"a"), Some(b"second".to_vec()));
            }
            overlay.delete(b"a").unwrap();
            overlay.put(b"c", iter::once(&b"c"[..])).unwrap();
            overlay.put(b"e", iter::once(&b"e"[..])).unwrap();
            if reads {
                assert_eq!((read(&mut overlay, b"a"), read(&mut overlay, b"e")), (None, Some(b"e".to_vec())));
            }
            overlay.delete_range(KeyRange::all()).unwrap();
            overlay.put(b"a", iter::once(&b"third"[..])).unwrap();
            if reads {
                assert_eq!(
                    (read(&mut overlay, b"a"), read(&mut overlay, b"e")),
                    (Some(b"third".to_vec()), None)
                );
            }
            overlay.undo();
            assert_eq!(read(&mut overlay, b"a"), Some(b"first".to_vec()));
            assert_eq!(read(&mut overlay, b"b"), Some(b"old".to_vec()));
            assert_eq!((read(&mut overlay, b"c"), read(&mut overlay, b"e")), (None, None));
            overlay.put(b"e", iter::once(&b"again"[..])).unwrap();
            assert_eq!(read(&mut overlay, b"e"), Some(b"again".to_vec()));
            overlay.undo();
            assert_eq!(writes.bytes(), before);
        }
    }
}
