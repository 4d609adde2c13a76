//! An ordered, versioned map with one writer: read views for in-memory engines in a few lines.

use std::sync::Mutex;

use crate::{Batch, Buffer, Cursor, Direction, KeyRange, ReadView, Result};

/// placeholder
#[derive(Default)]
pub struct VersionedMap {
    _writer: Mutex<()>,
}

/// placeholder
pub struct Staged<'a>(&'a VersionedMap);

/// placeholder
pub struct View;

impl VersionedMap {
    /// placeholder
    pub fn new() -> Self {
        Self::default()
    }
    /// placeholder
    pub fn stage(&self, _batch: Batch<'_>) -> Staged<'_> {
        Staged(self)
    }
    /// placeholder
    pub fn get(&self, _key: &[u8], _value: &mut Buffer) -> bool {
        false
    }
    /// placeholder
    pub fn view(&self) -> View {
        View
    }
}

impl Staged<'_> {
    /// placeholder
    pub fn view(&self) -> View {
        let _ = self.0;
        View
    }
    /// placeholder
    pub fn publish(self) {}
}

impl ReadView for View {
    fn get(&self, _key: &[u8], _value: &mut Buffer) -> Result<bool> {
        Ok(false)
    }
    fn cursor(&self, _range: KeyRange<'_>, _direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        Err(crate::EngineError::ViewTooOld)
    }
}
