//! The logmap engine on a damaged directory: it answers, and what it showed once it shows again.
//!
//! ```text
//! input    [how u8][damage]…      bit 0: a store with values on disk · bit 1: opened with values on disk
//! ```
#![no_main]

use std::ops::ControlFlow;
use std::sync::LazyLock;

use adapter_api::*;
use engine_logmap::LogmapEngine;
use fuzz::{MemoryDirectory, damage, environment};
use libfuzzer_sys::fuzz_target;

type State = Vec<(Vec<u8>, Vec<u8>)>;

/// A store with all values in memory, and one with values on disk.
static STORES: LazyLock<[Vec<(String, Vec<u8>)>; 2]> = LazyLock::new(|| [store("memory"), store("disk")]);

fn store(values: &str) -> Vec<(String, Vec<u8>)> {
    let directory = MemoryDirectory::default();
    let engine = open(&directory, values).expect("an empty directory");
    for number in 0..24_u8 {
        let mut batch = BatchBuilder::new();
        batch.put(&[b'k', number], &vec![number; usize::from(number) * 40]).expect("within the limits");
        batch.put(b"same", &[number]).expect("within the limits");
        batch.delete(&[b'k', number / 2]).expect("within the limits");
        batch.delete_range(KeyRange::new(b"x", b"y")).expect("within the limits");
        engine.apply(batch.as_batch()).expect("memory");
        if number % 8 == 4 {
            engine.compact(KeyRange::all(), &Silent).expect("memory");
        }
    }
    directory.contents()
}

struct Silent;

impl Watch for Silent {
    fn progress(&self, _: u64, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
    fn finding(&self, _: EngineError) {}
}

fn open(directory: &MemoryDirectory, values: &str) -> Result<LogmapEngine> {
    let mut request = OpenRequest::new(environment(directory));
    let options = [("log_segment", "65536"), ("values", values), ("disk_value_bytes", "64")];
    request.options =
        Options::complete(&LogmapEngine::describe().options, options).expect("the engine publishes them");
    LogmapEngine::open(request)
}

/// Everything there is; a value on disk may be damaged.
fn state(engine: &LogmapEngine) -> Result<State> {
    let mut state = Vec::new();
    let mut visit = |entry: Entry<'_>| {
        state.push((entry.key.to_vec(), entry.value.to_vec()));
        ControlFlow::Continue(())
    };
    engine.scan(KeyRange::all(), Direction::Forward, &mut visit)?;
    Ok(state)
}

fuzz_target!(|input: &[u8]| {
    let Some((how, input)) = input.split_first() else { return };
    let mut files = STORES[usize::from(how & 1)].clone();
    let values = if how & 2 == 0 { "memory" } else { "disk" };
    damage(&mut files, input);
    let directory = MemoryDirectory::with(&files);
    let Ok(engine) = open(&directory, values) else { return };
    let shown = state(&engine);
    // Damage to a value does not keep the others from being moved.
    let moved = engine.compact(KeyRange::all(), &Silent);
    let again = match shown.is_ok() && moved.is_ok() {
        true => state(&engine),
        false => state(&open(&directory, values).expect("what was opened opens again")),
    };
    let text = |state: &Result<State>| state.as_ref().map_err(ToString::to_string).cloned();
    match (&shown, &moved) {
        // The damage is still there; it may be met at another place of the same file.
        (Err(_), _) => assert!(again.is_err()),
        (Ok(_), _) => assert_eq!(text(&shown), text(&again)),
    }
});
