//! Prepares segments ahead of need, and uses retired ones again.
//!
//! A file becomes a segment in this order, so that a crash at any point leaves either a spare file, whose
//! bytes mean nothing, or a whole segment:
//!
//! ```text
//! new       create spare-K, fill it with zeros; or reserve its room, where writes do not wait for syncs
//! recycled  rename log-J to spare-K, sync the directory: the file is no part of the log any more
//! both      write the header of K, sync the file, rename spare-K to log-K, sync the directory: ready
//! ```
//!
//! K is above all numbers before it. A new file that a crash takes back takes its number along with all that
//! was written under it.
//!
//! Zeros and recycled bytes are on the device before the first group is: a group changes data only, neither
//! length nor extents, and its sync is one flush. Where nobody waits for syncs, room that is reserved reads as zeros
//! too, and costs no bytes. `Preparer` does this in bounded steps in a lane, or in one
//! go when the writer finds nothing ready. Retired files are taken oldest first, and the directory is synced
//! between any two, so that a crash leaves no gap.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};

use adapter_api::environment::{Cause, Clock, Directory, File, OpenFile, is_full};
use adapter_api::{Durability, Step};

use crate::Lsn;
use crate::metrics::Counters;
use crate::mutex::lock;
use crate::options::LogOptions;
use crate::segment::{FORMAT, Segment, SegmentHeader, segment_name, spare_name};

/// How many zeros one step writes.
const STEP_BYTES: u64 = 1 << 20;

/// A segment whose records may be needed. The writer's current one is not among them.
pub(crate) struct Live {
    pub name: String,
    pub len: u64,
    /// The last record in it, and in all before it.
    pub last: Lsn,
}

/// A file that no record is needed of.
pub(crate) struct Retired {
    pub name: String,
    pub len: u64,
    /// Whether all of it was ever durable. A spare file that an earlier life left behind may be there because its
    /// sync failed: common kernels then count its bytes and its length as clean, and no later sync writes them.
    pub was_durable: bool,
}

impl Retired {
    /// Whether it can become a segment of this length.
    fn fits(&self, segment_len: u64) -> bool {
        self.was_durable && self.len == segment_len
    }
}

/// All files of the log but the current segment. Locked for moments only, never across I/O.
#[derive(Default)]
pub(crate) struct Pool {
    /// The highest number any file has or had.
    pub highest: u64,
    /// The highest number of a segment that is ready or was used.
    pub published: u64,
    /// Ready for use, ascending by number.
    pub ready: VecDeque<Segment>,
    /// Oldest first.
    pub live: VecDeque<Live>,
    /// No record before this one will be asked for again.
    pub needless_before: Lsn,
    /// Oldest first.
    pub retired: VecDeque<Retired>,
}

impl Pool {
    fn next_number(&mut self) -> u64 {
        self.highest += 1;
        self.highest
    }

    /// Adds a segment to the ready ones.
    pub(crate) fn add_ready(&mut self, segment: Segment) {
        self.ready.push_back(segment);
    }

    /// Makes a segment the next one used. What was ready has lower numbers, and numbers ascend in the order
    /// of use: it is prepared anew.
    pub(crate) fn put_first(&mut self, segment: Segment) {
        let passed_over =
            self.ready.drain(..).map(|it| Retired { name: it.name, len: it.len, was_durable: true });
        self.retired.extend(passed_over);
        self.ready.push_back(segment);
    }

    /// Retires the segments that are needless, given the last durable record. One stays until the next begins
    /// on the device: the chain is read from where a segment begins, and a crash may take the next one's
    /// first group.
    pub(crate) fn retire(&mut self, durable: Lsn) {
        let needless_before = self.needless_before.min(durable);
        while let Some(oldest) = self.live.pop_front_if(|oldest| oldest.last < needless_before) {
            self.retired.push_back(Retired { name: oldest.name, len: oldest.len, was_durable: true });
        }
    }

    /// Whether the oldest retired file should be removed: it does not fit, or there are more than to keep.
    pub(crate) fn has_superfluous(&self, keep: usize, segment_len: u64) -> bool {
        self.retired.len() > keep || self.retired.front().is_some_and(|oldest| !oldest.fits(segment_len))
    }
}

/// A spare file on its way to become a segment.
pub(crate) struct Blank {
    number: u64,
    pub file: Arc<dyn File>,
    len: u64,
    /// How many bytes are on the device or on their way.
    filled: u64,
}

impl Blank {
    fn name(&self) -> String {
        spare_name(self.number)
    }
}

/// Turns files into segments. One caller at a time; the lock around it is held for one step.
pub(crate) struct Preparer {
    directory: Arc<dyn Directory>,
    clock: Arc<dyn Clock>,
    pool: Arc<Mutex<Pool>>,
    counters: Arc<Counters>,
    log_id: u64,
    segment_len: u64,
    /// Whether room is reserved instead of filled: zeros make each sync cheaper, and are as many bytes again.
    only_reserves: bool,
    /// What the lane is at.
    work: Option<Blank>,
    zeros: Vec<u8>,
}

impl Preparer {
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        clock: Arc<dyn Clock>,
        pool: Arc<Mutex<Pool>>,
        counters: Arc<Counters>,
        log_id: u64,
        options: LogOptions,
    ) -> Self {
        let (segment_len, only_reserves) = (options.segment_len(), options.durability != Durability::Always);
        let (work, zeros) = (None, Vec::new());
        Self { directory, clock, pool, counters, log_id, segment_len, only_reserves, work, zeros }
    }

    /// Does one bounded step towards `ready` segments that are ready and at most `recycled` retired files.
    ///
    /// # Errors
    /// Those of the files. The file at hand is given up; nothing of the log is harmed.
    pub(crate) fn step(&mut self, ready: usize, recycled: usize) -> io::Result<Step> {
        let wanted = lock(&self.pool).ready.len() < ready;
        if let Some(mut blank) = self.work.take() {
            if self.fill(&mut blank)? {
                let segment = self.finish(blank)?;
                lock(&self.pool).add_ready(segment);
            } else {
                self.work = Some(blank);
            }
        } else if wanted {
            self.work = Some(self.begin(self.segment_len)?);
        } else if let Some(file) = self.take_superfluous(recycled) {
            self.remove(&file)?;
        } else {
            return Ok(Step::Idle);
        }
        Ok(Step::More)
    }

    /// A ready segment with room for a group of so many bytes, at once. Goes on with what the lane is at, if
    /// that is large enough.
    pub(crate) fn prepare_at_once(&mut self, least_len: u64) -> io::Result<Segment> {
        let blank = self.blank(least_len)?;
        self.finish(blank)
    }

    /// A spare file of at least so many bytes, filled, with a number above all in use.
    pub(crate) fn blank(&mut self, least_len: u64) -> io::Result<Blank> {
        self.blank_of(least_len.max(self.segment_len))
    }

    /// The same, as long as a segment if there is room, else just long enough: a log must open on a full disk.
    pub(crate) fn blank_if_need_be_short(&mut self, least_len: u64) -> io::Result<Blank> {
        match self.blank(least_len) {
            Err(error) if is_full(&error) && least_len < self.segment_len => self.blank_of(least_len),
            blank => blank,
        }
    }

    fn blank_of(&mut self, len: u64) -> io::Result<Blank> {
        let mut blank = match self.work.take() {
            Some(blank) if blank.len == len => blank,
            other => {
                self.work = other;
                self.begin(len)?
            }
        };
        while !self.fill(&mut blank)? {}
        self.renumber(&mut blank)?;
        Ok(blank)
    }

    /// Takes the oldest retired file, or creates one.
    fn begin(&mut self, len: u64) -> io::Result<Blank> {
        // What does not fit is removed on the way: oldest first, always.
        while let Some(old) = self.take_retired_for(len) {
            if old.fits(len) {
                return self.recycle(old);
            }
            self.remove(&old)?;
        }
        if self.directory.free_space().is_ok_and(|free| free < len) {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "the file system has no room for a segment",
            ));
        }
        let number = lock(&self.pool).next_number();
        let file = self.directory.open_file(&spare_name(number), OpenFile::CREATE_NEW)?;
        Ok(Blank { number, file, len, filled: 0 })
    }

    /// The oldest retired file, if files of this length are recycled at all.
    fn take_retired_for(&self, len: u64) -> Option<Retired> {
        if len == self.segment_len { lock(&self.pool).retired.pop_front() } else { None }
    }

    fn recycle(&self, old: Retired) -> io::Result<Blank> {
        let number = lock(&self.pool).next_number();
        if let Err(error) = self.directory.rename(&old.name, &spare_name(number)) {
            if is_full(&error) {
                // Nothing was renamed: the file is there to be taken when there is room for the new name.
                lock(&self.pool).retired.push_front(old);
            }
            return Err(error);
        }
        self.directory.sync()?;
        let file = self.directory.open_file(&spare_name(number), OpenFile::WRITE)?;
        Counters::add(&self.counters.recycled, 1);
        Ok(Blank { number, file, len: old.len, filled: old.len })
    }

    /// Writes the next zeros; says whether the file is full of them.
    fn fill(&mut self, blank: &mut Blank) -> io::Result<bool> {
        if self.only_reserves && blank.filled == 0 {
            match blank.file.allocate(0, blank.len) {
                // Then zeros have to do.
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                reserved => {
                    self.or_give_up(reserved, blank)?;
                    blank.filled = blank.len;
                }
            }
        }
        let count = (blank.len - blank.filled).min(STEP_BYTES);
        if count > 0 {
            self.zeros.resize((count as usize).max(self.zeros.len()), 0);
            let slice = IoSlice::new(&self.zeros[..count as usize]);
            let written = blank.file.write_at(&[slice], blank.filled, Cause::Log);
            self.or_give_up(written, blank)?;
            // A hint only: it spreads the work of the sync that follows.
            let _ = blank.file.write_back(blank.filled, count);
            blank.filled += count;
        }
        Ok(blank.filled == blank.len)
    }

    /// Gives the file a higher number if a larger segment was made meanwhile: numbers ascend in the order of
    /// use. Nothing was written under the old one but zeros, or what it held when it was recycled.
    fn renumber(&self, blank: &mut Blank) -> io::Result<()> {
        let old_name = blank.name();
        {
            let mut pool = lock(&self.pool);
            if blank.number > pool.published {
                return Ok(());
            }
            blank.number = pool.next_number();
        }
        let renamed = self.directory.rename(&old_name, &blank.name());
        self.or_give_up(renamed.and_then(|()| self.directory.sync()), blank)
    }

    fn finish(&mut self, mut blank: Blank) -> io::Result<Segment> {
        self.renumber(&mut blank)?;
        let prepared = self.write_header(&blank).and_then(|header| self.publish(&blank, &header));
        if prepared.is_err() {
            // Under one of its two names.
            let _ = self.directory.remove(&blank.name());
            let _ = self.directory.remove(&segment_name(blank.number));
        }
        prepared
    }

    /// Writes the header of a spare file that is filled. Groups may follow, then `publish`.
    pub(crate) fn write_header(&self, blank: &Blank) -> io::Result<SegmentHeader> {
        let (number, len) = (blank.number, blank.len);
        let time = self.clock.wall().as_nanos() as u64;
        let salt = scramble(time ^ scramble(number));
        let header = SegmentHeader { format: FORMAT, log_id: self.log_id, number, salt, len };
        header.write(&*blank.file)?;
        Ok(header)
    }

    /// Makes everything written durable and then the file a segment.
    pub(crate) fn publish(&self, blank: &Blank, header: &SegmentHeader) -> io::Result<Segment> {
        blank.file.sync_data()?;
        let segment = Segment::new(header, Arc::clone(&blank.file));
        self.directory.rename(&blank.name(), &segment.name)?;
        self.directory.sync()?;
        let mut pool = lock(&self.pool);
        pool.published = pool.published.max(segment.number);
        Ok(segment)
    }

    /// The retired file that is removed next.
    fn take_superfluous(&self, keep: usize) -> Option<Retired> {
        let mut pool = lock(&self.pool);
        if pool.has_superfluous(keep, self.segment_len) { pool.retired.pop_front() } else { None }
    }

    /// Removes every retired file, the oldest first.
    pub(crate) fn remove_retired(&self) -> io::Result<()> {
        while let Some(file) = self.take_superfluous(0) {
            self.remove(&file)?;
        }
        Ok(())
    }

    fn remove(&self, file: &Retired) -> io::Result<()> {
        self.directory.remove(&file.name)?;
        self.directory.sync()
    }

    /// After a failure the file is not used any more. Its room is given back, if that can be done.
    fn or_give_up(&self, outcome: io::Result<()>, blank: &Blank) -> io::Result<()> {
        if outcome.is_err() {
            let _ = self.directory.remove(&blank.name());
        }
        outcome
    }
}

/// Spreads the bits of a number.
pub(crate) fn scramble(number: u64) -> u64 {
    let mixed = (number ^ (number >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed ^ (mixed >> 32)
}
