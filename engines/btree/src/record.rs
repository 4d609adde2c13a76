//! The records of the log.
//!
//! ```text
//! a batch        as `adapter_api::batch` draws it; its first byte is 1 … 4
//! written ahead  | "P" | version u64 | items |           integers little-endian
//!
//! an item   leaf   | 1 | place | entries u32 | bytes u64 | lower u16 | bounded u8 | upper u16 | both fences |
//!           value  | 2 | place | bytes u32 | key u16 | the key |
//!           batch  | 3 | length u64 | a batch |
//! a place   | start in blocks u32 | blocks u32 | checksum u32 |           as a map of pages has it
//! ```
//!
//! What an ingest builds and values that are very long are written into free blocks of the data file and made durable,
//! and then a record says that they count. `version` is that of the durable checkpoint then; each page says it too.
//!
//! Promises: what is read is what was built, or an error; memory is that of the record. Called by the store, `ahead_writer`
//! and recovery.

use adapter_api::{Batch, BatchBuilder, EngineError, Result};

use crate::map::Place;
use crate::tree::Size;

const AHEAD: u8 = b'P';
const LEAF: u8 = 1;
const VALUE: u8 = 2;
const BATCH: u8 = 3;

/// What a record says.
pub(crate) enum Record<'a> {
    Batch(Batch<'a>),
    /// Pages were written ahead.
    Ahead {
        version: u64,
        items: Items<'a>,
    },
}

/// A part of a record of pages that were written ahead.
pub(crate) enum Item<'a> {
    Leaf(AheadLeaf<'a>),
    /// The value of a key.
    Value {
        key: &'a [u8],
        bytes: u32,
        place: Place,
    },
    Batch(Batch<'a>),
}

/// A leaf in the data file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AheadLeaf<'a> {
    pub(crate) place: Place,
    /// What is in it.
    pub(crate) size: Size,
    pub(crate) lower: &'a [u8],
    pub(crate) upper: Option<&'a [u8]>,
}

/// The parts of a record, in order.
#[derive(Clone, Copy)]
pub(crate) struct Items<'a> {
    rest: &'a [u8],
}

impl Item<'_> {
    /// Where the page lies that it names, if it names one.
    pub(crate) fn place(&self) -> Option<Place> {
        match self {
            Self::Leaf(leaf) => Some(leaf.place),
            Self::Value { place, .. } => Some(*place),
            Self::Batch(_) => None,
        }
    }
}

impl<'a> Record<'a> {
    /// Reads a record.
    pub(crate) fn parse(record: &'a [u8]) -> Result<Self> {
        match record.split_first_chunk::<9>() {
            Some((head, rest)) if head[0] == AHEAD => {
                let version = u64::from_le_bytes(head[1..].try_into().unwrap_or_default());
                Ok(Self::Ahead { version, items: Items { rest } })
            }
            _ => Batch::parse(record).map(Self::Batch),
        }
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let item = self.item();
        if item.is_none() {
            self.rest = &[];
        }
        let malformed = || EngineError::rejected("a record of pages that were written ahead is malformed");
        Some(item.ok_or_else(malformed))
    }
}

impl<'a> Items<'a> {
    fn item(&mut self) -> Option<Item<'a>> {
        Some(match self.take::<1>()?[0] {
            LEAF => Item::Leaf(self.leaf()?),
            VALUE => {
                let (place, bytes) = (self.place()?, u32::from_le_bytes(self.take()?));
                let key = u16::from_le_bytes(self.take()?);
                Item::Value { key: self.bytes(key.into())?, bytes, place }
            }
            BATCH => {
                let length = usize::try_from(u64::from_le_bytes(self.take()?)).ok()?;
                Item::Batch(Batch::parse(self.bytes(length)?).ok()?)
            }
            _ => return None,
        })
    }

    fn leaf(&mut self) -> Option<AheadLeaf<'a>> {
        let (place, entries) = (self.place()?, u32::from_le_bytes(self.take()?));
        let size = Size { entries: entries.into(), bytes: u64::from_le_bytes(self.take()?) };
        let (lower, bounded) = (u16::from_le_bytes(self.take()?), self.take::<1>()?[0]);
        let upper = u16::from_le_bytes(self.take()?);
        let (lower, upper) = (self.bytes(lower.into())?, self.bytes(upper.into())?);
        let upper = (bounded != 0).then_some(upper);
        upper.is_none_or(|upper| lower < upper).then_some(AheadLeaf { place, size, lower, upper })
    }

    fn place(&mut self) -> Option<Place> {
        self.take().and_then(|bytes| Place::decode(&bytes))
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

/// A record of pages that were written ahead, item by item.
pub(crate) struct RecordBuilder {
    bytes: Vec<u8>,
}

impl RecordBuilder {
    /// Nothing yet; `version` is that of the durable checkpoint.
    pub(crate) fn new(version: u64) -> Self {
        let mut bytes = vec![AHEAD];
        bytes.extend_from_slice(&version.to_le_bytes());
        Self { bytes }
    }

    /// The record.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    pub(crate) fn leaf(&mut self, leaf: AheadLeaf<'_>) -> Result<()> {
        let AheadLeaf { place, size, lower, upper } = leaf;
        self.bytes.push(LEAF);
        place.encode(&mut self.bytes)?;
        self.bytes.extend_from_slice(&(size.entries as u32).to_le_bytes());
        self.bytes.extend_from_slice(&size.bytes.to_le_bytes());
        self.bytes.extend_from_slice(&(lower.len() as u16).to_le_bytes());
        self.bytes.push(upper.is_some().into());
        self.bytes.extend_from_slice(&(upper.unwrap_or_default().len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(lower);
        self.bytes.extend_from_slice(upper.unwrap_or_default());
        Ok(())
    }

    pub(crate) fn value(&mut self, key: &[u8], bytes: u32, place: Place) -> Result<()> {
        self.bytes.push(VALUE);
        place.encode(&mut self.bytes)?;
        self.bytes.extend_from_slice(&bytes.to_le_bytes());
        self.bytes.extend_from_slice(&(key.len() as u16).to_le_bytes());
        self.bytes.extend_from_slice(key);
        Ok(())
    }

    pub(crate) fn batch(&mut self, batch: &BatchBuilder) {
        self.put_batch(batch.as_batch());
    }

    /// Takes over what another record says.
    pub(crate) fn item(&mut self, item: &Item<'_>) -> Result<()> {
        match *item {
            Item::Leaf(leaf) => self.leaf(leaf)?,
            Item::Value { key, bytes, place } => self.value(key, bytes, place)?,
            Item::Batch(batch) => self.put_batch(batch),
        }
        Ok(())
    }

    fn put_batch(&mut self, batch: Batch<'_>) {
        self.bytes.push(BATCH);
        self.bytes.extend_from_slice(&(batch.as_bytes().len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(batch.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Extent;

    #[test]
    fn a_record_is_read_back_and_cuts_are_refused() {
        let place = |start| Place { extent: Extent { start, blocks: 2 }, checksum: 77 };
        let size = Size { entries: 3, bytes: 400 };
        let leaves = [
            AheadLeaf { place: place(9), size, lower: b"a", upper: Some(b"b") },
            AheadLeaf { place: place(11), size, lower: b"", upper: None },
        ];
        let mut batch = BatchBuilder::new();
        batch.put(b"key", b"value").unwrap();
        let mut builder = RecordBuilder::new(5);
        leaves.into_iter().for_each(|leaf| builder.leaf(leaf).unwrap());
        builder.value(b"long", 70_000, place(13)).unwrap();
        builder.batch(&batch);
        let bytes = &builder.take()[..];
        let Ok(Record::Ahead { version: 5, items }) = Record::parse(bytes) else { panic!("another record") };
        let items = items.collect::<Result<Vec<_>>>().unwrap();
        let [
            Item::Leaf(first),
            Item::Leaf(second),
            Item::Value { key: b"long", bytes: 70_000, place: at },
            last,
        ] = &items[..]
        else {
            panic!("other items")
        };
        assert_eq!(([*first, *second], *at), (leaves, place(13)));
        assert!(matches!(last, Item::Batch(read) if read.as_bytes() == batch.as_batch().as_bytes()));
        let ends: Vec<_> = (0..=bytes.len()).filter(|cut| reads(&bytes[..*cut])).collect();
        assert_eq!(ends.len(), 5, "a record ends behind its head or an item: {ends:?}");
    }

    fn reads(bytes: &[u8]) -> bool {
        match Record::parse(bytes) {
            Ok(Record::Ahead { items, .. }) => items.into_iter().all(|item| item.is_ok()),
            _ => false,
        }
    }
}
