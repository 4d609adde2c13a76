//! Long values on their way into blob files, beside the table that refers to them.
//!
//! Promises: a file is begun with the first value that is long, and another one when it is as long as a table; nothing
//! counts before `finish`. Called by a flush and by an ingest.

use adapter_api::Result;
use adapter_api::environment::Cause;

use crate::blob::BlobWriter;
use crate::catalog::Catalog;
use crate::files::blob_name;
use crate::item::Item;
use crate::settings::Settings;

/// Takes the long values of a table.
#[derive(Default)]
pub(crate) struct LongValues {
    writer: Option<BlobWriter>,
}

impl LongValues {
    /// What a table says of a key: the item itself, or where its value lies now. The names of files that are begun go to
    /// `names`.
    ///
    /// # Errors
    /// Those of writing a blob file.
    pub(crate) fn place<'a>(
        &mut self,
        catalog: &Catalog,
        settings: &Settings,
        (key, item): (&[u8], Item<'a>),
        names: &mut Vec<String>,
    ) -> Result<Item<'a>> {
        let Item::Value(value) = item else { return Ok(item) };
        if (value.len() as u64) < settings.blob_value_bytes {
            return Ok(item);
        }
        if let Some(full) = self.writer.take_if(|writer| writer.bytes() >= settings.table_bytes) {
            full.finish()?;
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let number = catalog.next_id();
                names.push(blob_name(number));
                self.writer.insert(BlobWriter::create(&*catalog.directory, number, Cause::Blob)?)
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
