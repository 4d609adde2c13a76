//! Cursors across the border, in both directions: of a view, used by the host; over entries to ingest, used
//! by the engine.

use std::marker::PhantomData;

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::RSlice;

use super::data::AbiEntry;
use super::errors::{AbiResult, from_abi};
use super::guard::guard;
use super::tables::{CursorObject, CursorTable, CursorTable_TO};
use crate::engine::{Cursor, Entry};
use crate::error::Result;

/// Takes the next entry of `cursor` and lends it across the border.
pub(crate) fn lend(cursor: &mut dyn Cursor, lent: &mut AbiEntry) -> Result<bool> {
    let Some(entry) = cursor.next()? else { return Ok(false) };
    // SAFETY: the entry lives until the next call to the cursor. That is what the table promises, and the
    // proxy on the other side ties it to the borrow of the cursor again.
    unsafe {
        lent.key = RSlice::from_raw_parts(entry.key.as_ptr(), entry.key.len());
        lent.value = RSlice::from_raw_parts(entry.value.as_ptr(), entry.value.len());
    }
    Ok(true)
}

/// A cursor of the other side.
pub(crate) struct CursorProxy<'a> {
    cursor: CursorObject<'a>,
}

impl<'a> CursorProxy<'a> {
    pub(crate) fn new(cursor: CursorObject<'a>) -> Self {
        Self { cursor }
    }

    /// The next entry, with the error still in the form of the border.
    pub(crate) fn next_raw(&mut self) -> AbiResult<Option<Entry<'_>>> {
        let mut lent = AbiEntry::EMPTY;
        self.cursor.next(&mut lent).map(|there| there.then(|| Self::entry(PhantomData, &lent)))
    }

    pub(crate) fn seek_raw(&mut self, key: &[u8]) -> AbiResult<()> {
        self.cursor.seek(key.into())
    }

    /// Ties what was lent to the borrow of the cursor.
    fn entry<'lent>(_cursor: PhantomData<&'lent mut Self>, lent: &AbiEntry) -> Entry<'lent> {
        Entry { key: lent.key.as_slice(), value: lent.value.as_slice() }
    }
}

impl Cursor for CursorProxy<'_> {
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        from_abi(self.next_raw())
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        from_abi(self.seek_raw(key))
    }
}

/// Lends a cursor of this side to the other one for the length of a call.
pub(crate) fn cursor_object<'a>(cursor: &'a mut dyn Cursor) -> CursorObject<'a> {
    CursorTable_TO::from_value(BorrowedCursor(cursor), TD_Opaque)
}

struct BorrowedCursor<'a>(&'a mut dyn Cursor);

impl CursorTable for BorrowedCursor<'_> {
    fn next(&mut self, entry: &mut AbiEntry) -> AbiResult<bool> {
        guard("next of a cursor", || lend(self.0, entry))
    }

    fn seek(&mut self, key: RSlice<'_, u8>) -> AbiResult<()> {
        guard("seek of a cursor", || self.0.seek(key.as_slice()))
    }
}
