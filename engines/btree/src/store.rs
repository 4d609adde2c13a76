//! What stands behind the tree on disk: the log, and the checkpoints that make its older part needless.
//!
//! The order of a write is: edit unseen, append to the log, make durable, publish. So nothing is visible before it is
//! durable, a log that has no room changes nothing, and any other failure is final: the log takes nothing more, and
//! what was visible stays so.
//!
//! Locks, in the order in which they may be taken: checkpointer, `preparing`, the writer's turn of the tree,
//! `published`, the reclaimer of the frames, the views or the map of places. A read of what is in memory takes none of
//! them, and one of what is not looks at the map, and at the reclaimer if nobody else has it; nobody holds `published` or
//! what comes behind it during I/O.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter_api::environment::{Cause, Clock, Directory, Environment, Lanes};
use adapter_api::{Batch, BatchBuilder, EngineError, Lane, Metric, Mutation, Pressure, Result, Step, Watch};
use page::PageId;
use wal::{Log, LogOptions, Lsn, SEGMENT_BYTES_LEAST, lock};

use crate::ahead_writer::AheadWriter;
use crate::checkpointer::{Basis, Checkpointer, Done};
use crate::data_file::DataFile;
use crate::edit::Edit;
use crate::ingest::check_empty;
use crate::pace::Pace;
use crate::pending::Pending;
use crate::record::Record;
use crate::recovery::Recovered;
use crate::shape::Shape;
use crate::tree::Tree;

/// The lane that prepares segments of the log, and syncs what has waited for its time.
pub(crate) const LOG_LANE: Lane = Lane(0);
/// The lane that writes checkpoints.
pub(crate) const CHECKPOINT_LANE: Lane = Lane(1);

/// `apply` waits once the records are this many times more than what calls for a checkpoint.
const STALL_FACTOR: u64 = 4;
/// A checkpoint is due when so much of the cache is dirty; `apply` waits when this much is.
const DIRTY_DUE_PART: u64 = 4;
const DIRTY_STALL_PERCENT: u64 = 75;
/// Values of so many pages are written once: into the data file, ahead of the log.
const LONG_VALUE_PAGES: usize = 16;
/// How long after a failed checkpoint the next one begins.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// An orderly end writes a checkpoint if there is more of the log than this part of what calls for one: 4 MiB by default,
/// which a start does again in a moment.
const END_PART: u64 = 64;
/// How long the checkpoint of an orderly end may go on writing pages. Whoever stops a service commonly kills it after 10 s.
const END_WITHIN: Duration = Duration::from_secs(5);

/// What readers see, and how it stands to the log and to the data file.
struct Published {
    /// The last record whose effect the tree shows.
    position: Lsn,
    /// What happened since the newest checkpoint, or the one that is being written.
    pending: Pending,
}

pub(crate) struct Store {
    pub(crate) tree: Arc<Tree>,
    pub(crate) log: Arc<Log>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) clock: Arc<dyn Clock>,
    lanes: Arc<dyn Lanes>,
    pub(crate) checkpointer: Mutex<Checkpointer>,
    /// Held while segments are prepared, used again, or removed.
    pub(crate) preparing: Mutex<()>,
    published: Mutex<Published>,
    /// Bytes of records behind the newest checkpoint.
    backlog: AtomicU64,
    /// Bytes of records that call for a checkpoint.
    checkpoint_log_bytes: u64,
    /// When the next checkpoint may begin after one failed, by the monotone clock.
    retry_at: Mutex<Option<Duration>>,
    is_troubled: AtomicBool,
    /// Whether the lane of checkpoints comes by itself to go on with one: nobody need wake it.
    is_under_way: AtomicBool,
    numbers: Numbers,
}

/// What `metrics` reports of checkpoints.
#[derive(Default)]
struct Numbers {
    checkpoints: AtomicU64,
    checkpoint_bytes: AtomicU64,
    failures: AtomicU64,
    /// Steps of checkpoints, to see whether the lane is run at all.
    steps: AtomicU64,
    /// By `Behind`.
    waits: [AtomicU64; 2],
    waited_nanos: [AtomicU64; 2],
    file_blocks: AtomicU64,
    free_blocks: AtomicU64,
}

/// Why `apply` waits for a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    Log,
    DirtyPages,
}

impl Behind {
    fn label(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::DirtyPages => "dirty pages",
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Log => "the log is far ahead of the last checkpoint",
            Self::DirtyPages => "much of the cache holds pages that no checkpoint has written yet",
        }
    }
}

/// What counts as backlog for a record: an eighth of what it takes of the log, for small records fill checkpoints slowly
/// and the log fast; but its own bytes at least.
fn backlog_bytes(options: LogOptions, record: usize) -> u64 {
    (record as u64).max(options.disk_bytes(record) / 8)
}

/// How far an amount is on the way from one bound to another, in percent.
fn percent(amount: u64, from: u64, to: u64) -> u64 {
    (amount.saturating_sub(from).saturating_mul(100) / (to - from).max(1)).min(100)
}

impl Store {
    pub(crate) fn new(environment: Environment, recovered: Recovered, checkpoint_log_bytes: u64) -> Self {
        let Environment { directory, clock, lanes } = environment;
        let Recovered { tree, log, stored, pending, backlog } = recovered;
        let log = Arc::new(log);
        let checkpointer = Checkpointer::new(Arc::clone(&directory), Arc::clone(&log), stored);
        let store = Self {
            tree: Arc::new(tree),
            published: Mutex::new(Published { position: log.last(), pending }),
            log,
            directory,
            clock,
            lanes,
            checkpointer: Mutex::new(checkpointer),
            preparing: Mutex::new(()),
            backlog: AtomicU64::new(backlog),
            checkpoint_log_bytes,
            retry_at: Mutex::default(),
            is_troubled: AtomicBool::new(false),
            is_under_way: AtomicBool::new(false),
            numbers: Numbers::default(),
        };
        store.note_space(&lock(&store.checkpointer));
        store.lanes.wake(LOG_LANE);
        store.lanes.wake(CHECKPOINT_LANE);
        store
    }

    /// Makes a batch durable and then visible; or nothing of it, if it is refused.
    pub(crate) fn commit(&self, batch: Batch<'_>) -> Result<()> {
        if let Some(written) = self.write_long_values(batch)? {
            return self.commit_ahead(written, None);
        }
        let mut edit = self.tree.edit();
        edit.apply(batch)?;
        let has_puts = batch.iter().any(|mutation| matches!(mutation, Mutation::Put { .. }));
        self.log_and_publish(edit, batch.as_bytes(), has_puts, None)
    }

    /// The same for sorted puts, if there is no key from the first to the last of them.
    pub(crate) fn commit_into_empty(&self, batch: &BatchBuilder, first: &[u8], last: &[u8]) -> Result<()> {
        let mut edit = self.tree.edit();
        check_empty(&self.tree, edit.base(), first, last)?;
        edit.apply(batch.as_batch())?;
        self.log_and_publish(edit, batch.as_batch().as_bytes(), true, None)
    }

    /// The same for what was written ahead of the log; if keys are given, then only if there is none from one to the
    /// other.
    pub(crate) fn commit_ahead(
        &self,
        mut written: AheadWriter<'_>,
        empty: Option<(&[u8], &[u8])>,
    ) -> Result<()> {
        let mut edit = self.tree.edit();
        if let Some((first, last)) = empty {
            check_empty(&self.tree, edit.base(), first, last)?;
        }
        let record = written.take_record();
        if let Record::Ahead { items, .. } = Record::parse(&record)? {
            edit.take_ahead(items)?;
        }
        self.log_and_publish(edit, &record, true, Some(&mut written))
    }

    /// Begins to write pages ahead of the log.
    pub(crate) fn write_ahead(&self, cause: Cause) -> Result<AheadWriter<'_>> {
        let (file, version) = self.durable_checkpoint()?;
        Ok(AheadWriter::new(&self.tree.frames.places, file, version, cause))
    }

    /// Writes the values of a batch that are very long, and makes them durable; `None` if there is none.
    fn write_long_values(&self, batch: Batch<'_>) -> Result<Option<AheadWriter<'_>>> {
        let least = LONG_VALUE_PAGES * self.tree.page_bytes;
        let long_value = |mutation| match mutation {
            Mutation::Put { key, value } if value.len() >= least => Some((key, value)),
            _ => None,
        };
        if batch.as_bytes().len() < least || !batch.iter().any(|mutation| long_value(mutation).is_some()) {
            return Ok(None);
        }
        let (mut writer, mut others) = (self.write_ahead(Cause::Blob)?, BatchBuilder::new());
        for mutation in batch {
            if let Some((key, value)) = long_value(mutation) {
                writer.batch(&others);
                others.clear();
                writer.value(key, value)?;
                writer.write_run()?;
                continue;
            }
            match mutation {
                Mutation::Put { key, value } => others.put(key, value)?,
                Mutation::Delete { key } => others.delete(key)?,
                Mutation::DeleteRange(range) => others.delete_range(range)?,
            }
        }
        writer.batch(&others);
        writer.finish()?;
        Ok(Some(writer))
    }

    /// The data file, and the version of its checkpoint; writes one if there is none.
    fn durable_checkpoint(&self) -> Result<(DataFile, u64)> {
        loop {
            let mut checkpointer = lock(&self.checkpointer);
            if let (Some(found), Some(file)) = (checkpointer.stored.found, checkpointer.stored.places.file())
            {
                return Ok((file.clone(), found.superblock.version));
            }
            self.checkpoint_step(&mut checkpointer)?;
        }
    }

    /// Writes the record of an edit and makes both count, with what was written ahead of it.
    fn log_and_publish(
        &self,
        edit: Edit<'_>,
        record: &[u8],
        has_puts: bool,
        ahead: Option<&mut AheadWriter<'_>>,
    ) -> Result<()> {
        if has_puts {
            self.refuse_what_no_checkpoint_takes()?;
            self.log.leave_reserve(record.len() as u64)?;
        }
        let lsn = self.log.append(&[record])?;
        // From here on the log may have the record. Only a checkpoint frees what is spent of what it names, so that counts
        // like the record itself.
        let ahead_bytes = ahead.as_ref().map_or(0, |ahead| ahead.bytes());
        if let Some(ahead) = ahead {
            ahead.keep();
        }
        self.log.make_durable(lsn)?;
        let mut published = lock(&self.published);
        published.pending.add(edit.publish(), &self.tree.frames.places);
        published.position = lsn;
        self.backlog
            .fetch_add(backlog_bytes(self.log.options(), record.len()) + ahead_bytes, Ordering::Relaxed);
        drop(published);
        if self.log.needs_preparation() {
            self.lanes.wake(LOG_LANE);
        }
        Ok(())
    }

    /// Refuses more when all of the cache is dirty and cannot be written: memory is bounded too.
    fn refuse_what_no_checkpoint_takes(&self) -> Result<()> {
        let frames = &self.tree.frames;
        match self.is_troubled.load(Ordering::Relaxed) && frames.dirty_bytes() >= frames.bounds.cache_bytes {
            true => Err(EngineError::full(
                "the cache is full of pages that no checkpoint could write; see the log for why, and free some space",
            )),
            false => Ok(()),
        }
    }

    /// Waits while writes are far ahead of the checkpoints, as long as the lane makes headway.
    pub(crate) fn wait_for_checkpoint(&self) {
        if self.is_due() && !self.is_under_way.load(Ordering::Relaxed) {
            self.lanes.wake(CHECKPOINT_LANE);
        }
        let mut is_running = true;
        while is_running && !self.is_troubled.load(Ordering::Relaxed) {
            match self.lag() {
                (100.., behind) => is_running = self.wait_for_step(behind),
                _ => break,
            }
        }
    }

    /// Waits for a step of a checkpoint; answers whether there was one.
    fn wait_for_step(&self, behind: Behind) -> bool {
        let (steps, since) = (self.numbers.steps.load(Ordering::Acquire), self.clock.monotonic());
        self.lanes.wait_for(CHECKPOINT_LANE);
        let waited = self.clock.monotonic().saturating_sub(since).as_nanos();
        let nanos = u64::try_from(waited).unwrap_or(u64::MAX);
        self.numbers.waits[behind as usize].fetch_add(1, Ordering::Relaxed);
        self.numbers.waited_nanos[behind as usize].fetch_add(nanos, Ordering::Relaxed);
        steps != self.numbers.steps.load(Ordering::Acquire)
    }

    fn is_due(&self) -> bool {
        let dirty_due = self.tree.frames.bounds.cache_bytes / DIRTY_DUE_PART;
        self.backlog.load(Ordering::Relaxed) >= self.checkpoint_log_bytes
            || self.tree.frames.dirty_bytes() >= dirty_due
    }

    /// How far the checkpoints are behind, in percent of what makes `apply` wait, and in what.
    fn lag(&self) -> (u64, Behind) {
        let stall = STALL_FACTOR * self.checkpoint_log_bytes.max(SEGMENT_BYTES_LEAST);
        let cache = self.tree.frames.bounds.cache_bytes;
        let log = percent(self.backlog.load(Ordering::Relaxed), stall / 2, stall);
        let dirty = percent(self.tree.frames.dirty_bytes(), cache / 2, cache * DIRTY_STALL_PERCENT / 100);
        if log >= dirty { (log, Behind::Log) } else { (dirty, Behind::DirtyPages) }
    }

    pub(crate) fn pressure(&self) -> Pressure {
        // While no checkpoint can be written, `apply` does not wait for one.
        let most = if self.is_troubled.load(Ordering::Relaxed) { 99 } else { 100 };
        match self.lag() {
            (0, _) => Pressure::none(),
            (level, behind) => Pressure { level: level.min(most) as u8, reason: behind.reason().to_string() },
        }
    }

    /// The tree as it is now, with the position of the log that belongs to it. What was dirty is no longer.
    fn basis(&self) -> Basis {
        let mut published = lock(&self.published);
        let pending = std::mem::take(&mut published.pending);
        let log_bytes = self.backlog.load(Ordering::Relaxed);
        let view = self.tree.view(false);
        self.tree.frames.begin_checkpoint(view.version());
        Basis { view, position: published.position, size: self.tree.size(), pending, log_bytes }
    }

    /// The tree as it is now, for a copy, and the numbers of its pages. Nothing is written while they are looked for:
    /// pages that were written ahead look older than they are.
    pub(crate) fn basis_of_copy(&self) -> Result<(Basis, Vec<PageId>)> {
        let turn = self.tree.take_turn();
        let published = lock(&self.published);
        let (view, size, pending) = (self.tree.view(false), self.tree.size(), Pending::default());
        let pin = view.pin()?;
        let ids = (0..turn.end()).filter(|id| pin.may_have(*id)).collect();
        drop(pin);
        Ok((Basis { view, position: published.position, size, pending, log_bytes: 0 }, ids))
    }

    /// One step of a lane.
    pub(crate) fn background(&self, lane: Lane) -> Result<Step> {
        match lane {
            LOG_LANE => self.log.step(&self.preparing),
            CHECKPOINT_LANE => Ok(self.checkpoint_lane_step()),
            _ => Ok(Step::Idle),
        }
    }

    fn checkpoint_lane_step(&self) -> Step {
        let mut checkpointer = lock(&self.checkpointer);
        let step = self.paced_step(&mut checkpointer);
        self.is_under_way.store(checkpointer.is_running(), Ordering::Relaxed);
        step
    }

    /// A step of a checkpoint, unless none is due or it rests; answers when the next one is.
    fn paced_step(&self, checkpointer: &mut Checkpointer) -> Step {
        let now = self.clock.monotonic();
        if checkpointer.is_running() {
            // Something else may have woken the lane.
            if let Some(left) = checkpointer.pace.rest_left(now).filter(|_| self.has_time()) {
                return Step::IdleFor(left);
            }
        } else {
            if let Some(retry_at) = lock(&self.retry_at).filter(|retry_at| *retry_at > now) {
                return Step::IdleFor(retry_at - now);
            }
            if !self.is_due() {
                return Step::Idle;
            }
            checkpointer.pace = Pace::new(now);
        }
        if self.checkpoint_step(checkpointer).is_err() {
            return Step::IdleFor(RETRY_AFTER);
        }
        let Some((headway, log_bytes)) = checkpointer.headway().filter(|_| self.has_time()) else {
            return Step::More;
        };
        let rest = checkpointer.pace.rest(self.clock.monotonic(), headway, self.next_due(log_bytes));
        rest.map_or(Step::More, Step::IdleFor)
    }

    /// Whether writers are not yet pressed.
    fn has_time(&self) -> bool {
        self.lag().0 == 0
    }

    /// How much of what calls for the checkpoint behind the running one is there, in thousandths; that one makes so many
    /// bytes of the log needless.
    fn next_due(&self, log_bytes: u64) -> u64 {
        let part = |amount: u64, of: u64| amount.saturating_mul(1000) / of.max(1);
        let log = self.backlog.load(Ordering::Relaxed).saturating_sub(log_bytes);
        // What it writes is dirty until it is durable. Writers feel it from half of the cache on.
        let (dirty, cache) = (self.tree.frames.dirty_bytes(), self.tree.frames.bounds.cache_bytes);
        let dirty = part(dirty.saturating_sub(cache / DIRTY_DUE_PART), cache / 2 - cache / DIRTY_DUE_PART);
        part(log, self.checkpoint_log_bytes).max(dirty)
    }

    /// Begins a checkpoint, or does one step of the one that was begun. A failure is logged once.
    fn checkpoint_step(&self, checkpointer: &mut Checkpointer) -> Result<Option<Done>> {
        let step = match checkpointer.is_running() {
            true => checkpointer.advance(),
            false => checkpointer.begin(self.basis()).map(|()| None),
        };
        self.numbers.steps.fetch_add(1, Ordering::Release);
        match &step {
            Ok(None) => {}
            Ok(Some(done)) => {
                self.backlog.fetch_sub(done.log_bytes, Ordering::Relaxed);
                self.is_troubled.store(false, Ordering::Relaxed);
                *lock(&self.retry_at) = None;
                self.numbers.checkpoints.fetch_add(1, Ordering::Relaxed);
                self.numbers.checkpoint_bytes.fetch_add(done.bytes_written, Ordering::Relaxed);
                self.note_space(checkpointer);
                self.lanes.wake(LOG_LANE);
            }
            Err(error) => {
                *lock(&self.retry_at) = Some(self.clock.monotonic() + RETRY_AFTER);
                self.numbers.failures.fetch_add(1, Ordering::Relaxed);
                if !self.is_troubled.swap(true, Ordering::Relaxed) {
                    log::warn!(
                        "no checkpoint could be written; the log keeps everything, and the next one is written from \
                         scratch: {error}"
                    );
                }
            }
        }
        step
    }

    /// Writes a checkpoint of what is there now, unless there is one already; then more of them that move what lies at the
    /// end of the file into free blocks, so that the file can be cut.
    pub(crate) fn compact(&self, watch: &dyn Watch) -> Result<()> {
        self.force_checkpoint(watch)?;
        // One that moves pages, and one for its map: that is in one piece, and has room in front only when they are gone.
        for _ in 0..2 {
            let is_moving = {
                let mut checkpointer = lock(&self.checkpointer);
                let pages = checkpointer.pages_to_move();
                lock(&self.published).pending.rewrite(pages);
                checkpointer.is_wanted()
            };
            if is_moving {
                self.force_checkpoint(watch)?;
            }
        }
        lock(&self.checkpointer).cut_file();
        let _preparing = lock(&self.preparing);
        if let Err(error) = self.log.remove_retired() {
            log::warn!("could not remove a needless part of the log; it is tried again later: {error}");
        }
        Ok(())
    }

    /// Writes a checkpoint of what is there now, unless there is one already.
    fn force_checkpoint(&self, watch: &dyn Watch) -> Result<()> {
        let wanted = lock(&self.published).position;
        loop {
            let mut checkpointer = lock(&self.checkpointer);
            if checkpointer.newest() >= wanted && !checkpointer.is_wanted() {
                return Ok(());
            }
            self.checkpoint_step(&mut checkpointer)?;
            let (done, total) = checkpointer.progress();
            // Without the lock, for the watch belongs to somebody else.
            drop(checkpointer);
            if watch.progress(done, total).is_break() {
                return Err(EngineError::rejected("cancelled by its caller"));
            }
        }
    }

    fn note_space(&self, checkpointer: &Checkpointer) {
        let space = checkpointer.stored.places.space();
        self.numbers.file_blocks.store(space.end(), Ordering::Relaxed);
        self.numbers.free_blocks.store(space.free_blocks(), Ordering::Relaxed);
    }

    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed) as f64;
        let (numbers, shape, block) = (&self.numbers, &self.tree.counters, crate::space::BLOCK as f64);
        let (log, size, frames) = (self.log.metrics(), self.tree.size(), self.tree.frames.usage());
        let mut metrics = log.report();
        if let Some(at) = log.last_durable {
            metrics.push(Metric::gauge("last_durable_write_unix_ms", at.as_millis() as f64));
        }
        for behind in [Behind::Log, Behind::DirtyPages] {
            let (waits, nanos) = (&numbers.waits[behind as usize], &numbers.waited_nanos[behind as usize]);
            metrics.extend([
                Metric::counter("apply_waits", load(waits)).label("reason", behind.label()),
                Metric::counter("apply_waited_seconds", load(nanos) / 1e9).label("reason", behind.label()),
            ]);
        }
        metrics.extend([
            Metric::gauge("tree_entries", size.entries as f64),
            Metric::gauge("tree_bytes", size.bytes as f64),
            Metric::gauge("tree_depth", f64::from(self.tree.depth())),
            Metric::gauge("tree_page_bytes", frames.current_bytes as f64),
            Metric::gauge("cache_budget_bytes", self.tree.frames.bounds.cache_bytes as f64),
            Metric::gauge("cache_bytes", frames.cache_bytes as f64),
            Metric::gauge("cache_dirty_bytes", frames.dirty_bytes as f64),
            Metric::gauge("cache_pages_not_resident", frames.stored_pages as f64),
            Metric::counter("cache_hits", frames.hits as f64),
            Metric::counter("cache_misses", frames.misses as f64),
            Metric::counter("cache_evictions", frames.evictions as f64),
            Metric::counter("tree_splits", load(&shape.splits)),
            Metric::counter("tree_merges", load(&shape.merges)),
            Metric::counter("tree_redistributions", load(&shape.redistributions)),
            Metric::gauge("open_views", frames.open_views as f64),
            Metric::counter("ended_views", frames.ended_views as f64),
            Metric::gauge("view_retained_bytes", frames.retained_bytes as f64),
            Metric::gauge("view_retained_pages", frames.retained_frames as f64),
            Metric::counter("checkpoints", load(&numbers.checkpoints)),
            Metric::counter("checkpoint_failures", load(&numbers.failures)),
            Metric::counter("checkpoint_written_bytes", load(&numbers.checkpoint_bytes)),
            Metric::gauge("checkpoint_backlog_log_bytes", load(&self.backlog)),
            Metric::gauge("checkpoint_due_log_bytes", self.checkpoint_log_bytes as f64),
            Metric::gauge("data_bytes", load(&numbers.file_blocks) * block),
            Metric::gauge("data_free_bytes", load(&numbers.free_blocks) * block),
        ]);
        metrics.extend(Shape::of(&self.tree.frames.pin()).iter().flat_map(Shape::metrics));
        metrics
    }

    /// Ends in order. Blocks for the checkpoint and for the log's last sync.
    pub(crate) fn close(&self) -> Result<()> {
        self.checkpoint_at_the_end();
        lock(&self.checkpointer).abandon();
        self.log.close()
    }

    /// Writes what the next start would have to do again, if that is much. Whatever comes of it, the log has everything:
    /// a checkpoint that fails was logged and is not tried again, and one that takes too long is given up. Beyond that
    /// time it waits for one call of the device, as the log does when it is closed.
    fn checkpoint_at_the_end(&self) {
        let until = self.clock.monotonic() + END_WITHIN;
        while self.backlog.load(Ordering::Relaxed) > self.checkpoint_log_bytes / END_PART {
            if self.clock.monotonic() >= until {
                log::warn!(
                    "the checkpoint at the end takes too long; the next start does the log again instead"
                );
                return;
            }
            if self.checkpoint_step(&mut lock(&self.checkpointer)).is_err() {
                return;
            }
        }
    }
}
