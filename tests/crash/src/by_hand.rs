//! An engine in the process of its own tests, driven call by call: a wrong answer ends the test.
//!
//! Promises: nothing runs but what the test calls. Called by the tests of engines, on the simulated disk.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use adapter_api::environment::Lanes;
use adapter_api::{
    Batch, BatchBuilder, Direction, EngineError, Entry, KeyRange, Lane, Mutation, ReadView, Step,
    StorageEngine, Watch,
};

use crate::environment::Disk;
use crate::findings::Findings;

/// Everything that a store shows, or should.
pub type State = BTreeMap<Vec<u8>, Vec<u8>>;

/// Lanes that nobody runs but the test.
pub struct NoLanes;

impl Lanes for NoLanes {
    fn wake(&self, _: Lane) {}
    fn wait_for(&self, _: Lane) {}
}

/// Watches maintenance that finds nothing and is never cancelled.
pub struct Unwatched;

impl Watch for Unwatched {
    fn progress(&self, _: u64, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn finding(&self, finding: EngineError) {
        panic!("{finding}");
    }
}

/// Everything that the engine shows now.
pub fn state(engine: &impl StorageEngine) -> State {
    let mut state = State::new();
    let mut visit = |entry: Entry<'_>| {
        state.insert(entry.key.to_vec(), entry.value.to_vec());
        ControlFlow::Continue(())
    };
    engine.scan(KeyRange::all(), Direction::Forward, &mut visit).expect("a scan");
    state
}

/// Everything that a view shows, in the order of the walk.
pub fn entries_of(view: &dyn ReadView, direction: Direction) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut cursor = view.cursor(KeyRange::all(), direction).expect("a cursor");
    let mut entries = Vec::new();
    while let Some(entry) = cursor.next().expect("an entry") {
        entries.push((entry.key.to_vec(), entry.value.to_vec()));
    }
    entries
}

/// The state after a batch.
pub fn applied(state: &State, batch: Batch<'_>) -> State {
    let mut state = state.clone();
    for mutation in batch {
        match mutation {
            Mutation::Put { key, value } => drop(state.insert(key.to_vec(), value.to_vec())),
            Mutation::Delete { key } => drop(state.remove(key)),
            Mutation::DeleteRange(range) => state.retain(|key, _| !range.contains(key)),
        }
    }
    state
}

/// Applies a batch of one put.
///
/// # Errors
/// What `apply` answers.
pub fn put(engine: &impl StorageEngine, key: &[u8], value: &[u8]) -> Result<(), EngineError> {
    let mut batch = BatchBuilder::new();
    batch.put(key, value).expect("the key and the value are within their limits");
    engine.apply(batch.as_batch())
}

/// Runs a lane until it has nothing to do.
pub fn run(engine: &impl StorageEngine, lane: Lane) {
    while engine.background(lane).expect("a step") == Step::More {}
}

/// A number that the engine reports.
pub fn metric(engine: &impl StorageEngine, name: &str) -> f64 {
    let metrics = engine.metrics();
    metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no {name}")).value
}

/// Expects of an engine that was opened to salvage that it refuses whatever would write, has nothing to do in its lanes,
/// and closes all the same.
pub fn expect_reading_only(engine: &impl StorageEngine, lanes: &[Lane]) {
    let view = engine.read_view().expect("a view");
    let mut entries = view.cursor(KeyRange::all(), Direction::Forward).expect("a cursor");
    let (target, watch) = (Disk::default(), Findings::default());
    let refused = [
        put(engine, b"key", b"value"),
        engine.ingest(&mut *entries),
        engine.compact(KeyRange::all(), &watch),
        engine.backup(target.root(), &watch),
        engine.verify(&watch),
    ];
    for outcome in refused {
        assert!(matches!(&outcome, Err(EngineError::Rejected { .. })), "{outcome:?}");
    }
    assert!(lanes.iter().all(|lane| matches!(engine.background(*lane), Ok(Step::Idle))));
    assert_eq!(engine.pressure().level, 0);
    engine.close().expect("an orderly end");
    assert!(target.contents().is_empty());
}
