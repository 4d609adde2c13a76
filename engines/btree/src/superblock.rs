//! The two superblocks: what the data file stands for.
//!
//! ```text
//! data   | superblock | superblock | extents: pages and maps, in any order, and free blocks …
//!
//! offset  size  field        integers little-endian; zeros behind them up to 4,096 bytes
//!      0     4  checksum     CRC-32 (IEEE) of the rest of the 4,096 bytes
//!      4     4  magic        "EBS1"
//!      8     8  generation   the higher one counts
//!     16     8  position     the last log record whose effect the pages have
//!     24     8  entries      in all
//!     32     8  bytes        of their keys and values
//!     40     8  map          where the newest map begins, in blocks
//!     48     8  map bytes
//!     56     8  version      of the tree that the pages are of
//!     64     4  map checksum
//! ```
//!
//! A checkpoint writes the one that does not count. It is never changed in place otherwise, so a torn write leaves the
//! other, and the log goes on from that. Called by the checkpointer and recovery.

use crate::map::MapRef;
use crate::space::{BLOCK, Extent};
use crate::tree::Size;

const MAGIC: &[u8; 4] = b"EBS1";

/// What a superblock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Superblock {
    pub(crate) generation: u64,
    pub(crate) position: u64,
    pub(crate) version: u64,
    pub(crate) size: Size,
    pub(crate) map: MapRef,
}

/// The blocks of both superblocks.
pub(crate) const SUPERBLOCKS: Extent = Extent { start: 0, blocks: 2 };

impl Superblock {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(MAGIC);
        let Self { generation, position, version, size, map } = *self;
        let numbers = [generation, position, size.entries, size.bytes, map.start, map.bytes, version];
        numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        bytes.extend_from_slice(&map.checksum.to_le_bytes());
        bytes.resize(BLOCK as usize, 0);
        let checksum = crc32fast::hash(&bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a superblock, if its checksum holds.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let u32_at = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let u64_at = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let is_whole = bytes.len() == BLOCK as usize && u32_at(0)? == crc32fast::hash(&bytes[4..]);
        if !is_whole || bytes[4..8] != *MAGIC {
            return None;
        }
        Some(Self {
            generation: u64_at(8)?,
            position: u64_at(16)?,
            version: u64_at(56)?,
            size: Size { entries: u64_at(24)?, bytes: u64_at(32)? },
            map: MapRef { start: u64_at(40)?, bytes: u64_at(48)?, checksum: u32_at(64)? },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_superblock_is_read_back_and_every_flipped_bit_is_refused() {
        let map = MapRef { start: 9, bytes: 4711, checksum: 12 };
        let superblock =
            Superblock { generation: 7, position: 8, version: 3, size: Size { entries: 5, bytes: 6 }, map };
        let bytes = superblock.encode();
        assert_eq!(Superblock::decode(&bytes), Some(superblock));
        for bit in (0..bytes.len() * 8).step_by(if cfg!(miri) { 997 } else { 1 }) {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Superblock::decode(&flipped), None, "bit {bit}");
        }
        assert_eq!(Superblock::decode(&[0; 4096]), None);
    }
}
