//! One entry of the map: key and value in one allocation, or the key and where its value lies.
//!
//! Called by `versioned_map` alone; `Away` and `Stored` are what engines see of it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// A value that the map does not hold: somebody else does, and reads it when asked.
#[derive(Clone)]
pub struct Away {
    /// What has to be there as long as any version of the map, or a view, has the entry: a file, for example. It
    /// is dropped with the last of them.
    pub holder: Arc<dyn Any + Send + Sync>,
    /// Where the value begins, in what the holder holds.
    pub start: u64,
    /// The length of the value, in bytes.
    pub bytes: u32,
    /// A checksum of the value.
    pub checksum: u32,
}

impl fmt::Debug for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes from {}", self.bytes, self.start)
    }
}

/// A value as the map has it.
#[derive(Debug, Clone, Copy)]
pub enum Stored<'a> {
    /// The value.
    Here(&'a [u8]),
    /// Where the value lies.
    Away(&'a Away),
}

/// One entry. Clones share it.
#[derive(Clone)]
pub(super) enum Record {
    /// Two bytes of key length, the key, the value.
    Here(Arc<[u8]>),
    Away(Arc<AwayRecord>),
}

pub(super) struct AwayRecord {
    key: Box<[u8]>,
    away: Away,
}

impl Record {
    /// Copies key and value. The key has at most 65,535 bytes.
    pub(super) fn new(key: &[u8], value: &[u8]) -> Self {
        let key_end = 2 + key.len();
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, key_end + value.len()).collect();
        if let Some(bytes) = Arc::get_mut(&mut bytes) {
            bytes[..2].copy_from_slice(&(key.len() as u16).to_le_bytes());
            bytes[2..key_end].copy_from_slice(key);
            bytes[key_end..].copy_from_slice(value);
        }
        Self::Here(bytes)
    }

    /// An entry whose value is away.
    pub(super) fn away(key: &[u8], away: Away) -> Self {
        Self::Away(Arc::new(AwayRecord { key: key.into(), away }))
    }

    pub(super) fn key(&self) -> &[u8] {
        match self {
            Self::Here(bytes) => &bytes[2..key_end(bytes)],
            Self::Away(record) => &record.key,
        }
    }

    pub(super) fn stored(&self) -> Stored<'_> {
        match self {
            Self::Here(bytes) => Stored::Here(&bytes[key_end(bytes)..]),
            Self::Away(record) => Stored::Away(&record.away),
        }
    }

    /// The value; nothing of one that is away.
    pub(super) fn value(&self) -> &[u8] {
        match self.stored() {
            Stored::Here(value) => value,
            Stored::Away(_) => &[],
        }
    }

    /// Bytes of key and value.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Here(bytes) => bytes.len() as u64 - 2,
            Self::Away(record) => record.key.len() as u64 + self.away_bytes(),
        }
    }

    /// Bytes of a value that is away.
    pub(super) fn away_bytes(&self) -> u64 {
        match self {
            Self::Here(_) => 0,
            Self::Away(record) => u64::from(record.away.bytes),
        }
    }

    /// Whether it is the same entry, not only an equal one.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Here(one), Self::Here(other)) => Arc::ptr_eq(one, other),
            (Self::Away(one), Self::Away(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

fn key_end(bytes: &[u8]) -> usize {
    2 + usize::from(u16::from_le_bytes([bytes[0], bytes[1]]))
}

/// An entry of a view, to be replaced if it is still there: the outcome of work that took a while.
#[derive(Clone)]
pub struct Held(pub(super) Record);

impl Held {
    /// The key.
    pub fn key(&self) -> &[u8] {
        self.0.key()
    }

    /// The value as the map has it.
    pub fn stored(&self) -> Stored<'_> {
        self.0.stored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_takes_two_words_in_a_leaf() {
        assert_eq!(size_of::<Record>(), 2 * size_of::<usize>());
    }
}
