//! The simulated environment: files on a disk that forgets, a clock that jumps, lanes stepped by hand.
//!
//! Promises: what the table in `adapter_api::environment` says is durable, and not a byte more; nothing is left
//! to chance, so the same calls give the same answers, times and bytes. A disk that records keeps a line for
//! each call, a digest of all of them, and a moment for each call after which a crash may leave something
//! new. `life` drives it.

mod clock;
mod disk;
mod file;
mod lanes;
mod lie;

pub use clock::SimulatedClock;
pub use disk::{Contents, Disk, Moment, Recording};
pub use lanes::SimulatedLanes;
pub use lie::Lie;
