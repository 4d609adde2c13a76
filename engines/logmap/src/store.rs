//! What stands behind the map on disk: the log, and the checkpoints that make its older part needless.
//!
//! The order of a write is: stage in the map, append to the log, make durable, publish. So nothing is visible
//! before it is durable, a log that has no room changes nothing, and any other failure is final: the log
//! takes nothing more, and what was visible stays so.
//!
//! Locks, in the order in which they may be taken: checkpointer, `preparing`, the writer's turn of the map,
//! `record`, `published`. Readers take none of them, `metrics` and `pressure` none that is held during I/O.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter_api::environment::{Clock, Directory, Environment, Lanes};
use adapter_api::versioned_map::Staged;
use adapter_api::{Batch, EngineError, Lane, Metric, Mutation, Pressure, Result, Step, VersionedMap, Watch};
use wal::{Log, LogOptions, Lsn, SEGMENT_BYTES_LEAST, lock};

use crate::checkpointer::{Basis, Checkpointer, Done};
use crate::record;
use crate::recovery::Recovered;

/// The lane that prepares segments of the log, and syncs what has waited for its time.
pub(crate) const LOG_LANE: Lane = Lane(0);
/// The lane that writes checkpoints.
pub(crate) const CHECKPOINT_LANE: Lane = Lane(1);

/// The log bytes that call for a checkpoint, unless set otherwise or the state is larger.
const CHECKPOINT_LOG_BYTES: u64 = 64 << 20;
/// `apply` waits once the log is this many times longer than what calls for a checkpoint.
const STALL_FACTOR: u64 = 4;
/// How long after a failed checkpoint the next one begins.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// The memory for encoded records that is kept between writes.
const RECORD_MEMORY_BYTES: usize = 1 << 20;

pub(crate) struct Store {
    pub(crate) log: Arc<Log>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) clock: Arc<dyn Clock>,
    lanes: Arc<dyn Lanes>,
    pub(crate) checkpointer: Mutex<Checkpointer>,
    /// Held while segments are prepared, used again, or removed.
    pub(crate) preparing: Mutex<()>,
    record: Mutex<Vec<u8>>,
    /// The last record whose effect the map shows.
    published: Mutex<Lsn>,
    /// Log bytes behind the newest checkpoint.
    backlog: AtomicU64,
    /// Log bytes that call for a checkpoint; 0: by the size of the state.
    checkpoint_log_bytes: u64,
    /// Values of so many bytes and more go to disk; `None`: none do.
    pub(crate) disk_value_bytes: Option<u64>,
    /// A checkpoint is wanted whatever the backlog.
    is_wanted: AtomicBool,
    /// When the next checkpoint may begin after one failed, by the monotone clock.
    retry_at: Mutex<Option<Duration>>,
    is_troubled: AtomicBool,
    /// The view of the last checkpoint ended before everything was written.
    is_outrun: AtomicBool,
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
    waits: AtomicU64,
    waited_nanos: AtomicU64,
    values_files: AtomicU64,
    values_bytes: AtomicU64,
    values_live_bytes: AtomicU64,
}

impl Numbers {
    fn note_values(&self, (files, bytes, live): (usize, u64, u64)) {
        self.values_files.store(files as u64, Ordering::Relaxed);
        self.values_bytes.store(bytes, Ordering::Relaxed);
        self.values_live_bytes.store(live, Ordering::Relaxed);
    }
}

impl Store {
    pub(crate) fn new(
        environment: Environment,
        recovered: Recovered,
        checkpoint_log_bytes: u64,
        disk_value_bytes: Option<u64>,
    ) -> Self {
        let Environment { directory, clock, lanes } = environment;
        let log = Arc::new(recovered.log);
        let checkpointer = Checkpointer::new(
            Arc::clone(&directory),
            Arc::clone(&log),
            disk_value_bytes,
            recovered.checkpoint,
            recovered.values,
        );
        let numbers = Numbers::default();
        numbers.note_values(checkpointer.values());
        numbers.checkpoint_bytes.store(recovered.checkpoint_bytes, Ordering::Relaxed);
        let store = Self {
            published: Mutex::new(log.last()),
            log,
            directory,
            clock,
            lanes,
            checkpointer: Mutex::new(checkpointer),
            preparing: Mutex::new(()),
            record: Mutex::default(),
            backlog: AtomicU64::new(recovered.backlog),
            checkpoint_log_bytes,
            disk_value_bytes,
            is_wanted: AtomicBool::new(recovered.wants_checkpoint),
            retry_at: Mutex::default(),
            is_troubled: AtomicBool::new(false),
            is_outrun: AtomicBool::new(false),
            numbers,
        };
        store.lanes.wake(LOG_LANE);
        store.lanes.wake(CHECKPOINT_LANE);
        store
    }

    /// Logs a batch and makes it visible; or drops it, and nothing is visible of it.
    pub(crate) fn commit_batch(&self, staged: Staged<'_>, batch: Batch<'_>) -> Result<()> {
        let mut record = lock(&self.record);
        record.clear();
        record::encode_batch(batch, &mut record);
        if batch.iter().any(|mutation| matches!(mutation, Mutation::Put { .. })) {
            self.log.leave_reserve(record.len() as u64)?;
        }
        self.commit(staged, &record)?;
        if record.capacity() > RECORD_MEMORY_BYTES {
            *record = Vec::new();
        }
        Ok(())
    }

    /// Logs a record and makes visible what it stands for.
    pub(crate) fn commit(&self, staged: Staged<'_>, record: &[u8]) -> Result<()> {
        let lsn = self.log.append(&[record])?;
        self.log.make_durable(lsn)?;
        let mut published = lock(&self.published);
        staged.publish();
        *published = lsn;
        self.backlog.fetch_add(self.log.options().disk_bytes(record.len()), Ordering::Relaxed);
        drop(published);
        if self.log.needs_preparation() {
            self.lanes.wake(LOG_LANE);
        }
        Ok(())
    }

    /// Waits while the log is far ahead of the checkpoints, as long as the lane makes headway. If writes have
    /// outrun the view of a checkpoint before, each lets the next one take a step.
    pub(crate) fn wait_for_checkpoint(&self, map: &VersionedMap) {
        if self.is_due(map) {
            self.lanes.wake(CHECKPOINT_LANE);
        }
        let mut is_running = !self.is_outrun.load(Ordering::Relaxed) || self.wait_for_step();
        while is_running && self.lag(map) >= 100 && !self.is_troubled.load(Ordering::Relaxed) {
            is_running = self.wait_for_step();
        }
    }

    /// Waits for a step of a checkpoint; answers whether there was one.
    fn wait_for_step(&self) -> bool {
        let (steps, since) = (self.numbers.steps.load(Ordering::Acquire), self.clock.monotonic());
        self.lanes.wait_for(CHECKPOINT_LANE);
        let waited = self.clock.monotonic().saturating_sub(since).as_nanos();
        self.numbers.waits.fetch_add(1, Ordering::Relaxed);
        self.numbers.waited_nanos.fetch_add(u64::try_from(waited).unwrap_or(u64::MAX), Ordering::Relaxed);
        steps != self.numbers.steps.load(Ordering::Acquire)
    }

    /// The log bytes that call for a checkpoint.
    fn trigger(&self, map: &VersionedMap) -> u64 {
        match (self.checkpoint_log_bytes, self.disk_value_bytes) {
            (0, None) => CHECKPOINT_LOG_BYTES.max(map.bytes()),
            // New values are in memory until a checkpoint has put them on disk: they must not put it off.
            (0, Some(_)) => CHECKPOINT_LOG_BYTES.max(self.numbers.checkpoint_bytes.load(Ordering::Relaxed)),
            (bytes, _) => bytes,
        }
    }

    fn is_due(&self, map: &VersionedMap) -> bool {
        let is_wanted = self.is_wanted.load(Ordering::Relaxed) || self.is_outrun.load(Ordering::Relaxed);
        is_wanted || self.backlog.load(Ordering::Relaxed) >= self.trigger(map)
    }

    /// How far the checkpoints are behind, in percent of what makes `apply` wait, from half of it on.
    fn lag(&self, map: &VersionedMap) -> u64 {
        let stall = STALL_FACTOR * self.trigger(map).max(SEGMENT_BYTES_LEAST);
        let backlog = self.backlog.load(Ordering::Relaxed);
        (backlog.saturating_sub(stall / 2).saturating_mul(200) / stall).min(100)
    }

    pub(crate) fn pressure(&self, map: &VersionedMap) -> Pressure {
        // While no checkpoint can be written, `apply` does not wait for one.
        let is_outrun = self.is_outrun.load(Ordering::Relaxed);
        let most = if self.is_troubled.load(Ordering::Relaxed) { 99 } else { 100 };
        let least = if is_outrun { 50 } else { 0 };
        match self.lag(map).clamp(least, most) {
            0 => Pressure::none(),
            level => Pressure {
                level: level as u8,
                reason: match is_outrun {
                    true => "writes outran a checkpoint, and wait for the steps of the next".to_string(),
                    false => "the log is far ahead of the last checkpoint".to_string(),
                },
            },
        }
    }

    /// The map and the position of the log that belong together.
    pub(crate) fn basis(&self, map: &VersionedMap) -> Basis {
        let position = lock(&self.published);
        let log_bytes = self.backlog.load(Ordering::Relaxed);
        Basis { view: map.view(), position: *position, log_bytes }
    }

    /// One step of a lane.
    pub(crate) fn background(&self, lane: Lane, map: &VersionedMap) -> Result<Step> {
        match lane {
            LOG_LANE => self.log.step(&self.preparing),
            CHECKPOINT_LANE => Ok(self.checkpoint_lane_step(map)),
            _ => Ok(Step::Idle),
        }
    }

    fn checkpoint_lane_step(&self, map: &VersionedMap) -> Step {
        let mut checkpointer = lock(&self.checkpointer);
        if !checkpointer.is_running() {
            let now = self.clock.monotonic();
            if let Some(retry_at) = lock(&self.retry_at).filter(|retry_at| *retry_at > now) {
                return Step::IdleFor(retry_at - now);
            }
            if !self.is_due(map) {
                return Step::Idle;
            }
        }
        match self.checkpoint_step(&mut checkpointer, map) {
            Ok(_) | Err(EngineError::ViewTooOld) => Step::More,
            Err(_) => Step::IdleFor(RETRY_AFTER),
        }
    }

    /// Begins a checkpoint, or does one step of the one that was begun. A failure is logged once.
    pub(crate) fn checkpoint_step(
        &self,
        checkpointer: &mut Checkpointer,
        map: &VersionedMap,
    ) -> Result<Option<Done>> {
        let step = match checkpointer.is_running() {
            true => checkpointer.advance(map),
            false => checkpointer.begin(self.basis(map)).map(|()| None),
        };
        self.numbers.steps.fetch_add(1, Ordering::Release);
        match &step {
            Ok(None) => {}
            Ok(Some(done)) => {
                self.backlog.fetch_sub(done.log_bytes, Ordering::Relaxed);
                self.is_wanted.store(false, Ordering::Relaxed);
                self.is_troubled.store(false, Ordering::Relaxed);
                self.is_outrun.store(false, Ordering::Relaxed);
                *lock(&self.retry_at) = None;
                self.numbers.checkpoints.fetch_add(1, Ordering::Relaxed);
                self.numbers.checkpoint_bytes.store(done.bytes, Ordering::Relaxed);
                self.numbers.note_values(checkpointer.values());
                self.lanes.wake(LOG_LANE);
            }
            Err(EngineError::ViewTooOld) => {
                checkpointer.abandon();
                self.is_outrun.store(true, Ordering::Relaxed);
                self.numbers.failures.fetch_add(1, Ordering::Relaxed);
                log::info!("writes outran a checkpoint; it begins again, and writes wait for its steps");
            }
            Err(error) => {
                checkpointer.abandon();
                *lock(&self.retry_at) = Some(self.clock.monotonic() + RETRY_AFTER);
                self.numbers.failures.fetch_add(1, Ordering::Relaxed);
                if !self.is_troubled.swap(true, Ordering::Relaxed) {
                    log::warn!(
                        "no checkpoint could be written, so the log grows; it is tried again from scratch: {error}"
                    );
                }
            }
        }
        step
    }

    /// Writes a checkpoint of what is there now, unless there is one already that can be relied upon.
    pub(crate) fn force_checkpoint(&self, map: &VersionedMap, watch: &dyn Watch) -> Result<()> {
        let wanted = *lock(&self.published);
        loop {
            let mut checkpointer = lock(&self.checkpointer);
            if checkpointer.newest() >= wanted && !self.is_wanted.load(Ordering::Relaxed) {
                return Ok(());
            }
            match self.checkpoint_step(&mut checkpointer, map) {
                Ok(_) | Err(EngineError::ViewTooOld) => {}
                Err(error) => return Err(error),
            }
            let (done, total) = checkpointer.progress();
            // Without the lock, for the watch belongs to somebody else.
            drop(checkpointer);
            if watch.progress(done, total).is_break() {
                return Err(EngineError::rejected("cancelled by its caller"));
            }
        }
    }

    pub(crate) fn metrics(&self, map: &VersionedMap) -> Vec<Metric> {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed) as f64;
        let numbers = &self.numbers;
        let log = self.log.metrics();
        let mut metrics = log.report();
        if let Some(at) = log.last_durable {
            metrics.push(Metric::gauge("last_durable_write_unix_ms", at.as_millis() as f64));
        }
        let reason = |metric: Metric| metric.label("reason", "checkpoint");
        metrics.extend([
            Metric::counter("checkpoints", load(&numbers.checkpoints)),
            Metric::counter("checkpoint_failures", load(&numbers.failures)),
            Metric::gauge("checkpoint_bytes", load(&numbers.checkpoint_bytes)),
            Metric::gauge("checkpoint_backlog_log_bytes", load(&self.backlog)),
            Metric::gauge("checkpoint_due_log_bytes", self.trigger(map) as f64),
            Metric::gauge("map_disk_bytes", map.away_bytes() as f64),
            Metric::gauge("values_files", load(&numbers.values_files)),
            Metric::gauge("values_bytes", load(&numbers.values_bytes)),
            Metric::gauge("values_live_bytes", load(&numbers.values_live_bytes)),
            reason(Metric::counter("apply_waits", load(&numbers.waits))),
            reason(Metric::counter("apply_waited_seconds", load(&numbers.waited_nanos) / 1e9)),
        ]);
        metrics
    }

    /// Ends in order.
    pub(crate) fn close(&self) -> Result<()> {
        lock(&self.checkpointer).abandon();
        self.log.close()
    }
}

/// How the log is opened with the options of the engine.
pub(crate) fn log_options(segment_bytes: u64, durability: adapter_api::Durability) -> LogOptions {
    LogOptions { segment_bytes, durability, ..LogOptions::default() }
}
