//! The checkpoint: all entries as of one position of the log, sorted, in one file.
//!
//! ```text
//! checkpoint-0000000000000c35    the position: the number of the last log record it stands for, in hex
//!
//! the file    | head | entries | entries | … | foot |      blocks, each on a multiple of 4 KiB, zeros between
//! a block     offset  size  field             integers little-endian
//!                  0     4  magic             "LMC1"
//!                  4     4  checksum          CRC-32 (IEEE) of everything behind it in the block
//!                  8     4  kind              1 head · 2 entries · 3 foot
//!                 12     4  length            of the payload
//!                 16     8  offset            where in the file the block begins
//!                 24     …  payload
//! head        position u64 | number of entries u64
//! entries     one or more, keys ascending: key length u16 | value length u32 | key | value
//! foot        number of entries u64 | checksum u32: CRC-32 of all bytes of the file before the foot
//! ```
//!
//! The file is valid if and only if every block is, keys ascend throughout, the numbers of entries agree, the
//! checksum of the foot holds, and the file ends with the zeros behind the foot. A block of entries ends with
//! the entry by which it reaches 64 KiB.
//!
//! Promises: an invalid file yields `Corrupt` with the byte where it stops making sense; memory grows with
//! the bytes that are there, never with what they claim; a step of writing writes at most 1 MiB. Called by
//! the checkpointer and `backup` (to write), by recovery and `verify` (to read).

use std::io::{self, IoSlice};
use std::sync::Arc;

use adapter_api::environment::{Cause, File, read_exact_at};
use adapter_api::versioned_map::{View, ViewCursor};
use adapter_api::{Cursor, Direction, EngineError, Entry, KeyRange, Result, Watch};
use crc32fast::Hasher;

const MAGIC: &[u8; 4] = b"LMC1";
const HEAD: u32 = 1;
const ENTRIES: u32 = 2;
const FOOT: u32 = 3;

/// Blocks begin on a multiple of this many bytes.
const ALIGNMENT: usize = 4096;
/// The bytes of a block before its payload.
const FRAME_BYTES: usize = 24;
/// A block of entries ends once its payload has this many bytes.
const BLOCK_BYTES: usize = 64 << 10;
/// The bytes of an entry beside its key and value.
const ENTRY_FRAME_BYTES: usize = 6;
/// How many bytes one step writes at most.
const STEP_BYTES: usize = 1 << 20;

/// Why a checkpoint could not be written.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The file refused it.
    File(io::Error),
    /// The view ended.
    View(EngineError),
}

/// Writes the checkpoint of a view in bounded steps. Makes nothing durable.
pub(crate) struct Writer {
    file: Arc<dyn File>,
    cause: Cause,
    entries: ViewCursor,
    total: u64,
    count: u64,
    /// Whole blocks that wait to be written, and how far they are.
    pending: Vec<u8>,
    written: usize,
    /// Where in the file `pending` begins.
    offset: u64,
    checksum: Hasher,
    is_complete: bool,
}

impl Writer {
    /// Begins the checkpoint of a view that stands for the log up to `position`. Writes nothing yet.
    pub(crate) fn new(file: Arc<dyn File>, view: &View, position: u64, cause: Cause) -> Result<Self> {
        let total = view.len()?;
        let mut writer = Self {
            file,
            cause,
            entries: view.walk(KeyRange::all(), Direction::Forward),
            total,
            count: 0,
            pending: Vec::new(),
            written: 0,
            offset: 0,
            checksum: Hasher::new(),
            is_complete: false,
        };
        let start = writer.begin_block();
        writer.pending.extend_from_slice(&position.to_le_bytes());
        writer.pending.extend_from_slice(&total.to_le_bytes());
        writer.end_block(start, HEAD);
        Ok(writer)
    }

    /// Writes a bounded part; answers whether everything is written.
    pub(crate) fn step(&mut self) -> Result<bool, WriteError> {
        if self.written == self.pending.len() {
            self.offset += self.written as u64;
            self.pending.clear();
            self.written = 0;
        }
        while self.pending.len() < STEP_BYTES && !self.is_complete {
            self.fill().map_err(WriteError::View)?;
        }
        let end = self.pending.len().min(self.written + STEP_BYTES);
        let (part, at) = (&self.pending[self.written..end], self.offset + self.written as u64);
        self.file.write_at(&[IoSlice::new(part)], at, self.cause).map_err(WriteError::File)?;
        // A hint, so that the sync at the end finds little left to do.
        let _ = self.file.write_back(at, part.len() as u64);
        self.written = end;
        Ok(self.is_complete && self.written == self.pending.len())
    }

    /// How many entries were written, and how many there are.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (self.count, self.total)
    }

    /// The length of the file once everything is written, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.offset + self.pending.len() as u64
    }

    /// Makes the bytes durable; not the name.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Adds a block of entries to what is pending, or the foot if there are no more.
    fn fill(&mut self) -> Result<()> {
        let start = self.begin_block();
        while self.pending.len() - start - FRAME_BYTES < BLOCK_BYTES {
            let Some(Entry { key, value }) = self.entries.next()? else { break };
            self.pending.extend_from_slice(&(key.len() as u16).to_le_bytes());
            self.pending.extend_from_slice(&(value.len() as u32).to_le_bytes());
            self.pending.extend_from_slice(key);
            self.pending.extend_from_slice(value);
            self.count += 1;
        }
        if self.pending.len() > start + FRAME_BYTES {
            self.end_block(start, ENTRIES);
            return Ok(());
        }
        let checksum = self.checksum.clone().finalize();
        self.pending.extend_from_slice(&self.count.to_le_bytes());
        self.pending.extend_from_slice(&checksum.to_le_bytes());
        self.end_block(start, FOOT);
        self.is_complete = true;
        Ok(())
    }

    fn begin_block(&mut self) -> usize {
        let start = self.pending.len();
        self.pending.extend_from_slice(&[0; FRAME_BYTES]);
        start
    }

    fn end_block(&mut self, start: usize, kind: u32) {
        let offset = self.offset + start as u64;
        let block = &mut self.pending[start..];
        let length = (block.len() - FRAME_BYTES) as u32;
        block[8..12].copy_from_slice(&kind.to_le_bytes());
        block[12..16].copy_from_slice(&length.to_le_bytes());
        block[16..24].copy_from_slice(&offset.to_le_bytes());
        let checksum = crc32fast::hash(&block[8..]);
        block[..4].copy_from_slice(MAGIC);
        block[4..8].copy_from_slice(&checksum.to_le_bytes());
        self.pending.resize(self.pending.len().next_multiple_of(ALIGNMENT), 0);
        self.checksum.update(&self.pending[start..]);
    }
}

/// One block as it was read.
struct Block {
    kind: u32,
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
    let kind = u32_at(&bytes, 8).unwrap_or_default();
    Ok(is_valid.then_some(Block { kind, bytes, payload_end }))
}

/// Splits the first entry off the payload of a block.
fn split_entry(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (frame, rest) = bytes.split_first_chunk::<ENTRY_FRAME_BYTES>()?;
    let key_len = usize::from(u16::from_le_bytes([frame[0], frame[1]]));
    let value_len = u32::from_le_bytes([frame[2], frame[3], frame[4], frame[5]]) as usize;
    let (key, rest) = rest.split_at_checked(key_len)?;
    let (value, rest) = rest.split_at_checked(value_len)?;
    Some((Entry { key, value }, rest))
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
            block: Block { kind: HEAD, bytes: vec![0; FRAME_BYTES], payload_end: FRAME_BYTES },
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
            (HEAD, Some(stated), Some(total)) if stated == position => reader.total = total,
            _ => return Err(reader.corrupt("this is not the head of the checkpoint that the name says")),
        }
        reader.at = reader.block.payload().len();
        Ok(reader)
    }

    /// How many bytes were read so far, and how many there are.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (self.offset, self.len)
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

impl Cursor for Reader {
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        if self.is_done {
            return Ok(None);
        }
        if self.at == self.block.payload().len() {
            self.next_block()?;
        }
        if self.block.kind == FOOT {
            self.check_foot()?;
            return Ok(None);
        }
        let rest = self.block.payload().get(self.at..).unwrap_or_default();
        let used = match split_entry(rest) {
            Some((entry, after)) if self.block.kind == ENTRIES && *entry.key > *self.last_key => {
                self.last_key.clear();
                self.last_key.extend_from_slice(entry.key);
                rest.len() - after.len()
            }
            _ => return Err(self.corrupt("a block holds something else than entries in order")),
        };
        let start = self.at;
        self.at += used;
        self.count += 1;
        Ok(split_entry(&self.block.payload()[start..]).map(|(entry, _)| entry))
    }

    fn seek(&mut self, _: &[u8]) -> Result<()> {
        Err(EngineError::unsupported("seek in a checkpoint"))
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
    take: &mut dyn FnMut(Entry<'_>) -> Result<()>,
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
                let mut rest = if block.kind == ENTRIES { block.payload() } else { &[] };
                while let Some((entry, after)) = split_entry(rest) {
                    take(entry)?;
                    rest = after;
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
