//! Writes one blob file, front to back.
//!
//! Promises: a long value is not copied; behind a call that failed nothing more is written, and nothing synced. Called
//! by flushes, by compactions that collect, and for values that are too long for the log.

use std::io::{self, IoSlice};
use std::mem;
use std::sync::Arc;

use adapter_api::environment::{Cause, Directory, File, OpenFile, is_full};
use adapter_api::{EngineError, Result};

use super::{file_header, header, record_bytes};
use crate::files::blob_name;
use crate::item::BlobRef;

/// So much is gathered before it is written.
const GATHERED_BYTES: usize = 256 << 10;

/// A blob file that is being written.
pub(crate) struct BlobWriter {
    number: u64,
    file: Arc<dyn File>,
    cause: Cause,
    gathered: Vec<u8>,
    /// How many bytes were handed to the file.
    written: u64,
    /// How many bytes of the value that was begun have yet to come.
    missing: u32,
    /// What the file holds is unknown.
    has_failed: bool,
}

impl BlobWriter {
    /// Creates the file. Its name is durable when the directory is synced.
    ///
    /// # Errors
    /// `Full` if there is no room, else `Failed`.
    pub(crate) fn create(directory: &dyn Directory, number: u64, cause: Cause) -> Result<Self> {
        let file = directory.open_file(&blob_name(number), OpenFile::CREATE_NEW).map_err(failure)?;
        let gathered = file_header(number).to_vec();
        Ok(Self { number, file, cause, gathered, written: 0, missing: 0, has_failed: false })
    }

    /// The bytes of the file, those included that are gathered.
    pub(crate) fn bytes(&self) -> u64 {
        self.written + self.gathered.len() as u64
    }

    /// Adds a value; it can be read when `sync` has returned.
    ///
    /// # Errors
    /// `Full` if there is no room, else `Failed`; the file is to be abandoned.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) -> Result<BlobRef> {
        let at = self.begin(key, value.len() as u32, crc32fast::hash(value));
        self.push(value)?;
        Ok(at)
    }

    /// Begins a value that comes in parts. The checksum is its CRC-32.
    pub(crate) fn begin(&mut self, key: &[u8], bytes: u32, checksum: u32) -> BlobRef {
        let at = BlobRef { file: self.number, offset: self.bytes(), bytes, checksum };
        debug_assert_eq!(self.missing, 0, "the value before is not whole");
        self.missing = bytes;
        self.gathered.reserve(record_bytes(key, bytes.min(GATHERED_BYTES as u32)) as usize);
        self.gathered.extend_from_slice(&header(at, key));
        self.gathered.extend_from_slice(key);
        at
    }

    /// Adds a part of the value that was begun.
    ///
    /// # Errors
    /// As those of `add`.
    pub(crate) fn push(&mut self, part: &[u8]) -> Result<()> {
        self.missing = self.missing.saturating_sub(part.len() as u32);
        if self.gathered.len() + part.len() < GATHERED_BYTES {
            self.gathered.extend_from_slice(part);
            return Ok(());
        }
        self.write(part)
    }

    /// Makes all that was added durable; more may be added then.
    ///
    /// # Errors
    /// As those of `add`.
    pub(crate) fn sync(&mut self) -> Result<()> {
        if !self.gathered.is_empty() {
            self.write(&[])?;
        }
        self.attempt(|file| file.sync_data())
    }

    /// The same, for the last time; answers the length of the file.
    ///
    /// # Errors
    /// As those of `add`.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.sync()?;
        Ok(self.written)
    }

    /// Writes what was gathered, and this behind it.
    fn write(&mut self, behind: &[u8]) -> Result<()> {
        let (gathered, at, cause) = (mem::take(&mut self.gathered), self.written, self.cause);
        self.attempt(|file| file.write_at(&[IoSlice::new(&gathered), IoSlice::new(behind)], at, cause))?;
        self.written += (gathered.len() + behind.len()) as u64;
        self.gathered = gathered;
        self.gathered.clear();
        // A hint, so that the sync at the end finds little left to do.
        let _ = self.file.write_back(at, self.written - at);
        Ok(())
    }

    fn attempt(&mut self, call: impl FnOnce(&dyn File) -> io::Result<()>) -> Result<()> {
        if self.has_failed {
            return Err(EngineError::failed(format!("a write to {} failed before", blob_name(self.number))));
        }
        call(&*self.file).map_err(|error| {
            self.has_failed = true;
            failure(error)
        })
    }
}

/// What a write that failed means to whoever writes values.
fn failure(error: io::Error) -> EngineError {
    match is_full(&error) {
        true => EngineError::full(format!("the disk has no room for a blob file ({error}); free some space")),
        false => EngineError::failed_by("could not write a blob file", error),
    }
}
