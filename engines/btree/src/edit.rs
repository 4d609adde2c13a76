//! A change of the tree that nobody sees yet.
//!
//! ```text
//! page as it is published ──copy──▶ page of the edit ──… more changes, in place …──▶ publish: all at one instant
//! ```
//!
//! Parents know children by numbers, so a change copies the leaf alone; branches change only where pages split or
//! merge. Promises: dropping an edit is as if it had never been. Called by the engine and by recovery.

use std::collections::BTreeMap;
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;

use adapter_api::{Batch, EngineError, Mutation, Result};
use page::{Page, PageId, PageRef, Payload, Split};

use crate::changed::Changed;
use crate::ids::{Ids, TakenIds};
use crate::key_order::in_key_order;
use crate::map::Place;
use crate::pin::Pin;
use crate::space::Extent;
use crate::tree::{ROOT, Size, Tree, check_level};

/// A page that is longer than this is split where it can be, and none is made so by sharing cells: large keys that have
/// lost what they had in common may take many times the bytes. Pages that cannot be split are not much longer.
pub(crate) const TOO_LONG_BYTES: usize = 256 << 10;

/// Batches of so many mutations are done in the order of their keys: several may belong to one leaf, and neighbours go the
/// same way down.
const ORDERED_FROM: usize = 64;

/// One page on the way down to a key, and which of its cells the way goes through.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) id: PageId,
    pub(crate) index: usize,
}

/// A change of the tree, and the writer's turn.
#[must_use = "an edit counts only after `publish`"]
pub(crate) struct Edit<'a> {
    pub(crate) tree: &'a Tree,
    base: Pin<'a>,
    changed: Changed,
    /// Pages that are new and lie in the file already; they are in `changed` once they are changed.
    pub(crate) ahead: BTreeMap<PageId, Place>,
    /// Where such pages were that are not there any more.
    pub(crate) spent: Vec<Extent>,
    pub(crate) ids: TakenIds,
    pub(crate) turn: MutexGuard<'a, Ids>,
    pub(crate) size: Size,
    pub(crate) path: Vec<Step>,
    /// The leaf that the path leads to, until pages come or go.
    leaf: Option<PageId>,
}

/// What came of an edit.
pub(crate) struct Published {
    /// Pages that are new, changed or removed.
    pub(crate) changed: Vec<PageId>,
    /// Pages that are new and lie in the file already.
    pub(crate) ahead: BTreeMap<PageId, Place>,
    /// Where such pages were that are not there any more.
    pub(crate) spent: Vec<Extent>,
}

impl<'a> Edit<'a> {
    pub(crate) fn new(tree: &'a Tree) -> Self {
        let turn = tree.take_turn();
        let (base, size, ids) = (tree.frames.pin(), tree.size(), turn.begin());
        let (changed, ahead, spent) = (Changed::default(), BTreeMap::new(), Vec::new());
        Self { tree, base, changed, ahead, spent, ids, turn, size, path: Vec::new(), leaf: None }
    }

    /// Adds every mutation of a batch.
    pub(crate) fn apply(&mut self, batch: Batch<'_>) -> Result<()> {
        match batch.iter().nth(ORDERED_FROM - 1) {
            Some(_) => in_key_order(batch, |mutation| self.apply_one(mutation)),
            None => batch.into_iter().try_for_each(|mutation| self.apply_one(mutation)),
        }
    }

    /// Adds one mutation.
    pub(crate) fn apply_one(&mut self, mutation: Mutation<'_>) -> Result<()> {
        match mutation {
            Mutation::Put { key, value } => self.put(key, value),
            Mutation::Delete { key } => self.delete(key),
            Mutation::DeleteRange(range) => self.delete_range(range),
        }
    }

    /// Makes all of it visible at one instant.
    pub(crate) fn publish(mut self) -> Published {
        let mut changed: Vec<_> = self.changed.keys().copied().collect();
        changed.sort_unstable();
        // The numbers must not be used again, and our own read must be over, before what is superseded can go.
        self.turn.keep(self.ids);
        drop(self.base);
        self.tree.frames.put_ahead(&self.ahead);
        if !self.changed.is_empty() {
            let free = self.tree.frames.publish(self.changed.into_iter());
            self.turn.give_back(free);
        }
        self.tree.set_size(self.size);
        Published { changed, ahead: self.ahead, spent: self.spent }
    }

    /// How many pages are new, changed or removed.
    pub(crate) fn changed_pages(&self) -> u64 {
        self.changed.len() as u64
    }

    /// The tree as it was before the edit.
    pub(crate) fn base(&self) -> &Pin<'a> {
        &self.base
    }

    /// A page as this edit has it.
    pub(crate) fn page(&self, id: PageId) -> Result<PageRef<'_>> {
        match self.changed.get(&id) {
            Some(changed) => changed.as_ref().map(Page::view).ok_or_else(|| missing(id)),
            None => match self.ahead.get(&id) {
                Some(place) => self.base.page_at(id, *place),
                None => self.base.page(id),
            },
        }
    }

    /// The page below a branch, as this edit has it.
    pub(crate) fn below(&self, branch: PageRef<'_>, child: PageId) -> Result<PageRef<'_>> {
        let page = self.page(child)?;
        check_level(branch, page).map(|()| page)
    }

    /// Looks at a page as this edit has it, without keeping it in memory if it is not.
    pub(crate) fn look_at<R>(&self, id: PageId, look: impl FnOnce(PageRef<'_>) -> Result<R>) -> Result<R> {
        match (self.changed.get(&id), self.ahead.get(&id)) {
            (Some(changed), _) => look(changed.as_ref().map(Page::view).ok_or_else(|| missing(id))?),
            (None, Some(place)) => look(self.tree.frames.places.read_at(id, *place)?.view()),
            (None, None) => self.base.look_at(id, |page| look(page.ok_or_else(|| missing(id))?)),
        }
    }

    /// A page, to be changed.
    pub(crate) fn page_mut(&mut self, id: PageId) -> Result<&mut Page> {
        if !self.changed.contains_key(&id) {
            let page = self.page(id)?.to_page();
            self.forget_ahead(id);
            self.changed.insert(id, Some(page));
        }
        self.changed.get_mut(&id).and_then(Option::as_mut).ok_or_else(|| missing(id))
    }

    /// Puts a page in the place of what has its number.
    pub(crate) fn set(&mut self, page: Page) {
        let id = page.view().id();
        self.leaf = None;
        self.forget_ahead(id);
        self.changed.insert(id, Some(page));
    }

    /// Removes a page.
    pub(crate) fn discard(&mut self, id: PageId) {
        self.leaf = None;
        if self.base.may_have(id) {
            self.changed.insert(id, None);
        } else {
            self.forget_ahead(id);
            self.changed.remove(&id);
            self.ids.give_back(id);
        }
    }

    fn forget_ahead(&mut self, id: PageId) {
        self.spent.extend(self.ahead.remove(&id).map(|place| place.extent));
    }

    /// Puts a value under a key, whatever was there.
    pub(crate) fn put(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let away = (value.len() > self.tree.page_bytes / 4).then(|| self.ids.take(&self.turn)).transpose()?;
        let payload = match away {
            Some(id) => {
                self.set(Page::of_value(id, key, value));
                Payload::Away { id, bytes: value.len() as u32 }
            }
            None => Payload::Here(value),
        };
        self.put_counted(key, payload, value.len())
    }

    /// Puts a value of so many bytes under a key that lies in the data file already.
    pub(crate) fn put_ahead(&mut self, key: &[u8], bytes: u32, place: Place) -> Result<()> {
        let id = self.ids.take(&self.turn)?;
        self.ahead.insert(id, place);
        self.put_counted(key, Payload::Away { id, bytes }, bytes as usize)
    }

    fn put_counted(&mut self, key: &[u8], payload: Payload<'_>, value_bytes: usize) -> Result<()> {
        let replaced = self.put_payload(key, payload)?;
        self.size.add_entry((key.len() + value_bytes) as u64);
        self.forget(replaced, key.len());
        Ok(())
    }

    /// Puts something behind a key; answers what was there.
    fn put_payload(&mut self, key: &[u8], payload: Payload<'_>) -> Result<Option<Gone>> {
        loop {
            let leaf = self.descend(key)?;
            let page = self.page_mut(leaf)?;
            let found = page.view().find_inside(key);
            let gone = found.ok().map(|index| Gone::of(page.view().payload(index)));
            let fits = match found {
                Ok(index) => page.replace(index, payload),
                Err(index) => page.insert(index, key, payload),
            };
            if fits {
                return Ok(gone);
            }
            let cell = page::Cell::new(key, payload).bytes(0);
            self.split(self.path.len(), key, cell)?;
        }
    }

    /// Removes a key, if it is there.
    pub(crate) fn delete(&mut self, key: &[u8]) -> Result<()> {
        let id = self.descend(key)?;
        let leaf = self.page(id)?;
        let Ok(index) = leaf.find_inside(key) else { return Ok(()) };
        let gone = Gone::of(leaf.payload(index));
        let leaf = self.page_mut(id)?;
        leaf.remove(index);
        let is_poor = self.is_poor(self.page(id)?);
        self.forget(Some(gone), key.len());
        if is_poor { self.settle(Some(key)) } else { Ok(()) }
    }

    /// Takes what stood behind a key of so many bytes out of the count, and its value page out of the tree.
    pub(crate) fn forget(&mut self, gone: Option<Gone>, key_bytes: usize) {
        let Some(gone) = gone else { return };
        self.size.entries -= 1;
        self.size.bytes -= (key_bytes + gone.bytes) as u64;
        if let Some(id) = gone.page {
            self.discard(id);
        }
    }

    /// Goes down to the leaf of a key, and notes the way. The next key often belongs to the same leaf.
    pub(crate) fn descend(&mut self, key: &[u8]) -> Result<PageId> {
        if let Some(leaf) = self.leaf
            && self.page(leaf)?.is_between_fences(key)
        {
            return Ok(leaf);
        }
        let mut path = std::mem::take(&mut self.path);
        path.clear();
        let leaf = self.way_to(key, &mut path);
        self.path = path;
        self.leaf = leaf.as_ref().ok().copied();
        leaf
    }

    fn way_to(&self, key: &[u8], path: &mut Vec<Step>) -> Result<PageId> {
        let mut page = self.page(ROOT)?;
        while page.level() > 0 {
            let index = page.child_index_inside(key);
            path.push(Step { id: page.id(), index });
            page = self.below(page, page.child(index))?;
        }
        Ok(page.id())
    }

    /// Makes room for a cell of so many bytes in the page at `depth` of the noted way, or in one above it. Whoever
    /// asked goes down again.
    pub(crate) fn split(&mut self, depth: usize, key: &[u8], cell: usize) -> Result<()> {
        let id = self.page_at(depth)?;
        let page_bytes = self.tree.page_bytes;
        let right = self.ids.take(&self.turn)?;
        let page = self.page(id)?;
        let Some(split) = page.split(page.rank(key), key, right, page_bytes) else {
            // Few cells with large keys: the page gets longer.
            let longer = page.resized(page.used_bytes() + cell);
            self.ids.give_back(right);
            self.set(longer);
            return Ok(());
        };
        if depth == 0 {
            return self.split_root(split);
        }
        let (parent, fence) = (self.path[depth - 1], split.right.view().lower());
        if !self.page_mut(parent.id)?.insert(parent.index + 1, fence, Payload::Child(right)) {
            self.ids.give_back(right);
            return self.split(depth - 1, fence, page::Cell::new(fence, Payload::Child(right)).bytes(0));
        }
        self.tree.counters.splits.fetch_add(1, Ordering::Relaxed);
        self.set(split.left);
        self.set(split.right);
        Ok(())
    }

    /// Splits a page on the way to a key that is far too long and can be split; answers whether there was one.
    pub(crate) fn split_longest(&mut self, key: &[u8]) -> Result<bool> {
        self.descend(key)?;
        for depth in 0..=self.path.len() {
            let page = self.page(self.page_at(depth)?)?;
            let can_split = page.count() >= if page.level() == 0 { 2 } else { 4 };
            if page.bytes().len() > TOO_LONG_BYTES && can_split {
                let inside = page.cell(page.count() / 2).key();
                return self.split(depth, &inside, 0).map(|()| true);
            }
        }
        Ok(false)
    }

    /// The page at `depth` of the noted way.
    fn page_at(&self, depth: usize) -> Result<PageId> {
        match depth.checked_sub(1).map(|above| self.path[above]) {
            None => Ok(ROOT),
            Some(above) => Ok(self.page(above.id)?.child(above.index)),
        }
    }

    /// Puts both halves of the root below a new one.
    fn split_root(&mut self, mut split: Split) -> Result<()> {
        let left = self.ids.take(&self.turn)?;
        split.left.set_id(left);
        let (fence, level) = (split.right.view().lower(), split.left.view().level() + 1);
        let cells = [
            page::Cell::new(&[], Payload::Child(left)),
            page::Cell::new(fence, Payload::Child(split.right.view().id())),
        ];
        let head = page::Head { id: ROOT, level, lower: &[], upper: None };
        let root = Page::build(head, cells.into_iter(), self.tree.page_bytes);
        self.tree.counters.splits.fetch_add(1, Ordering::Relaxed);
        self.set(root);
        self.set(split.left);
        self.set(split.right);
        Ok(())
    }
}

fn missing(id: PageId) -> EngineError {
    EngineError::failed(format!("page {id} is missing"))
}

/// What stood behind a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gone {
    bytes: usize,
    page: Option<PageId>,
}

impl Gone {
    pub(crate) fn of(payload: Payload<'_>) -> Self {
        match payload {
            Payload::Here(value) => Self { bytes: value.len(), page: None },
            Payload::Away { id, bytes } => Self { bytes: bytes as usize, page: Some(id) },
            Payload::Child(_) => Self { bytes: 0, page: None },
        }
    }
}
