//! The strings in an RDB file, which Redis saves its data in.
//!
//! ```text
//! a file      "REDIS" and the version in 4 digits | records | 255 | crc64 of all before it, u64, since version 5
//! a record    [252 or 253: when it expires][248 or 249: how often it is used] type | key | value
//!             254 database · 251 two sizes · 250 name and value · 247 module · 245 function · 244 slot
//! a string    length and bytes · 11 and a kind: an integer of 8, 16 or 32 bits, or packed bytes (`lzf`)
//! a length    00 6 bits · 01 14 bits · 10000000 32 bits · 10000001 64 bits                  big-endian
//! ```
//!
//! Promises: every string that is kept for ever comes out, and every other key is counted by the reason why it does
//! not; a file that was cut off or changed is refused with the position; memory is that of one string, and grows
//! with the bytes that are there, never with what they claim.

mod input;
pub mod lzf;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::Read;

use adapter_api::{EngineError, VALUE_BYTES_MAX};

use input::Input;

/// What an RDB file begins with.
pub const HEAD: &[u8; 5] = b"REDIS";
/// The newest version that is read, that of Redis 8.0.
const VERSION_MAX: u32 = 12;
/// The first version that ends in a checksum.
const VERSION_WITH_CHECKSUM: u32 = 5;

/// A key whose value is a string and that does not expire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RdbString {
    /// The number of its database.
    pub database: u64,
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// Reads the strings of an RDB file. They count only when the end has come: `next_string` answers `None` when the whole file
/// was there, and an error otherwise.
pub struct RdbReader<R> {
    input: Input<R>,
    version: u32,
    database: u64,
    skipped: BTreeMap<&'static str, u64>,
    ended: bool,
}

impl<R: Read> RdbReader<R> {
    /// Begins with the head of a file that is called `name` in errors.
    ///
    /// # Errors
    /// `Corrupt` if there is none, or one of a version that is not known; `Failed` if it cannot be read.
    pub fn new(input: R, name: &str) -> Result<Self, EngineError> {
        let mut input = Input::new(input, name);
        let head = input.array::<9>()?;
        let digits = str::from_utf8(&head[HEAD.len()..]).ok().and_then(|digits| digits.parse().ok());
        let Some(version) = digits.filter(|_| head.starts_with(HEAD)) else {
            return Err(input.corrupt(0, "this is no RDB file"));
        };
        if !(1..=VERSION_MAX).contains(&version) {
            let message = format!("it is of version {version}; versions 1 to {VERSION_MAX} are known");
            return Err(input.corrupt(HEAD.len() as u64, message));
        }
        Ok(Self { input, version, database: 0, skipped: BTreeMap::new(), ended: false })
    }

    /// How many keys did not come out, by the reason.
    pub fn skipped(&self) -> &BTreeMap<&'static str, u64> {
        &self.skipped
    }

    /// Counts a key that does not come out.
    pub fn skip(&mut self, reason: &'static str) {
        *self.skipped.entry(reason).or_default() += 1;
    }

    /// The next string.
    ///
    /// # Errors
    /// `Corrupt` with the position where the file stops making sense; `Failed` if it cannot be read.
    pub fn next_string(&mut self) -> Result<Option<RdbString>, EngineError> {
        let mut expires = false;
        while !self.ended {
            let position = self.input.position();
            match self.input.byte()? {
                255 => self.check_end()?,
                254 => self.database = self.input.length()?,
                253 => {
                    self.input.discard(4)?;
                    expires = true;
                }
                252 => {
                    self.input.discard(8)?;
                    expires = true;
                }
                251 => self.input.lengths(2)?,
                250 => self.input.skip_strings(2)?,
                249 => self.input.discard(1)?,
                248 => self.input.lengths(1)?,
                247 => {
                    self.skip("module data");
                    // Its number, and when it was saved: a number with its kind.
                    self.input.lengths(3)?;
                    self.skip_module()?;
                }
                245 => {
                    self.skip("function");
                    self.input.skip_strings(1)?;
                }
                244 => self.input.lengths(3)?,
                0 if !expires => return self.string().map(Some),
                kind => {
                    self.input.skip_strings(1)?;
                    let name = self.skip_value(kind, position)?;
                    self.skip(if kind == 0 { "expiring string" } else { name });
                    expires = false;
                }
            }
        }
        Ok(None)
    }

    fn string(&mut self) -> Result<RdbString, EngineError> {
        let (mut key, mut value) = (Vec::new(), Vec::new());
        self.input.string(&mut key)?;
        self.input.string(&mut value)?;
        Ok(RdbString { database: self.database, key, value })
    }

    fn check_end(&mut self) -> Result<(), EngineError> {
        if self.version >= VERSION_WITH_CHECKSUM {
            self.input.check_checksum()?;
        }
        self.input.check_end()?;
        self.ended = true;
        Ok(())
    }

    /// Skips a value and answers what it is called.
    fn skip_value(&mut self, kind: u8, position: u64) -> Result<&'static str, EngineError> {
        let input = &mut self.input;
        match kind {
            0 => input.skip_strings(1).map(|()| "string"),
            1 | 14 => input.each(|input| input.skip_strings(1)).map(|()| "list"),
            10 => input.skip_strings(1).map(|()| "list"),
            18 => input.each(|input| input.length().and_then(|_| input.skip_strings(1))).map(|()| "list"),
            2 => input.each(|input| input.skip_strings(1)).map(|()| "set"),
            11 | 20 => input.skip_strings(1).map(|()| "set"),
            3 => input
                .each(|input| input.skip_strings(1).and_then(|()| input.skip_score()))
                .map(|()| "sorted set"),
            5 => input
                .each(|input| input.skip_strings(1).and_then(|()| input.discard(8)))
                .map(|()| "sorted set"),
            12 | 17 => input.skip_strings(1).map(|()| "sorted set"),
            4 => input.each(|input| input.skip_strings(2)).map(|()| "hash"),
            9 | 13 | 16 => input.skip_strings(1).map(|()| "hash"),
            24 => {
                input.discard(8)?;
                input.each(|input| input.length().and_then(|_| input.skip_strings(2))).map(|()| "hash")
            }
            25 => input.discard(8).and_then(|()| input.skip_strings(1)).map(|()| "hash"),
            15 | 19 | 21 => input.skip_stream(kind).map(|()| "stream"),
            7 => {
                input.length()?;
                self.skip_module().map(|()| "module value")
            }
            _ => {
                let message = format!("a record of type {kind} begins here, which is not known");
                Err(input.corrupt(position, message))
            }
        }
    }

    /// Skips what a module has saved: values, each with its kind, up to a mark.
    fn skip_module(&mut self) -> Result<(), EngineError> {
        let input = &mut self.input;
        loop {
            let position = input.position();
            match input.length()? {
                0 => return Ok(()),
                1 | 2 => input.lengths(1)?,
                3 => input.discard(4)?,
                4 => input.discard(8)?,
                5 => input.skip_strings(1)?,
                kind => {
                    let message = format!("a value of a module has the kind {kind}, which is not known");
                    return Err(input.corrupt(position, message));
                }
            }
        }
    }
}

/// The longest string that is read.
const STRING_BYTES_MAX: u64 = VALUE_BYTES_MAX as u64;
