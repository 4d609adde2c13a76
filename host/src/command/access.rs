//! How commands reach stored values: by the user's keys of one database, in the bytes that clients stored.
//!
//! Promises: translates to and from the stored form; reads of several keys see one instant. `Reads` comes in
//! two forms, of the engine (`EngineReads`) and of a group (`GroupAccess`, which also writes), so that a
//! reading command is written once and runs on the event loop, on a reader thread and in the sequencer.

use std::cell::Cell;

use adapter_api::{Buffer, KeyRange, Resident, Values};

use super::Context;
use super::errors::{Failure, Outcome};
use crate::sequencer::Overlay;
use crate::storage::keyspace::{self, Stored};

/// Point reads of one database.
pub(super) trait Reads {
    /// What is stored under the key.
    fn value(&mut self, key: &[u8]) -> Outcome<Option<Stored<'_>>>;

    /// Calls `visit` with what is stored under each of the keys, in their order, as of one instant.
    fn values(&mut self, keys: &[&[u8]], visit: &mut dyn FnMut(Option<&[u8]>)) -> Outcome;
}

/// Memory for one engine key and one value, kept by the thread between requests.
#[derive(Default)]
struct Scratch {
    key: Vec<u8>,
    value: Buffer,
}

/// Values up to this size leave their memory for the next request of the thread.
const SCRATCH_BYTES_MAX: usize = 1 << 20;

thread_local! {
    static SCRATCH: Cell<Scratch> = Cell::default();
}

impl Scratch {
    fn take() -> Self {
        SCRATCH.take()
    }

    fn give_back(&mut self) {
        if self.value.capacity() <= SCRATCH_BYTES_MAX {
            self.value.clear();
            SCRATCH.set(std::mem::take(self));
        }
    }
}

/// Reads of the engine, counted as hits and misses.
pub(super) struct EngineReads<'a> {
    context: &'a Context,
    database: u8,
    may_wait: bool,
    scratch: Scratch,
}

impl<'a> EngineReads<'a> {
    /// Reads that wait for a device if they `may_wait`, and fail with `WouldBlock` if not.
    pub(super) fn new(context: &'a Context, database: u8, may_wait: bool) -> Self {
        Self { context, database, may_wait, scratch: Scratch::take() }
    }

    fn count(&self, found: usize, asked: usize) {
        let counters = &self.context.observe.counters;
        if found > 0 {
            counters.keyspace_hits.add(found as u64);
        }
        if asked > found {
            counters.keyspace_misses.add((asked - found) as u64);
        }
    }
}

impl Drop for EngineReads<'_> {
    fn drop(&mut self) {
        self.scratch.give_back();
    }
}

impl Reads for EngineReads<'_> {
    fn value(&mut self, key: &[u8]) -> Outcome<Option<Stored<'_>>> {
        let storage = &self.context.storage;
        let Scratch { key: engine_key, value } = &mut self.scratch;
        keyspace::write_data_key(self.database, key, engine_key);
        value.clear();
        let found = match self.may_wait {
            true => storage.get(engine_key, value)?,
            false => match storage.get_resident(engine_key, value)? {
                Resident::Hit => true,
                Resident::Absent => false,
                Resident::WouldBlock => return Err(Failure::WouldBlock),
            },
        };
        self.count(usize::from(found), 1);
        match found {
            true => Ok(Some(keyspace::decode(&self.scratch.value)?)),
            false => Ok(None),
        }
    }

    fn values(&mut self, keys: &[&[u8]], visit: &mut dyn FnMut(Option<&[u8]>)) -> Outcome {
        if let [key] = keys {
            let stored = self.value(key)?;
            visit(stored.map(|stored| stored.bytes));
            return Ok(());
        }
        let storage = &self.context.storage;
        let engine_keys: Vec<_> = keys.iter().map(|key| keyspace::data_key(self.database, key)).collect();
        let engine_keys: Vec<&[u8]> = engine_keys.iter().map(Vec::as_slice).collect();
        let mut values = Values::new();
        if self.may_wait {
            storage.multi_get(&engine_keys, &mut values)?;
        } else if storage.multi_get_resident(&engine_keys, &mut values)? == Resident::WouldBlock {
            return Err(Failure::WouldBlock);
        }
        let decoded = values.iter().map(|value| value.map(keyspace::decode).transpose());
        let decoded = decoded.collect::<Result<Vec<_>, _>>()?;
        self.count(decoded.iter().flatten().count(), keys.len());
        decoded.into_iter().for_each(|stored| visit(stored.map(|stored| stored.bytes)));
        Ok(())
    }
}

/// Reads and writes of a request in a group.
pub(super) struct GroupAccess<'o, 'a> {
    overlay: &'o mut Overlay<'a>,
    database: u8,
    value_bytes_max: usize,
    scratch: Scratch,
    hits: u64,
    misses: u64,
}

impl<'o, 'a> GroupAccess<'o, 'a> {
    pub(super) fn new(overlay: &'o mut Overlay<'a>, database: u8, value_bytes_max: usize) -> Self {
        Self { overlay, database, value_bytes_max, scratch: Scratch::take(), hits: 0, misses: 0 }
    }

    /// How many keys were found and how many were not.
    pub(super) fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits, self.misses)
    }

    /// The longest value that a client may store, in bytes.
    pub(super) fn value_bytes_max(&self) -> usize {
        self.value_bytes_max
    }

    /// Stores the bytes of `parts`, one behind the other, under the key.
    pub(super) fn put(&mut self, key: &[u8], deadline: Option<u64>, parts: &[&[u8]]) -> Outcome {
        let Scratch { key: engine_key, value } = &mut self.scratch;
        keyspace::write_data_key(self.database, key, engine_key);
        value.clear();
        keyspace::encode_head(deadline, value);
        parts.iter().for_each(|part| value.extend_from_slice(part));
        Ok(self.overlay.put(engine_key, value)?)
    }

    /// Removes the key; answers whether it was there.
    pub(super) fn delete(&mut self, key: &[u8]) -> Outcome<bool> {
        let there = self.value(key)?.is_some();
        if there {
            // `value` has left the engine's key in place.
            self.overlay.delete(&self.scratch.key)?;
        }
        Ok(there)
    }

    /// Removes every key of a range of engine keys.
    pub(super) fn delete_range(&mut self, range: KeyRange<'_>) -> Outcome {
        Ok(self.overlay.delete_range(range)?)
    }

    /// The database that the request works in.
    pub(super) fn database(&self) -> u8 {
        self.database
    }
}

impl Drop for GroupAccess<'_, '_> {
    fn drop(&mut self) {
        self.scratch.give_back();
    }
}

impl Reads for GroupAccess<'_, '_> {
    fn value(&mut self, key: &[u8]) -> Outcome<Option<Stored<'_>>> {
        let Scratch { key: engine_key, value } = &mut self.scratch;
        keyspace::write_data_key(self.database, key, engine_key);
        value.clear();
        if !self.overlay.get(engine_key, value)? {
            self.misses += 1;
            return Ok(None);
        }
        self.hits += 1;
        Ok(Some(keyspace::decode(value)?))
    }

    fn values(&mut self, keys: &[&[u8]], visit: &mut dyn FnMut(Option<&[u8]>)) -> Outcome {
        // Nobody else writes while a group is evaluated, so one read after the other sees one instant.
        for key in keys {
            let stored = self.value(key)?;
            visit(stored.map(|stored| stored.bytes));
        }
        Ok(())
    }
}
