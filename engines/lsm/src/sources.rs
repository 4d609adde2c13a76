//! Everything that a read looks into, newest first, as of one moment.
//!
//! ```text
//! get    active memtable ─▶ sealed memtables ─▶ level 0: run, run, … ─▶ … ─▶ last level         the first word counts
//! ```
//!
//! Promises: sources never change; a store makes others and swaps them at one instant, and whoever has these keeps what
//! they show. Only the active memtable moves on, and a snapshot of it makes a `Moment` of them. Called by the store, its
//! views and everybody who reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use adapter_api::{Buffer, Direction, EngineError, Estimate, KeyRange, Resident, Result};
use blink::Snapshot;
use wal::ADVICE;

use crate::blob::BlobFile;
use crate::files::blob_name;
use crate::item::{BlobRef, Item};
use crate::losses::Losses;
use crate::memtable::{Memtable, MemtableWalk};
use crate::merge::MergeWalk;
use crate::run::RunWalk;
use crate::table::{Answer, Bounds, Sought};
use crate::version::Version;
use crate::walk::Walk;

/// A walk has room for so many sources from the start.
const EXPECTED_SOURCES: usize = 8;

/// The sources of reads.
#[derive(Clone)]
pub(crate) struct Sources {
    /// What takes writes.
    pub(crate) active: Arc<Memtable>,
    /// What waits to be flushed, the newest first.
    pub(crate) sealed: Vec<Arc<Memtable>>,
    pub(crate) version: Arc<Version>,
    /// Every blob file that one of them refers to.
    pub(crate) blobs: Arc<BTreeMap<u64, Arc<BlobFile>>>,
    /// Where the store was opened to salvage what it holds: who is told of values that cannot be read, and are left out.
    pub(crate) losses: Option<Arc<Losses>>,
}

impl Sources {
    /// All memtables, the newest first.
    pub(crate) fn memtables(&self) -> impl Iterator<Item = &Arc<Memtable>> {
        std::iter::once(&self.active).chain(&self.sealed)
    }

    /// The same with a snapshot of each: this one of the active memtable.
    pub(crate) fn memtables_as_of(
        &self,
        active: Snapshot,
    ) -> impl Iterator<Item = (&Arc<Memtable>, Snapshot)> {
        let sealed = self.sealed.iter().map(|memtable| (memtable, memtable.snapshot()));
        std::iter::once((&self.active, active)).chain(sealed)
    }

    /// Takes out the blob files that nothing refers to, but the one that is being written.
    pub(crate) fn drop_blobs(&mut self, writing: u64) -> BTreeMap<u64, Arc<BlobFile>> {
        let mut needed: BTreeSet<_> = self.version.blob_bytes().into_keys().chain([writing]).collect();
        self.memtables().for_each(|memtable| needed.extend(memtable.blobs()));
        let known = BTreeMap::clone(&self.blobs);
        let (kept, gone) = known.into_iter().partition(|(number, _)| needed.contains(number));
        self.blobs = Arc::new(kept);
        gone
    }

    /// Appends the newest value of the key, if it is there.
    pub(crate) fn get(&self, key: &[u8], may_wait: bool, value: &mut Buffer) -> Result<Resident> {
        self.get_as_of(self.active.snapshot(), key, may_wait, value)
    }

    /// The same, of the active memtable as it was at a snapshot.
    fn get_as_of(
        &self,
        active: Snapshot,
        key: &[u8],
        may_wait: bool,
        value: &mut Buffer,
    ) -> Result<Resident> {
        let read = |item: Item<'_>| self.read(key, item, may_wait, value);
        Ok(match self.find_as_of(active, key, may_wait, read)? {
            Answer::Says(found) => found,
            Answer::Nothing => Resident::Absent,
            Answer::WouldBlock => Resident::WouldBlock,
        })
    }

    /// Lends `with` what the newest source says that knows the key.
    pub(crate) fn find_as_of<R>(
        &self,
        active: Snapshot,
        key: &[u8],
        may_wait: bool,
        mut with: impl FnMut(Item<'_>) -> Result<R>,
    ) -> Result<Answer<R>> {
        for (memtable, snapshot) in self.memtables_as_of(active) {
            if let Some(item) = memtable.find(key, snapshot) {
                return with(item).map(Answer::Says);
            }
            if memtable.ranges().covers(key) {
                return Ok(Answer::Nothing);
            }
        }
        self.find_in_runs(0, &Sought::new(key, may_wait), with)
    }

    /// The same, of runs alone, behind so many of the newest.
    pub(crate) fn find_in_runs<R>(
        &self,
        first: usize,
        sought: &Sought<'_>,
        mut with: impl FnMut(Item<'_>) -> Result<R>,
    ) -> Result<Answer<R>> {
        for (_, run) in self.version.runs().skip(first) {
            match run.find(sought, &mut with)? {
                Answer::Nothing if run.covers(sought.key) => break,
                Answer::Nothing => {}
                answer => return Ok(answer),
            }
        }
        Ok(Answer::Nothing)
    }

    /// Whether any source says that the key has its value there, and be it one that newer ones overwrite.
    pub(crate) fn refer_to(&self, key: &[u8], blob: BlobRef) -> Result<bool> {
        let is_it = |item: Item<'_>| Ok(item == Item::Blob(blob));
        if self.memtables().any(|it| it.find(key, it.snapshot()) == Some(Item::Blob(blob))) {
            return Ok(true);
        }
        let sought = Sought::new(key, true);
        for (_, run) in self.version.runs() {
            if let Answer::Says(true) = run.find(&sought, is_it)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// About how many entries and bytes the range holds: what is overwritten or deleted counts until it is merged.
    pub(crate) fn estimate(&self, range: KeyRange<'_>) -> Estimate {
        let in_memory = self.memtables().map(|memtable| memtable.estimate(range));
        let runs = self.version.runs().flat_map(|(_, run)| run.tables_in(range));
        let (entries, bytes) = in_memory
            .chain(runs.map(|table| table.estimate(range)))
            .fold((0, 0), |(entries, bytes), found| (entries + found.0, bytes + found.1));
        Estimate { entries, bytes, exact: false }
    }

    /// Appends the value that an item stands for.
    pub(crate) fn read(
        &self,
        key: &[u8],
        item: Item<'_>,
        may_wait: bool,
        value: &mut Buffer,
    ) -> Result<Resident> {
        match item {
            Item::Value(bytes) => value.extend_from_slice(bytes),
            Item::Tombstone => return Ok(Resident::Absent),
            Item::Blob(_) if !may_wait => return Ok(Resident::WouldBlock),
            Item::Blob(blob) if self.read_blob(key, blob, value)? => {}
            Item::Blob(_) => return Ok(Resident::Absent),
        }
        Ok(Resident::Hit)
    }

    /// Appends a value that lies in a blob file; answers no if it is lost, and somebody was told.
    pub(crate) fn read_blob(&self, key: &[u8], blob: BlobRef, value: &mut Buffer) -> Result<bool> {
        let start = value.len();
        let read = match self.blobs.get(&blob.file) {
            Some(file) => file.read(blob, key, value),
            None => Err(EngineError::corrupt(
                blob_name(blob.file),
                blob.offset,
                format!("a value lies in a blob file that is not there; {ADVICE}"),
            )),
        };
        match (read, &self.losses) {
            (Err(error), Some(losses)) => {
                value.truncate(start);
                losses.tell_value(&error, key);
                Ok(false)
            }
            (read, _) => read.map(|()| true),
        }
    }
}

/// The sources as of one moment.
#[derive(Clone)]
pub(crate) struct Moment {
    pub(crate) sources: Arc<Sources>,
    /// Of the active memtable.
    pub(crate) active: Snapshot,
}

impl Moment {
    pub(crate) fn of(sources: Arc<Sources>) -> Self {
        Self { active: sources.active.snapshot(), sources }
    }

    /// Appends the value of the key, if it is there.
    pub(crate) fn get(&self, key: &[u8], may_wait: bool, value: &mut Buffer) -> Result<Resident> {
        self.sources.get_as_of(self.active, key, may_wait, value)
    }

    /// A walk over all memtables and all tables, the newest word on each key alone.
    pub(crate) fn walk(&self, range: KeyRange<'_>, direction: Direction) -> MergeWalk {
        let mut walks: Vec<Box<dyn Walk>> = Vec::with_capacity(EXPECTED_SOURCES);
        // One that is empty by now was empty at that moment.
        let memtables = self.sources.memtables_as_of(self.active);
        for (memtable, snapshot) in memtables.filter(|(memtable, _)| !memtable.is_empty()) {
            walks.push(Box::new(MemtableWalk::new(memtable, snapshot, range, direction)));
        }
        let bounds = Bounds::new(range);
        for (_, run) in self.sources.version.runs() {
            let walk = RunWalk::new(Arc::clone(run), Arc::clone(&bounds), direction, false);
            if walk.has_more() {
                walks.push(Box::new(walk));
            }
        }
        MergeWalk::new(walks, direction)
    }
}
