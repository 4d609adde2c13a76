//! About how many pages of each kind a tree has, and how full its leaves are: from what is in memory, for `metrics`.
//!
//! On each level a few pages are looked at, evenly spread below those of the level above; what is not in memory is left
//! out. So a tree of two levels, or a small one of three, is counted exactly as far as it is in memory; of a large one the
//! branches are nearly always there, and the counts of pages are right to a few percent. Leaves that are in memory are
//! those that are used: how full they are, and how many values lie in pages of their own, is what is true of those.
//!
//! Promises: no I/O, no lock, a few hundred pages at most whatever the tree; the cache takes no notice. Called by the store.

use adapter_api::Metric;
use page::{PageRef, Payload};

use crate::pin::Pin;
use crate::tree::{ROOT, check_level};

/// So many pages of a level are looked at, and no more than twice as many.
const SAMPLE: usize = 64;

/// The shape of a tree, about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shape {
    pub(crate) branches: f64,
    pub(crate) leaves: f64,
    /// If any leaf was in memory.
    pub(crate) of_leaves: Option<OfLeaves>,
}

/// What is so of the leaves that are in memory.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct OfLeaves {
    /// How much of a leaf is in use, in percent.
    pub(crate) fill_percent: f64,
    /// Pages that hold one value, if the other leaves have as many.
    pub(crate) values: f64,
}

/// Pages below those of a level that are in memory.
fn level_below<'p>(pin: &'p Pin<'_>, level: &[PageRef<'p>]) -> Vec<PageRef<'p>> {
    let each = SAMPLE.div_ceil(level.len());
    let below = |branch: &PageRef<'p>| {
        let (branch, count) = (*branch, branch.count());
        let taken = each.min(count);
        let children = (0..taken).filter_map(move |at| pin.peek(branch.child(at * count / taken)));
        children.filter(move |child| check_level(branch, *child).is_ok())
    };
    level.iter().flat_map(below).collect()
}

fn of_leaves(leaves: &[PageRef<'_>], in_all: f64) -> Option<OfLeaves> {
    let looked_at = Some(leaves.len() as f64).filter(|count| *count > 0.0)?;
    let used: usize = leaves.iter().map(PageRef::used_bytes).sum();
    let bytes: usize = leaves.iter().map(|leaf| leaf.bytes().len()).sum();
    let cells = leaves.iter().flat_map(|leaf| leaf.cells());
    let values = cells.filter(|cell| matches!(cell.payload, Payload::Away { .. })).count();
    let fill_percent = 100.0 * used as f64 / bytes as f64;
    Some(OfLeaves { fill_percent, values: in_all * values as f64 / looked_at })
}

impl Shape {
    /// Looks at what is in memory; `None` if that is not even one way down to the lowest branches.
    pub(crate) fn of(pin: &Pin<'_>) -> Option<Self> {
        let (mut level, mut pages, mut branches) = (vec![pin.peek(ROOT)?], 1.0, 0.0);
        while let Some(above) = level.first().map(PageRef::level).filter(|above| *above > 0) {
            branches += pages;
            let children: usize = level.iter().map(PageRef::count).sum();
            pages *= children as f64 / level.len() as f64;
            level = level_below(pin, &level);
            if level.is_empty() && above > 1 {
                return None;
            }
        }
        Some(Self { branches, leaves: pages, of_leaves: of_leaves(&level, pages) })
    }

    /// What `metrics` reports; the names say that it is an estimate.
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let pages = |kind: &str, count| Metric::gauge("tree_estimated_pages", count).label("kind", kind);
        let mut metrics = vec![pages("branch", self.branches), pages("leaf", self.leaves)];
        if let Some(of_leaves) = self.of_leaves {
            metrics.push(pages("value", of_leaves.values));
            metrics.push(Metric::gauge("tree_estimated_leaf_fill_percent", of_leaves.fill_percent));
        }
        metrics
    }
}
