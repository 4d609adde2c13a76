//! Which tables there are, and which of them is newer than which.
//!
//! ```text
//! newest  memtable ─▶ sealed memtables ─▶ level 0: run, run, … ─▶ level 1: run, … ─▶ … ─▶ last level: one run  oldest
//!
//! run     │ table a … f │ table f … q │ table q … │         tables side by side, no key in two of them
//! ```
//!
//! Everything a run says is newer than what older runs say of the same key: that is what makes sequence numbers
//! needless, and every change of a version keeps to it. Levels are numbered from the youngest; in a level the run with
//! the higher number is newer.
//!
//! Promises: a version never changes; whoever holds one holds its tables. Called by readers, and by whoever makes the
//! next one: the flusher, the compactor, an ingest.

use std::collections::BTreeMap;
use std::sync::Arc;

use adapter_api::KeyRange;
use wal::Lsn;

use crate::run::Run;
use crate::table::Table;

/// How many levels there are at most.
pub(crate) const LEVELS_MAX: usize = 8;

/// Where a table belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) level: u8,
    /// Runs of one level have numbers of their own; higher ones are newer.
    pub(crate) run: u64,
}

/// What the manifest says of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableInfo {
    /// The number in the name of the file. No two files of a directory ever have the same.
    pub(crate) id: u64,
    /// The length of the file.
    pub(crate) bytes: u64,
    /// No key and no deleted range lies below.
    pub(crate) lower: Arc<[u8]>,
    /// Every key lies below, and every deleted range ends there or before; `None`: nothing bounds them.
    pub(crate) upper: Option<Arc<[u8]>>,
    /// Keys, tombstones included.
    pub(crate) entries: u64,
    pub(crate) tombstones: u64,
    /// Bytes of keys and values, those in blob files included.
    pub(crate) data_bytes: u64,
    /// How many bytes of which blob files it refers to, records as a whole, ascending by number.
    pub(crate) blobs: Vec<(u64, u64)>,
}

impl TableInfo {
    /// The keys that the table may say something of.
    pub(crate) fn range(&self) -> KeyRange<'_> {
        KeyRange::with_end(&self.lower, self.upper.as_deref())
    }

    /// Whether it may say something of a key of the range.
    pub(crate) fn overlaps(&self, range: KeyRange<'_>) -> bool {
        let begins_before = range.end().is_none_or(|end| *self.lower < *end);
        begins_before && self.upper.as_deref().is_none_or(|upper| range.start() < upper)
    }
}

/// A change from one version to the next; one record of the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Edit {
    /// Tables that are gone. One that is added again with the same number has moved.
    pub(crate) removed: Vec<u64>,
    pub(crate) added: Vec<(Place, TableInfo)>,
    /// The tables have everything up to this record of the log, if that is new.
    pub(crate) position: Option<Lsn>,
    /// Every file that is made from now on has this number or a higher one, if that is new.
    pub(crate) next_id: Option<u64>,
}

/// The tables at one instant.
#[derive(Default)]
pub(crate) struct Version {
    /// From the youngest to the oldest; trailing levels may be empty.
    pub(crate) levels: Vec<Level>,
}

/// The runs of one level, the newest first.
#[derive(Default, Clone)]
pub(crate) struct Level {
    pub(crate) runs: Vec<Arc<Run>>,
}

impl Level {
    pub(crate) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.runs.iter().flat_map(|run| run.tables())
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.tables().map(|table| table.info.bytes).sum()
    }
}

impl Version {
    /// Puts tables where they belong.
    pub(crate) fn of(tables: impl IntoIterator<Item = (Place, Arc<Table>)>) -> Self {
        let mut runs: BTreeMap<Place, Vec<Arc<Table>>> = BTreeMap::new();
        for (place, table) in tables {
            runs.entry(place).or_default().push(table);
        }
        let mut version = Self::default();
        for (place, tables) in runs {
            let level = usize::from(place.level);
            if version.levels.len() <= level {
                version.levels.resize_with(level + 1, Level::default);
            }
            version.levels[level].runs.insert(0, Arc::new(Run::new(place.run, tables)));
        }
        version
    }

    /// The version after an edit; `opened` are the tables that it adds.
    pub(crate) fn after(&self, edit: &Edit, opened: &[Arc<Table>]) -> Self {
        let known: BTreeMap<_, _> =
            self.tables().map(|(_, table)| table).chain(opened).map(|table| (table.info.id, table)).collect();
        let kept = self
            .tables()
            .filter(|(_, table)| !edit.removed.contains(&table.info.id))
            .map(|(place, table)| (place, Arc::clone(table)));
        let added = edit
            .added
            .iter()
            .filter_map(|(place, info)| known.get(&info.id).map(|table| (*place, Arc::clone(table))));
        Self::of(kept.chain(added))
    }

    /// Runs from the newest to the oldest, with their levels.
    pub(crate) fn runs(&self) -> impl DoubleEndedIterator<Item = (usize, &Arc<Run>)> {
        self.levels.iter().enumerate().flat_map(|(level, it)| it.runs.iter().map(move |run| (level, run)))
    }

    /// Every table, with its place.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (Place, &Arc<Table>)> {
        self.runs().flat_map(|(level, run)| {
            let place = Place { level: level as u8, run: run.number() };
            run.tables().iter().map(move |table| (place, table))
        })
    }

    /// How many bytes of each blob file tables refer to.
    pub(crate) fn blob_bytes(&self) -> BTreeMap<u64, u64> {
        let mut bytes = BTreeMap::new();
        for (_, table) in self.tables() {
            for (file, live) in &table.info.blobs {
                *bytes.entry(*file).or_default() += live;
            }
        }
        bytes
    }
}
