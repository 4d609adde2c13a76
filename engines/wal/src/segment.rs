//! A segment: one file of the log, of fixed size.
//!
//! ```text
//!  0  magic     8 bytes  "ENGBAYWL"
//!  8  format    u32      3; up to 2 each group had a block of its own, in 1 the checksum of a group was another
//! 12  block     u32      4,096
//! 16  log id    u64      the same in all segments of a log
//! 24  number    u64      also in the name of the file; new at each use of the file
//! 32  salt      u64      new at each use of the file; seeds the checksums of the groups
//! 40  length    u64      of the file, in bytes
//! 48  zero      12 bytes
//! 60  checksum  u32      crc32 of bytes 0 to 60
//! 64  zeros to 4,096, then the groups
//! ```
//!
//! The header is written when the file is prepared, before anyone knows which record will be first: that, and
//! how the segment goes on from the one before it, is said by its first group (`first`, `previous`).

use std::io::{self, IoSlice};
use std::sync::Arc;

use adapter_api::environment::{Cause, Directory, File, OpenFile, read_exact_at};
use adapter_api::{EngineError, Result};

use crate::group::{FIRST_POSITION, Seal, checksum};
use crate::{BLOCK, blocks, planted};

const MAGIC: [u8; 8] = *b"ENGBAYWL";
/// The format that is written, and the newest that is read.
pub(crate) const FORMAT: u32 = 3;
/// The first format in which groups share blocks.
const SHARED_BLOCKS: u32 = 3;
const HEADER_BYTES: usize = 64;
const SEGMENT_PREFIX: &str = "log-";
const SPARE_PREFIX: &str = "spare-";

/// The name of the segment with this number.
pub(crate) fn segment_name(number: u64) -> String {
    format!("{SEGMENT_PREFIX}{number:016x}")
}

/// The name of a file that is on its way to become the segment with this number.
pub(crate) fn spare_name(number: u64) -> String {
    format!("{SPARE_PREFIX}{number:016x}")
}

/// What a name in the directory of a log stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    Segment(u64),
    Spare(u64),
}

impl Name {
    /// Reads a name; `None` for files that are not the log's.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let number = |prefix: &str| {
            let digits = name.strip_prefix(prefix)?;
            let number = u64::from_str_radix(digits, 16).ok()?;
            // Only the one spelling that is written counts, and only numbers that can be counted on from.
            (digits == format!("{number:016x}") && number <= u64::MAX / 2).then_some(number)
        };
        number(SEGMENT_PREFIX).map(Self::Segment).or_else(|| number(SPARE_PREFIX).map(Self::Spare))
    }
}

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub format: u32,
    pub log_id: u64,
    pub number: u64,
    pub salt: u64,
    pub len: u64,
}

impl SegmentHeader {
    /// What the checksums of the groups are made with.
    pub(crate) fn seal(&self) -> Seal {
        let words = if planted::NO_EPOCH { [self.log_id; 3] } else { [self.log_id, self.number, self.salt] };
        let seed = words.iter().fold(0, |seed, word| checksum(seed, &word.to_le_bytes()));
        Seal { seed, format: self.format }
    }

    fn encode(&self) -> [u8; BLOCK as usize] {
        let mut block = [0; BLOCK as usize];
        block[..8].copy_from_slice(&MAGIC);
        block[8..12].copy_from_slice(&self.format.to_le_bytes());
        block[12..16].copy_from_slice(&(BLOCK as u32).to_le_bytes());
        for (word, at) in [(self.log_id, 16), (self.number, 24), (self.salt, 32), (self.len, 40)] {
            block[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        let check = checksum(0, &block[..HEADER_BYTES - 4]);
        block[HEADER_BYTES - 4..HEADER_BYTES].copy_from_slice(&check.to_le_bytes());
        block
    }

    /// Writes the header; durable with the file's next sync.
    pub(crate) fn write(&self, file: &dyn File) -> io::Result<()> {
        file.write_at(&[IoSlice::new(&self.encode())], 0, Cause::Log)
    }

    /// Reads a header, or says what is wrong with it.
    fn decode(header: &[u8; HEADER_BYTES]) -> Result<Self, HeaderFault> {
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|index| header[at + index]));
        let half = |at: usize| u32::from_le_bytes(std::array::from_fn(|index| header[at + index]));
        if header[..8] != MAGIC || half(60) != checksum(0, &header[..60]) {
            return Err(HeaderFault::Damaged);
        }
        let (format, block) = (half(8), half(12));
        if !(1..=FORMAT).contains(&format) || u64::from(block) != BLOCK {
            return Err(HeaderFault::OtherFormat(format));
        }
        Ok(Self { format, log_id: word(16), number: word(24), salt: word(32), len: word(40) })
    }
}

enum HeaderFault {
    Damaged,
    OtherFormat(u32),
}

/// An open segment.
#[derive(Clone)]
pub(crate) struct Segment {
    pub number: u64,
    pub name: String,
    pub file: Arc<dyn File>,
    /// The length of the file in bytes.
    pub len: u64,
    pub log_id: u64,
    pub seal: Seal,
}

impl Segment {
    /// A segment whose header was just written.
    pub(crate) fn new(header: &SegmentHeader, file: Arc<dyn File>) -> Self {
        let (number, len, log_id) = (header.number, header.len, header.log_id);
        Self { number, name: segment_name(number), file, len, log_id, seal: header.seal() }
    }

    /// Opens the segment with this number.
    ///
    /// # Errors
    /// `Corrupt` if the header or the length is not what was written; `Rejected` for a newer format.
    pub(crate) fn open(directory: &dyn Directory, number: u64, how: OpenFile) -> Result<Self> {
        let name = segment_name(number);
        let failed = |error| failed_on(&name, "open", error);
        let file = directory.open_file(&name, how).map_err(failed)?;
        let len = file.len().map_err(failed)?;
        if len < FIRST_POSITION {
            return Err(EngineError::corrupt(
                &name,
                len,
                format!("the file has only {len} bytes; its end is gone"),
            ));
        }
        let mut bytes = [0; HEADER_BYTES];
        read_exact_at(&*file, &mut bytes, 0).map_err(failed)?;
        let header = SegmentHeader::decode(&bytes).map_err(|fault| match fault {
            HeaderFault::Damaged => EngineError::corrupt(&name, 0, "the header of the log segment is damaged"),
            HeaderFault::OtherFormat(format) => EngineError::rejected(format!(
                "log segment {name} has format {format}, this version reads formats up to {FORMAT}; use a newer version"
            )),
        })?;
        if header.number != number {
            let message = format!("the file is log segment {}, under the name of another", header.number);
            return Err(EngineError::corrupt(&name, 0, message));
        }
        if header.len != len || !len.is_multiple_of(BLOCK) {
            let message = format!("the file has {len} bytes, its header says {}", header.len);
            return Err(EngineError::corrupt(&name, len.min(header.len), message));
        }
        Ok(Self::new(&header, file))
    }

    /// Where a group may start that is written behind one that ends at `end`, with no sync between them.
    pub(crate) fn place_behind(&self, end: u64) -> u64 {
        if self.seal.format >= SHARED_BLOCKS { end } else { blocks(end) }
    }

    /// How many bytes of groups fit behind `position`, wherever in its block the next one starts. The last block is
    /// kept for the group that ends a session.
    pub(crate) fn room_at(&self, position: u64) -> u64 {
        (self.len - BLOCK).saturating_sub(blocks(position))
    }

    /// How long a file must be to take a group of so many bytes.
    pub(crate) const fn len_for(group_bytes: u64) -> u64 {
        FIRST_POSITION + group_bytes + BLOCK
    }
}

/// A failure of a file, named.
pub(crate) fn failed_on(name: &str, doing: &str, error: io::Error) -> EngineError {
    EngineError::failed_by(format!("could not {doing} log file {name}"), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_the_log_writes_are_its_own() {
        assert_eq!(Name::parse(&segment_name(26)), Some(Name::Segment(26)));
        assert_eq!(Name::parse(&spare_name(u64::MAX / 2)), Some(Name::Spare(u64::MAX / 2)));
        for name in [
            "log-1a",
            "log-000000000000001A",
            "log-+00000000000001a",
            "log-",
            "checkpoint",
            "spare-x",
            &spare_name(u64::MAX),
        ] {
            assert_eq!(Name::parse(name), None, "{name}");
        }
    }

    #[test]
    fn each_number_and_each_salt_gives_another_seed() {
        let header = SegmentHeader { format: FORMAT, log_id: 1, number: 2, salt: 3, len: 65536 };
        let seeds = [
            header.seal(),
            SegmentHeader { number: 3, ..header }.seal(),
            SegmentHeader { salt: 4, ..header }.seal(),
            SegmentHeader { log_id: 0, ..header }.seal(),
        ];
        assert!(seeds.iter().enumerate().all(|(at, seed)| !seeds[..at].contains(seed)));
    }

    #[test]
    fn a_flipped_byte_of_the_header_is_noticed() {
        let header = SegmentHeader { format: FORMAT, log_id: 1, number: 2, salt: 3, len: 65536 };
        let bytes: [u8; HEADER_BYTES] = *header.encode().first_chunk().unwrap();
        assert!(matches!(SegmentHeader::decode(&bytes), Ok(read) if read == header));
        for at in 0..HEADER_BYTES {
            let mut bytes = bytes;
            bytes[at] ^= 1;
            assert!(SegmentHeader::decode(&bytes).is_err(), "byte {at}");
        }
    }
}
