//! Starter: an ordered map in memory, the beginning of a storage engine.
//!
//! The host calls what is implemented here through the plugin that `export_engine!` makes. The contract, method by
//! method, is in the documentation of `adapter_api`.

#![forbid(unsafe_code)]

use adapter_api::*;

/// An engine is whatever holds the data: here a map that knows versions.
pub struct Engine {
    map: VersionedMap,
}

impl Plugin for Engine {
    fn describe() -> Description {
        let mut about = Description::new("starter", env!("CARGO_PKG_VERSION"), "an ordered map in memory");
        // Whatever else the engine learns to do is named here, and the host asks for it from then on.
        about.capabilities = Capabilities::READ_VIEW;
        about
    }

    fn open(_: OpenRequest) -> Result<Self> {
        Ok(Self { map: VersionedMap::new() })
    }

    fn guarantees(_: &Options, _: Durability) -> Guarantees {
        Guarantees::new()
            .kept(Promise::Semantics, "an ordered map with versions")
            .not_kept(Promise::Restart, "everything is gone when the process ends")
            .kept(Promise::Transactions, "a batch becomes visible at one instant, a view is a point in time")
    }
}

impl StorageEngine for Engine {
    fn apply(&self, batch: Batch<'_>) -> Result<()> {
        // Between these two an engine that keeps its data makes the batch durable.
        self.map.stage(batch).publish();
        Ok(())
    }

    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        Ok(self.map.get(key, value))
    }

    fn read_view(&self) -> Result<Box<dyn ReadView + '_>> {
        Ok(Box::new(self.map.view()))
    }
}

export_engine!(Engine);
