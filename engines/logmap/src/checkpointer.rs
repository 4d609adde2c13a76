//! Writes checkpoints, one bounded step at a time.
//!
//! | step | what is on disk if it ends here |
//! |---|---|
//! | make the log durable up to the position | the older checkpoint and the log behind it |
//! | write the temporary file, at most 1 MiB at once; sync it | the same, and a file that counts for nothing |
//! | rename it, sync the directory | both checkpoints, and the log behind the older one |
//! | retire the log before the position, remove the older checkpoint | the new checkpoint and the log behind it |
//!
//! Promises: a failed checkpoint harms nothing, and the next one is written from scratch into a new file: a
//! sync that failed is not tried again. Called by the store, one step at a time.

use std::io::ErrorKind;
use std::sync::Arc;

use adapter_api::environment::{Cause, Directory, OpenFile};
use adapter_api::versioned_map::View;
use adapter_api::{EngineError, Result};
use wal::{Log, Lsn};

use crate::checkpoint::{WriteError, Writer};
use crate::files::{self, TEMPORARY, checkpoint_name};

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
    pub(crate) position: Lsn,
    pub(crate) log_bytes: u64,
    /// The length of the file.
    pub(crate) bytes: u64,
}

pub(crate) struct Checkpointer {
    directory: Arc<dyn Directory>,
    log: Arc<Log>,
    /// The position of the newest durable checkpoint; 0 if there is none.
    newest: Lsn,
    running: Option<Running>,
}

struct Running {
    writer: Writer,
    position: Lsn,
    log_bytes: u64,
    is_written: bool,
}

impl Checkpointer {
    pub(crate) fn new(directory: Arc<dyn Directory>, log: Arc<Log>, newest: Lsn) -> Self {
        Self { directory, log, newest, running: None }
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

    /// Begins a checkpoint.
    pub(crate) fn begin(&mut self, basis: Basis) -> Result<()> {
        // A checkpoint must not be ahead of the log: after a power cut the log would not reach it.
        self.log.sync()?;
        let create = || {
            files::remove_temporary(&*self.directory)?;
            self.directory.open_file(TEMPORARY, OpenFile::CREATE_NEW)
        };
        let file = create().map_err(|error| failure(WriteError::File(error)))?;
        let writer = Writer::new(file, &basis.view, basis.position, Cause::Checkpoint)?;
        let Basis { position, log_bytes, .. } = basis;
        self.running = Some(Running { writer, position, log_bytes, is_written: false });
        Ok(())
    }

    /// Does one bounded step of the running checkpoint; answers what came of it if that was the last.
    pub(crate) fn advance(&mut self) -> Result<Option<Done>> {
        let Some(running) = &mut self.running else { return Ok(None) };
        if !running.is_written {
            running.is_written = running.writer.step().map_err(failure)?;
            return Ok(None);
        }
        let name = checkpoint_name(running.position);
        let publish = || {
            running.writer.sync()?;
            self.directory.rename(TEMPORARY, &name)?;
            self.directory.sync()
        };
        publish().map_err(|error| failure(WriteError::File(error)))?;
        let done =
            Done { position: running.position, log_bytes: running.log_bytes, bytes: running.writer.bytes() };
        self.running = None;
        self.newest = done.position;
        self.log.retire_before(done.position + 1);
        files::remove_older(&*self.directory, done.position);
        Ok(Some(done))
    }

    /// Gives the running checkpoint up.
    pub(crate) fn abandon(&mut self) {
        self.running = None;
        // What cannot be removed now is removed before the next one begins, or at open.
        let _ = files::remove_temporary(&*self.directory);
    }
}

/// What a checkpoint that could not be written means to whoever asked for it.
pub(crate) fn failure(error: WriteError) -> EngineError {
    match error {
        WriteError::View(error) => error,
        WriteError::File(error) if error.kind() == ErrorKind::StorageFull => EngineError::full(format!(
            "the disk has no room for one more checkpoint of the whole state ({error}); free some"
        )),
        WriteError::File(error) => EngineError::failed_by("could not write a checkpoint", error),
    }
}
