//! The log: one file of records, each as long as it must be and then up to the next sector.
//!
//! ```text
//! log      │ header │ batch │ batch │ … │ batch │ batch …          closed
//!          └ how many batches make up the state ┘                  └ how many records there are, after an orderly end
//!
//! record   checksum u32 │ length u32 │ generation u64 │ number u64 │ bytes … │ zeros up to a multiple of 512
//! ```
//!
//! Numbers are little-endian, and a record's is its place. The checksum covers all behind it but the zeros. Each start
//! begins a log of the next generation, so nothing of an older one is taken for a part of it. A record has sectors of
//! its own, so damage to one of them is damage to one record.
//!
//! A record that is not whole ends the log if it may be a torn write: behind the state with which the log began, and
//! with no whole record behind it. Anything else is damage, and refused. After an orderly end `closed` says how many
//! records there are, so that nothing can pass for a torn write then.

use std::io::{self, IoSlice};
use std::sync::Arc;

use adapter_api::environment::{Cause, Directory, File, OpenFile};
use adapter_api::*;

const LOG: &str = "log";
const NEW: &str = "log.new";
const CLOSED: &str = "closed";
const CLOSED_NEW: &str = "closed.new";
const SECTOR: usize = 512;
const HEAD: usize = 24;
/// A batch of the state is closed when it has grown to this, in bytes.
const STATE_BATCH_BYTES: usize = 1 << 20;

/// The log, open behind its last record.
pub struct Log {
    directory: Arc<dyn Directory>,
    file: Arc<dyn File>,
    generation: u64,
    end: u64,
    records: u64,
    /// Whether nothing failed: else nobody knows what is in the file.
    is_sound: bool,
}

impl Log {
    /// Does the log again into an empty map, and begins a new one with what came of it: what was read may never have
    /// been durable.
    pub fn open(directory: Arc<dyn Directory>, map: &VersionedMap) -> Result<Self> {
        let last = recover(&*directory, map)?;
        for name in [NEW, CLOSED_NEW] {
            if has(&*directory, name)? {
                directory.remove(name)?;
            }
        }
        let file = directory.open_file(NEW, OpenFile::CREATE_NEW)?;
        let mut log = Self { directory, file, generation: last + 1, end: 0, records: 0, is_sound: true };
        log.write_state(map)?;
        log.file.sync_all()?;
        log.directory.rename(NEW, LOG)?;
        log.directory.sync()?;
        Ok(log)
    }

    fn write_state(&mut self, map: &VersionedMap) -> Result<()> {
        let view = map.view();
        let (mut batch, mut batches) = (BatchBuilder::new(), Vec::new());
        let mut cursor = view.cursor(KeyRange::all(), Direction::Forward)?;
        while let Some(entry) = cursor.next()? {
            batch.put(entry.key, entry.value)?;
            if batch.bytes() >= STATE_BATCH_BYTES {
                batches.push(std::mem::take(&mut batch));
            }
        }
        batches.push(batch);
        self.append_bytes(&(batches.len() as u64).to_le_bytes())?;
        batches.iter().try_for_each(|batch| self.append(batch.as_batch()))
    }

    /// Writes a batch behind the others. It is not durable yet.
    pub fn append(&mut self, batch: Batch<'_>) -> Result<()> {
        self.append_bytes(batch.as_bytes())
    }

    fn append_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let head = head(self.generation, self.records, bytes)?;
        let padding = vec![0; (HEAD + bytes.len()).next_multiple_of(SECTOR) - HEAD - bytes.len()];
        let slices = [IoSlice::new(&head), IoSlice::new(bytes), IoSlice::new(&padding)];
        let written = self.file.write_at(&slices, self.end, Cause::Log);
        self.is_sound &= written.is_ok();
        self.end += (HEAD + bytes.len() + padding.len()) as u64;
        self.records += 1;
        Ok(written?)
    }

    /// Makes everything durable that was appended.
    pub fn make_durable(&mut self) -> Result<()> {
        let synced = self.file.sync_data();
        self.is_sound &= synced.is_ok();
        Ok(synced?)
    }

    /// Makes everything durable, and says how many records there are, for the next `open`.
    pub fn close(&mut self) -> Result<()> {
        if !self.is_sound {
            return Ok(());
        }
        self.make_durable()?;
        let file = self.directory.open_file(CLOSED_NEW, OpenFile::CREATE_NEW)?;
        let count = self.records.to_le_bytes();
        let head = head(self.generation, 0, &count)?;
        file.write_at(&[IoSlice::new(&head), IoSlice::new(&count)], 0, Cause::Metadata)?;
        file.sync_all()?;
        self.directory.rename(CLOSED_NEW, CLOSED)?;
        Ok(self.directory.sync()?)
    }
}

fn head(generation: u64, number: u64, bytes: &[u8]) -> Result<[u8; HEAD]> {
    let len =
        u32::try_from(bytes.len()).map_err(|_| EngineError::rejected("the batch is larger than a record"))?;
    let mut head = [0; HEAD];
    head[4..8].copy_from_slice(&len.to_le_bytes());
    head[8..16].copy_from_slice(&generation.to_le_bytes());
    head[16..].copy_from_slice(&number.to_le_bytes());
    let sum = checksum(&head[4..], bytes).to_le_bytes();
    head[..4].copy_from_slice(&sum);
    Ok(head)
}

fn checksum(head: &[u8], bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(bytes);
    hasher.finalize()
}

/// A whole record.
struct Record<'a> {
    generation: u64,
    number: u64,
    bytes: &'a [u8],
}

/// The record at a position, if there is a whole one.
fn record(log: &[u8], at: usize) -> Option<Record<'_>> {
    let (head, rest) = log.get(at..)?.split_first_chunk::<HEAD>()?;
    let long = |at: usize| head[at..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
    let short = |at: usize| head[at..].first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    let bytes = rest.get(..short(4)? as usize)?;
    let is_whole = checksum(&head[4..], bytes) == short(0)?;
    is_whole.then_some(Record { generation: long(8)?, number: long(16)?, bytes })
}

/// Does the log again into an empty map, up to what is damaged; answers its generation, 0 if there is none.
pub fn recover(directory: &dyn Directory, map: &VersionedMap) -> Result<u64> {
    let closed = if has(directory, CLOSED)? { Some(read_closed(directory)?) } else { None };
    match (has(directory, LOG)?, closed) {
        (true, _) => replay(&read(directory, LOG)?, closed, map),
        (false, None) => Ok(0),
        (false, Some(_)) => Err(EngineError::corrupt(LOG, 0, "the file is gone")),
    }
}

fn has(directory: &dyn Directory, name: &str) -> io::Result<bool> {
    Ok(directory.list()?.iter().any(|entry| entry.name == name))
}

/// Does every record again; answers the generation of the log. `closed` is the generation of a log and how many
/// records it had at an orderly end.
fn replay(log: &[u8], closed: Option<(u64, u64)>, map: &VersionedMap) -> Result<u64> {
    let damaged = |at: usize, what: String| Err(EngineError::corrupt(LOG, at as u64, what));
    let header = record(log, 0).filter(|header| header.number == 0);
    let state = header.as_ref().and_then(|header| header.bytes.try_into().ok()).map(u64::from_le_bytes);
    let (Some(Record { generation, .. }), Some(state)) = (header, state) else {
        return damaged(0, "the header is not that of a log".to_string());
    };
    let (mut at, mut records) = (SECTOR, 1);
    let is_next = |record: &Record<'_>, number| record.generation == generation && record.number == number;
    while let Some(Record { bytes, .. }) = record(log, at).filter(|record| is_next(record, records)) {
        map.stage(Batch::parse(bytes)?).publish();
        at += (HEAD + bytes.len()).next_multiple_of(SECTOR);
        records += 1;
    }
    let is_later = |record: Record<'_>| record.generation == generation && record.number > records;
    let mut behind = (at..log.len()).step_by(SECTOR).skip(1);
    if records <= state || behind.any(|at| record(log, at).is_some_and(is_later)) {
        return damaged(at, format!("record {records} is not whole, and not the last"));
    }
    match closed {
        Some((closed, count)) if closed == generation && count != records => {
            damaged(at, format!("there are {records} records, and there were {count} at an orderly end"))
        }
        _ => Ok(generation),
    }
}

fn read_closed(directory: &dyn Directory) -> Result<(u64, u64)> {
    let bytes = read(directory, CLOSED)?;
    let closed = record(&bytes, 0)
        .and_then(|record| Some((record.generation, u64::from_le_bytes(record.bytes.try_into().ok()?))));
    closed.ok_or_else(|| EngineError::corrupt(CLOSED, 0, "its checksum is not that of its bytes"))
}

/// A whole file.
fn read(directory: &dyn Directory, name: &str) -> io::Result<Vec<u8>> {
    let file = directory.open_file(name, OpenFile::READ)?;
    let mut bytes = vec![0; usize::try_from(file.len()?).map_err(io::Error::other)?];
    let len = file.read_at(&mut bytes, 0)?;
    bytes.truncate(len);
    Ok(bytes)
}
