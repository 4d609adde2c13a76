//! About how much a range holds, from a few pages on the ways to its ends.
//!
//! ```text
//! entries of a range = what its first child has behind the start
//!                    + as many whole children as lie between, each as large as a child on the way
//!                    + what its last child has in front of the end            … and so on below
//! ```
//!
//! Promises: exact where the ends are at most eight leaves apart, and for everything; else about right if pages are
//! filled alike. Called by `engine`.

use adapter_api::{Estimate, KeyRange, Result};
use page::PageRef;

use crate::pin::Pin;
use crate::tree::{ROOT, Size};

/// So many leaves are counted rather than guessed.
const COUNTED_LEAVES: usize = 8;

/// About how much the range holds; `size` is what the whole tree has.
pub(crate) fn estimate(pin: &Pin<'_>, size: Size, range: KeyRange<'_>) -> Result<Estimate> {
    if range.start().is_empty() && range.end().is_none() {
        return Ok(Estimate { entries: size.entries, bytes: size.bytes, exact: true });
    }
    if range.is_empty() {
        return Ok(Estimate { entries: 0, bytes: 0, exact: true });
    }
    let (entries, exact) = between(pin, pin.page(ROOT)?, range)?;
    let entries = entries.round().max(0.0) as u64;
    let entries = if exact { entries } else { entries.min(size.entries) };
    let bytes = u128::from(entries) * u128::from(size.bytes) / u128::from(size.entries.max(1));
    Ok(Estimate { entries, bytes: bytes as u64, exact })
}

/// How many entries of the range lie below a page, and whether they were counted.
fn between(pin: &Pin<'_>, page: PageRef<'_>, range: KeyRange<'_>) -> Result<(f64, bool)> {
    if page.level() == 0 {
        let end = range.end().map_or(page.count(), |end| page.rank(end));
        return Ok((end.saturating_sub(page.rank(range.start())) as f64, true));
    }
    let first = page.child_index(range.start());
    let last = range.end().map_or(page.count() - 1, |end| page.child_index(end));
    if first == last {
        return between(pin, pin.below(page, page.child(first))?, range);
    }
    if page.level() == 1 && last - first < COUNTED_LEAVES {
        let leaves = (first..=last).map(|index| between(pin, pin.below(page, page.child(index))?, range));
        let counts = leaves.collect::<Result<Vec<_>>>()?;
        return Ok((counts.iter().map(|(count, _)| count).sum(), true));
    }
    let (start, end) = (pin.below(page, page.child(first))?, pin.below(page, page.child(last))?);
    let (whole_start, whole_end) = (whole(pin, start)?, whole(pin, end)?);
    let behind = whole_start - in_front(pin, start, range.start())?;
    let in_front = range.end().map_or(Ok(whole_end), |key| in_front(pin, end, key))?;
    let middle = (last - first - 1) as f64 * (whole_start + whole_end) / 2.0;
    Ok((behind + middle + in_front, false))
}

/// How many entries lie below a page, judged by its middle child.
fn whole(pin: &Pin<'_>, page: PageRef<'_>) -> Result<f64> {
    match page.level() {
        0 => Ok(page.count() as f64),
        _ => Ok(page.count() as f64 * whole(pin, pin.below(page, page.child(page.count() / 2))?)?),
    }
}

/// How many entries below a page are less than a key.
fn in_front(pin: &Pin<'_>, page: PageRef<'_>, key: &[u8]) -> Result<f64> {
    if page.level() == 0 {
        return Ok(page.rank(key) as f64);
    }
    let index = page.child_index(key);
    let child = pin.below(page, page.child(index))?;
    Ok(index as f64 * whole(pin, child)? + in_front(pin, child, key)?)
}
