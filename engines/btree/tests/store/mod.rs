//! A small store on the simulated disk, and a model of what it should hold.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use adapter_api::environment::{Clock, Directory, Lanes};
use adapter_api::*;
use crash::environment::{Disk, SimulatedClock};
use crash::image::mix;
use engine_btree::BtreeEngine;

pub const LOG: Lane = Lane(0);
pub const CHECKPOINT: Lane = Lane(1);

/// Where the store under test lives.
pub type Files = Arc<dyn Directory>;

pub type State = BTreeMap<Vec<u8>, Vec<u8>>;

/// Lanes that nobody runs but the test.
pub struct NoLanes;

impl Lanes for NoLanes {
    fn wake(&self, _: Lane) {}
    fn wait_for(&self, _: Lane) {}
}

#[derive(Default)]
pub struct Findings(pub Mutex<Vec<String>>);

impl Watch for Findings {
    fn progress(&self, _: u64, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
    fn finding(&self, finding: EngineError) {
        self.0.lock().unwrap().push(finding.to_string());
    }
}

impl Findings {
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Small pages, segments of four blocks and checkpoints behind every few records: everything happens within a few
/// calls. Smaller than what users may set, so not checked against the options.
pub fn request(directory: Files, checkpoint_log_bytes: u64) -> OpenRequest {
    request_at(directory, Arc::new(SimulatedClock::default()), checkpoint_log_bytes)
}

pub fn request_at(directory: Files, clock: Arc<dyn Clock>, checkpoint_log_bytes: u64) -> OpenRequest {
    let mut request = OpenRequest::new(Environment { directory, clock, lanes: Arc::new(NoLanes) });
    request.options = Options::complete(&BtreeEngine::describe().options, []).unwrap();
    request.options.set("log_segment", "16384");
    request.options.set("page_bytes", "4096");
    request.options.set("checkpoint_log_bytes", &checkpoint_log_bytes.to_string());
    request
}

pub fn open_on(directory: Files) -> Result<BtreeEngine> {
    BtreeEngine::open(request(directory, 20_000))
}

pub fn open(disk: &Disk) -> BtreeEngine {
    open_on(disk.root()).unwrap()
}

pub fn state(engine: &BtreeEngine) -> State {
    let mut state = State::new();
    let mut visit = |entry: Entry<'_>| {
        state.insert(entry.key.to_vec(), entry.value.to_vec());
        ControlFlow::Continue(())
    };
    engine.scan(KeyRange::all(), Direction::Forward, &mut visit).unwrap();
    state
}

pub fn put(engine: &BtreeEngine, key: &[u8], value: &[u8]) -> Result<()> {
    let mut batch = BatchBuilder::new();
    batch.put(key, value).unwrap();
    engine.apply(batch.as_batch())
}

/// Runs a lane until it has nothing to do.
pub fn run(engine: &BtreeEngine, lane: Lane) {
    while engine.background(lane).unwrap() == Step::More {}
}

pub fn metric(engine: &BtreeEngine, name: &str) -> f64 {
    let metrics = engine.metrics();
    metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("no {name}")).value
}

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

/// The `number`-th batch of a random history: pages split, merge and go; some values get pages of their own.
pub fn batch(seed: u64, number: u64) -> BatchBuilder {
    let mut random = mix(seed ^ mix(number));
    let mut next = |below: u64| {
        random = mix(random);
        (random >> 20) % below
    };
    let mut batch = BatchBuilder::new();
    for part in 0..1 + next(6) {
        let key = |number: u64| format!("key {number:03}").into_bytes();
        match next(12) {
            0..8 => {
                let len = [3, 200, 900, 6_000][[0, 1, 1, 2, 2, 2, 2, 3][next(8) as usize]];
                let value: Vec<u8> =
                    (0..len).map(|at: u64| (number * 31 + part * 7 + at * 3 + (at >> 8)) as u8).collect();
                batch.put(&key(next(120)), &value).unwrap();
            }
            8..11 => batch.delete(&key(next(120))).unwrap(),
            _ => {
                let start = next(120);
                let end = key(start + next(40));
                batch
                    .delete_range(KeyRange::with_end(&key(start), (start < 110).then_some(&end[..])))
                    .unwrap();
            }
        }
    }
    batch
}
