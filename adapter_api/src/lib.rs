//! The contract between the Enginebay host and a storage engine, stable across compilers and versions.
//!
//! An engine author depends on this crate alone, implements [`Plugin`] and [`StorageEngine`], writes
//! [`export_engine!`], and builds a `cdylib`. The host loads it at run time and gives it clients,
//! transactions, queries, group commit, a crash judge and benchmarks. A whole engine:
//!
//! ```
//! #![forbid(unsafe_code)]
//! use adapter_api::*;
//!
//! struct Tiny {
//!     map: VersionedMap,
//! }
//!
//! impl Plugin for Tiny {
//!     fn describe() -> Description {
//!         let mut about = Description::new("tiny", "0.1.0", "an ordered map in memory");
//!         about.capabilities = Capabilities::READ_VIEW;
//!         about
//!     }
//!     fn open(_: OpenRequest) -> Result<Self> {
//!         Ok(Tiny { map: VersionedMap::new() })
//!     }
//! }
//!
//! impl StorageEngine for Tiny {
//!     fn apply(&self, batch: Batch<'_>) -> Result<()> {
//!         self.map.stage(batch).publish();
//!         Ok(())
//!     }
//!     fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
//!         Ok(self.map.get(key, value))
//!     }
//!     fn read_view(&self) -> Result<Box<dyn ReadView + '_>> {
//!         Ok(Box::new(self.map.view()))
//!     }
//! }
//!
//! export_engine!(Tiny);
//! # let engine = Tiny { map: VersionedMap::new() };
//! # let mut batch = BatchBuilder::new();
//! # batch.put(b"key", b"value").unwrap();
//! # engine.apply(batch.as_batch()).unwrap();
//! # let mut value = Buffer::new();
//! # assert!(engine.get(b"key", &mut value).unwrap() && &value[..] == b"value");
//! ```
//!
//! # Who calls whom, who owns what
//!
//! ```text
//! host: StorageAdapter ── apply, get, read_view, … ──▶ export glue ──▶ your StorageEngine
//!       Environment    ◀── files, clock, lanes ─────── your StorageEngine
//! ```
//!
//! The host owns the engine; views borrow from the engine and cursors from their view, and the glue keeps
//! whatever is still in use alive. Values are appended to buffers of the caller. Keys, values and entries
//! that are lent end with the call, or with the next call to the cursor that lent them. Every call is
//! guarded: a panic becomes [`EngineError::Failed`], drops included.
//!
//! With the feature `host` the crate also has the other side: the loader, the [`host::StorageAdapter`], the
//! real environment and one that injects faults.

mod abi;
pub mod batch;
pub mod buffer;
pub mod describe;
pub mod engine;
pub mod environment;
pub mod error;
mod export;
#[cfg(feature = "host")]
pub mod host;
pub mod options;
pub mod range;
pub mod versioned_map;

pub use batch::{Batch, BatchBuilder, KEY_BYTES_MAX, Mutation, VALUE_BYTES_MAX};
pub use buffer::{Buffer, Values};
pub use describe::{
    Capabilities, Description, Estimate, Guarantee, Guarantees, LaneSpec, Metric, MetricKind, Pressure,
    Promise,
};
pub use engine::{
    Cursor, Durability, Entry, OpenRequest, Plugin, ReadView, Resident, Step, StorageEngine, Visit, Watch,
};
pub use environment::{Environment, Lane};
pub use error::{EngineError, Result};
pub use options::{OptionKind, OptionSpec, Options};
pub use range::{Direction, KeyRange};
pub use versioned_map::VersionedMap;

#[doc(hidden)]
pub use export::__export;
