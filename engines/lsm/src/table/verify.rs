//! Looks at every byte of a table, as it lies in the file.
//!
//! Promises: every piece of damage is reported with its position, and what is whole is looked at in spite of it; nothing
//! goes into the cache. Called by `verify` of the engine.

use std::ops::Range;

use adapter_api::{Direction, EngineError, Result};

use super::ahead::Ahead;
use super::properties::Tally;
use super::reader::Parts;
use super::{Block, Position, Table, hash_of};

impl Table {
    /// Reads the whole file again and reports what is not as it was written.
    ///
    /// # Errors
    /// `Failed` if a read fails; damage is reported instead.
    pub(crate) fn verify(&self, report: &mut dyn FnMut(EngineError)) -> Result<()> {
        match Parts::read(self.file(), self.info.id) {
            Ok(parts) if parts.info == self.info => {}
            Ok(_) => report(self.at(0).corrupt("the table is not the one that the manifest names")),
            Err(error) => damage(error, report)?,
        }
        let (mut tally, mut is_whole) = (Tally::default(), true);
        let all: Range<usize> = 0..self.index.count();
        let mut ahead = Ahead::new(true);
        for number in all.clone() {
            match ahead.load(self, number, &all, Direction::Forward) {
                Ok(block) => self.look_at(number, &block, &mut tally, report),
                Err(error) => {
                    is_whole = false;
                    damage(error, report)?;
                }
            }
        }
        if is_whole && !tally.is_that_of(&self.info) {
            report(self.at(0).corrupt("the entries do not add up to what the table says of itself"));
        }
        for span in self.ranges().spans() {
            let ends_outside = match (&self.info.upper, &span.end) {
                (Some(upper), Some(end)) => end > upper,
                (upper, _) => upper.is_some(),
            };
            if span.start < self.info.lower || ends_outside {
                report(self.at(0).corrupt("a deleted range lies outside the bounds of the table"));
            }
        }
        Ok(())
    }

    /// Adds the entries of a block, and looks whether filter and bounds know of them.
    fn look_at(&self, number: usize, block: &Block, tally: &mut Tally, report: &mut dyn FnMut(EngineError)) {
        let page = block.page();
        let mut key = Vec::new();
        let (mut unknown, mut outside) = (false, false);
        for index in 0..page.count() {
            page.key_into(index, &mut key);
            tally.add(&key, block.item(index));
            unknown |= !self.filter().may_have(hash_of(&key));
            outside |= !self.info.range().contains(&key);
        }
        let position = self.at(self.index.place(number).start);
        if unknown {
            report(position.corrupt("the filter does not know a key of this block"));
        }
        if outside {
            report(position.corrupt("a key of this block lies outside the bounds of the table"));
        }
    }

    fn at(&self, offset: u64) -> Position {
        Position { table: self.info.id, offset }
    }
}

/// Reports damage; any other error ends the search for it.
fn damage(error: EngineError, report: &mut dyn FnMut(EngineError)) -> Result<()> {
    match error {
        EngineError::Corrupt { .. } => {
            report(error);
            Ok(())
        }
        _ => Err(error),
    }
}
