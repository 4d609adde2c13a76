//! What the fuzz targets share: a directory in memory, and damage that passes checksums.
//!
//! Promises: the same input gives the same files. The targets call it.

pub mod damage;
pub mod memory;

pub use damage::damage;
pub use memory::{HandClock, MemoryDirectory, environment};
