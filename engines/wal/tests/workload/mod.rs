//! A small life of a log on the simulated disk, and what must be found after it was cut short.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::sync::Arc;

use adapter_api::environment::{Clock, Directory};
use adapter_api::{Durability, EngineError, Step};
use crash::environment::{Disk, SimulatedClock};
use wal::{Log, LogOptions, Lsn, Recovery};

/// Where the log under test lives.
pub type Files = Arc<dyn Directory>;

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// Append a record of so many bytes.
    Append(usize),
    /// Make durable what was appended.
    Commit,
    /// A checkpoint covers everything but so many of the last durable records.
    Retire(u64),
    /// So many steps of the lane.
    Lane(usize),
    /// End in order, and open again.
    Close,
    /// End without a word, and open again.
    Drop,
}

/// Segments of four blocks: header, two of groups, the mark of the end.
pub fn small(durability: Durability) -> LogOptions {
    LogOptions { segment_bytes: 4 * 4096, durability, ready_segments: 1, recycled_segments: 1 }
}

/// The life that the crash tests cut short: rotation, recycling, large records, both ends, all within a few
/// calls of each other.
pub fn life() -> Vec<Act> {
    use Act::*;
    let mut acts = vec![Append(10), Commit, Append(5000), Commit, Lane(3), Append(0), Append(300), Commit];
    acts.extend([Append(20), Commit, Retire(1), Lane(6), Append(1), Commit, Append(9000), Commit, Append(7)]);
    acts.extend([
        Commit,
        Close,
        Append(30),
        Commit,
        Append(600),
        Commit,
        Retire(0),
        Lane(4),
        Append(40),
        Commit,
    ]);
    acts.extend([
        Drop,
        Append(50),
        Commit,
        Append(8),
        Append(4090),
        Commit,
        Lane(9),
        Append(3),
        Append(4080),
    ]);
    acts.extend([Append(4080), Commit, Retire(2), Lane(3), Append(70), Commit]);
    acts
}

/// What is known of a log from outside.
#[derive(Clone, Default)]
pub struct Model {
    /// Every record that may be there; the first has number 1.
    pub records: Vec<Vec<u8>>,
    /// Up to here all calls were answered OK.
    pub acknowledged: Lsn,
    /// Up to here the log said that a power cut takes nothing.
    pub durable: Lsn,
    /// Records before this one are not asked for any more.
    pub from: Lsn,
    /// How many records were ever tried: no two have the same bytes.
    pub tried: u64,
}

impl Model {
    pub fn record(&mut self, len: usize) -> Vec<u8> {
        self.tried += 1;
        let tried = self.tried;
        (0..len).map(|at| (tried as usize * 31 + at * 7 + (at >> 8)) as u8 ^ (tried >> 3) as u8).collect()
    }

    /// Opens the log and compares what it replays; records up to `at_least` must be there.
    pub fn open(
        &mut self,
        files: &Files,
        options: LogOptions,
        at_least: Lsn,
    ) -> Result<(Log, Recovery), EngineError> {
        let mut next = self.from.max(1);
        let clock: Arc<dyn Clock> = Arc::new(SimulatedClock::default());
        let (log, recovery) = Log::open(files, &clock, options, next, &mut |lsn, record| {
            assert_eq!(lsn, next, "a hole, or out of order");
            let known = self.records.get(lsn as usize - 1);
            assert!(known.is_some_and(|known| known == record), "record {lsn} is not what was appended");
            next += 1;
            Ok(())
        })?;
        assert!(recovery.last >= at_least, "records to {at_least} were acknowledged, {recovery:?}");
        assert_eq!((recovery.last, log.last(), log.durable()), (next - 1, next - 1, next - 1));
        self.records.truncate(recovery.last as usize);
        self.acknowledged = recovery.last;
        self.durable = recovery.last;
        Ok((log, recovery))
    }

    /// Appends a record and commits it.
    pub fn commit_one(&mut self, log: &Log, len: usize) -> Result<(), EngineError> {
        self.append(log, len)?;
        self.commit(log)
    }

    pub fn append(&mut self, log: &Log, len: usize) -> Result<(), EngineError> {
        let record = self.record(len);
        // It may be there from the moment it is tried.
        self.records.push(record.clone());
        let (left, right) = record.split_at(len / 3);
        match log.append(&[left, right]) {
            Ok(lsn) => assert_eq!(lsn as usize, self.records.len()),
            Err(error) => {
                if error.changed_nothing() {
                    self.records.pop();
                }
                return Err(error);
            }
        }
        Ok(())
    }

    pub fn commit(&mut self, log: &Log) -> Result<(), EngineError> {
        log.make_durable(self.records.len() as Lsn)?;
        self.acknowledged = self.records.len() as Lsn;
        self.durable = log.durable();
        Ok(())
    }

    /// Lives until the end or the first error.
    pub fn live(&mut self, files: &Files, options: LogOptions, acts: &[Act]) -> Result<(), EngineError> {
        let (mut log, _) = self.open(files, options, self.acknowledged)?;
        for act in acts {
            match *act {
                Act::Append(len) => self.append(&log, len)?,
                Act::Commit => self.commit(&log)?,
                Act::Retire(back) => {
                    log.sync()?;
                    self.durable = log.durable();
                    self.from = (self.acknowledged + 1).saturating_sub(back).max(self.from);
                    log.retire_before(self.from);
                }
                Act::Lane(steps) => {
                    for _ in 0..steps {
                        if let Step::IdleFor(_) = log.prepare() {
                            return Err(EngineError::failed("the lane failed"));
                        }
                    }
                }
                Act::Close => {
                    log.close()?;
                    drop(log);
                    (log, _) = self.open(files, options, self.acknowledged)?;
                }
                Act::Drop => {
                    drop(log);
                    (log, _) = self.open(files, options, self.acknowledged)?;
                }
            }
        }
        Ok(())
    }
}

/// A disk and the model of a life that ended after so many changes of the disk; `true` if it ended by itself.
pub fn life_cut_short(options: LogOptions, acts: &[Act], changes: u64) -> (Disk, Model, bool) {
    let (disk, mut model) = (Disk::default(), Model::default());
    disk.light_fuse(changes);
    let whole = model.live(&disk.root(), options, acts).is_ok();
    (disk, model, whole)
}
