//! Values that a group will read, fetched together before its first request.
//!
//! Promises: they are of one instant, and hold until something is applied. Their memory is bounded, whatever the
//! requests ask for. A hint: what is not here is read alone. The overlay calls it.

use std::ops::Range;

use adapter_api::{EngineError, Values};

use crate::storage::Storage;

/// How many keys are fetched together at most.
const KEYS_MAX: usize = 4096;

/// How many bytes of values are fetched together at most.
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

    /// Fetches the values of the keys that were added, as far as they are in memory and within the bound. One alone
    /// is not worth it.
    ///
    /// # Errors
    /// What the engine says; nothing is fetched then.
    pub(super) fn fetch(&mut self, storage: &Storage) -> Result<(), EngineError> {
        let bytes = &self.bytes;
        self.keys.sort_unstable_by(|one, other| bytes[one.clone()].cmp(&bytes[other.clone()]));
        self.keys.dedup_by(|one, other| bytes[one.clone()] == bytes[other.clone()]);
        if self.keys.len() < 2 {
            self.clear();
            return Ok(());
        }
        let keys: Vec<&[u8]> = self.keys.iter().map(|key| &bytes[key.clone()]).collect();
        let fetched = storage.multi_get_resident(&keys, VALUE_BYTES_MAX, &mut self.values);
        fetched.inspect_err(|_| self.clear())
    }

    /// The value of a key that was fetched: absent, if the inner option is `None`.
    pub(super) fn find(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        let place = self.keys.binary_search_by(|other| self.bytes[other.clone()].cmp(key)).ok()?;
        (place < self.values.len()).then(|| self.values.get(place))
    }

    /// Forgets everything and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.keys.clear();
        self.values.clear();
    }
}
