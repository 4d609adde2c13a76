//! An engine for the host's own tests: an ordered map whose next answers to `apply` can be scripted.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::{Bound, ControlFlow};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use adapter_api::environment::{Clock, Directory, DirectoryEntry, File, FileFeatures, OpenFile};
use adapter_api::host::StorageAdapter;
use adapter_api::{
    Batch, Buffer, Capabilities, Cursor, Description, Direction, Durability, EngineError, Entry, Estimate,
    Guarantees, KeyRange, Metric, Mutation, Options, Promise, ReadView, Resident, Result, StorageEngine,
    Values, Visit,
};

use super::databases::CurrentDatabases;
use super::lanes::LaneThreads;
use super::maintenance::Maintenance;
use super::{ReaderPool, Storage, tells_lengths};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// What `apply` answers to a batch, asked before it is done.
type Script = Box<dyn FnMut(Batch<'_>) -> Result<()> + Send>;

/// The engine.
pub(crate) struct TestEngine {
    state: Arc<State>,
    capabilities: Capabilities,
    batch_bytes_max: u64,
}

/// What tests look at from outside.
#[derive(Default)]
pub(crate) struct State {
    map: Mutex<Map>,
    script: Mutex<Option<Script>>,
    gates: Mutex<VecDeque<(Sender<()>, Receiver<()>)>>,
    /// The number of mutations of each batch that was applied.
    pub(crate) applied: Mutex<Vec<usize>>,
    /// How many keys each read of several from memory was asked for.
    pub(crate) read_together: Mutex<Vec<usize>>,
    /// The same of those that may wait for a device, in which a read of one key counts as one.
    pub(crate) waited_for: Mutex<Vec<usize>>,
    /// The most bytes that the memory of a reader held when it had read.
    pub(crate) held_max: AtomicUsize,
}

impl State {
    /// Decides what `apply` answers from here on; `Ok` lets the batch happen.
    pub(crate) fn script(&self, script: impl FnMut(Batch<'_>) -> Result<()> + Send + 'static) {
        *self.script.lock().unwrap() = Some(Box::new(script));
    }

    /// Holds the next `apply` (of those without a gate) up: the first part hears when it begins, the second
    /// lets it go on.
    pub(crate) fn gate(&self) -> (Receiver<()>, Sender<()>) {
        let (begun, hears_begin) = channel();
        let (lets_go, waits) = channel();
        self.gates.lock().unwrap().push_back((begun, waits));
        (hears_begin, lets_go)
    }

    fn read(&self, map: &Map, key: &[u8], value: &mut Buffer) -> bool {
        let found = map.get(key).inspect(|found| value.extend_from_slice(found));
        self.held_max.fetch_max(value.len(), SeqCst);
        found.is_some()
    }

    pub(crate) fn map(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap()
    }

    pub(crate) fn applied(&self) -> Vec<usize> {
        self.applied.lock().unwrap().clone()
    }
}

impl TestEngine {
    /// An engine with read views that keeps everything in memory and says so.
    pub(crate) fn new() -> Self {
        let capabilities = Capabilities::READ_VIEW | Capabilities::RESIDENT;
        Self { state: Arc::default(), capabilities, batch_bytes_max: 1 << 30 }
    }

    /// One that goes on with what another one keeps.
    pub(crate) fn over(state: Arc<State>) -> Self {
        Self { state, ..Self::new() }
    }

    /// One that counts its entries.
    pub(crate) fn counting() -> Self {
        let engine = Self::new();
        let counts = Capabilities::ESTIMATE | Capabilities::EXACT_COUNT;
        Self { capabilities: engine.capabilities | counts, ..engine }
    }

    /// One with the mandatory primitives alone; every read waits for a device.
    pub(crate) fn plain() -> Self {
        Self { capabilities: Capabilities::NONE, ..Self::new() }
    }

    /// One with read views whose every read waits for a device.
    pub(crate) fn cold() -> Self {
        Self { capabilities: Capabilities::READ_VIEW, ..Self::new() }
    }

    /// The same, saying that it is durable.
    pub(crate) fn durable(self) -> Self {
        Self { capabilities: self.capabilities | Capabilities::DURABLE, ..self }
    }

    /// The same with a smaller largest batch.
    pub(crate) fn batches_up_to(self, batch_bytes_max: u64) -> Self {
        Self { batch_bytes_max, ..self }
    }

    /// What tests look at.
    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state)
    }
}

/// The engine behind a `Storage`, with one reader thread and a clock that stands still at zero.
pub(crate) fn opened(engine: TestEngine) -> Storage {
    opened_at(engine, Arc::new(TestClock::default()))
}

/// The engine behind a `Storage`, with the given clock.
pub(crate) fn opened_at(engine: TestEngine, clock: Arc<dyn Clock>) -> Storage {
    let mut description = Description::new("test", "1.2.3", "an engine for tests");
    description.capabilities = engine.capabilities;
    description.batch_bytes_max = engine.batch_bytes_max;
    let engine = StorageAdapter::around(engine, description);
    let storage = Storage {
        tells_lengths: tells_lengths(&engine),
        engine,
        guarantees: Guarantees::new()
            .kept(Promise::Semantics, "it is an ordered map")
            .not_kept(Promise::Restart, "it is only in memory"),
        options: Options::new(),
        durability: Durability::Always,
        engine_path: std::path::PathBuf::from("/plugins/libengine_test.so"),
        clock,
        lanes: Arc::new(LaneThreads::new(&[])),
        file_counters: Arc::default(),
        disk_reserve: None,
        readers: Arc::new(ReaderPool::start(1).unwrap()),
        databases: CurrentDatabases::default(),
        maintenance: Maintenance::default(),
    };
    storage.resume_databases().unwrap();
    storage
}

/// A clock that tests set.
#[derive(Default)]
pub(crate) struct TestClock {
    millis: AtomicU64,
}

impl TestClock {
    pub(crate) fn set(&self, millis: u64) {
        self.millis.store(millis, SeqCst);
    }
}

impl Clock for TestClock {
    fn monotonic(&self) -> Duration {
        self.wall()
    }
    fn wall(&self) -> Duration {
        Duration::from_millis(self.millis.load(SeqCst))
    }
}

/// A disk that has only an amount of free space, which tests set.
#[derive(Default)]
pub(crate) struct TestDisk {
    pub(crate) free: AtomicU64,
    /// How many times it was asked.
    pub(crate) asked: AtomicU64,
}

impl Directory for TestDisk {
    fn free_space(&self) -> io::Result<u64> {
        self.asked.fetch_add(1, SeqCst);
        Ok(self.free.load(SeqCst))
    }
    fn open_file(&self, _: &str, _: OpenFile) -> io::Result<Arc<dyn File>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn open_directory(&self, _: &str) -> io::Result<Arc<dyn Directory>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn create_directory(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn list(&self) -> io::Result<Vec<DirectoryEntry>> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn link(&self, _: &str, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn remove(&self, _: &str) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    fn features(&self) -> FileFeatures {
        FileFeatures::default()
    }
}

fn change(map: &mut Map, mutation: Mutation<'_>) {
    match mutation {
        Mutation::Put { key, value } => drop(map.insert(key.to_vec(), value.to_vec())),
        Mutation::Delete { key } => drop(map.remove(key)),
        Mutation::DeleteRange(range) => map.retain(|key, _| !range.contains(key)),
    }
}

impl StorageEngine for TestEngine {
    fn apply(&self, batch: Batch<'_>) -> Result<()> {
        let gate = self.state.gates.lock().unwrap().pop_front();
        if let Some((begun, waits)) = gate {
            begun.send(()).unwrap();
            waits.recv().unwrap();
        }
        if let Some(script) = &mut *self.state.script.lock().unwrap() {
            script(batch)?;
        }
        assert!(batch.as_bytes().len() as u64 <= self.batch_bytes_max, "a batch above the stated largest");
        let mut map = self.state.map();
        batch.iter().for_each(|mutation| change(&mut map, mutation));
        self.state.applied.lock().unwrap().push(batch.len());
        Ok(())
    }

    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        self.state.waited_for.lock().unwrap().push(1);
        Ok(self.state.read(&self.state.map(), key, value))
    }

    fn get_resident(&self, key: &[u8], value: &mut Buffer) -> Result<Resident> {
        if !self.capabilities.has(Capabilities::RESIDENT) {
            return Ok(Resident::WouldBlock);
        }
        let found = self.state.read(&self.state.map(), key, value);
        Ok(if found { Resident::Hit } else { Resident::Absent })
    }

    fn multi_get(&self, keys: &[&[u8]], values: &mut Values) -> Result<()> {
        if !self.capabilities.has(Capabilities::READ_VIEW) {
            return Err(EngineError::unsupported("multi_get"));
        }
        self.state.waited_for.lock().unwrap().push(keys.len());
        let map = self.state.map();
        keys.iter().try_for_each(|key| values.push_with(|value| Ok(self.state.read(&map, key, value))))
    }

    fn multi_get_resident(&self, keys: &[&[u8]], bytes_max: usize, values: &mut Values) -> Result<()> {
        if !self.capabilities.has(Capabilities::RESIDENT) {
            return Ok(());
        }
        if keys.len() > 1 {
            self.state.read_together.lock().unwrap().push(keys.len());
        }
        let (map, end) = (self.state.map(), values.bytes() + bytes_max);
        for key in keys {
            match map.get(*key) {
                Some(value) if values.bytes() + value.len() > end => break,
                Some(value) => values.push(value),
                None => values.push_absent(),
            }
        }
        self.state.held_max.fetch_max(values.bytes(), SeqCst);
        Ok(())
    }

    fn scan(&self, range: KeyRange<'_>, direction: Direction, visit: &mut Visit<'_>) -> Result<()> {
        let mut entries: Vec<_> = self.state.map().clone().into_iter().collect();
        entries.retain(|(key, _)| range.contains(key));
        if direction == Direction::Reverse {
            entries.reverse();
        }
        for (key, value) in &entries {
            if let ControlFlow::Break(()) = visit(Entry { key, value }) {
                break;
            }
        }
        Ok(())
    }

    fn read_view(&self) -> Result<Box<dyn ReadView + '_>> {
        match self.capabilities.has(Capabilities::READ_VIEW) {
            true => Ok(Box::new(TestView { map: self.state.map().clone(), state: &self.state })),
            false => Err(EngineError::unsupported("read_view")),
        }
    }

    fn estimate(&self, range: KeyRange<'_>) -> Result<Estimate> {
        if !self.capabilities.has(Capabilities::ESTIMATE) {
            return Err(EngineError::unsupported("estimate"));
        }
        let entries = self.state.map().keys().filter(|key| range.contains(key)).count() as u64;
        Ok(Estimate { entries, bytes: 0, exact: range == KeyRange::all() })
    }

    fn metrics(&self) -> Vec<Metric> {
        vec![Metric::gauge("entries", self.state.map().len() as f64)]
    }
}

struct TestView<'a> {
    map: Map,
    state: &'a State,
}

impl ReadView for TestView<'_> {
    fn get(&self, key: &[u8], value: &mut Buffer) -> Result<bool> {
        Ok(self.state.read(&self.map, key, value))
    }

    fn cursor(&self, range: KeyRange<'_>, direction: Direction) -> Result<Box<dyn Cursor + '_>> {
        let start = range.start().to_vec();
        let end = range.end().map_or(Bound::Unbounded, |end| Bound::Excluded(end.to_vec()));
        let entries: Vec<_> = match range.is_empty() {
            true => Vec::new(),
            false => self.map.range((Bound::Included(start), end)).collect(),
        };
        Ok(Box::new(TestCursor { entries, next: 0, reverse: direction == Direction::Reverse }))
    }
}

struct TestCursor<'a> {
    entries: Vec<(&'a Vec<u8>, &'a Vec<u8>)>,
    next: usize,
    reverse: bool,
}

impl Cursor for TestCursor<'_> {
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        let index = match self.reverse {
            true => self.entries.len().checked_sub(self.next + 1),
            false => Some(self.next),
        };
        self.next += 1;
        let entry = index.and_then(|index| self.entries.get(index));
        Ok(entry.map(|(key, value)| Entry { key, value }))
    }

    fn seek(&mut self, _: &[u8]) -> Result<()> {
        Err(EngineError::unsupported("seek"))
    }
}
