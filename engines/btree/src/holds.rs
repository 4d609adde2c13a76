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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_when_no_read_may_look_there_and_no_frame_names_it() {
        let extent = |start| Extent { start, blocks: 1 };
        let mut holds = Holds::default();
        holds.name(extent(2));
        holds.replace(extent(1), 7);
        holds.replace(extent(2), 7);
        holds.collect(7);
        assert_eq!(holds.free, []);
        holds.collect(8);
        assert_eq!(holds.free, [extent(1)]);
        holds.release(extent(2));
        assert_eq!(holds.free, [extent(1), extent(2)]);
        // What is named, and released before a checkpoint replaces it, waits like any other.
        holds.name(extent(3));
        holds.release(extent(3));
        holds.replace(extent(3), 9);
        holds.collect(9);
        assert_eq!(holds.free.len(), 2);
        holds.collect(10);
        assert_eq!(holds.free.last(), Some(&extent(3)));
    }
}
