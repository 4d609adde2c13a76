//! The numbers of pages: which are taken, and which an edit takes on trial.
//!
//! Promises: a number is given to one page at a time; an edit that is dropped has taken none. Called by `tree`, `edit`
//! and `rebuild`.

use adapter_api::{EngineError, Result};
use page::PageId;

/// So many free numbers are remembered at open, beside as many as there are pages.
const FORGOTTEN_BEYOND: usize = 4096;

/// Which numbers are free.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    /// No page has this number, or one above.
    next: PageId,
    /// Numbers below that no page has.
    free: Vec<PageId>,
}

/// The numbers that an edit has taken and given back.
#[derive(Debug)]
pub(crate) struct TakenIds {
    next: PageId,
    /// How many of the free ones are taken, from the end.
    taken: usize,
    given_back: Vec<PageId>,
}

impl Ids {
    /// All numbers but these are free. Of those between them so many are remembered as there are pages, at least; the
    /// rest is not used again, for memory must not grow with the highest number.
    pub(crate) fn besides(mut taken: Vec<PageId>) -> Self {
        taken.sort_unstable();
        let (mut free, mut next) = (Vec::new(), 0);
        for id in &taken {
            free.extend((next..*id).take(FORGOTTEN_BEYOND + taken.len() - free.len()));
            next = id + 1;
        }
        free.reverse();
        Self { next, free }
    }

    /// No page has this number, or one above.
    pub(crate) fn end(&self) -> PageId {
        self.next
    }

    /// No number is taken yet.
    pub(crate) fn begin(&self) -> TakenIds {
        TakenIds { next: self.next, taken: 0, given_back: Vec::new() }
    }

    /// What was taken stays taken.
    pub(crate) fn keep(&mut self, taken: TakenIds) {
        self.next = taken.next;
        self.free.truncate(self.free.len() - taken.taken);
        self.free.extend(taken.given_back);
    }

    /// These are free again.
    pub(crate) fn give_back(&mut self, ids: Vec<PageId>) {
        self.free.extend(ids);
    }
}

impl TakenIds {
    /// A number that no page has.
    ///
    /// # Errors
    /// `Full` if there is none.
    pub(crate) fn take(&mut self, ids: &Ids) -> Result<PageId> {
        if let Some(id) = self.given_back.pop() {
            return Ok(id);
        }
        if let Some(at) = ids.free.len().checked_sub(self.taken + 1) {
            self.taken += 1;
            return Ok(ids.free[at]);
        }
        next_id(&mut self.next)
    }

    /// The number is free again.
    pub(crate) fn give_back(&mut self, id: PageId) {
        self.given_back.push(id);
    }
}

/// The next of the numbers that no page ever had, which is then one.
///
/// # Errors
/// `Full` if there is none.
pub(crate) fn next_id(next: &mut PageId) -> Result<PageId> {
    let id = *next;
    let full = || EngineError::full("the tree has no number for one more page");
    *next = id.checked_add(1).ok_or_else(full)?;
    Ok(id)
}
