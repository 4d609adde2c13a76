//! Pages that hold too little: merged with a neighbour, or filled from it.
//!
//! Promises: after `settle` no page on the way to a key is poor that could be helped, and the tree is no higher than
//! it must be. Called behind deletes.

use std::sync::atomic::Ordering;

use adapter_api::Result;
use page::{Page, PageId, PageRef, Payload};

use crate::edit::{Edit, TOO_LONG_BYTES};
use crate::tree::ROOT;

/// A page that uses less than this share of its length, in percent, is poor.
const POOR_PERCENT: usize = 40;
/// Two pages become one if that uses at most this share, so that it is not split again at once.
const MERGED_PERCENT: usize = 90;

impl Edit<'_> {
    /// Whether the page should be merged or filled, or be shorter.
    pub(crate) fn is_poor(&self, page: PageRef<'_>) -> bool {
        let page_bytes = self.tree.page_bytes;
        let is_poor = page.used_bytes() * 100 < page_bytes * POOR_PERCENT;
        is_poor || page.level() > 0 && page.count() < 2 || is_too_long(page, page_bytes)
    }

    /// Helps every poor page on the way to a key, or to the last of all; from the root down, and again from there as
    /// long as pages merge.
    pub(crate) fn settle(&mut self, key: Option<&[u8]>) -> Result<()> {
        while self.settle_once(key)? {}
        Ok(())
    }

    /// Goes down once; answers whether the way changed.
    fn settle_once(&mut self, key: Option<&[u8]>) -> Result<bool> {
        let mut id = ROOT;
        while self.page(id)?.level() > 0 {
            let page = self.page(id)?;
            if id == ROOT && page.count() == 1 {
                self.lower_root()?;
                return Ok(true);
            }
            let index = key.map_or(page.count() - 1, |key| page.child_index(key));
            let (child, has_siblings) = (page.child(index), page.count() > 1);
            let is_poor = self.is_poor(self.below(page, child)?);
            if is_poor && has_siblings && self.balance(id, index)? {
                return Ok(true);
            }
            id = child;
        }
        self.shorten(id)?;
        Ok(false)
    }

    /// Puts the only child of the root in its place.
    fn lower_root(&mut self) -> Result<()> {
        let child = self.page(ROOT)?.child(0);
        let mut root = self.page(child)?.refenced(&[], None, self.tree.page_bytes);
        root.set_id(ROOT);
        self.discard(child);
        self.set(root);
        Ok(())
    }

    /// Merges the child at `index` with a neighbour, or shares their cells; answers whether two became one.
    fn balance(&mut self, parent: PageId, index: usize) -> Result<bool> {
        self.shorten(self.page(parent)?.child(index))?;
        let page = self.page(parent)?;
        let used = |at: usize| self.below(page, page.child(at)).map(|page| page.used_bytes());
        let right = match index {
            0 => 1,
            _ if index + 1 < page.count() && used(index + 1)? < used(index - 1)? => index + 1,
            _ => index,
        };
        let pages = (self.below(page, page.child(right - 1))?, self.below(page, page.child(right))?);
        let page_bytes = self.tree.page_bytes;
        if pages.0.merged_bytes(pages.1) * 100 <= page_bytes * MERGED_PERCENT {
            let (merged, gone) = (pages.0.merged(pages.1, page_bytes), pages.1.id());
            self.set(merged);
            self.discard(gone);
            self.page_mut(parent)?.remove(right);
            self.tree.counters.merges.fetch_add(1, Ordering::Relaxed);
            return Ok(true);
        }
        let shared = pages.0.redistributed(pages.1, page_bytes);
        let is_short = |page: &Page| page.view().bytes().len() <= TOO_LONG_BYTES;
        let Some(shared) = shared.filter(|it| is_short(&it.left) && is_short(&it.right)) else {
            return Ok(false);
        };
        // A longer fence may not fit into the parent; then the pages stay as they are, which is allowed.
        let mut above = page.to_page();
        above.remove(right);
        if above.insert(right, shared.right.view().lower(), Payload::Child(pages.1.id())) {
            self.tree.counters.redistributions.fetch_add(1, Ordering::Relaxed);
            self.set(above);
            self.set(shared.left);
            self.set(shared.right);
        }
        Ok(false)
    }

    /// Gives back what a page is too long.
    fn shorten(&mut self, id: PageId) -> Result<()> {
        let page = self.page(id)?;
        if is_too_long(page, self.tree.page_bytes) {
            let shorter = page.resized(self.tree.page_bytes);
            self.set(shorter);
        }
        Ok(())
    }
}

/// Whether a page that was made longer for large keys has lost most of them.
fn is_too_long(page: PageRef<'_>, page_bytes: usize) -> bool {
    let bytes = page.bytes().len();
    bytes > page_bytes && page.used_bytes().max(page_bytes) * 2 <= bytes
}
