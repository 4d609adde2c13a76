//! Reads a dump, and refuses what is not one, with the position.

use std::io::{self, Read};

use adapter_api::{Cursor, EngineError, Entry, VALUE_BYTES_MAX};

use super::{END, END_BYTES, ENTRIES, FRAME_BYTES, HEAD, PAYLOAD_BYTES_MAX};
use crate::transfer::totals::{ENTRY_HEAD_BYTES, Sum};

/// Reads the entries of a dump in order. What came before the end counts only when the end has come: `next`
/// answers `None` when the whole dump was there, and an error otherwise.
pub struct DumpReader<R> {
    input: R,
    /// What errors call the dump.
    name: String,
    /// How many bytes were read.
    position: u64,
    /// The payload of the block in hand, and how much of it was taken.
    payload: Vec<u8>,
    taken: usize,
    key: Vec<u8>,
    previous_key: Vec<u8>,
    value: Vec<u8>,
    sum: Sum,
    ended: bool,
}

impl<R: Read> DumpReader<R> {
    /// Begins with the head of a dump that is called `name` in errors.
    ///
    /// # Errors
    /// `Corrupt` if there is none; `Failed` if it cannot be read.
    pub fn new(input: R, name: &str) -> Result<Self, EngineError> {
        let mut reader = Self {
            input,
            name: name.to_string(),
            position: 0,
            payload: Vec::new(),
            taken: 0,
            key: Vec::new(),
            previous_key: Vec::new(),
            value: Vec::new(),
            sum: Sum::default(),
            ended: false,
        };
        let mut head = [0; HEAD.len()];
        let read = reader.read(&mut head)?;
        let same = head[..read].iter().zip(HEAD).take_while(|(found, known)| found == known).count();
        match (same < read, read < HEAD.len()) {
            (true, _) => Err(reader.corrupt(same as u64, "this is no dump of a version known here")),
            (false, true) => Err(reader.corrupt(read as u64, "it ends here, inside the head of a dump")),
            (false, false) => Ok(reader),
        }
    }

    fn corrupt(&self, position: u64, message: impl Into<String>) -> EngineError {
        EngineError::corrupt(self.name.clone(), position, message)
    }

    /// Fills `bytes`, unless the input ends before; answers how many bytes there were.
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize, EngineError> {
        let mut read = 0;
        while read < bytes.len() {
            match self.input.read(&mut bytes[read..]) {
                Ok(0) => break,
                Ok(some) => read += some,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let message = format!("could not read {} at byte {}", self.name, self.position);
                    return Err(EngineError::failed_by(message, error));
                }
            }
        }
        self.position += read as u64;
        Ok(read)
    }

    /// Reads the next block into `payload` and answers of which kind it is.
    fn read_block(&mut self) -> Result<u32, EngineError> {
        let start = self.position;
        let mut frame = [0; FRAME_BYTES];
        let complete = self.read(&mut frame)? == FRAME_BYTES;
        if !complete {
            return Err(self.cut_off(start));
        }
        let number = |at: usize| u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]);
        let (checksum, kind, length) = (number(0), number(4), number(8) as usize);
        if !(1..=PAYLOAD_BYTES_MAX).contains(&length) {
            return Err(self.corrupt(start, format!("a block of {length} bytes begins here: it is damaged")));
        }
        self.taken = 0;
        let mut payload = std::mem::take(&mut self.payload);
        payload.resize(length, 0);
        let read = self.read(&mut payload);
        self.payload = payload;
        if read? < length {
            return Err(self.cut_off(start));
        }
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&frame[4..]);
        hasher.update(&self.payload);
        if hasher.finalize() != checksum {
            return Err(
                self.corrupt(start, "the block that begins here is damaged: its checksum does not fit")
            );
        }
        if frame[12..] != start.to_le_bytes() {
            return Err(
                self.corrupt(start, "the block here belongs elsewhere: something is missing or twice")
            );
        }
        Ok(kind)
    }

    fn cut_off(&self, block: u64) -> EngineError {
        let end = self.position;
        self.corrupt(
            end,
            format!("it ends here, in the block at byte {block} and before its end: it was cut off"),
        )
    }

    /// Has bytes of entries ready; answers `false` at the end of the dump, which has to fit.
    fn has_more(&mut self) -> Result<bool, EngineError> {
        if self.taken < self.payload.len() {
            return Ok(true);
        }
        let start = self.position;
        match self.read_block()? {
            ENTRIES => Ok(true),
            END => self.check_end(start).map(|()| false),
            kind => {
                Err(self.corrupt(start, format!("a block of kind {kind} begins here, which is not known")))
            }
        }
    }

    fn check_end(&mut self, start: u64) -> Result<(), EngineError> {
        let totals = self.sum.totals();
        let mut expected = Vec::with_capacity(END_BYTES);
        expected.extend_from_slice(&totals.entries.to_le_bytes());
        expected.extend_from_slice(&totals.bytes.to_le_bytes());
        expected.extend_from_slice(&totals.digest);
        if self.payload != expected {
            return Err(
                self.corrupt(start, format!("its end is not the one of what came before it: {totals}"))
            );
        }
        let end = self.position;
        if self.read(&mut [0])? > 0 {
            return Err(self.corrupt(end, "there are bytes behind its end"));
        }
        Ok(())
    }

    /// Appends the next `length` bytes of the entry that began in the block at hand.
    fn take(&mut self, length: usize, bytes: &mut Vec<u8>) -> Result<(), EngineError> {
        let wanted = bytes.len() + length;
        while bytes.len() < wanted {
            if !self.has_more()? {
                return Err(self.corrupt(self.position, "its end comes in the middle of an entry"));
            }
            let missing = wanted - bytes.len();
            let some = missing.min(self.payload.len() - self.taken);
            if bytes.capacity() < bytes.len() + some {
                // Twice as much as there is, but never more than the claim.
                bytes.reserve_exact(missing.min(bytes.len().max(some)));
            }
            bytes.extend_from_slice(&self.payload[self.taken..self.taken + some]);
            self.taken += some;
        }
        Ok(())
    }

    /// Reads the next entry into `key` and `value`.
    fn read_entry(&mut self) -> Result<(), EngineError> {
        let block_start = self.position - self.payload.len() as u64;
        let position = block_start + self.taken as u64;
        let mut head = Vec::with_capacity(ENTRY_HEAD_BYTES);
        self.take(ENTRY_HEAD_BYTES, &mut head)?;
        let key_length = usize::from(u16::from_le_bytes([head[0], head[1]]));
        let value_length = u32::from_le_bytes([head[2], head[3], head[4], head[5]]) as usize;
        if key_length == 0 || value_length > VALUE_BYTES_MAX {
            let message =
                format!("an entry begins here with {key_length} bytes of key, {value_length} of value");
            return Err(self.corrupt(position, message));
        }
        std::mem::swap(&mut self.key, &mut self.previous_key);
        let (mut key, mut value) = (std::mem::take(&mut self.key), std::mem::take(&mut self.value));
        key.clear();
        value.clear();
        self.take(key_length, &mut key)?;
        if key <= self.previous_key {
            return Err(self.corrupt(position, "the key of the entry here is not behind the one before"));
        }
        self.take(value_length, &mut value)?;
        (self.key, self.value) = (key, value);
        Ok(())
    }
}

impl<R: Read + Send> Cursor for DumpReader<R> {
    fn next(&mut self) -> Result<Option<Entry<'_>>, EngineError> {
        if self.ended || !self.has_more()? {
            self.ended = true;
            return Ok(None);
        }
        self.read_entry()?;
        let entry = Entry { key: &self.key, value: &self.value };
        self.sum.add(entry);
        Ok(Some(entry))
    }

    fn seek(&mut self, _: &[u8]) -> Result<(), EngineError> {
        Err(EngineError::unsupported("seek in a dump"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::forged;
    use super::*;

    #[test]
    fn memory_grows_with_the_bytes_that_are_there_and_not_with_what_they_claim() {
        let claim = [&b"\x01\x00"[..], &(VALUE_BYTES_MAX as u32).to_le_bytes(), b"k", &[7; 1000]].concat();
        let bytes = [&HEAD[..], &forged(ENTRIES, HEAD.len(), &claim)].concat();
        let mut reader = DumpReader::new(&bytes[..], "dump").unwrap();
        let mut value = Vec::new();
        reader.read_block().unwrap();
        assert!(reader.take(VALUE_BYTES_MAX, &mut value).is_err());
        assert_eq!(value.len(), claim.len());
        assert!(value.capacity() <= 2 * PAYLOAD_BYTES_MAX, "{}", value.capacity());
    }
}
