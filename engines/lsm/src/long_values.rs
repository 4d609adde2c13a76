//! Long values on their way into blob files, beside the table that refers to them.
//!
//! Promises: a file is begun with the first value that is long, and another one when it is as long as a table; nothing
//! counts before `finish`. Called by a flush, by an ingest, and by a merge of memtables.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use adapter_api::Result;
use adapter_api::environment::{Cause, Directory};

use crate::blob::BlobWriter;
use crate::catalog::Catalog;
use crate::files::blob_name;
use crate::item::Item;
use crate::settings::Settings;

/// Takes the long values of a table.
pub(crate) struct LongValues {
    directory: Arc<dyn Directory>,
    /// The number of the next file.
    ids: Arc<AtomicU64>,
    /// The least length that is long, and how long a file becomes.
    value_bytes: u64,
    file_bytes: u64,
    writer: Option<BlobWriter>,
}

impl LongValues {
    pub(crate) fn new(catalog: &Catalog, settings: &Settings) -> Self {
        Self {
            directory: Arc::clone(&catalog.directory),
            ids: Arc::clone(&catalog.ids),
            value_bytes: settings.blob_value_bytes,
            file_bytes: settings.table_bytes,
            writer: None,
        }
    }

    /// What a table says of a key: the item itself, or where its value lies now. The names of files that are begun go to
    /// `names`.
    ///
    /// # Errors
    /// Those of writing a blob file.
    pub(crate) fn place<'a>(
        &mut self,
        (key, item): (&[u8], Item<'a>),
        names: &mut Vec<String>,
    ) -> Result<Item<'a>> {
        let Item::Value(value) = item else { return Ok(item) };
        if (value.len() as u64) < self.value_bytes {
            return Ok(item);
        }
        if let Some(full) = self.writer.take_if(|writer| writer.bytes() >= self.file_bytes) {
            full.finish()?;
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let number = self.ids.fetch_add(1, Ordering::Relaxed);
                names.push(blob_name(number));
                self.writer.insert(BlobWriter::create(&*self.directory, number, Cause::Blob)?)
            }
        };
        Ok(Item::Blob(writer.add(key, value)?))
    }

    /// Makes durable what was written, but for the names.
    ///
    /// # Errors
    /// Those of writing a blob file.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.writer.take().map_or(Ok(()), |writer| writer.finish().map(drop))
    }
}
