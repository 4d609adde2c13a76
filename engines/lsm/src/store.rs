//! The open store: the writer, and the lanes that flush and compact behind it.
//!
//! The order of a write is: values that are very long into a blob file, append to the log, make durable, into the memtable. So nothing is visible before it is durable, a log that has no room changes nothing, and any other
//! failure is final: the log takes nothing more, and what was visible stays so.
//!
//! Locks, in the order in which they may be taken: `preparing`, writer, compactor, flusher, the catalog's, the views'.
//! Readers take none of them, but that to open a view is to write its name into a list.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter_api::environment::{Cause, Clock, Environment, Lanes};
use adapter_api::{Batch, EngineError, Lane, Mutation, Result, Step};
use wal::{Log, lock};

use crate::blob::{BlobFile, BlobWriter};
use crate::catalog::{Catalog, Failed, Parts};
use crate::compaction::{Compaction, Fresh, Workshop};
use crate::direct::Held;
use crate::files::{blob_name, number_in};
use crate::flush::Flush;
use crate::item::BlobRef;
use crate::long_values::LongValues;
use crate::memtable::Memtable;
use crate::numbers::Numbers;
use crate::picker::{self, PickOptions, Plan, Shape};
use crate::ranges::Ranges;
use crate::record::{self, Recorder};
use crate::settings::{AHEAD_BYTES, Settings};
use crate::view::Views;

/// The lane that prepares segments of the log, and syncs what has waited for its time.
pub(crate) const LOG_LANE: Lane = Lane(0);
/// The lane that writes sealed memtables to tables.
pub(crate) const FLUSH_LANE: Lane = Lane(1);
/// The lane that merges tables.
pub(crate) const COMPACTION_LANE: Lane = Lane(2);

/// A memtable up to this size is copied to delete a range in what is older; a larger one is sealed.
pub(crate) const COPIED_BYTES: u64 = 64 << 10;
/// The memory for records that is kept between writes.
const RECORD_MEMORY_BYTES: usize = 1 << 20;
/// Upper levels have so many runs at most, and level 0 before it is merged.
const RUNS_MAX: usize = 4;
/// The least that level 1 may hold, in memtables.
const BASE_MEMTABLES: u64 = 4;
/// How long after a failed flush or compaction the next one begins.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(crate) struct Store {
    pub(crate) catalog: Catalog,
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lanes: Arc<dyn Lanes>,
    /// Held while segments are prepared, used again, or removed.
    pub(crate) preparing: Mutex<()>,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) flusher: Mutex<Option<Flush>>,
    /// Whether a merge holds memtables, which no flush takes then.
    pub(crate) are_held: Arc<AtomicBool>,
    /// What is on its way; the last one takes the steps, and those before it wait for its end.
    pub(crate) compactor: Mutex<Vec<Merging>>,
    /// Blob files with damaged values: no compaction moves values out of them any more.
    damaged_blobs: Mutex<BTreeSet<u64>>,
    /// There is a new run, which may be more urgent to merge than what is on its way.
    has_new_run: AtomicBool,
    pub(crate) views: Views,
    pub(crate) numbers: Numbers,
}

/// A compaction on its way, and how many syncs of the directory had failed when it began.
pub(crate) struct Merging {
    pub(crate) compaction: Compaction,
    since: u64,
    /// Where it takes memtables along.
    pub(crate) held: Option<Held>,
}

/// What the one writer needs.
#[derive(Default)]
pub(crate) struct Writer {
    recorder: Recorder,
    /// Takes values that are very long.
    ahead: Option<Ahead>,
}

/// A blob file that grows, as it is written and as it is read.
struct Ahead {
    writer: BlobWriter,
    file: Arc<BlobFile>,
}

impl Store {
    pub(crate) fn new(environment: Environment, settings: Settings, parts: Parts) -> Self {
        let Environment { clock, lanes, .. } = environment;
        let store = Self {
            catalog: Catalog::new(parts),
            settings,
            clock,
            lanes,
            preparing: Mutex::default(),
            writer: Mutex::default(),
            flusher: Mutex::default(),
            are_held: Arc::default(),
            compactor: Mutex::default(),
            damaged_blobs: Mutex::default(),
            has_new_run: AtomicBool::new(false),
            views: Views::default(),
            numbers: Numbers::default(),
        };
        store.look_at_debt();
        [LOG_LANE, FLUSH_LANE, COMPACTION_LANE].into_iter().for_each(|lane| store.lanes.wake(lane));
        store
    }

    pub(crate) fn log(&self) -> &Log {
        &self.catalog.log
    }

    /// Makes a batch durable and then visible; or nothing of it, if it is refused.
    pub(crate) fn apply(&self, batch: Batch<'_>) -> Result<()> {
        let mut writer = lock(&self.writer);
        let writer = &mut *writer;
        let has_puts = batch.iter().any(|mutation| matches!(mutation, Mutation::Put { .. }));
        self.refuse_what_no_flush_takes(has_puts)?;
        if has_puts {
            self.log().leave_reserve(batch.as_bytes().len() as u64)?;
        }
        let active = Arc::clone(&self.catalog.sources().active);
        self.record(writer, &active, batch)?;
        let recorder = &writer.recorder;
        let items = recorder.batch();
        if recorder.deletes_ranges() {
            self.commit_with_ranges(&active, recorder)?;
        } else {
            let (lsn, bytes) = self.make_durable(recorder)?;
            active.apply(items);
            active.note(lsn, bytes);
        }
        writer.recorder.shrink_to(RECORD_MEMORY_BYTES);
        self.seal_if_full();
        if self.log().needs_preparation() {
            self.lanes.wake(LOG_LANE);
        }
        Ok(())
    }

    /// Makes a record of a batch; what is very long is durable in a blob file then.
    fn record(&self, writer: &mut Writer, active: &Memtable, batch: Batch<'_>) -> Result<()> {
        writer.recorder.clear();
        let is_long = |mutation: &Mutation<'_>| match mutation {
            Mutation::Put { value, .. } => value.len() >= AHEAD_BYTES,
            _ => false,
        };
        let mut has_long = false;
        for mutation in batch {
            match mutation {
                Mutation::Put { key, value } if is_long(&mutation) => {
                    has_long = true;
                    let blob = self.write_ahead(&mut writer.ahead, key, value)?;
                    // Before there is another file: one that nobody refers to is removed.
                    active.refer_to(blob);
                    writer.recorder.add_blob(key, blob)?;
                }
                mutation => writer.recorder.add(mutation)?,
            }
        }
        match (&mut writer.ahead, has_long) {
            (Some(ahead), true) => {
                ahead.file.note_bytes(ahead.writer.bytes());
                ahead.writer.sync().inspect_err(|_| self.end_ahead(&mut writer.ahead))
            }
            _ => Ok(()),
        }
    }

    /// Writes a value into the blob file of the writer, or into a new one.
    fn write_ahead(&self, ahead: &mut Option<Ahead>, key: &[u8], value: &[u8]) -> Result<BlobRef> {
        if let Some(full) = ahead.take_if(|ahead| ahead.writer.bytes() >= self.settings.table_bytes) {
            full.file.note_bytes(full.writer.bytes());
            full.writer.finish()?;
        }
        let open = match ahead {
            Some(open) => open,
            None => ahead.insert(self.begin_ahead()?),
        };
        open.writer.add(key, value).inspect_err(|_| self.end_ahead(ahead))
    }

    /// Writes no more to the blob file, and removes it if nothing refers to it.
    fn end_ahead(&self, ahead: &mut Option<Ahead>) {
        if let Some(ahead) = ahead.take() {
            ahead.file.note_bytes(ahead.writer.bytes());
        }
        self.catalog.write_to_none();
        self.catalog.bury();
    }

    /// Begins a blob file that the log will refer to; its name is durable.
    fn begin_ahead(&self) -> Result<Ahead> {
        let number = self.catalog.next_id();
        let begun = self.try_begin_ahead(number);
        if begun.is_err() {
            self.remove(vec![blob_name(number)]);
            self.catalog.bury();
        }
        begun
    }

    fn try_begin_ahead(&self, number: u64) -> Result<Ahead> {
        let (catalog, since) = (&self.catalog, self.catalog.failed_syncs.count());
        let mut writer = BlobWriter::create(&*catalog.directory, number, Cause::Blob)?;
        // Its head is in the file then, and it can be opened to read.
        writer.sync()?;
        catalog.directory.sync().map_err(|error| {
            EngineError::failed_by("could not make the name of a blob file durable", error)
        })?;
        if catalog.failed_syncs.count() != since {
            let message =
                "a sync of the directory failed meanwhile, so the name of a new blob file may be lost";
            return Err(EngineError::failed(message));
        }
        let file = BlobFile::open(&*catalog.directory, number, &catalog.graveyard)?;
        catalog.write_to(Arc::clone(&file));
        Ok(Ahead { writer, file })
    }

    /// Appends the record to the log and makes it durable; answers its number and its length.
    fn make_durable(&self, recorder: &Recorder) -> Result<(u64, u64)> {
        let bytes = recorder.batch().as_bytes();
        let lsn = self.log().append(&[&[record::BATCH], bytes])?;
        self.log().make_durable(lsn)?;
        Ok((lsn, self.log().options().disk_bytes(bytes.len())))
    }

    /// Notes in the log that the manifest has come so far; the caller has the writer's turn. What lies before the note is
    /// proven by it, as it is by a write: a change of the manifest does not do that by itself.
    pub(crate) fn note_manifest(&self) -> Result<()> {
        let record = record::encode_note(self.catalog.durable_id());
        let lsn = self.log().append(&[&record])?;
        self.log().make_durable(lsn)?;
        self.catalog.sources().active.note(lsn, self.log().options().disk_bytes(record.len()));
        Ok(())
    }

    /// Commits a batch that deletes a range in what is older: in a new memtable, which becomes visible as a whole.
    fn commit_with_ranges(&self, active: &Memtable, recorder: &Recorder) -> Result<()> {
        let is_copied = active.bytes() <= COPIED_BYTES;
        let empty = Memtable::new(Ranges::default());
        let next = if is_copied { active } else { &empty }.copy_with(recorder.batch());
        let (lsn, bytes) = self.make_durable(recorder)?;
        recorder.blobs().iter().for_each(|blob| next.refer_to(*blob));
        next.note(lsn, bytes);
        self.catalog.replace_active(Arc::new(next), !is_copied);
        if !is_copied {
            self.lanes.wake(FLUSH_LANE);
        }
        Ok(())
    }

    fn seal_if_full(&self) {
        if self.catalog.sources().active.is_full(self.settings.memtable_bytes) {
            self.seal();
        }
    }

    /// Seals the active memtable. The caller has the writer's turn.
    pub(crate) fn seal(&self) {
        self.catalog.replace_active(Arc::new(Memtable::new(Ranges::default())), true);
        self.lanes.wake(FLUSH_LANE);
    }

    /// One step of a lane.
    pub(crate) fn background(&self, lane: Lane) -> Result<Step> {
        match lane {
            LOG_LANE => self.log().step(&self.preparing),
            FLUSH_LANE => Ok(self.flush_lane_step()),
            COMPACTION_LANE => Ok(self.compaction_lane_step()),
            _ => Ok(Step::Idle),
        }
    }

    fn flush_lane_step(&self) -> Step {
        self.take_back_what_is_late();
        let mut flusher = lock(&self.flusher);
        if flusher.is_none()
            && let Some(wait) = self.numbers.flush.wait(self.clock.monotonic())
        {
            return Step::IdleFor(wait);
        }
        match self.flush_step(&mut flusher, true) {
            Ok(true) => Step::More,
            Ok(false) => Step::Idle,
            Err(_) => Step::IdleFor(RETRY_AFTER),
        }
    }

    /// Begins a flush or does a step of the one that was begun; answers whether there was anything to do. What is to be
    /// flushed may go down directly, if the caller does not need it to be flushed.
    pub(crate) fn flush_step(&self, flusher: &mut Option<Flush>, directly: bool) -> Result<bool> {
        let step = self.try_flush_step(flusher, directly);
        match &step {
            Ok(true) => self.numbers.flush.note_step(),
            Ok(false) => {}
            Err(error) => {
                self.give_up_flush(flusher);
                if self.numbers.flush.note_failure(self.clock.monotonic()) {
                    log::warn!(
                        "no memtable could be flushed, so the log grows; it is tried again from scratch: {error}"
                    );
                }
            }
        }
        step
    }

    /// Gives up a flush that is under way: what it has written so far is worth nothing.
    pub(crate) fn give_up_flush(&self, flusher: &mut Option<Flush>) {
        if let Some(flush) = flusher.take() {
            self.remove(flush.into_names());
        }
        self.catalog.bury();
    }

    fn try_flush_step(&self, flusher: &mut Option<Flush>, directly: bool) -> Result<bool> {
        let Some(flush) = flusher else {
            let sealed = self.to_flush();
            if sealed.is_empty() {
                return Ok(false);
            }
            // What keeps a merge from being begun is said by whoever begins it without memtables.
            if directly && self.begin_directly(&sealed).unwrap_or(false) {
                return Ok(true);
            }
            *flusher = Some(Flush::begin(&self.catalog, &self.settings, sealed)?);
            return Ok(true);
        };
        let Some(edit) = flush.step(&self.catalog)? else { return Ok(true) };
        let bytes = edit.added.iter().map(|(_, info)| info.bytes).sum();
        let flushed = flush.memtables().to_vec();
        if let Err(failed) = self.catalog.install(edit, flush.since(), &flushed) {
            return Err(self.give_up(failed, flusher.take().map(Flush::into_names)));
        }
        *flusher = None;
        self.numbers.flush.note_done(bytes);
        self.tidy();
        self.note_new_run();
        self.lanes.wake(LOG_LANE);
        Ok(true)
    }

    /// Level 0 has a run that it did not have before.
    pub(crate) fn note_new_run(&self) {
        self.look_at_debt();
        self.has_new_run.store(true, Ordering::Relaxed);
        self.lanes.wake(COMPACTION_LANE);
    }

    /// The oldest memtables that are sealed, as many as make one table; the newest of them first. None while a merge
    /// holds them.
    pub(crate) fn to_flush(&self) -> Vec<Arc<Memtable>> {
        if self.holds_memtables() {
            return Vec::new();
        }
        let sources = self.catalog.sources();
        let mut bytes = 0;
        let oldest = sources.sealed.iter().rev().take_while(|memtable| {
            let is_first = bytes == 0;
            bytes += memtable.bytes().max(1);
            is_first || bytes <= self.settings.memtable_bytes
        });
        let mut memtables: Vec<_> = oldest.cloned().collect();
        memtables.reverse();
        memtables
    }

    /// Flushes everything that there is now, in this thread.
    pub(crate) fn seal_and_flush(&self) -> Result<()> {
        {
            let _turn = lock(&self.writer);
            self.seal();
        }
        self.flush_all()
    }

    /// Flushes everything that is sealed, in this thread.
    pub(crate) fn flush_all(&self) -> Result<()> {
        let mut flusher = {
            let mut compactor = lock(&self.compactor);
            let flusher = lock(&self.flusher);
            self.take_back(&mut compactor);
            flusher
        };
        while self.flush_step(&mut flusher, false)? {}
        Ok(())
    }

    /// What becomes of the files of an edit that failed.
    fn give_up(&self, failed: Failed, names: Option<Vec<String>>) -> EngineError {
        match failed {
            Failed::Before(error) => {
                self.remove(names.unwrap_or_default());
                error
            }
            Failed::Doubtful(error) => error,
        }
    }

    pub(crate) fn remove(&self, names: Vec<String>) {
        names.into_iter().for_each(|name| self.catalog.graveyard.put_back(name));
    }

    /// Removes what nobody needs, and ends views that keep too much.
    fn tidy(&self) {
        let sources = Arc::clone(&self.catalog.sources());
        while self.catalog.retained_bytes() > self.settings.view_bytes && self.views.end_oldest(&sources) {}
        self.catalog.bury();
    }

    fn compaction_lane_step(&self) -> Step {
        let mut compactor = lock(&self.compactor);
        if compactor.is_empty()
            && let Some(wait) = self.numbers.compaction.wait(self.clock.monotonic())
        {
            return Step::IdleFor(wait);
        }
        match self.compaction_step(&mut compactor, || picker::pick(&self.shape(), &self.pick_options())) {
            Ok(true) => Step::More,
            Ok(false) => Step::Idle,
            Err(_) => Step::IdleFor(RETRY_AFTER),
        }
    }

    /// Begins what `pick` answers or does a step of what was begun; answers whether there was anything to do.
    pub(crate) fn compaction_step(
        &self,
        compactor: &mut Vec<Merging>,
        pick: impl FnOnce() -> Option<Plan>,
    ) -> Result<bool> {
        let step = match self.try_compaction_step(compactor, pick) {
            Err(error) if self.leaves_out(&error) => Ok(true),
            step => step,
        };
        let paid = compactor.iter().map(|merging| merging.compaction.bytes_merged()).sum();
        self.numbers.paid.store(paid, Ordering::Relaxed);
        match &step {
            Ok(true) => self.numbers.compaction.note_step(),
            Ok(false) => {}
            Err(error) => {
                if self.numbers.compaction.note_failure(self.clock.monotonic()) {
                    log::warn!("tables could not be merged; it is tried again from scratch: {error}");
                }
            }
        }
        self.catalog.bury();
        step
    }

    /// Whether it was a damaged value in a blob file that ended a compaction: then what is there stays there from now on, so
    /// that no plan fails by it again.
    fn leaves_out(&self, error: &EngineError) -> bool {
        let EngineError::Corrupt { file, .. } = error else { return false };
        let is_new = number_in(file, "blob-").is_some_and(|blob| lock(&self.damaged_blobs).insert(blob));
        if is_new {
            log::warn!(
                "the values of {file} stay there, for the merge that should move them found one {error}"
            );
        }
        is_new
    }

    fn try_compaction_step(
        &self,
        compactor: &mut Vec<Merging>,
        pick: impl FnOnce() -> Option<Plan>,
    ) -> Result<bool> {
        let has_new_run = self.has_new_run.swap(false, Ordering::Relaxed);
        let plan = match compactor.as_slice() {
            [] => pick(),
            // Young levels come before old ones: what they owe is what reads and writes feel.
            [running] if has_new_run => {
                picker::pick_urgent(&self.shape(), &self.pick_options(), running.compaction.plan())
            }
            _ => None,
        };
        if let Some(plan) = plan {
            compactor.push(self.begin(plan, &[])?);
            return Ok(true);
        }
        let Some(mut merging) = compactor.pop() else { return Ok(false) };
        match merging.compaction.step() {
            Ok(true) => self.end(merging)?,
            Ok(false) => compactor.push(merging),
            Err(error) => {
                self.remove(merging.compaction.abandon());
                return Err(error);
            }
        }
        Ok(true)
    }

    /// What a compaction has written counts from now on.
    fn end(&self, Merging { compaction, since, held }: Merging) -> Result<()> {
        self.numbers.note_compaction(&compaction);
        let (tables, blobs) = compaction.bytes_written();
        let installed = self.catalog.install(compaction.edit(), since, compaction.memtables());
        if let Err(failed) = installed {
            return Err(self.give_up(failed, Some(compaction.abandon())));
        }
        self.numbers.compaction.note_done(tables + blobs);
        if held.is_some() {
            self.lanes.wake(LOG_LANE);
        }
        // Before it is counted what views alone keep.
        drop((compaction, held));
        self.tidy();
        self.look_at_debt();
        Ok(())
    }

    /// What is to be picked from.
    pub(crate) fn shape(&self) -> Shape {
        Shape::of(&self.catalog.sources().version)
    }

    pub(crate) fn pick_options(&self) -> PickOptions {
        let settings = &self.settings;
        let mut blob_bytes = self.catalog.settled_blobs();
        let damaged = lock(&self.damaged_blobs);
        blob_bytes.retain(|number, _| !damaged.contains(number));
        PickOptions {
            style: settings.style,
            ratio: settings.ratio,
            runs_max: RUNS_MAX,
            base_bytes: BASE_MEMTABLES * settings.memtable_bytes,
            table_bytes: settings.table_bytes,
            blob_bytes,
        }
    }

    /// Begins what was planned; memtables that it takes along are no flush's until it ends.
    pub(crate) fn begin(&self, plan: Plan, memtables: &[Arc<Memtable>]) -> Result<Merging> {
        let Self { catalog, settings, .. } = self;
        let since = catalog.failed_syncs.count();
        let workshop = Workshop {
            directory: Arc::clone(&catalog.directory),
            graveyard: Arc::clone(&catalog.graveyard),
            ids: Arc::clone(&catalog.ids),
            table: settings.table(plan.target.level, Cause::Compaction),
            table_bytes: settings.table_bytes,
        };
        let held = (!memtables.is_empty()).then(|| Held::new(self));
        let fresh = held.as_ref().map(|_| Fresh {
            memtables: memtables.to_vec(),
            long_values: LongValues::new(catalog, settings),
        });
        let compaction = Compaction::begin(&catalog.sources().version, plan, workshop, fresh)?;
        Ok(Merging { compaction, since, held })
    }

    /// Ends in order.
    pub(crate) fn close(&self) -> Result<()> {
        lock(&self.compactor).drain(..).for_each(|merging| self.remove(merging.compaction.abandon()));
        if let Some(flush) = lock(&self.flusher).take() {
            self.remove(flush.into_names());
        }
        self.catalog.bury();
        self.log().close()?;
        self.catalog.close()
    }
}
