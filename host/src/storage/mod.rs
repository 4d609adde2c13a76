//! The loaded engine, and the only place in the host that touches one.
//!
//! Promises: a `Storage` is open until `close`; reads may come from any thread and never wait for the
//! writer. `apply` is for the sequencer alone, which sees to it that one call runs at a time. Above this
//! layer nobody knows plugins, below it nobody knows clients.

mod backup;
mod contents;
mod count;
mod databases;
mod disk_reserve;
pub mod keyspace;
mod lanes;
mod maintenance;
mod reader_pool;
pub mod registry;
mod salvage;
#[cfg(test)]
pub(crate) mod test_engine;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adapter_api::environment::real::IoCounters;
use adapter_api::environment::{Clock, Directory};
use adapter_api::host::{LoadedPlugin, StorageAdapter};
use adapter_api::{
    Batch, Buffer, Capabilities, Description, Direction, Durability, EngineError, Entry, Environment,
    Estimate, Guarantees, KeyRange, Metric, OpenRequest, Options, Pressure, ReadView, Resident,
    StorageEngine, Values,
};

pub use backup::{Backup, BackupError};
pub use contents::{Entries, FillError};
use databases::CurrentDatabases;
pub use databases::Databases;
use disk_reserve::DiskReserve;
use keyspace::{Bounds, Slot};
use lanes::{Background, LaneThreads};
use maintenance::Maintenance;
pub use maintenance::{Work, WorkRefusal, WorkStatus};
pub use reader_pool::{Job, READER_THREADS_DEFAULT, ReaderPool};
pub use salvage::Salvage;

/// An open engine with what is known of it, its background lanes and its reader threads.
pub struct Storage {
    engine: StorageAdapter,
    guarantees: Guarantees,
    options: Options,
    durability: Durability,
    engine_path: PathBuf,
    clock: Arc<dyn Clock>,
    lanes: Arc<LaneThreads>,
    readers: Arc<ReaderPool>,
    file_counters: Arc<IoCounters>,
    /// `None` if nothing is kept free.
    disk_reserve: Option<DiskReserve>,
    /// Whether the engine answers `multi_get_resident`, by which it tells that a value is long before it copies it.
    tells_lengths: bool,
    databases: CurrentDatabases,
    maintenance: Maintenance,
}

impl Storage {
    /// Opens the engine of `plugin` in `directory`, which the caller has claimed for it and whose use counts in
    /// `file_counters`. `options` are complete. Blocks as long as recovery takes.
    ///
    /// # Errors
    /// What the engine says; `Failed` too if a thread cannot be started.
    pub fn open(
        plugin: &LoadedPlugin,
        directory: Arc<dyn Directory>,
        file_counters: Arc<IoCounters>,
        clock: Arc<dyn Clock>,
        options: Options,
        durability: Durability,
        reader_threads: usize,
    ) -> Result<Self, EngineError> {
        let guarantees = plugin.guarantees(&options, durability)?;
        let lanes = Arc::new(LaneThreads::new(&plugin.description().lanes));
        let environment =
            Environment { directory, clock: Arc::clone(&clock), lanes: Arc::clone(&lanes) as _ };
        let request = OpenRequest { options: options.clone(), durability, ..OpenRequest::new(environment) };
        let engine = plugin.open(request)?;
        let storage = Self {
            tells_lengths: tells_lengths(&engine),
            engine,
            guarantees,
            options,
            durability,
            engine_path: plugin.path().to_path_buf(),
            clock,
            lanes,
            file_counters,
            disk_reserve: None,
            readers: Arc::new(ReaderPool::start(reader_threads).map_err(no_thread)?),
            databases: CurrentDatabases::default(),
            maintenance: Maintenance::default(),
        };
        storage.resume_databases()?;
        storage.start_lanes()?;
        Ok(storage)
    }

    /// The same, with `bytes` kept free on the file system of `directory` (0: nothing): while less is free,
    /// `apply` refuses what puts anything as `Full`. An engine that is not durable takes no room there and is not
    /// held to it.
    #[must_use]
    pub fn with_disk_reserve(mut self, directory: Arc<dyn Directory>, bytes: u64) -> Self {
        let is_kept = bytes > 0 && self.has(Capabilities::DURABLE);
        self.disk_reserve = is_kept.then(|| DiskReserve::new(directory, bytes));
        self
    }

    fn start_lanes(&self) -> Result<(), EngineError> {
        let engine = self.engine.clone();
        let background: Background = Arc::new(move |lane| engine.background(lane));
        self.lanes.start(&self.description().name, &background).map_err(no_thread)
    }

    /// The engine itself, for whoever measures it without a server. It must not be written to beside a sequencer
    /// that has work.
    pub fn adapter(&self) -> &StorageAdapter {
        &self.engine
    }

    /// What the engine says of itself.
    pub fn description(&self) -> &Description {
        self.engine.description()
    }

    /// Whether the engine has every one of these optional primitives.
    pub fn has(&self, capabilities: Capabilities) -> bool {
        self.description().capabilities.has(capabilities)
    }

    /// The engine's promises under the options and the durability in use.
    pub fn guarantees(&self) -> &Guarantees {
        &self.guarantees
    }

    /// The engine's options in use.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// When a write is answered.
    pub fn durability(&self) -> Durability {
        self.durability
    }

    /// The file that the engine was loaded from; empty for one that is linked in.
    pub fn engine_path(&self) -> &Path {
        &self.engine_path
    }

    /// The time, as the engine sees it too.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The threads on which reads may wait.
    pub fn readers(&self) -> &Arc<ReaderPool> {
        &self.readers
    }

    /// Why no write is admitted until a restart, if so: what the engine said when it failed.
    pub fn write_refusal(&self) -> Option<&str> {
        self.engine.write_refusal()
    }

    /// Appends the newest value of an engine key and answers `true`, or answers `false`. May wait for a
    /// device.
    ///
    /// # Errors
    /// What the engine says.
    pub fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool, EngineError> {
        self.engine.get(key, value)
    }

    /// Like `get` into a list of values, but never waits for a device. Nor copies it a value of more than `bytes_max`
    /// bytes, if the engine tells beforehand that it is one: `WouldBlock` then.
    ///
    /// # Errors
    /// What the engine says.
    pub fn get_resident(
        &self,
        key: &[u8],
        bytes_max: usize,
        values: &mut Values,
    ) -> Result<Resident, EngineError> {
        if self.tells_lengths {
            let place = values.len();
            self.engine.multi_get_resident(&[key], bytes_max, values)?;
            return Ok(match (values.len() > place, values.get(place)) {
                (false, _) => Resident::WouldBlock,
                (true, None) => Resident::Absent,
                (true, Some(_)) => Resident::Hit,
            });
        }
        let mut answer = Resident::WouldBlock;
        values.push_with(|value| {
            answer = self.engine.get_resident(key, value)?;
            Ok(answer == Resident::Hit)
        })?;
        Ok(answer)
    }

    /// Appends the values of several engine keys as of one instant, without waiting for a device: of as many keys as
    /// are in memory, from the first on, and no more than `bytes_max` bytes of them. An engine need not answer any.
    ///
    /// # Errors
    /// What the engine says.
    pub fn multi_get_resident(
        &self,
        keys: &[&[u8]],
        bytes_max: usize,
        values: &mut Values,
    ) -> Result<(), EngineError> {
        self.engine.multi_get_resident(keys, bytes_max, values)
    }

    /// Appends the values of several engine keys as of one instant, absent ones as absent. May wait for a device.
    ///
    /// # Errors
    /// What the engine says; nothing is appended then. `Unsupported` if it has no read views and no way of its own.
    pub fn multi_get(&self, keys: &[&[u8]], values: &mut Values) -> Result<(), EngineError> {
        self.engine.multi_get(keys, values)
    }

    /// Everything as of one instant, and the slot that a database has in it. Its reads may wait for a device.
    ///
    /// # Errors
    /// `Unsupported` if the engine has no read views: only the sequencer's thread reads at one instant then.
    pub fn view(&self, database: u8) -> Result<(Box<dyn ReadView + '_>, Slot), EngineError> {
        self.in_slot(database, |slot| self.engine.read_view().map(|view| (view, slot)))
    }

    /// Calls `visit` with the entries of a part of a database in order until it answers `Break`: as of one
    /// instant if the engine has read views. `bounds` draws the part in the database's slot. May wait for a
    /// device.
    ///
    /// # Errors
    /// What the engine says, such as `ViewTooOld` for a walk that took too long.
    pub fn walk(
        &self,
        database: u8,
        bounds: &dyn Fn(Slot) -> Bounds,
        direction: Direction,
        visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        if !self.has(Capabilities::READ_VIEW) {
            return self.scan(bounds(self.databases().slot(database)).as_range(), direction, visit);
        }
        let (view, slot) = self.view(database)?;
        let bounds = bounds(slot);
        if bounds.as_range().is_empty() {
            return Ok(());
        }
        let mut cursor = view.cursor(bounds.as_range(), direction)?;
        while let Some(entry) = cursor.next()? {
            if visit(entry).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Calls `visit` with the entries of a range of engine keys in order until it answers `Break`. Unlike
    /// `walk` it holds nothing up and never ends in `ViewTooOld`: entries that change meanwhile are seen before
    /// or after the change. May wait for a device.
    ///
    /// # Errors
    /// What the engine says.
    pub fn scan(
        &self,
        range: KeyRange<'_>,
        direction: Direction,
        visit: &mut dyn FnMut(Entry<'_>) -> ControlFlow<()>,
    ) -> Result<(), EngineError> {
        if range.is_empty() {
            return Ok(());
        }
        self.engine.scan(range, direction, visit)
    }

    /// Makes a batch happen. For the sequencer alone, one call at a time.
    ///
    /// # Errors
    /// What the engine says; see `StorageEngine::apply`. `Full` also if the batch puts anything while less than
    /// the reserve is free on the disk.
    pub(crate) fn apply(&self, batch: Batch<'_>) -> Result<(), EngineError> {
        if let Some(reserve) = &self.disk_reserve {
            reserve.admit(batch, self.clock.monotonic())?;
        }
        self.engine.apply(batch)
    }

    /// About how much a range of engine keys holds.
    ///
    /// # Errors
    /// `Unsupported` if the engine has no estimates.
    pub fn estimate(&self, range: KeyRange<'_>) -> Result<Estimate, EngineError> {
        self.engine.estimate(range)
    }

    /// The numbers that the engine reports, and what it did to its files as the host counted it.
    pub fn metrics(&self) -> Vec<Metric> {
        let mut metrics = self.engine.metrics();
        metrics.extend(self.file_counters.metrics());
        metrics
    }

    /// How far the engine's background work is behind.
    pub fn pressure(&self) -> Pressure {
        self.engine.pressure()
    }

    /// Has the work beside it end, stops the reader threads and the lanes, then ends the engine in order. The
    /// sequencer is shut down before. Blocks until running jobs and steps have ended; not to be called from a
    /// reader thread.
    ///
    /// # Errors
    /// What the engine says. It is closed all the same.
    pub fn close(&self) -> Result<(), EngineError> {
        self.maintenance.stop();
        self.readers.stop();
        self.lanes.stop();
        self.engine.close()
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        // Their threads hold the engine; they must end even where nobody called `close`.
        self.maintenance.stop();
        self.lanes.stop();
    }
}

/// Whether the engine answers `multi_get_resident` where it could: for a key that is new or was read last.
fn tells_lengths(engine: &StorageAdapter) -> bool {
    let (mut value, mut values) = (Buffer::new(), Values::new());
    let key = Databases::key();
    let read = engine.get(&key, &mut value);
    let read = read.and_then(|_| engine.multi_get_resident(&[&key], usize::MAX, &mut values));
    // An engine that cannot read says so again to whoever needs it.
    read.is_ok() && values.len() == 1
}

fn no_thread(error: std::io::Error) -> EngineError {
    EngineError::failed_by("a thread could not be started", error)
}
