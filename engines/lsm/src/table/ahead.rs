//! Reads the blocks of a table one behind the other, several at a time where that pays.
//!
//! Promises: reads nothing twice in a row, and takes memory for one read of at most `window_max` bytes, or one block.
//! Called by walks and by `verify`.

use std::ops::Range;
use std::sync::Arc;

use adapter_api::{Direction, Result};

use super::reader::SAMPLED;
use super::{Block, Table};

/// What comes for a walk of the table as a whole: compaction, `verify`.
const ONCE_BYTES: Range<u64> = 64 << 10..512 << 10;
/// What comes for any other walk: it may end soon, and there may be many. The first miss reads one block.
const CACHED_BYTES: Range<u64> = 0..64 << 10;
/// The second miss reads so much.
const SECOND_BYTES: u64 = 16 << 10;

/// Blocks on their way to a walk.
pub(super) struct Ahead {
    /// Whether the cache is left alone.
    is_once: bool,
    window: u64,
    /// What was read, and where it lies in the file.
    bytes: Vec<u8>,
    offset: u64,
}

impl Ahead {
    pub(super) fn new(is_once: bool) -> Self {
        let window = if is_once { ONCE_BYTES.start } else { CACHED_BYTES.start };
        Self { is_once, window, bytes: Vec::new(), offset: 0 }
    }

    /// The next block of the walk, which goes on to the blocks `left` in its direction.
    ///
    /// # Errors
    /// `Corrupt`, or `Failed` if the read fails.
    pub(super) fn load(
        &mut self,
        table: &Table,
        number: usize,
        left: &Range<usize>,
        direction: Direction,
    ) -> Result<Arc<Block>> {
        if !self.is_once
            && let Some(block) = &*table.slots.get(number)
        {
            block.page().prefetch_fences();
            if (number as u64).is_multiple_of(SAMPLED) {
                table.slots.cache().note_hits(SAMPLED);
            }
            return Ok(Arc::clone(block));
        }
        let (place, mut filled) = (table.index.place(number), Ok(()));
        if place.start < self.offset || place.end > self.offset + self.bytes.len() as u64 {
            filled = self.fill(table, number, left, direction);
        }
        let block = match filled {
            Ok(()) => {
                let start = (place.start - self.offset) as usize;
                table.open_block(number, &self.bytes[start..][..(place.end - place.start) as usize])?
            }
            Err(error) => table.instead_of(number, error)?,
        };
        Ok(if self.is_once { Arc::new(block) } else { table.slots.put(number, block) })
    }

    /// Reads the block, and as many of those that come behind it as the window has room for.
    fn fill(
        &mut self,
        table: &Table,
        number: usize,
        left: &Range<usize>,
        direction: Direction,
    ) -> Result<()> {
        let mut place = table.index.place(number);
        let ahead: &mut dyn Iterator<Item = usize> = match direction {
            Direction::Forward => &mut (number + 1..left.end),
            Direction::Reverse => &mut (left.start..number).rev(),
        };
        for next in ahead {
            let more = table.index.place(next);
            let both = place.start.min(more.start)..place.end.max(more.end);
            // A block that cannot be read must not take others with it.
            if both.end - both.start > self.window || table.leaves_out() {
                break;
            }
            place = both;
        }
        // What is here if the read fails is not what was asked for.
        self.bytes.clear();
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.resize((place.end - place.start) as usize, 0);
        table.read(&mut bytes, place.start)?;
        (self.bytes, self.offset) = (bytes, place.start);
        let bounds = if self.is_once { ONCE_BYTES } else { CACHED_BYTES };
        self.window = (2 * self.window).clamp(SECOND_BYTES, bounds.end);
        Ok(())
    }
}
