//! The points in time that somebody holds, and what ends them.
//!
//! Promises: as long as a version is registered here, every page as it was then stays. A view that was ended counts
//! until the reads that had begun by then are over: they finish on what they see, and later ones are told
//! `ViewTooOld`. Taking and dropping a view takes a short lock; reading through it takes none. Called by `frames`.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether a view still counts.
#[derive(Default)]
pub(crate) struct State {
    is_ended: AtomicBool,
}

impl State {
    /// Asked behind taking a slot: what is not ended then is not ended for this read.
    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::SeqCst)
    }
}

/// A registered view: its version, and a number that makes it unlike others of that version.
pub(crate) type Ticket = (u64, u64);

struct Registered {
    state: Arc<State>,
    /// Whether it may be ended for the sake of memory.
    may_end: bool,
}

/// Every version that somebody holds.
#[derive(Default)]
pub(crate) struct Views {
    next: u64,
    /// By their tickets. New ones go to the end, so opening and closing the newest moves nothing.
    open: Vec<(Ticket, Registered)>,
    /// Versions of ended views, and what was published when they ended.
    ending: Vec<(u64, u64)>,
}

impl Views {
    /// Registers a view of the version that is published now.
    pub(crate) fn open(&mut self, published: u64, may_end: bool) -> (Ticket, Arc<State>) {
        let (ticket, state) = ((published, self.next), Arc::<State>::default());
        self.next += 1;
        self.open.push((ticket, Registered { state: Arc::clone(&state), may_end }));
        (ticket, state)
    }

    /// Forgets a view that nobody reads through any more.
    pub(crate) fn close(&mut self, ticket: Ticket) {
        if let Ok(at) = self.open.binary_search_by_key(&ticket, |(ticket, _)| *ticket) {
            self.open.remove(at);
        }
    }

    /// How many views are open.
    pub(crate) fn count(&self) -> usize {
        self.open.len()
    }

    /// The newest version within a range that somebody holds.
    pub(crate) fn newest_in(&self, versions: Range<u64>) -> Option<u64> {
        let below = self.open.partition_point(|((version, _), _)| *version < versions.end);
        let open = self.open[..below].last().filter(|((version, _), _)| *version >= versions.start);
        let ending = self.ending.iter().map(|(version, _)| *version).filter(|it| versions.contains(it)).max();
        open.map(|((version, _), _)| *version).max(ending)
    }

    /// Whether somebody holds the version.
    pub(crate) fn holds(&self, version: u64) -> bool {
        self.newest_in(version..version + 1).is_some()
    }

    /// Ends the oldest view that may be, unless one is ending already; answers whether it did.
    pub(crate) fn end_oldest(&mut self, published: u64) -> bool {
        let oldest = self.open.iter().position(|(_, view)| view.may_end);
        let Some(oldest) = oldest.filter(|_| self.ending.is_empty()) else { return false };
        let ((version, _), view) = self.open.remove(oldest);
        self.ending.push((version, published));
        view.state.is_ended.store(true, Ordering::SeqCst);
        true
    }

    /// Forgets ended views whose last reads are over: `oldest` is the lowest version at which one began that goes on.
    pub(crate) fn forget_ended(&mut self, oldest: u64) {
        self.ending.retain(|(_, ended)| *ended >= oldest);
    }
}
