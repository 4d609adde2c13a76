//! The records of the log: a batch, to be done again at open, or a note of how far the manifest has come.
//!
//! ```text
//! offset  size  field      integers little-endian
//!      0     1  kind       1 batch · 2 note
//!      1     …  batch      as `adapter_api::batch` draws it, but that each value is an item (`item`) and a deleted key
//!                          is a put of a tombstone
//!            8  note       the manifest has given out all numbers of files below this one
//! ```
//!
//! So what is logged is what the memtable takes, at once and when it is done again. Promises: what `parse` accepts is
//! what `Recorder` wrote, every item whole. Called by the store (to write) and recovery (to read).

use adapter_api::{Batch, BatchBuilder, EngineError, Mutation, Result};

use crate::item::{BlobRef, Item};

/// The kind of a record that holds a batch.
pub(crate) const BATCH: u8 = 1;
const NOTE: u8 = 2;

/// What a record says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// A batch of items, and the values in blob files that it refers to.
    Batch(Batch<'a>, Vec<BlobRef>),
    /// The manifest has given out all numbers of files below this one.
    Note(u64),
}

/// A note.
pub(crate) fn encode_note(next_id: u64) -> [u8; 9] {
    let mut record = [NOTE; 9];
    record[1..].copy_from_slice(&next_id.to_le_bytes());
    record
}

/// Makes batches of items, in memory that is used again.
#[derive(Default)]
pub(crate) struct Recorder {
    batch: BatchBuilder,
    item: Vec<u8>,
    blobs: Vec<BlobRef>,
    deletes_ranges: bool,
}

impl Recorder {
    /// Begins again.
    pub(crate) fn clear(&mut self) {
        self.batch.clear();
        self.blobs.clear();
        self.deletes_ranges = false;
    }

    /// Adds a mutation of a batch as it is.
    pub(crate) fn add(&mut self, mutation: Mutation<'_>) -> Result<()> {
        match mutation {
            Mutation::Put { key, value } => self.add_item(key, Item::Value(value)),
            Mutation::Delete { key } => self.add_item(key, Item::Tombstone),
            Mutation::DeleteRange(range) => {
                self.deletes_ranges = true;
                self.batch.delete_range(range)
            }
        }
    }

    /// Adds the put of a value that lies in a blob file.
    pub(crate) fn add_blob(&mut self, key: &[u8], blob: BlobRef) -> Result<()> {
        self.blobs.push(blob);
        self.add_item(key, Item::Blob(blob))
    }

    fn add_item(&mut self, key: &[u8], item: Item<'_>) -> Result<()> {
        self.item.clear();
        item.encode(&mut self.item);
        self.batch.put(key, &self.item)
    }

    pub(crate) fn batch(&self) -> Batch<'_> {
        self.batch.as_batch()
    }

    /// Whether the batch deletes a range.
    pub(crate) fn deletes_ranges(&self) -> bool {
        self.deletes_ranges
    }

    /// The values in blob files that the batch refers to.
    pub(crate) fn blobs(&self) -> &[BlobRef] {
        &self.blobs
    }

    /// Gives memory back, if it is more than so many bytes.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if self.batch.bytes() > bytes {
            *self = Self::default();
        }
    }
}

/// Reads a record.
///
/// # Errors
/// `Rejected` if it is none.
pub(crate) fn parse(record: &[u8]) -> Result<Record<'_>> {
    match record.split_first() {
        Some((&BATCH, batch)) => {
            let batch = Batch::parse(batch)?;
            Ok(Record::Batch(batch, blobs_of(batch)?))
        }
        Some((&NOTE, note)) if note.len() == 8 => {
            Ok(Record::Note(note.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))))
        }
        _ => Err(EngineError::rejected("the record is of no known kind")),
    }
}

/// The values in blob files that a batch of items refers to.
fn blobs_of(batch: Batch<'_>) -> Result<Vec<BlobRef>> {
    let mut blobs = Vec::new();
    for mutation in batch {
        match mutation {
            Mutation::DeleteRange(_) => {}
            Mutation::Put { value, .. } => match Item::decode(value) {
                Some(Item::Blob(blob)) => blobs.push(blob),
                Some(_) => {}
                None => return Err(EngineError::rejected("a value of the record is no item")),
            },
            Mutation::Delete { .. } => {
                return Err(EngineError::rejected("a key of the record is deleted without a tombstone"));
            }
        }
    }
    Ok(blobs)
}

#[cfg(test)]
mod tests {
    use adapter_api::KeyRange;

    use super::*;

    #[test]
    fn a_record_is_the_batch_with_items_for_values() {
        let mut batch = BatchBuilder::new();
        batch.put(b"k", b"v").unwrap();
        batch.delete(b"gone").unwrap();
        batch.delete_range(KeyRange::new(b"a", b"b")).unwrap();
        let mut recorder = Recorder::default();
        batch.as_batch().iter().for_each(|mutation| recorder.add(mutation).unwrap());
        let blob = BlobRef { file: 7, offset: 0, bytes: 1, checksum: 2 };
        recorder.add_blob(b"long", blob).unwrap();
        let record = [&[BATCH], recorder.batch().as_bytes()].concat();
        assert_eq!(parse(&record).unwrap(), Record::Batch(recorder.batch(), vec![blob]));
        assert!(matches!(recorder.batch().iter().next(), Some(Mutation::Put { value: b"\0v", .. })));
        assert_eq!(parse(&encode_note(1 << 40 | 3)).unwrap(), Record::Note(1 << 40 | 3));
        for wrong in [&b""[..], b"\x02", b"\x03", &record[..record.len() - 1]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(
            parse(&[&[BATCH], batch.as_batch().as_bytes()].concat()).is_err(),
            "deletes are puts of tombstones"
        );
    }
}
