//! The records of the log on their way back into the tree, many at once and in the order of keys.
//!
//! Nobody reads while the log is done again, so states that never were may be published on the way. Promises: what is
//! there in the end is what the records in their own order would have left. Called by `recovery` and `salvage`.

use adapter_api::{Batch, EngineError, Result};
use page::UNNAMED;
use wal::Lsn;

use crate::data_file::corrupt;
use crate::edit::Edit;
use crate::key_order::{WAITING_BYTES, in_key_order};
use crate::map::Place;
use crate::pending::Pending;
use crate::record::{Items, Record};
use crate::tree::Tree;

/// How many bytes of records are gathered before they are done, at most.
const REDO_BYTES: u64 = 64 << 20;
/// How many bytes of pages are changed before they become visible, at most. As they were, they are freed then, and
/// their memory is used again while the processor's caches still have it.
const CHANGED_BYTES: u64 = 4 << 20;
/// Neither takes more than this part of the budget: as they were, pages may be evicted then.
const REDO_PART: u64 = 16;

/// Does records again.
pub(crate) struct Redo<'a> {
    tree: &'a Tree,
    /// That of the checkpoint.
    version: u64,
    /// Whether the checkpoint is not the newest one: blocks that the log names may have been used again.
    is_doubtful: bool,
    /// Batches that wait to be done, one behind the other.
    gathered: Vec<u8>,
    /// How many mutations they have.
    mutations: u64,
    /// Bytes of all records and of what was written ahead of them.
    bytes: u64,
    pending: Pending,
}

impl<'a> Redo<'a> {
    /// Nothing yet; `version` is that of the checkpoint, which may not be the newest one if `is_doubtful`.
    pub(crate) fn new(tree: &'a Tree, version: u64, is_doubtful: bool) -> Self {
        let (gathered, mutations, pending) = (Vec::new(), 0, Pending::default());
        Self { tree, version, is_doubtful, gathered, mutations, bytes: 0, pending }
    }

    /// Does a record again, or gathers it.
    ///
    /// # Errors
    /// `Corrupt`, naming the record or the place, if it is not one that was written here; those of `apply`.
    pub(crate) fn take(&mut self, lsn: Lsn, record: &[u8]) -> Result<()> {
        self.bytes += record.len() as u64;
        match Record::parse(record).map_err(|error| malformed(lsn, &error))? {
            // It is in memory already.
            Record::Batch(batch) if record.len() as u64 > self.at_most(REDO_BYTES) => {
                self.redo_gathered()?;
                self.redo(batch)
            }
            Record::Batch(batch) => self.gather(batch),
            Record::Ahead { version, .. } if version > self.version => {
                let message = "it goes on from a checkpoint that is not there; restore a backup";
                Err(wrong(lsn, message.to_string()))
            }
            Record::Ahead { items, .. } => {
                self.take_blocks(lsn, items)?;
                self.redo_gathered()?;
                let mut edit = self.tree.edit();
                edit.take_ahead(items)?;
                self.publish(edit);
                Ok(())
            }
        }
    }

    fn gather(&mut self, batch: Batch<'_>) -> Result<()> {
        self.gathered.extend_from_slice(batch.as_bytes());
        self.mutations += batch.len() as u64;
        let bytes = self.gathered.len() as u64 + self.mutations * WAITING_BYTES;
        if bytes >= self.at_most(REDO_BYTES) { self.redo_gathered() } else { Ok(()) }
    }

    fn redo_gathered(&mut self) -> Result<()> {
        let mut gathered = std::mem::take(&mut self.gathered);
        self.redo(Batch::parse(&gathered)?)?;
        gathered.clear();
        self.gathered = gathered;
        self.mutations = 0;
        Ok(())
    }

    /// Does mutations again. What changes is published whenever it is enough, and in the end.
    fn redo(&mut self, batch: Batch<'_>) -> Result<()> {
        let (tree, mut edit) = (self.tree, None);
        let pages_max = self.at_most(CHANGED_BYTES).div_ceil(tree.page_bytes as u64);
        in_key_order(batch, |mutation| {
            let current: &mut Edit<'a> = edit.get_or_insert_with(|| tree.edit());
            current.apply_one(mutation)?;
            if current.changed_pages() >= pages_max {
                edit.take().into_iter().for_each(|edit| self.publish(edit));
            }
            Ok(())
        })?;
        edit.into_iter().for_each(|edit| self.publish(edit));
        Ok(())
    }

    fn publish(&mut self, edit: Edit<'a>) {
        self.pending.add(edit.publish(), &self.tree.frames.places);
    }

    fn at_most(&self, bytes: u64) -> u64 {
        bytes.min(self.tree.frames.bounds.cache_bytes / REDO_PART)
    }

    /// The blocks that a record names hold what it says, and are not free.
    fn take_blocks(&mut self, lsn: Lsn, items: Items<'_>) -> Result<()> {
        for item in items {
            let item = item.map_err(|error| malformed(lsn, &error))?;
            item.place().map_or(Ok(()), |place| self.take_place(place))?;
        }
        Ok(())
    }

    fn take_place(&mut self, place: Place) -> Result<()> {
        self.bytes += place.extent.bytes();
        let places = &self.tree.frames.places;
        let Some(file) = places.file().filter(|file| file.has(place)) else {
            return Err(corrupt(
                place.extent.offset(),
                "a record of the log names a page here, and the file ends before",
            ));
        };
        if !places.space().take_at(place.extent) {
            return Err(corrupt(
                place.extent.offset(),
                "a record of the log and the map both have a page here",
            ));
        }
        if self.is_doubtful { file.read_page(UNNAMED, place).map(drop) } else { Ok(()) }
    }

    /// Shows everything that was done. Returns what the next checkpoint has to take in, and the bytes of the records.
    pub(crate) fn finish(mut self) -> Result<(Pending, u64)> {
        self.redo_gathered()?;
        Ok((self.pending, self.bytes))
    }
}

fn malformed(lsn: Lsn, error: &EngineError) -> EngineError {
    wrong(lsn, format!("{error}; the log itself is whole, so the record was written like this"))
}

/// The error for a record that says something wrong.
fn wrong(lsn: Lsn, message: String) -> EngineError {
    EngineError::corrupt(format!("log record {lsn}"), 0, message)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use adapter_api::{BatchBuilder, Buffer, KeyRange};

    use super::*;
    use crate::check::census;
    use crate::frames::Bounds;
    use crate::record::RecordBuilder;
    use crate::tests::Dice;
    use crate::tree::Size;

    fn empty() -> Tree {
        // A sixteenth of the budget is gathered and published at once: five pages.
        let bounds = Bounds { cache_bytes: 16 * 5 * 4096, retained_bytes: 0 };
        Tree::new(0, Arc::default(), Size::default(), 4096, bounds)
    }

    /// Alike in the first eight bytes, or shorter than those, so that whole keys are compared.
    fn some_key(dice: &mut Dice) -> Vec<u8> {
        let mut key = b"key:0000".to_vec();
        key.truncate(1 + dice.roll(8) as usize);
        key.extend((0..dice.roll(3)).map(|_| dice.roll(3) as u8));
        key
    }

    /// A batch, and what it leaves.
    fn some_batch(dice: &mut Dice, model: &mut BTreeMap<Vec<u8>, Vec<u8>>) -> BatchBuilder {
        let mut batch = BatchBuilder::new();
        for step in 0..1 + dice.roll(300) {
            let key = some_key(dice);
            match dice.roll(40) {
                0 => {
                    let end = [&key[..], &[1]].concat();
                    batch.delete_range(KeyRange::new(&key, &end)).unwrap();
                    model.retain(|it, _| *it < key || *it >= end);
                }
                1..10 => {
                    batch.delete(&key).unwrap();
                    model.remove(&key);
                }
                _ => {
                    let value = vec![step as u8; dice.roll(1_500) as usize];
                    batch.put(&key, &value).unwrap();
                    model.insert(key, value);
                }
            }
        }
        batch
    }

    fn check(tree: &Tree, model: &BTreeMap<Vec<u8>, Vec<u8>>, at: &str) {
        let bytes = model.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
        assert_eq!(tree.size(), Size { entries: model.len() as u64, bytes }, "{at}");
        assert_eq!(census(&tree.frames.pin()).unwrap().size, tree.size(), "{at}");
        for (key, expected) in model {
            let mut value = Buffer::new();
            assert!(tree.frames.pin().read(key, &mut value).unwrap(), "{at}");
            assert!(value[..] == expected[..], "{at}");
        }
    }

    #[test]
    fn what_is_done_in_the_order_of_keys_leaves_what_its_own_order_would() {
        let (seed, rounds) = (11, if cfg!(miri) { 2 } else { 40 });
        let (applied, redone) = (empty(), empty());
        let (mut dice, mut model) = (Dice(seed), BTreeMap::new());
        for round in 0..rounds {
            let (at, mut redo) = (format!("seed {seed}, round {round}"), Redo::new(&redone, 0, false));
            for lsn in 0..1 + dice.roll(4) {
                let batch = some_batch(&mut dice, &mut model);
                let mut edit = applied.edit();
                edit.apply(batch.as_batch()).unwrap();
                edit.publish();
                redo.take(lsn, batch.as_batch().as_bytes()).unwrap();
            }
            redo.finish().unwrap();
            check(&applied, &model, &at);
            check(&redone, &model, &at);
        }
    }

    #[test]
    fn a_malformed_record_is_corrupt_and_named() {
        let mut batch = BatchBuilder::new();
        batch.put(b"key", b"value").unwrap();
        let mut record = RecordBuilder::new(0);
        record.batch(&batch);
        for record in [batch.as_batch().as_bytes(), &record.take()] {
            let (tree, cut) = (empty(), &record[..record.len() - 1]);
            let error = Redo::new(&tree, 0, false).take(7, cut).unwrap_err();
            assert!(matches!(&error, EngineError::Corrupt { file, .. } if file == "log record 7"), "{error}");
        }
    }
}
