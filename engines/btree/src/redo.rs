//! Mutations of the log on their way back into the tree, many at once and in the order of their keys.
//!
//! ```text
//! as they came       q  b  x  b' a  …      a leaf out of memory for each, and a copy of it
//! as they are done   a  b' q  x  …         leaf by leaf; of one key only what came last
//! ```
//!
//! Nobody reads while the log is done again, so states that never were may be published on the way. Promises: what is
//! there in the end is what the mutations in their own order would have left. Called by `recovery`.

use adapter_api::{Mutation, Result};

use crate::edit::Edit;
use crate::tree::Tree;

/// So many mutations before it is done, the bytes of one are fetched: they lie anywhere.
const FETCHED_AHEAD: usize = 8;
/// More bytes than this are not fetched.
const FETCHED_BYTES_MAX: usize = 1024;

/// A mutation of one key.
struct Waiting {
    /// The first eight bytes of the key as a number: what most comparisons look at.
    head: u64,
    /// Where the key begins; the value is behind it. Later mutations lie further behind.
    at: usize,
    key_bytes: u16,
    /// `None` if the key is deleted.
    value_bytes: Option<u32>,
}

/// Mutations of one key each that wait to be done.
#[derive(Default)]
pub(crate) struct Redone {
    /// Keys and values, one behind the other.
    bytes: Vec<u8>,
    waiting: Vec<Waiting>,
}

impl Redone {
    /// The memory that all of it takes.
    pub(crate) fn bytes(&self) -> u64 {
        (self.bytes.len() + self.waiting.len() * size_of::<Waiting>()) as u64
    }

    /// Gathers a put, or a delete if there is no value.
    pub(crate) fn add(&mut self, key: &[u8], value: Option<&[u8]>) {
        let mut head = [0; 8];
        let known = key.len().min(head.len());
        head[..known].copy_from_slice(&key[..known]);
        self.waiting.push(Waiting {
            head: u64::from_be_bytes(head),
            at: self.bytes.len(),
            key_bytes: key.len() as u16,
            value_bytes: value.map(|value| value.len() as u32),
        });
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
    }

    /// Does everything that was gathered, and forgets it. What changes is published whenever it takes so many bytes of
    /// pages, and in the end; `published` is told.
    pub(crate) fn finish<'t>(
        &mut self,
        tree: &'t Tree,
        changed_max: u64,
        mut published: impl FnMut(Edit<'t>),
    ) -> Result<()> {
        let Self { bytes, waiting } = self;
        let key = |one: &Waiting| &bytes[one.at..][..usize::from(one.key_bytes)];
        waiting.sort_unstable_by(|one, other| {
            one.head.cmp(&other.head).then_with(|| key(one).cmp(key(other))).then(one.at.cmp(&other.at))
        });
        let mut edit = None;
        for (index, one) in waiting.iter().enumerate() {
            if let Some(later) = waiting.get(index + FETCHED_AHEAD) {
                let len = usize::from(later.key_bytes) + later.value_bytes.unwrap_or_default() as usize;
                page::prefetch(bytes[later.at..].as_ptr(), len.min(FETCHED_BYTES_MAX));
            }
            if waiting.get(index + 1).is_some_and(|next| next.head == one.head && key(next) == key(one)) {
                continue;
            }
            let (key, current) = (key(one), edit.get_or_insert_with(|| tree.edit()));
            current.apply_one(match one.value_bytes {
                Some(len) => Mutation::Put { key, value: &bytes[one.at + key.len()..][..len as usize] },
                None => Mutation::Delete { key },
            })?;
            if current.changed_pages() * tree.page_bytes as u64 >= changed_max {
                edit.take().into_iter().for_each(&mut published);
            }
        }
        edit.into_iter().for_each(published);
        bytes.clear();
        waiting.clear();
        Ok(())
    }
}
