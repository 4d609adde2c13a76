//! Which slot each database has. SWAPDB changes that, and moves no key.
//!
//! Promises: what is stored under `databases` in the meta space is what `Storage` goes by; a swap is the last
//! write of its batch, and the slots change between that batch and the next. So whoever reads with the slots
//! of before sees at most what was before the swap. A reader that a swap overtook reads again (`in_slot`).
//!
//! ```text
//! meta key "databases"    value: 16 bytes, the slot of each database; not there: each has its own number
//! ```

use std::sync::atomic::{AtomicU64, Ordering};

use adapter_api::{Buffer, EngineError};

use super::Storage;
use super::keyspace::{self, DATABASES, Slot};

/// The slots of all databases; each slot belongs to exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Databases {
    /// Four bits for the slot of each database, from the lowest bits on.
    packed: u64,
}

impl Default for Databases {
    /// Every database in the slot of its own number.
    fn default() -> Self {
        Self { packed: 0xfedc_ba98_7654_3210 }
    }
}

impl Databases {
    /// The slot of a database, 0 … 15.
    pub fn slot(self, database: u8) -> Slot {
        Slot::new((self.packed >> (4 * (database % DATABASES))) as u8 % DATABASES)
    }

    /// The same with the slots of two databases exchanged.
    #[must_use]
    pub fn swapped(self, one: u8, other: u8) -> Self {
        let (one_at, other_at) = (4 * (one % DATABASES), 4 * (other % DATABASES));
        let difference = ((self.packed >> one_at) ^ (self.packed >> other_at)) & 0xf;
        Self { packed: self.packed ^ (difference << one_at) ^ (difference << other_at) }
    }

    /// The engine key that the slots are stored under.
    pub fn key() -> Vec<u8> {
        keyspace::meta_key("databases")
    }

    /// The slots as they are stored.
    pub fn encode(self) -> [u8; DATABASES as usize] {
        let mut bytes = [0; DATABASES as usize];
        for (database, byte) in (0..DATABASES).zip(&mut bytes) {
            *byte = self.slot(database).number();
        }
        bytes
    }

    /// The slots that were stored as these bytes.
    ///
    /// # Errors
    /// `Corrupt` if the bytes are not 16 different slots.
    fn decode(bytes: &[u8]) -> Result<Self, EngineError> {
        let is_whole =
            bytes.len() == usize::from(DATABASES) && (0..DATABASES).all(|slot| bytes.contains(&slot));
        if !is_whole {
            let message = format!("{} is not every slot once", bytes.escape_ascii());
            return Err(EngineError::corrupt("(the stored slots of the databases)", 0, message));
        }
        let packed = bytes.iter().rev().fold(0, |packed, slot| packed << 4 | u64::from(*slot));
        Ok(Self { packed })
    }
}

/// The slots in use, for readers on any thread.
#[derive(Debug)]
pub(super) struct CurrentDatabases {
    packed: AtomicU64,
    /// How many times they were changed: a swap and one back leave the same slots.
    changes: AtomicU64,
}

impl Default for CurrentDatabases {
    fn default() -> Self {
        Self { packed: AtomicU64::new(Databases::default().packed), changes: AtomicU64::new(0) }
    }
}

impl CurrentDatabases {
    fn get(&self) -> Databases {
        Databases { packed: self.packed.load(Ordering::SeqCst) }
    }

    fn set(&self, databases: Databases) {
        self.packed.store(databases.packed, Ordering::SeqCst);
        self.changes.fetch_add(1, Ordering::SeqCst);
    }
}

impl Storage {
    /// Goes on with the slots that are stored.
    ///
    /// # Errors
    /// What the engine says; `Corrupt` if they are not in the form drawn above.
    pub(super) fn resume_databases(&self) -> Result<(), EngineError> {
        let mut value = Buffer::new();
        if self.get(&Databases::key(), &mut value)? {
            self.databases.set(Databases::decode(&value)?);
        }
        Ok(())
    }

    /// Which slot each database has now.
    pub fn databases(&self) -> Databases {
        self.databases.get()
    }

    /// Goes by other slots from here on. For the sequencer alone, when the batch that stores them is applied
    /// and before the next one is.
    pub(crate) fn set_databases(&self, databases: Databases) {
        self.databases.set(databases);
    }

    /// Calls `read` with the slot of a database, again if databases were swapped meanwhile: what it answered
    /// last was true of the database at some instant. `read` begins anew each time.
    ///
    /// # Errors
    /// What `read` says.
    pub fn in_slot<T, E>(&self, database: u8, mut read: impl FnMut(Slot) -> Result<T, E>) -> Result<T, E> {
        loop {
            let changes = self.databases.changes.load(Ordering::SeqCst);
            let outcome = read(self.databases().slot(database))?;
            if self.databases.changes.load(Ordering::SeqCst) == changes {
                return Ok(outcome);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::test_engine::{TestEngine, opened};

    #[test]
    fn swaps_exchange_two_slots_and_no_other() {
        let slots = |databases: Databases| databases.encode();
        let start = Databases::default();
        assert_eq!(slots(start), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        let swapped = start.swapped(0, 15).swapped(0, 3).swapped(7, 7);
        assert_eq!(slots(swapped), [3, 1, 2, 15, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0]);
        assert_eq!(Databases::decode(&slots(swapped)).unwrap(), swapped);
        assert_eq!(swapped.swapped(0, 3).swapped(15, 0), start);
    }

    #[test]
    fn damaged_slots_are_refused() {
        for damaged in [&b""[..], &[0; 16], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16]] {
            assert!(matches!(Databases::decode(damaged), Err(EngineError::Corrupt { .. })));
        }
    }

    #[test]
    fn a_read_that_a_swap_overtakes_begins_anew() {
        let storage = opened(TestEngine::new());
        let mut slots = Vec::new();
        let read = storage.in_slot(3, |slot| {
            if slots.is_empty() {
                // There and back: only their number tells that there were swaps.
                storage.set_databases(storage.databases().swapped(3, 4));
                storage.set_databases(storage.databases().swapped(3, 4));
            }
            slots.push(slot);
            Ok::<_, EngineError>(slots.len())
        });
        assert_eq!(read.unwrap(), 2);
        assert_eq!(slots, [storage.databases().slot(3); 2]);
    }
}
