//! The tree: where reads and edits begin, and what there is in all.
//!
//! Promises: readers wait for nobody; one edit at a time, unseen until it is published as a whole. Called by the
//! engine, recovery and the checkpointer.

use std::iter;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use adapter_api::{Buffer, EngineError, Result};
use page::{Kind, Page, PageId, PageRef, Payload};
use wal::lock;

use crate::edit::Edit;
use crate::frames::{Bounds, Frames};
use crate::ids::Ids;
use crate::pin::Pin;
use crate::places::Places;
use crate::views::{State, Ticket};

/// The number of the root. It never changes; the page does.
pub(crate) const ROOT: PageId = 0;

/// Everything in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Size {
    /// Entries, exactly.
    pub(crate) entries: u64,
    /// Bytes of their keys and values.
    pub(crate) bytes: u64,
}

impl Size {
    /// Adds an entry, whose key and value have so many bytes.
    pub(crate) fn add_entry(&mut self, bytes: u64) {
        *self += Self { entries: 1, bytes };
    }
}

impl AddAssign for Size {
    fn add_assign(&mut self, other: Self) {
        self.entries += other.entries;
        self.bytes += other.bytes;
    }
}

/// How the shape of the tree came about.
#[derive(Debug, Default)]
pub(crate) struct ShapeCounters {
    pub(crate) splits: AtomicU64,
    pub(crate) merges: AtomicU64,
    pub(crate) redistributions: AtomicU64,
}

/// A tree of pages.
pub(crate) struct Tree {
    pub(crate) frames: Frames,
    /// Whoever holds the lock has the writer's turn.
    pub(crate) turn: Mutex<Ids>,
    entries: AtomicU64,
    bytes: AtomicU64,
    pub(crate) counters: ShapeCounters,
    /// The length of a page, but of those with large keys.
    pub(crate) page_bytes: usize,
}

impl Tree {
    /// The tree of a durable checkpoint, as it is in a version; or of an empty leaf if there is none, and the version
    /// is 0.
    pub(crate) fn new(
        version: u64,
        places: Arc<Places>,
        size: Size,
        page_bytes: usize,
        bounds: Bounds,
    ) -> Self {
        let mut ids: Vec<_> = places.map().pages().map(|(id, _)| id).collect();
        let frames = Frames::new(version, places, bounds);
        if ids.is_empty() {
            frames.publish(iter::once((ROOT, Some(Page::empty(ROOT, page_bytes)))));
            ids.push(ROOT);
        }
        let ids = Ids::besides(ids);
        Self {
            frames,
            turn: Mutex::new(ids),
            entries: AtomicU64::new(size.entries),
            bytes: AtomicU64::new(size.bytes),
            counters: ShapeCounters::default(),
            page_bytes,
        }
    }

    /// Takes the writer's turn.
    pub(crate) fn take_turn(&self) -> MutexGuard<'_, Ids> {
        lock(&self.turn)
    }

    /// Begins an edit. Waits until no other one is alive.
    pub(crate) fn edit(&self) -> Edit<'_> {
        Edit::new(self)
    }

    /// Everything in the tree.
    pub(crate) fn size(&self) -> Size {
        Size { entries: self.entries.load(Ordering::Acquire), bytes: self.bytes.load(Ordering::Acquire) }
    }

    pub(crate) fn set_size(&self, size: Size) {
        self.entries.store(size.entries, Ordering::Release);
        self.bytes.store(size.bytes, Ordering::Release);
    }

    /// How many pages a read comes by.
    pub(crate) fn depth(&self) -> u8 {
        self.frames.pin().page(ROOT).map_or(0, |root| root.level() + 1)
    }

    /// The tree as it is now, for as long as the view lives; or until it is ended, if it may be.
    pub(crate) fn view(self: &Arc<Self>, may_end: bool) -> View {
        let (ticket, state) = self.frames.open_view(may_end);
        View { tree: Arc::clone(self), ticket, state }
    }
}

/// A point in time of the tree.
pub(crate) struct View {
    tree: Arc<Tree>,
    ticket: Ticket,
    state: Arc<State>,
}

impl View {
    /// The tree.
    pub(crate) fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    /// The version of the tree that it shows.
    pub(crate) fn version(&self) -> u64 {
        self.ticket.0
    }

    /// Begins a read.
    ///
    /// # Errors
    /// `ViewTooOld`.
    pub(crate) fn pin(&self) -> Result<Pin<'_>> {
        self.tree.frames.pin_view(self.ticket, &self.state)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.tree.frames.close_view(self.ticket);
    }
}

/// Refuses a page that stands below a branch and is not one level down. Pages that came from a device may say anything
/// of each other; as levels go down on every way, no way is endless.
pub(crate) fn check_level(branch: PageRef<'_>, child: PageRef<'_>) -> Result<()> {
    check_level_below(branch.level(), child)
}

/// The same for a page below one of a level.
pub(crate) fn check_level_below(above: u8, child: PageRef<'_>) -> Result<()> {
    match child.level().checked_add(1) == Some(above) && child.kind() != Kind::Value {
        true => Ok(()),
        false => Err(EngineError::failed(format!(
            "page {} is on level {}, and the one above it on level {above}",
            child.id(),
            child.level(),
        ))),
    }
}

/// The value of so many bytes in a page of its own.
fn value_in(page: PageRef<'_>, bytes: u32) -> Result<&[u8]> {
    let value = page.value();
    match page.kind() == Kind::Value && value.len() == bytes as usize {
        true => Ok(value),
        false => Err(EngineError::failed(format!("page {} does not hold the value it should", page.id()))),
    }
}

impl Pin<'_> {
    /// The page below a branch.
    ///
    /// # Errors
    /// `Failed` if the page is missing or on another level.
    pub(crate) fn below(&self, branch: PageRef<'_>, child: PageId) -> Result<PageRef<'_>> {
        let page = self.page(child)?;
        check_level(branch, page).map(|()| page)
    }

    /// The leaf that a key belongs to.
    pub(crate) fn leaf(&self, key: &[u8]) -> Result<PageRef<'_>> {
        let mut page = self.page(ROOT)?;
        while page.level() > 0 {
            page = self.below(page, page.child_for(key))?;
        }
        Ok(page)
    }

    /// The leaf with the last keys below a bound, or with the last of all.
    pub(crate) fn leaf_below(&self, bound: Option<&[u8]>) -> Result<PageRef<'_>> {
        let mut page = self.page(ROOT)?;
        while page.level() > 0 {
            // A child whose lower fence is the bound has none below it.
            let end = bound.map_or(page.count(), |bound| page.rank(bound)).max(1);
            page = self.below(page, page.child(end - 1))?;
        }
        Ok(page)
    }

    /// The bytes of a value.
    pub(crate) fn value<'v>(&'v self, payload: Payload<'v>) -> Result<&'v [u8]> {
        match payload {
            Payload::Here(value) => Ok(value),
            Payload::Away { id, bytes } => value_in(self.page(id)?, bytes),
            Payload::Child(id) => Err(EngineError::failed(format!("page {id} stands where a value should"))),
        }
    }

    /// What memory alone knows of a key: its value, or that there is none; `None` if only a device can tell.
    pub(crate) fn value_here(&self, key: &[u8]) -> Result<Option<Option<&[u8]>>> {
        let Some(mut page) = self.resident(ROOT)? else { return Ok(None) };
        while page.level() > 0 {
            let Some(child) = self.resident(page.child_for(key))? else { return Ok(None) };
            check_level(page, child)?;
            page = child;
        }
        self.value_here_in(page, key)
    }

    /// The same for a key of a leaf.
    pub(crate) fn value_here_in<'v>(
        &'v self,
        leaf: PageRef<'v>,
        key: &[u8],
    ) -> Result<Option<Option<&'v [u8]>>> {
        let Ok(index) = leaf.find_inside(key) else { return Ok(Some(None)) };
        match leaf.payload(index) {
            Payload::Away { id, bytes } => {
                let page = self.resident(id)?;
                page.map(|page| value_in(page, bytes).map(Some)).transpose()
            }
            payload => self.value(payload).map(|value| Some(Some(value))),
        }
    }

    /// Appends the value of a key; answers whether there is one.
    pub(crate) fn read(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        let leaf = self.leaf(key)?;
        match leaf.find_inside(key) {
            Ok(index) => {
                value.extend_from_slice(self.value(leaf.payload(index))?);
                Ok(true)
            }
            Err(_) => Ok(false),
        }
    }
}
