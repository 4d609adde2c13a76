//! The open log: what engines hold.
//!
//! `append` and `make_durable` have one caller at a time (the engine's `apply`); `prepare` and `sync_due`
//! are called by a lane; everything else by anyone, at any time. No reader of numbers waits for a device.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter_api::environment::{Clock, Directory, is_full};
use adapter_api::{Durability, EngineError, Result, Step};

use crate::metrics::{Counters, LogMetrics};
use crate::mutex::lock;
use crate::recovery::{self, Recovery};
use crate::spare::{Pool, Preparer};
use crate::syncs::Syncs;
use crate::writer::{PendingSync, Start, Surroundings, Writer};
use crate::{LogOptions, Lsn, Replay, SEGMENT_BYTES_LEAST};

/// How long the lane waits after preparation failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A log that is open for writing.
pub struct Log {
    options: LogOptions,
    clock: Arc<dyn Clock>,
    writer: Mutex<Writer>,
    preparer: Arc<Mutex<Preparer>>,
    pool: Arc<Mutex<Pool>>,
    counters: Arc<Counters>,
    syncs: Arc<Syncs>,
    /// Whether the last step of preparation failed; the log says so once.
    troubled: AtomicBool,
}

impl Log {
    /// Opens the log in `directory`, creating it if there is none and `from` is 1, and calls `replay` with
    /// every record from number `from` on, in order. Other files in the directory are left alone; the caller
    /// sees to it that nobody else has the log open, and that the directory's own name is durable.
    ///
    /// When this returns, every record replayed is durable. Blocks as long as that takes.
    ///
    /// # Errors
    /// `Corrupt` if records from `from` on are missing or damaged that were acknowledged, naming file,
    /// position and how many; `Full` if there is no room to write again what must be; `Rejected` for a newer
    /// format; `Failed` for an I/O error; and whatever `replay` answers.
    pub fn open(
        directory: &Arc<dyn Directory>,
        clock: &Arc<dyn Clock>,
        options: LogOptions,
        from: Lsn,
        replay: &mut Replay<'_>,
    ) -> Result<(Self, Recovery)> {
        recovery::open(directory, clock, options, from, replay)
    }

    /// Creates a log whose first record will have the number `first`, in a directory that holds none: for
    /// copies of a state that stand for all records before.
    ///
    /// # Errors
    /// `Rejected` if there is a log already; `Full` and `Failed` as for `open`.
    pub fn create_at(
        directory: &Arc<dyn Directory>,
        clock: &Arc<dyn Clock>,
        options: LogOptions,
        first: Lsn,
    ) -> Result<Self> {
        recovery::create_at(directory, clock, options, first)
    }

    /// Creates the log of a copy of a state that stands for all records up to `last`: empty, small and closed.
    ///
    /// # Errors
    /// As `create_at`.
    pub fn create_for_copy(directory: &Arc<dyn Directory>, clock: &Arc<dyn Clock>, last: Lsn) -> Result<()> {
        let options = LogOptions {
            segment_bytes: SEGMENT_BYTES_LEAST,
            durability: Durability::Always,
            ready_segments: 0,
            recycled_segments: 0,
        };
        Self::create_at(directory, clock, options, last + 1)?.close()
    }

    pub(crate) fn new(
        options: LogOptions,
        clock: &Arc<dyn Clock>,
        pool: Arc<Mutex<Pool>>,
        preparer: Preparer,
        counters: Arc<Counters>,
        start: Start,
    ) -> Self {
        let (preparer, syncs) = (Arc::new(Mutex::new(preparer)), Arc::<Syncs>::default());
        let around = Surroundings {
            clock: Arc::clone(clock),
            pool: Arc::clone(&pool),
            preparer: Arc::clone(&preparer),
            counters: Arc::clone(&counters),
            syncs: Arc::clone(&syncs),
            durability: options.durability,
            segment_len: options.segment_len(),
        };
        let writer = Mutex::new(Writer::new(around, start));
        let (clock, troubled) = (Arc::clone(clock), AtomicBool::new(false));
        Self { options, clock, writer, preparer, pool, counters, syncs, troubled }
    }

    /// Adds a record, given in parts that are joined, and returns its number. Not durable yet, not even
    /// written. Prepares a segment itself if none is ready; that is the only I/O it does, but for records so
    /// large that what was appended before must be written first.
    ///
    /// A record is replayed whole or not at all. Records appended between two calls of `make_durable` are
    /// usually written together, but only a record is atomic.
    ///
    /// # Errors
    /// `Full` if there is no room for it: nothing changed, and it may pass later. `Rejected` if it has more
    /// than `RECORD_BYTES_MAX` bytes. `Failed` as `make_durable`.
    pub fn append(&self, record: &[&[u8]]) -> Result<Lsn> {
        lock(&self.writer).append(record)
    }

    /// Makes all records up to `lsn` durable in the class the log was opened with, and usually all that were
    /// appended: `Always`: on the device; `Interval` and `Os`: with the operating system.
    ///
    /// # Errors
    /// `Failed`: what is durable is unknown, and every later call answers `Failed` too. `Rejected` if no such
    /// record was appended.
    pub fn make_durable(&self, lsn: Lsn) -> Result<()> {
        lock(&self.writer).make_durable(lsn, false)
    }

    /// Makes everything that was appended survive a power cut, whatever the class. A checkpoint that stands
    /// for records calls this before it says so.
    ///
    /// # Errors
    /// As `make_durable`.
    pub fn sync(&self) -> Result<()> {
        let mut writer = lock(&self.writer);
        writer.make_durable(self.last(), true)
    }

    /// Whether a record of so many bytes can be appended now without asking the file system for room.
    pub fn room_for(&self, bytes: u64) -> bool {
        lock(&self.writer).has_room(bytes)
    }

    /// The number of the last record appended; 0 if there never was one.
    pub fn last(&self) -> Lsn {
        self.counters.last.load(Ordering::Acquire)
    }

    /// The highest number that survives a power cut for certain.
    pub fn durable(&self) -> Lsn {
        self.counters.durable.load(Ordering::Acquire)
    }

    /// Says that no record before `lsn` will be asked for again: segments that hold nothing else are used
    /// again or removed by `prepare`, once the log is durable behind them. The state that makes them needless
    /// must be durable. Does no I/O.
    pub fn retire_before(&self, lsn: Lsn) {
        let mut pool = lock(&self.pool);
        pool.needless_before = pool.needless_before.max(lsn);
        pool.retire(self.durable());
    }

    /// Whether the lane has work, and should be woken: segments to prepare, or much to sync.
    pub fn needs_preparation(&self) -> bool {
        let unsynced = self.counters.unsynced_bytes.load(Ordering::Relaxed);
        if self.options.durability == Durability::Os && unsynced >= self.sync_ahead_bytes() {
            return true;
        }
        let mut pool = lock(&self.pool);
        pool.retire(self.durable());
        pool.ready.len() < self.options.ready_segments
            || pool.has_superfluous(self.options.recycled_segments, self.options.segment_len())
    }

    /// Does one bounded step in a lane: prepares a segment ahead of need, uses a retired one again, or
    /// removes one. A failure harms nothing: it is logged once and tried again later.
    pub fn prepare(&self) -> Step {
        self.try_to_prepare().unwrap_or(Step::IdleFor(RETRY_AFTER))
    }

    /// Removes every segment that is needless now, though it could have been used again: for whoever wants the room.
    ///
    /// # Errors
    /// Those of removing files; what is left goes later.
    pub fn remove_retired(&self) -> io::Result<()> {
        lock(&self.pool).retire(self.durable());
        lock(&self.preparer).remove_retired()
    }

    fn try_to_prepare(&self) -> io::Result<Step> {
        lock(&self.pool).retire(self.durable());
        let step = lock(&self.preparer).step(self.options.ready_segments, self.options.recycled_segments);
        match &step {
            Ok(_) => self.troubled.store(false, Ordering::Relaxed),
            Err(error) => {
                if !self.troubled.swap(true, Ordering::Relaxed) {
                    log::warn!("could not prepare a log segment ahead of need, will try again: {error}");
                }
            }
        }
        step
    }

    /// Sees to it that a quarter of a segment is left behind a record of so many bytes, by preparing segments if need
    /// be. Asked before puts and not before deletes, it makes a full disk refuse puts first, and deletes still pass.
    ///
    /// # Errors
    /// `Full` if there is no room, and nothing changed. `Failed` as `make_durable`. What else keeps segments from being
    /// prepared is for `append` to meet.
    pub fn leave_reserve(&self, record_bytes: u64) -> Result<()> {
        let reserve = self.options.segment_bytes / 4;
        while !self.room_for(record_bytes + reserve) {
            match self.try_to_prepare() {
                Ok(Step::More) => {}
                Err(error) if is_full(&error) => {
                    // A log that has failed for good says so here.
                    self.make_durable(0)?;
                    return Err(EngineError::full(format!(
                        "the log cannot get more room ({error}), and what is left is kept for deletes; free some space"
                    )));
                }
                // Enough segments are ready: a record that is too large for one of them gets its own.
                Ok(_) | Err(_) => break,
            }
        }
        Ok(())
    }

    /// So many bytes are synced beside the writer in the class `Os`: the sync at the end of a segment, which the writer
    /// waits for, then finds little left to do.
    fn sync_ahead_bytes(&self) -> u64 {
        self.options.segment_len() / 4
    }

    /// In a lane, in the class `Interval`: makes durable what has waited for its time; in the class `Os` what has
    /// become much. Does nothing in the class `Always`.
    ///
    /// # Errors
    /// `Failed` if the sync failed; as final as a failed `make_durable`.
    pub fn sync_due(&self) -> Result<Step> {
        let now = self.clock.monotonic();
        let interval = match self.options.durability {
            Durability::Always => return Ok(Step::Idle),
            Durability::Os => {
                let pending = lock(&self.writer).pending_sync_of(self.sync_ahead_bytes());
                let step = if pending.is_some() { Step::More } else { Step::Idle };
                return self.sync_beside(pending, now).map(|()| step);
            }
            Durability::Interval(interval) => interval,
        };
        let pending =
            now.checked_sub(interval).and_then(|written_by| lock(&self.writer).pending_sync(written_by));
        self.sync_beside(pending, now)?;
        let since = lock(&self.writer).unsynced_since();
        let due = since.map_or(interval, |since| (since + interval).saturating_sub(now));
        Ok(Step::IdleFor(due))
    }

    /// Syncs without the lock of the writer, so that it goes on meanwhile.
    fn sync_beside(&self, pending: Option<PendingSync>, now: Duration) -> Result<()> {
        let Some(pending) = pending else { return Ok(()) };
        let outcome = self.syncs.run(|| pending.run(&self.counters));
        lock(&self.writer).synced(&pending, now, outcome)
    }

    /// One bounded step of the lane that serves the log: [`Log::sync_due`], and then [`Log::prepare`] with `preparing`
    /// held, which keeps whoever copies segments apart from it.
    ///
    /// # Errors
    /// As `sync_due`.
    pub fn step(&self, preparing: &Mutex<()>) -> Result<Step> {
        let due = self.sync_due()?;
        let _preparing = lock(preparing);
        Ok(match (self.prepare(), due) {
            (Step::More, _) | (_, Step::More) => Step::More,
            (Step::Idle, step) | (step, Step::Idle) => step,
            (Step::IdleFor(one), Step::IdleFor(other)) => Step::IdleFor(one.min(other)),
        })
    }

    /// Ends the session in order: everything appended becomes durable, and a mark lets the next `open` tell
    /// any damage. Nothing may be appended afterwards; closing again does nothing.
    ///
    /// # Errors
    /// `Failed` if it cannot, or if something failed before.
    pub fn close(&self) -> Result<()> {
        lock(&self.writer).close()
    }

    /// The options that the log was opened with.
    pub fn options(&self) -> LogOptions {
        self.options
    }

    /// The numbers of the log. Never waits for a device.
    pub fn metrics(&self) -> LogMetrics {
        let pool = lock(&self.pool);
        let live_bytes: u64 = pool.live.iter().map(|it| it.len).sum();
        LogMetrics {
            segments_live: pool.live.len() as u64 + 1,
            bytes_live: live_bytes + self.counters.current_len.load(Ordering::Relaxed),
            segments_ready: pool.ready.len() as u64,
            segments_retired: pool.retired.len() as u64,
            ..self.counters.read()
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log")
            .field("options", &self.options)
            .field("last", &self.last())
            .finish_non_exhaustive()
    }
}
