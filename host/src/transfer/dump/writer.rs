//! Writes a dump.

use std::io::{self, Write};

use adapter_api::Entry;

use super::{END, ENTRIES, FRAME_BYTES, HEAD, PAYLOAD_BYTES_MAX};
use crate::transfer::totals::{Sum, Totals, entry_head};

/// Writes entries, block by block. Without `finish` the dump is not whole, and no reader takes it.
pub struct DumpWriter<W> {
    output: W,
    /// Where the next block begins.
    position: u64,
    /// The next block: room for its frame, then its payload so far.
    block: Vec<u8>,
    sum: Sum,
}

impl<W: Write> DumpWriter<W> {
    /// Begins a dump.
    ///
    /// # Errors
    /// What the output says.
    pub fn new(mut output: W) -> io::Result<Self> {
        output.write_all(HEAD)?;
        let position = HEAD.len() as u64;
        Ok(Self { output, position, block: vec![0; FRAME_BYTES], sum: Sum::default() })
    }

    /// Adds an entry, which is behind all earlier ones in the order of keys.
    ///
    /// # Errors
    /// What the output says.
    pub fn add(&mut self, entry: Entry<'_>) -> io::Result<()> {
        self.sum.add(entry);
        self.append(&entry_head(entry))?;
        self.append(entry.key)?;
        self.append(entry.value)
    }

    /// Ends the dump. Its output has everything, but it is for the caller to make that durable.
    ///
    /// # Errors
    /// What the output says.
    pub fn finish(mut self) -> io::Result<(W, Totals)> {
        if self.block.len() > FRAME_BYTES {
            self.write_block(ENTRIES)?;
        }
        let totals = self.sum.totals();
        self.block.extend_from_slice(&totals.entries.to_le_bytes());
        self.block.extend_from_slice(&totals.bytes.to_le_bytes());
        self.block.extend_from_slice(&totals.digest);
        self.write_block(END)?;
        self.output.flush()?;
        Ok((self.output, totals))
    }

    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = FRAME_BYTES + PAYLOAD_BYTES_MAX - self.block.len();
            let (fits, rest) = bytes.split_at(room.min(bytes.len()));
            self.block.extend_from_slice(fits);
            bytes = rest;
            if self.block.len() == FRAME_BYTES + PAYLOAD_BYTES_MAX {
                self.write_block(ENTRIES)?;
            }
        }
        Ok(())
    }

    fn write_block(&mut self, kind: u32) -> io::Result<()> {
        let length = (self.block.len() - FRAME_BYTES) as u32;
        self.block[4..8].copy_from_slice(&kind.to_le_bytes());
        self.block[8..12].copy_from_slice(&length.to_le_bytes());
        self.block[12..20].copy_from_slice(&self.position.to_le_bytes());
        let checksum = crc32fast::hash(&self.block[4..]);
        self.block[..4].copy_from_slice(&checksum.to_le_bytes());
        self.output.write_all(&self.block)?;
        self.position += self.block.len() as u64;
        self.block.truncate(FRAME_BYTES);
        Ok(())
    }
}
