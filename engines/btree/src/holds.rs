//! Places in the data file that the map does not name any more, and that somebody may still read.
//!
//! A place P that a checkpoint replaced when x was published may be used again when
//! 1. no slot shows an epoch of x or below: such a read may have looked P up in the map before it changed;
//! 2. no superseded frame says that its page lies in P.
//!
//! Promises: a place comes out once, when both hold. Called by `reclaim` and `frames`, with the lock of the reclaimer.

use std::collections::{BTreeMap, VecDeque};

use crate::space::Extent;

/// Places that are not free yet.
#[derive(Default)]
pub(crate) struct Holds {
    /// What was published when each of them was replaced, in that order.
    replaced: VecDeque<(u64, Extent)>,
    /// Places that superseded frames name, by their first block, and whether a checkpoint has replaced them.
    named: BTreeMap<u64, bool>,
    /// Places that may be used again.
    pub(crate) free: Vec<Extent>,
}

impl Holds {
    /// A superseded frame names the place.
    pub(crate) fn name(&mut self, extent: Extent) {
        self.named.insert(extent.start, false);
    }

    /// The map names the place no more.
    pub(crate) fn replace(&mut self, extent: Extent, published: u64) {
        match self.named.get_mut(&extent.start) {
            Some(is_replaced) => *is_replaced = true,
            None => self.replaced.push_back((published, extent)),
        }
    }

    /// The frame that named the place is freed, so every read is over that began before it was superseded; and those
    /// that began later look for a newer page.
    pub(crate) fn release(&mut self, extent: Extent) {
        if self.named.remove(&extent.start) == Some(true) {
            self.free.push(extent);
        }
    }

    /// Frees what nobody reads any more. `over`: every read is over that began at a version below.
    pub(crate) fn collect(&mut self, over: u64) {
        while let Some((_, extent)) = self.replaced.pop_front_if(|(at, _)| *at < over) {
            self.free.push(extent);
        }
    }
}
