//! The host's side of the contract: the loader and the `StorageAdapter`.

mod adapter;
mod loader;

pub use adapter::{StorageAdapter, View, ViewCursor};
pub use loader::{LoadError, LoadedPlugin};
