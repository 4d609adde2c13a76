//! The search in a page: heads first, bytes only where heads are equal.
//!
//! Heads lie side by side, so a few steps of a binary search find a stretch of them, and counting those that are less
//! needs no branch: the compiler makes vector instructions of it. A key that came down the tree lies between the fences,
//! so what all keys begin with alike is not looked at: the fences are at the other end of the page, in memory that a search
//! touches for nothing else. Promises: a key outside the fences finds the end that it lies behind, unless the caller has said
//! that it is inside; then the answer is some index. Called on every way down a tree.

use crate::PageId;
use crate::layout::*;
use crate::memory::prefetch;
use crate::view::PageRef;

/// So many heads are counted rather than halved: two or three cache lines.
const COUNTED: usize = 48;
/// A cell that will be compared is fetched up to here, for it will most likely be copied too.
const CELL_PREFETCHED_BYTES: usize = 256;
/// Fences of keys that are not long.
const FENCES_PREFETCHED_BYTES: usize = 128;

impl PageRef<'_> {
    /// Where the key is, or where it would be.
    ///
    /// # Errors
    /// The index of the first key that is larger, if the key is not there.
    pub fn find(&self, key: &[u8]) -> Result<usize, usize> {
        match key.strip_prefix(self.prefix()) {
            Some(suffix) => self.find_suffix(suffix),
            None => Err(if key < self.prefix() { 0 } else { self.count() }),
        }
    }

    /// The same for a key that lies between the fences, as it does on a way down.
    ///
    /// # Errors
    /// As `find`.
    #[inline]
    pub fn find_inside(&self, key: &[u8]) -> Result<usize, usize> {
        self.find_suffix(key.get(self.prefix_bytes()..).unwrap_or_default())
    }

    /// Where a key is that has this behind the prefix.
    fn find_suffix(&self, suffix: &[u8]) -> Result<usize, usize> {
        let (mut low, mut high) = self.ties(head_of(suffix));
        if low < high {
            prefetch(self.bytes[self.slot(low)..].as_ptr(), CELL_PREFETCHED_BYTES);
        }
        while low < high {
            let middle = low.midpoint(high);
            match self.suffix(middle).cmp(suffix) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(low)
    }

    /// Tells the processor that a key between the fences will be looked for: what it will be compared with is fetched.
    #[inline]
    pub fn prefetch_inside(&self, key: &[u8]) {
        let suffix = key.get(self.prefix_bytes()..).unwrap_or_default();
        let (low, high) = self.ties(head_of(suffix));
        if low < high {
            self.prefetch_cell(low);
        }
    }

    /// Tells the processor that the cell at `index` will be looked at.
    #[inline]
    pub fn prefetch_cell(&self, index: usize) {
        prefetch(self.bytes[self.slot(index)..].as_ptr(), CELL_PREFETCHED_BYTES);
    }

    /// Tells the processor that the fences will be looked at, which have what all keys begin with.
    #[inline]
    pub fn prefetch_fences(&self) {
        let start = self.bytes.len() - FENCES_PREFETCHED_BYTES;
        prefetch(self.bytes[start..].as_ptr(), FENCES_PREFETCHED_BYTES);
    }

    /// Whether the key may be in the page.
    pub fn is_between_fences(&self, key: &[u8]) -> bool {
        self.lower() <= key && self.upper().is_none_or(|upper| key < upper)
    }

    /// The index of the first key that is not less.
    pub fn rank(&self, key: &[u8]) -> usize {
        self.find(key).unwrap_or_else(|at| at)
    }

    /// Which child of a branch the key belongs to.
    pub fn child_index(&self, key: &[u8]) -> usize {
        child_at(self.find(key))
    }

    /// The same for a key that lies between the fences.
    #[inline]
    pub fn child_index_inside(&self, key: &[u8]) -> usize {
        child_at(self.find_inside(key))
    }

    /// The child of a branch that a key between its fences belongs to.
    #[inline]
    pub fn child_for(&self, key: &[u8]) -> PageId {
        self.child(self.child_index_inside(key))
    }

    /// The stretch of cells whose heads are equal to `head`.
    fn ties(&self, head: u32) -> (usize, usize) {
        let heads = self.heads();
        let (mut low, mut high) = (0, heads.len() / 4);
        while high - low > COUNTED {
            let middle = low.midpoint(high);
            if u32_at(heads, 4 * middle) < head { low = middle + 1 } else { high = middle }
        }
        let first = low + count(&heads[4 * low..4 * high], |it| it < head);
        let mut end = first;
        // Most heads are unlike their neighbours; only where the next one is equal is it worth counting.
        while heads.get(4 * end..4 * end + 4).is_some_and(|next| u32_at(next, 0) == head) {
            let next = heads.len().min(4 * (end + COUNTED));
            end += count(&heads[4 * end..next], |it| it <= head);
        }
        (first, end)
    }
}

/// Which child a search has found.
fn child_at(found: Result<usize, usize>) -> usize {
    found.unwrap_or_else(|at| at.saturating_sub(1))
}

/// How many of the heads are as asked for.
fn count(heads: &[u8], is_so: impl Fn(u32) -> bool) -> usize {
    let one = |head: &[u8]| u32::from(is_so(u32::from_le_bytes([head[0], head[1], head[2], head[3]])));
    heads.chunks_exact(4).map(one).sum::<u32>() as usize
}
