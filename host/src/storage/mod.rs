//! The loaded engine, and the only place in the host that touches one.
//!
//! Promises: a `Storage` is open until `close`; `apply` is called by one thread at a time (the sequencer sees
//! to it); reads may come from any thread. Above it nobody knows plugins, below it nobody knows clients.

pub mod keyspace;
mod lanes;
mod reader_pool;
pub mod registry;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use adapter_api::environment::{Clock, Directory};
use adapter_api::host::LoadedPlugin;
use adapter_api::{Description, Durability, EngineError, Guarantees, Options, StorageEngine};

pub use reader_pool::{Job, READER_THREADS_DEFAULT, ReaderPool};

/// An open engine with what is known of it, its background lanes and its reader threads.
pub struct Storage {
    engine: Arc<dyn StorageEngine>,
    description: Description,
    guarantees: Guarantees,
    options: Options,
    durability: Durability,
    engine_path: PathBuf,
    readers: Arc<ReaderPool>,
}

impl Storage {
    /// Opens the engine of `plugin` in `directory`, which the caller has claimed for it. Blocks as long as
    /// recovery takes.
    ///
    /// # Errors
    /// What the engine says; `Failed` too if a thread cannot be started.
    pub fn open(
        plugin: &LoadedPlugin,
        directory: Arc<dyn Directory>,
        clock: Arc<dyn Clock>,
        options: Options,
        durability: Durability,
        reader_threads: usize,
    ) -> Result<Self, EngineError> {
        let _ = (plugin, directory, clock, options, durability, reader_threads);
        Err(EngineError::unsupported("open"))
    }

    /// What the engine says of itself.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The engine's promises under the options and the durability in use.
    pub fn guarantees(&self) -> &Guarantees {
        &self.guarantees
    }

    /// The engine's options in use.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// When a write is answered.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// The file that the engine was loaded from; empty for one that is linked in.
    pub fn engine_path(&self) -> &Path {
        &self.engine_path
    }

    /// The threads on which reads may wait.
    pub fn readers(&self) -> &Arc<ReaderPool> {
        &self.readers
    }

    /// Stops the reader threads and the lanes, then ends the engine in order. The sequencer is shut down
    /// before.
    ///
    /// # Errors
    /// What the engine says. It is closed all the same.
    pub fn close(&self) -> Result<(), EngineError> {
        self.readers.stop();
        self.engine.close()
    }
}
