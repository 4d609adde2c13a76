//! adapter placeholder: the signatures stand, the bodies come.

use crate::{
    Batch, Buffer, Cursor, Description, Direction, EngineError, Entry, KeyRange, ReadView, Result, StorageEngine,
};

/// An open engine behind the border; implements `StorageEngine`. Cheap to clone.
#[derive(Clone)]
pub struct StorageAdapter;

/// A read view that owns what it needs: it may outlive the borrow of the adapter and move between threads.
pub struct View;

/// A cursor that owns what it needs.
pub struct ViewCursor;

impl StorageAdapter {
    /// What the engine says of itself.
    pub fn description(&self) -> &Description {
        unreachable!()
    }
    /// A read view that owns what it needs.
    pub fn view(&self) -> Result<View> {
        Err(EngineError::failed("placeholder"))
    }
    /// Why no further write is admitted, if so: an earlier `Failed` or a panic in the engine.
    pub fn write_refusal(&self) -> Option<String> {
        None
    }
}

impl View {
    /// A cursor that owns what it needs.
    pub fn owned_cursor(&self, _range: KeyRange<'_>, _direction: Direction) -> Result<ViewCursor> {
        Err(EngineError::failed("placeholder"))
    }
}

impl StorageEngine for StorageAdapter {
    fn apply(&self, _: Batch<'_>) -> Result<()> {
        Err(EngineError::failed("placeholder"))
    }
    fn get(&self, _: &[u8], _: &mut Buffer) -> Result<bool> {
        Err(EngineError::failed("placeholder"))
    }
}

impl ReadView for View {
    fn get(&self, _: &[u8], _: &mut Buffer) -> Result<bool> {
        Err(EngineError::failed("placeholder"))
    }
    fn cursor(&self, _: KeyRange<'_>, _: Direction) -> Result<Box<dyn Cursor + '_>> {
        Err(EngineError::failed("placeholder"))
    }
}

impl Cursor for ViewCursor {
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        Ok(None)
    }
    fn seek(&mut self, _: &[u8]) -> Result<()> {
        Ok(())
    }
}
