//! Moves values out of blob files of which little is live, into new ones.
//!
//! Promises: a value is copied in parts, and compared with its checksum on the way. Called by compactions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use adapter_api::Result;
use adapter_api::environment::Cause;

use super::Workshop;
use crate::blob::{BlobFile, BlobWriter, Parts};
use crate::files::blob_name;
use crate::item::BlobRef;

/// A new file is begun when one has so many bytes.
const FILE_BYTES: u64 = 256 << 20;

/// Values on their way.
pub(super) struct Collector {
    /// The files that they come from.
    from: BTreeMap<u64, Arc<BlobFile>>,
    to: Option<BlobWriter>,
    /// The value that is being copied.
    parts: Option<Parts<Arc<BlobFile>>>,
    /// Of the files that are finished.
    bytes: u64,
}

impl Collector {
    /// Opens the files that values come from.
    ///
    /// # Errors
    /// Those of opening a blob file.
    pub(super) fn open(workshop: &Workshop, files: impl IntoIterator<Item = u64>) -> Result<Self> {
        let files: BTreeSet<_> = files.into_iter().collect();
        let open = |number| Ok((number, BlobFile::open(&*workshop.directory, number, &workshop.graveyard)?));
        let from = files.into_iter().map(open).collect::<Result<_>>()?;
        Ok(Self { from, to: None, parts: None, bytes: 0 })
    }

    /// Whether the value moves.
    pub(super) fn collects(&self, at: BlobRef) -> bool {
        self.from.contains_key(&at.file)
    }

    /// Begins to move the value of a key; answers where it will be when `copy` has come to its end.
    ///
    /// # Errors
    /// `Corrupt` if it cannot be there; those of writing a blob file.
    pub(super) fn begin(
        &mut self,
        workshop: &Workshop,
        key: &[u8],
        at: BlobRef,
        files: &mut Vec<String>,
    ) -> Result<BlobRef> {
        let Some(from) = self.from.get(&at.file) else { return Ok(at) };
        self.parts = Some(Parts::new(Arc::clone(from), at, key)?);
        if self.to.as_ref().is_some_and(|to| to.bytes() >= FILE_BYTES) {
            self.finish()?;
        }
        let to = match &mut self.to {
            Some(to) => to,
            empty => {
                let number = workshop.next_id();
                files.push(blob_name(number));
                empty.insert(BlobWriter::create(&*workshop.directory, number, Cause::Blob)?)
            }
        };
        Ok(to.begin(key, at.bytes, at.checksum))
    }

    /// Copies a part of the value that was begun; answers its length, or that there is none to copy.
    ///
    /// # Errors
    /// `Corrupt` if the value is damaged; those of reading and writing blob files.
    pub(super) fn copy(&mut self) -> Result<Option<usize>> {
        let (Some(parts), Some(to)) = (&mut self.parts, &mut self.to) else { return Ok(None) };
        match parts.next()? {
            Some(part) => {
                to.push(part)?;
                Ok(Some(part.len()))
            }
            None => {
                self.parts = None;
                Ok(None)
            }
        }
    }

    /// Makes durable what was moved.
    ///
    /// # Errors
    /// Those of writing a blob file.
    pub(super) fn finish(&mut self) -> Result<()> {
        if let Some(to) = self.to.take() {
            self.bytes += to.finish()?;
        }
        Ok(())
    }

    /// How many bytes were written.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes + self.to.as_ref().map_or(0, BlobWriter::bytes)
    }
}
