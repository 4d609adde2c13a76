//! Views and their cursors, and the bound on what they keep.
//!
//! A view keeps the sources of its moment: memtables that were flushed since, and tables that were merged since. Once
//! that is more than `view_bytes`, the oldest views end, with their cursors, and what they kept goes.
//!
//! Promises: to take a view costs the same whatever the store holds; reads of one wait for no writer. A view that has
//! ended holds nothing, however long somebody keeps it, and a cursor of it no more than the block that it is in. Called by the engine; `end_oldest` by lanes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use adapter_api::{
    Buffer, Cursor, Direction, EngineError, Entry, KeyRange, ReadView, Resident, Result, Values,
};
use arc_swap::ArcSwapOption;
use wal::lock;

use crate::abreast;
use crate::item::{BlobRef, Item};
use crate::merge::MergeWalk;
use crate::sources::{Moment, Sources};
use crate::table::Stretch;
use crate::walk::Walk;

/// The memory for an entry that a cursor keeps between calls, in bytes.
const ENTRY_MEMORY_BYTES: usize = 1 << 20;

/// The views that somebody holds.
#[derive(Default)]
pub(crate) struct Views {
    open: Mutex<VecDeque<Weak<ViewState>>>,
}

impl Views {
    /// A view that may be ended.
    pub(crate) fn open(&self, moment: Moment) -> LsmView {
        let view = LsmView::unbounded(moment);
        let mut open = lock(&self.open);
        if open.len() == open.capacity() {
            open.retain(|state| state.strong_count() > 0);
        }
        open.push_back(Arc::downgrade(&view.state));
        view
    }

    /// Ends the oldest view, unless it keeps nothing but what there is anyway; answers whether it did.
    pub(crate) fn end_oldest(&self, sources: &Arc<Sources>) -> bool {
        let mut open = lock(&self.open);
        while let Some(oldest) = open.front() {
            let state = oldest.upgrade();
            if let Some(state) = &state {
                let moment = state.moment.load();
                if moment.as_ref().is_some_and(|moment| Arc::ptr_eq(&moment.sources, sources)) {
                    return false;
                }
            }
            open.pop_front();
            if let Some(state) = state {
                state.end();
                return true;
            }
        }
        false
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        lock(&self.open).iter().filter(|state| state.strong_count() > 0).count()
    }
}

/// What a view and its cursors share.
struct ViewState {
    moment: ArcSwapOption<Moment>,
    /// Whether there is none any more: what a cursor asks at each entry.
    has_ended: AtomicBool,
    walks: Mutex<Vec<Weak<Mutex<Option<MergeWalk>>>>>,
}

impl ViewState {
    fn moment(&self) -> Result<arc_swap::Guard<Option<Arc<Moment>>>> {
        let moment = self.moment.load();
        if moment.is_some() { Ok(moment) } else { Err(EngineError::ViewTooOld) }
    }

    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
        self.moment.store(None);
        for walk in lock(&self.walks).drain(..).filter_map(|walk| walk.upgrade()) {
            // One that is busy sees that the view has ended, and ends itself.
            if let Ok(mut walk) = walk.try_lock() {
                *walk = None;
            }
        }
    }
}

/// A point in time of the store.
pub(crate) struct LsmView {
    state: Arc<ViewState>,
}

impl LsmView {
    /// A view that nothing ends but its owner.
    pub(crate) fn unbounded(moment: Moment) -> Self {
        let moment = ArcSwapOption::from_pointee(moment);
        let (has_ended, walks) = (AtomicBool::new(false), Mutex::default());
        Self { state: Arc::new(ViewState { moment, has_ended, walks }) }
    }

    /// A cursor that keeps the view open by itself.
    pub(crate) fn walk(&self, range: KeyRange<'_>, direction: Direction) -> Result<LsmCursor> {
        let moment = self.state.moment()?;
        let Some(moment) = &*moment else { return Err(EngineError::ViewTooOld) };
        let walk = Arc::new(Mutex::new(Some(moment.walk(range, direction))));
        let mut walks = lock(&self.state.walks);
        if walks.len() == walks.capacity() {
            walks.retain(|walk| walk.strong_count() > 0);
        }
        walks.push(Arc::downgrade(&walk));
        drop(walks);
        // The view may have ended before the cursor was in the list.
        self.state.moment()?;
        let (state, stretch) = (Arc::clone(&self.state), Stretch::new(direction));
        Ok(LsmCursor { state, walk, stretch, key: Vec::new(), value: Buffer::new() })
    }
}

impl ReadView for LsmView {
    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        let moment = self.state.moment()?;
        match &*moment {
            Some(moment) => Ok(moment.get(key, true, value)? == Resident::Hit),
            None => Err(EngineError::ViewTooOld),
        }
    }

    fn multi_get(&self, keys: &[&[u8]], values: &mut Values) -> Result<()> {
        let moment = self.state.moment()?;
        match &*moment {
            Some(moment) => abreast::multi_get(moment, keys, values),
            None => Err(EngineError::ViewTooOld),
        }
    }

    fn cursor(&self, range: KeyRange<'_>, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        Ok(Box::new(self.walk(range, direction)?))
    }
}

/// A walk over the entries of a view. What a merge lends it, it goes through alone.
pub(crate) struct LsmCursor {
    state: Arc<ViewState>,
    /// `None` once the view has ended.
    walk: Arc<Mutex<Option<MergeWalk>>>,
    stretch: Stretch,
    /// The entry that is lent, where it does not lie in the stretch.
    key: Vec<u8>,
    value: Buffer,
}

/// Where the entry is that a cursor lends.
enum Place {
    Stretch,
    /// In the memory of the cursor.
    Copy,
    /// There is none.
    Nowhere,
}

impl LsmCursor {
    /// Goes to the next entry.
    fn advance(&mut self) -> Result<Place> {
        loop {
            while self.stretch.advance() {
                match self.stretch.item() {
                    Item::Value(_) => return Ok(Place::Stretch),
                    Item::Tombstone => {}
                    Item::Blob(blob) => {
                        self.key.clear();
                        self.key.extend_from_slice(self.stretch.key());
                        if self.fetch(blob)? {
                            return Ok(Place::Copy);
                        }
                    }
                }
            }
            match self.walk_on()? {
                Place::Stretch => {}
                elsewhere => return Ok(elsewhere),
            }
        }
    }

    /// Takes the next stretch from the merge, or a copy of one entry where nothing can be lent.
    fn walk_on(&mut self) -> Result<Place> {
        let mut walk = lock(&self.walk);
        let is_there = walk.as_mut().ok_or(EngineError::ViewTooOld)?.advance()?;
        // The view may have ended beside that, and found the walk busy.
        let here = walk.as_mut().filter(|_| !self.state.has_ended());
        let Some(here) = here else {
            *walk = None;
            return Err(EngineError::ViewTooOld);
        };
        if !is_there {
            return Ok(Place::Nowhere);
        }
        if here.lend(&mut self.stretch) {
            return Ok(Place::Stretch);
        }
        self.key.clear();
        self.key.extend_from_slice(here.key());
        match here.item() {
            Item::Value(value) => {
                empty(&mut self.value);
                self.value.extend_from_slice(value);
            }
            Item::Tombstone => empty(&mut self.value),
            Item::Blob(blob) => {
                drop(walk);
                if !self.fetch(blob)? {
                    // What comes next, the caller asks for.
                    return Ok(Place::Stretch);
                }
            }
        }
        Ok(Place::Copy)
    }

    /// Reads the value of the key from a blob file; answers no if it is lost, and somebody was told.
    fn fetch(&mut self, blob: BlobRef) -> Result<bool> {
        let moment = self.state.moment()?;
        let Some(moment) = &*moment else { return Err(EngineError::ViewTooOld) };
        empty(&mut self.value);
        let read = moment.sources.read_blob(&self.key, blob, &mut self.value);
        if read.is_err() {
            // The next call comes to the same entry.
            let key = std::mem::take(&mut self.key);
            self.seek(&key)?;
        }
        read
    }
}

/// Empties a buffer, and does not keep much memory in it.
fn empty(value: &mut Buffer) {
    if value.capacity() > ENTRY_MEMORY_BYTES {
        *value = Buffer::new();
    }
    value.clear();
}

impl Cursor for LsmCursor {
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        if self.state.has_ended() {
            self.stretch.leave();
            return Err(EngineError::ViewTooOld);
        }
        Ok(match self.advance()? {
            Place::Stretch => {
                let Item::Value(value) = self.stretch.item() else { return Ok(None) };
                Some(Entry { key: self.stretch.key(), value })
            }
            Place::Copy => Some(Entry { key: &self.key, value: &self.value }),
            Place::Nowhere => None,
        })
    }

    fn seek(&mut self, key: &[u8]) -> Result<()> {
        self.stretch.leave();
        lock(&self.walk).as_mut().ok_or(EngineError::ViewTooOld)?.seek(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memtable::Memtable;
    use crate::ranges::Ranges;
    use crate::table::tests::{Model, Shelf};
    use crate::version::{Place, Version};

    #[test]
    fn a_cursor_of_a_view_that_has_ended_says_so_at_once_and_keeps_no_table() {
        let shelf = Shelf::new();
        let model: Model = (0..100_u8).map(|number| (vec![number], vec![0, number])).collect();
        let table = shelf.table(1, &model);
        let kept = Arc::downgrade(&table);
        let sources = Sources {
            active: Arc::new(Memtable::new(Ranges::default())),
            sealed: Vec::new(),
            version: Arc::new(Version::of([(Place { level: 7, run: 1 }, table)])),
            blobs: Arc::default(),
            losses: None,
        };
        let view = LsmView::unbounded(Moment::of(Arc::new(sources)));
        let mut cursor = view.walk(KeyRange::all(), Direction::Forward).unwrap();
        for number in 0..10 {
            let Entry { key, value } = cursor.next().unwrap().unwrap();
            assert_eq!((key, value), (&[number][..], &[number][..]));
        }
        assert!(kept.upgrade().is_some());
        view.state.end();
        assert!(kept.upgrade().is_none());
        assert!(matches!(cursor.next(), Err(EngineError::ViewTooOld)));
        assert!(matches!(cursor.seek(b"a"), Err(EngineError::ViewTooOld)));
    }
}
