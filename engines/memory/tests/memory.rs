//! The memory engine in process, through the traits of the contract.

use std::sync::Arc;
use std::time::Duration;

use adapter_api::environment::Lanes;
use adapter_api::environment::real::{IoCounters, RealClock, RealDirectory};
use adapter_api::*;
use engine_memory::MemoryEngine;

struct NoLanes;

impl Lanes for NoLanes {
    fn wake(&self, _: Lane) {}
    fn wait_for(&self, _: Lane) {}
}

fn open() -> (tempfile::TempDir, MemoryEngine) {
    let folder = tempfile::tempdir().unwrap();
    let directory = Arc::new(RealDirectory::open(folder.path(), Arc::new(IoCounters::default())).unwrap());
    let environment = Environment { directory, clock: Arc::new(RealClock::new()), lanes: Arc::new(NoLanes) };
    (folder, MemoryEngine::open(OpenRequest::new(environment)).unwrap())
}

fn put(engine: &MemoryEngine, key: &[u8], value: &[u8]) {
    let mut batch = BatchBuilder::new();
    batch.put(key, value).unwrap();
    engine.apply(batch.as_batch()).unwrap();
}

#[test]
fn get_after_delete_returns_nothing() {
    let (_folder, engine) = open();
    put(&engine, b"k", b"v");
    let mut value = Buffer::new();
    assert!(engine.get(b"k", &mut value).unwrap() && &value[..] == b"v");
    let mut batch = BatchBuilder::new();
    batch.delete(b"k").unwrap();
    batch.delete(b"never there").unwrap();
    engine.apply(batch.as_batch()).unwrap();
    assert_eq!(engine.get_resident(b"k", &mut Buffer::new()).unwrap(), Resident::Absent);
}

#[test]
fn a_view_keeps_what_a_later_batch_removes() {
    let (_folder, engine) = open();
    put(&engine, b"a", b"1");
    let view = engine.read_view().unwrap();
    let mut batch = BatchBuilder::new();
    batch.delete_range(KeyRange::all()).unwrap();
    engine.apply(batch.as_batch()).unwrap();
    assert!(view.get(b"a", &mut Buffer::new()).unwrap());
    assert_eq!(engine.estimate(KeyRange::all()).unwrap(), Estimate { entries: 0, bytes: 0, exact: true });
}

#[test]
fn entries_of_one_engine_are_ingested_by_another() {
    let ((_one, source), (_two, target)) = (open(), open());
    (0..100_u8).for_each(|key| put(&source, &[key], &[key; 3]));
    let view = source.read_view().unwrap();
    target.ingest(&mut *view.cursor(KeyRange::all(), Direction::Forward).unwrap()).unwrap();
    assert_eq!(target.estimate(KeyRange::all()).unwrap().entries, 100);
    let again = target.ingest(&mut *view.cursor(KeyRange::all(), Direction::Forward).unwrap());
    assert!(matches!(again, Err(EngineError::Rejected { .. })));
}

#[test]
fn nothing_is_written_and_nothing_survives_a_reopen() {
    let (folder, engine) = open();
    put(&engine, b"k", b"v");
    engine.close().unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let table = MemoryEngine::guarantees(&Options::new(), Durability::Interval(Duration::from_millis(5)));
    assert!(Promise::ALL.iter().all(|promise| table.line(*promise).is_some()), "every promise has its line");
    assert!(!table.line(Promise::Restart).unwrap().kept);
    assert!(!MemoryEngine::describe().capabilities.has(Capabilities::DURABLE));
}
