//! Sorted entries that are stored as one.
//!
//! Promises: they are one record of the log, for only that is atomic; so an ingest is bounded by the largest batch, and
//! what is refused changed nothing. Reads all entries before it takes the writer's turn. Called by `engine`.

use adapter_api::{BatchBuilder, Cursor, EngineError, KeyRange, Mutation, Result};

use crate::estimate::estimate;
use crate::pin::Pin;
use crate::tree::Tree;

/// The largest ingest, in bytes of its batch.
pub(crate) const INGEST_BYTES_MAX: usize = 1 << 30;

/// Reads all entries and checks that they ascend and keep to the limits.
pub(crate) fn read_sorted(entries: &mut dyn Cursor) -> Result<BatchBuilder> {
    let (mut batch, mut last) = (BatchBuilder::new(), Vec::new());
    while let Some(entry) = entries.next()? {
        if !last.is_empty() && *last >= *entry.key {
            let key = entry.key.escape_ascii();
            return Err(EngineError::rejected(format!("the entries do not ascend at \"{key}\"")));
        }
        batch.put(entry.key, entry.value)?;
        if batch.bytes() > INGEST_BYTES_MAX {
            return Err(EngineError::rejected(format!(
                "an ingest has at most {INGEST_BYTES_MAX} bytes, 9 for each entry included; split it"
            )));
        }
        last.clear();
        last.extend_from_slice(entry.key);
    }
    Ok(batch)
}

/// Refuses a batch of sorted puts if the tree has a key from the first to the last of them.
pub(crate) fn check_empty(tree: &Tree, pin: &Pin<'_>, batch: &BatchBuilder) -> Result<()> {
    let mut keys = batch.as_batch().into_iter().filter_map(|mutation| match mutation {
        Mutation::Put { key, .. } => Some(key),
        _ => None,
    });
    let Some(first) = keys.next() else { return Ok(()) };
    let last = keys.last().unwrap_or(first);
    // The key that follows the last one at once ends the range behind it.
    let end = [last, &[0]].concat();
    let found = estimate(pin, tree.size(), KeyRange::new(first, &end))?;
    match found.entries == 0 && found.exact {
        true => Ok(()),
        false => Err(EngineError::rejected(format!(
            "the range of the entries, \"{}\" to \"{}\", is not empty",
            first.escape_ascii(),
            last.escape_ascii()
        ))),
    }
}
