//! Values that a group will read, fetched together before its first request.
//!
//! Promises: they are of one instant, and hold until something is applied: nobody else writes. Their memory is bounded,
//! whatever the requests ask for. A hint: what is not here is read alone. The overlay calls it.
//!
//! ```text
//! in memory ─▶ one that waits for a device, to learn how long values are ─▶ 64 at a time, as long as they fit
//! ```

use std::ops::Range;

use adapter_api::{EngineError, Values};

use crate::storage::Storage;

/// How many keys are fetched together at most.
const KEYS_MAX: usize = 4096;

/// How many of them are read from a device at a time: what they hold is not known before, so this is also by how many
/// values the bytes may exceed their bound.
const WAITING_KEYS_MAX: usize = 64;

/// The bytes of values with which no more are fetched.
const VALUE_BYTES_MAX: usize = 4 << 20;

/// Keys with their values.
#[derive(Default)]
pub(super) struct Fetched {
    /// The keys, one behind the other.
    bytes: Vec<u8>,
    /// Where each key lies in there; once they are fetched, in the order of the keys.
    keys: Vec<Range<usize>>,
    values: Values,
}

impl Fetched {
    /// Adds a key to those that `fetch` fetches, unless there are enough.
    pub(super) fn add(&mut self, key: &[u8]) {
        if self.keys.len() < KEYS_MAX {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(key);
            self.keys.push(start..self.bytes.len());
        }
    }

    /// Fetches the values of the keys that were added, as far as they are within the bound. One alone is not worth it.
    /// May wait for a device.
    ///
    /// # Errors
    /// What the engine says; what was fetched before stays.
    pub(super) fn fetch(&mut self, storage: &Storage) -> Result<(), EngineError> {
        let bytes = &self.bytes;
        self.keys.sort_unstable_by(|one, other| bytes[one.clone()].cmp(&bytes[other.clone()]));
        self.keys.dedup_by(|one, other| bytes[one.clone()] == bytes[other.clone()]);
        if self.keys.len() < 2 {
            self.clear();
            return Ok(());
        }
        let keys: Vec<&[u8]> = self.keys.iter().map(|key| &bytes[key.clone()]).collect();
        storage.multi_get_resident(&keys, VALUE_BYTES_MAX, &mut self.values)?;
        while let Some(next) = self.next_to_wait_for(keys.len()) {
            storage.multi_get(&keys[next], &mut self.values)?;
        }
        Ok(())
    }

    /// The keys to read next of `keys`, behind those whose values are here: as many as have room if they are as long
    /// as those on average.
    fn next_to_wait_for(&self, keys: usize) -> Option<Range<usize>> {
        let known = self.values.len();
        let room = VALUE_BYTES_MAX.saturating_sub(self.values.bytes());
        let fitting = self.values.bytes().checked_div(known).map_or(1, |average| room / average.max(1));
        let next = known..keys.min(known + fitting.min(WAITING_KEYS_MAX));
        (!next.is_empty()).then_some(next)
    }

    /// The value of a key that was fetched: absent, if the inner option is `None`.
    pub(super) fn find(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        let place = self.keys.binary_search_by(|other| self.bytes[other.clone()].cmp(key)).ok()?;
        (place < self.values.len()).then(|| self.values.get(place))
    }

    /// Forgets everything. The memory is kept unless it is large.
    pub(super) fn clear(&mut self) {
        if self.values.bytes() > VALUE_BYTES_MAX {
            self.values = Values::new();
        }
        self.bytes.clear();
        self.keys.clear();
        self.values.clear();
    }
}
