//! Reads that may have to go to a file: views and cursors of a map that does not hold all values.
//!
//! Promises: those of the map's own, and that a value on disk is checked before it is lent. Called by the engine.

use adapter_api::versioned_map::{Stored, View, ViewCursor};
use adapter_api::{Buffer, Cursor, Direction, Entry, KeyRange, ReadView, Result, Values};

use crate::values;

/// The memory for a value on disk that a cursor keeps between calls.
const VALUE_MEMORY_BYTES: usize = 1 << 20;

/// Appends what there is of a key; answers whether there is anything.
pub(crate) fn append(stored: Option<Stored<'_>>, value: &mut Buffer) -> Result<bool> {
    stored.map_or(Ok(false), |stored| values::append(stored, value).map(|()| true))
}

/// A point in time.
pub(crate) struct LogmapView(pub(crate) View);

impl ReadView for LogmapView {
    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        let mut is_there = false;
        self.0.find_each(&[key], |stored| {
            is_there = append(stored, value)?;
            Ok(())
        })?;
        Ok(is_there)
    }

    fn multi_get(&self, keys: &[&[u8]], values: &mut Values) -> Result<()> {
        self.0.find_each(keys, |stored| values.push_with(|value| append(stored, value)))
    }

    fn cursor(&self, range: KeyRange<'_>, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        let cursor = self.0.walk(range, direction);
        Ok(Box::new(LogmapCursor { cursor, value: Buffer::new() }))
    }
}

struct LogmapCursor {
    cursor: ViewCursor,
    /// The value that is lent, if it was on disk.
    value: Buffer,
}

impl Cursor for LogmapCursor {
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        self.value.clear();
        if self.value.capacity() > VALUE_MEMORY_BYTES {
            self.value = Buffer::new();
        }
        let Some((key, stored)) = self.cursor.next_stored()? else { return Ok(None) };
        let value = match stored {
            Stored::Here(value) => value,
            away @ Stored::Away(_) => {
                values::append(away, &mut self.value)?;
                &self.value
            }
        };
        Ok(Some(Entry { key, value }))
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.cursor.seek(key)
    }
}
