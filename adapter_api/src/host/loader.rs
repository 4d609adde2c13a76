//! loader placeholder: the signatures stand, the bodies come.

use std::path::{Path, PathBuf};

use crate::host::StorageAdapter;
use crate::{Description, Durability, Guarantees, OpenRequest, Options, Plugin, Result};

/// A plugin whose code is in memory for the life of the process; opens engines.
#[derive(Debug, Clone)]
pub struct LoadedPlugin {
    path: PathBuf,
}

/// Why a file is not a plugin for this host. `Display` is one line: what, which file, what to do.
#[derive(Debug)]
#[non_exhaustive]
pub struct LoadError;

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("placeholder")
    }
}

impl std::error::Error for LoadError {}

impl LoadedPlugin {
    /// Loads a shared library and checks that it speaks this contract.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let _ = path;
        Err(LoadError)
    }

    /// The engine `E`, linked into this very program, behind the same border as a loaded one.
    pub fn in_process<E: Plugin>() -> Self {
        Self { path: PathBuf::new() }
    }

    /// The file it was loaded from; empty for one that is linked in.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the engine says of itself.
    pub fn describe(&self) -> Result<Description> {
        Err(crate::EngineError::failed("placeholder"))
    }

    /// The engine's table of promises.
    pub fn guarantees(&self, _options: &Options, _durability: Durability) -> Result<Guarantees> {
        Err(crate::EngineError::failed("placeholder"))
    }

    /// Opens the engine.
    pub fn open(&self, _request: OpenRequest) -> Result<StorageAdapter> {
        Err(crate::EngineError::failed("placeholder"))
    }
}
