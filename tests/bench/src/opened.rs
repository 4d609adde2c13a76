//! An engine that is open as it is in a server: with its adapter and its lanes, in a folder that is claimed for it.
//!
//! Called by the experiments on engines, and where engines stand beside other stores.

use std::path::Path;
use std::sync::Arc;

use adapter_api::environment::real::{IoCounters, RealClock};
use adapter_api::host::{DataDirectory, LoadedPlugin};
use adapter_api::{Durability, Options};
use anyhow::Result;
use enginebay::storage::Storage;

/// An engine, open.
pub struct Opened {
    /// The engine.
    pub storage: Arc<Storage>,
    /// What its environment counts.
    pub counters: Arc<IoCounters>,
    /// Locked for as long as the engine is open.
    _directory: DataDirectory,
}

impl Opened {
    /// Opens an engine in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// If the folder is somebody else's, or the engine does not open.
    pub fn open(
        plugin: &LoadedPlugin,
        folder: &Path,
        options: Options,
        durability: Durability,
    ) -> Result<Self> {
        let directory = DataDirectory::claim(folder, plugin.description())?;
        let (counters, clock) = (directory.counters(), Arc::new(RealClock::new()));
        let files = directory.directory();
        let storage = Storage::open(plugin, files, Arc::clone(&counters), clock, options, durability, 1)?;
        Ok(Self { storage: Arc::new(storage), counters, _directory: directory })
    }
}
