//! Sorted entries that are stored as one.
//!
//! ```text
//! a few       one record of the log                                     written twice, like any write
//! many        leaves into free blocks ─▶ sync ─▶ a record that says where they are        written once
//! ```
//!
//! Promises: all of them count or none; what is refused changed nothing. Others write meanwhile: the writer's turn is
//! taken when everything is written, and only for as long as it takes to name the leaves. Memory is that of about 60 bytes
//! and two keys for each leaf. Called by `engine`.

use adapter_api::environment::Cause;
use adapter_api::{BatchBuilder, Cursor, EngineError, Entry, KeyRange, Mutation, Result};

use crate::estimate::estimate;
use crate::leaf_writer::{LeafWriter, behind};
use crate::pin::Pin;
use crate::store::Store;
use crate::tree::Tree;

/// Entries of so many pages go through the log.
const LOGGED_PAGES: usize = 4;

/// Stores sorted entries, if there is no key from the first to the last of them.
///
/// # Errors
/// `Rejected` if there is one, or if the entries do not ascend; those of `apply`.
pub(crate) fn ingest(store: &Store, entries: &mut dyn Cursor) -> Result<()> {
    let (mut entries, mut few) = (Ascending { entries, last: Vec::new() }, BatchBuilder::new());
    let page_bytes = store.tree.page_bytes;
    while let Some(Entry { key, value }) = entries.next()? {
        few.put(key, value)?;
        if few.bytes() > LOGGED_PAGES * page_bytes {
            return build(store, &few, entries);
        }
    }
    match first_key(&few) {
        Some(first) => store.commit_into_empty(&few, first, &entries.last),
        None => Ok(()),
    }
}

/// Writes leaves of the first entries and of those that follow.
fn build(store: &Store, first: &BatchBuilder, mut entries: Ascending<'_>) -> Result<()> {
    let mut writer = LeafWriter::new(store.write_ahead(Cause::Ingest)?, store.tree.page_bytes);
    for mutation in first.as_batch() {
        if let Mutation::Put { key, value } = mutation {
            writer.add(key, value)?;
        }
    }
    while let Some(Entry { key, value }) = entries.next()? {
        writer.add(key, value)?;
    }
    let written = writer.finish()?;
    store.commit_ahead(written, first_key(first).map(|first| (first, &entries.last[..])))
}

fn first_key(batch: &BatchBuilder) -> Option<&[u8]> {
    match batch.as_batch().into_iter().next()? {
        Mutation::Put { key, .. } => Some(key),
        _ => None,
    }
}

/// Entries that are held against those before them.
struct Ascending<'a> {
    entries: &'a mut dyn Cursor,
    last: Vec<u8>,
}

impl Ascending<'_> {
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        let Some(entry) = self.entries.next()? else { return Ok(None) };
        check_entry(entry.key, entry.value.len())?;
        if !self.last.is_empty() && *self.last >= *entry.key {
            let key = entry.key.escape_ascii();
            return Err(EngineError::rejected(format!("the entries do not ascend at \"{key}\"")));
        }
        self.last.clear();
        self.last.extend_from_slice(entry.key);
        Ok(Some(entry))
    }
}

/// Refuses what is longer than keys and values are.
fn check_entry(key: &[u8], value_bytes: usize) -> Result<()> {
    let is_key = (1..=adapter_api::KEY_BYTES_MAX).contains(&key.len());
    match is_key && value_bytes <= adapter_api::VALUE_BYTES_MAX {
        true => Ok(()),
        false => Err(EngineError::rejected(format!(
            "an entry has a key of {} and a value of {value_bytes} bytes, which is more or less than may be",
            key.len()
        ))),
    }
}

/// Refuses entries from one key to another if the tree has a key there.
pub(crate) fn check_empty(tree: &Tree, pin: &Pin<'_>, first: &[u8], last: &[u8]) -> Result<()> {
    let end = behind(last);
    let found = estimate(pin, tree.size(), KeyRange::with_end(first, end.as_deref()))?;
    match found.entries == 0 && found.exact {
        true => Ok(()),
        false => Err(EngineError::rejected(format!(
            "the range of the entries, \"{}\" to \"{}\", is not empty",
            first.escape_ascii(),
            last.escape_ascii()
        ))),
    }
}
