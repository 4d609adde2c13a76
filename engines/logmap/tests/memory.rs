//! How much memory a start takes when the values are on disk: that of the keys, however large the values are.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use adapter_api::environment::Directory;
use adapter_api::environment::real::{RealClock, RealDirectory};
use adapter_api::*;
use crash::by_hand::{NoLanes, Unwatched};
use engine_logmap::LogmapEngine;

/// The system's allocator, counting what is taken and the most that ever was.
struct Counting;

static TAKEN: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let taken = TAKEN.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        MOST.fetch_max(taken, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const VALUES: u32 = 256;
const VALUE_BYTES: usize = 256 << 10;
/// Of all there is: 64 MiB of values.
const BOUND: usize = 8 << 20;

fn open(folder: &tempfile::TempDir, values: &str) -> LogmapEngine {
    let directory: Arc<dyn Directory> = Arc::new(RealDirectory::open(folder.path(), Arc::default()).unwrap());
    let clock = Arc::new(RealClock::new());
    let mut request = OpenRequest::new(Environment { directory, clock, lanes: Arc::new(NoLanes) });
    let options = [("values", values), ("log_segment", "1MiB")];
    request.options = Options::complete(&LogmapEngine::describe().options, options).unwrap();
    request.durability = Durability::Os;
    LogmapEngine::open(request).unwrap()
}

fn checkpoint(engine: &LogmapEngine) {
    engine.compact(KeyRange::all(), &Unwatched).unwrap();
}

/// The most memory that `work` had at once beyond what there was before.
fn most_during<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = TAKEN.load(Ordering::Relaxed);
    MOST.store(before, Ordering::Relaxed);
    let outcome = work();
    (outcome, MOST.load(Ordering::Relaxed) - before)
}

fn fill(engine: &LogmapEngine, with_checkpoints: bool) {
    let mut value = vec![7; VALUE_BYTES];
    for number in 0..VALUES {
        value[..4].copy_from_slice(&number.to_le_bytes());
        let mut batch = BatchBuilder::new();
        batch.put(&number.to_be_bytes(), &value).unwrap();
        engine.apply(batch.as_batch()).unwrap();
        if with_checkpoints && number % 8 == 7 {
            checkpoint(engine);
        }
    }
}

/// Everything is there; read value by value.
fn read_all(engine: &LogmapEngine) {
    for number in 0..VALUES {
        let mut value = Buffer::new();
        assert!(engine.get(&number.to_be_bytes(), &mut value).unwrap());
        assert!(value.len() == VALUE_BYTES && value[..4] == number.to_le_bytes());
    }
}

#[test]
fn a_state_larger_than_memory_is_written_opened_read_checkpointed_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let (_, most) = most_during(|| {
        let engine = open(&folder, "disk");
        fill(&engine, true);
        engine.close().unwrap();
        drop(engine);
        let engine = open(&folder, "disk");
        read_all(&engine);
        engine.verify(&Unwatched).unwrap();
        checkpoint(&engine);
    });
    assert!(most < BOUND, "{most} bytes");

    // What was written with values in memory, too: the values are left in the checkpoint, and moved by the next.
    let folder = tempfile::tempdir().unwrap();
    let engine = open(&folder, "memory");
    fill(&engine, false);
    checkpoint(&engine);
    engine.close().unwrap();
    drop(engine);
    let (engine, most) = most_during(|| {
        let engine = open(&folder, "disk");
        read_all(&engine);
        checkpoint(&engine);
        read_all(&engine);
        engine
    });
    assert!(most < BOUND, "{most} bytes");
    let names = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.filter(|name| name.to_string_lossy().starts_with("values-")).count(), 1);
    engine.close().unwrap();
}
