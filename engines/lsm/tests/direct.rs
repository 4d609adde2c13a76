//! Memtables that a merge takes as they are: nothing is written twice, and nothing is lost on the way.

mod store;

use std::sync::Arc;

use adapter_api::*;
use crash::by_hand::{State, Unwatched, applied, metric, run, state};
use crash::environment::{Disk, SimulatedClock};
use crash::image::mix;
use engine_lsm::LsmEngine;
use store::{COMPACTION, FLUSH, LOG, open_at};

/// Two batches of so many keys fill a memtable.
const KEYS: u64 = 6400;
/// Of which the last ones are longer than tables take.
const LONG_KEYS: u64 = 20;

/// A store, and what it should show.
struct World {
    disk: Disk,
    engine: LsmEngine,
    expected: State,
    clock: Arc<SimulatedClock>,
}

impl World {
    fn new() -> Self {
        let (disk, clock) = (Disk::default(), Arc::new(SimulatedClock::default()));
        Self { engine: open(&disk, &clock), disk, expected: State::new(), clock }
    }

    fn apply(&mut self, batch: &BatchBuilder) {
        self.engine.apply(batch.as_batch()).unwrap();
        self.expected = applied(&self.expected, batch.as_batch());
        run(&self.engine, LOG);
    }

    /// Writes as much as a memtable takes: every key twice, and every second time some are deleted.
    fn fill(&mut self, seed: u64) {
        for turn in 0..2 {
            let mut batch = BatchBuilder::new();
            for number in 0..KEYS {
                let key = format!("key {number:06}");
                let value = mix(seed << 32 | turn << 31 | number).to_le_bytes();
                match number {
                    number if number % 16 == 0 && seed % 2 == turn => batch.delete(key.as_bytes()).unwrap(),
                    number if number >= KEYS - LONG_KEYS => {
                        batch.put(key.as_bytes(), &value.repeat(300)).unwrap()
                    }
                    _ => batch.put(key.as_bytes(), &value.repeat(40)).unwrap(),
                }
            }
            self.apply(&batch);
        }
    }

    /// Fills as many memtables, and flushes or merges each.
    fn fill_all(&mut self, seeds: std::ops::Range<u64>) {
        for seed in seeds {
            self.fill(seed);
            run(&self.engine, FLUSH);
            run(&self.engine, COMPACTION);
        }
    }

    /// A merge is under way that holds the fourth memtable, and has written some of its output.
    fn with_a_memtable_under_way() -> Self {
        let mut world = Self::new();
        world.fill_all(0..3);
        world.fill(3);
        run(&world.engine, FLUSH);
        assert_eq!(world.engine.background(COMPACTION).unwrap(), Step::More);
        assert_eq!((world.flushes(), world.merges()), (3.0, 0.0));
        world
    }

    fn flushes(&self) -> f64 {
        metric(&self.engine, "flushes")
    }

    fn merges(&self) -> f64 {
        metric(&self.engine, "compactions")
    }

    /// Everything is there, after a kill and after a power cut too, and no file too many.
    fn check(&self) {
        assert!(state(&self.engine) == self.expected);
        for crashed in [self.disk.killed(), self.disk.cut_to_durable()] {
            let engine = open(&crashed, &self.clock);
            assert!(state(&engine) == self.expected, "after a crash");
            let tables = crashed.contents().iter().filter(|(name, _)| name.starts_with("table-")).count();
            let metrics = engine.metrics();
            let counted = metrics.iter().filter(|it| it.name == "level_tables").map(|it| it.value as usize);
            assert_eq!(tables, counted.sum::<usize>());
        }
    }
}

fn open(disk: &Disk, clock: &Arc<SimulatedClock>) -> LsmEngine {
    let sizes = [("log_segment", "16777216"), ("memtable_bytes", "4194304"), ("blob_value_bytes", "2000")];
    open_at(disk.root(), Arc::clone(clock) as _, &sizes).unwrap()
}

#[test]
fn a_memtable_with_which_level_0_is_merged_is_written_once() {
    let mut world = World::new();
    world.fill_all(0..4);
    assert_eq!((world.flushes(), world.merges()), (3.0, 1.0));
    world.check();
    world.fill_all(4..9);
    assert_eq!((world.flushes(), world.merges()), (7.0, 2.0));
    world.check();
}

#[test]
fn a_range_that_a_held_memtable_deletes_takes_what_is_older_with_it() {
    let mut world = World::new();
    world.fill_all(0..3);
    let mut batch = BatchBuilder::new();
    batch.delete_range(KeyRange::new(b"key 000100", b"key 002000")).unwrap();
    batch.put(b"key 000500", b"new").unwrap();
    world.apply(&batch);
    run(&world.engine, FLUSH);
    run(&world.engine, COMPACTION);
    world.fill(3);
    run(&world.engine, FLUSH);
    run(&world.engine, COMPACTION);
    world.check();
}

#[test]
fn nothing_of_a_held_memtable_is_lost_wherever_a_crash_comes() {
    let mut world = World::new();
    world.fill_all(0..3);
    world.fill(3);
    run(&world.engine, FLUSH);
    let mut steps = 0;
    while world.engine.background(COMPACTION).unwrap() == Step::More {
        world.check();
        steps += 1;
    }
    world.check();
    assert!(steps > 1 && world.merges() == 1.0, "{steps} steps");
}

#[test]
fn compact_writes_what_is_in_memory_once() {
    let mut world = World::new();
    world.fill_all(0..2);
    world.apply(&{
        let mut batch = BatchBuilder::new();
        batch.put(b"key 000001", b"last").unwrap();
        batch
    });
    world.engine.compact(KeyRange::all(), &Unwatched).unwrap();
    assert_eq!((world.flushes(), world.merges()), (2.0, 1.0));
    assert_eq!(metric(&world.engine, "sealed_memtables"), 0.0);
    world.check();
}

#[test]
fn compact_gives_up_a_merge_that_it_would_do_again() {
    let mut world = World::with_a_memtable_under_way();
    world.fill(4);
    world.engine.compact(KeyRange::all(), &Unwatched).unwrap();
    assert_eq!((world.flushes(), world.merges()), (3.0, 1.0));
    run(&world.engine, FLUSH);
    assert_eq!(world.flushes(), 3.0);
    world.check();
}

#[test]
fn who_needs_a_memtable_flushed_takes_it_from_a_merge() {
    struct One(bool);
    impl Cursor for One {
        fn next(&mut self) -> Result<Option<Entry<'_>>> {
            let is_first = std::mem::replace(&mut self.0, false);
            Ok(is_first.then_some(Entry { key: b"key 000000", value: b"loaded" }))
        }

        fn seek(&mut self, _: &[u8]) -> Result<()> {
            Err(EngineError::unsupported("seek"))
        }
    }
    // The memtable says that the key is gone, and has to become older than what is loaded.
    let mut world = World::with_a_memtable_under_way();
    world.engine.ingest(&mut One(true)).unwrap();
    world.expected.insert(b"key 000000".to_vec(), b"loaded".to_vec());
    assert_eq!((world.flushes(), world.merges()), (4.0, 0.0));
    world.check();
    run(&world.engine, COMPACTION);
    world.check();
}

#[test]
fn memtables_that_wait_behind_a_merge_take_the_held_one_from_it() {
    let mut world = World::with_a_memtable_under_way();
    world.fill(4);
    run(&world.engine, FLUSH);
    assert_eq!(world.flushes(), 3.0);
    world.fill(5);
    run(&world.engine, FLUSH);
    assert_eq!((world.flushes(), world.merges()), (6.0, 0.0));
    // Level 0 is to be merged without it now.
    world.fill(6);
    run(&world.engine, FLUSH);
    assert_eq!(world.flushes(), 7.0);
    world.check();
    run(&world.engine, COMPACTION);
    world.check();
}

/// Memtables that were sealed early, for a range was deleted: all that wait make one table.
#[test]
fn small_memtables_of_which_many_wait_are_flushed() {
    let mut world = World::new();
    world.fill_all(0..3);
    for turn in 0..6_u64 {
        let mut batch = BatchBuilder::new();
        (0..1000).for_each(|number| {
            batch
                .put(
                    format!("key {number:06}").as_bytes(),
                    &mix(turn << 20 | number).to_le_bytes().repeat(60),
                )
                .unwrap();
        });
        world.apply(&batch);
        let mut batch = BatchBuilder::new();
        batch.delete_range(KeyRange::new(b"key 000100", b"key 000200")).unwrap();
        world.apply(&batch);
        let steps = (0..1000).take_while(|_| world.engine.background(FLUSH).unwrap() == Step::More).count();
        assert!(steps < 1000, "turn {turn}: memtables are merged and taken back again and again");
    }
    world.check();
}

#[test]
fn a_memtable_whose_merge_fails_is_flushed() {
    let world = World::with_a_memtable_under_way();
    let used: usize = world.disk.contents().iter().map(|(_, bytes)| bytes.len()).sum();
    world.disk.set_capacity(Some(used + (64 << 10)));
    run(&world.engine, COMPACTION);
    assert_eq!((world.merges(), metric(&world.engine, "compaction_failures")), (0.0, 1.0));
    world.disk.set_capacity(None);
    run(&world.engine, FLUSH);
    assert_eq!(world.flushes(), 4.0);
    world.check();
    world.clock.advance(std::time::Duration::from_secs(2));
    run(&world.engine, COMPACTION);
    assert_eq!(world.merges(), 1.0);
    world.check();
}
