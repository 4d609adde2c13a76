//! `restore`: a backup into a new data directory.
//!
//! Promises: the directory has data when every file of the backup is there as it was written and the engine has
//! opened and read it, and none before; the backup is only read.

use adapter_api::host::Incoming;
use adapter_api::{Capabilities, Options};

use super::arrival::{self, Arrival};
use super::failure::Failure;
use super::output;
use super::store::{close_engine, engine_name, engine_options, registry};
use super::task::Task;
use super::transfer_arguments::{RestoreArguments, WriterArguments};
use crate::storage::registry::Plugin;
use crate::storage::{Backup, BackupError};
use crate::transfer::Totals;

/// Checks a backup and copies it into a directory without data.
pub fn restore(arguments: &RestoreArguments) -> Result<(), Failure> {
    let RestoreArguments { from, dir, writer: WriterArguments { engine, options, place }, json } = arguments;
    let settings = place.load()?.settings;
    let backup = Backup::read(from).map_err(|error| Failure::Data(format!("this is no backup: {error}")))?;
    let name = engine_name(backup.engine.clone(), engine.as_deref())?;
    let plugin = registry(&settings, dir)?.load(&name)?;
    refuse_other(&backup, &plugin)?;
    let options = engine_options(&settings, plugin.loaded.description(), options)?;
    let mut task = Task::begin(*json)?;
    let incoming = Incoming::into_vacant(dir)?;
    let outcome = copy(&backup, arguments, &incoming, &plugin, &options, &mut task);
    let totals = arrival::take_over(outcome, incoming, plugin.loaded.description(), &task)?;
    let text = match json {
        true => task.as_json(&totals).to_string(),
        false => format!("{} are in {}", task.as_text(&totals), output::one_line(&dir.display().to_string())),
    };
    Ok(output::answer(&format!("{text}\n"))?)
}

/// Refuses an engine that did not write the backup, or is too old for it.
fn refuse_other(backup: &Backup, plugin: &Plugin) -> Result<(), Failure> {
    let (engine, Backup { engine: wrote, format, .. }) = (plugin.loaded.description(), backup);
    match engine.name == *wrote && engine.format >= *format {
        true => Ok(()),
        false => Err(Failure::Data(format!(
            "engine {wrote} wrote the backup in format {format}; {} knows format {} of its own; use the plugin that \
             wrote it",
            engine.name, engine.format
        ))),
    }
}

fn copy(
    backup: &Backup,
    arguments: &RestoreArguments,
    incoming: &Incoming,
    plugin: &Plugin,
    options: &Options,
    task: &mut Task,
) -> Result<Totals, Failure> {
    task.step("copying");
    backup.copy_into(&arguments.from, &incoming.path(), task).map_err(|error| match error {
        BackupError::Damaged { .. } => Failure::Data(error.to_string()),
        error => Failure::Check(format!("the backup could not be copied: {error}")),
    })?;
    let refused = |error: String| Failure::Data(format!("the backup cannot be used: {error}"));
    let storage = Arrival { incoming, plugin, options }.open().map_err(|error| refused(error.to_string()))?;
    if storage.has(Capabilities::VERIFY) {
        task.step_of_engine("checking files");
        storage.verify(task).map_err(|error| refused(error.to_string()))?;
    }
    task.step("reading entries");
    let totals = arrival::read(&storage, backup.bytes(), task)?;
    close_engine(&storage)?;
    match task.findings().count() {
        0 => Ok(totals),
        count => Err(Failure::Data(format!("the backup is damaged in {count} places"))),
    }
}
