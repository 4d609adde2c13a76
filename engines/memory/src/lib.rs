//! The memory engine: an ordered map that lives as long as the process. Copy it to begin an engine of your
//! own.
//!
//! Promises: everything but durability, and `guarantees` says so. The host calls it through the plugin that
//! `export_engine!` makes; nothing here knows of that.

#![forbid(unsafe_code)]

use adapter_api::*;

/// An engine is whatever holds the data: here a map that knows versions.
pub struct MemoryEngine {
    map: VersionedMap,
}

impl Plugin for MemoryEngine {
    fn describe() -> Description {
        let mut about =
            Description::new("memory", env!("CARGO_PKG_VERSION"), "an ordered map in memory; keeps nothing");
        about.capabilities = Capabilities::READ_VIEW
            | Capabilities::RESIDENT
            | Capabilities::ESTIMATE
            | Capabilities::EXACT_COUNT
            | Capabilities::INGEST;
        about
    }

    fn open(_: OpenRequest) -> Result<Self> {
        Ok(Self { map: VersionedMap::new() })
    }

    fn guarantees(_: &Options, _: Durability) -> Guarantees {
        Guarantees::new()
            .kept(
                Promise::Semantics,
                "a missing key is absent, a put overwrites, a delete of a missing key is no error",
            )
            .not_kept(Promise::Restart, "everything is gone when the process ends")
            .not_kept(Promise::ValidFormat, "nothing is written to disk")
            .not_kept(Promise::CrashSafety, "everything is gone after a crash")
            .kept(Promise::Atomicity, "after a crash no part of any batch is there")
            .kept(
                Promise::WriteOrdering,
                "after a crash no write is there, so none is there without an earlier one",
            )
            .kept(Promise::Concurrency, "readers never wait for the writer")
            .kept(
                Promise::Performance,
                "a write costs time in the logarithm of the number of keys, and no disk",
            )
            .kept(
                Promise::Transactions,
                "a batch becomes visible at one instant, and a view is a point in time",
            )
            .not_kept(
                Promise::AsynchronousWrites,
                "no write ever becomes durable, whatever class is asked for",
            )
    }
}

impl StorageEngine for MemoryEngine {
    fn apply(&self, batch: Batch<'_>) -> Result<()> {
        self.map.stage(batch).publish();
        Ok(())
    }

    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        Ok(self.map.get(key, value))
    }

    fn get_resident(&self, key: &[u8], value: &mut Buffer) -> Result<Resident> {
        Ok(if self.map.get(key, value) { Resident::Hit } else { Resident::Absent })
    }

    fn multi_get(&self, keys: &[&[u8]], values: &mut Values) -> Result<()> {
        self.map.multi_get(keys, values);
        Ok(())
    }

    fn multi_get_resident(&self, keys: &[&[u8]], bytes_max: usize, values: &mut Values) -> Result<()> {
        self.map.multi_get_here(keys, bytes_max, values);
        Ok(())
    }

    fn read_view(&self) -> Result<Box<dyn ReadView + '_>> {
        Ok(Box::new(self.map.view()))
    }

    fn estimate(&self, range: KeyRange<'_>) -> Result<Estimate> {
        Ok(self.map.estimate(range))
    }

    fn ingest(&self, entries: &mut dyn Cursor) -> Result<()> {
        self.map.stage_sorted(entries)?.publish();
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        self.map.metrics()
    }
}

export_engine!(MemoryEngine);
