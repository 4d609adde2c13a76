//! A page to read: its fields, fences, keys and payloads.
//!
//! Promises: nothing is copied; every call costs the same whatever the page holds. Called by whoever has a page.

use std::ops::Range;

use crate::PageId;
use crate::layout::*;

/// A page, borrowed from wherever its bytes lie.
#[derive(Clone, Copy)]
pub struct PageRef<'a> {
    pub(crate) bytes: &'a [u8],
}

/// What stands behind a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// The value.
    Here(&'a [u8]),
    /// A value of `bytes` bytes in the value page `id`.
    Away {
        /// The value page.
        id: PageId,
        /// The length of the value.
        bytes: u32,
    },
    /// The child whose lower fence is the key.
    Child(PageId),
}

impl Payload<'_> {
    /// How many bytes of a cell it takes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Here(value) => value.len(),
            Self::Away { .. } => 4,
            Self::Child(_) => 0,
        }
    }
}

impl<'a> PageRef<'a> {
    /// The bytes.
    #[inline]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What the page holds.
    #[inline]
    pub fn kind(&self) -> Kind {
        Kind::from_byte(self.bytes[KIND]).unwrap_or(Kind::Value)
    }

    /// 0 for leaves, else the distance to them.
    #[inline]
    pub fn level(&self) -> u8 {
        self.bytes[LEVEL]
    }

    /// What other pages call this one.
    #[inline]
    pub fn id(&self) -> PageId {
        u32_at(self.bytes, ID)
    }

    /// The version of the tree that the page was last changed in.
    #[inline]
    pub fn version(&self) -> u64 {
        u64_at(self.bytes, VERSION)
    }

    /// How many keys the page has.
    #[inline]
    pub fn count(&self) -> usize {
        u16_at(self.bytes, COUNT)
    }

    /// What every key begins with.
    #[inline]
    pub fn prefix(&self) -> &'a [u8] {
        &self.lower()[..self.prefix_bytes()]
    }

    /// How many bytes that is.
    #[inline]
    pub(crate) fn prefix_bytes(&self) -> usize {
        u16_at(self.bytes, PREFIX)
    }

    /// The lower fence: no key is less. Empty if nothing bounds the keys.
    #[inline]
    pub fn lower(&self) -> &'a [u8] {
        let end = self.bytes.len() - u16_at(self.bytes, UPPER);
        &self.bytes[end - u16_at(self.bytes, LOWER)..end]
    }

    /// The upper fence, which every key is less than, if there is one.
    #[inline]
    pub fn upper(&self) -> Option<&'a [u8]> {
        let fence = &self.bytes[self.bytes.len() - u16_at(self.bytes, UPPER)..];
        (self.bytes[BOUNDED] != 0).then_some(fence)
    }

    /// What the key at `index` has behind the prefix.
    #[inline]
    pub fn suffix(&self, index: usize) -> &'a [u8] {
        let cell = self.slot(index);
        &self.bytes[cell + CELL_BYTES..][..u16_at(self.bytes, cell)]
    }

    /// Puts the key at `index` into a buffer.
    #[inline]
    pub fn key_into(&self, index: usize, key: &mut Vec<u8>) {
        let (prefix, suffix) = (self.prefix(), self.suffix(index));
        key.clear();
        key.reserve(prefix.len() + suffix.len());
        key.extend_from_slice(prefix);
        key.extend_from_slice(suffix);
    }

    /// What stands behind the key at `index`.
    #[inline]
    pub fn payload(&self, index: usize) -> Payload<'a> {
        let cell = self.slot(index);
        let word = u32_at(self.bytes, cell + 2);
        let behind = cell + CELL_BYTES + u16_at(self.bytes, cell);
        match self.kind() {
            Kind::Branch => Payload::Child(word),
            _ if word & AWAY != 0 => Payload::Away { id: u32_at(self.bytes, behind), bytes: word & !AWAY },
            _ => Payload::Here(&self.bytes[behind..][..word as usize]),
        }
    }

    /// The child at `index` of a branch.
    #[inline]
    pub fn child(&self, index: usize) -> PageId {
        u32_at(self.bytes, self.slot(index) + 2)
    }

    /// The value in a value page.
    #[inline]
    pub fn value(&self) -> &'a [u8] {
        &self.bytes[HEADER_BYTES..][..u32_at(self.bytes, VALUE_LENGTH) as usize]
    }

    /// What a value page says of the key that it belongs to: as `owner_of` says it.
    pub fn owner(&self) -> u32 {
        u32_at(self.bytes, OWNER)
    }

    /// How many bytes of the page are in use: header, fences, and all that belongs to the cells.
    #[inline]
    pub fn used_bytes(&self) -> usize {
        let heap = self.bytes.len() - u32_at(self.bytes, HEAP) as usize;
        HEADER_BYTES + self.count() * ENTRY_BYTES + heap - u32_at(self.bytes, GARBAGE) as usize
    }

    /// Where the free bytes between slots and cells lie. In a page that was built and not changed since, they are zeros.
    pub fn gap(&self) -> Range<usize> {
        HEADER_BYTES + ENTRY_BYTES * self.count()..u32_at(self.bytes, HEAP) as usize
    }

    /// How many of the last insertions came behind all others.
    #[inline]
    pub(crate) fn run(&self) -> u8 {
        self.bytes[RUN]
    }

    #[inline]
    pub(crate) fn heads(&self) -> &'a [u8] {
        &self.bytes[HEADER_BYTES..][..4 * self.count()]
    }

    #[inline]
    pub(crate) fn slot(&self, index: usize) -> usize {
        debug_assert!(index < self.count());
        u32_at(self.bytes, HEADER_BYTES + 4 * (self.count() + index)) as usize
    }

    /// The bytes of the cell at `index`.
    pub(crate) fn cell_bytes(&self, index: usize) -> usize {
        CELL_BYTES + self.suffix(index).len() + self.payload(index).len()
    }
}

impl std::fmt::Debug for PageRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Page")
            .field("id", &self.id())
            .field("kind", &self.kind())
            .field("level", &self.level())
            .field("version", &self.version())
            .field("count", &self.count())
            .field("lower", &self.lower().escape_ascii().to_string())
            .field("upper", &self.upper().map(|it| it.escape_ascii().to_string()))
            .finish()
    }
}
