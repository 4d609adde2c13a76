//! Looks for the blocks of a table in its file, where the index that should say where they are is damaged.
//!
//! ```text
//! │ block 0 │ block 1 │ damaged … │ block 4 │ …        a block ends behind something that may be its trailer; its checksum, of
//! ▲         ▲         ▲           ▲                    its table and its place too, says whether it began here
//! ```
//!
//! Promises: what is found is a whole block of this table; a damaged one costs itself, and the next one if where it ends is
//! damaged too. Memory is a few blocks of the longest kind. Called by `salvage`.

use adapter_api::environment::{File, read_exact_at};

use super::Position;
use super::block::{self, Block, TRAILER_BYTES};
use super::index::FoundBlock;

/// No block is longer, trailer included: one that does not become shorter is stored as it is.
const LONGEST: usize = page::PAGE_BYTES_MAX + TRAILER_BYTES;
/// So much is read at once.
const READ_BYTES: usize = 4 * LONGEST;
/// And so much where that cannot be read as a whole.
const SECTOR_BYTES: usize = 4096;

/// Every whole block in front of a place, in order.
pub(super) fn blocks(file: &dyn File, table: u64, end: u64) -> Vec<FoundBlock> {
    let mut window = Window { file, end, bytes: Vec::new(), offset: 0 };
    let (mut found, mut start) = (Vec::new(), 0);
    while start < end {
        let bytes = window.from(start);
        match first_block(bytes, Position { table, offset: start }) {
            Some((block, length)) => {
                let (page, place) = (block.page(), start..start + length as u64);
                found.push(FoundBlock {
                    id: page.id(),
                    place,
                    lower: page.lower().into(),
                    upper: page.upper().map(Into::into),
                    entries: page.count() as u64,
                });
                start += length as u64;
            }
            None => start += next_start(bytes) as u64,
        }
    }
    found
}

/// The block that begins here, and how long it is.
fn first_block(bytes: &[u8], position: Position) -> Option<(Block, usize)> {
    let whole = |end: usize| block::decode_any(&bytes[..end], position).ok().map(|block| (block, end));
    ends(bytes).find_map(whole)
}

/// Where the next block may begin.
fn next_start(bytes: &[u8]) -> usize {
    ends(bytes).next().unwrap_or(bytes.len())
}

/// Where a block may end.
fn ends(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let trailers = bytes.windows(TRAILER_BYTES).enumerate();
    trailers.filter_map(|(at, trailer)| {
        block::may_be_trailer(trailer.first_chunk()?).then_some(at + TRAILER_BYTES)
    })
}

/// What comes next of a file.
struct Window<'a> {
    file: &'a dyn File,
    end: u64,
    bytes: Vec<u8>,
    offset: u64,
}

impl Window<'_> {
    /// As many bytes from here on as a block can have, or all in front of the end.
    fn from(&mut self, start: u64) -> &[u8] {
        let wanted = (self.end - start).min(LONGEST as u64) as usize;
        if start < self.offset || start + wanted as u64 > self.offset + self.bytes.len() as u64 {
            self.bytes.resize((self.end - start).min(READ_BYTES as u64) as usize, 0);
            self.offset = start;
            self.read();
        }
        &self.bytes[(start - self.offset) as usize..][..wanted]
    }

    /// Reads what can be read; zeros stand for the rest.
    fn read(&mut self) {
        if read_exact_at(self.file, &mut self.bytes, self.offset).is_ok() {
            return;
        }
        for (sector, offset) in self.bytes.chunks_mut(SECTOR_BYTES).zip((self.offset..).step_by(SECTOR_BYTES))
        {
            if read_exact_at(self.file, sector, offset).is_err() {
                sector.fill(0);
            }
        }
    }
}
