//! Many keys at once: the pages that they need and that are not in memory are read level by level, each level in one go.
//! Those that are in memory are on their way to the processor's caches side by side.
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
use page::{PageId, PageRef, Payload};

use crate::pin::Pin;
use crate::places::AHEAD_PAGES_MAX;
use crate::tree::{ROOT, Tree, check_level};

/// So many keys are looked up through one pin: what it found is freed behind it.
pub(crate) const KEYS_AT_ONCE: usize = 256;
/// So many of them go down the tree side by side.
const ABREAST: usize = 16;
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
        pin.each_here(keys, |at, value| {
            match value {
                Some(value) => push(values, value),
                None => {
                    if !is_ahead {
                        is_ahead = true;
                        pin.read_ahead_for(&keys[at..], true)?;
                    }
                    values.push_with(|value| pin.read(keys[at], value))?;
                }
            }
            Ok(true)
        })?;
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
    pin.each_here(keys, |_, value| {
        let Some(value) = value else { return Ok(false) };
        let Some(left) = bytes_max.checked_sub(value.map_or(0, <[u8]>::len)) else { return Ok(false) };
        bytes_max = left;
        push(values, value);
        Ok(true)
    })
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
    /// Hands the place of each key on, in order, with what memory alone knows of it, as `value_here` has it; until
    /// there was enough.
    fn each_here<'v>(
        &'v self,
        keys: &[&[u8]],
        mut goes_on: impl FnMut(usize, Option<Option<&'v [u8]>>) -> Result<bool>,
    ) -> Result<()> {
        if let [key] = keys {
            return goes_on(0, self.value_here(key)?).map(drop);
        }
        for (at, abreast) in (0..).step_by(ABREAST).zip(keys.chunks(ABREAST)) {
            let leaves = self.leaves_here(abreast)?;
            for (at, (key, leaf)) in (at..).zip(abreast.iter().zip(leaves)) {
                let value = leaf.map_or(Ok(None), |leaf| self.value_here_in(leaf, key))?;
                if !goes_on(at, value)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// The leaf of each of a few keys, or `None` where memory alone does not tell. While one page comes into the
    /// processor's caches, the way of another key goes on.
    fn leaves_here(&self, keys: &[&[u8]]) -> Result<[Option<PageRef<'_>>; ABREAST]> {
        let mut pages = [None; ABREAST];
        pages[..keys.len()].fill(self.resident(ROOT)?);
        let mut children = [ROOT; ABREAST];
        while pages.iter().flatten().any(|page| page.level() > 0) {
            for ((page, child), key) in pages.iter().zip(&mut children).zip(keys) {
                if let Some(branch) = page.filter(|page| page.level() > 0) {
                    *child = branch.child_for(key);
                    self.fetch(*child);
                }
            }
            for (page, child) in pages.iter_mut().zip(children) {
                if let Some(branch) = page.filter(|page| page.level() > 0) {
                    *page = self.resident(child)?;
                    page.map_or(Ok(()), |page| check_level(branch, page))?;
                }
            }
        }
        Ok(pages)
    }

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
