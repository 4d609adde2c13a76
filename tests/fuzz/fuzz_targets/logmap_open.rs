//! The logmap engine on a damaged directory: it answers, and what it showed once it shows again.
#![no_main]

use std::ops::ControlFlow;
use std::sync::LazyLock;

use adapter_api::*;
use engine_logmap::LogmapEngine;
use fuzz::{MemoryDirectory, damage, environment};
use libfuzzer_sys::fuzz_target;

type State = Vec<(Vec<u8>, Vec<u8>)>;

static STORE: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let directory = MemoryDirectory::default();
    let engine = open(&directory).expect("an empty directory");
    for number in 0..24_u8 {
        let mut batch = BatchBuilder::new();
        batch.put(&[b'k', number], &vec![number; usize::from(number) * 40]).expect("within the limits");
        batch.put(b"same", &[number]).expect("within the limits");
        batch.delete(&[b'k', number / 2]).expect("within the limits");
        batch.delete_range(KeyRange::new(b"x", b"y")).expect("within the limits");
        engine.apply(batch.as_batch()).expect("memory");
        if number == 12 {
            engine.compact(KeyRange::all(), &Silent).expect("memory");
        }
    }
    directory.contents()
});

struct Silent;

impl Watch for Silent {
    fn progress(&self, _: u64, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
    fn finding(&self, _: EngineError) {}
}

fn open(directory: &MemoryDirectory) -> Result<LogmapEngine> {
    let mut request = OpenRequest::new(environment(directory));
    request.options = Options::complete(&LogmapEngine::describe().options, [("log_segment", "65536")])
        .expect("the engine publishes it");
    LogmapEngine::open(request)
}

fn state(engine: &LogmapEngine) -> State {
    let mut state = Vec::new();
    let mut visit = |entry: Entry<'_>| {
        state.push((entry.key.to_vec(), entry.value.to_vec()));
        ControlFlow::Continue(())
    };
    engine.scan(KeyRange::all(), Direction::Forward, &mut visit).expect("memory does not fail");
    state
}

fuzz_target!(|input: &[u8]| {
    let mut files = STORE.clone();
    damage(&mut files, input);
    let directory = MemoryDirectory::with(&files);
    let Ok(engine) = open(&directory) else { return };
    let shown = state(&engine);
    drop(engine);
    let again = open(&directory).expect("what was opened opens again");
    assert_eq!(shown, state(&again));
});
