//! The engine in process: a model that lives through restarts, checkpoints and views, and every optional
//! primitive.

mod life;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use adapter_api::environment::fault::{Fault, FaultPlan, FaultyDirectory};
use adapter_api::environment::{Clock, Lanes};
use adapter_api::*;
use crash::by_hand::{State, applied, entries_of, metric, put, run, state};
use crash::environment::{Disk, SimulatedClock};
use crash::findings::Findings;
use crash::image::mix;
use engine_logmap::LogmapEngine;
use life::{CHECKPOINT, LOG, batch, files, on_disk, request, request_at};

fn open_at(disk: &Disk, checkpoint_log_bytes: u64) -> LogmapEngine {
    LogmapEngine::open(request(disk.root(), Durability::Always, checkpoint_log_bytes)).unwrap()
}

#[test]
fn the_engine_is_the_map_of_the_model_whatever_lanes_restarts_and_views_come_between() {
    is_the_map_of_the_model(|disk, _| open_at(disk, 20_000));
}

#[test]
fn with_values_on_disk_the_engine_is_the_map_of_the_model() {
    is_the_map_of_the_model(|disk, _| {
        LogmapEngine::open(on_disk(request(disk.root(), Durability::Always, 20_000))).unwrap()
    });
}

#[test]
fn a_directory_opens_with_values_in_memory_or_on_disk_whatever_it_was_written_with() {
    is_the_map_of_the_model(|disk, random| {
        let mut request = request(disk.root(), Durability::Always, 20_000);
        if random.is_multiple_of(3) {
            request = on_disk(request);
            request.options.set("disk_value_bytes", ["100", "1000", "6000"][random as usize / 3 % 3]);
        }
        LogmapEngine::open(request).unwrap()
    });
}

fn is_the_map_of_the_model(open: impl Fn(&Disk, u64) -> LogmapEngine) {
    for seed in 1..=6_u64 {
        let disk = Disk::default();
        let mut engine = open(&disk, 0);
        let mut expected = State::new();
        for number in 0..150 {
            let batch = batch(seed, number);
            let before = expected.clone();
            let view = engine.read_view().unwrap();
            engine.apply(batch.as_batch()).unwrap();
            expected = applied(&before, batch.as_batch());
            assert!(state(&engine) == expected, "seed {seed}, batch {number}");
            let mut seen = entries_of(&*view, Direction::Reverse);
            seen.reverse();
            assert!(seen == before.into_iter().collect::<Vec<_>>(), "a view is of its moment");
            drop(view);
            let random = mix(seed ^ number) >> 20;
            for lane in
                [[].as_slice(), &[LOG], &[LOG, CHECKPOINT], &[CHECKPOINT, CHECKPOINT]][random as usize % 4]
            {
                engine.background(*lane).unwrap();
            }
            let mut value = Buffer::new();
            let key = b"key 05";
            let resident = engine.get_resident(key, &mut value).unwrap();
            let wanted = expected.get(&key[..]).map(Vec::as_slice);
            assert_eq!(resident != Resident::Absent, wanted.is_some());
            assert!(resident != Resident::Hit || Some(&value[..]) == wanted);
            let mut values = Values::new();
            engine.multi_get(&[b"none", key], &mut values).unwrap();
            assert_eq!((values.get(0), values.get(1)), (None, wanted));
            let estimate = engine.estimate(KeyRange::all()).unwrap();
            assert_eq!((estimate.entries, estimate.exact), (expected.len() as u64, true));
            if random.is_multiple_of(17) {
                if random.is_multiple_of(2) {
                    engine.close().unwrap();
                }
                drop(engine);
                engine = open(&disk, mix(random));
                assert!(state(&engine) == expected, "seed {seed}, restart behind batch {number}");
            }
        }
        run(&engine, CHECKPOINT);
        run(&engine, LOG);
        let checkpoints = disk.contents().iter().filter(|(name, _)| name.starts_with("checkpoint-")).count();
        assert_eq!(checkpoints, 1, "older ones are removed");
        let names: Vec<_> = disk.contents().into_iter().map(|(name, _)| name).collect();
        assert!(names.len() < 12, "seed {seed}: the log does not grow for ever: {names:?}");
    }
}

#[test]
fn a_checkpoint_of_many_blocks_is_written_in_bounded_steps_and_reads_back() {
    let disk = Disk::default();
    let engine = open_at(&disk, 1);
    let large = vec![7; 3 << 20];
    put(&engine, b"large", &large).unwrap();
    let mut batch = BatchBuilder::new();
    for number in 0..20_000_u32 {
        batch.put(&number.to_be_bytes(), &number.to_le_bytes().repeat(10)).unwrap();
    }
    engine.apply(batch.as_batch()).unwrap();
    let expected = state(&engine);
    let (mut steps, mut largest) = (0, 0);
    let written =
        || disk.contents().iter().filter(|(name, _)| name == "checkpoint.tmp").map(|it| it.1.len()).sum();
    let mut before: usize = written();
    while engine.background(CHECKPOINT).unwrap() == Step::More {
        let now: usize = written();
        largest = largest.max(now.saturating_sub(before));
        (steps, before) = (steps + 1, now);
    }
    assert!(steps >= 6 && (1..=1 << 20).contains(&largest), "{steps} steps of up to {largest} bytes");
    drop(engine);
    assert!(state(&open_at(&disk.cut_to_durable(), 1)) == expected);
}

#[test]
fn a_checkpoint_is_due_when_the_log_has_grown_and_makes_the_next_start_short() {
    let disk = Disk::default();
    let engine = open_at(&disk, 10 * 4096);
    for number in 0..9_u8 {
        put(&engine, &[number], b"v").unwrap();
        run(&engine, CHECKPOINT);
    }
    assert_eq!(metric(&engine, "checkpoints"), 0.0);
    put(&engine, b"tenth", b"v").unwrap();
    run(&engine, CHECKPOINT);
    assert_eq!((metric(&engine, "checkpoints"), metric(&engine, "checkpoint_backlog_log_bytes")), (1.0, 0.0));
    drop(engine);
    let engine = open_at(&disk, 10 * 4096);
    assert_eq!(metric(&engine, "checkpoint_backlog_log_bytes"), 0.0, "nothing is done again");
    put(&engine, b"more", b"v").unwrap();
    drop(engine);
    assert_eq!(metric(&open_at(&disk, 10 * 4096), "checkpoint_backlog_log_bytes"), 4096.0);
}

#[test]
fn an_unfinished_checkpoint_is_removed_at_open_and_given_up_at_close() {
    let disk = Disk::default();
    let unfinished = |disk: &Disk| disk.contents().iter().any(|(name, _)| name == "checkpoint.tmp");
    for close in [false, true] {
        let engine = open_at(&disk, 1);
        put(&engine, b"k", b"v").unwrap();
        engine.background(CHECKPOINT).unwrap();
        engine.background(CHECKPOINT).unwrap();
        assert!(unfinished(&disk));
        if close {
            engine.close().unwrap();
            assert!(!unfinished(&disk));
        }
        drop(engine);
        drop(open_at(&disk, 1));
        assert!(!unfinished(&disk));
    }
}

/// Lanes that are run whenever `apply` waits.
#[derive(Default)]
struct RunOnWait {
    engine: std::sync::OnceLock<std::sync::Weak<LogmapEngine>>,
    waits: AtomicUsize,
    is_stopped: AtomicBool,
}

impl Lanes for RunOnWait {
    fn wake(&self, _: Lane) {}
    fn wait_for(&self, lane: Lane) {
        self.waits.fetch_add(1, Ordering::SeqCst);
        let engine = self.engine.get().and_then(std::sync::Weak::upgrade);
        if let Some(engine) = engine.filter(|_| !self.is_stopped.load(Ordering::SeqCst)) {
            engine.background(lane).unwrap();
        }
    }
}

#[test]
fn apply_waits_when_the_log_is_far_ahead_and_says_so_before() {
    let (disk, lanes) = (Disk::default(), Arc::new(RunOnWait::default()));
    let plan = FaultPlan::from(Fault::Error, u64::MAX);
    let directory = files(FaultyDirectory::new(disk.root(), plan));
    let mut request =
        request_at(directory, Arc::new(SimulatedClock::default()), Durability::Always, 64 << 10);
    request.environment.lanes = Arc::clone(&lanes) as Arc<dyn Lanes>;
    let engine = Arc::new(LogmapEngine::open(request).unwrap());
    lanes.engine.set(Arc::downgrade(&engine)).unwrap();
    let engine = engine.as_ref();
    let mut highest = 0;
    for number in 0..200_u8 {
        put(engine, &[number + 1], b"v").unwrap();
        let pressure = engine.pressure();
        assert_eq!(pressure.level > 0, !pressure.reason.is_empty());
        assert!(pressure.level == 0 || metric(engine, "checkpoint_backlog_log_bytes") > 131_072.0);
        highest = highest.max(pressure.level);
    }
    assert_eq!(highest, 100);
    assert!(metric(engine, "apply_waits") > 0.0 && metric(engine, "checkpoints") >= 2.0);
    assert!(metric(engine, "checkpoint_backlog_log_bytes") <= 262_144.0);
    // Where nobody runs lanes any more, a write does not wait for ever.
    lanes.is_stopped.store(true, Ordering::SeqCst);
    (0..200_u8).for_each(|number| put(engine, &[number + 1], b"w").unwrap());
}

#[test]
fn entries_are_ingested_as_one_durable_record_or_not_at_all() {
    let (disk, source) = (Disk::default(), Disk::default());
    let from = open_at(&source, 0);
    (0..50_u8).for_each(|key| put(&from, &[key, 1], &[key; 100]).unwrap());
    let view = from.read_view().unwrap();
    let entries = || view.cursor(KeyRange::all(), Direction::Forward).unwrap();
    let engine = open_at(&disk, 0);
    engine.ingest(&mut *entries()).unwrap();
    assert_eq!(metric(&engine, "log_groups"), 1.0);
    assert_eq!(state(&open_at(&disk.cut_to_durable(), 0)), state(&from));
    assert!(matches!(engine.ingest(&mut *entries()), Err(EngineError::Rejected { .. })));
    put(&engine, b"still", b"writable").unwrap();
    assert_eq!(state(&open_at(&disk.cut_to_durable(), 0)).len(), 51);
}

#[test]
fn a_backup_is_durable_opens_goes_on_and_needs_an_empty_directory() {
    let (disk, target) = (Disk::default(), Disk::default());
    let engine = open_at(&disk, 0);
    engine.backup(target.root(), &Findings::default()).unwrap();
    assert_eq!(state(&open_at(&target.cut_to_durable(), 0)).len(), 0);
    for number in 0..20 {
        engine.apply(batch(3, number).as_batch()).unwrap();
    }
    let again = engine.backup(target.root(), &Findings::default());
    assert!(matches!(again, Err(EngineError::Rejected { .. })));
    let target = Disk::default();
    engine.backup(target.root(), &Findings::default()).unwrap();
    let copy = open_at(&target.cut_to_durable(), 0);
    assert_eq!(state(&copy), state(&engine));
    put(&copy, b"copy", b"only").unwrap();
    assert!(!state(&engine).contains_key(&b"copy"[..]));
    assert!(target.contents().iter().all(|(name, _)| name != "checkpoint.tmp"));
}

#[test]
fn a_backup_that_was_cut_short_is_refused_or_whole() {
    let engine = open_at(&Disk::default(), 0);
    (0..20).for_each(|number| engine.apply(batch(3, number).as_batch()).unwrap());
    for changes in 0.. {
        let target = Disk::default();
        target.light_fuse(changes);
        let whole = engine.backup(target.root(), &Findings::default()).is_ok();
        for left in [target.killed(), target.cut_to_durable()] {
            match LogmapEngine::open(request(left.root(), Durability::Always, 0)) {
                Ok(copy) => assert!(state(&copy) == state(&engine) || !whole && state(&copy).is_empty()),
                Err(error) => assert!(!whole, "{error}"),
            }
        }
        if whole {
            assert!(changes > 8);
            break;
        }
    }
}

#[test]
fn verify_finds_nothing_in_order_and_every_damage() {
    let disk = Disk::default();
    let engine = open_at(&disk, 1 << 30);
    let watch = Findings::default();
    let findings = |engine: &LogmapEngine| {
        engine.verify(&watch).unwrap();
        watch.take()
    };
    assert_eq!(findings(&engine), [""; 0]);
    for number in 0..12 {
        engine.apply(batch(9, number).as_batch()).unwrap();
        if number == 5 {
            engine.compact(KeyRange::all(), &watch).unwrap();
            run(&engine, LOG);
        }
        assert_eq!(findings(&engine), [""; 0]);
    }
    let files = disk.root();
    let mut damaged = 0;
    for (name, bytes) in disk.contents() {
        let is_checkpoint = name.starts_with("checkpoint");
        for at in (0..bytes.len()).step_by(4096).map(|block| block + 30) {
            let file = files.open_file(&name, environment::OpenFile::WRITE).unwrap();
            let write = |byte: u8| {
                file.write_at(&[std::io::IoSlice::new(&[byte])], at as u64, environment::Cause::Other)
                    .unwrap();
            };
            write(bytes[at] ^ 1);
            let found = findings(&engine);
            assert!(
                !is_checkpoint || found.len() == 1 && found[0].contains(&name),
                "{name} at {at}: {found:?}"
            );
            damaged += usize::from(!found.is_empty());
            write(bytes[at]);
        }
    }
    assert!(damaged > 10, "{damaged}");
    assert_eq!(findings(&engine), [""; 0]);
}

#[test]
fn verify_runs_beside_writes_and_checkpoints_and_finds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let directory = environment::real::RealDirectory::open(folder.path(), Arc::default()).unwrap();
    let engine = LogmapEngine::open(request(files(directory), Durability::Os, 30_000)).unwrap();
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (engine, is_done) = (&engine, &is_done);
        scope.spawn(move || {
            (0..300).for_each(|number| engine.apply(batch(4, number).as_batch()).unwrap());
            is_done.store(true, Ordering::SeqCst);
        });
        scope.spawn(move || {
            while !is_done.load(Ordering::SeqCst) {
                engine.background(LOG).unwrap();
                engine.background(CHECKPOINT).unwrap();
            }
        });
        let watch = Findings::default();
        while !is_done.load(Ordering::SeqCst) {
            engine.verify(&watch).unwrap();
            assert_eq!(watch.take(), [""; 0]);
        }
    });
    assert!(metric(&engine, "checkpoints") > 0.0);
}

#[test]
fn the_class_interval_syncs_in_the_lane_and_the_last_durable_write_is_told() {
    let (disk, clock) = (Disk::default(), Arc::new(SimulatedClock::default()));
    let interval = Durability::Interval(Duration::from_millis(100));
    let engine = LogmapEngine::open(request_at(disk.root(), Arc::clone(&clock) as _, interval, 0)).unwrap();
    put(&engine, b"k", b"v").unwrap();
    assert_eq!(state(&open_at(&disk.cut_to_durable(), 0)).len(), 0);
    assert_eq!(state(&open_at(&disk.killed(), 0)).len(), 1);
    clock.advance(Duration::from_millis(101));
    while engine.background(LOG).unwrap() == Step::More {}
    assert_eq!(state(&open_at(&disk.cut_to_durable(), 0)).len(), 1);
    let now = clock.wall().as_millis();
    assert_eq!(metric(&engine, "last_durable_write_unix_ms"), now as f64);
}

#[test]
fn every_class_has_a_line_for_every_promise_and_a_reason() {
    for durability in [Durability::Always, Durability::Interval(Duration::from_millis(1)), Durability::Os] {
        for checkpoint_log_bytes in ["0", "65536"] {
            let mut options = Options::new();
            options.set("checkpoint_log_bytes", checkpoint_log_bytes);
            let table = LogmapEngine::guarantees(&options, durability);
            let promises: Vec<_> = table.lines().iter().map(|line| line.promise).collect();
            assert_eq!(promises, Promise::ALL);
            assert!(table.lines().iter().all(|line| line.why.len() > 10));
            let kept = |promise| table.line(promise).unwrap().kept;
            assert_eq!(kept(Promise::CrashSafety), durability == Durability::Always);
            assert_eq!(kept(Promise::AsynchronousWrites), durability != Durability::Always);
            assert_eq!(kept(Promise::Performance), checkpoint_log_bytes == "0");
        }
    }
}
