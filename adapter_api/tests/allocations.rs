//! Hunts for memory that reads across the border take: they take none once the caller's buffers have grown.

mod probe;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::Arc;

use adapter_api::environment::real::{IoCounters, RealDirectory};
use adapter_api::host::LoadedPlugin;
use adapter_api::*;
use probe::{Asked, Probe, Standing};

/// The system's allocator, counting what each thread asks of it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How often `read` allocates when it runs for the second time.
fn allocations(mut read: impl FnMut()) -> u64 {
    read();
    let before = ALLOCATIONS.get();
    read();
    ALLOCATIONS.get() - before
}

#[test]
fn reads_across_the_border_allocate_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let request = OpenRequest::new(Environment {
        directory: Arc::new(RealDirectory::open(folder.path(), Arc::new(IoCounters::default())).unwrap()),
        clock: Arc::new(Standing),
        lanes: Arc::new(Asked::default()),
    });
    let engine = LoadedPlugin::in_process::<Probe>().open(request).unwrap();
    let mut batch = BatchBuilder::new();
    for n in 0..100_u8 {
        batch.put(&[n, 1], &[n; 100]).unwrap();
    }
    engine.apply(batch.as_batch()).unwrap();
    let view = engine.view().unwrap();
    let mut cursor = view.owned_cursor(KeyRange::all(), Direction::Forward).unwrap();
    let mut value = Buffer::new();
    let mut values = Values::new();
    let keys: Vec<_> = (0..32_u8).map(|n| [n, 1]).collect();
    let keys: Vec<_> = keys.iter().map(|key| &key[..]).collect();

    let get = allocations(|| {
        value.clear();
        assert!(engine.get(&[5, 1], &mut value).unwrap());
        assert!(!engine.get(&[5, 2], &mut value).unwrap());
        assert_eq!(engine.get_resident(&[5, 1], &mut value).unwrap(), Resident::Hit);
    });
    let multi_get = allocations(|| {
        values.clear();
        view.multi_get(&keys, &mut values).unwrap();
    });
    let next = allocations(|| {
        cursor.seek(&[0]).unwrap();
        while cursor.next().unwrap().is_some() {}
    });
    assert_eq!((get, multi_get, next), (0, 0, 0));

    let scan = allocations(|| {
        engine.scan(KeyRange::all(), Direction::Forward, &mut |_| ControlFlow::Continue(())).unwrap();
    });
    assert!(scan > 0, "a scan fills a chunk of its own, so an allocator that counts nothing would show here");
}
