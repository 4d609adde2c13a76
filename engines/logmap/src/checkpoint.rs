//! The checkpoint: all entries as of one position of the log, sorted, in one file.
//!
//! ```text
//! checkpoint-0000000000000c35    the position: the number of the last log record it stands for, in hex
//!
//! the file    | head | entries | entries | … | foot |      blocks, each on a multiple of 4 KiB, zeros between
//! a block     offset  size  field             integers little-endian
//!                  0     4  magic             "LMC1"
//!                  4     4  checksum          CRC-32 (IEEE) of everything behind it in the block
//!                  8     4  kind              1 head · 2 entries · 3 foot · 4 mixed (since format 2)
//!                 12     4  length            of the payload
//!                 16     8  offset            where in the file the block begins
//!                 24     …  payload
//! head        position u64 | number of entries u64
//! entries     one or more, keys ascending: key length u16 | value length u32 | key | value
//! mixed       the same, but an entry may have, in the place of its value, where that lies: then the highest bit
//!             of the value length is set, the rest of it is 24, and behind the key stand
//!             number of the file of values u64 | offset in it u64 | length u32 | CRC-32 of the value u32
//! foot        number of entries u64 | checksum u32: CRC-32 of all bytes of the file before the foot
//! ```
//!
//! The file is valid if and only if every block is, keys ascend throughout, the numbers of entries agree, the
//! checksum of the foot holds, and the file ends with the zeros behind the foot. A block of entries ends at the
//! latest with the entry by which it reaches 64 KiB.
//!
//! Promises: an invalid file yields `Corrupt` with the byte where it stops making sense; memory grows with
//! the bytes that are there, never with what they claim. Called by the writer, by recovery and `verify` (to read).

use std::io;
use std::sync::Arc;

use adapter_api::environment::{File, read_exact_at};
use adapter_api::{EngineError, Result, VALUE_BYTES_MAX, Watch};
use crc32fast::Hasher;

use crate::values::Reference;

const MAGIC: &[u8; 4] = b"LMC1";

/// What a block is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockKind {
    Head = 1,
    Entries = 2,
    Foot = 3,
    Mixed = 4,
}

impl BlockKind {
    fn of(number: u32) -> Option<Self> {
        [Self::Head, Self::Entries, Self::Foot, Self::Mixed].into_iter().find(|kind| *kind as u32 == number)
    }
}

/// Blocks begin on a multiple of this many bytes.
const ALIGNMENT: usize = 4096;
/// The bytes of a block before its payload.
const FRAME_BYTES: usize = 24;
/// The bytes of an entry beside its key and value.
const ENTRY_FRAME_BYTES: usize = 6;
/// Set in the value length of a reference.
const IS_REFERENCE: u32 = 1 << 31;
const REFERENCE_BYTES: usize = 24;

/// Begins a block at the end of the bytes; returns where its payload begins.
pub(crate) fn begin_block(bytes: &mut Vec<u8>) -> usize {
    bytes.extend_from_slice(&[0; FRAME_BYTES]);
    bytes.len()
}

/// Ends the block that begins at `start` of the bytes and at `offset` of the file: frame, and zeros behind it.
pub(crate) fn end_block(bytes: &mut Vec<u8>, start: usize, offset: u64, kind: BlockKind) {
    let block = &mut bytes[start..];
    let length = (block.len() - FRAME_BYTES) as u32;
    block[8..12].copy_from_slice(&(kind as u32).to_le_bytes());
    block[12..16].copy_from_slice(&length.to_le_bytes());
    block[16..24].copy_from_slice(&offset.to_le_bytes());
    let checksum = crc32fast::hash(&block[8..]);
    block[..4].copy_from_slice(MAGIC);
    block[4..8].copy_from_slice(&checksum.to_le_bytes());
    let end = start + block.len().next_multiple_of(ALIGNMENT);
    bytes.resize(end, 0);
}

/// Appends the payload of the head.
pub(crate) fn encode_head(position: u64, total: u64, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&position.to_le_bytes());
    bytes.extend_from_slice(&total.to_le_bytes());
}

/// Appends the payload of the foot.
pub(crate) fn encode_foot(count: u64, checksum: u32, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&count.to_le_bytes());
    bytes.extend_from_slice(&checksum.to_le_bytes());
}

/// Appends an entry.
pub(crate) fn encode_entry(key: &[u8], value: &[u8], bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&(key.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(value);
}

/// Appends an entry whose value lies in a file of values.
pub(crate) fn encode_reference(key: &[u8], reference: Reference, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&(key.len() as u16).to_le_bytes());
    bytes.extend_from_slice(&(IS_REFERENCE | REFERENCE_BYTES as u32).to_le_bytes());
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&reference.number.to_le_bytes());
    bytes.extend_from_slice(&reference.start.to_le_bytes());
    bytes.extend_from_slice(&reference.bytes.to_le_bytes());
    bytes.extend_from_slice(&reference.checksum.to_le_bytes());
}

/// An entry as it was read.
pub(crate) struct Found<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: FoundValue<'a>,
}

pub(crate) enum FoundValue<'a> {
    /// The value, and where in the file it begins.
    Here(&'a [u8], u64),
    /// Where it lies.
    Reference(Reference),
}

/// One block as it was read.
struct Block {
    kind: BlockKind,
    /// The block with the zeros behind it.
    bytes: Vec<u8>,
    payload_end: usize,
}

impl Block {
    fn payload(&self) -> &[u8] {
        &self.bytes[FRAME_BYTES..self.payload_end]
    }
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Reads the block at `offset`; `None` if there is no valid one.
fn read_block(file: &dyn File, len: u64, offset: u64) -> io::Result<Option<Block>> {
    if offset + ALIGNMENT as u64 > len {
        return Ok(None);
    }
    let mut bytes = vec![0; ALIGNMENT];
    read_exact_at(file, &mut bytes, offset)?;
    let length = u32_at(&bytes, 12).unwrap_or_default() as usize;
    let payload_end = FRAME_BYTES + length;
    let end = payload_end.next_multiple_of(ALIGNMENT);
    if bytes[..4] != MAGIC[..] || u64_at(&bytes, 16) != Some(offset) || end as u64 > len - offset {
        return Ok(None);
    }
    bytes.resize(end, 0);
    read_exact_at(file, &mut bytes[ALIGNMENT..], offset + ALIGNMENT as u64)?;
    let is_valid = u32_at(&bytes, 4) == Some(crc32fast::hash(&bytes[8..payload_end]))
        && bytes[payload_end..].iter().all(|byte| *byte == 0);
    let kind = u32_at(&bytes, 8).and_then(BlockKind::of);
    Ok(kind.filter(|_| is_valid).map(|kind| Block { kind, bytes, payload_end }))
}

impl Block {
    /// The entry that begins `at` so far into the payload of a block that begins at `start` of the file, and where
    /// the next one begins.
    fn entry(&self, start: u64, at: usize) -> Option<(Found<'_>, usize)> {
        let bytes = self.payload().get(at..)?;
        let (frame, rest) = bytes.split_first_chunk::<ENTRY_FRAME_BYTES>()?;
        let key_len = usize::from(u16::from_le_bytes([frame[0], frame[1]]));
        let stated = u32::from_le_bytes([frame[2], frame[3], frame[4], frame[5]]);
        let (key, rest) = rest.split_at_checked(key_len)?;
        let is_reference = stated & IS_REFERENCE != 0;
        let (value, rest) = rest.split_at_checked((stated & !IS_REFERENCE) as usize)?;
        if key.is_empty() || value.len() > VALUE_BYTES_MAX {
            return None;
        }
        let next = self.payload().len() - rest.len();
        let value = match (self.kind, is_reference, value.len()) {
            (BlockKind::Entries | BlockKind::Mixed, false, len) => {
                FoundValue::Here(value, start + (FRAME_BYTES + next - len) as u64)
            }
            (BlockKind::Mixed, true, REFERENCE_BYTES) => FoundValue::Reference(Reference {
                number: u64_at(value, 0)?,
                start: u64_at(value, 8)?,
                bytes: u32_at(value, 16)?,
                checksum: u32_at(value, 20)?,
            }),
            _ => return None,
        };
        Some((Found { key, value }, next))
    }
}

/// The entries of a checkpoint in order. `next` answers `None` only behind a foot that proves the whole.
pub(crate) struct Reader {
    file: Arc<dyn File>,
    name: String,
    len: u64,
    total: u64,
    count: u64,
    block: Block,
    /// Where in the payload of `block` the next entry begins.
    at: usize,
    /// Where the block begins, and the next one.
    block_start: u64,
    offset: u64,
    checksum: Hasher,
    last_key: Vec<u8>,
    is_done: bool,
}

impl Reader {
    /// Reads the head, which must be that of a checkpoint at `position`.
    pub(crate) fn open(file: Arc<dyn File>, name: &str, position: u64) -> Result<Self> {
        let len = file.len().map_err(|error| unreadable(name, error))?;
        let mut reader = Self {
            file,
            name: name.to_string(),
            len,
            total: 0,
            count: 0,
            block: Block { kind: BlockKind::Head, bytes: vec![0; FRAME_BYTES], payload_end: FRAME_BYTES },
            at: 0,
            block_start: 0,
            offset: 0,
            checksum: Hasher::new(),
            last_key: Vec::new(),
            is_done: false,
        };
        reader.next_block()?;
        let head = reader.block.payload();
        let (stated, total) = (u64_at(head, 0), u64_at(head, 8));
        match (reader.block.kind, stated, total) {
            (BlockKind::Head, Some(stated), Some(total)) if stated == position => reader.total = total,
            _ => return Err(reader.corrupt("this is not the head of the checkpoint that the name says")),
        }
        reader.at = reader.block.payload().len();
        Ok(reader)
    }

    /// How many bytes were read so far, and how many there are.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (self.offset, self.len)
    }

    /// The next entry, or `None` behind a foot that proves the whole.
    pub(crate) fn next(&mut self) -> Result<Option<Found<'_>>> {
        if self.is_done {
            return Ok(None);
        }
        if self.at == self.block.payload().len() {
            self.next_block()?;
        }
        if self.block.kind == BlockKind::Foot {
            self.check_foot()?;
            return Ok(None);
        }
        let at = self.at;
        match self.block.entry(self.block_start, at) {
            Some((found, next)) if *found.key > *self.last_key => {
                self.last_key.clear();
                self.last_key.extend_from_slice(found.key);
                self.at = next;
            }
            _ => return Err(self.corrupt("a block holds something else than entries in order")),
        }
        self.count += 1;
        Ok(self.block.entry(self.block_start, at).map(|(found, _)| found))
    }

    /// The file.
    pub(crate) fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    fn corrupt(&self, what: &str) -> EngineError {
        let at_stake = match self.total {
            0 => "all of its entries are".to_string(),
            total => format!("{} of its {total} entries are", total.saturating_sub(self.count)),
        };
        let message = format!(
            "{what}; the checkpoint is damaged and {at_stake} at stake: restore a backup, or take out what is \
             left with `enginebay salvage`"
        );
        EngineError::corrupt(&self.name, self.block_start, message)
    }

    fn next_block(&mut self) -> Result<()> {
        self.checksum.update(if self.offset > 0 { &self.block.bytes } else { &[] });
        self.block_start = self.offset;
        let read = read_block(&*self.file, self.len, self.offset);
        match read.map_err(|error| unreadable(&self.name, error))? {
            Some(block) => self.block = block,
            None => return Err(self.corrupt("no valid block begins here")),
        }
        self.offset += self.block.bytes.len() as u64;
        self.at = 0;
        Ok(())
    }

    fn check_foot(&mut self) -> Result<()> {
        let foot = self.block.payload();
        let checksum = self.checksum.clone().finalize();
        if (u64_at(foot, 0), u32_at(foot, 8)) != (Some(self.count), Some(checksum))
            || self.count != self.total
        {
            return Err(self.corrupt("the foot does not fit what stands before it"));
        }
        if self.offset != self.len {
            return Err(self.corrupt("there are bytes behind the foot"));
        }
        self.is_done = true;
        Ok(())
    }
}

/// Calls `take` with every entry that can still be read, and tells `watch` of each stretch that cannot.
///
/// # Errors
/// `Failed` if the file cannot be read, `Rejected` if the watch cancels; what `take` answers.
pub(crate) fn salvage(
    file: &dyn File,
    name: &str,
    watch: &dyn Watch,
    take: &mut dyn FnMut(Found<'_>) -> Result<()>,
) -> Result<()> {
    let len = file.len().map_err(|error| unreadable(name, error))?;
    let (mut offset, mut damage) = (0, None);
    while offset < len {
        if watch.progress(offset, len).is_break() {
            return Err(EngineError::rejected("salvage was cancelled"));
        }
        match read_block(file, len, offset).map_err(|error| unreadable(name, error))? {
            Some(block) => {
                report(name, damage.take(), offset, watch);
                let mut at = 0;
                while let Some((found, next)) = block.entry(offset, at) {
                    take(found)?;
                    at = next;
                }
                offset += block.bytes.len() as u64;
            }
            None => {
                damage.get_or_insert(offset);
                offset += ALIGNMENT as u64;
            }
        }
    }
    report(name, damage, len, watch);
    Ok(())
}

fn report(name: &str, damage: Option<u64>, end: u64, watch: &dyn Watch) {
    if let Some(start) = damage {
        let message = format!("the {} bytes from here are damaged; their entries were skipped", end - start);
        watch.finding(EngineError::corrupt(name, start, message));
    }
}

fn unreadable(name: &str, error: io::Error) -> EngineError {
    EngineError::failed_by(format!("could not read {name}"), error)
}
