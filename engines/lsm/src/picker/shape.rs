//! What a picker knows of a version: which tables there are and what they say of themselves.
//!
//! Promises: nothing is read and nothing is changed. Called by `picker`, and by the compaction that does what was picked.

use std::collections::BTreeSet;
use std::sync::Arc;

use adapter_api::KeyRange;

use super::Plan;
use crate::ranges::{Ranges, Span};
use crate::version::{Place, TableInfo, Version};

/// The tables of every level.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shape {
    /// From the youngest level on; the runs of each newest first.
    pub(crate) levels: Vec<Vec<RunShape>>,
}

/// The tables of a run, ascending.
#[derive(Debug, Clone)]
pub(crate) struct RunShape {
    pub(crate) number: u64,
    pub(crate) tables: Vec<TableShape>,
}

/// A table.
#[derive(Debug, Clone)]
pub(crate) struct TableShape {
    pub(crate) info: TableInfo,
    /// What it deletes in older sources.
    pub(crate) ranges: Ranges,
}

/// Tables of one level, each of which overlaps another one of them: what one of them says of a key may be older or
/// newer than what another one says, so they move together.
#[derive(Debug, Clone)]
pub(crate) struct Cluster<'a> {
    /// All that the tables may say something of.
    pub(crate) span: Span,
    pub(crate) tables: Vec<&'a TableShape>,
}

impl TableShape {
    /// Whether something in it is there only to delete what is older.
    pub(crate) fn deletes(&self) -> bool {
        self.info.tombstones > 0 || !self.ranges.is_empty()
    }

    /// Whether everything that it may speak of lies in a range.
    pub(crate) fn is_inside(&self, span: &Span) -> bool {
        let ends_inside = match (self.info.upper.as_deref(), span.end.as_deref()) {
            (Some(upper), Some(end)) => upper <= end,
            (_, end) => end.is_none(),
        };
        *span.start <= *self.info.lower && ends_inside
    }
}

impl RunShape {
    /// Whether a run of level 0 comes from an ingest: a flush makes one table.
    pub(crate) fn is_ingest(&self) -> bool {
        self.tables.len() > 1
    }

    /// The tables that may say something of a key of the range.
    pub(crate) fn tables_in(&self, range: KeyRange<'_>) -> &[TableShape] {
        let is_before =
            |table: &TableShape| table.info.upper.as_deref().is_some_and(|upper| upper <= range.start());
        let first = self.tables.partition_point(is_before);
        let behind =
            self.tables.partition_point(|table| range.end().is_none_or(|end| *table.info.lower < *end));
        &self.tables[first.min(behind)..behind]
    }
}

impl<'a> Cluster<'a> {
    /// A cluster of tables that come in the order of their lower bounds.
    pub(crate) fn of(tables: impl IntoIterator<Item = &'a TableShape>) -> Option<Self> {
        let mut tables = tables.into_iter();
        let first = tables.next()?;
        let mut cluster = Self { span: span_of(first), tables: vec![first] };
        tables.for_each(|table| cluster.add(table));
        Some(cluster)
    }

    /// Takes in a table.
    pub(crate) fn add(&mut self, table: &'a TableShape) {
        let start = &self.span.start;
        self.span.start = Arc::clone(start.min(&table.info.lower));
        self.span.end = later(self.span.end.take(), table.info.upper.clone());
        self.tables.push(table);
    }

    pub(crate) fn bytes(&self) -> u64 {
        bytes_of(self.tables.iter().copied())
    }

    pub(crate) fn tombstones(&self) -> u64 {
        self.tables.iter().map(|table| table.info.tombstones).sum()
    }

    pub(crate) fn entries(&self) -> u64 {
        self.tables.iter().map(|table| table.info.entries).sum()
    }

    /// Whether no key can be in two of the tables.
    pub(crate) fn is_disjoint(&self) -> bool {
        self.tables.windows(2).all(|pair| !pair[0].info.overlaps(pair[1].info.range()))
    }
}

impl Shape {
    /// What there is of a version.
    pub(crate) fn of(version: &Version) -> Self {
        let mut shape = Self::default();
        for level in &version.levels {
            let runs = level.runs.iter().map(|run| RunShape {
                number: run.number(),
                tables: run
                    .tables()
                    .iter()
                    .map(|table| TableShape { info: table.info.clone(), ranges: table.ranges().clone() })
                    .collect(),
            });
            shape.levels.push(runs.collect());
        }
        shape
    }

    /// The runs of a level, newest first; none if there is no such level.
    pub(crate) fn runs(&self, level: usize) -> &[RunShape] {
        self.levels.get(level).map_or(&[], Vec::as_slice)
    }

    /// The tables of a level, in the order of their lower bounds.
    pub(crate) fn tables(&self, level: usize) -> Vec<&TableShape> {
        let mut tables: Vec<_> = self.runs(level).iter().flat_map(|run| &run.tables).collect();
        tables.sort_by(|one, other| one.info.lower.cmp(&other.info.lower));
        tables
    }

    pub(crate) fn bytes(&self, level: usize) -> u64 {
        bytes_of(self.runs(level).iter().flat_map(|run| &run.tables))
    }

    /// The length of all tables of a plan.
    pub(crate) fn bytes_of(&self, plan: &Plan) -> u64 {
        let ids: BTreeSet<_> = plan.tables().collect();
        let tables = self.levels.iter().flatten().flat_map(|run| &run.tables);
        bytes_of(tables.filter(|table| ids.contains(&table.info.id)))
    }

    /// The tables of a level that may say something of a key of the range.
    pub(crate) fn tables_in<'a>(
        &'a self,
        level: usize,
        range: KeyRange<'a>,
    ) -> impl Iterator<Item = &'a TableShape> {
        self.runs(level).iter().flat_map(move |run| run.tables_in(range))
    }

    /// Whether any of these tables is where it was.
    pub(crate) fn has_any(&self, tables: &[(Place, Vec<u64>)]) -> bool {
        tables.iter().any(|(place, ids)| {
            let runs = self.runs(place.level.into()).iter().filter(|run| run.number == place.run);
            runs.flat_map(|run| &run.tables).any(|table| ids.contains(&table.info.id))
        })
    }

    /// In how many tables of a level a key can be, at most.
    pub(crate) fn depth(&self, level: usize) -> usize {
        let (mut depth, mut open) = (0, Vec::new());
        for table in self.tables(level) {
            open.retain(|other: &&TableShape| other.info.overlaps(table.info.range()));
            open.push(table);
            depth = depth.max(open.len());
        }
        depth
    }

    /// The clusters of a level, ascending; of runs with this number or a lower one.
    pub(crate) fn clusters(&self, level: usize, newest: u64) -> Vec<Cluster<'_>> {
        let runs = self.runs(level).iter().filter(|run| run.number <= newest);
        let mut tables: Vec<_> = runs.flat_map(|run| &run.tables).collect();
        tables.sort_by(|one, other| one.info.lower.cmp(&other.info.lower));
        let mut clusters: Vec<Cluster<'_>> = Vec::new();
        for table in tables {
            match clusters.last_mut() {
                Some(last) if last.span.end.as_ref().is_none_or(|end| table.info.lower < *end) => {
                    last.add(table)
                }
                _ => clusters.extend(Cluster::of([table])),
            }
        }
        clusters
    }
}

pub(crate) fn bytes_of<'a>(tables: impl IntoIterator<Item = &'a TableShape>) -> u64 {
    tables.into_iter().map(|table| table.info.bytes).sum()
}

fn span_of(table: &TableShape) -> Span {
    Span { start: Arc::clone(&table.info.lower), end: table.info.upper.clone() }
}

fn later(one: Option<Arc<[u8]>>, other: Option<Arc<[u8]>>) -> Option<Arc<[u8]>> {
    Some(one?.max(other?))
}
