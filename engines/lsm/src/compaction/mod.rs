//! A compaction: one plan on its way, a bounded step at a time.
//!
//! ```text
//! memtables, if it takes any
//! tables of the plan, newest run first ─▶ merge ─▶ without what is dead ─▶ tables of the target, cut ─▶ sync ─▶ names
//!      values in poor blob files ───────────────────────────────────────▶ a new blob file ─────────────▶ sync ─▶
//! ```
//!
//! A deleted range goes along with the keys around it, cut where tables are cut; where the plan says that nothing older
//! is left, ranges and tombstones end. A table that a newer one of the plan deletes as a whole is not even read.
//!
//! Promises: the inputs are never changed, so whatever fails, nothing is lost: the files that were begun are removed, and
//! the plan begins anew with others. A step reads and writes about 1 MiB, beside the sync of a table that it finishes.
//! Memory is taken for a step, and for filter and index of one table. Called by the compaction lane.

mod collect;
mod cut;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use adapter_api::environment::Directory;
use adapter_api::{Direction, EngineError, KeyRange, Result};

use self::collect::Collector;
use self::cut::Cuts;
use crate::files::{Graveyard, table_name};
use crate::item::Item;
use crate::long_values::LongValues;
use crate::memtable::{Memtable, MemtableWalk};
use crate::merge::MergeWalk;
use crate::picker::{Plan, Shape};
use crate::ranges::Ranges;
use crate::run::{Run, RunWalk};
use crate::table::{Bounds, Table, TableBuilder, TableOptions};
use crate::version::{Edit, Place, TableInfo, Version};
use crate::walk::Walk;

/// How many bytes a step takes from the inputs.
const STEP_BYTES: usize = 1 << 20;

/// What a compaction works with.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) graveyard: Arc<Graveyard>,
    /// The number of the next file.
    pub(crate) ids: Arc<AtomicU64>,
    /// How tables of the target are written.
    pub(crate) table: TableOptions,
    /// How long a table should be.
    pub(crate) table_bytes: u64,
}

impl Workshop {
    fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }
}

/// A plan on its way.
pub(crate) struct Compaction {
    plan: Plan,
    workshop: Workshop,
    /// What the manifest says of the inputs.
    inputs: Vec<(Place, TableInfo)>,
    /// What comes from memtables, if anything does.
    fresh: Option<Fresh>,
    /// How many bytes of which level are read.
    read: BTreeMap<u8, u64>,
    walk: MergeWalk,
    /// What the output deletes in older sources.
    ranges: Ranges,
    cuts: Cuts,
    /// The table that is being written, and where its part of the keys begins.
    output: Option<TableBuilder>,
    start: Vec<u8>,
    outputs: Vec<TableInfo>,
    collector: Collector,
    /// The names of all files that were begun.
    files: Vec<String>,
    entries_seen: u64,
    state: State,
}

/// Memtables that are merged with the tables of a plan, as its newest run.
pub(crate) struct Fresh {
    /// The newest first.
    pub(crate) memtables: Vec<Arc<Memtable>>,
    /// Takes what is too long for a table.
    pub(crate) long_values: LongValues,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Merging,
    /// Everything is durable, names too.
    Done,
    /// What was written is worth nothing.
    Failed,
}

impl Compaction {
    /// Begins to do what was picked from this version, with memtables that are newer than all tables of the plan.
    ///
    /// # Errors
    /// `Failed` if the plan is not of this version; those of opening blob files.
    pub(crate) fn begin(
        version: &Version,
        plan: Plan,
        workshop: Workshop,
        fresh: Option<Fresh>,
    ) -> Result<Self> {
        let runs = Self::runs_of(version, &plan)?;
        let all =
            runs.iter().flat_map(|(place, tables)| tables.iter().map(|table| (*place, table.info.clone())));
        let (inputs, mut ranges, mut read) = (all.collect(), Ranges::default(), BTreeMap::new());
        let (mut walks, mut poor) = (Vec::<Box<dyn Walk>>::new(), Vec::new());
        for memtable in fresh.iter().flat_map(|fresh| &fresh.memtables) {
            let (all, forward) = (KeyRange::all(), Direction::Forward);
            walks.push(Box::new(MemtableWalk::new(memtable, memtable.snapshot(), all, forward)));
            ranges.add_all(memtable.ranges());
        }
        for (place, tables) in runs {
            let rest: Vec<_> = tables.into_iter().filter(|table| !is_deleted(&table.info, &ranges)).collect();
            *read.entry(place.level).or_default() += rest.iter().map(|table| table.info.bytes).sum::<u64>();
            // Tables ascend, so that each set is added behind the one before, and all of them are merged once.
            let mut of_run = Ranges::default();
            rest.iter().for_each(|table| of_run.add_all(table.ranges()));
            ranges.add_all(&of_run);
            poor.extend(rest.iter().flat_map(|table| &table.info.blobs).map(|(file, _)| *file));
            let run = Arc::new(Run::new(place.run, rest));
            let bounds = Bounds::new(KeyRange::all());
            walks.push(Box::new(RunWalk::new(run, bounds, Direction::Forward, true)));
        }
        poor.retain(|file| plan.blobs_to_collect.contains(file));
        let collector = Collector::open(&workshop, poor)?;
        let cuts = Cuts::new(&Shape::of(version), &plan, workshop.table_bytes);
        if plan.drops_tombstones {
            ranges = Ranges::default();
        }
        let walk = MergeWalk::new(walks, Direction::Forward).keeping_tombstones();
        let (outputs, files, start) = (Vec::new(), Vec::new(), Vec::new());
        let state = State::Merging;
        Ok(Self {
            plan,
            workshop,
            inputs,
            fresh,
            read,
            walk,
            ranges,
            cuts,
            output: None,
            start,
            outputs,
            collector,
            files,
            entries_seen: 0,
            state,
        })
    }

    /// The tables that the plan names.
    fn runs_of(version: &Version, plan: &Plan) -> Result<Vec<(Place, Vec<Arc<Table>>)>> {
        let known: BTreeMap<_, _> =
            version.tables().map(|(place, table)| ((place, table.info.id), table)).collect();
        let table = |place: Place, id: u64| {
            let unknown = || EngineError::failed(format!("a compaction was planned with {}", table_name(id)));
            known.get(&(place, id)).map(|table| Arc::clone(table)).ok_or_else(unknown)
        };
        let run = |(place, ids): &(Place, Vec<u64>)| {
            Ok((*place, ids.iter().map(|id| table(*place, *id)).collect::<Result<_>>()?))
        };
        plan.inputs.iter().map(run).collect()
    }

    /// Does a bounded part; answers whether everything is done and durable, names too.
    ///
    /// # Errors
    /// `Full` if there is no room, `Corrupt` if an input is damaged, else `Failed`; all that is left to do then is to
    /// abandon it.
    pub(crate) fn step(&mut self) -> Result<bool> {
        match self.state {
            State::Done => return Ok(true),
            State::Failed => return Err(EngineError::failed("the compaction has failed before")),
            State::Merging => self.state = State::Failed,
        }
        self.state = if self.try_step()? { State::Done } else { State::Merging };
        Ok(self.state == State::Done)
    }

    fn try_step(&mut self) -> Result<bool> {
        if self.plan.is_move {
            return Ok(true);
        }
        let mut left = STEP_BYTES;
        while left > 0 {
            if let Some(copied) = self.collector.copy()? {
                left = left.saturating_sub(copied);
                continue;
            }
            match self.walk.advance_within(&mut left)? {
                Some(true) => {
                    left = left.saturating_sub(self.walk.key().len() + self.walk.item().encoded_bytes());
                    self.entries_seen += 1;
                    self.take()?;
                }
                Some(false) => {
                    self.finish()?;
                    return Ok(true);
                }
                None => {}
            }
        }
        Ok(false)
    }

    /// Takes what the walk is at.
    fn take(&mut self) -> Result<()> {
        let (key, mut item) = (self.walk.key(), self.walk.item());
        if item == Item::Tombstone && self.plan.drops_tombstones {
            return Ok(());
        }
        let bytes = self.output.as_ref().map(TableBuilder::bytes);
        if let Some(end) = self.cuts.before(key, bytes) {
            let ranges = self.ranges.clipped(&self.start, Some(&end));
            if let Some(output) = self.output.take() {
                self.outputs.push(output.finish(ranges)?);
            }
            self.start = end.to_vec();
        }
        if let Some(fresh) = &mut self.fresh {
            item = fresh.long_values.place((key, item), &mut self.files)?;
        }
        if let Item::Blob(at) = item
            && self.collector.collects(at)
        {
            item = Item::Blob(self.collector.begin(&self.workshop, key, at, &mut self.files)?);
        }
        let output = match &mut self.output {
            Some(output) => output,
            empty => empty.insert(begin_table(&self.workshop, &mut self.files)?),
        };
        output.add(key, item)
    }

    /// Ends the last table, and makes everything durable.
    fn finish(&mut self) -> Result<()> {
        let ranges = self.ranges.clipped(&self.start, None);
        // What is left to delete needs a table, though no key does.
        if self.output.is_none() && !ranges.is_empty() {
            self.output = Some(begin_table(&self.workshop, &mut self.files)?);
        }
        if let Some(output) = self.output.take() {
            self.outputs.push(output.finish(ranges)?);
        }
        self.collector.finish()?;
        if let Some(fresh) = &mut self.fresh {
            fresh.long_values.finish()?;
        }
        if self.files.is_empty() {
            return Ok(());
        }
        self.workshop.directory.sync().map_err(|error| {
            EngineError::failed_by("could not make the names of a compaction's files durable", error)
        })
    }

    /// What becomes of the tables. Call it when `step` has answered that everything is done.
    pub(crate) fn edit(&self) -> Edit {
        let moved = self.inputs.iter().filter(|_| self.plan.is_move).map(|(_, info)| info);
        let added = moved.chain(&self.outputs).map(|info| (self.plan.target, info.clone())).collect();
        let removed = self.inputs.iter().map(|(_, info)| info.id).collect();
        let newest = self.fresh.iter().flat_map(|fresh| &fresh.memtables).next();
        Edit { removed, added, position: newest.map(|memtable| memtable.last()), ..Edit::default() }
    }

    /// Gives up; answers the names of files that can be removed, for nothing durable names them.
    pub(crate) fn abandon(self) -> Vec<String> {
        self.files
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The memtables that it takes along, the newest first.
    pub(crate) fn memtables(&self) -> &[Arc<Memtable>] {
        self.fresh.as_ref().map_or(&[], |fresh| &fresh.memtables)
    }

    /// How many entries were seen, and how many there are at most.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let tables: u64 = self.inputs.iter().map(|(_, info)| info.entries).sum();
        let entries = |memtable: &Arc<Memtable>| memtable.estimate(KeyRange::all()).0;
        let total = tables + self.memtables().iter().map(entries).sum::<u64>();
        (if self.state == State::Done { total } else { self.entries_seen.min(total) }, total)
    }

    /// About how many bytes of the inputs were merged so far.
    pub(crate) fn bytes_merged(&self) -> u64 {
        let (seen, total) = self.progress();
        let bytes: u64 = self.inputs.iter().map(|(_, info)| info.bytes).sum();
        (u128::from(bytes) * u128::from(seen) / u128::from(total.max(1))) as u64
    }

    /// The bytes of the tables that are read, by level. Those that only move are not.
    pub(crate) fn bytes_read(&self) -> impl Iterator<Item = (u8, u64)> {
        self.read.iter().filter(|_| !self.plan.is_move).map(|(level, bytes)| (*level, *bytes))
    }

    /// The bytes that were written into the target level, and into blob files.
    pub(crate) fn bytes_written(&self) -> (u64, u64) {
        let tables: u64 = self.outputs.iter().map(|info| info.bytes).sum();
        (tables + self.output.as_ref().map_or(0, TableBuilder::bytes), self.collector.bytes())
    }
}

/// Whether newer runs delete everything that the table may speak of.
fn is_deleted(info: &TableInfo, newer: &Ranges) -> bool {
    newer.covering(&info.lower).is_some_and(|span| match (info.upper.as_deref(), span.end.as_deref()) {
        (Some(upper), Some(end)) => upper <= end,
        (_, end) => end.is_none(),
    })
}

fn begin_table(workshop: &Workshop, files: &mut Vec<String>) -> Result<TableBuilder> {
    let id = workshop.next_id();
    files.push(table_name(id));
    TableBuilder::create(&*workshop.directory, id, workshop.table)
}
