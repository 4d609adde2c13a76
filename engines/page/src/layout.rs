//! Where the fields of a page lie, and how numbers are read and written. Drawn at the top of the crate.

use std::array;

/// Pages are a multiple of this many bytes.
pub const BLOCK_BYTES: usize = 4096;
/// The bytes in front of heads and slots.
pub const HEADER_BYTES: usize = 64;
/// The longest leaf or branch: three of the largest keys as cells and two as fences fit.
pub const PAGE_BYTES_MAX: usize = 1 << 20;
/// The longest value page.
pub(crate) const VALUE_PAGE_BYTES_MAX: usize = 513 << 20;

pub(crate) const CHECKSUM: usize = 0;
pub(crate) const MAGIC: usize = 4;
pub(crate) const KIND: usize = 6;
pub(crate) const LEVEL: usize = 7;
pub(crate) const ID: usize = 8;
pub(crate) const LENGTH: usize = 12;
pub(crate) const VERSION: usize = 16;
pub(crate) const COUNT: usize = 24;
pub(crate) const PREFIX: usize = 26;
pub(crate) const LOWER: usize = 28;
pub(crate) const UPPER: usize = 30;
pub(crate) const BOUNDED: usize = 32;
pub(crate) const RUN: usize = 33;
pub(crate) const HEAP: usize = 36;
pub(crate) const GARBAGE: usize = 40;
pub(crate) const VALUE_LENGTH: usize = 44;
pub(crate) const OWNER: usize = 48;

pub(crate) const MAGIC_BYTES: [u8; 2] = *b"EP";
/// Bytes of a cell beside key and payload.
pub(crate) const CELL_BYTES: usize = 6;
/// Bytes of a head and a slot.
pub(crate) const ENTRY_BYTES: usize = 8;
/// Set in the word of a cell whose value lies in a page of its own.
pub(crate) const AWAY: u32 = 1 << 31;

/// What a page holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Keys with their values.
    Leaf = 1,
    /// Keys with children.
    Branch = 2,
    /// One value that is too long for a leaf.
    Value = 3,
}

impl Kind {
    #[inline]
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Leaf),
            2 => Some(Self::Branch),
            3 => Some(Self::Value),
            _ => None,
        }
    }
}

#[inline]
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

#[inline]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let bytes = &bytes[at..at + 4];
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

#[inline]
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

pub(crate) fn put_u16(bytes: &mut [u8], at: usize, number: usize) {
    debug_assert!(number <= usize::from(u16::MAX));
    bytes[at..at + 2].copy_from_slice(&(number as u16).to_le_bytes());
}

pub(crate) fn put_u32(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

pub(crate) fn put_u64(bytes: &mut [u8], at: usize, number: u64) {
    bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
}

/// The first bytes of a key, with zeros behind one that is shorter: in the order of keys as far as they reach.
#[inline]
pub fn first_bytes<const N: usize>(key: &[u8]) -> [u8; N] {
    key.first_chunk()
        .copied()
        .unwrap_or_else(|| array::from_fn(|at| key.get(at).copied().unwrap_or_default()))
}

/// The first four bytes of a key as a number that has the order of the bytes.
#[inline]
pub(crate) fn head_of(key: &[u8]) -> u32 {
    u32::from_be_bytes(first_bytes(key))
}

/// How many bytes two keys begin with alike.
#[inline]
pub fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}
