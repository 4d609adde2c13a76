//! The engine on the simulated disk, driven call by call.

#![allow(dead_code, reason = "each test binary uses a part of this")]

use std::sync::Arc;

use adapter_api::environment::{Clock, Directory};
use adapter_api::*;
use crash::by_hand::NoLanes;
use crash::environment::SimulatedClock;
use engine_lsm::LsmEngine;

pub const LOG: Lane = Lane(0);
pub const FLUSH: Lane = Lane(1);
pub const COMPACTION: Lane = Lane(2);

/// A request with these options, the others as by default. They are not checked: sizes may be smaller than users may set.
pub fn request(
    directory: Arc<dyn Directory>,
    clock: Arc<dyn Clock>,
    options: &[(&str, &str)],
) -> OpenRequest {
    let mut request = OpenRequest::new(Environment { directory, clock, lanes: Arc::new(NoLanes) });
    request.options = Options::complete(&LsmEngine::describe().options, []).unwrap();
    options.iter().for_each(|(name, value)| request.options.set(name, value));
    request
}

/// Opens it so.
pub fn open_at(
    directory: Arc<dyn Directory>,
    clock: Arc<dyn Clock>,
    options: &[(&str, &str)],
) -> Result<LsmEngine> {
    LsmEngine::open(request(directory, clock, options))
}

/// The same, with a clock of its own.
pub fn open_with(directory: Arc<dyn Directory>, options: &[(&str, &str)]) -> Result<LsmEngine> {
    open_at(directory, Arc::new(SimulatedClock::default()), options)
}

/// The same, with memtables and tables of so many bytes.
pub fn open_of(directory: Arc<dyn Directory>, bytes: u64) -> Result<LsmEngine> {
    let bytes = bytes.to_string();
    open_with(directory, &[("log_segment", "1048576"), ("memtable_bytes", &bytes), ("table_bytes", &bytes)])
}

pub fn value_of(engine: &LsmEngine, key: &[u8]) -> Option<Vec<u8>> {
    let mut value = Buffer::new();
    engine.get(key, &mut value).unwrap().then(|| value.to_vec())
}
