//! What all sorted sources have in common: a walk over what they say, in one direction.
//!
//! Promises: keys ascend, or descend, and none comes twice. Called by `merge`, which makes one walk of many.

use adapter_api::Result;

use crate::item::Item;
use crate::ranges::Span;
use crate::table::Stretch;

/// A walk over one source, from its newest word on each key.
pub(crate) trait Walk: Send {
    /// Moves to the next key of the range, first to the first one; answers whether there is one.
    fn advance(&mut self) -> Result<bool>;

    /// Moves so that `advance` comes to the first key at or behind this one in the direction of the walk.
    fn seek(&mut self, key: &[u8]) -> Result<()>;

    /// Has the processor fetch what the first `advance` will look at, and waits for nothing: whoever has many walks asks all
    /// of them first.
    fn prefetch(&mut self) {}

    /// The key that the walk is at.
    fn key(&self) -> &[u8];

    /// What the source says of it.
    fn item(&self) -> Item<'_>;

    /// Whether the source deletes the key in every older source.
    fn covers(&self, key: &[u8]) -> bool;

    /// Whether `covers` may answer anything but no: so that whoever merges need not ask for each key.
    fn has_ranges(&self) -> bool {
        true
    }

    /// The range around a covered key that the source deletes, if it can say: older sources need not be walked there.
    fn covering(&self, key: &[u8]) -> Option<&Span> {
        let _ = key;
        None
    }

    /// How many of the keys that come next lie before the bound, as far as memory alone tells: whoever merges need not
    /// compare them.
    fn count_before(&self, bound: Option<&[u8]>) -> usize {
        let _ = bound;
        0
    }

    /// Lends the entry that the walk is at, and so many that come next, if it has them in one block; it is at the last
    /// of them then.
    fn lend(&mut self, count: usize, stretch: &mut Stretch) -> bool {
        let _ = (count, stretch);
        false
    }
}
