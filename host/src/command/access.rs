//! How commands reach stored values: by the user's keys of one database, in the bytes that clients stored.
//!
//! Promises: translates to and from the stored form; reads of several keys see one instant. `Reads` comes in
//! two forms, of the engine (`EngineReads`) and of a group (`GroupAccess`, which also writes), so that a
//! reading command is written once and runs on the event loop, on a reader thread and in the sequencer. A
//! command asks `work_bytes_max` before it works through a long value, so that it holds no event loop up.

use std::cell::Cell;
use std::iter;

use adapter_api::{Buffer, KeyRange, Resident, Values};

use super::errors::{Failure, Outcome};
use super::{Ahead, Context};
use crate::sequencer::Overlay;
use crate::storage::keyspace::{self, Slot, Stored, VALUE_HEADER_BYTES_MAX};

/// Point reads of one database.
pub(super) trait Reads {
    /// What is stored under the key.
    fn value(&mut self, key: &[u8]) -> Outcome<Option<Stored<'_>>>;

    /// Calls `visit` with what is stored under each of the keys, in their order, as of one instant.
    fn values(&mut self, keys: &[&[u8]], visit: &mut dyn FnMut(Option<&[u8]>)) -> Outcome;

    /// How many bytes a command may work through here. One that has more to do answers `WouldBlock`, and is
    /// worked out again where others do not wait for it.
    fn work_bytes_max(&self) -> usize;
}

/// How many bytes a command may work through on the event loop: some tens of microseconds.
const WORK_BYTES_MAX: usize = 256 << 10;

/// Memory for one engine key and one value, kept by the thread between requests.
#[derive(Default)]
struct Scratch {
    key: Vec<u8>,
    value: Buffer,
}

/// Values up to this size leave their memory for the next request of the thread.
const SCRATCH_BYTES_MAX: usize = 1 << 20;

thread_local! {
    static SCRATCH: Cell<Scratch> = const { Cell::new(Scratch { key: Vec::new(), value: Buffer::new() }) };
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

/// Reads of the engine.
pub(super) struct EngineReads<'a> {
    context: &'a Context,
    database: u8,
    /// What was read before; `None` for reads that wait for a device.
    ahead: Option<&'a Ahead>,
    scratch: Scratch,
    hits: u64,
    misses: u64,
}

impl<'a> EngineReads<'a> {
    /// Reads that fail with `WouldBlock` where they would have to wait for a device.
    pub(super) fn from_memory(context: &'a Context, database: u8, ahead: &'a Ahead) -> Self {
        Self { context, database, ahead: Some(ahead), scratch: Scratch::take(), hits: 0, misses: 0 }
    }

    /// Reads that wait for a device where they must.
    pub(super) fn that_wait(context: &'a Context, database: u8) -> Self {
        Self { context, database, ahead: None, scratch: Scratch::take(), hits: 0, misses: 0 }
    }

    /// Looks a key up; answers whether something is stored under it, in the scratch value.
    fn look_up(&mut self, key: &[u8]) -> Outcome<bool> {
        let (storage, may_wait) = (&self.context.storage, self.ahead.is_none());
        let Scratch { key: engine_key, value } = &mut self.scratch;
        storage.in_slot(self.database, |slot| {
            keyspace::write_data_key(slot, key, engine_key);
            value.clear();
            if may_wait {
                return Ok(storage.get(engine_key, value)?);
            }
            match storage.get_resident(engine_key, value)? {
                Resident::Hit => Ok(true),
                Resident::Absent => Ok(false),
                Resident::WouldBlock => Err(Failure::WouldBlock),
            }
        })
    }

    /// Counts the hits and misses of a request that was answered.
    pub(super) fn count(&self) {
        let counters = &self.context.observe.counters;
        if self.hits > 0 {
            counters.keyspace_hits.add(self.hits);
        }
        if self.misses > 0 {
            counters.keyspace_misses.add(self.misses);
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
        let known = self.ahead.as_ref().and_then(|ahead| ahead.find(key));
        let is_found = known.is_none() && self.look_up(key)?;
        let value = match (known, &self.ahead) {
            (Some(place), Some(ahead)) => ahead.value(place),
            _ => is_found.then_some(&*self.scratch.value),
        };
        let counted = if value.is_some() { &mut self.hits } else { &mut self.misses };
        *counted += 1;
        Ok(value.map(keyspace::decode).transpose()?)
    }

    fn values(&mut self, keys: &[&[u8]], visit: &mut dyn FnMut(Option<&[u8]>)) -> Outcome {
        if let [key] = keys {
            let stored = self.value(key)?;
            visit(stored.map(|stored| stored.bytes));
            return Ok(());
        }
        let (storage, may_wait) = (&self.context.storage, self.ahead.is_none());
        let values = storage.in_slot(self.database, |slot| {
            let engine_keys: Vec<_> = keys.iter().map(|key| keyspace::data_key(slot, key)).collect();
            let engine_keys: Vec<&[u8]> = engine_keys.iter().map(Vec::as_slice).collect();
            let mut values = Values::new();
            if may_wait {
                storage.multi_get(&engine_keys, &mut values)?;
            } else {
                storage.multi_get_resident(&engine_keys, WORK_BYTES_MAX, &mut values)?;
            }
            match values.len() == keys.len() {
                true => Ok(values),
                false => Err(Failure::WouldBlock),
            }
        })?;
        let decoded = values.iter().map(|value| value.map(keyspace::decode).transpose());
        let decoded = decoded.collect::<Result<Vec<_>, _>>()?;
        let found = decoded.iter().flatten().count();
        self.hits += found as u64;
        self.misses += (keys.len() - found) as u64;
        decoded.into_iter().for_each(|stored| visit(stored.map(|stored| stored.bytes)));
        Ok(())
    }

    fn work_bytes_max(&self) -> usize {
        if self.ahead.is_none() { usize::MAX } else { WORK_BYTES_MAX }
    }
}

/// Reads and writes of a request in a group.
pub(super) struct GroupAccess<'o, 'a> {
    overlay: &'o mut Overlay<'a>,
    database: u8,
    slot: Slot,
    value_bytes_max: usize,
    scratch: Scratch,
    hits: u64,
    misses: u64,
}

impl<'o, 'a> GroupAccess<'o, 'a> {
    pub(super) fn new(overlay: &'o mut Overlay<'a>, database: u8, value_bytes_max: usize) -> Self {
        let slot = overlay.databases().slot(database);
        Self { overlay, database, slot, value_bytes_max, scratch: Scratch::take(), hits: 0, misses: 0 }
    }

    /// How many keys were found and how many were not.
    pub(super) fn hits_and_misses(&self) -> (u64, u64) {
        (self.hits, self.misses)
    }

    /// The longest value that a client may store, in bytes.
    pub(super) fn value_bytes_max(&self) -> usize {
        self.value_bytes_max
    }

    /// The instant of the group, in milliseconds since 1970.
    pub(super) fn now_millis(&self) -> i64 {
        i64::try_from(self.overlay.now().as_millis()).unwrap_or(i64::MAX)
    }

    /// What is stored under the key, deadline and bytes, to change and put back.
    pub(super) fn copy_of(&mut self, key: &[u8]) -> Outcome<Option<(Option<u64>, Vec<u8>)>> {
        Ok(self.value(key)?.map(|stored| (stored.deadline, stored.bytes.to_vec())))
    }

    /// Stores the bytes of `parts`, one behind the other, under the key.
    pub(super) fn put(&mut self, key: &[u8], deadline: Option<u64>, parts: &[&[u8]]) -> Outcome {
        let engine_key = &mut self.scratch.key;
        keyspace::write_data_key(self.slot, key, engine_key);
        let mut room = [0; VALUE_HEADER_BYTES_MAX];
        let head = keyspace::encode_head(deadline, &mut room);
        Ok(self.overlay.put(engine_key, iter::once(head).chain(parts.iter().copied()))?)
    }

    /// Removes the key; answers whether it was there.
    pub(super) fn delete(&mut self, key: &[u8]) -> Outcome<bool> {
        let there = self.value(key)?.is_some();
        if there {
            self.remove(key)?;
        }
        Ok(there)
    }

    /// Removes a key that is there, as the request has seen.
    pub(super) fn remove(&mut self, key: &[u8]) -> Outcome {
        keyspace::write_data_key(self.slot, key, &mut self.scratch.key);
        Ok(self.overlay.delete(&self.scratch.key)?)
    }

    /// Removes every key of a range of engine keys.
    pub(super) fn delete_range(&mut self, range: KeyRange<'_>) -> Outcome {
        Ok(self.overlay.delete_range(range)?)
    }

    /// The database that reads and writes are of.
    pub(super) fn database(&self) -> u8 {
        self.database
    }

    /// The slot of that database, for ranges of engine keys.
    pub(super) fn slot(&self) -> Slot {
        self.slot
    }

    /// Reads and writes from here on are of another database, 0 … 15.
    pub(super) fn select(&mut self, database: u8) {
        self.database = database;
        self.slot = self.overlay.databases().slot(database);
    }

    /// Exchanges two databases, 0 … 15, for every request behind this one.
    pub(super) fn swap_databases(&mut self, one: u8, other: u8) -> Outcome {
        Ok(self.overlay.swap_databases(one, other)?)
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
        keyspace::write_data_key(self.slot, key, engine_key);
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

    fn work_bytes_max(&self) -> usize {
        usize::MAX
    }
}
