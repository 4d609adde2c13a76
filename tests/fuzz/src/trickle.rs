//! Bytes that arrive a few at a time, as from a pipe.

use std::io::{self, Read};

/// Hands out at most `piece` bytes at a time.
pub struct Trickle<'a> {
    bytes: &'a [u8],
    piece: usize,
}

impl<'a> Trickle<'a> {
    /// The bytes, so many at a time.
    pub fn new(bytes: &'a [u8], piece: usize) -> Self {
        Self { bytes, piece }
    }
}

impl Read for Trickle<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(self.piece);
        self.bytes.read(&mut into[..most])
    }
}
