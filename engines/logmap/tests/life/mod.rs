//! A life of the engine on the simulated disk, and what must be found after it was cut short.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::sync::Arc;

use adapter_api::environment::{Clock, Directory};
use adapter_api::*;
use crash::by_hand::{NoLanes, State, applied, state};
use crash::environment::{Disk, SimulatedClock};
use crash::findings::Findings;
use crash::image::mix;
use engine_logmap::LogmapEngine;

pub const LOG: Lane = Lane(0);
pub const CHECKPOINT: Lane = Lane(1);

/// Where the store under test lives.
pub type Files = Arc<dyn Directory>;

/// Segments of four blocks and checkpoints behind every few records: everything happens within a few calls.
/// Smaller than what users may set, so not checked against the options.
pub fn request(directory: Files, durability: Durability, checkpoint_log_bytes: u64) -> OpenRequest {
    request_at(directory, Arc::new(SimulatedClock::default()), durability, checkpoint_log_bytes)
}

pub fn request_at(
    directory: Files,
    clock: Arc<dyn Clock>,
    durability: Durability,
    checkpoint_log_bytes: u64,
) -> OpenRequest {
    let environment = Environment { directory, clock, lanes: Arc::new(NoLanes) };
    let mut request = OpenRequest::new(environment);
    request.options.set("log_segment", "16384");
    request.options.set("checkpoint_log_bytes", &checkpoint_log_bytes.to_string());
    request.durability = durability;
    request
}

/// The same, with all but the smallest values on disk.
pub fn on_disk(mut request: OpenRequest) -> OpenRequest {
    request.options.set("values", "disk");
    request.options.set("disk_value_bytes", "100");
    request
}

pub fn open(directory: Files) -> Result<LogmapEngine> {
    LogmapEngine::open(request(directory, Durability::Always, 16384))
}

/// The `number`-th batch of a random history: mostly small, now and then larger than a segment.
pub fn batch(seed: u64, number: u64) -> BatchBuilder {
    let mut random = mix(seed ^ mix(number));
    let mut next = |below: u64| {
        random = mix(random);
        (random >> 20) % below
    };
    let mut batch = BatchBuilder::new();
    for part in 0..1 + next(4) {
        let key = |number: u64| format!("key {number:02}").into_bytes();
        match next(10) {
            0..7 => {
                let len = [3, 40, 300, 5000, 14000][[0, 0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 4][next(12) as usize]];
                let value: Vec<u8> =
                    (0..len).map(|at: u64| (number * 31 + part * 7 + at * 3 + (at >> 8)) as u8).collect();
                batch.put(&key(next(12)), &value).unwrap();
            }
            7 | 8 => batch.delete(&key(next(12))).unwrap(),
            _ => {
                let start = next(14);
                let end = key(start + next(4));
                batch
                    .delete_range(KeyRange::with_end(&key(start), (start < 12).then_some(&end[..])))
                    .unwrap();
            }
        }
    }
    batch
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Apply,
    /// So many steps of a lane.
    Lane(Lane, usize),
    /// A checkpoint as a whole.
    Compact,
    /// End in order, and open again.
    Close,
    /// End without a word, and open again.
    Drop,
}

/// What is known of a store from outside.
#[derive(Clone)]
pub struct Life {
    seed: u64,
    durability: Durability,
    /// Whether large values are kept on disk.
    pub is_on_disk: bool,
    /// The state after each number of batches that may have happened.
    pub states: Vec<State>,
    /// So many batches were answered OK.
    pub acknowledged: usize,
    /// So many survive a power cut.
    pub durable: usize,
    tried: u64,
}

impl Life {
    pub fn new(seed: u64, durability: Durability) -> Self {
        let (states, is_on_disk) = (vec![State::new()], false);
        Self { seed, durability, is_on_disk, states, acknowledged: 0, durable: 0, tried: 0 }
    }

    /// The same life with large values on disk.
    pub fn on_disk(self) -> Self {
        Self { is_on_disk: true, ..self }
    }

    /// Opens the store, which must show a state that may be, and at least `at_least` batches.
    pub fn open(&mut self, files: &Files, at_least: usize) -> Result<LogmapEngine> {
        let request = request(Arc::clone(files), self.durability, 24 << 10);
        let engine = LogmapEngine::open(if self.is_on_disk { on_disk(request) } else { request })?;
        let found = state(&engine);
        let Some(batches) = self.states.iter().rposition(|state| *state == found) else {
            panic!("a state that never was, with {} keys", found.len())
        };
        assert!(batches >= at_least, "{at_least} batches were acknowledged, {batches} are there");
        self.states.truncate(batches + 1);
        (self.acknowledged, self.durable) = (batches, batches);
        Ok(engine)
    }

    pub fn apply(&mut self, engine: &LogmapEngine) -> Result<()> {
        self.tried += 1;
        let batch = batch(self.seed, self.tried);
        let before = &self.states[self.acknowledged];
        assert_eq!(self.states.len(), self.acknowledged + 1);
        self.states.push(applied(before, batch.as_batch()));
        let outcome = engine.apply(batch.as_batch());
        match &outcome {
            Ok(()) => {
                self.acknowledged += 1;
                if self.durability == Durability::Always {
                    self.durable = self.acknowledged;
                }
            }
            Err(error) if error.changed_nothing() => drop(self.states.pop()),
            Err(_) => {}
        }
        assert!(state(engine) == self.states[self.acknowledged], "reads show what was acknowledged");
        outcome
    }

    /// Lives until the end or the first error.
    pub fn live(&mut self, files: &Files, acts: &[Act]) -> Result<()> {
        let mut engine = self.open(files, self.durable)?;
        for act in acts {
            match *act {
                Act::Apply => self.apply(&engine)?,
                Act::Lane(lane, steps) => {
                    for _ in 0..steps {
                        if let Step::IdleFor(_) = engine.background(lane)? {
                            return Err(EngineError::failed("the lane failed"));
                        }
                    }
                }
                Act::Compact => {
                    engine.compact(KeyRange::all(), &Findings::default())?;
                    self.durable = self.acknowledged;
                }
                Act::Close => {
                    engine.close()?;
                    drop(engine);
                    engine = self.open(files, self.acknowledged)?;
                }
                Act::Drop => {
                    drop(engine);
                    engine = self.open(files, self.acknowledged)?;
                }
            }
        }
        Ok(())
    }
}

/// Batches with rotations and checkpoints between them, and restarts of both kinds.
pub fn acts() -> Vec<Act> {
    use Act::*;
    let mut acts = Vec::new();
    for round in 0..3 {
        acts.extend([Apply, Lane(LOG, 2), Apply, Apply, Lane(LOG, 1), Lane(CHECKPOINT, 2), Apply]);
        acts.extend([Lane(CHECKPOINT, 2), Apply, Apply, Lane(LOG, 2), Lane(CHECKPOINT, 1), Apply]);
        acts.extend([Lane(CHECKPOINT, 4), Apply, if round == 1 { Close } else { Drop }, Apply]);
    }
    acts.extend([Compact, Apply, Lane(LOG, 5), Apply, Compact]);
    acts
}

/// A disk and what is known of a life that ended after so many changes of the disk; `true` if by itself.
pub fn cut_short(life: &Life, changes: u64) -> (Disk, Life, bool) {
    let (disk, mut life) = (Disk::default(), life.clone());
    disk.light_fuse(changes);
    let whole = life.live(&disk.root(), &acts()).is_ok();
    (disk, life, whole)
}

/// The directory as an engine sees it.
pub fn files(directory: impl Directory + 'static) -> Files {
    Arc::new(directory)
}
