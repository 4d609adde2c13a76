//! The last bytes of a table: where its parts lie.
//!
//! Promises: what `decode` accepts is a footer that was written for this table at this place, with parts in order. Called
//! by the builder and the reader.

use std::ops::Range;

use adapter_api::EngineError;

use super::Position;

/// The length of a footer.
pub(super) const FOOTER_BYTES: usize = 64;

const MAGIC: [u8; 8] = *b"EBTABLE1";
const FORMAT: u32 = 1;

/// Where the parts of a table begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) filter: u64,
    pub(super) index: u64,
    pub(super) properties: u64,
    /// The length of the file.
    pub(super) bytes: u64,
}

impl Footer {
    /// Where the footer itself begins.
    pub(super) fn offset(&self) -> u64 {
        self.bytes.saturating_sub(FOOTER_BYTES as u64)
    }

    /// Where filter, index and properties lie.
    pub(super) fn parts(&self) -> [Range<u64>; 3] {
        [self.filter..self.index, self.index..self.properties, self.properties..self.offset()]
    }

    pub(super) fn encode(&self, table: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for number in [table, self.bytes, self.filter, self.index, self.properties] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&[0; 4]);
        Position { table, offset: self.offset() }.seal(&mut out);
        out
    }

    /// Reads the footer of a table from the end of a file of `bytes` bytes.
    pub(super) fn decode(footer: &[u8], table: u64, bytes: u64) -> Result<Self, EngineError> {
        let position = Position { table, offset: bytes.saturating_sub(FOOTER_BYTES as u64) };
        let number = |at: usize| footer[at..].first_chunk().map_or(0, |it| u64::from_le_bytes(*it));
        if footer.len() != FOOTER_BYTES || footer[..8] != MAGIC {
            return Err(position.corrupt("this is no footer of a table"));
        }
        position.open(footer, "the footer")?;
        let format = number(8) as u32;
        if format != FORMAT {
            return Err(
                position.corrupt(format!("the table has format {format}, and this engine knows {FORMAT}"))
            );
        }
        let read = Self { bytes: number(24), filter: number(32), index: number(40), properties: number(48) };
        let is_so = read.encode(table) == footer
            && read.bytes == bytes
            && read.filter <= read.index
            && read.index <= read.properties
            && read.properties <= read.offset();
        if is_so { Ok(read) } else { Err(position.corrupt("the footer is that of another table")) }
    }
}
