//! The bytes of an RDB file: counted, added to the checksum, and read as the few forms that all records have.

use std::io::{self, Read};

use adapter_api::EngineError;
use crc::{CRC_64_REDIS, Crc, Digest, Table};

use super::{STRING_BYTES_MAX, lzf};

static CHECKSUM: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// How many bytes are read from the file at once.
const CHUNK_BYTES: usize = 64 << 10;

/// What a length may be instead: the kind of an encoded string.
enum Length {
    Plain(u64),
    Encoded(u8),
}

pub(super) struct Input<R> {
    file: R,
    name: String,
    chunk: Vec<u8>,
    taken: usize,
    /// Where in the file the next byte is.
    position: u64,
    checksum: Digest<'static, u64, Table<16>>,
}

impl<R: Read> Input<R> {
    pub(super) fn new(file: R, name: &str) -> Self {
        let (name, chunk) = (name.to_string(), Vec::new());
        Self { file, name, chunk, taken: 0, position: 0, checksum: CHECKSUM.digest() }
    }

    pub(super) fn position(&self) -> u64 {
        self.position
    }

    pub(super) fn corrupt(&self, position: u64, message: impl Into<String>) -> EngineError {
        EngineError::corrupt(self.name.clone(), position, message)
    }

    /// The next bytes, up to `most` of them; at least one.
    fn some(&mut self, most: u64) -> Result<&[u8], EngineError> {
        if !self.has_more()? {
            return Err(self.corrupt(self.position, "it ends here, before its end: it was cut off"));
        }
        let there = self.chunk.len() - self.taken;
        let count = usize::try_from(most).map_or(there, |most| most.min(there));
        let bytes = &self.chunk[self.taken..self.taken + count];
        self.checksum.update(bytes);
        self.taken += count;
        self.position += count as u64;
        Ok(bytes)
    }

    /// Whether the file goes on.
    fn has_more(&mut self) -> Result<bool, EngineError> {
        if self.taken < self.chunk.len() {
            return Ok(true);
        }
        self.chunk.resize(CHUNK_BYTES, 0);
        self.taken = 0;
        let read = loop {
            match self.file.read(&mut self.chunk) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.chunk.truncate(*read.as_ref().unwrap_or(&0));
        read.map(|read| read > 0).map_err(|error| {
            EngineError::failed_by(format!("could not read {} at byte {}", self.name, self.position), error)
        })
    }

    pub(super) fn array<const BYTES: usize>(&mut self) -> Result<[u8; BYTES], EngineError> {
        let mut array = [0; BYTES];
        let mut filled = 0;
        while filled < BYTES {
            let some = self.some((BYTES - filled) as u64)?;
            array[filled..filled + some.len()].copy_from_slice(some);
            filled += some.len();
        }
        Ok(array)
    }

    pub(super) fn byte(&mut self) -> Result<u8, EngineError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Appends so many bytes. Memory grows with those that are there.
    fn take(&mut self, count: u64, bytes: &mut Vec<u8>) -> Result<(), EngineError> {
        let start = self.position;
        if count > STRING_BYTES_MAX {
            let message =
                format!("a string of {count} bytes begins here; the longest has {STRING_BYTES_MAX}");
            return Err(self.corrupt(start, message));
        }
        while self.position < start + count {
            let missing = start + count - self.position;
            bytes.extend_from_slice(self.some(missing)?);
        }
        Ok(())
    }

    pub(super) fn discard(&mut self, count: u64) -> Result<(), EngineError> {
        let mut missing = count;
        while missing > 0 {
            missing -= self.some(missing)?.len() as u64;
        }
        Ok(())
    }

    fn length_or_kind(&mut self) -> Result<Length, EngineError> {
        let position = self.position;
        let first = self.byte()?;
        Ok(match (first >> 6, first) {
            (0b00, short) => Length::Plain(u64::from(short)),
            (0b01, high) => Length::Plain(u64::from(high & 0x3f) << 8 | u64::from(self.byte()?)),
            (0b11, kind) => Length::Encoded(kind & 0x3f),
            (_, 0x80) => Length::Plain(u64::from(u32::from_be_bytes(self.array()?))),
            (_, 0x81) => Length::Plain(u64::from_be_bytes(self.array()?)),
            _ => {
                return Err(
                    self.corrupt(position, format!("a length begins with {first:#04x}, which none does"))
                );
            }
        })
    }

    pub(super) fn length(&mut self) -> Result<u64, EngineError> {
        let position = self.position;
        match self.length_or_kind()? {
            Length::Plain(length) => Ok(length),
            Length::Encoded(_) => {
                Err(self.corrupt(position, "a length should be here, and an encoded string is"))
            }
        }
    }

    pub(super) fn lengths(&mut self, count: usize) -> Result<(), EngineError> {
        (0..count).try_for_each(|_| self.length().map(drop))
    }

    /// Calls `read` as many times as the length here says.
    pub(super) fn each(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<(), EngineError>,
    ) -> Result<(), EngineError> {
        // Each takes at least a byte, so the file ends this, whatever the length claims.
        (0..self.length()?).try_for_each(|_| read(self))
    }

    /// Appends the string here.
    pub(super) fn string(&mut self, bytes: &mut Vec<u8>) -> Result<(), EngineError> {
        let position = self.position;
        let number = match self.length_or_kind()? {
            Length::Plain(length) => return self.take(length, bytes),
            Length::Encoded(0) => i32::from(i8::from_le_bytes(self.array()?)),
            Length::Encoded(1) => i32::from(i16::from_le_bytes(self.array()?)),
            Length::Encoded(2) => i32::from_le_bytes(self.array()?),
            Length::Encoded(3) => return self.packed_string(position, bytes),
            Length::Encoded(kind) => return Err(self.unknown_string(position, kind)),
        };
        bytes.extend_from_slice(number.to_string().as_bytes());
        Ok(())
    }

    fn packed_string(&mut self, position: u64, bytes: &mut Vec<u8>) -> Result<(), EngineError> {
        let (packed_length, length) = (self.length()?, self.length()?);
        let mut packed = Vec::new();
        self.take(packed_length, &mut packed)?;
        let unpacked = usize::try_from(length).ok().filter(|_| length <= STRING_BYTES_MAX);
        match unpacked.and_then(|length| lzf::unpack(&packed, length)) {
            Some(unpacked) => bytes.extend_from_slice(&unpacked),
            None => return Err(self.corrupt(position, "the packed string here is damaged")),
        }
        Ok(())
    }

    fn unknown_string(&self, position: u64, kind: u8) -> EngineError {
        self.corrupt(position, format!("a string is encoded as {kind}, which is not known"))
    }

    pub(super) fn skip_strings(&mut self, count: usize) -> Result<(), EngineError> {
        (0..count).try_for_each(|_| {
            let position = self.position;
            match self.length_or_kind()? {
                Length::Plain(length) => self.discard(length),
                Length::Encoded(kind @ 0..=2) => self.discard(1 << kind),
                Length::Encoded(3) => {
                    let packed_length = self.length()?;
                    self.length()?;
                    self.discard(packed_length)
                }
                Length::Encoded(kind) => Err(self.unknown_string(position, kind)),
            }
        })
    }

    /// Skips a score that is written as digits: their number, or 253 … 255 for those that are no number.
    pub(super) fn skip_score(&mut self) -> Result<(), EngineError> {
        match self.byte()? {
            253.. => Ok(()),
            digits => self.discard(u64::from(digits)),
        }
    }

    /// Skips a stream: its entries, what is known of them, its groups and their consumers.
    pub(super) fn skip_stream(&mut self, kind: u8) -> Result<(), EngineError> {
        let (since_7_0, since_7_2) = (kind >= 19, kind >= 21);
        self.each(|input| input.skip_strings(2))?;
        self.lengths(if since_7_0 { 8 } else { 3 })?;
        self.each(|input| {
            input.skip_strings(1)?;
            input.lengths(if since_7_0 { 3 } else { 2 })?;
            // What was delivered and not acknowledged: its place, when and how often.
            input.each(|input| input.discard(16 + 8).and_then(|()| input.lengths(1)))?;
            input.each(|input| {
                input.skip_strings(1)?;
                input.discard(if since_7_2 { 16 } else { 8 })?;
                input.each(|input| input.discard(16))
            })
        })
    }

    /// Compares what was read with the checksum that is next. 0 stands for none.
    pub(super) fn check_checksum(&mut self) -> Result<(), EngineError> {
        let (position, counted) = (self.position, self.checksum.clone().finalize());
        let stated = u64::from_le_bytes(self.array()?);
        match stated {
            0 => log::warn!("{} has no checksum: damage of its bytes may be loaded", self.name),
            _ if stated != counted => {
                return Err(self.corrupt(position, "its checksum does not fit: something before is damaged"));
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn check_end(&mut self) -> Result<(), EngineError> {
        match self.has_more()? {
            true => Err(self.corrupt(self.position, "there are bytes behind its end")),
            false => Ok(()),
        }
    }
}
