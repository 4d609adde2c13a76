//! What the fuzz targets share: a directory in memory, damage that passes checksums, a server without sockets.
//!
//! Promises: the same input gives the same files. The targets call it.

pub mod damage;
pub mod dispatch;
pub mod memory;
pub mod replies;

pub use damage::damage;
pub use memory::{HandClock, MemoryDirectory, environment};
