//! What the next checkpoint has to take in.
//!
//! Most pages change in memory, and the checkpoint writes them. Some were written *ahead* of it, into free blocks, and a
//! record of the log says where (`record`): those it only has to name. Such a page may change before it does so; its blocks
//! must stay until then, for the record still says that they are there. They are *spent*.
//!
//! Promises: a number is dirty or ahead, never both; no block is forgotten. Called by the store, recovery and the
//! checkpointer.

use std::collections::{BTreeMap, BTreeSet};

use page::PageId;

use crate::edit::Published;
use crate::map::Place;
use crate::places::Places;
use crate::space::Extent;

/// What happened since the last checkpoint.
#[derive(Default)]
pub(crate) struct Pending {
    /// Pages that were changed or removed.
    pub(crate) dirty: BTreeSet<PageId>,
    /// Pages that were written ahead.
    pub(crate) ahead: BTreeMap<PageId, Place>,
    /// Blocks that records of the log name and that hold no page any more.
    pub(crate) spent: Vec<Extent>,
}

impl Pending {
    /// Adds what an edit has published.
    pub(crate) fn add(&mut self, published: Published, places: &Places) {
        let Published { changed, ahead, spent } = published;
        self.spent.extend(spent);
        for id in changed {
            self.forget_ahead(id, places);
            self.dirty.insert(id);
        }
        for (id, place) in ahead {
            // One that has the number of a page that is gone.
            self.dirty.remove(&id);
            self.spent.extend(self.ahead.insert(id, place).map(|place| place.extent));
        }
    }

    /// Pages are to be written anew, though they did not change.
    pub(crate) fn rewrite(&mut self, pages: impl IntoIterator<Item = PageId>) {
        self.dirty.extend(pages.into_iter().filter(|id| !self.ahead.contains_key(id)));
    }

    /// Adds what an older checkpoint that was given up had to take in.
    pub(crate) fn add_older(&mut self, older: Self, places: &Places) {
        self.spent.extend(older.spent);
        for (id, place) in older.ahead {
            if self.ahead.contains_key(&id) {
                self.spent.push(place.extent);
            } else if self.dirty.contains(&id) {
                self.spent.push(place.extent);
                places.forget_ahead(id);
            } else {
                self.ahead.insert(id, place);
            }
        }
        self.dirty.extend(older.dirty.into_iter().filter(|id| !self.ahead.contains_key(id)));
    }

    fn forget_ahead(&mut self, id: PageId, places: &Places) {
        if let Some(place) = self.ahead.remove(&id) {
            self.spent.push(place.extent);
            places.forget_ahead(id);
        }
    }
}
