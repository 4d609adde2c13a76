//! Pages written as a whole, from cells in order. Splits, merges and all changes of fences go this way.
//!
//! Promises: what is built is dense, without garbage, and just long enough. Called by `edit`, `balance` and whoever
//! has sorted entries.

use crate::PageId;
use crate::edit::Page;
use crate::layout::*;
use crate::memory::Memory;
use crate::view::{PageRef, Payload};

/// Who a page is, and which keys may come there.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// What other pages call it.
    pub id: PageId,
    /// 0 for a leaf, else the distance to the leaves.
    pub level: u8,
    /// No key is less.
    pub lower: &'a [u8],
    /// Every key is less, if there is a bound.
    pub upper: Option<&'a [u8]>,
}

/// A key in two parts, and what stands behind it.
#[derive(Debug, Clone, Copy)]
pub struct Cell<'a> {
    /// The first part of the key.
    pub prefix: &'a [u8],
    /// The rest.
    pub suffix: &'a [u8],
    /// What stands behind the key.
    pub payload: Payload<'a>,
}

impl<'a> Cell<'a> {
    /// A cell whose key is in one part.
    pub fn new(key: &'a [u8], payload: Payload<'a>) -> Self {
        Self { prefix: &[], suffix: key, payload }
    }

    /// The key in one part.
    pub fn key(&self) -> Vec<u8> {
        [self.prefix, self.suffix].concat()
    }

    /// How many bytes of a page it takes where `prefix` bytes of its key need not be stored.
    pub fn bytes(&self, prefix: usize) -> usize {
        let key = self.prefix.len() + self.suffix.len();
        ENTRY_BYTES + CELL_BYTES + key.saturating_sub(prefix) + self.payload.len()
    }

    /// The key without its first bytes, in two parts.
    fn behind(&self, prefix: usize) -> (&'a [u8], &'a [u8]) {
        let first = self.prefix.get(prefix..).unwrap_or_default();
        let rest = prefix.saturating_sub(self.prefix.len());
        (first, self.suffix.get(rest..).unwrap_or_default())
    }
}

impl<'a> Head<'a> {
    /// How many bytes all keys between the fences begin with alike.
    pub fn prefix(&self) -> usize {
        self.upper.map_or(0, |upper| common_prefix(self.lower, upper))
    }

    /// The bytes of a page beside its cells.
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + self.lower.len() + self.upper.map_or(0, <[u8]>::len)
    }

    /// How many bytes a page with these cells uses.
    pub fn bytes_with(&self, cells: impl Iterator<Item = Cell<'a>>) -> usize {
        let prefix = self.prefix();
        self.bytes() + cells.map(|cell| cell.bytes(prefix)).sum::<usize>()
    }
}

impl<'a> PageRef<'a> {
    /// Who the page is.
    pub fn head(&self) -> Head<'a> {
        Head { id: self.id(), level: self.level(), lower: self.lower(), upper: self.upper() }
    }

    /// Its cells in order.
    pub fn cells(&self) -> impl DoubleEndedIterator<Item = Cell<'a>> + ExactSizeIterator + Clone + use<'a> {
        let page = *self;
        (0..self.count()).map(move |index| page.cell(index))
    }

    /// The same page with `least` bytes, or as many more as its cells need.
    pub fn resized(&self, least: usize) -> Page {
        Page::build(self.head(), self.cells(), least)
    }

    /// A copy, to be changed.
    pub fn to_page(&self) -> Page {
        Page { bytes: Memory::copy_of(self.bytes) }
    }

    /// The cell at `index`.
    pub fn cell(&self, index: usize) -> Cell<'a> {
        Cell { prefix: self.prefix(), suffix: self.suffix(index), payload: self.payload(index) }
    }
}

impl Page {
    /// Writes a page of `least` bytes, or as many more as the cells need. The cells ascend and lie between the fences.
    pub fn build<'a>(head: Head<'a>, cells: impl Iterator<Item = Cell<'a>> + Clone, least: usize) -> Self {
        let needed = head.bytes_with(cells.clone()).max(least).next_multiple_of(BLOCK_BYTES);
        let mut bytes = Memory::zeroed(needed);
        let prefix = head.prefix();
        write_head(&mut bytes, head, prefix);
        let (mut heap, count) = (needed - head.bytes() + HEADER_BYTES, cells.clone().count());
        for (index, cell) in cells.enumerate() {
            let (first, rest) = cell.behind(prefix);
            heap -= CELL_BYTES + first.len() + rest.len() + cell.payload.len();
            write_cell(&mut bytes[heap..], first, rest, cell.payload);
            let key = &bytes[heap + CELL_BYTES..][..first.len() + rest.len()];
            let number = head_of(key);
            put_u32(&mut bytes, HEADER_BYTES + 4 * index, number);
            put_u32(&mut bytes, HEADER_BYTES + 4 * (count + index), heap as u32);
        }
        put_u16(&mut bytes, COUNT, count);
        put_u32(&mut bytes, HEAP, heap as u32);
        Self { bytes }
    }

    /// An empty leaf that any key may come to.
    pub fn empty(id: PageId, bytes: usize) -> Self {
        Self::build(Head { id, level: 0, lower: &[], upper: None }, std::iter::empty(), bytes)
    }

    /// A page that holds the value of a key.
    pub fn of_value(id: PageId, key: &[u8], value: &[u8]) -> Self {
        let length = (HEADER_BYTES + value.len()).next_multiple_of(BLOCK_BYTES);
        // Long, and read from one end to the other: such pages gain nothing from lying in pieces.
        let mut bytes = Memory::from(vec![0; length].into_boxed_slice());
        write_head(&mut bytes, Head { id, level: 0, lower: &[], upper: None }, 0);
        bytes[KIND] = Kind::Value as u8;
        put_u32(&mut bytes, HEAP, length as u32);
        put_u32(&mut bytes, VALUE_LENGTH, value.len() as u32);
        put_u32(&mut bytes, OWNER, owner_of(key));
        bytes[HEADER_BYTES..][..value.len()].copy_from_slice(value);
        Self { bytes }
    }
}

/// What a value page says of the key that it belongs to: for whoever finds it and knows nothing else.
pub fn owner_of(key: &[u8]) -> u32 {
    crc32fast::hash(key)
}

fn write_head(bytes: &mut [u8], head: Head<'_>, prefix: usize) {
    let length = bytes.len();
    let upper = head.upper.unwrap_or_default();
    bytes[MAGIC..MAGIC + 2].copy_from_slice(&MAGIC_BYTES);
    bytes[KIND] = if head.level == 0 { Kind::Leaf } else { Kind::Branch } as u8;
    bytes[LEVEL] = head.level;
    put_u32(bytes, ID, head.id);
    put_u32(bytes, LENGTH, length as u32);
    put_u16(bytes, PREFIX, prefix);
    put_u16(bytes, LOWER, head.lower.len());
    put_u16(bytes, UPPER, upper.len());
    bytes[BOUNDED] = u8::from(head.upper.is_some());
    let fences = length - upper.len();
    bytes[fences..].copy_from_slice(upper);
    bytes[fences - head.lower.len()..fences].copy_from_slice(head.lower);
}

/// Writes a cell at the front of `bytes`, its key in two parts.
pub(crate) fn write_cell(bytes: &mut [u8], first: &[u8], rest: &[u8], payload: Payload<'_>) {
    put_u16(bytes, 0, first.len() + rest.len());
    let (key, payload_bytes) = bytes[CELL_BYTES..].split_at_mut(first.len() + rest.len());
    key[..first.len()].copy_from_slice(first);
    key[first.len()..].copy_from_slice(rest);
    let word = match payload {
        Payload::Here(value) => {
            payload_bytes[..value.len()].copy_from_slice(value);
            value.len() as u32
        }
        Payload::Away { id, bytes } => {
            put_u32(payload_bytes, 0, id);
            bytes | AWAY
        }
        Payload::Child(id) => id,
    };
    put_u32(bytes, 2, word);
}
