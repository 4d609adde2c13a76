//! Where the output of a compaction is cut into tables.
//!
//! ```text
//! level below the target    │ a ─ f │ g ─ m │ n ─ z │
//! output                    │ a ─────── m │ n ─ z   │       cut where a table below begins, if it is long enough
//! other runs of the target  │ a ─── m │     │ n ─ s │       and where their clusters begin, unless it would be tiny
//! ```
//!
//! A table that lies across few of those below it meets few of them when it goes down. Runs side by side in a level that
//! are cut at the same keys go down in parts, a cluster at a time; else all of the level would be one cluster. Called by
//! compactions.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::picker::{Plan, Shape};

/// A table is not cut to less than such a part of the length that it should have, where a cluster beside it begins. With
/// an eighth, clusters grew together to a third of all data; with nothing, there were many tiny tables.
const LEAST_PART: u64 = 32;
/// A table ends before it lies across more of the level below than so many tables.
const BELOW_MAX: u64 = 10;

/// Where tables end.
pub(super) struct Cuts {
    table_bytes: u64,
    /// Ascending; those that were passed are gone.
    gaps: Vec<Arc<[u8]>>,
    /// Where tables below begin, and their bytes; so too.
    below: Vec<(Arc<[u8]>, u64)>,
    /// How many bytes of the level below the current table lies across.
    across: u64,
}

impl Cuts {
    pub(super) fn new(shape: &Shape, plan: &Plan, table_bytes: u64) -> Self {
        let level = usize::from(plan.target.level);
        let inputs: BTreeMap<_, ()> =
            plan.inputs.iter().flat_map(|(_, ids)| ids).map(|id| (*id, ())).collect();
        let is_beside = shape.runs(level).iter().any(|run| run.number != plan.target.run);
        let clusters = if is_beside { shape.clusters(level, u64::MAX) } else { Vec::new() };
        let mut gaps: Vec<_> = clusters
            .into_iter()
            .filter(|cluster| !cluster.tables.iter().all(|table| inputs.contains_key(&table.info.id)))
            .map(|cluster| cluster.span.start)
            .collect();
        let next = (level + 1..shape.levels.len()).find(|level| !shape.runs(*level).is_empty());
        let tables = next.map(|next| shape.tables(next)).unwrap_or_default();
        let mut below: Vec<_> =
            tables.iter().map(|table| (Arc::clone(&table.info.lower), table.info.bytes)).collect();
        gaps.reverse();
        below.reverse();
        Self { table_bytes, gaps, below, across: 0 }
    }

    /// Where the table that is being written and has so many bytes ends, if it ends before this key. Keys ascend.
    pub(super) fn before(&mut self, key: &[u8], bytes: Option<u64>) -> Option<Arc<[u8]>> {
        let (mut gap, mut begins) = (None, None);
        while let Some(passed) = self.gaps.pop_if(|gap| **gap <= *key) {
            gap = Some(passed);
        }
        while let Some((passed, more)) = self.below.pop_if(|(begin, _)| **begin <= *key) {
            self.across += more;
            begins = Some(passed);
        }
        let bytes = bytes?;
        let is_far = self.across > BELOW_MAX * self.table_bytes;
        let end = gap
            .filter(|_| bytes >= self.table_bytes / LEAST_PART)
            .or_else(|| begins.filter(|_| bytes >= self.table_bytes / 2 || is_far))
            .or_else(|| (bytes >= self.table_bytes).then(|| key.into()))?;
        self.across = 0;
        Some(end)
    }
}
