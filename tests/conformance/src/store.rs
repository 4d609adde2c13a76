//! A store that is open on a real directory, with the map that it must show.
//!
//! Promises: the directory is claimed and marked as a server does it, lanes run on threads, and the map changes
//! only where the engine answered OK. Cases drive it.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use adapter_api::environment::real::RealClock;
use adapter_api::environment::{Directory, Lanes};
use adapter_api::host::{DataDirectory, LoadedPlugin, StorageAdapter};
use adapter_api::{
    Buffer, Direction, Durability, EngineError, Entry, Environment, KeyRange, OpenRequest, Options,
    StorageEngine, Watch,
};

use crate::lanes::LaneThreads;
use crate::model::{Edit, Model, batch};
use crate::outcome::{ensure, failed, shown};

/// An open store.
pub struct Store {
    engine: StorageAdapter,
    lanes: Arc<LaneThreads>,
    claim: Option<DataDirectory>,
    /// What it must show.
    pub model: Model,
}

impl Store {
    /// Opens the store in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// What keeps it from opening.
    pub fn open(
        plugin: &LoadedPlugin,
        folder: &Path,
        options: &Options,
        durability: Durability,
    ) -> Result<Self, String> {
        let claim = DataDirectory::claim(folder, plugin.description()).map_err(|error| error.to_string())?;
        let mut store = Self::open_in(plugin, claim.directory(), options, durability)?;
        store.claim = Some(claim);
        Ok(store)
    }

    /// Opens the store in a directory that nobody else uses.
    ///
    /// # Errors
    /// What keeps it from opening.
    pub fn open_in(
        plugin: &LoadedPlugin,
        directory: Arc<dyn Directory>,
        options: &Options,
        durability: Durability,
    ) -> Result<Self, String> {
        let store = Self::open_idle(plugin, directory, options, durability, None)?;
        store.lanes.start(&store.engine);
        Ok(store)
    }

    /// Opens what is left of the store in a directory, for reading only; `watch` hears what is not.
    ///
    /// # Errors
    /// What keeps it from opening.
    pub fn salvage(
        plugin: &LoadedPlugin,
        directory: Arc<dyn Directory>,
        options: &Options,
        watch: Arc<dyn Watch>,
    ) -> Result<Self, String> {
        Self::open_idle(plugin, directory, options, Durability::Always, Some(watch))
    }

    /// Opens it with lanes that nobody runs yet.
    fn open_idle(
        plugin: &LoadedPlugin,
        directory: Arc<dyn Directory>,
        options: &Options,
        durability: Durability,
        salvage: Option<Arc<dyn Watch>>,
    ) -> Result<Self, String> {
        let lanes = Arc::new(LaneThreads::new(plugin.description().lanes.len()));
        let (clock, running) = (Arc::new(RealClock::new()), Arc::clone(&lanes) as Arc<dyn Lanes>);
        let environment = Environment { directory, clock, lanes: running };
        let request = OpenRequest { environment, options: options.clone(), durability, salvage };
        let engine = plugin.open(request).map_err(failed("open"))?;
        Ok(Self { engine, lanes, claim: None, model: Model::default() })
    }

    /// The same store, which must show this map.
    pub fn showing(mut self, model: Model) -> Self {
        self.model = model;
        self
    }

    /// The engine.
    pub fn engine(&self) -> &StorageAdapter {
        &self.engine
    }

    /// Applies the edits as one batch.
    ///
    /// # Errors
    /// What the engine answers.
    pub fn try_apply(&mut self, edits: &[Edit]) -> Result<(), EngineError> {
        self.engine.apply(batch(edits)?.as_batch())?;
        self.model.apply(edits);
        Ok(())
    }

    /// Applies the edits as one batch, which must succeed.
    ///
    /// # Errors
    /// What the engine answers.
    pub fn apply(&mut self, edits: &[Edit]) -> Result<(), String> {
        self.try_apply(edits).map_err(failed("apply"))
    }

    /// Puts one key.
    ///
    /// # Errors
    /// What the engine answers.
    pub fn put(&mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<(), String> {
        self.apply(&[Edit::put(key, value)])
    }

    /// What `get` finds.
    ///
    /// # Errors
    /// What the engine answers.
    pub fn get(&self, key: &[u8]) -> Result<Option<Buffer>, String> {
        let mut value = Buffer::new();
        let found = self.engine.get(key, &mut value).map_err(failed("get"))?;
        Ok(found.then_some(value))
    }

    /// Compares `get` of a key with the map.
    ///
    /// # Errors
    /// How they differ.
    pub fn expect_key(&self, key: &[u8]) -> Result<(), String> {
        let found = self.get(key)?;
        let expected = self.model.get(key);
        ensure(found.as_deref() == expected, || {
            let text = |value: Option<&[u8]>| value.map_or("nothing".to_string(), shown);
            format!("get {} shows {}, not {}", shown(key), text(found.as_deref()), text(expected))
        })
    }

    /// Compares `get` of every key of the map.
    ///
    /// # Errors
    /// How they differ.
    pub fn expect_keys(&self) -> Result<(), String> {
        self.model.0.keys().try_for_each(|key| self.expect_key(key))
    }

    /// Compares a scan with the map.
    ///
    /// # Errors
    /// How they differ.
    pub fn expect_scan(&self, range: KeyRange<'_>, direction: Direction) -> Result<(), String> {
        let expected = self.model.range(range, direction);
        let (mut at, mut wrong) = (0, None);
        let mut visit = |entry: Entry<'_>| {
            if expected.get(at) == Some(&(entry.key, entry.value)) {
                at += 1;
                return ControlFlow::Continue(());
            }
            wrong = Some(shown(entry.key));
            ControlFlow::Break(())
        };
        self.engine.scan(range, direction, &mut visit).map_err(failed("scan"))?;
        let place = |at: usize| expected.get(at).map_or("the end".to_string(), |(key, _)| shown(key));
        let of = format!("a scan ({direction:?}) of {} entries", expected.len());
        ensure(wrong.is_none(), || {
            format!("{of} shows {} in place of {}", wrong.unwrap_or_default(), place(at))
        })?;
        ensure(at == expected.len(), || format!("{of} ends before {}", place(at)))
    }

    /// Compares everything: by key, and by scans in both directions.
    ///
    /// # Errors
    /// How they differ.
    pub fn expect_everything(&self) -> Result<(), String> {
        self.expect_keys()?;
        self.expect_scan(KeyRange::all(), Direction::Forward)?;
        self.expect_scan(KeyRange::all(), Direction::Reverse)
    }

    /// Closes in order, and hands over what the next one must show.
    ///
    /// # Errors
    /// What the engine answers, or a lane did.
    pub fn close(self) -> Result<Model, String> {
        let lanes = self.lanes.stop();
        self.engine.close().map_err(failed("close"))?;
        lanes?;
        Ok(self.model.clone())
    }

    /// Ends without closing, as a process does that is killed while nothing is in flight.
    pub fn abandon(self) -> Model {
        // What a lane did last is no news to a process that is gone.
        let _ = self.lanes.stop();
        self.model.clone()
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // The lanes hold the engine. A second stop finds nothing to do.
        let _ = self.lanes.stop();
    }
}

/// A watch that cancels at once.
pub struct Cancelled;

impl Watch for Cancelled {
    fn progress(&self, _: u64, _: u64) -> ControlFlow<()> {
        ControlFlow::Break(())
    }

    fn finding(&self, _: EngineError) {}
}
