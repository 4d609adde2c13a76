//! One entry of the map: its value, or where its value lies; and an entry in an allocation of its own.
//!
//! Called by `versioned_map` alone; `Away` and `Stored` are what engines see of it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::tree::Node;

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

impl<'a> Stored<'a> {
    /// The value; nothing of one that is away.
    pub(super) fn here(self) -> &'a [u8] {
        match self {
            Self::Here(value) => value,
            Self::Away(_) => &[],
        }
    }

    /// The length of the value, in bytes.
    pub(super) fn len(self) -> usize {
        match self {
            Self::Here(value) => value.len(),
            Self::Away(away) => away.bytes as usize,
        }
    }

    /// Whether it is the same value: the same bytes, or in the same place.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Here(one), Self::Here(other)) => one == other,
            (Self::Away(one), Self::Away(other)) => {
                Arc::ptr_eq(&one.holder, &other.holder) && one.start == other.start
            }
            _ => false,
        }
    }
}

/// An entry in an allocation of its own. Clones share it.
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
    pub(super) fn new(key: &[u8], value: Stored<'_>) -> Self {
        let value = match value {
            Stored::Here(value) => value,
            Stored::Away(away) => {
                return Self::Away(Arc::new(AwayRecord { key: key.into(), away: away.clone() }));
            }
        };
        let key_end = 2 + key.len();
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, key_end + value.len()).collect();
        if let Some(bytes) = Arc::get_mut(&mut bytes) {
            bytes[..2].copy_from_slice(&(key.len() as u16).to_le_bytes());
            bytes[2..key_end].copy_from_slice(key);
            bytes[key_end..].copy_from_slice(value);
        }
        Self::Here(bytes)
    }

    /// What stands where an entry was.
    pub(super) fn hole() -> Self {
        Self::Here(Arc::default())
    }

    pub(super) fn is_hole(&self) -> bool {
        matches!(self, Self::Here(bytes) if bytes.is_empty())
    }

    pub(super) fn key(&self) -> &[u8] {
        self.parts().0
    }

    pub(super) fn parts(&self) -> (&[u8], Stored<'_>) {
        match self {
            Self::Here(bytes) => {
                let key_len = usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
                let (key, value) = bytes[2..].split_at(key_len);
                (key, Stored::Here(value))
            }
            Self::Away(record) => (&record.key, Stored::Away(&record.away)),
        }
    }
}

/// An entry of a view, to be replaced if it is still there: the outcome of work that took a while. It holds
/// the leaf that it is in.
#[derive(Clone)]
pub struct Held {
    pub(super) leaf: Arc<Node>,
    pub(super) at: usize,
}

impl Held {
    /// The key.
    pub fn key(&self) -> &[u8] {
        self.leaf.entries().key(self.at)
    }

    /// The value as the map has it.
    pub fn stored(&self) -> Stored<'_> {
        self.leaf.entries().entry(self.at).1
    }
}
