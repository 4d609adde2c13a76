//! How a document reaches the disk: the three modes, and what each of them leaves out.
//!
//! | step | `atomic` | `atomic-as-written` | `naive` |
//! |---|---|---|---|
//! | write | a temporary file | a temporary file | over the document itself |
//! | sync the file | yes | yes | no |
//! | rename it to the document | yes | yes | – |
//! | sync the directory | yes | no | – |
//!
//! Promises: `Full` means that the document and its name are as before and no temporary file is left. Any
//! other failed write or sync is final: nothing is tried again, and every later save answers `Failed`.
//! Called by the engine, one save at a time.

use std::io;
use std::sync::Arc;

use adapter_api::environment::{Cause, Directory, File, OpenFile, is_full};
use adapter_api::versioned_map::View;
use adapter_api::{EngineError, Options, Result, Watch};

use crate::document::{self, NAME, WriteError};

/// The name of the document while it is being written.
const TEMPORARY: &str = "snapshot.json.tmp";

/// How documents are saved: the option `mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Atomic,
    AtomicAsWritten,
    Naive,
}

impl Mode {
    /// The words of the option, the default first.
    pub(crate) const WORDS: [&'static str; 3] = ["atomic", "atomic-as-written", "naive"];

    pub(crate) fn of(options: &Options) -> Self {
        match options.text("mode") {
            "naive" => Self::Naive,
            "atomic-as-written" => Self::AtomicAsWritten,
            _ => Self::Atomic,
        }
    }
}

/// Saves documents into a directory.
pub(crate) struct Saver {
    directory: Arc<dyn Directory>,
    mode: Mode,
    has_failed: bool,
}

impl Saver {
    pub(crate) fn new(directory: Arc<dyn Directory>, mode: Mode) -> Self {
        Self { directory, mode, has_failed: false }
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// The document as it is on disk, or `None` if none was ever saved.
    pub(crate) fn open_document(&self) -> Result<Option<Arc<dyn File>>> {
        match self.directory.open_file(NAME, OpenFile::READ) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(EngineError::failed_by(format!("could not open {NAME}"), error)),
        }
    }

    /// Removes what an interrupted save left behind.
    pub(crate) fn remove_leftovers(&self) -> Result<()> {
        let remove = || {
            if self.directory.list()?.iter().any(|entry| entry.name == TEMPORARY) {
                self.directory.remove(TEMPORARY)?;
                log::info!("removed {TEMPORARY}, an incomplete document that was never acknowledged");
            }
            Ok(())
        };
        remove().map_err(|error: io::Error| {
            EngineError::failed_by(format!("could not remove {TEMPORARY}"), error)
        })
    }

    /// Saves what was read from the document, as the mode saves it: after a kill, or after a sync that failed,
    /// its bytes or its name may be in the memory of the operating system alone, and a sync by itself may find
    /// nothing left to do. Without room for a second document it has to do with a sync.
    pub(crate) fn save_again(&mut self, view: &View) -> Result<()> {
        match self.mode {
            Mode::Naive => Ok(()),
            Mode::Atomic | Mode::AtomicAsWritten => match self.save(view) {
                Err(EngineError::Full { message }) => {
                    log::warn!("{NAME} was synced but not written again at the start: {message}");
                    self.sync_document()
                }
                saved => saved.map(drop),
            },
        }
    }

    fn sync_document(&self) -> Result<()> {
        let sync = || {
            self.directory.open_file(NAME, OpenFile::READ)?.sync_data()?;
            if self.mode == Mode::Atomic { self.directory.sync() } else { Ok(()) }
        };
        sync().map_err(|error: io::Error| EngineError::failed_by(format!("could not sync {NAME}"), error))
    }

    /// Saves the document of the view, as durably as the mode has it; returns its length in bytes.
    ///
    /// # Errors
    /// `Full`: nothing changed. `Failed`: the outcome is unknown, and so it is for all later saves.
    pub(crate) fn save(&mut self, view: &View) -> Result<u64> {
        if self.has_failed {
            return Err(EngineError::failed("an earlier save failed; restart to go on from what is on disk"));
        }
        let outcome = match self.mode {
            Mode::Naive => self.rewrite_in_place(view),
            Mode::Atomic | Mode::AtomicAsWritten => self.replace(view),
        };
        self.has_failed = outcome.as_ref().is_err_and(|error| !error.changed_nothing());
        outcome
    }

    fn replace(&self, view: &View) -> Result<u64> {
        match self.write_and_rename(view) {
            Ok(bytes) => {
                if self.mode == Mode::Atomic {
                    let sync = self.directory.sync();
                    sync.map_err(|error| EngineError::failed_by("could not sync the directory", error))?;
                }
                Ok(bytes)
            }
            Err(WriteError::File(error)) if is_full(&error) => {
                self.remove_leftovers()?;
                Err(full(&error))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// Everything up to the instant at which the new document takes the place of the old one.
    fn write_and_rename(&self, view: &View) -> Result<u64, WriteError> {
        let file = self.directory.open_file(TEMPORARY, OpenFile::CREATE_NEW)?;
        let bytes = document::write(view, &*file, Cause::Checkpoint, None)?;
        file.sync_data()?;
        self.directory.rename(TEMPORARY, NAME)?;
        Ok(bytes)
    }

    /// Without space half of the document may be overwritten: so even that is a failure here.
    fn rewrite_in_place(&self, view: &View) -> Result<u64> {
        let rewrite = || {
            let file = match self.directory.open_file(NAME, OpenFile::WRITE) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.directory.open_file(NAME, OpenFile::CREATE_NEW)?
                }
                opened => opened?,
            };
            let bytes = document::write(view, &*file, Cause::Checkpoint, None)?;
            file.set_len(bytes)?;
            Ok(bytes)
        };
        rewrite().map_err(failed)
    }
}

/// Writes a durable copy of the view into an empty directory.
pub(crate) fn backup(view: &View, target: &dyn Directory, watch: &dyn Watch) -> Result<()> {
    let names = target.list().map_err(|error| EngineError::failed_by("could not list the target", error))?;
    if !names.is_empty() {
        return Err(EngineError::rejected("a backup needs an empty directory"));
    }
    let copy = || {
        let file = target.open_file(NAME, OpenFile::CREATE_NEW)?;
        document::write(view, &*file, Cause::Backup, Some(watch))?;
        file.sync_all()?;
        Ok(target.sync()?)
    };
    copy().map_err(|error| {
        // What is there is not a backup. If it cannot be removed either, `open` refuses it.
        let _ = target.remove(NAME);
        match error {
            WriteError::View(error) => error,
            WriteError::File(error) if is_full(&error) => full(&error),
            WriteError::File(error) => EngineError::failed_by("could not write the backup", error),
        }
    })
}

fn full(error: &io::Error) -> EngineError {
    EngineError::full(format!(
        "the disk has no room for one more document of the whole state ({error}); free some"
    ))
}

fn failed(error: WriteError) -> EngineError {
    match error {
        WriteError::View(error) => {
            EngineError::failed_by(format!("could not read what to save in {NAME}"), error)
        }
        WriteError::File(error) => EngineError::failed_by(format!("could not save {NAME}"), error),
    }
}
