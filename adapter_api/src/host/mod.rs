//! The host's side of the contract: the loader, the `StorageAdapter`, the data directory.
//!
//! Promises: a file that is not a plugin for this host is refused with one line and never with a signal; a
//! loaded engine is called by the adapter alone; a data directory belongs to one process and one engine.

mod adapter;
mod cut_check;
mod data_directory;
mod incoming;
mod loader;
mod log_sink;
mod marker;

pub use adapter::{StorageAdapter, View, ViewCursor};
pub use data_directory::{ClaimError, DataDirectory};
pub use incoming::Incoming;
pub use loader::{LoadError, LoadedPlugin};
pub use marker::{Marker, MarkerError};
