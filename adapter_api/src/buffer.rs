//! The memory that reads fill: one buffer for one value, `Values` for several.
//!
//! Promises: both keep their memory between calls, so a reader that reuses them allocates nothing; both
//! may grow on either side of the border. Called by engines (to append) and by the host (to read).

use std::fmt;
use std::io;
use std::ops::Deref;

use abi_stable::StableAbi;
use abi_stable::std_types::RVec;

use crate::Result;

/// A growable run of bytes that both sides of the border can append to.
#[repr(transparent)]
#[derive(Default, Clone, PartialEq, Eq, StableAbi)]
pub struct Buffer {
    bytes: RVec<u8>,
}

impl Buffer {
    /// An empty buffer without memory of its own.
    pub const fn new() -> Self {
        Self { bytes: RVec::new() }
    }

    /// An empty buffer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: RVec::with_capacity(capacity) }
    }

    /// The bytes appended so far. `Buffer` also dereferences to them.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.as_slice()
    }

    /// The bytes appended so far, to be changed in place.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.bytes.as_mut_slice()
    }

    /// Appends `bytes`.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_copy_slice(bytes);
    }

    /// Makes room for at least `additional` more bytes.
    pub fn reserve(&mut self, additional: usize) {
        self.bytes.reserve(additional);
    }

    /// Forgets all bytes behind the first `len`.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// Forgets all bytes and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// How many bytes fit before the buffer must grow.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer(b\"{}\")", self.escape_ascii())
    }
}

impl From<&[u8]> for Buffer {
    fn from(bytes: &[u8]) -> Self {
        let mut buffer = Self::with_capacity(bytes.len());
        buffer.extend_from_slice(bytes);
        buffer
    }
}

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Marks, in an end position, a value that is absent.
const ABSENT: u64 = 1 << 63;

/// A list of values, each present or absent, in one run of memory.
#[repr(C)]
#[derive(Default, Clone, PartialEq, Eq, StableAbi)]
pub struct Values {
    bytes: Buffer,
    /// Where each value ends in `bytes`; `ABSENT` is set for a value that is not there.
    ends: RVec<u64>,
}

impl Values {
    /// An empty list.
    pub const fn new() -> Self {
        Self { bytes: Buffer::new(), ends: RVec::new() }
    }

    /// An empty list with room for so many values of so many bytes together.
    pub fn with_capacity(values: usize, bytes: usize) -> Self {
        Self { bytes: Buffer::with_capacity(bytes), ends: RVec::with_capacity(values) }
    }

    /// Appends a value.
    pub fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len() as u64);
    }

    /// Appends a value that is not there.
    pub fn push_absent(&mut self) {
        self.ends.push(self.bytes.len() as u64 | ABSENT);
    }

    /// Appends what `read` appends to the buffer: a value if it answers `true`, an absent one if `false`.
    pub fn push_with(&mut self, read: impl FnOnce(&mut Buffer) -> Result<bool>) -> Result<()> {
        let start = self.bytes.len();
        let outcome = read(&mut self.bytes);
        if !matches!(outcome, Ok(true)) {
            self.bytes.truncate(start);
        }
        match outcome? {
            true => self.ends.push(self.bytes.len() as u64),
            false => self.push_absent(),
        }
        Ok(())
    }

    /// How many values the list has, absent ones included.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether the list has no value, not even an absent one.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many bytes the values have together.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The value at `index`, or `None` if it is absent or the list is shorter.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        if end & ABSENT != 0 {
            return None;
        }
        let start = if index == 0 { 0 } else { self.ends[index - 1] & !ABSENT };
        self.bytes.get(start as usize..end as usize)
    }

    /// The values in order, absent ones as `None`.
    pub fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let value = start..(end & !ABSENT) as usize;
            start = value.end;
            if end & ABSENT == 0 { self.bytes.get(value) } else { None }
        })
    }

    /// Forgets all values behind the first `len`.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len() {
            self.ends.truncate(len);
            self.bytes.truncate(self.ends.last().map_or(0, |end| (end & !ABSENT) as usize));
        }
    }

    /// Forgets all values and keeps the memory.
    pub fn clear(&mut self) {
        self.truncate(0);
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: Option<&[u8]>| value.map(|bytes| bytes.escape_ascii().to_string());
        f.debug_list().entries(self.iter().map(text)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EngineError;

    #[test]
    fn values_keep_absent_and_empty_apart() {
        let mut values = Values::new();
        values.push(b"one");
        values.push_absent();
        values.push(b"");
        values.push(b"four");
        let all: Vec<_> = values.iter().collect();
        assert_eq!(all, [Some(&b"one"[..]), None, Some(&b""[..]), Some(&b"four"[..])]);
        values.truncate(2);
        assert_eq!((values.len(), values.bytes()), (2, 3));
    }

    #[test]
    fn a_read_that_fails_leaves_the_values_as_they_were() {
        let mut values = Values::new();
        values.push(b"kept");
        let outcome = values.push_with(|buffer| {
            buffer.extend_from_slice(b"half");
            Err(EngineError::failed("disk"))
        });
        assert!(outcome.is_err());
        assert_eq!((values.len(), values.bytes()), (1, 4));
    }
}
