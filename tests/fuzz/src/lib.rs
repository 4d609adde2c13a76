//! What the fuzz targets share: a directory in memory, damage that passes checksums, bytes that arrive slowly, a
//! server without sockets.
//!
//! Promises: the same input gives the same files. The targets call it.

pub mod damage;
pub mod dispatch;
pub mod memory;
pub mod replies;
pub mod trickle;

pub use damage::damage;
pub use memory::{HandClock, MemoryDirectory, environment};
pub use trickle::Trickle;
