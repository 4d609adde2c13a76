//! What somebody asked for: everything of a range goes down to the last level.
//!
//! ```text
//! level 0     ───────────▶ ┐       once through the levels, the youngest first,
//! base        ┌ ─────────▶ ┘       and once through the keys of each
//! last level  └ ──▶ here │ …       what others bring behind this place is not asked for
//! ```
//!
//! Others only bring things down meanwhile. So whatever was there at the beginning is in front of this place until it lies
//! in the last level, and the way has an end, whatever is written beside it.
//!
//! Promises: as those of `picker`. Called by whoever compacts a range.

use std::sync::Arc;

use adapter_api::KeyRange;

use super::shape::{Cluster, TableShape};
use super::{LAST, PickOptions, Picker, Plan, Reason, Shape};

/// How far a range has come on its way down.
pub(crate) struct Descent<'a> {
    range: KeyRange<'a>,
    /// Of level 0, runs with this number or a lower one are asked for.
    newest: u64,
    at: Position,
    /// The plan that was picked last, and where it goes on when that is done.
    picked: Option<(Plan, Position)>,
}

/// In a level, before this key everything that was asked for is done.
#[derive(Clone)]
struct Position {
    level: usize,
    key: Arc<[u8]>,
}

impl Position {
    fn start_of(level: usize) -> Self {
        Self { level, key: Arc::default() }
    }
}

impl<'a> Descent<'a> {
    /// Begins with everything of a range that is there now; the newest run of level 0 has at most this number.
    pub(crate) fn new(range: KeyRange<'a>, newest: u64) -> Self {
        Self { range, newest, at: Position::start_of(0), picked: None }
    }

    /// What to do next so that everything of the range lies in the last level, with nothing that deletes and without poor
    /// blob files. What was picked before is done, or has failed and is picked again.
    pub(crate) fn pick(&mut self, shape: &Shape, options: &PickOptions) -> Option<Plan> {
        if let Some((plan, behind)) = self.picked.take()
            && !shape.has_any(&plan.inputs)
        {
            self.at = behind;
        }
        let picker = Picker::new(shape, options);
        while self.at.level < LAST {
            if let Some((plan, end)) = self.push(&picker) {
                return Some(self.note(plan, end));
            }
            self.at = Position::start_of(self.at.level + 1);
        }
        let (plan, end) = self.rewrite(&picker)?;
        Some(self.note(plan, end))
    }

    /// Notes where to go on when this plan is done: at this key, or in the next level.
    fn note(&mut self, plan: Plan, end: Option<Arc<[u8]>>) -> Plan {
        let level = self.at.level;
        let behind = end.map_or(Position::start_of(level + 1), |key| Position { level, key });
        self.picked = Some((plan.clone(), behind));
        plan
    }

    /// What of the range is still to be done in this level; `None` if nothing.
    fn rest(&self) -> Option<KeyRange<'_>> {
        let start = self.range.start().max(&*self.at.key);
        Some(KeyRange::with_end(start, self.range.end())).filter(|rest| !rest.is_empty())
    }

    /// The first part of the level goes down.
    fn push(&self, picker: &Picker<'_>) -> Option<(Plan, Option<Arc<[u8]>>)> {
        let (level, rest, shape) = (self.at.level, self.rest()?, picker.shape);
        let newest = if level == 0 { self.newest } else { u64::MAX };
        let clusters = shape.clusters(level, newest);
        let is_inside = |cluster: &Cluster<'_>| cluster.tables.iter().any(|table| table.info.overlaps(rest));
        let first = clusters.iter().position(is_inside)?;
        let next = (level + 1..LAST).find(|level| !shape.runs(*level).is_empty()).unwrap_or(LAST);
        let (chosen, end) = if picker.targets.merges_into(shape, picker.options, next) {
            let part = picker.grown(&clusters, first, next)?;
            let end = part.span.end.clone();
            (part, end)
        } else {
            // A part of it would be a run of its own, and each part one more.
            (Cluster::of(clusters.iter().flat_map(|cluster| cluster.tables.iter().copied()))?, None)
        };
        Some((picker.push(level, chosen, next, Reason::Asked), end))
    }

    /// The first table of the last level that deletes, or refers to poor blob files, is written again.
    fn rewrite(&self, picker: &Picker<'_>) -> Option<(Plan, Option<Arc<[u8]>>)> {
        // Behind the last table of the last level there is nothing.
        if self.at.level > LAST {
            return None;
        }
        let is_poor = |table: &&TableShape| table.deletes() || !picker.collected([*table]).is_empty();
        let table = picker.shape.tables_in(LAST, self.rest()?).find(is_poor)?;
        Some((picker.in_place(table.info.id, Reason::Asked)?, table.info.upper.clone()))
    }
}
