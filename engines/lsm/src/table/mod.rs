//! A table: entries in the order of their keys, in one file that never changes.
//!
//! ```text
//! table-<id>    │ block 0 │ block 1 │ … │ filter │ index │ properties │ footer │
//!
//! integers little-endian; a checksum is the CRC-32 (IEEE) of all bytes before it in its part, of the number of the table
//! u64 and of the position of the part in the file u64: bytes that were written for another place are damage
//!
//! block         payload │ trailer
//!   payload     a leaf of the crate `page` without the free bytes in it, perhaps compressed; or with so many of them that
//!               the block ends at a multiple of 4096. Its id is the number of the block, its version that of the table, its
//!               lower fence the separator of the block, its upper fence that of the next one; cells are keys with items
//!               (`item`)
//!   trailer     kind u8: 0 plain, 1 LZ4, 2 a frame of Zstandard │ 3 zeros │ length of the page u32 │ bytes of the page in front of the free
//!               ones u32 │ bytes of both parts together u32 │ checksum u32
//! filter        kind u8: 0 none, 1 BinaryFuse8, 2 BinaryFuse16 │ unless none: seed u64 │ segment length u32 │ mask u32 │
//!               segments' length u32 │ fingerprints │ checksum u32; of the XXH3-64 of the keys
//! index         count u32 │ end │ a block: separator length u16 │ separator │ length of the block u32 │ entries u32 │
//!               … │ checksum u32
//!   end         bounded u8 │ length u16 │ bytes         every key is less, if bounded is 1
//! properties    entries u64 │ tombstones u64 │ bytes of keys and values u64 │ lower length u16 │ lower │ upper, as `end` │
//!               count u32 of blob files │ file u64, bytes u64 │ … │ deleted ranges (`ranges`) │ checksum u32
//! footer        magic "EBTABLE1" │ format u32 │ zeros u32 │ id u64 │ length of the file u64 │ positions u64 of filter,
//!               index, properties │ zeros u32 │ checksum u32                                              64 bytes
//! ```
//!
//! A separator is the shortest key that parts a block from the one before; that of the first block is the first key.
//! Promises: what is read is what was written, or the error names file and position; memory grows with the file and not
//! with what a length claims. A table holds its index, its filter and its deleted ranges in memory, and blocks as the
//! cache has room. Called by whoever writes tables (flush, compaction, ingest) and whoever reads them.

mod ahead;
mod block;
mod builder;
mod filter;
mod footer;
mod index;
mod properties;
mod reader;
mod salvage;
mod search;
mod stretch;
#[cfg(test)]
pub(crate) mod tests;
mod verify;
mod walk;

use adapter_api::environment::Cause;
use adapter_api::{EngineError, KEY_BYTES_MAX};
use wal::ADVICE;
use xxhash_rust::xxh3::xxh3_64;

pub(crate) use block::Block;
pub(crate) use builder::TableBuilder;
pub(crate) use filter::FilterUsage;
pub(crate) use reader::{Candidate, Table};
pub(crate) use stretch::Stretch;
pub(crate) use walk::{Bounds, TableWalk};

use crate::files::table_name;

/// The longest item that a table takes, in bytes; longer values lie in blob files.
pub(crate) const ITEM_BYTES_MAX: usize = 512 << 10;

/// How a table is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableOptions {
    /// How long a block becomes before it is compressed, trailer included, unless one entry is longer: 4 KiB to 64 KiB.
    pub(crate) block_bytes: usize,
    pub(crate) filter: FilterKind,
    pub(crate) compression: Compression,
    /// Why it is written.
    pub(crate) cause: Cause,
}

/// What tells, without a look at blocks, that a key is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FilterKind {
    /// Nothing does.
    Off,
    /// Nine bits a key; says "perhaps" of one absent key in 256.
    Fuse8,
    /// Eighteen bits a key; says "perhaps" of one absent key in 65,536.
    Fuse16,
}

/// How blocks lie in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// As they are.
    None,
    /// Each by itself, where that saves an eighth.
    Lz4,
    /// The same in half the room of `Lz4`, or nearly, at four times its cost to read and twice to write.
    Zstd,
}

/// A key that is looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sought<'a> {
    pub(crate) key: &'a [u8],
    /// Of the key, for filters.
    pub(crate) hash: u64,
    /// Whether the search may read from a device.
    pub(crate) may_wait: bool,
}

impl<'a> Sought<'a> {
    pub(crate) fn new(key: &'a [u8], may_wait: bool) -> Self {
        Self { key, hash: hash_of(key), may_wait }
    }
}

/// What a source answers to a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer<R> {
    /// It knows of the key.
    Says(R),
    /// It says nothing of it: older sources have the word.
    Nothing,
    /// To tell would mean to read from a device, and the search may not.
    WouldBlock,
}

/// What filters know a key by.
fn hash_of(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// Where a part of a table lies.
#[derive(Debug, Clone, Copy)]
struct Position {
    table: u64,
    offset: u64,
}

impl Position {
    /// The checksum of bytes that lie here.
    fn checksum(self, bytes: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(bytes);
        hasher.update(&self.table.to_le_bytes());
        hasher.update(&self.offset.to_le_bytes());
        hasher.finalize()
    }

    /// Appends the checksum to a part.
    fn seal(self, part: &mut Vec<u8>) {
        let checksum = self.checksum(part);
        part.extend_from_slice(&checksum.to_le_bytes());
    }

    /// The part without its checksum, if that holds.
    fn open<'a>(self, part: &'a [u8], what: &str) -> Result<&'a [u8], EngineError> {
        match part.split_last_chunk() {
            Some((bytes, sum)) if self.checksum(bytes) == u32::from_le_bytes(*sum) => Ok(bytes),
            _ => Err(self.corrupt(format!("the checksum of {what} does not hold"))),
        }
    }

    /// The error for damage here.
    fn corrupt(self, what: impl std::fmt::Display) -> EngineError {
        EngineError::corrupt(table_name(self.table), self.offset, format!("{what}; {ADVICE}"))
    }
}

/// The first key behind a key; none if it is the last of all.
pub(crate) fn behind(key: &[u8]) -> Option<Vec<u8>> {
    let mut next = key.to_vec();
    if next.len() < KEY_BYTES_MAX {
        next.push(0);
        return Some(next);
    }
    // No key is longer, so the next one differs in its last byte that can be larger.
    while next.pop_if(|byte| *byte == u8::MAX).is_some() {}
    *next.last_mut()? += 1;
    Some(next)
}
