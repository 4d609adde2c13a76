//! Leaves that lie in the data file already, put into the tree.
//!
//! ```text
//! parent    … │ x │ …                  … │ x │ leaf │ y │ …
//!               │             ─▶           │     │     │
//! leaf x      [ a b      g h ]           [a b]  ╎     [g h]       nothing was between b and g; x or y may be needless
//! ```
//!
//! No byte of them is read for that: the record has their fences. Where a leaf does not lie between two neighbouring keys of
//! one page, which is so if pages were split or the length of pages was changed meanwhile, its entries are put one by one.
//! Branches above are made like all others. Called by the store and recovery.

use adapter_api::Result;
use page::{Cell, Head, Page, PageId, PageRef, Payload};

use crate::edit::{Edit, Step};
use crate::record::{AheadLeaf, Item, Items};
use crate::tree::ROOT;

impl Edit<'_> {
    /// Takes everything in that a record says.
    pub(crate) fn take_ahead(&mut self, items: Items<'_>) -> Result<()> {
        // Keys of pages that may hold too little.
        let mut cuts: Vec<Vec<u8>> = Vec::new();
        for item in items {
            match item? {
                Item::Leaf(leaf) => {
                    // What was behind the leaf before this one is behind this one now.
                    cuts.pop_if(|cut| cut == leaf.lower);
                    self.take_leaf(&leaf, &mut cuts)?;
                    cuts.extend(leaf.upper.map(<[u8]>::to_vec));
                }
                Item::Value { key, bytes, place } => self.put_ahead(key, bytes, place)?,
                Item::Batch(batch) => self.apply(batch)?,
            }
        }
        cuts.iter().try_for_each(|cut| self.settle(Some(cut)))
    }

    fn take_leaf(&mut self, leaf: &AheadLeaf<'_>, cuts: &mut Vec<Vec<u8>>) -> Result<()> {
        let AheadLeaf { place, size, .. } = *leaf;
        match self.graft(leaf, cuts)? {
            true => self.size += size,
            false => {
                let page = self.tree.frames.places.read_at(page::UNNAMED, place)?;
                for cell in page.view().cells() {
                    if let Payload::Here(value) = cell.payload {
                        self.put(&cell.key(), value)?;
                    }
                }
                self.spent.push(place.extent);
            }
        }
        Ok(())
    }

    /// Puts a leaf where nothing is; answers whether that can be. Notes a key of what is cut off in front of it.
    fn graft(&mut self, leaf: &AheadLeaf<'_>, cuts: &mut Vec<Vec<u8>>) -> Result<bool> {
        loop {
            let at = self.descend(leaf.lower)?;
            let front = self.page(at)?.lower().to_vec();
            if !has_room_between_keys(self.page(at)?, leaf) {
                return Ok(false);
            }
            let Some(parent) = self.path.last().copied() else {
                self.raise_root()?;
                continue;
            };
            if self.graft_below(parent, at, leaf)? {
                cuts.extend((*front < *leaf.lower).then_some(front));
                return Ok(true);
            }
            let cell = |fence| Cell::new(fence, Payload::Child(at)).bytes(0);
            let room = cell(leaf.lower) + cell(leaf.upper.unwrap_or_default());
            self.split(self.path.len() - 1, leaf.lower, room)?;
        }
    }

    /// Puts a leaf in front of, behind, or into the middle of another one, or in its place; answers whether the parent
    /// has room for that.
    fn graft_below(&mut self, parent: Step, at: PageId, leaf: &AheadLeaf<'_>) -> Result<bool> {
        let id = self.ids.take(&self.turn)?;
        let spare = self.ids.take(&self.turn)?;
        let page = self.page(at)?;
        let (head, in_front) = (page.head(), page.rank(leaf.lower));
        let is_left = head.lower < leaf.lower;
        let right = leaf.upper.filter(|upper| head.upper != Some(*upper));
        let right_id = if is_left { spare } else { at };
        let mut above = self.page(parent.id)?.to_page();
        let behind = parent.index + usize::from(is_left);
        let mut fits = match is_left {
            true => above.insert(behind, leaf.lower, Payload::Child(id)),
            false => above.replace(behind, Payload::Child(id)),
        };
        fits = fits && right.is_none_or(|upper| above.insert(behind + 1, upper, Payload::Child(right_id)));
        if !fits {
            [id, spare].into_iter().for_each(|id| self.ids.give_back(id));
            return Ok(false);
        }
        let page_bytes = self.tree.page_bytes;
        let left = is_left.then(|| {
            Page::build(Head { upper: Some(leaf.lower), ..head }, page.cells().take(in_front), page_bytes)
        });
        let right = right.map(|lower| {
            Page::build(Head { id: right_id, lower, ..head }, page.cells().skip(in_front), page_bytes)
        });
        if !is_left || right.is_none() {
            self.ids.give_back(spare);
        }
        if left.is_none() && right.is_none() {
            self.discard(at);
        }
        self.set(above);
        left.into_iter().chain(right).for_each(|page| self.set(page));
        self.ahead.insert(id, leaf.place);
        Ok(true)
    }

    /// Puts the root below a new one, which has it as its only child for now.
    fn raise_root(&mut self) -> Result<()> {
        let id = self.ids.take(&self.turn)?;
        let mut below = self.page(ROOT)?.to_page();
        below.set_id(id);
        let head = Head { id: ROOT, level: below.view().level() + 1, lower: &[], upper: None };
        let root = Page::build(head, [Cell::new(&[], Payload::Child(id))].into_iter(), self.tree.page_bytes);
        self.set(root);
        self.set(below);
        Ok(())
    }
}

/// Whether a leaf lies between the fences of a page, and between two neighbouring keys of it.
fn has_room_between_keys(page: PageRef<'_>, leaf: &AheadLeaf<'_>) -> bool {
    let is_within = page.upper().is_none_or(|end| leaf.upper.is_some_and(|upper| upper <= end));
    let end = leaf.upper.map_or(page.count(), |upper| page.rank(upper));
    is_within && page.rank(leaf.lower) == end
}
