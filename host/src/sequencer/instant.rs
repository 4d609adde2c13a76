//! The instant of each group: the wall clock, made monotone across restarts.
//!
//! Promises: no group has an earlier instant than one before it; after a restart no group has an earlier one
//! than the mark that was stored last, so a clock set back resurrects nothing that had ended by then. The
//! mark is stored at most once a second, along with other writes.
//!
//! ```text
//! meta key "clock"    value: u64 little-endian, milliseconds since 1970
//! ```

use std::time::Duration;

use adapter_api::{Buffer, EngineError};

use crate::storage::{Storage, keyspace};

/// How much time passes between two marks.
const MARK_EVERY: Duration = Duration::from_secs(1);
/// How many encoded bytes a mark adds to a batch, at most.
pub(super) const MARK_BYTES_MAX: usize = 64;

/// The instants of groups.
pub(super) struct Instants {
    key: Vec<u8>,
    last: Duration,
    marked: Option<Duration>,
}

impl Instants {
    /// Goes on from the stored mark.
    ///
    /// # Errors
    /// What the engine says; `Corrupt` if the mark is not in the form drawn above.
    pub(super) fn resume(storage: &Storage) -> Result<Self, EngineError> {
        let key = keyspace::meta_key("clock");
        let mut value = Buffer::new();
        let last = match storage.get(&key, &mut value)? {
            false => Duration::ZERO,
            true => match <[u8; 8]>::try_from(&value[..]) {
                Ok(millis) => Duration::from_millis(u64::from_le_bytes(millis)),
                Err(_) => {
                    let message = format!("it has {} bytes, 8 were expected", value.len());
                    return Err(EngineError::corrupt("(the stored mark of the clock)", 0, message));
                }
            },
        };
        Ok(Self { key, last, marked: None })
    }

    /// The instant of the next group.
    pub(super) fn next(&mut self, wall: Duration) -> Duration {
        self.last = self.last.max(wall);
        self.last
    }

    /// The mark to store along with the next batch, if it is time for one.
    pub(super) fn due_mark(&self) -> Option<(&[u8], [u8; 8])> {
        let due = self.marked.is_none_or(|marked| self.last - marked >= MARK_EVERY);
        let millis = u64::try_from(self.last.as_millis()).unwrap_or(u64::MAX);
        due.then(|| (self.key.as_slice(), millis.to_le_bytes()))
    }

    /// The mark was stored.
    pub(super) fn marked(&mut self) {
        self.marked = Some(self.last);
    }
}
