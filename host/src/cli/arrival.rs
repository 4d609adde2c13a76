//! A store that is filled beside what is in use, and compared with its source before it is taken into use.
//!
//! Promises: what is taken into use was closed, opened again and read again, and has the totals of its source.
//! Called by `load`, `migrate` and `restore`.

use adapter_api::host::Incoming;
use adapter_api::{Capabilities, Cursor, Description, Options};

use super::failure::Failure;
use super::store::{close_engine, open_engine};
use super::task::Task;
use crate::storage::registry::Plugin;
use crate::storage::{FillError, Storage};
use crate::transfer::{Observed, Totals, totals_of};

/// Where a store comes into being: a directory that is not in use yet, and the engine that is to have it.
pub struct Arrival<'a> {
    /// The directory.
    pub incoming: &'a Incoming,
    /// The engine.
    pub plugin: &'a Plugin,
    /// Its options, complete.
    pub options: &'a Options,
}

impl Arrival<'_> {
    /// Opens the engine there.
    ///
    /// # Errors
    /// What the engine says.
    pub fn open(&self) -> Result<Storage, Failure> {
        let Self { incoming, plugin, options } = self;
        open_engine(plugin, incoming.directory(), incoming.counters(), (*options).clone())
            .map_err(Failure::Check)
    }

    /// What a later open will find: the engine closed and opened again. One that is not durable stays open.
    ///
    /// # Errors
    /// What the engine says.
    pub fn reopen(&self, storage: Storage) -> Result<Storage, Failure> {
        if !storage.has(Capabilities::DURABLE) {
            return Ok(storage);
        }
        close_engine(&storage)?;
        drop(storage);
        self.open()
    }

    /// Fills the store with all entries, of about `bytes_about` bytes, and checks what is there then.
    ///
    /// # Errors
    /// What the entries' source or the engine says, or that the engine lost or changed something. The directory
    /// is to be discarded then.
    pub fn fill(
        &self,
        entries: &mut dyn Cursor,
        bytes_about: u64,
        task: &mut Task,
    ) -> Result<Totals, Failure> {
        task.step("storing");
        let storage = self.open()?;
        let mut observed = Observed::new(entries, bytes_about, task);
        storage.fill(&mut observed).map_err(|error| of_fill(&storage, error))?;
        let given = observed.totals();
        let storage = self.reopen(storage)?;
        task.step("comparing");
        let found = read(&storage, given.bytes, task)?;
        close_engine(&storage)?;
        match found == given {
            true => Ok(given),
            false => {
                let name = &storage.description().name;
                Err(Failure::Check(format!("engine {name} was given {given}, and has {found}")))
            }
        }
    }
}

/// Takes the directory into use if all went well, and discards it otherwise.
///
/// # Errors
/// The failure that `outcome` has, or the signal that ended the work.
pub fn take_over(
    outcome: Result<Totals, Failure>,
    incoming: Incoming,
    engine: &Description,
    task: &Task,
) -> Result<Totals, Failure> {
    task.end_step();
    match outcome {
        Ok(totals) => {
            incoming.take_over(engine)?;
            Ok(totals)
        }
        Err(failure) => {
            let path = incoming.path();
            if let Err(error) = incoming.discard() {
                log::warn!("{} is not in use and could not be removed: {error}", path.display());
            }
            Err(task.interruption().or(failure))
        }
    }
}

/// Reads everything that a store has, of about `bytes_about` bytes.
///
/// # Errors
/// What the engine says.
pub fn read(storage: &Storage, bytes_about: u64, task: &Task) -> Result<Totals, Failure> {
    let totals = storage.entries().and_then(|mut entries| totals_of(&mut entries, bytes_about, task));
    let name = &storage.description().name;
    totals.map_err(|error| Failure::Check(format!("engine {name} cannot read what it stored: {error}")))
}

/// Who is at fault when a store could not be filled.
pub fn of_fill(storage: &Storage, error: FillError) -> Failure {
    match error {
        FillError::Source(error) => Failure::Data(error.to_string()),
        FillError::Target(error) => Failure::Check(format!("engine {}: {error}", storage.description().name)),
    }
}
