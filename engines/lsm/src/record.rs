//! The records of the log: a batch each, to be done again at open.
//!
//! ```text
//! offset  size  field      integers little-endian
//!      0     1  kind       1 batch
//!      1     …  batch      as `adapter_api::batch` draws it, but that each value is an item (`item`) and a deleted key
//!                          is a put of a tombstone
//! ```
//!
//! So what is logged is what the memtable takes, at once and when it is done again. Promises: what `parse` accepts is
//! what `Recorder` wrote, every item whole. Called by the store (to write) and recovery (to read).

use adapter_api::{Batch, BatchBuilder, EngineError, Mutation, Result};

use crate::item::{BlobRef, Item};

/// A record that holds one batch.
pub(crate) const KIND: [u8; 1] = [1];

/// Makes batches of items, in memory that is used again.
#[derive(Default)]
pub(crate) struct Recorder {
    batch: BatchBuilder,
    item: Vec<u8>,
    blobs: Vec<u64>,
}

impl Recorder {
    /// Begins again.
    pub(crate) fn clear(&mut self) {
        self.batch.clear();
        self.blobs.clear();
    }

    /// Adds a mutation of a batch as it is.
    pub(crate) fn add(&mut self, mutation: Mutation<'_>) -> Result<()> {
        match mutation {
            Mutation::Put { key, value } => self.add_item(key, Item::Value(value)),
            Mutation::Delete { key } => self.add_item(key, Item::Tombstone),
            Mutation::DeleteRange(range) => self.batch.delete_range(range),
        }
    }

    /// Adds the put of a value that lies in a blob file.
    pub(crate) fn add_blob(&mut self, key: &[u8], blob: BlobRef) -> Result<()> {
        self.blobs.push(blob.file);
        self.add_item(key, Item::Blob(blob))
    }

    fn add_item(&mut self, key: &[u8], item: Item<'_>) -> Result<()> {
        item.encode(&mut self.item);
        self.batch.put(key, &self.item)
    }

    pub(crate) fn batch(&self) -> Batch<'_> {
        self.batch.as_batch()
    }

    /// The blob files that the batch refers to.
    pub(crate) fn blobs(&self) -> &[u64] {
        &self.blobs
    }

    /// Gives memory back, if it is more than so many bytes.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        if self.batch.bytes() > bytes {
            *self = Self::default();
        }
    }
}

/// Reads a record; answers its batch and the blob files that it refers to.
///
/// # Errors
/// `Rejected` if it is none.
pub(crate) fn parse(record: &[u8]) -> Result<(Batch<'_>, Vec<u64>)> {
    let Some(batch) = record.strip_prefix(&KIND) else {
        return Err(EngineError::rejected("the record is of no known kind"));
    };
    let (batch, mut blobs) = (Batch::parse(batch)?, Vec::new());
    for mutation in batch {
        match mutation {
            Mutation::DeleteRange(_) => {}
            Mutation::Put { value, .. } => match Item::decode(value) {
                Some(Item::Blob(blob)) => blobs.push(blob.file),
                Some(_) => {}
                None => return Err(EngineError::rejected("a value of the record is no item")),
            },
            Mutation::Delete { .. } => {
                return Err(EngineError::rejected("a key of the record is deleted without a tombstone"));
            }
        }
    }
    Ok((batch, blobs))
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
        recorder.add_blob(b"long", BlobRef { file: 7, offset: 0, bytes: 1, checksum: 2 }).unwrap();
        let record = [&KIND, recorder.batch().as_bytes()].concat();
        let (parsed, blobs) = parse(&record).unwrap();
        assert_eq!((parsed, &*blobs), (recorder.batch(), &[7][..]));
        assert!(matches!(parsed.iter().next(), Some(Mutation::Put { value: b"\0v", .. })));
        for wrong in [&b""[..], b"\x02", &record[..record.len() - 1]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(
            parse(&[&KIND, batch.as_batch().as_bytes()].concat()).is_err(),
            "deletes are puts of tombstones"
        );
    }
}
