//! Which blocks of the data file are free.
//!
//! No list of free blocks is kept on disk: free is what no page and no map of the durable checkpoint takes, so nothing
//! can leak. Promises: a block is given out once. Called by the checkpointer and recovery.

use std::collections::BTreeMap;

/// The unit of the data file, in bytes.
pub(crate) const BLOCK: u64 = page::BLOCK_BYTES as u64;

/// A run of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Extent {
    pub(crate) start: u64,
    pub(crate) blocks: u64,
}

impl Extent {
    /// Where it begins in the file, in bytes.
    pub(crate) fn offset(&self) -> u64 {
        self.start * BLOCK
    }

    /// Its length in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.blocks * BLOCK
    }

    /// The block behind it.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.blocks
    }
}

/// How many blocks so many bytes take.
pub(crate) fn blocks(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK)
}

/// The free blocks of the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Space {
    free: BTreeMap<u64, u64>,
    /// All blocks from here on are free.
    end: u64,
}

impl Space {
    /// All but these are free.
    ///
    /// # Errors
    /// The first extent that overlaps another.
    pub(crate) fn besides(mut used: Vec<Extent>) -> Result<Self, Extent> {
        used.sort_unstable();
        let mut space = Self::default();
        for extent in used {
            if extent.start < space.end {
                return Err(extent);
            }
            if extent.start > space.end {
                space.free.insert(space.end, extent.start - space.end);
            }
            space.end = extent.end();
        }
        Ok(space)
    }

    /// Takes so many blocks: the first that fit, else behind all others.
    pub(crate) fn take(&mut self, blocks: u64) -> Extent {
        let found = self.free.iter().find(|(_, free)| **free >= blocks).map(|(start, free)| (*start, *free));
        let Some((start, free)) = found else {
            let start = self.end;
            self.end += blocks;
            return Extent { start, blocks };
        };
        self.free.remove(&start);
        if free > blocks {
            self.free.insert(start + blocks, free - blocks);
        }
        Extent { start, blocks }
    }

    /// Takes these blocks; answers whether all of them were free.
    pub(crate) fn take_at(&mut self, extent: Extent) -> bool {
        if extent.start >= self.end {
            if extent.start > self.end {
                self.free.insert(self.end, extent.start - self.end);
            }
            self.end = extent.end();
            return true;
        }
        let found = self.free.range(..=extent.start).next_back().map(|(start, blocks)| (*start, *blocks));
        let Some((start, blocks)) = found.filter(|(start, blocks)| start + blocks >= extent.end()) else {
            return false;
        };
        self.free.remove(&start);
        for (from, to) in [(start, extent.start), (extent.end(), start + blocks)] {
            if from < to {
                self.free.insert(from, to - from);
            }
        }
        true
    }

    /// Blocks are free again.
    pub(crate) fn give_back(&mut self, extent: Extent) {
        let (mut start, mut end) = (extent.start, extent.end());
        if let Some((before, blocks)) =
            self.free.range(..start).next_back().map(|(at, blocks)| (*at, *blocks))
            && before + blocks == start
        {
            self.free.remove(&before);
            start = before;
        }
        if let Some(blocks) = self.free.remove(&end) {
            end += blocks;
        }
        match end == self.end {
            true => self.end = start,
            false => drop(self.free.insert(start, end - start)),
        }
    }

    /// The block behind the last one that is taken.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// How many blocks are free in front of that.
    pub(crate) fn free_blocks(&self) -> u64 {
        self.free.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_given_out_once_and_all_come_back() {
        let mut space = Space::besides(vec![Extent { start: 0, blocks: 2 }]).unwrap();
        let (mut held, mut dice) = (Vec::<Extent>::new(), crate::tests::Dice(7));
        for _ in 0..if cfg!(miri) { 100 } else { 5_000 } {
            if dice.roll(2) == 0 {
                held.push(space.take(1 + dice.roll(5)));
            } else if dice.roll(4) == 0 {
                let at = Extent { start: dice.roll(space.end() + 9), blocks: 1 + dice.roll(5) };
                let is_free =
                    at.start >= 2 && held.iter().all(|held| held.end() <= at.start || at.end() <= held.start);
                assert_eq!(space.take_at(at), is_free, "{at:?}");
                held.extend(is_free.then_some(at));
            } else if !held.is_empty() {
                space.give_back(held.swap_remove(dice.roll(held.len() as u64) as usize));
            }
            let used = [&held[..], &[Extent { start: 0, blocks: 2 }]].concat();
            let derived = Space::besides(used).unwrap();
            assert_eq!((&derived.free, derived.end), (&space.free, space.end));
        }
    }

    #[test]
    fn extents_that_overlap_are_refused() {
        let overlapping = vec![Extent { start: 4, blocks: 2 }, Extent { start: 5, blocks: 1 }];
        assert_eq!(Space::besides(overlapping).unwrap_err(), Extent { start: 5, blocks: 1 });
    }
}
