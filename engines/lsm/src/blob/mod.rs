//! Blob files: values that are too long for tables, one behind the other.
//!
//! ```text
//! blob-0000000000000007       the number: no two files of a directory ever have the same
//!
//! offset  size  field           integers little-endian
//!      0     4  magic           "EBB1"
//!      4     4  checksum        CRC-32 of the number
//!      8     8  number          as in the name
//!     16     …  records
//!
//! a record
//!      0     4  checksum        CRC-32 of the file's number, the record's offset, and what follows up to the value
//!      4     4  value checksum  CRC-32 of the value
//!      8     4  value length
//!     12     2  key length
//!     14     …  key, value
//! ```
//!
//! A file is written front to back by one writer and never changed; what refers to a value (`item::BlobRef`) has its
//! checksum too. Which of them are live say the tables. Behind the last record that was synced may lie anything.
//!
//! Promises: a value that is read is the one that was written for this key, at this place of this file, or the answer is
//! `Corrupt` with file and position; memory grows with the bytes that are there. Called by reads, by compactions, and
//! by `verify`.

#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::ops::Deref;
use std::sync::Arc;

use adapter_api::environment::{Directory, File, OpenFile, read_exact_at};
use adapter_api::{Buffer, EngineError, Result};
use crc32fast::Hasher;
use wal::ADVICE;

pub(crate) use self::writer::BlobWriter;
use crate::files::{Fate, Graveyard, blob_name};
use crate::item::BlobRef;

const MAGIC: &[u8; 4] = b"EBB1";
/// Where the first record begins.
const FILE_HEADER_BYTES: usize = 16;
/// The bytes of a record before its key.
const HEADER_BYTES: usize = 14;
/// How much of a value is read at once.
const READ_BYTES: usize = 256 << 10;

fn file_header(number: u64) -> [u8; FILE_HEADER_BYTES] {
    let mut header = [0; FILE_HEADER_BYTES];
    header[..4].copy_from_slice(MAGIC);
    header[4..8].copy_from_slice(&crc32fast::hash(&number.to_le_bytes()).to_le_bytes());
    header[8..].copy_from_slice(&number.to_le_bytes());
    header
}

/// What stands before the key of a record.
fn header(at: BlobRef, key: &[u8]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[4..8].copy_from_slice(&at.checksum.to_le_bytes());
    header[8..12].copy_from_slice(&at.bytes.to_le_bytes());
    header[12..].copy_from_slice(&(key.len() as u16).to_le_bytes());
    let mut hasher = Hasher::new();
    hasher.update(&at.file.to_le_bytes());
    hasher.update(&at.offset.to_le_bytes());
    hasher.update(&header[4..]);
    hasher.update(key);
    header[..4].copy_from_slice(&hasher.finalize().to_le_bytes());
    header
}

/// How many bytes the record of such a value has.
pub(crate) fn record_bytes(key: &[u8], value_bytes: u32) -> u64 {
    (HEADER_BYTES + key.len()) as u64 + u64::from(value_bytes)
}

/// An open blob file. It is removed when it is retired and nobody holds it.
pub(crate) struct BlobFile {
    number: u64,
    file: Arc<dyn File>,
    fate: Fate,
}

impl BlobFile {
    /// Opens a file; it may still be written.
    ///
    /// # Errors
    /// `Corrupt` if it is gone or is another one; `Failed` if it cannot be read.
    pub(crate) fn open(
        directory: &dyn Directory,
        number: u64,
        graveyard: &Arc<Graveyard>,
    ) -> Result<Arc<Self>> {
        let name = blob_name(number);
        let corrupt = |what| {
            EngineError::corrupt(&name, 0, format!("{what}, and tables refer to values in it: {ADVICE}"))
        };
        let file = directory.open_file(&name, OpenFile::READ).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => corrupt("the file is gone"),
            _ => unreadable(&name, error),
        })?;
        let mut found = [0; FILE_HEADER_BYTES];
        let outcome = read_exact_at(&*file, &mut found, 0).and_then(|()| file.len());
        match outcome {
            Ok(bytes) if found == file_header(number) => {
                let fate = Fate::new(name, bytes, graveyard);
                Ok(Arc::new(Self { number, file, fate }))
            }
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(unreadable(&name, error)),
            _ => Err(corrupt("this is not the head of the file that the name says")),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The length, as far as it is known.
    pub(crate) fn bytes(&self) -> u64 {
        self.fate.bytes()
    }

    /// The file has grown since it was opened.
    pub(crate) fn note_bytes(&self, bytes: u64) {
        self.fate.note_bytes(bytes);
    }

    /// Nothing durable refers to it any more.
    pub(crate) fn retire(&self) {
        self.fate.retire();
    }

    /// Appends the value of this key to the buffer; a part of it, if this fails.
    ///
    /// # Errors
    /// `Corrupt` if it is damaged; `Failed` if it cannot be read.
    pub(crate) fn read(&self, at: BlobRef, key: &[u8], value: &mut Buffer) -> Result<()> {
        let mut parts = Parts::new(self, at, key)?;
        value.reserve(at.bytes as usize);
        while let Some(part) = parts.next()? {
            value.extend_from_slice(part);
        }
        Ok(())
    }

    /// Reads all records in their order, as far as they can be told apart, and reports damage to those that `is_live`
    /// says are live, or cannot say because something else is damaged. `live_bytes` are the bytes of all live records: if
    /// fewer are found, damage hides some.
    ///
    /// # Errors
    /// `Failed` if the file cannot be read; what `is_live` answers, but for `Corrupt`.
    pub(crate) fn verify(
        &self,
        live_bytes: u64,
        is_live: &mut dyn FnMut(&[u8], BlobRef) -> Result<bool>,
        report: &mut dyn FnMut(EngineError),
    ) -> Result<()> {
        let len = self.file.len().map_err(|error| unreadable(self.fate.name(), error))?;
        let (mut offset, mut found) = (FILE_HEADER_BYTES as u64, 0);
        while let Some((key, at)) = self.record_at(offset, len)? {
            let bytes = record_bytes(&key, at.bytes);
            offset += bytes;
            let counts = match is_live(&key, at) {
                // The damage is told by whoever reads the table that it is in.
                Err(EngineError::Corrupt { .. }) => true,
                outcome => outcome?,
            };
            if !counts {
                continue;
            }
            found += bytes;
            match self.check(at, &key) {
                Err(damage @ EngineError::Corrupt { .. }) => report(damage),
                outcome => outcome?,
            }
        }
        if found < live_bytes {
            let message = format!(
                "no valid record begins here, and {} bytes of records that count lie behind: {ADVICE}",
                live_bytes - found
            );
            report(EngineError::corrupt(self.fate.name(), offset, message));
        }
        Ok(())
    }

    fn check(&self, at: BlobRef, key: &[u8]) -> Result<()> {
        let mut parts = Parts::new(self, at, key)?;
        while parts.next()?.is_some() {}
        Ok(())
    }

    /// The key of the record at this place, and what refers to its value; `None` if no valid one begins there.
    fn record_at(&self, offset: u64, len: u64) -> Result<Option<(Vec<u8>, BlobRef)>> {
        let mut bytes = [0; HEADER_BYTES];
        if len.saturating_sub(offset) < HEADER_BYTES as u64 {
            return Ok(None);
        }
        let unreadable = |error| unreadable(self.fate.name(), error);
        read_exact_at(&*self.file, &mut bytes, offset).map_err(unreadable)?;
        let [_, _, _, _, a, b, c, d, e, f, g, h, k, l] = bytes;
        let (checksum, bytes_of_value) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
        let at = BlobRef { file: self.number, offset, bytes: bytes_of_value, checksum };
        let mut key = vec![0; u16::from_le_bytes([k, l]).into()];
        if len - offset < record_bytes(&key, at.bytes) {
            return Ok(None);
        }
        read_exact_at(&*self.file, &mut key, offset + HEADER_BYTES as u64).map_err(unreadable)?;
        Ok((header(at, &key) == bytes).then_some((key, at)))
    }
}

/// A value that is read in parts, from a file that is borrowed or shared.
pub(crate) struct Parts<F> {
    file: F,
    at: BlobRef,
    /// What must stand before the value.
    expected: Vec<u8>,
    buffer: Vec<u8>,
    /// How many bytes of the record were read.
    read: u64,
    checksum: Hasher,
}

impl<F: Deref<Target = BlobFile>> Parts<F> {
    /// Begins to read the value of this key.
    ///
    /// # Errors
    /// `Corrupt` if no record of it can be there.
    pub(crate) fn new(file: F, at: BlobRef, key: &[u8]) -> Result<Self> {
        let end = at.offset.checked_add(record_bytes(key, at.bytes));
        let len = file.file.len().map_err(|error| unreadable(file.fate.name(), error))?;
        // The length of the file bounds what is allocated.
        if at.file != file.number || at.offset < FILE_HEADER_BYTES as u64 || end.is_none_or(|end| end > len) {
            let message = format!(
                "the file has {len} bytes, and a value of {} bytes should lie at byte {}: {ADVICE}",
                at.bytes, at.offset
            );
            return Err(EngineError::corrupt(file.fate.name(), at.offset.min(len), message));
        }
        let mut expected = header(at, key).to_vec();
        expected.extend_from_slice(key);
        let record_bytes = expected.len() + at.bytes as usize;
        let buffer = vec![0; record_bytes.min(READ_BYTES.max(expected.len()))];
        Ok(Self { file, at, expected, buffer, read: 0, checksum: Hasher::new() })
    }

    /// The next part; `None` behind the last, if all of them together are the value.
    ///
    /// # Errors
    /// `Corrupt` if they are not; `Failed` if it cannot be read.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>> {
        let end = self.expected.len() as u64 + u64::from(self.at.bytes);
        if self.read == end {
            return match self.checksum.clone().finalize() == self.at.checksum {
                true => Ok(None),
                false => Err(self.corrupt()),
            };
        }
        let wanted = self.buffer.len().min((end - self.read) as usize);
        let (file, at) = (&*self.file.file, self.at.offset + self.read);
        match read_exact_at(file, &mut self.buffer[..wanted], at) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(self.corrupt()),
            outcome => outcome.map_err(|error| unreadable(self.file.fate.name(), error))?,
        }
        let before = if self.read == 0 { self.expected.len() } else { 0 };
        if self.buffer[..before] != self.expected[..before] {
            return Err(self.corrupt());
        }
        self.read += wanted as u64;
        self.checksum.update(&self.buffer[before..wanted]);
        Ok(Some(&self.buffer[before..wanted]))
    }

    fn corrupt(&self) -> EngineError {
        let message = format!("the value of {} bytes here is damaged: {ADVICE}", self.at.bytes);
        EngineError::corrupt(self.file.fate.name(), self.at.offset, message)
    }
}

fn unreadable(name: &str, error: io::Error) -> EngineError {
    EngineError::failed_by(format!("could not read {name}"), error)
}
