//! What can still be read out of a damaged directory.
//!
//! Promises: the directory is opened for reading only, with `OpenRequest.salvage`; entries come as they are, the
//! host's own among them. Called by `cli::salvage`, which has claimed the directory.

use std::sync::Arc;

use adapter_api::environment::Directory;
use adapter_api::environment::real::RealClock;
use adapter_api::host::{LoadedPlugin, StorageAdapter};
use adapter_api::{Capabilities, EngineError, Environment, OpenRequest, Options, Watch};

use super::contents::Entries;
use super::lanes::LaneThreads;

/// A damaged directory, opened for reading only.
pub struct Salvage {
    source: StorageAdapter,
}

impl Salvage {
    /// Opens a directory, skipping damage and telling each to `watch`. `options` are complete. Blocks as long
    /// as it takes to read everything.
    ///
    /// # Errors
    /// What the engine says, if nothing can be read at all; `Unsupported` if it cannot read around damage.
    pub fn open(
        plugin: &LoadedPlugin,
        directory: Arc<dyn Directory>,
        options: Options,
        watch: Arc<dyn Watch>,
    ) -> Result<Self, EngineError> {
        let about = plugin.description();
        if !about.capabilities.has(Capabilities::SALVAGE) {
            return Err(EngineError::unsupported("salvage"));
        }
        // Lanes that never run: there is no work in the background of what is only read.
        let lanes = Arc::new(LaneThreads::new(&about.lanes));
        let environment = Environment { directory, clock: Arc::new(RealClock::new()), lanes };
        let request = OpenRequest { options, salvage: Some(watch), ..OpenRequest::new(environment) };
        Ok(Self { source: plugin.open(request)? })
    }

    /// Every entry that can be read, in the order of the keys.
    ///
    /// # Errors
    /// What the engine says.
    pub fn entries(&self) -> Result<Entries<'_>, EngineError> {
        Entries::of(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::sync::Mutex;

    use adapter_api::environment::real::RealDirectory;
    use adapter_api::{
        Batch, Buffer, Description, Direction, Durability, Entry, KeyRange, Mutation, Plugin, StorageEngine,
        Visit,
    };

    use super::*;
    use crate::storage::Storage;

    const ENTRIES: u8 = 100;
    const BATCH_BYTES: u64 = 100;

    /// Every key that was put, in order.
    static PUT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

    /// An engine with the mandatory primitives and salvage alone. Opened for salvage it has `ENTRIES` entries.
    struct Plain {
        entries: u8,
    }

    impl Plugin for Plain {
        fn describe() -> Description {
            let mut about = Description::new("plain", "1", "for tests");
            about.capabilities = Capabilities::SALVAGE;
            about.batch_bytes_max = BATCH_BYTES;
            about
        }

        fn open(request: OpenRequest) -> Result<Self, EngineError> {
            Ok(Self { entries: if request.salvage.is_some() { ENTRIES } else { 0 } })
        }
    }

    impl StorageEngine for Plain {
        fn apply(&self, batch: Batch<'_>) -> Result<(), EngineError> {
            assert!(batch.as_bytes().len() as u64 <= BATCH_BYTES, "a batch above the stated largest");
            for mutation in batch.iter() {
                let Mutation::Put { key, .. } = mutation else { panic!("only puts come over") };
                PUT.lock().unwrap().push(key.to_vec());
            }
            Ok(())
        }

        fn get(&self, _: &[u8], _: &mut Buffer) -> Result<bool, EngineError> {
            Ok(false)
        }

        fn scan(&self, range: KeyRange<'_>, _: Direction, visit: &mut Visit<'_>) -> Result<(), EngineError> {
            for number in (0..self.entries).filter(|number| range.contains(&[*number])) {
                if visit(Entry { key: &[number], value: b"value" }).is_break() {
                    break;
                }
            }
            Ok(())
        }
    }

    struct Silent;

    impl Watch for Silent {
        fn progress(&self, _: u64, _: u64) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }
        fn finding(&self, _: EngineError) {}
    }

    #[test]
    fn without_ingest_every_entry_comes_over_in_batches_that_the_engine_takes() {
        let folder = tempfile::tempdir().unwrap();
        let directory = || Arc::new(RealDirectory::open(folder.path(), Arc::default()).unwrap());
        let plugin = LoadedPlugin::in_process::<Plain>();
        let source = Salvage::open(&plugin, directory(), Options::new(), Arc::new(Silent)).unwrap();
        let (clock, options) = (Arc::new(RealClock::new()), Options::new());
        let target =
            Storage::open(&plugin, directory(), Arc::default(), clock, options, Durability::Always, 1);
        target.unwrap().fill(&mut source.entries().unwrap()).unwrap();
        assert_eq!(*PUT.lock().unwrap(), (0..ENTRIES).map(|number| vec![number]).collect::<Vec<_>>());
    }
}
