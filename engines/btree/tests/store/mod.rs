//! A small store on the simulated disk, and a model of what it should hold.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::sync::Arc;

use adapter_api::environment::{Clock, Directory};
use adapter_api::*;
use crash::by_hand::NoLanes;
use crash::environment::{Disk, SimulatedClock};
use crash::image::mix;
use engine_btree::BtreeEngine;

pub const LOG: Lane = Lane(0);
pub const CHECKPOINT: Lane = Lane(1);

/// Where the store under test lives.
pub type Files = Arc<dyn Directory>;

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

/// Entries for an ingest.
pub struct Sorted(pub Vec<(Vec<u8>, Vec<u8>)>, pub usize);

impl Cursor for Sorted {
    fn next(&mut self) -> Result<Option<Entry<'_>>> {
        self.1 += 1;
        Ok(self.0.get(self.1 - 1).map(|(key, value)| Entry { key, value }))
    }

    fn seek(&mut self, _: &[u8]) -> Result<()> {
        Err(EngineError::unsupported("seek"))
    }
}

/// So many entries behind a key, which are enough to be written ahead of the log.
pub fn stretch(first: &str, count: u32) -> Sorted {
    Sorted((0..count).map(|at| (format!("{first}{at:05}").into_bytes(), vec![at as u8; 500])).collect(), 0)
}
