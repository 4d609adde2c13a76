//! Journal: a map in memory, and on disk a log of every batch. The smallest engine that keeps every promise.
//!
//! A batch is staged where nobody sees it, appended to the log, made durable, and then published. `open` does the
//! log again, and begins a new one with what came of it, so the log is as long as the map and what was written since
//! the last start.

#![forbid(unsafe_code)]

mod log;

use std::sync::{Mutex, MutexGuard, PoisonError};

use adapter_api::*;

use crate::log::Log;

/// The engine.
pub struct Journal {
    map: VersionedMap,
    log: Mutex<Log>,
}

impl Journal {
    /// The log's own state is changed behind its last fallible call, so a poisoned lock is taken as it is.
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plugin for Journal {
    fn describe() -> Description {
        let summary = "a map in memory and a log of every batch";
        let mut about = Description::new("journal", env!("CARGO_PKG_VERSION"), summary);
        about.capabilities = Capabilities::READ_VIEW
            | Capabilities::RESIDENT
            | Capabilities::ESTIMATE
            | Capabilities::EXACT_COUNT
            | Capabilities::DURABLE;
        about
    }

    fn open(request: OpenRequest) -> Result<Self> {
        let map = VersionedMap::new();
        let log = Log::open(request.environment.directory, &map)?;
        Ok(Self { map, log: Mutex::new(log) })
    }

    fn guarantees(_: &Options, _: Durability) -> Guarantees {
        Guarantees::new()
            .kept(Promise::Semantics, "an ordered map with versions")
            .kept(Promise::Restart, "the log has every batch")
            .kept(
                Promise::CrashSafety,
                "a batch is synced before OK, and so is the log's name before the first one",
            )
            .kept(Promise::Atomicity, "a batch is one record with a checksum")
            .kept(Promise::WriteOrdering, "records are read up to the first that is not whole")
            .kept(Promise::Concurrency, "readers never wait for the writer")
            .kept(Promise::Transactions, "a batch becomes visible at one instant, a view is a point in time")
    }
}

impl StorageEngine for Journal {
    fn apply(&self, batch: Batch<'_>) -> Result<()> {
        let staged = self.map.stage(batch);
        let mut log = self.log();
        log.append(batch)?;
        log.make_durable()?;
        drop(log);
        staged.publish();
        Ok(())
    }

    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        Ok(self.map.get(key, value))
    }

    fn get_resident(&self, key: &[u8], value: &mut Buffer) -> Result<Resident> {
        Ok(if self.map.get(key, value) { Resident::Hit } else { Resident::Absent })
    }

    fn read_view(&self) -> Result<Box<dyn ReadView + '_>> {
        Ok(Box::new(self.map.view()))
    }

    fn estimate(&self, range: KeyRange<'_>) -> Result<Estimate> {
        Ok(self.map.estimate(range))
    }

    fn metrics(&self) -> Vec<Metric> {
        self.map.metrics()
    }

    fn close(&self) -> Result<()> {
        self.log().close()
    }
}

export_engine!(Journal);
