//! The writing end: gathers records into a group, writes it, makes it durable.
//!
//! Promises: room is found before a record is taken; a group is one write, and one sync or a durable write;
//! no block that was acknowledged is written again; after a failed write or sync nothing is ever written or
//! acknowledged again. `Log` calls it, one call at a time.

use std::io::{self, IoSlice};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter_api::environment::{Cause, Clock, File, is_full};
use adapter_api::{Durability, EngineError, Result};

use crate::chain::Cut;
use crate::group::{FIRST_POSITION, GroupBuffer, GroupHeader, Kind};
use crate::metrics::Counters;
use crate::mutex::lock;
use crate::options::RECORD_BYTES_MAX;
use crate::segment::{Segment, failed_on};
use crate::spare::{Live, Pool, Preparer};
use crate::syncs::Syncs;
use crate::{Lsn, blocks};

/// Groups below this many bytes are written by one durable write, larger ones by a write and a data sync.
/// Measured on ext4 over zero-filled files, median: 4 KiB 87 against 119 µs, 64 KiB 109 against 109 µs.
const DURABLE_WRITE_BYTES: u64 = 64 << 10;

/// Where a session starts to write.
pub(crate) struct Start {
    pub segment: Segment,
    pub position: u64,
    /// The next record and the group before it.
    pub chain: Cut,
}

/// What the writer needs of the log around it.
pub(crate) struct Surroundings {
    pub clock: Arc<dyn Clock>,
    pub pool: Arc<Mutex<Pool>>,
    pub preparer: Arc<Mutex<Preparer>>,
    pub counters: Arc<Counters>,
    pub syncs: Arc<Syncs>,
    pub durability: Durability,
    pub segment_len: u64,
}

pub(crate) struct Writer {
    around: Surroundings,
    segment: Segment,
    /// Where the next group starts; on a fresh block if a sync has begun since the last one.
    position: u64,
    /// Checksum of the last group of the chain.
    previous: u32,
    group: GroupBuffer,
    /// The number of the next record appended.
    next: Lsn,
    /// The last record written.
    written: Lsn,
    durable: Lsn,
    /// Up to where a sync has covered the segment.
    synced_to: u64,
    /// When the oldest bytes of the segment were written that no sync has covered.
    unsynced_since: Option<Duration>,
    /// Why nothing is written any more.
    ended: Option<Ended>,
}

enum Ended {
    Failed(String),
    Closed,
}

/// What a sync outside the lock has to cover.
pub(crate) struct PendingSync {
    file: Arc<dyn File>,
    segment: u64,
    position: u64,
    written: Lsn,
}

impl PendingSync {
    /// Syncs; waits for the device.
    pub(crate) fn run(&self, counters: &Counters) -> io::Result<()> {
        Counters::add(&counters.syncs, 1);
        self.file.sync_data()
    }
}

impl Writer {
    pub(crate) fn new(around: Surroundings, start: Start) -> Self {
        let last = start.chain.next - 1;
        around.counters.last.store(last, Ordering::Release);
        around.counters.durable.store(last, Ordering::Release);
        around.counters.current_len.store(start.segment.len, Ordering::Relaxed);
        Self {
            around,
            // What is there may have been acknowledged.
            position: blocks(start.position),
            synced_to: blocks(start.position),
            segment: start.segment,
            previous: start.chain.previous,
            group: GroupBuffer::new(),
            next: start.chain.next,
            written: last,
            durable: last,
            unsynced_since: None,
            ended: None,
        }
    }

    /// Adds a record, given in parts, to the group.
    pub(crate) fn append(&mut self, parts: &[&[u8]]) -> Result<Lsn> {
        self.check_open()?;
        let length: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let Some(stated) = u32::try_from(length).ok().filter(|_| length <= RECORD_BYTES_MAX) else {
            let message =
                format!("a log record of {length} bytes is too large, at most {RECORD_BYTES_MAX} fit");
            return Err(EngineError::rejected(message));
        };
        let mut needed = self.group.disk_bytes_with(length);
        if !self.group.is_empty() && !self.fits(needed) && Segment::len_for(needed) > self.around.segment_len
        {
            // Only a record that is too large by itself gets a segment of its own size.
            needed = blocks(GroupBuffer::bytes_alone(length));
            self.write_group(false)?;
        }
        self.make_room(needed)?;
        self.group.push(parts, stated);
        let lsn = self.next;
        self.next += 1;
        self.around.counters.last.store(lsn, Ordering::Release);
        Counters::add(&self.around.counters.bytes_appended, length);
        Ok(lsn)
    }

    /// Writes what was appended; on return it is durable in the class of the log, or for good if `for_good`.
    pub(crate) fn make_durable(&mut self, up_to: Lsn, for_good: bool) -> Result<()> {
        self.check_open()?;
        if up_to >= self.next {
            let message = format!("record {up_to} cannot be made durable, the last one is {}", self.next - 1);
            return Err(EngineError::rejected(message));
        }
        let for_good = for_good || self.around.durability == Durability::Always;
        if up_to > self.written {
            self.write_group(for_good)?;
        }
        if for_good && up_to > self.durable {
            self.sync()?;
        }
        Ok(())
    }

    /// Ends in order: everything becomes durable, and a close group says so.
    pub(crate) fn close(&mut self) -> Result<()> {
        if matches!(self.ended, Some(Ended::Closed)) {
            return Ok(());
        }
        self.make_durable(self.next - 1, true)?;
        if self.position < self.segment.len {
            let mut mark = GroupBuffer::new();
            mark.seal(&self.header(Kind::Close, self.next), self.segment.seal);
            let written =
                self.segment.file.write_durable_at(&[IoSlice::new(mark.bytes())], self.position, Cause::Log);
            self.or_fail("write", written)?;
        }
        self.ended = Some(Ended::Closed);
        Ok(())
    }

    /// Whether a record of so many bytes can be appended without preparing anything.
    pub(crate) fn has_room(&self, record_bytes: u64) -> bool {
        let needed = self.group.disk_bytes_with(record_bytes);
        self.fits(needed) || self.next_segment_takes(needed)
    }

    /// What a sync must cover if the oldest bytes that need one were written at or before `written_by`.
    /// Nothing once the log has ended: after a failure no sync can make up for it.
    pub(crate) fn pending_sync(&mut self, written_by: Duration) -> Option<PendingSync> {
        self.unsynced_since().filter(|since| *since <= written_by).map(|_| self.sync_of_all())
    }

    /// The same if so many bytes need a sync.
    pub(crate) fn pending_sync_of(&mut self, bytes: u64) -> Option<PendingSync> {
        let is_due = self.position - self.synced_to >= bytes;
        self.unsynced_since().filter(|_| is_due).map(|_| self.sync_of_all())
    }

    fn sync_of_all(&mut self) -> PendingSync {
        self.leave_block();
        PendingSync {
            file: Arc::clone(&self.segment.file),
            segment: self.segment.number,
            position: self.position,
            written: self.written,
        }
    }

    /// A sync begins: what it covers is in blocks that are not written again.
    fn leave_block(&mut self) {
        self.position = blocks(self.position);
    }

    /// When the oldest bytes were written that need a sync, and can have one.
    pub(crate) fn unsynced_since(&self) -> Option<Duration> {
        self.unsynced_since.filter(|_| self.ended.is_none())
    }

    /// Takes the outcome of a sync that ran without the lock, begun at `begun`.
    pub(crate) fn synced(
        &mut self,
        pending: &PendingSync,
        begun: Duration,
        outcome: io::Result<()>,
    ) -> Result<()> {
        self.or_fail("sync", outcome)?;
        if self.segment.number == pending.segment {
            self.unsynced_since = (self.written > pending.written).then_some(begun);
            self.note_synced_to(pending.position);
        }
        self.note_durable(pending.written);
        Ok(())
    }

    fn check_open(&self) -> Result<()> {
        match &self.ended {
            None => Ok(()),
            Some(Ended::Closed) => Err(EngineError::failed("the log is closed")),
            Some(Ended::Failed(why)) => Err(EngineError::failed(format!(
                "the log takes nothing more since an earlier failure ({why}); open it again"
            ))),
        }
    }

    fn fits(&self, group_bytes: u64) -> bool {
        group_bytes <= self.segment.room_at(self.position)
    }

    fn next_segment_takes(&self, group_bytes: u64) -> bool {
        lock(&self.around.pool).ready.front().is_some_and(|next| next.len >= Segment::len_for(group_bytes))
    }

    /// Sees to it that a group of so many bytes can be written without asking the file system for room.
    fn make_room(&mut self, group_bytes: u64) -> Result<()> {
        if self.fits(group_bytes) || self.next_segment_takes(group_bytes) {
            return Ok(());
        }
        let mut preparer = lock(&self.around.preparer);
        // The lane may have finished one while this waited for it.
        if self.next_segment_takes(group_bytes) {
            return Ok(());
        }
        let prepared = preparer.prepare_at_once(Segment::len_for(group_bytes));
        match prepared {
            Ok(segment) => {
                Counters::add(&self.around.counters.prepared_in_line, 1);
                lock(&self.around.pool).put_first(segment);
                Ok(())
            }
            Err(error) if is_full(&error) => Err(EngineError::full(format!(
                "the log has no room for {group_bytes} more bytes ({error}); free some space"
            ))),
            Err(error) => {
                let failure = EngineError::failed_by("could not prepare a log segment", error);
                self.ended = Some(Ended::Failed(failure.to_string()));
                Err(failure)
            }
        }
    }

    /// Writes the group, and makes it durable if `durable`.
    fn write_group(&mut self, durable: bool) -> Result<()> {
        if !self.fits(self.group.disk_bytes()) {
            self.rotate()?;
        }
        let header = self.header(Kind::Records, self.next - u64::from(self.group.records()));
        let (end, check) = self.group.seal(&header, self.segment.seal);
        let bytes = self.group.bytes().len() as u64;
        let slices = [IoSlice::new(self.group.bytes())];
        let (file, at) = (&self.segment.file, self.position);
        // A durable write covers its own bytes only: bytes before it that need a sync must get one.
        let at_once = durable && self.unsynced_since.is_none() && bytes < DURABLE_WRITE_BYTES;
        let written = match at_once {
            true => file.write_durable_at(&slices, at, Cause::Log),
            false => file.write_at(&slices, at, Cause::Log),
        };
        self.or_fail("write", written)?;
        self.group.clear();
        self.previous = check;
        self.position = self.segment.place_behind(end);
        self.written = self.next - 1;
        Counters::add(&self.around.counters.groups, 1);
        Counters::add(&self.around.counters.bytes_written, bytes);
        if at_once {
            Counters::add(&self.around.counters.syncs, 1);
            self.leave_block();
            self.note_durable(self.written);
            self.note_synced_to(self.position);
        } else {
            let now = self.around.clock.monotonic();
            self.unsynced_since.get_or_insert(now);
            self.note_synced_to(self.synced_to);
        }
        if durable && !at_once { self.sync() } else { Ok(()) }
    }

    /// Goes on in the next segment. The old one is durable before a byte is written to the new one, so that
    /// no crash leaves a hole between them.
    fn rotate(&mut self) -> Result<()> {
        if self.unsynced_since.is_some() {
            self.sync()?;
        }
        let mut pool = lock(&self.around.pool);
        // `make_room` saw to it, and only the writer takes from the ready ones.
        let Some(next) = pool.ready.pop_front() else {
            return Err(EngineError::failed("the log has lost its next segment"));
        };
        let old = std::mem::replace(&mut self.segment, next);
        pool.live.push_back(Live { name: old.name, len: old.len, last: self.written });
        drop(pool);
        self.position = FIRST_POSITION;
        self.note_synced_to(FIRST_POSITION);
        self.around.counters.current_len.store(self.segment.len, Ordering::Relaxed);
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.leave_block();
        let outcome = self.around.syncs.run(|| self.segment.file.sync_data());
        self.or_fail("sync", outcome)?;
        Counters::add(&self.around.counters.syncs, 1);
        self.unsynced_since = None;
        self.note_synced_to(self.position);
        self.note_durable(self.written);
        Ok(())
    }

    fn note_synced_to(&mut self, position: u64) {
        self.synced_to = position;
        self.around.counters.unsynced_bytes.store(self.position - position, Ordering::Relaxed);
    }

    fn note_durable(&mut self, lsn: Lsn) {
        self.durable = self.durable.max(lsn);
        self.around.counters.note_durable(lsn, self.around.clock.wall());
    }

    /// The first failure is final: what reached the device is unknown, and a second try may only seem to
    /// succeed.
    fn or_fail(&mut self, doing: &str, outcome: io::Result<()>) -> Result<()> {
        outcome.map_err(|error| {
            let failure = failed_on(&self.segment.name, doing, error);
            log::error!("the log takes nothing more until it is opened again: {failure}");
            self.ended = Some(Ended::Failed(failure.to_string()));
            failure
        })
    }

    fn header(&self, kind: Kind, first: Lsn) -> GroupHeader {
        GroupHeader {
            kind,
            settled: self.unsynced_since.is_none(),
            length: 0,
            records: 0,
            segment: self.segment.number,
            position: self.position,
            first,
            durable: self.durable,
            previous: self.previous,
        }
    }
}
