//! Which tables to merge next: a pure function of what there is.
//!
//! ```text
//! level 0     │ flush │ flush │ … │           runs that overlap; at most `runs_max`
//! base        │ a table │ … │                 leveled: one run, a part of the last level's size
//! …                                           lazy-leveled: up to `runs_max` runs
//! last level  │ a table │ a table │ … │       one run, nearly everything
//! ```
//!
//! What is done first: the tables of an ingest move where they meet nothing; then level 0 (all writers wait for it, as SILK
//! says, ATC 2019); then the level that is farthest above its size (`levels`); then tables that delete more than it costs
//! to merge them, so that deleting frees space though nothing more is written; then tables that refer to blob files of
//! which less than half is live. Of a level that is too large, that part goes down which meets the least below it.
//!
//! What a plan must keep to:
//! - What goes down takes every older word on its keys along that lies between where it is and where it goes. So of
//!   level 0, and of every level with several runs, whole clusters go: all tables that overlap each other.
//! - The span that is merged into a run has all tables of that run that it overlaps as inputs.
//! - Tombstones and deleted ranges end only where nothing older overlaps the inputs.
//!
//! Every plan moves words down, or rewrites a table in its place and leaves fewer references to poor blob files. So it
//! ends. Sources: O'Neil et al. 1996 (the levels), Dostoevsky 2018 (lazy leveling), RocksDB (sizes from the bottom).
//!
//! Promises: a plan is right whatever the options say. Called by the compactor.

mod descent;
mod levels;
mod shape;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use adapter_api::KeyRange;

pub(crate) use self::descent::Descent;
pub(crate) use self::levels::LAST;
use self::levels::Targets;
pub(crate) use self::levels::{debt_bytes, scores};
use self::shape::{Cluster, bytes_of};
pub(crate) use self::shape::{RunShape, Shape, TableShape};
use crate::version::Place;

/// Values move out of small blob files when the tables that are written again refer to so many of them.
const SMALL_BLOBS_MAX: usize = 8;

/// How levels are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// One run in each level but level 0.
    Leveled,
    /// Several runs in each level but the last.
    LazyLeveled,
    /// Nothing is merged unless somebody asks for it.
    Off,
}

impl Style {
    /// Whether anything is merged though nobody asks for it.
    pub(crate) fn merges(self) -> bool {
        self != Self::Off
    }
}

/// What a picker goes by.
#[derive(Debug, Clone)]
pub(crate) struct PickOptions {
    pub(crate) style: Style,
    /// How many times the size of the level above a level has; at least 2.
    pub(crate) ratio: u64,
    /// How many runs level 0 has when it is merged, and in lazy leveling the levels below too.
    pub(crate) runs_max: usize,
    /// No level but level 0 is made that would have less: a few memtables.
    pub(crate) base_bytes: u64,
    /// How long a table should be.
    pub(crate) table_bytes: u64,
    /// The lengths of blob files to which only tables refer; values stay in those that are not named.
    pub(crate) blob_bytes: BTreeMap<u64, u64>,
}

/// Why something is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A level is too large, or has too many runs.
    Level,
    /// Tables delete much of what is below.
    Deletes,
    /// Less than half of a blob file is live, or a table refers to many small ones.
    Blobs,
    /// Somebody asked for it.
    Asked,
}

/// What is to be merged, and into what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The tables of each run, ascending; runs newest first.
    pub(crate) inputs: Vec<(Place, Vec<u64>)>,
    /// The run that gets the output: a new one, or one of which some tables may be inputs.
    pub(crate) target: Place,
    /// Nothing older is left that tombstones and deleted ranges could delete.
    pub(crate) drops_tombstones: bool,
    /// The tables get another place as they are.
    pub(crate) is_move: bool,
    pub(crate) reason: Reason,
    /// Blob files whose values move into new ones on the way.
    pub(crate) blobs_to_collect: BTreeSet<u64>,
}

impl Plan {
    /// The tables that are merged.
    pub(crate) fn tables(&self) -> impl Iterator<Item = u64> {
        self.inputs.iter().flat_map(|(_, ids)| ids).copied()
    }

    /// Whether all that another plan writes would be written again by this one.
    pub(crate) fn includes(&self, other: &Self) -> bool {
        let tables: BTreeSet<_> = self.tables().collect();
        self.target.level == other.target.level && other.tables().all(|id| tables.contains(&id))
    }
}

/// What to do next; `None` if everything is as it should be.
pub(crate) fn pick(shape: &Shape, options: &PickOptions) -> Option<Plan> {
    let picker = Picker::new(shape, options);
    if !options.style.merges() {
        return None;
    }
    picker.unmet().or_else(|| picker.level(LAST)).or_else(|| picker.deletes()).or_else(|| picker.blobs())
}

/// What should be done before a plan that was picked before, and may be under way, goes on: something of a younger level
/// that has nothing to do with its tables. Either may then come to its end first.
///
/// Both stay right. What is picked goes no further than the level that the other plan takes from, for that one is not
/// empty yet, so it stays newer than what the other one writes; and neither takes a table of the other away.
pub(crate) fn pick_urgent(shape: &Shape, options: &PickOptions, running: &Plan) -> Option<Plan> {
    let level = running.inputs.first().map_or(0, |(place, _)| usize::from(place.level));
    if !options.style.merges() || level == 0 {
        return None;
    }
    let busy: BTreeSet<_> = running.inputs.iter().flat_map(|(_, ids)| ids).collect();
    let picker = Picker::new(shape, options);
    let plan = picker.unmet().or_else(|| picker.level(level))?;
    let is_free = plan.inputs.iter().flat_map(|(_, ids)| ids).all(|id| !busy.contains(id));
    is_free.then_some(plan)
}

struct Picker<'a> {
    shape: &'a Shape,
    options: &'a PickOptions,
    targets: Targets,
    /// Blob files of which less than half is live.
    poor: BTreeSet<u64>,
    /// Those that are short.
    small: BTreeSet<u64>,
}

impl<'a> Picker<'a> {
    fn new(shape: &'a Shape, options: &'a PickOptions) -> Self {
        let mut live: BTreeMap<u64, u64> = BTreeMap::new();
        let tables = shape.levels.iter().flatten().flat_map(|run| &run.tables);
        for (file, bytes) in tables.flat_map(|table| &table.info.blobs) {
            *live.entry(*file).or_default() += bytes;
        }
        let bytes_of = |file: &u64| options.blob_bytes.get(file);
        let is_poor = |file: &u64| bytes_of(file).is_some_and(|bytes| live[file] < bytes / 2);
        let is_small = |file: &u64| bytes_of(file).is_some_and(|bytes| *bytes < options.table_bytes / 16);
        let poor = live.keys().copied().filter(is_poor).collect();
        let small = live.keys().copied().filter(is_small).collect();
        Self { shape, options, targets: Targets::of(shape, options), poor, small }
    }

    /// The blob files whose values move when these tables are written again: poor ones, and small ones if the tables refer
    /// to many; else files, each of which is kept open, would grow in number with every collection.
    fn collected<'t>(&self, tables: impl IntoIterator<Item = &'t TableShape>) -> BTreeSet<u64> {
        let files = tables.into_iter().flat_map(|table| &table.info.blobs).map(|(file, _)| *file);
        let (small, mut collected): (BTreeSet<_>, BTreeSet<_>) = files
            .filter(|file| self.poor.contains(file) || self.small.contains(file))
            .partition(|file| !self.poor.contains(file));
        if small.len() >= SMALL_BLOBS_MAX {
            collected.extend(small);
        }
        collected
    }

    /// Tables of the oldest run of level 0 that meet nothing in the next level, if it is the run of an ingest: to move them
    /// costs nothing. The table of a flush waits until it is merged with others.
    fn unmet(&self) -> Option<Plan> {
        let oldest = self.shape.runs(0).last().filter(|run| run.is_ingest())?;
        let next = self.targets.next(self.shape, 0);
        let merges = self.targets.merges_into(self.shape, self.options, next);
        let meets = |range: KeyRange<'_>| self.shape.tables_in(next, range).next().is_some();
        let is_unmet = |table: &&TableShape| !table.deletes() && !meets(table.info.range());
        let mut unmet = oldest.tables.iter().filter(is_unmet);
        let mut cluster = Cluster::of([unmet.next()?])?;
        for table in unmet {
            // Into a run that is there go those together that nothing lies between.
            if merges && meets(KeyRange::with_end(&cluster.span.start, table.info.upper.as_deref())) {
                break;
            }
            cluster.add(table);
        }
        Some(self.push(0, cluster, next, Reason::Level))
    }

    /// The number of the newest run of level 0 that goes down with the oldest one: an ingest goes without what was flushed
    /// before it or later, or as much as it has would be written again for the little that was flushed.
    fn newest_of_oldest(&self) -> u64 {
        let runs = self.shape.runs(0);
        let flushed = runs.iter().rev().take_while(|run| !run.is_ingest()).last();
        flushed.or(runs.last()).map_or(u64::MAX, |run| run.number)
    }

    /// Something of the level that needs it most, of those before `end`.
    fn level(&self, end: usize) -> Option<Plan> {
        let score = |level: &usize| self.targets.score(self.shape, self.options, *level);
        let is_due = |level: &usize| *level < end && score(level) >= 1.0;
        let largest = (1..end).filter(is_due).max_by(|one, other| score(one).total_cmp(&score(other)));
        let level = Some(0).filter(is_due).or(largest)?;
        let next = self.targets.next(self.shape, level);
        let newest = if level == 0 { self.newest_of_oldest() } else { u64::MAX };
        let clusters = self.shape.clusters(level, newest);
        if !self.targets.merges_into(self.shape, self.options, next) {
            let whole = Cluster::of(clusters.iter().flat_map(|cluster| cluster.tables.iter().copied()))?;
            return Some(self.push(level, whole, next, Reason::Level));
        }
        // The oldest run goes first, or a run would be left of which only some far corner was written.
        let oldest = self.shape.runs(level).last()?;
        let is_old = |cluster: &Cluster<'_>| {
            cluster.tables.iter().any(|table| oldest.tables.iter().any(|old| old.info.id == table.info.id))
        };
        let candidates = (0..clusters.len()).filter(|at| level > 0 || is_old(&clusters[*at]));
        let cheapest = candidates.min_by(|one, other| {
            let (one, other) = (&clusters[*one], &clusters[*other]);
            let by_cost = self.cost(one, next).total_cmp(&self.cost(other, next));
            // Ids grow, so the one that has been there longest comes first.
            by_cost.then(one.tables[0].info.id.cmp(&other.tables[0].info.id))
        })?;
        Some(self.push(level, self.grown(&clusters, cheapest, next)?, next, Reason::Level))
    }

    /// How many bytes are written again for a byte of the cluster that goes down. What deletes counts twice.
    fn cost(&self, cluster: &Cluster<'_>, next: usize) -> f64 {
        let met = bytes_of(self.shape.tables_in(next, cluster.span.range()));
        let deleting = cluster.tombstones() as f64 / cluster.entries().max(1) as f64;
        met as f64 / (cluster.bytes().max(1) as f64 * (1.0 + deleting))
    }

    /// The cluster at this place, and its neighbours as long as all of them together make no more than a table and meet
    /// nothing that lies between them.
    fn grown(&self, clusters: &[Cluster<'a>], at: usize, next: usize) -> Option<Cluster<'a>> {
        let (mut first, mut behind) = (at, at + 1);
        let mut bytes = clusters[at].bytes();
        let joins = |bytes: u64, left: usize, right: usize, more: usize| {
            let more = clusters.get(more)?.bytes();
            let is_near = !self.lies_between(clusters.get(left)?, clusters.get(right)?, next);
            (is_near && bytes + more <= self.options.table_bytes).then_some(more)
        };
        loop {
            if let Some(more) = joins(bytes, behind - 1, behind, behind) {
                (behind, bytes) = (behind + 1, bytes + more);
            } else if let Some(more) = first.checked_sub(1).and_then(|more| joins(bytes, more, first, more)) {
                (first, bytes) = (first - 1, bytes + more);
            } else {
                break;
            }
        }
        Cluster::of(clusters[first..behind].iter().flat_map(|cluster| cluster.tables.iter().copied()))
    }

    /// Whether a table of the level speaks of nothing that either of two neighbours speaks of, but of what lies between.
    fn lies_between(&self, left: &Cluster<'_>, right: &Cluster<'_>, level: usize) -> bool {
        let Some(end) = left.span.end.as_deref() else { return false };
        let between = KeyRange::new(end, &right.span.start);
        self.shape.tables_in(level, between).any(|table| {
            table.info.lower.as_ref() >= end
                && table.info.upper.as_deref().is_some_and(|upper| upper <= &*right.span.start)
        })
    }

    /// The plan that moves a cluster of a level, or all of the level, to another one.
    fn push(&self, level: usize, cluster: Cluster<'a>, next: usize, reason: Reason) -> Plan {
        let chosen: BTreeSet<u64> = cluster.tables.iter().map(|table| table.info.id).collect();
        let mut inputs: Vec<(Place, Vec<u64>)> = Vec::new();
        for run in self.shape.runs(level) {
            let ids = run.tables.iter().map(|table| table.info.id).filter(|id| chosen.contains(id));
            inputs.push((Place { level: level as u8, run: run.number }, ids.collect()));
        }
        inputs.retain(|(_, ids)| !ids.is_empty());
        let newest = inputs.first().map_or(0, |(place, _)| place.run);
        let below = self.shape.runs(next).first();
        let merged = below.filter(|_| self.targets.merges_into(self.shape, self.options, next));
        let number = match (merged, below) {
            (Some(run), _) => run.number,
            (None, Some(run)) => newest.max(run.number + 1),
            (None, None) => newest,
        };
        let target = Place { level: next as u8, run: number };
        let met = merged.map_or(&[][..], |run| run.tables_in(cluster.span.range()));
        let mut whole = cluster.clone();
        met.iter().for_each(|table| whole.add(table));
        let drops_tombstones = !self.is_above_something(target, &whole);
        let keeps_all = !drops_tombstones || cluster.tables.iter().all(|table| !table.deletes());
        let is_move = met.is_empty() && keeps_all && cluster.is_disjoint() && self.is_worth_moving(&cluster);
        if !met.is_empty() {
            inputs.push((target, met.iter().map(|table| table.info.id).collect()));
        }
        let blobs_to_collect = if is_move { BTreeSet::new() } else { self.collected(whole.tables) };
        Plan { inputs, target, drops_tombstones, is_move, reason, blobs_to_collect }
    }

    /// Whether something behind this place, or in older runs beside it, has a word on what these tables speak of. They
    /// themselves do not count.
    fn is_above_something(&self, place: Place, tables: &Cluster<'_>) -> bool {
        let (level, span) = (usize::from(place.level), tables.span.range());
        let behind = (level + 1..self.shape.levels.len())
            .any(|level| self.shape.tables_in(level, span).next().is_some());
        let is_one = |other: &TableShape| tables.tables.iter().any(|table| table.info.id == other.info.id);
        let older = self.shape.runs(level).iter().filter(|run| run.number <= place.run);
        behind || older.flat_map(|run| run.tables_in(span)).any(|other| !is_one(other))
    }

    /// Several small tables had better become one.
    fn is_worth_moving(&self, cluster: &Cluster<'_>) -> bool {
        let count = cluster.tables.len() as u64;
        count == 1 || cluster.bytes() / count >= self.options.table_bytes / 8
    }

    /// A part of a level of which at least half goes, with what it meets, if it is merged.
    fn deletes(&self) -> Option<Plan> {
        let mut best: Option<(f64, usize, Cluster<'a>)> = None;
        for level in 0..LAST {
            if !self.shape.runs(level).iter().flat_map(|run| &run.tables).any(TableShape::deletes) {
                continue;
            }
            let next = self.targets.next(self.shape, level);
            let clusters = match self.targets.merges_into(self.shape, self.options, next) {
                true => self.shape.clusters(level, u64::MAX),
                false => Cluster::of(self.shape.tables(level)).into_iter().collect(),
            };
            for cluster in clusters {
                let share = self.share_that_goes(level, &cluster, next);
                if share >= 0.5 && best.as_ref().is_none_or(|(most, ..)| share > *most) {
                    best = Some((share, level, cluster));
                }
            }
        }
        let (_, level, cluster) = best?;
        let next = self.targets.next(self.shape, level);
        Some(self.push(level, cluster, next, Reason::Deletes))
    }

    /// Which share of what would be read and written goes for good, about.
    fn share_that_goes(&self, level: usize, cluster: &Cluster<'_>, next: usize) -> f64 {
        let covered = self.covered(level, cluster);
        let met: Vec<_> = self.shape.tables_in(next, cluster.span.range()).collect();
        let (rest, dead): (Vec<_>, Vec<_>) =
            met.into_iter().partition(|table| !covered.contains_key(&table.info.id));
        let rest_bytes = bytes_of(rest.iter().copied());
        let rest_entries: u64 = rest.iter().map(|table| table.info.entries).sum();
        let by_tombstones = cluster.tombstones() as f64 * rest_bytes as f64 / rest_entries.max(1) as f64;
        let goes = covered.values().sum::<u64>() as f64 + by_tombstones.min(rest_bytes as f64);
        // Tables that go as a whole are not even read.
        let cost = cluster.bytes() + rest_bytes + dead.len() as u64;
        goes / cost.max(1) as f64
    }

    /// Tables in older levels that a range of the cluster covers as a whole, and their bytes.
    fn covered(&self, level: usize, cluster: &Cluster<'_>) -> BTreeMap<u64, u64> {
        let mut covered = BTreeMap::new();
        for span in cluster.tables.iter().flat_map(|table| table.ranges.spans()) {
            for level in level + 1..self.shape.levels.len() {
                let inside = self.shape.tables_in(level, span.range()).filter(|table| table.is_inside(span));
                covered.extend(inside.map(|table| (table.info.id, table.info.bytes)));
            }
        }
        covered
    }

    /// The table that has most in poor blob files, to be written again where it is; or one that refers to many small ones.
    fn blobs(&self) -> Option<Plan> {
        let moves = |table: &TableShape| -> u64 {
            let collected = self.collected([table]);
            let blobs = table.info.blobs.iter().filter(|(file, _)| collected.contains(file));
            blobs.map(|(_, bytes)| bytes).sum()
        };
        let tables = self.shape.levels.iter().flatten().flat_map(|run| &run.tables);
        let (most, _) = tables
            .map(|table| (table, moves(table)))
            .filter(|(_, bytes)| *bytes > 0)
            .max_by_key(|(_, bytes)| *bytes)?;
        self.in_place(most.info.id, Reason::Blobs)
    }

    /// The plan that writes a table again where it is.
    fn in_place(&self, id: u64, reason: Reason) -> Option<Plan> {
        let runs = self
            .shape
            .levels
            .iter()
            .enumerate()
            .flat_map(|(level, runs)| runs.iter().map(move |run| (level, run)));
        let tables = runs.flat_map(|(level, run)| run.tables.iter().map(move |table| (level, run, table)));
        let (level, run, table) = tables.into_iter().find(|(.., table)| table.info.id == id)?;
        let target = Place { level: level as u8, run: run.number };
        Some(Plan {
            inputs: vec![(target, vec![id])],
            target,
            drops_tombstones: !self.is_above_something(target, &Cluster::of([table])?),
            is_move: false,
            reason,
            blobs_to_collect: self.collected([table]),
        })
    }
}
