//! The mutations of a batch, leaf by leaf.
//!
//! ```text
//! as they came       q  b  x  b' a  [c, p)  d  b …     a leaf out of memory for each, and a copy of it
//! as they are done   a  b' q  x     [c, p)  b  d …     of neighbours one leaf; of one key only what came last
//! ```
//!
//! A delete of a range is a border: what came before it is done before it. Promises: what is there in the end is what the
//! mutations in their own order would have left; memory is `WAITING_BYTES` for each of them. Called by `edit`, for large
//! batches, and by `redo`.

use std::cmp::Ordering;

use adapter_api::{Batch, Mutation, Result};

/// So many mutations before it is done, the bytes of one are fetched: they lie anywhere.
const FETCHED_AHEAD: usize = 8;
/// More bytes than this are not fetched.
const FETCHED_BYTES_MAX: usize = 1024;

/// The memory that each mutation of a batch takes while it waits.
pub(crate) const WAITING_BYTES: u64 = size_of::<Waiting<'_>>() as u64;

/// A mutation of one key that waits to be done.
struct Waiting<'a> {
    /// The first eight bytes of the key: what most comparisons look at.
    head: u64,
    key: &'a [u8],
    /// `None` if the key is deleted.
    value: Option<&'a [u8]>,
}

/// Hands on what leaves the same as all mutations of the batch, in the order of their keys between two deletes of ranges.
///
/// # Errors
/// Those of `change`, which is not called any more then.
pub(crate) fn in_key_order<'a>(
    batch: Batch<'a>,
    mut change: impl FnMut(Mutation<'a>) -> Result<()>,
) -> Result<()> {
    let mut waiting = Vec::with_capacity(batch.len());
    for mutation in batch {
        match mutation {
            Mutation::Put { key, value } => waiting.push(Waiting::new(key, Some(value))),
            Mutation::Delete { key } => waiting.push(Waiting::new(key, None)),
            Mutation::DeleteRange(_) => {
                finish(&mut waiting, &mut change)?;
                change(mutation)?;
            }
        }
    }
    finish(&mut waiting, &mut change)
}

/// Hands everything on that waits, and forgets it.
fn finish<'a>(
    waiting: &mut Vec<Waiting<'a>>,
    change: &mut impl FnMut(Mutation<'a>) -> Result<()>,
) -> Result<()> {
    waiting.sort_unstable_by(|one, other| {
        // Of the same key, what came later lies further behind in the batch.
        one.cmp_keys(other).then_with(|| one.key.as_ptr().cmp(&other.key.as_ptr()))
    });
    for (index, one) in waiting.iter().enumerate() {
        if let Some(later) = waiting.get(index + FETCHED_AHEAD) {
            later.fetch();
        }
        let is_last = waiting.get(index + 1).is_none_or(|next| next.cmp_keys(one).is_ne());
        if is_last {
            change(one.mutation())?;
        }
    }
    waiting.clear();
    Ok(())
}

impl<'a> Waiting<'a> {
    fn new(key: &'a [u8], value: Option<&'a [u8]>) -> Self {
        Self { head: u64::from_be_bytes(page::first_bytes(key)), key, value }
    }

    fn cmp_keys(&self, other: &Self) -> Ordering {
        self.head.cmp(&other.head).then_with(|| self.key.cmp(other.key))
    }

    /// The key and the value behind it are on their way to the processor's caches.
    fn fetch(&self) {
        let len = self.key.len() + self.value.map_or(0, <[u8]>::len);
        page::prefetch(self.key.as_ptr(), len.min(FETCHED_BYTES_MAX));
    }

    fn mutation(&self) -> Mutation<'a> {
        let key = self.key;
        self.value.map_or(Mutation::Delete { key }, |value| Mutation::Put { key, value })
    }
}

#[cfg(test)]
mod tests {
    use adapter_api::{BatchBuilder, KeyRange};

    use super::*;

    #[test]
    fn keys_ascend_between_ranges_and_each_is_handed_on_once() {
        let (mut batch, range) = (BatchBuilder::new(), KeyRange::new(b"a", b"b"));
        for (key, value) in [("long key b", "1"), ("long key a", "2"), ("z", "3"), ("long key b", "4")] {
            batch.put(key.as_bytes(), value.as_bytes()).unwrap();
        }
        batch.delete(b"long key a").unwrap();
        batch.delete_range(range).unwrap();
        batch.delete(b"c").unwrap();
        batch.put(b"b", b"5").unwrap();
        let mut done = Vec::new();
        in_key_order(batch.as_batch(), |mutation| {
            done.push(mutation);
            Ok(())
        })
        .unwrap();
        let expected = [
            Mutation::Delete { key: b"long key a" },
            Mutation::Put { key: b"long key b", value: b"4" },
            Mutation::Put { key: b"z", value: b"3" },
            Mutation::DeleteRange(range),
            Mutation::Put { key: b"b", value: b"5" },
            Mutation::Delete { key: b"c" },
        ];
        assert_eq!(done, expected);
    }
}
