//! A delete of every key of a range: whole subtrees go, and two ways down are trimmed.
//!
//! ```text
//!            [ a | b | c | d | e ]            b … d lie within the range, a and e only in part
//!              │   └───┴───┘   │
//!            trim    drop     trim            a then reaches up to e, all the way down
//! ```
//!
//! Promises: entries of dropped pages are counted without looking at each key; the rest of the tree is not touched.
//! Called by `edit`.

use adapter_api::{KeyRange, Result};
use page::{Kind, PageId, PageRef};

use crate::edit::{Edit, Gone};
use crate::tree::{ROOT, check_level_below};

impl Edit<'_> {
    /// Removes every key of the range.
    pub(crate) fn delete_range(&mut self, range: KeyRange<'_>) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        self.trim(ROOT, range)?;
        // Between fences that are further apart a page has less of a prefix, and may have become very long.
        while self.split_longest(range.start())? {}
        self.settle(Some(range.start()))?;
        self.settle(range.end())
    }

    /// Removes the keys of the range from a page and what lies below.
    fn trim(&mut self, id: PageId, range: KeyRange<'_>) -> Result<()> {
        let page = self.page(id)?;
        if page.kind() != Kind::Branch {
            return self.trim_leaf(id, range);
        }
        let first = page.child_index(range.start());
        let last = range.end().map_or(page.count() - 1, |end| page.child_index(end));
        let (start, end) =
            (self.below(page, page.child(first))?.id(), self.below(page, page.child(last))?.id());
        self.trim(start, range)?;
        if last > first {
            self.trim(end, range)?;
        }
        if last > first + 1 { self.drop_between(id, first, last) } else { Ok(()) }
    }

    /// Removes the children of a branch between two others. The first of these then reaches up to the second.
    fn drop_between(&mut self, id: PageId, first: usize, last: usize) -> Result<()> {
        let page = self.page(id)?;
        let level = page.level();
        let dropped: Vec<_> = (first + 1..last).map(|index| page.child(index)).collect();
        let (start, fence) = (page.child(first), page.cell(last).key());
        let cells = page.cells().enumerate();
        let kept = cells.filter(|(index, _)| *index <= first || *index >= last).map(|(_, cell)| cell);
        let rest = page::Page::build(page.head(), kept, self.tree.page_bytes);
        self.set(rest);
        dropped.into_iter().try_for_each(|child| self.drop_subtree(child, level))?;
        self.raise_upper_fence(start, &fence)
    }

    fn trim_leaf(&mut self, id: PageId, range: KeyRange<'_>) -> Result<()> {
        let leaf = self.page(id)?;
        let from = leaf.rank(range.start());
        let to = range.end().map_or(leaf.count(), |end| leaf.rank(end)).max(from);
        if from == to {
            return Ok(());
        }
        let gone = values_of(leaf, from, to);
        let rest = page::Page::build(
            leaf.head(),
            leaf.cells().take(from).chain(leaf.cells().skip(to)),
            self.tree.page_bytes,
        );
        self.set(rest);
        gone.into_iter().for_each(|(gone, key_bytes)| self.forget(Some(gone), key_bytes));
        Ok(())
    }

    /// Removes a page below one of a level, and everything below it. Pages that are not in memory are read for that, and
    /// do not stay.
    fn drop_subtree(&mut self, id: PageId, above: u8) -> Result<()> {
        let (level, children, gone) = self.look_at(id, |page| {
            check_level_below(above, page)?;
            Ok(match page.kind() {
                Kind::Branch => {
                    (page.level(), (0..page.count()).map(|index| page.child(index)).collect(), Vec::new())
                }
                _ => (page.level(), Vec::new(), values_of(page, 0, page.count())),
            })
        })?;
        children.into_iter().try_for_each(|child| self.drop_subtree(child, level))?;
        gone.into_iter().for_each(|(gone, key_bytes)| self.forget(Some(gone), key_bytes));
        self.discard(id);
        Ok(())
    }

    /// Lets a page, and the last page of each level below it, hold keys up to another fence.
    fn raise_upper_fence(&mut self, id: PageId, fence: &[u8]) -> Result<()> {
        let page = self.page(id)?;
        let last = (page.kind() == Kind::Branch).then(|| self.below(page, page.child(page.count() - 1)));
        let child = last.transpose()?.map(|child| child.id());
        let raised = page.refenced(page.lower(), Some(fence), self.tree.page_bytes);
        self.set(raised);
        child.map_or(Ok(()), |child| self.raise_upper_fence(child, fence))
    }
}

/// What stands behind the keys of a leaf from one index up to before another, and the length of each key.
fn values_of(leaf: PageRef<'_>, from: usize, to: usize) -> Vec<(Gone, usize)> {
    let prefix = leaf.prefix().len();
    let value = |index: usize| (Gone::of(leaf.payload(index)), prefix + leaf.suffix(index).len());
    (from..to).map(value).collect()
}
