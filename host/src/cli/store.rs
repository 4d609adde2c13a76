//! The store of a data directory, opened without a server.
//!
//! Promises: the directory is locked as by a server, so one that a server uses is refused by name; it is opened
//! by the engine that it remembers; nothing is created where there is no store.

use std::path::Path;
use std::sync::Arc;

use adapter_api::environment::Directory;
use adapter_api::environment::real::{IoCounters, RealClock};
use adapter_api::host::DataDirectory;
use adapter_api::{Capabilities, Description, Durability, KeyRange, Options};

use super::failure::Failure;
use super::transfer_arguments::{StoreArguments, WriterArguments};
use crate::config::{self, GivenOption, Origin, Settings};
use crate::storage::Storage;
use crate::storage::registry::{Plugin, Registry, is_engine_name};

/// An open store. Nobody else uses its directory.
pub struct Store {
    /// The open engine.
    pub storage: Storage,
    /// Locked for as long as this value lives.
    pub directory: DataDirectory,
}

impl Store {
    /// Opens the store that the arguments name. Blocks as long as recovery takes.
    ///
    /// # Errors
    /// Why it cannot be opened, naming the directory.
    pub fn open(arguments: &StoreArguments) -> Result<Self, Failure> {
        let StoreArguments { dir, writer: WriterArguments { engine, options, place } } = arguments;
        let settings = place.load()?.settings;
        let remembered = DataDirectory::engine_of(dir)?;
        let plugin = registry(&settings, dir)?.load(&engine_name(remembered, engine.as_deref())?)?;
        let about = plugin.loaded.description();
        let options = engine_options(&settings, about, options)?;
        let directory = DataDirectory::claim(dir, about)?;
        let storage = open_engine(&plugin, directory.directory(), directory.counters(), options)
            .map_err(|error| Failure::Data(format!("the data in {}: {error}", dir.display())))?;
        Ok(Self { storage, directory })
    }

    /// About how many bytes its entries have; 0 if the engine makes no estimates.
    pub fn bytes_about(&self) -> u64 {
        match self.storage.has(Capabilities::ESTIMATE) {
            true => self.storage.estimate(KeyRange::all()).map_or(0, |estimate| estimate.bytes),
            false => 0,
        }
    }

    /// Closes the engine in order, then unlocks the directory.
    ///
    /// # Errors
    /// What the engine says.
    pub fn close(self) -> Result<(), Failure> {
        close_engine(&self.storage)
    }
}

/// Opens an engine in its directory, with its writes durable when they are answered.
///
/// # Errors
/// What the engine says, with its name.
pub fn open_engine(
    plugin: &Plugin,
    directory: Arc<dyn Directory>,
    counters: Arc<IoCounters>,
    options: Options,
) -> Result<Storage, String> {
    let clock = Arc::new(RealClock::new());
    Storage::open(&plugin.loaded, directory, counters, clock, options, Durability::Always, 1)
        .map_err(|error| format!("engine {} cannot open it: {error}", plugin.loaded.description().name))
}

/// Closes an engine in order.
///
/// # Errors
/// What the engine says.
pub fn close_engine(storage: &Storage) -> Result<(), Failure> {
    let name = &storage.description().name;
    storage.close().map_err(|error| Failure::Check(format!("engine {name} did not close in order: {error}")))
}

/// The registry that the settings describe, for the store in `dir`.
///
/// # Errors
/// If the folder of the executable cannot be told.
pub fn registry(settings: &Settings, dir: &Path) -> Result<Registry, Failure> {
    Ok(Registry::new(&settings.plugins.dirs, settings.plugins.pins.clone())?.outside(dir))
}

/// The engine that was named, else the one that the directory remembers.
///
/// # Errors
/// If the directory remembers what is no name.
pub fn engine_name(remembered: String, named: Option<&str>) -> Result<String, Failure> {
    match named {
        Some(named) => Ok(named.to_string()),
        // A name, never a path: whoever made the directory must not choose what code runs.
        None if is_engine_name(&remembered) => Ok(remembered),
        None => Err(Failure::Data(format!(
            "the directory names {remembered:?} as its engine; name one with --engine"
        ))),
    }
}

/// The engine's options: those of the configuration, if they are meant for this engine, under those of the flags.
///
/// # Errors
/// The first option that the engine does not have or does not take.
pub fn engine_options(
    settings: &Settings,
    engine: &Description,
    flags: &[(String, String)],
) -> Result<Options, Failure> {
    let mut given =
        if settings.engine == engine.name { settings.storage.options.clone() } else { Vec::new() };
    for (name, value) in flags {
        given.retain(|earlier| earlier.name != *name);
        let origin = Origin::Flag("--option");
        given.push(GivenOption { name: name.clone(), value: value.clone(), origin });
    }
    Ok(config::engine_options(engine, &given)?)
}
