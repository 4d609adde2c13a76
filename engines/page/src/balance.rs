//! Pages that become two, or one: splits, merges, redistribution between neighbours.
//!
//! Promises: nothing is lost, the order stays, and the new fence is one that belongs to the right page; between
//! leaves it is the shortest there is. Called by the writer of a tree, which tells the parent.

use crate::PageId;
use crate::build::{Cell, Head};
use crate::edit::Page;
use crate::layout::*;
use crate::view::{PageRef, Payload};

/// So many insertions in a row behind all others mean that keys come in ascending order.
const ASCENDING: u8 = 4;

/// Two pages that hold what one held, or what two held before. The fence between them is the lower one of the right.
#[derive(Debug)]
pub struct Split {
    /// The keys below the fence.
    pub left: Page,
    /// The keys from the fence on.
    pub right: Page,
}

impl Split {
    fn build<'a>(
        (left, right): (Head<'a>, Head<'a>),
        cells: impl Iterator<Item = Cell<'a>> + Clone,
        at: usize,
        least: usize,
    ) -> Self {
        let left = Page::build(left, cells.clone().take(at), least);
        Self { left, right: Page::build(right, cells.skip(at), least) }
    }
}

/// The shortest key that is larger than `left` and not larger than `right`.
pub fn separator<'a>(left: &[u8], right: &'a [u8]) -> &'a [u8] {
    &right[..right.len().min(common_prefix(left, right) + 1)]
}

impl<'a> PageRef<'a> {
    /// Splits the page to make room for a key that belongs at `index`. The right page is called `id`, and both have
    /// `least` bytes or as many more as they need. Where keys ascend, the left page stays full.
    ///
    /// `None` if the page cannot be split: a leaf with less than two keys, a branch with less than four.
    pub fn split(&self, index: usize, key: &[u8], id: PageId, least: usize) -> Option<Split> {
        let count = self.count();
        if count < if self.level() == 0 { 2 } else { 4 } {
            return None;
        }
        let ascends = index == count && (self.upper().is_none() || self.run() >= ASCENDING);
        let at = match (ascends, self.level()) {
            (true, 0) => count,
            (true, _) => count - 2,
            (false, 0) => middle(self.cells(), 1),
            (false, _) => middle(self.cells(), 2),
        };
        let first = self.cells().nth(at).unwrap_or(Cell::new(key, Payload::Here(&[])));
        let fence = self.fence(self.cell(at - 1), first);
        let heads = (Head { upper: Some(&fence), ..self.head() }, Head { id, lower: &fence, ..self.head() });
        Some(Split::build(heads, self.cells(), at, least))
    }

    /// The fence between two cells of this level.
    fn fence(&self, last: Cell<'_>, first: Cell<'_>) -> Vec<u8> {
        let first = first.key();
        if self.level() > 0 { first } else { separator(&last.key(), &first).to_vec() }
    }

    /// How many bytes one page uses that holds what this one and its right neighbour hold.
    pub fn merged_bytes(&self, right: PageRef<'a>) -> usize {
        self.merged_head(right).bytes_with(self.cells().chain(right.cells()))
    }

    /// One page that holds what this one and its right neighbour hold; called as this one.
    pub fn merged(&self, right: PageRef<'a>, least: usize) -> Page {
        Page::build(self.merged_head(right), self.cells().chain(right.cells()), least)
    }

    fn merged_head(&self, right: PageRef<'a>) -> Head<'a> {
        Head { upper: right.upper(), ..self.head() }
    }

    /// Shares the cells of this page and its right neighbour evenly. `None` if no cell would move.
    pub fn redistributed(&self, right: PageRef<'a>, least: usize) -> Option<Split> {
        let cells = || self.cells().chain(right.cells());
        let at = middle(cells(), if self.level() == 0 { 1 } else { 2 });
        if at == self.count() {
            return None;
        }
        let fence = self.fence(cells().nth(at.checked_sub(1)?)?, cells().nth(at)?);
        let heads = (Head { upper: Some(&fence), ..self.head() }, Head { lower: &fence, ..right.head() });
        Some(Split::build(heads, cells(), at, least))
    }

    /// The same cells between other fences. The first key of a branch is its lower fence.
    pub fn refenced(&self, lower: &[u8], upper: Option<&[u8]>, least: usize) -> Page {
        let is_branch = self.level() > 0;
        let cells = self.cells().enumerate().map(|(index, cell)| match is_branch && index == 0 {
            true => Cell::new(lower, cell.payload),
            false => cell,
        });
        Page::build(Head { lower, upper, ..self.head() }, cells, least)
    }
}

/// How many cells go left so that both sides have about as many bytes, and at least `least` cells.
fn middle<'a>(cells: impl Iterator<Item = Cell<'a>> + Clone, least: usize) -> usize {
    let (count, total) = cells.clone().fold((0, 0), |(count, sum), cell| (count + 1, sum + cell.bytes(0)));
    let mut sum = 0;
    let at = cells.take_while(|cell| {
        sum += cell.bytes(0);
        2 * sum <= total
    });
    at.count().clamp(least.min(count), count.saturating_sub(least).max(least.min(count)))
}
