//! `migrate`: the data of a directory, moved to another engine.
//!
//! ```text
//! copy into data-N ─▶ close, open, compare ─▶ replace the marker ─▶ the new engine's data is in use
//!                                              one instant          the old data stays until --discard-old
//! ```
//!
//! Promises: killed at any moment the directory has exactly one store in use, whole: the old one before that instant,
//! the new one from it on. A copy that was cut off is removed and made again by the next `migrate`: it is read
//! once more anyhow, to be compared.

use std::path::Path;

use adapter_api::host::{DataDirectory, Incoming};
use adapter_api::{Capabilities, Description, Options};
use serde_json::json;

use super::arrival::{self, Arrival};
use super::failure::Failure;
use super::output;
use super::store::{Store, close_engine, engine_options, registry};
use super::task::Task;
use super::transfer_arguments::{MigrateArguments, StoreArguments, WriterArguments};
use crate::storage::registry::Plugin;
use crate::transfer::Totals;

/// Moves the data to another engine, or removes what was kept of an earlier move.
pub fn migrate(arguments: &MigrateArguments) -> Result<(), Failure> {
    match &arguments.to {
        Some(to) => move_to(arguments, to),
        None => discard_old(arguments),
    }
}

fn move_to(arguments: &MigrateArguments, to: &str) -> Result<(), Failure> {
    let MigrateArguments { dir, options, place, json, .. } = arguments;
    let settings = place.load()?.settings;
    let remembered = DataDirectory::engine_of(dir)?;
    let plugin = registry(&settings, dir)?.load(to)?;
    let engine = plugin.loaded.description();
    refuse_pointless(arguments, engine, &remembered)?;
    let options = engine_options(&settings, engine, options)?;
    let mut task = Task::begin(*json)?;
    let source = Store::open(&source_arguments(arguments))?;
    let incoming = Incoming::beside(&source.directory)?;
    let kept = source.directory.data_path();
    // The old engine is closed before the new one's data is in use; the directory stays locked until then.
    let outcome = copy(&source, &incoming, &plugin, &options, &mut task).and_then(|totals| {
        close_engine(&source.storage)?;
        Ok(totals)
    });
    let totals = arrival::take_over(outcome, incoming, engine, &task)?;
    report(&task, &totals, arguments, &engine.name, &kept)
}

/// Refuses what would change nothing, and what would lose everything unless that is wanted.
fn refuse_pointless(
    arguments: &MigrateArguments,
    engine: &Description,
    remembered: &str,
) -> Result<(), Failure> {
    let (dir, name) = (arguments.dir.display(), &engine.name);
    if name == remembered {
        let message = format!("the data in {dir} is engine {name}'s already; there is nothing to move");
        return Err(Failure::Usage(message));
    }
    if !engine.capabilities.has(Capabilities::DURABLE) && !arguments.allow_not_durable {
        return Err(Failure::Usage(format!(
            "engine {name} keeps nothing when it is closed, so the data would be gone; choose another one, or add \
             --allow-not-durable to keep an empty store"
        )));
    }
    Ok(())
}

fn copy(
    source: &Store,
    incoming: &Incoming,
    plugin: &Plugin,
    options: &Options,
    task: &mut Task,
) -> Result<Totals, Failure> {
    let name = &source.storage.description().name;
    let mut entries =
        source.storage.entries().map_err(|error| Failure::Data(format!("engine {name}: {error}")))?;
    Arrival { incoming, plugin, options }.fill(&mut entries, source.bytes_about(), task)
}

fn discard_old(arguments: &MigrateArguments) -> Result<(), Failure> {
    let MigrateArguments { dir, json, .. } = arguments;
    let removed = DataDirectory::remove_unused(dir)?;
    let paths: Vec<_> = removed.iter().map(|path| path.display().to_string()).collect();
    let text = match (json, paths.is_empty()) {
        (true, _) => json!({"removed": paths}).to_string(),
        (false, true) => "there was no old data".to_string(),
        (false, false) => format!("removed {}", output::one_line(&paths.join(", "))),
    };
    Ok(output::answer(&format!("{text}\n"))?)
}

/// The store that is moved. Its engine's options are those of the configuration.
fn source_arguments(arguments: &MigrateArguments) -> StoreArguments {
    let MigrateArguments { dir, engine, place, .. } = arguments;
    let writer = WriterArguments { engine: engine.clone(), options: Vec::new(), place: place.clone() };
    StoreArguments { dir: dir.clone(), writer }
}

fn report(
    task: &Task,
    totals: &Totals,
    arguments: &MigrateArguments,
    engine: &str,
    kept: &Path,
) -> Result<(), Failure> {
    let MigrateArguments { dir, json, .. } = arguments;
    let text = match json {
        true => {
            let mut answer = task.as_json(totals);
            answer["engine"] = engine.into();
            answer["kept"] = kept.display().to_string().into();
            answer.to_string()
        }
        false => output::one_line(&format!(
            "{} are engine {engine}'s now; the old data is kept in {} until: enginebay migrate {} --discard-old",
            task.as_text(totals),
            kept.display(),
            dir.display()
        )),
    };
    Ok(output::answer(&format!("{text}\n"))?)
}
