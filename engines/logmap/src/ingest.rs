//! Entries that are stored as one: written to a record of the log while the map reads them.
//!
//! Promises: what the record holds is what the map took. An ingest is one record, for only that is atomic;
//! one that does not fit is `Rejected` before anything changed. Called by `ingest`.

use adapter_api::{Cursor, EngineError, Entry, Result};
use wal::RECORD_BYTES_MAX;

use crate::record;

/// Passes entries on and keeps their record.
pub(crate) struct Recorder<'a> {
    entries: &'a mut dyn Cursor,
    record: Vec<u8>,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(entries: &'a mut dyn Cursor) -> Self {
        Self { entries, record: Vec::new() }
    }

    pub(crate) fn into_record(self) -> Vec<u8> {
        self.record
    }
}

impl Cursor for Recorder<'_> {
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        let Some(entry) = self.entries.next()? else { return Ok(None) };
        if self.record.len() as u64 + record::put_bytes(entry.key, entry.value) > RECORD_BYTES_MAX {
            return Err(EngineError::rejected(format!(
                "an ingest has at most {RECORD_BYTES_MAX} bytes, 17 for each entry included; split it"
            )));
        }
        record::encode_put(entry.key, entry.value, &mut self.record);
        Ok(Some(entry))
    }

    fn seek(&mut self, _: &[u8]) -> Result<()> {
        Err(EngineError::unsupported("seek in entries to ingest"))
    }
}
