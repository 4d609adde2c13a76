//! Writes checkpoints, one bounded step at a time.
//!
//! | step | what is on disk if it ends here |
//! |---|---|
//! | make the log durable up to the position | the older checkpoint and the log behind it |
//! | write the temporary files, at most 1 MiB at once | the same, and files that count for nothing |
//! | if there are values for disk: sync them, rename the file, sync the directory | the same |
//! | sync the checkpoint, rename it, sync the directory | both checkpoints, and the log behind the older one |
//! | change the map: values that are on disk now leave memory, or the other way round | the same |
//! | retire the log before the position, remove what was older | the new checkpoint and the log behind it |
//!
//! What is older is removed only here, behind a checkpoint that was written and made durable in this life of the
//! process. A checkpoint that was found at open may have its name in the memory of the operating system alone:
//! after a sync of a directory that failed, common kernels count its names as clean, and no later sync helps.
//! So too the map is changed before anything is removed: no later checkpoint refers to a file that has gone.
//!
//! Values are not written again with each checkpoint. A file of values goes when nothing in it is live; the values
//! of one that is less than half live are moved into the next one, and those of many small ones too.
//!
//! Promises: a failed checkpoint harms nothing, and the next one is written from scratch into a new file: a
//! sync that failed is not tried again. Called by the store, one step at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use adapter_api::environment::{Cause, Directory, is_full};
use adapter_api::versioned_map::{Stored, View};
use adapter_api::{BatchBuilder, EngineError, Result, VersionedMap};
use wal::{Log, Lsn};

use crate::files::{self, checkpoint_name};
use crate::values::{HEAD_BYTES, Usage, ValuesFile};
use crate::writer::{Layout, Move, Moved, Place, WriteError, Writer};

/// How many entries one step moves.
const MOVES_PER_STEP: usize = 1024;
/// Files of values with less than this, or a 64th of all, are small.
const SMALL_BYTES: u64 = 1 << 30;
/// So many small files of values are written again as one.
const SMALL_FILES_MAX: usize = 8;
/// How many bytes of files without a name views may hold; or a quarter of the values on disk, if that is more.
const UNNAMED_BYTES: u64 = 256 << 20;

/// What a checkpoint is made of.
pub(crate) struct Basis {
    pub(crate) view: View,
    /// The last record whose effect the view has.
    pub(crate) position: Lsn,
    /// The bytes of the log that the checkpoint makes needless.
    pub(crate) log_bytes: u64,
}

/// A checkpoint that is durable.
pub(crate) struct Done {
    /// The bytes of the log that it makes needless.
    pub(crate) log_bytes: u64,
    /// The length of the file.
    pub(crate) bytes: u64,
}

pub(crate) struct Checkpointer {
    directory: Arc<dyn Directory>,
    log: Arc<Log>,
    /// Values of so many bytes and more go to disk.
    disk_value_bytes: Option<u64>,
    /// The position of the newest durable checkpoint; 0 if there is none.
    newest: Lsn,
    /// The files of values that it refers to.
    values: BTreeMap<u64, Usage>,
    /// The highest number that a file of values has or had.
    highest: u64,
    /// Files whose names were removed, with their lengths: views may have them open.
    unnamed: Vec<(Weak<ValuesFile>, u64)>,
    running: Option<Running>,
}

struct Running {
    writer: Writer,
    position: Lsn,
    log_bytes: u64,
    stage: Stage,
}

/// How far a checkpoint is.
enum Stage {
    Writing,
    Written,
    /// It is durable; these entries have yet to be changed in the map.
    Moving(Vec<Move>),
}

impl Checkpointer {
    /// `newest` is the position of the checkpoint that was read at open, `values` what it refers to.
    pub(crate) fn new(
        directory: Arc<dyn Directory>,
        log: Arc<Log>,
        disk_value_bytes: Option<u64>,
        newest: Lsn,
        values: BTreeMap<u64, Usage>,
    ) -> Self {
        let (highest, unnamed, running) = (0, Vec::new(), None);
        Self { directory, log, disk_value_bytes, newest, values, highest, unnamed, running }
    }

    pub(crate) fn newest(&self) -> Lsn {
        self.newest
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// How many entries of the running checkpoint were written, and how many there are.
    pub(crate) fn progress(&self) -> (u64, u64) {
        self.running.as_ref().map_or((0, 0), |running| running.writer.progress())
    }

    /// The files of values: how many, their bytes, and how many of those are live.
    pub(crate) fn values(&self) -> (usize, u64, u64) {
        let sum = |of: fn(&Usage) -> u64| self.values.values().map(of).sum();
        (self.values.len(), sum(|usage| usage.len), sum(|usage| usage.live))
    }

    /// Begins a checkpoint.
    pub(crate) fn begin(&mut self, basis: Basis) -> Result<()> {
        // A checkpoint must not be ahead of the log: after a power cut the log would not reach it.
        self.log.sync()?;
        let used = files::values(&*self.directory)?.last().copied().unwrap_or(0);
        self.highest = self.highest.max(used) + 1;
        let layout = Layout {
            disk_value_bytes: self.disk_value_bytes,
            number: self.highest,
            moved: Moved::Files(self.files_to_move()),
        };
        let Basis { view, position, log_bytes } = basis;
        let directory = Arc::clone(&self.directory);
        let writer = Writer::new(directory, &view, position, Cause::Checkpoint, layout).map_err(failure)?;
        self.running = Some(Running { writer, position, log_bytes, stage: Stage::Writing });
        Ok(())
    }

    /// Files of which less than half is live; and the small ones, if there are many.
    fn files_to_move(&self) -> BTreeSet<u64> {
        let (_, _, live) = self.values();
        let is_poor = |usage: &Usage| usage.live * 2 < usage.len.saturating_sub(HEAD_BYTES as u64);
        let is_small = |usage: &Usage| usage.live < SMALL_BYTES.max(live / 64);
        let has_many = self.values.values().filter(|usage| is_small(usage)).count() >= SMALL_FILES_MAX;
        let goes = |usage: &Usage| is_poor(usage) || has_many && is_small(usage);
        self.values.iter().filter(|(_, usage)| goes(usage)).map(|(number, _)| *number).collect()
    }

    /// Does one bounded step of the running checkpoint; answers what came of it if that was the last.
    pub(crate) fn advance(&mut self, map: &VersionedMap) -> Result<Option<Done>> {
        let Some(running) = &mut self.running else { return Ok(None) };
        match &mut running.stage {
            Stage::Writing => {
                if running.writer.step().map_err(failure)? {
                    running.stage = Stage::Written;
                }
                Ok(None)
            }
            Stage::Written => {
                let published = running.writer.finish(&checkpoint_name(running.position));
                published.map_err(|error| failure(WriteError::File(error)))?;
                let moves = running.writer.take_moves();
                if moves.is_empty() {
                    return Ok(self.end(map));
                }
                running.stage = Stage::Moving(moves);
                Ok(None)
            }
            Stage::Moving(moves) => {
                let rest = moves.len().saturating_sub(MOVES_PER_STEP);
                move_values(map, moves.drain(rest..));
                if rest > 0 { Ok(None) } else { Ok(self.end(map)) }
            }
        }
    }

    /// The running checkpoint counts, and nothing older does any more.
    fn end(&mut self, map: &VersionedMap) -> Option<Done> {
        let Running { writer, position, log_bytes, .. } = self.running.take()?;
        let values = writer.usage(&self.values);
        let before = std::mem::replace(&mut self.values, values);
        self.newest = position;
        self.log.retire_before(position + 1);
        files::remove_others(&*self.directory, position, |number| self.values.contains_key(&number));
        let gone = before.into_iter().filter(|(number, _)| !self.values.contains_key(number));
        self.unnamed.extend(gone.map(|(_, usage)| (Arc::downgrade(&usage.file), usage.len)));
        self.unnamed.retain(|(file, _)| file.strong_count() > 0);
        if self.unnamed.iter().map(|(_, len)| len).sum::<u64>() > UNNAMED_BYTES.max(map.away_bytes() / 4) {
            map.end_views();
        }
        Some(Done { log_bytes, bytes: writer.bytes() })
    }

    /// Gives the running checkpoint up.
    pub(crate) fn abandon(&mut self) {
        self.running = None;
        // What cannot be removed now is removed before the next one begins, or at open.
        let _ = files::remove_temporary(&*self.directory);
    }
}

/// Changes where values of the map lie, for entries that are still what they were.
fn move_values(map: &VersionedMap, moves: impl Iterator<Item = Move>) {
    let mut staged = map.stage(BatchBuilder::new().as_batch());
    for Move { held, to } in moves {
        match &to {
            Place::Memory(value) => staged.replace(&held, Stored::Here(value)),
            Place::Disk(away) => staged.replace(&held, Stored::Away(away)),
        };
    }
    staged.publish();
}

/// What a checkpoint that could not be written means to whoever asked for it.
pub(crate) fn failure(error: WriteError) -> EngineError {
    match error {
        WriteError::View(error) => error,
        WriteError::File(error) if is_full(&error) => EngineError::full(format!(
            "the disk has no room for one more checkpoint of the whole state ({error}); free some"
        )),
        WriteError::File(error) => EngineError::failed_by("could not write a checkpoint", error),
    }
}
