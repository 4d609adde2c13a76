//! What a store must show: an ordered map from the standard library, changed by the same edits.

use std::collections::BTreeMap;

use adapter_api::{BatchBuilder, Direction, EngineError, KeyRange};
use crash::workload;

/// One mutation.
#[derive(Clone, Debug)]
pub enum Edit {
    /// Sets a key.
    Put(Vec<u8>, Vec<u8>),
    /// Takes a key away.
    Delete(Vec<u8>),
    /// Takes a range away.
    DeleteRange(Vec<u8>, Option<Vec<u8>>),
}

impl Edit {
    /// A put.
    pub fn put(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        Self::Put(key.as_ref().to_vec(), value.as_ref().to_vec())
    }

    /// A delete.
    pub fn delete(key: impl AsRef<[u8]>) -> Self {
        Self::Delete(key.as_ref().to_vec())
    }

    /// A delete of everything from `start` to before `end`.
    pub fn delete_range(start: impl AsRef<[u8]>, end: Option<&[u8]>) -> Self {
        Self::DeleteRange(start.as_ref().to_vec(), end.map(<[u8]>::to_vec))
    }
}

impl From<&workload::Edit> for Edit {
    fn from(edit: &workload::Edit) -> Self {
        match *edit {
            workload::Edit::Put { key, len, tag } => Self::Put(workload::key(key), workload::value(len, tag)),
            workload::Edit::Delete { key } => Self::Delete(workload::key(key)),
            workload::Edit::DeleteRange { from, to } => {
                Self::DeleteRange(workload::key(from), Some(workload::key(to)))
            }
        }
    }
}

/// A batch of these edits.
///
/// # Errors
/// If a key or a value is outside the limits of the contract.
pub fn batch(edits: &[Edit]) -> Result<BatchBuilder, EngineError> {
    let mut batch = BatchBuilder::new();
    for edit in edits {
        match edit {
            Edit::Put(key, value) => batch.put(key, value)?,
            Edit::Delete(key) => batch.delete(key)?,
            Edit::DeleteRange(start, end) => {
                batch.delete_range(KeyRange::with_end(start, end.as_deref()))?;
            }
        }
    }
    Ok(batch)
}

/// The map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model(pub BTreeMap<Vec<u8>, Vec<u8>>);

impl Model {
    /// Does the edits in order.
    pub fn apply(&mut self, edits: &[Edit]) {
        for edit in edits {
            match edit {
                Edit::Put(key, value) => drop(self.0.insert(key.clone(), value.clone())),
                Edit::Delete(key) => drop(self.0.remove(key)),
                Edit::DeleteRange(start, end) => {
                    let range = KeyRange::with_end(start, end.as_deref());
                    self.0.retain(|key, _| !range.contains(key));
                }
            }
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.0.get(key).map(Vec::as_slice)
    }

    /// The entries of a range in a direction.
    pub fn range(&self, range: KeyRange<'_>, direction: Direction) -> Vec<(&[u8], &[u8])> {
        let entries = self.0.iter().filter(|(key, _)| range.contains(key));
        let mut entries: Vec<_> = entries.map(|(key, value)| (key.as_slice(), value.as_slice())).collect();
        if direction == Direction::Reverse {
            entries.reverse();
        }
        entries
    }
}
