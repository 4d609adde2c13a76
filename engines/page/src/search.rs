//! The search in a page: heads first, bytes only where heads are equal.
//!
//! Heads lie side by side, so a few steps of a binary search find a stretch of them, and counting those that are less
//! needs no branch: the compiler makes vector instructions of it. Promises: a key outside the fences finds the end
//! that it lies behind. Called on every way down a tree.

use crate::PageId;
use crate::layout::*;
use crate::view::PageRef;

/// So many heads are counted rather than halved: two or three cache lines.
const COUNTED: usize = 48;

impl PageRef<'_> {
    /// Where the key is, or where it would be.
    ///
    /// # Errors
    /// The index of the first key that is larger, if the key is not there.
    pub fn find(&self, key: &[u8]) -> Result<usize, usize> {
        let Some(suffix) = self.behind_prefix(key) else { return Err(self.outside(key)) };
        let (mut low, mut high) = self.ties(head_of(suffix));
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

    /// The index of the first key that is not less.
    pub fn rank(&self, key: &[u8]) -> usize {
        self.find(key).unwrap_or_else(|at| at)
    }

    /// Which child of a branch the key belongs to.
    pub fn child_index(&self, key: &[u8]) -> usize {
        match self.find(key) {
            Ok(at) => at,
            Err(at) => at.saturating_sub(1),
        }
    }

    /// The child of a branch that the key belongs to.
    pub fn child_for(&self, key: &[u8]) -> PageId {
        self.child(self.child_index(key))
    }

    /// The key behind the prefix; `None` if it does not begin with it, so that it lies outside the fences.
    fn behind_prefix<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        key.strip_prefix(self.prefix())
    }

    fn outside(&self, key: &[u8]) -> usize {
        if key < self.prefix() { 0 } else { self.count() }
    }

    /// The stretch of cells whose heads are equal to `head`.
    fn ties(&self, head: u32) -> (usize, usize) {
        let heads = self.heads();
        let (mut low, mut high) = (0, self.count());
        while high - low > COUNTED {
            let middle = low.midpoint(high);

            if u32_at(heads, 4 * middle) < head { low = middle + 1 } else { high = middle }
        }
        let first = low + count(&heads[4 * low..4 * high], |it| it < head);
        let mut end = first;
        loop {
            let next = (end + COUNTED).min(self.count());
            let equal = count(&heads[4 * end..4 * next], |it| it <= head);
            end += equal;
            if equal < COUNTED {
                return (first, end);
            }
        }
    }
}

/// How many of the heads are as asked for.
fn count(heads: &[u8], is_so: impl Fn(u32) -> bool) -> usize {
    let one = |head: &[u8]| u32::from(is_so(u32::from_le_bytes([head[0], head[1], head[2], head[3]])));
    heads.chunks_exact(4).map(one).sum::<u32>() as usize
}
