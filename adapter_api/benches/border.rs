//! What a read across the border costs over the same read made statically.
//!
//! Prints nanoseconds a call, the best of several rounds of the three in turns: the engine's method called
//! statically, through the border in this program, and through the border of the loaded library.

#![allow(clippy::print_stdout, reason = "a benchmark prints its results")]

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use adapter_api::environment::real::{IoCounters, RealClock, RealDirectory};
use adapter_api::environment::{Lane, Lanes};
use adapter_api::host::LoadedPlugin;
use adapter_api::*;
use engine_memory::MemoryEngine;

const ROUNDS: usize = 40;
const CALLS: u32 = 20_000;
const KEYS: u32 = 1_000;

struct NoLanes;

impl Lanes for NoLanes {
    fn wake(&self, _: Lane) {}
    fn wait_for(&self, _: Lane) {}
}

fn request() -> OpenRequest {
    let folder = std::env::temp_dir();
    OpenRequest::new(Environment {
        directory: Arc::new(
            RealDirectory::open(&folder, Arc::new(IoCounters::default())).expect("a temporary folder"),
        ),
        clock: Arc::new(RealClock::new()),
        lanes: Arc::new(NoLanes),
    })
}

/// The library beside this program: cargo builds it for the dev-dependency.
fn library() -> PathBuf {
    let program = std::env::current_exe().expect("a program has a path");
    program.with_file_name("libengine_memory.so")
}

fn key(n: u32) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    key[12..].copy_from_slice(&n.to_be_bytes());
    key
}

fn fill(engine: &impl StorageEngine) {
    let mut batch = BatchBuilder::new();
    for n in 0..KEYS {
        batch.put(&key(n), &[7; 100]).expect("within the limits");
    }
    engine.apply(batch.as_batch()).expect("memory takes it");
}

/// The time of one call of `read`, which gets numbers that jump about.
fn time(mut read: impl FnMut(u32)) -> Duration {
    let start = Instant::now();
    for n in 0..CALLS {
        read(n.wrapping_mul(2_654_435_761) % KEYS);
    }
    start.elapsed() * 1000 / CALLS
}

fn get(engine: &impl StorageEngine) -> Duration {
    let mut value = Buffer::with_capacity(128);
    time(|n| {
        value.clear();
        black_box(engine.get(black_box(&key(n)), &mut value).expect("memory does not fail"));
    })
}

fn miss(engine: &impl StorageEngine) -> Duration {
    let mut value = Buffer::with_capacity(128);
    time(|_| {
        black_box(engine.get(black_box(b"absent"), &mut value).expect("memory does not fail"));
    })
}

fn view(engine: &impl StorageEngine) -> Duration {
    time(|_| drop(black_box(engine.read_view().expect("memory does not fail"))))
}

fn next(engine: &impl StorageEngine) -> Duration {
    let view = engine.read_view().expect("memory does not fail");
    let mut cursor = view.cursor(KeyRange::all(), Direction::Forward).expect("memory does not fail");
    time(|_| {
        if black_box(cursor.next().expect("memory does not fail")).is_none() {
            cursor.seek(&[0]).expect("memory does not fail");
        }
    })
}

fn scan(engine: &impl StorageEngine) -> Duration {
    let start = Instant::now();
    let mut entries = 0_u32;
    while entries < CALLS {
        let mut visit = |entry: Entry<'_>| {
            black_box(entry);
            entries += 1;
            std::ops::ControlFlow::Continue(())
        };
        engine.scan(KeyRange::all(), Direction::Forward, &mut visit).expect("memory does not fail");
    }
    start.elapsed() * 1000 / entries
}

fn main() {
    let statically = MemoryEngine::open(request()).expect("memory opens");
    let in_process = LoadedPlugin::in_process::<MemoryEngine>().open(request()).expect("memory opens");
    let loaded = LoadedPlugin::load(&library()).expect("the library is beside this program");
    let loaded = loaded.open(request()).expect("memory opens");
    fill(&statically);
    fill(&in_process);
    fill(&loaded);

    println!(
        "{:<30}{:>10}{:>12}{:>10}{:>20}",
        "ns a call, best of rounds", "static", "in process", "loaded", "loaded - static"
    );
    macro_rules! row {
        ($name:literal, $read:ident) => {
            let mut best = [Duration::MAX; 3];
            for _ in 0..ROUNDS {
                for (best, now) in
                    best.iter_mut().zip([$read(&statically), $read(&in_process), $read(&loaded)])
                {
                    *best = now.min(*best);
                }
            }
            let [a, b, c] = best.map(|best| best.as_nanos() as f64 / 1000.0);
            println!("{:<30}{a:>10.1}{b:>12.1}{c:>10.1}{:>20.1}", $name, c - a);
        };
    }
    row!("get, 16 B key, 100 B value", get);
    row!("get, absent key", miss);
    row!("next of a cursor", next);
    row!("scan, an entry", scan);
    row!("read_view and drop", view);
}
