//! Many keys at once: the pages that they need and that are not in memory are read level by level, each level in one go.
//!
//! ```text
//! keys      a   b   c   d          level 2: in memory
//!           └─┬─┘   └─┬─┘          level 1: two pages, one `read_many`
//!           │   │   │   │          leaves:  four pages, one `read_many`
//! ```
//!
//! Promises: it is done for speed alone; whoever comes behind reads what has left memory meanwhile. Where everything is
//! in memory it costs nothing. Called by the engine, for `multi_get`, and before `apply` takes the writer's turn.

use adapter_api::{Batch, Mutation, Result, Values};
use page::{PageId, Payload};

use crate::pin::Pin;
use crate::places::AHEAD_PAGES_MAX;
use crate::tree::{ROOT, Tree};

/// So many keys are looked up through one pin: what it found is freed behind it.
pub(crate) const KEYS_AT_ONCE: usize = 256;
/// Pages are read ahead for batches of at most so many mutations: those of larger ones might have gone when they are
/// needed.
const MUTATIONS_MAX: usize = 4096;

/// Appends the values of keys in their order, absent ones as absent.
pub(crate) fn multi_get<'p>(
    pin: impl Fn() -> Result<Pin<'p>>,
    keys: &[&[u8]],
    values: &mut Values,
) -> Result<()> {
    for keys in keys.chunks(KEYS_AT_ONCE) {
        let (pin, mut is_ahead) = (pin()?, false);
        for (at, key) in keys.iter().enumerate() {
            match pin.value_here(key)? {
                Some(value) => push(values, value),
                None => {
                    if !is_ahead {
                        is_ahead = true;
                        pin.read_ahead_for(&keys[at..], true)?;
                    }
                    values.push_with(|value| pin.read(key, value))?;
                }
            }
        }
    }
    Ok(())
}

/// Appends the values of the first keys, as many as memory alone knows of, and at most so many bytes of them.
pub(crate) fn multi_get_here(
    pin: &Pin<'_>,
    keys: &[&[u8]],
    mut bytes_max: usize,
    values: &mut Values,
) -> Result<()> {
    for key in keys {
        let Some(value) = pin.value_here(key)? else { break };
        let Some(left) = bytes_max.checked_sub(value.map_or(0, <[u8]>::len)) else { break };
        bytes_max = left;
        push(values, value);
    }
    Ok(())
}

fn push(values: &mut Values, value: Option<&[u8]>) {
    match value {
        Some(value) => values.push(value),
        None => values.push_absent(),
    }
}

/// Brings the pages that a batch will change into memory.
///
/// # Errors
/// Those of reading them; nothing changed.
pub(crate) fn read_ahead_for_batch(tree: &Tree, batch: Batch<'_>) -> Result<()> {
    if !tree.frames.has_stored() || batch.len() > MUTATIONS_MAX {
        return Ok(());
    }
    let mut keys = Vec::with_capacity(batch.len());
    for mutation in batch {
        match mutation {
            Mutation::Put { key, .. } | Mutation::Delete { key } => keys.push(key),
            Mutation::DeleteRange(range) => {
                keys.extend([Some(range.start()), range.end()].into_iter().flatten())
            }
        }
    }
    keys.chunks(KEYS_AT_ONCE).try_for_each(|keys| tree.frames.pin().read_ahead_for(keys, false))
}

impl Pin<'_> {
    /// Brings the pages on the ways to keys into memory, and those of their values if asked to.
    fn read_ahead_for(&self, keys: &[&[u8]], with_values: bool) -> Result<()> {
        let mut ids = vec![ROOT; keys.len()];
        for _ in 0..self.page(ROOT)?.level() {
            for (id, key) in ids.iter_mut().zip(keys) {
                let page = self.page(*id)?;
                // Levels go down on every way, or the lookup behind this says what is wrong.
                if page.level() > 0 {
                    *id = page.child_for(key);
                }
            }
            self.read_missing(&ids)?;
        }
        if with_values {
            let value = |(id, key): (&PageId, &&[u8])| -> Result<Option<PageId>> {
                let leaf = self.page(*id)?;
                Ok(match leaf.find_inside(key).map(|index| leaf.payload(index)) {
                    Ok(Payload::Away { id, .. }) => Some(id),
                    _ => None,
                })
            };
            let values = ids.iter().zip(keys).filter_map(|pair| value(pair).transpose());
            self.read_missing(&values.collect::<Result<Vec<_>>>()?)?;
        }
        Ok(())
    }

    fn read_missing(&self, ids: &[PageId]) -> Result<()> {
        let mut missing: Vec<_> = ids.iter().copied().filter(|id| self.is_stored(*id)).collect();
        missing.sort_unstable();
        missing.dedup();
        missing.chunks(AHEAD_PAGES_MAX).try_for_each(|ids| self.read_ahead(ids))
    }
}
