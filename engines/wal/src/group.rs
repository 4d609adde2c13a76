//! A group: the records of one write, with the checksums and numbers that prove them.
//!
//! ```text
//!  0  checksum      u32  crc32 of the bytes from 4 to 52 and from 56 to `length`, seeded by the segment
//!  4  length        u32  of the whole group without padding; 0 is the end of the segment
//!  8  magic         u16  0x4757
//! 10  kind          u8   1 records, 2 open, 3 close
//! 11  settled       u8   1 if all groups before this one were durable when it was written, else 0
//! 12  records       u32  how many
//! 16  segment       u64  number of the segment
//! 24  position      u64  of the group in the file
//! 32  first         u64  number of the first record; of the next one if there is none
//! 40  durable       u64  the highest number known durable when this was written
//! 48  previous      u32  checksum of the group before; a close group is not counted as one
//! 52  header check  u32  crc32 of the bytes from 4 to 52, seeded by the segment
//! 56  records            each: length u32, bytes
//! ..                     zeros to the next multiple of 8, of 4,096 where it is the first to reach a block
//! ```
//!
//! The header has a checksum of its own, so that no length is believed before it is checked. The checksum of the
//! whole leaves that one out: a crc32 over bytes and then their own crc32 comes out the same whatever the bytes
//! are. In segments of format 1 it did not leave it out, so it said nothing of the header. The writer and
//! recovery seal groups here; the reader checks them.

use crate::{ALIGNMENT, BLOCK, Lsn, blocks, planted};

/// What the checksums of a segment's groups are made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seal {
    /// What they begin with.
    pub seed: u32,
    /// The format of the segment.
    pub format: u32,
}

impl Seal {
    /// The checksum of the header of a group.
    fn of_header(self, group: &[u8]) -> u32 {
        checksum(self.seed, &group[4..52])
    }

    /// The checksum of a whole group.
    fn of_group(self, group: &[u8]) -> u32 {
        match self.format {
            1 => checksum(self.seed, &group[4..]),
            _ => checksum(self.of_header(group), &group[HEADER_BYTES..]),
        }
    }
}

/// The bytes of a group's header.
pub(crate) const HEADER_BYTES: usize = 56;
/// What a record costs beyond its bytes.
const RECORD_HEADER_BYTES: usize = 4;
const MAGIC: u16 = 0x4757;
/// Where the number of the segment is in a header.
pub(crate) const SEGMENT_AT: usize = 16;
/// The group buffer gives memory beyond this many bytes back after a large group.
const BUFFER_KEPT: usize = 4 << 20;

/// What a group is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Holds records.
    Records = 1,
    /// Begins a segment that recovery wrote. All of that segment up to `durable` is durable.
    Open = 2,
    /// Ends a session in order. Not a link of the chain.
    Close = 3,
}

impl Kind {
    fn from_number(number: u8) -> Option<Self> {
        [Self::Records, Self::Open, Self::Close].into_iter().find(|kind| *kind as u8 == number)
    }
}

/// The header of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupHeader {
    pub kind: Kind,
    /// Whether all groups before this one were durable when it was written.
    pub settled: bool,
    /// Bytes of the group without padding.
    pub length: u32,
    pub records: u32,
    pub segment: u64,
    pub position: u64,
    pub first: Lsn,
    pub durable: Lsn,
    pub previous: u32,
}

impl GroupHeader {
    /// The number of the last record, of the one before the next if there is none.
    pub(crate) fn last(&self) -> Lsn {
        self.first + u64::from(self.records) - 1
    }

    /// Where it ends: the next group starts there, or with the next block.
    pub(crate) fn end(&self) -> u64 {
        (self.position + u64::from(self.length)).next_multiple_of(ALIGNMENT)
    }

    /// Writes everything but the checksum of the group.
    fn encode(&self, into: &mut [u8], seal: Seal) {
        into[4..8].copy_from_slice(&self.length.to_le_bytes());
        into[8..10].copy_from_slice(&MAGIC.to_le_bytes());
        into[10..12].copy_from_slice(&[self.kind as u8, u8::from(self.settled)]);
        into[12..16].copy_from_slice(&self.records.to_le_bytes());
        into[SEGMENT_AT..24].copy_from_slice(&self.segment.to_le_bytes());
        into[24..32].copy_from_slice(&self.position.to_le_bytes());
        into[32..40].copy_from_slice(&self.first.to_le_bytes());
        into[40..48].copy_from_slice(&self.durable.to_le_bytes());
        into[48..52].copy_from_slice(&self.previous.to_le_bytes());
        let check = seal.of_header(into);
        into[52..56].copy_from_slice(&check.to_le_bytes());
    }

    /// Reads the header of the group at `position` of a segment; `None` unless it was written there.
    pub(crate) fn decode(bytes: &[u8], segment: u64, position: u64, seal: Seal) -> Option<Self> {
        let header = bytes.first_chunk::<HEADER_BYTES>()?;
        if number_u16(header, 8) != MAGIC || number_u32(header, 52) != seal.of_header(header) {
            return None;
        }
        let decoded = Self {
            kind: Kind::from_number(header[10])?,
            settled: header[11] != 0,
            length: number_u32(header, 4),
            records: number_u32(header, 12),
            segment: number_u64(header, SEGMENT_AT),
            position: number_u64(header, 24),
            first: number_u64(header, 32),
            durable: number_u64(header, 40),
            previous: number_u32(header, 48),
        };
        let least = HEADER_BYTES as u64 + u64::from(decoded.records) * RECORD_HEADER_BYTES as u64;
        let plausible = (decoded.segment == segment || planted::NO_EPOCH)
            && decoded.position == position
            && decoded.first != 0
            && decoded.first.checked_add(u64::from(decoded.records)).is_some()
            && u64::from(decoded.length) >= least;
        plausible.then_some(decoded)
    }
}

/// Whether the bytes at `position` claim to be a group of this place, be they whole or not.
pub(crate) fn claims_place(bytes: &[u8], segment: u64, position: u64) -> bool {
    let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else { return false };
    number_u16(header, 8) == MAGIC
        && number_u64(header, SEGMENT_AT) == segment
        && number_u64(header, 24) == position
}

/// The checksum of a whole group, if it is the one that the group states.
pub(crate) fn verify(group: &[u8], seal: Seal) -> Option<u32> {
    let stated = number_u32(group.first_chunk::<HEADER_BYTES>()?, 0);
    (seal.of_group(group) == stated || planted::NO_CHECKSUM).then_some(stated)
}

/// The records of a group that was verified; `None` if they do not fill it exactly.
pub(crate) fn records(group: &[u8], count: u32) -> Option<Vec<&[u8]>> {
    let mut rest = group.get(HEADER_BYTES..)?;
    let mut records = Vec::new();
    for _ in 0..count {
        let (length, behind) = rest.split_first_chunk::<RECORD_HEADER_BYTES>()?;
        let (record, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        records.push(record);
        rest = behind;
    }
    rest.is_empty().then_some(records)
}

/// The group that is being filled.
pub(crate) struct GroupBuffer {
    /// Room for the header, then the records.
    bytes: Vec<u8>,
    records: u32,
}

impl GroupBuffer {
    pub(crate) fn new() -> Self {
        Self { bytes: vec![0; HEADER_BYTES], records: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// How many records it holds.
    pub(crate) fn records(&self) -> u32 {
        self.records
    }

    /// What the group takes on disk at most, in bytes, if it starts on a block of its own.
    pub(crate) fn disk_bytes(&self) -> u64 {
        blocks(self.bytes.len() as u64)
    }

    /// What it would take with one more record of so many bytes.
    pub(crate) fn disk_bytes_with(&self, record_bytes: u64) -> u64 {
        blocks(self.bytes.len() as u64 + RECORD_HEADER_BYTES as u64 + record_bytes)
    }

    /// The bytes of a group that has one record of so many.
    pub(crate) fn bytes_alone(record_bytes: u64) -> u64 {
        (HEADER_BYTES + RECORD_HEADER_BYTES) as u64 + record_bytes
    }

    /// Appends a record given in parts, of `length` bytes together.
    pub(crate) fn push(&mut self, parts: &[&[u8]], length: u32) {
        self.bytes.extend_from_slice(&length.to_le_bytes());
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.records += 1;
    }

    /// Appends the records of another group, as they lie there.
    pub(crate) fn copy(&mut self, group: &[u8], records: u32) {
        self.bytes.extend_from_slice(&group[HEADER_BYTES..]);
        self.records += records;
    }

    /// Writes header and padding; `header` gives all but length and count. Returns where the group ends, and its
    /// checksum.
    pub(crate) fn seal(&mut self, header: &GroupHeader, seal: Seal) -> (u64, u32) {
        let length = self.bytes.len();
        // The writer splits groups long before 4 GiB, and records are bounded.
        let stated = u32::try_from(length).expect("a group is bounded well below 4 GiB");
        let header = GroupHeader { length: stated, records: self.records, ..*header };
        header.encode(&mut self.bytes, seal);
        let check = seal.of_group(&self.bytes[..length]);
        self.bytes[..4].copy_from_slice(&check.to_le_bytes());
        // Whoever wrote to the block before has filled it up.
        let is_filled_up = header.end() <= blocks(header.position);
        let padded = if is_filled_up { header.end() } else { blocks(header.end()) };
        self.bytes.resize((padded - header.position) as usize, 0);
        (header.end(), check)
    }

    /// The bytes of a sealed group.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets the records.
    pub(crate) fn clear(&mut self) {
        self.bytes.truncate(HEADER_BYTES);
        self.bytes.shrink_to(BUFFER_KEPT);
        self.records = 0;
    }
}

/// crc32, begun with a seed.
pub(crate) fn checksum(seed: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(bytes);
    hasher.finalize()
}

fn number_u16(bytes: &[u8; HEADER_BYTES], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn number_u32(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|index| bytes[at + index]))
}

fn number_u64(bytes: &[u8; HEADER_BYTES], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|index| bytes[at + index]))
}

/// A group must leave the first block to the segment's header.
pub(crate) const FIRST_POSITION: u64 = BLOCK;

#[cfg(test)]
mod tests {
    use super::*;

    const SEAL: Seal = Seal { seed: 9, format: 2 };
    const OTHER: Seal = Seal { seed: 8, format: 2 };

    fn header(kind: Kind) -> GroupHeader {
        GroupHeader {
            kind,
            settled: true,
            length: 0,
            records: 0,
            segment: 3,
            position: 8192,
            first: 5,
            durable: 4,
            previous: 77,
        }
    }

    fn sealed() -> Vec<u8> {
        let mut group = GroupBuffer::new();
        group.push(&[b"ab", b"", b"c"], 3);
        group.push(&[], 0);
        group.seal(&header(Kind::Records), SEAL);
        group.bytes().to_vec()
    }

    #[test]
    fn a_sealed_group_is_read_back() {
        let bytes = sealed();
        assert_eq!(bytes.len(), 4096);
        let read = GroupHeader::decode(&bytes, 3, 8192, SEAL).unwrap();
        assert_eq!(read, GroupHeader { length: 67, records: 2, ..header(Kind::Records) });
        assert_eq!((read.last(), read.end()), (6, 8192 + 72));
        assert!(verify(&bytes[..67], SEAL).is_some());
        assert_eq!(records(&bytes[..67], 2).unwrap(), [&b"abc"[..], b""]);
        assert_eq!(records(&bytes[..67], 1), None);
    }

    #[test]
    fn a_group_counts_only_where_it_was_written() {
        let bytes = sealed();
        assert!(GroupHeader::decode(&bytes, 4, 8192, SEAL).is_none());
        assert!(GroupHeader::decode(&bytes, 3, 4096, SEAL).is_none());
        assert!(GroupHeader::decode(&bytes, 3, 8192, OTHER).is_none());
        assert!(verify(&bytes[..67], OTHER).is_none());
    }

    #[test]
    fn no_length_is_believed_before_the_header_is_checked() {
        for at in 4..HEADER_BYTES {
            let mut bytes = sealed();
            bytes[at] ^= 0x01;
            assert!(GroupHeader::decode(&bytes, 3, 8192, SEAL).is_none(), "byte {at}");
        }
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        for at in 0..67 {
            let mut bytes = sealed();
            bytes[at] ^= 0x10;
            let whole =
                GroupHeader::decode(&bytes, 3, 8192, SEAL).is_some() && verify(&bytes[..67], SEAL).is_some();
            assert!(!whole, "byte {at}");
        }
    }

    #[test]
    fn groups_of_equal_records_have_checksums_of_their_own() {
        let of = |first, format| {
            let mut group = GroupBuffer::new();
            group.push(&[b"equal"], 5);
            group.seal(&GroupHeader { first, ..header(Kind::Records) }, Seal { seed: 9, format }).1
        };
        assert_ne!(of(5, 2), of(6, 2));
        assert_eq!(of(5, 1), of(6, 1), "what was wrong with format 1");
    }
}
