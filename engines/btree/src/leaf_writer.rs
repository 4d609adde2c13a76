//! Leaves from sorted entries, one behind the other.
//!
//! ```text
//! entries   a b c d e f g h i j k …
//! leaves    [ a b c d │ e f g h i │ j k …      full to 90 %; a fence is the shortest key that parts two of them
//! ```
//!
//! A value that is too long for a leaf gets a page of its own, and ends the stretch of leaves: those before it that would
//! not fill half a leaf go into the record as they are. Promises: leaves lie in the order of their keys and are not longer
//! than a page but for large keys. Called by `ingest`.

use std::ops::Range;

use adapter_api::{BatchBuilder, Result};
use page::{Cell, Head, Page, Payload, UNNAMED};

use crate::ahead_writer::AheadWriter;
use crate::tree::Size;

/// How full a leaf becomes, in percent, so that not each key that comes later splits one.
const FULL_PERCENT: usize = 90;

/// Entries that become leaves.
pub(crate) struct LeafWriter<'a> {
    out: AheadWriter<'a>,
    page_bytes: usize,
    /// Where the next leaf begins, if there is one in front of it.
    fence: Option<Vec<u8>>,
    next: Gathered,
}

/// The entries of a leaf that is not written yet.
#[derive(Default)]
struct Gathered {
    /// Keys and values, one behind the other.
    bytes: Vec<u8>,
    /// Where each key begins, and where it ends and the value begins.
    entries: Vec<(usize, usize)>,
    /// What the cells take where nothing of their keys is left out.
    cells: usize,
}

impl Gathered {
    fn push(&mut self, key: &[u8], value: &[u8]) {
        self.cells += Cell::new(key, Payload::Here(value)).bytes(0);
        self.entries.push((self.bytes.len(), self.bytes.len() + key.len()));
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
    }

    fn entry(&self, index: usize) -> (&[u8], &[u8]) {
        let (key, value) = self.entries[index];
        let end = self.entries.get(index + 1).map_or(self.bytes.len(), |next| next.0);
        (&self.bytes[key..value], &self.bytes[value..end])
    }

    fn len(&self) -> usize {
        self.entries.len()
    }

    fn key(&self, index: usize) -> &[u8] {
        self.entry(index).0
    }

    fn cells(&self, of: Range<usize>) -> impl ExactSizeIterator<Item = Cell<'_>> + Clone {
        of.map(|index| {
            let (key, value) = self.entry(index);
            Cell::new(key, Payload::Here(value))
        })
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.cells = 0;
    }
}

impl<'a> LeafWriter<'a> {
    pub(crate) fn new(out: AheadWriter<'a>, page_bytes: usize) -> Self {
        Self { out, page_bytes, fence: None, next: Gathered::default() }
    }

    /// Adds an entry behind all others.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        if value.len() > self.page_bytes / 4 {
            self.end_stretch(Some(key))?;
            return self.out.value(key, value);
        }
        if self.next.len() > 0 && self.used_with(key, value) * 100 > self.page_bytes * FULL_PERCENT {
            self.end_leaf(Some(key))?;
        }
        self.next.push(key, value);
        Ok(())
    }

    /// Writes the rest, and makes everything durable.
    pub(crate) fn finish(mut self) -> Result<AheadWriter<'a>> {
        self.end_stretch(None)?;
        self.out.finish()?;
        Ok(self.out)
    }

    /// What the leaf would use with one more entry, about: the upper fence is not known yet.
    fn used_with(&self, key: &[u8], value: &[u8]) -> usize {
        let lower = self.fence.as_deref().unwrap_or(self.next.key(0));
        let head = Head { id: UNNAMED, level: 0, lower, upper: Some(key) };
        let cells = self.next.cells + Cell::new(key, Payload::Here(value)).bytes(0);
        head.bytes() + cells - head.prefix() * (self.next.len() + 1)
    }

    /// What was gathered is a leaf if that is half full; what follows has nothing to do with it.
    fn end_stretch(&mut self, next: Option<&[u8]>) -> Result<()> {
        let is_leaf = self.next.cells * 2 >= self.page_bytes;
        let upper = self.upper(next);
        if is_leaf && upper.is_some() {
            self.end_leaf(next)?;
        } else {
            let mut batch = BatchBuilder::new();
            (0..self.next.len())
                .map(|index| self.next.entry(index))
                .try_for_each(|(key, value)| batch.put(key, value))?;
            self.out.batch(&batch);
            self.next.clear();
        }
        self.fence = None;
        Ok(())
    }

    /// Where the leaf ends, if the next key is this one, or unknown.
    fn upper(&self, next: Option<&[u8]>) -> Option<Vec<u8>> {
        let last = self.next.key(self.next.len().checked_sub(1)?);
        next.map(|next| page::separator(last, next).to_vec()).or_else(|| behind(last))
    }

    /// Writes what was gathered as a leaf.
    fn end_leaf(&mut self, next: Option<&[u8]>) -> Result<()> {
        let Some(upper) = self.upper(next) else { return Ok(()) };
        let gathered = std::mem::take(&mut self.next);
        let lower = self.fence.take().unwrap_or_else(|| gathered.key(0).to_vec());
        self.write(&gathered, 0..gathered.len(), &lower, &upper)?;
        self.fence = Some(upper);
        self.next = gathered;
        self.next.clear();
        Ok(())
    }

    /// Writes a leaf, or two if their keys have less in common than it seemed.
    fn write(&mut self, entries: &Gathered, of: Range<usize>, lower: &[u8], upper: &[u8]) -> Result<()> {
        let (head, cells) =
            (Head { id: UNNAMED, level: 0, lower, upper: Some(upper) }, entries.cells(of.clone()));
        if of.len() > 1 && head.bytes_with(cells.clone()) > self.page_bytes {
            let half = of.start + of.len() / 2;
            let fence = page::separator(entries.key(half - 1), entries.key(half));
            self.write(entries, of.start..half, lower, fence)?;
            return self.write(entries, half..of.end, fence, upper);
        }
        let mut size = Size::default();
        for (key, value) in of.map(|index| entries.entry(index)) {
            size.add_entry((key.len() + value.len()) as u64);
        }
        self.out.leaf(Page::build(head, cells, self.page_bytes), size)
    }
}

/// The first key behind a key; none if it is the last of all.
pub(crate) fn behind(key: &[u8]) -> Option<Vec<u8>> {
    let mut next = key.to_vec();
    if next.len() < adapter_api::KEY_BYTES_MAX {
        next.push(0);
        return Some(next);
    }
    // No key is longer, so the next one differs in its last byte that can be larger.
    while next.pop_if(|byte| *byte == u8::MAX).is_some() {}
    *next.last_mut()? += 1;
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_behind_a_key_is_the_next_one() {
        let longest =
            |last: &[u8]| [vec![7; adapter_api::KEY_BYTES_MAX - last.len()], last.to_vec()].concat();
        assert_eq!(behind(b"ab"), Some(b"ab\0".to_vec()));
        assert_eq!(behind(&longest(&[3])), Some(longest(&[4])));
        let carried = [vec![7; adapter_api::KEY_BYTES_MAX - 3], vec![8]].concat();
        assert_eq!(behind(&longest(&[255, 255])), Some(carried));
        assert_eq!(behind(&vec![255; adapter_api::KEY_BYTES_MAX]), None);
    }
}
