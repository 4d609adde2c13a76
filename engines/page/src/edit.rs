//! Changes of a page in place: insert, replace, remove.
//!
//! Promises: a change that does not fit changes nothing and says so. Called by the one writer of a tree, on pages
//! that nobody else sees yet.

use crate::PageId;
use crate::build::{Cell, write_cell};
use crate::layout::*;
use crate::memory::Memory;
use crate::view::{PageRef, Payload};

/// A page that may be changed.
#[derive(Clone)]
pub struct Page {
    pub(crate) bytes: Memory,
}

impl Page {
    /// The page to read.
    #[inline]
    pub fn view(&self) -> PageRef<'_> {
        PageRef { bytes: &self.bytes }
    }

    /// Becomes a copy of another page; keeps the memory if the length is the same.
    pub fn copy_from(&mut self, page: PageRef<'_>) {
        match self.bytes.len() == page.bytes.len() {
            true => self.bytes.copy_from_slice(page.bytes),
            false => self.bytes = Memory::copy_of(page.bytes),
        }
    }

    /// Notes the version of the tree that the page belongs to.
    pub fn set_version(&mut self, version: u64) {
        put_u64(&mut self.bytes, VERSION, version);
    }

    /// Gives the page another number.
    pub fn set_id(&mut self, id: PageId) {
        put_u32(&mut self.bytes, ID, id);
    }

    /// Inserts a key that is not there, at the index where it belongs; answers whether it fits.
    #[must_use = "what does not fit is not there"]
    pub fn insert(&mut self, index: usize, key: &[u8], payload: Payload<'_>) -> bool {
        let prefix = self.view().prefix().len();
        if !self.make_room(Cell::new(key, payload).bytes(prefix)) {
            return false;
        }
        let count = self.view().count();
        let is_last = index == count;
        let run = if is_last { self.view().run().saturating_add(1) } else { 0 };
        let slots = HEADER_BYTES + 4 * count;
        // Slots behind the new one move by a head and a slot, those before it by a head.
        let (at, end) = (slots + 4 * index, slots + 4 * count);
        self.bytes.copy_within(at..end, at + 8);
        self.bytes.copy_within(HEADER_BYTES + 4 * index..at, HEADER_BYTES + 4 * index + 4);
        put_u16(&mut self.bytes, COUNT, count + 1);
        self.bytes[RUN] = run;
        put_u32(&mut self.bytes, HEADER_BYTES + 4 * index, head_of(&key[prefix..]));
        self.write(index, &key[prefix..], payload);
        true
    }

    /// Replaces what stands behind the key at `index`; answers whether it fits.
    #[must_use = "what does not fit is not there"]
    pub fn replace(&mut self, index: usize, payload: Payload<'_>) -> bool {
        let page = self.view();
        let (at, old) = (page.slot(index), page.cell_bytes(index));
        let suffix = page.suffix(index).to_vec();
        let new = CELL_BYTES + suffix.len() + payload.len();
        if new == old {
            write_cell(&mut self.bytes[at..], &suffix, &[], payload);
            return true;
        }
        // The old cell may make room for the new one, but must be there if it does not.
        if page.used_bytes() - old + new > self.bytes.len() {
            return false;
        }
        if self.gap() < new {
            let cells = page.cells().enumerate();
            let cells = cells.map(|(at, cell)| match at == index {
                true => Cell { payload, ..cell },
                false => cell,
            });
            let rebuilt = Self::build(page.head(), cells, self.bytes.len());
            self.take_cells_of(rebuilt);
            return true;
        }
        self.add_garbage(old);
        self.write(index, &suffix, payload);
        true
    }

    /// Removes the cell at `index`.
    pub fn remove(&mut self, index: usize) {
        let page = self.view();
        let (count, bytes) = (page.count(), page.cell_bytes(index));
        let (head, slot) = (HEADER_BYTES + 4 * index, HEADER_BYTES + 4 * (count + index));
        self.bytes.copy_within(head + 4..slot, head);
        self.bytes.copy_within(slot + 4..HEADER_BYTES + 8 * count, slot - 4);
        put_u16(&mut self.bytes, COUNT, count - 1);
        self.bytes[RUN] = 0;
        self.add_garbage(bytes);
    }

    /// Sees to it that so many bytes lie free between slots and cells.
    fn make_room(&mut self, bytes: usize) -> bool {
        if self.gap() >= bytes {
            return true;
        }
        if self.view().used_bytes() + bytes > self.bytes.len() {
            return false;
        }
        let dense = self.view().resized(self.bytes.len());
        self.take_cells_of(dense);
        true
    }

    /// The free bytes between slots and cells.
    fn gap(&self) -> usize {
        u32_at(&self.bytes, HEAP) as usize - HEADER_BYTES - ENTRY_BYTES * self.view().count()
    }

    /// Takes the cells of a page that was built from this one, and keeps the rest of what this one says of itself.
    fn take_cells_of(&mut self, mut built: Self) {
        built.bytes[VERSION..VERSION + 8].copy_from_slice(&self.bytes[VERSION..VERSION + 8]);
        built.bytes[RUN] = self.bytes[RUN];
        *self = built;
    }

    fn add_garbage(&mut self, bytes: usize) {
        let garbage = u32_at(&self.bytes, GARBAGE) + bytes as u32;
        put_u32(&mut self.bytes, GARBAGE, garbage);
    }

    /// Writes a cell below all others, and where it is into its slot.
    fn write(&mut self, index: usize, suffix: &[u8], payload: Payload<'_>) {
        let at = u32_at(&self.bytes, HEAP) as usize - CELL_BYTES - suffix.len() - payload.len();
        write_cell(&mut self.bytes[at..], suffix, &[], payload);
        let count = self.view().count();
        put_u32(&mut self.bytes, HEADER_BYTES + 4 * (count + index), at as u32);
        put_u32(&mut self.bytes, HEAP, at as u32);
    }
}

impl std::fmt::Debug for Page {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.view().fmt(f)
    }
}
