//! The engine in process: a model that lives through restarts, checkpoints and views, and every optional primitive.

mod store;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use adapter_api::*;
use crash::by_hand::{State, applied, entries_of, metric, put, run, state};
use crash::environment::Disk;
use crash::findings::Findings;
use crash::image::mix;
use engine_btree::BtreeEngine;
use store::{CHECKPOINT, LOG, Sorted, batch, open, open_on, request};

fn findings(engine: &BtreeEngine) -> Vec<String> {
    let watch = Findings::default();
    engine.verify(&watch).unwrap();
    watch.take()
}

#[test]
fn the_engine_is_the_map_of_the_model_whatever_lanes_restarts_and_views_come_between() {
    for seed in 1..=6_u64 {
        let disk = Disk::default();
        let mut engine = open(&disk);
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
            let (key, mut values) = (b"key 005", Values::new());
            let wanted = expected.get(&key[..]).map(Vec::as_slice);
            engine.multi_get(&[b"none", key], &mut values).unwrap();
            assert_eq!((values.get(0), values.get(1)), (None, wanted));
            let estimate = engine.estimate(KeyRange::all()).unwrap();
            assert_eq!((estimate.entries, estimate.exact), (expected.len() as u64, true));
            if random.is_multiple_of(17) {
                if random.is_multiple_of(2) {
                    engine.close().unwrap();
                }
                drop(engine);
                engine = open(&disk);
                assert!(state(&engine) == expected, "seed {seed}, restart behind batch {number}");
                assert_eq!(findings(&engine), [""; 0]);
            }
        }
        assert!(metric(&engine, "tree_splits") + metric(&engine, "tree_merges") > 0.0);
        run(&engine, CHECKPOINT);
        run(&engine, LOG);
        assert!(disk.contents().len() < 22, "the log does not grow for ever: {}", disk.contents().len());
    }
}

#[test]
fn a_scan_goes_on_whatever_is_written_meanwhile_and_however_little_views_may_hold() {
    let disk = Disk::default();
    let mut request = request(disk.root(), 20_000);
    request.options.set("view_bytes", "0");
    let engine = BtreeEngine::open(request).unwrap();
    (0..100_u8).for_each(|key| put(&engine, &[key + 1], &[7; 500]).unwrap());
    let mut seen = 0;
    let mut visit = |_: Entry<'_>| {
        seen += 1;
        put(&engine, &[seen], &[8; 500]).unwrap();
        std::ops::ControlFlow::Continue(())
    };
    engine.scan(KeyRange::all(), Direction::Forward, &mut visit).unwrap();
    assert_eq!(seen, 100);
}

/// A map names places of pages that a later one moved, and the file may have been cut since.
#[test]
fn a_file_that_was_cut_opens_again_whatever_lay_at_its_end_before() {
    for seed in 1..=8_u64 {
        let disk = Disk::default();
        let mut engine = open(&disk);
        (0..100).for_each(|key| put(&engine, &[0, key], &[7; 900]).unwrap());
        for number in 0..60_u64 {
            let random = mix(seed << 32 | number) >> 20;
            let mut batch = BatchBuilder::new();
            let key = [1 + (random >> 8) as u8 % 3];
            match random % 3 {
                0 => batch.put(&key, &[number as u8; 30_000]).unwrap(),
                1 => batch.put(&[0, (random >> 16) as u8 % 100], &[number as u8; 900]).unwrap(),
                _ => batch.delete(&key).unwrap(),
            }
            engine.apply(batch.as_batch()).unwrap();
            run(&engine, CHECKPOINT);
            if random.is_multiple_of(7) {
                engine.compact(KeyRange::all(), &Findings::default()).unwrap();
                let expected = state(&engine);
                drop(engine);
                engine =
                    open_on(disk.root()).unwrap_or_else(|error| panic!("seed {seed}, {number}: {error}"));
                assert!(state(&engine) == expected, "seed {seed}, restart behind {number}");
            }
        }
    }
}

#[test]
fn a_checkpoint_is_written_in_bounded_steps_and_makes_the_next_start_short() {
    let disk = Disk::default();
    let engine = BtreeEngine::open(request(disk.root(), 1)).unwrap();
    let mut batch = BatchBuilder::new();
    (0..60_000_u32).for_each(|key| batch.put(&key.to_be_bytes(), &key.to_le_bytes().repeat(20)).unwrap());
    engine.apply(batch.as_batch()).unwrap();
    let expected = state(&engine);
    let length =
        || disk.contents().iter().find(|(name, _)| name == "data").map_or(0, |(_, bytes)| bytes.len());
    let (mut steps, mut largest, mut before) = (0, 0, length());
    while engine.background(CHECKPOINT).unwrap() == Step::More {
        let now = length();
        largest = largest.max(now.saturating_sub(before));
        (steps, before) = (steps + 1, now);
    }
    assert!(
        steps >= 6 && (1..=(1 << 20) + 8192).contains(&largest),
        "{steps} steps of up to {largest} bytes"
    );
    drop(engine);
    let again = open(&disk.cut_to_durable());
    assert!(state(&again) == expected);
    assert_eq!(metric(&again, "checkpoint_backlog_log_bytes"), 0.0);
}

#[test]
fn what_is_ingested_and_a_long_value_are_written_once() {
    let disk = Disk::default();
    let open_it = |disk: &Disk| BtreeEngine::open(request(disk.root(), 1 << 30)).unwrap();
    let engine = open_it(&disk);
    let marked = |number: u32| [b"<mark>".repeat(8), format!("{number:08}").into_bytes()].concat();
    engine
        .ingest(&mut Sorted(
            (0..2_000).map(|key| (format!("{key:08}").into_bytes(), marked(key))).collect(),
            0,
        ))
        .unwrap();
    let long = [marked(7_777), vec![5; 200_000]].concat();
    put(&engine, b"long", &long).unwrap();
    let expected = state(&engine);
    let written = |disk: &Disk, number: u32| -> usize {
        let marks = |bytes: &[u8]| bytes.windows(56).filter(|bytes| *bytes == marked(number)).count();
        disk.contents().iter().map(|(_, bytes)| marks(bytes)).sum()
    };
    let check = |disk: &Disk| {
        for number in [0, 1, 999, 1_998, 1_999, 7_777] {
            assert_eq!(written(disk, number), 1, "entry {number}");
        }
    };
    check(&disk);
    let killed = disk.killed();
    assert!(state(&open_it(&killed)) == expected);
    run(&engine, CHECKPOINT);
    engine.compact(KeyRange::all(), &Findings::default()).unwrap();
    assert!(state(&engine) == expected && findings(&engine).is_empty());
    drop(engine);
    assert!(state(&open_it(&disk.cut_to_durable())) == expected);
}

#[test]
fn what_a_checkpoint_does_not_change_is_not_written_again() {
    let disk = Disk::default();
    let engine = BtreeEngine::open(request(disk.root(), 1 << 30)).unwrap();
    let mut batch = BatchBuilder::new();
    (0..5_000_u32).for_each(|key| batch.put(&key.to_be_bytes(), &[3; 100]).unwrap());
    engine.apply(batch.as_batch()).unwrap();
    let watch = Findings::default();
    engine.compact(KeyRange::all(), &watch).unwrap();
    let before = metric(&engine, "checkpoint_written_bytes");
    put(&engine, &7_u32.to_be_bytes(), b"new").unwrap();
    engine.compact(KeyRange::all(), &watch).unwrap();
    // The page, and the map of it.
    assert!(metric(&engine, "checkpoint_written_bytes") - before < 8192.0);
    assert_eq!(findings(&engine), [""; 0]);
}

#[test]
fn filling_and_emptying_again_and_again_does_not_grow_the_file_and_compact_gives_it_back() {
    let disk = Disk::default();
    let engine = BtreeEngine::open(request(disk.root(), 30_000)).unwrap();
    let watch = Findings::default();
    let length =
        || disk.contents().iter().find(|(name, _)| name == "data").map_or(0, |(_, bytes)| bytes.len());
    let mut lengths = Vec::new();
    for round in 0..10_u32 {
        for chunk in 0..20_u32 {
            let mut batch = BatchBuilder::new();
            for at in 0..50_u32 {
                let key = (chunk * 50 + at).wrapping_mul(2_654_435_761) ^ round;
                batch.put(&key.to_be_bytes(), &[round as u8; 100]).unwrap();
            }
            engine.apply(batch.as_batch()).unwrap();
            run(&engine, CHECKPOINT);
            run(&engine, LOG);
        }
        for chunk in 0..20_u32 {
            let mut batch = BatchBuilder::new();
            (0..50_u32).for_each(|at| {
                let key = (chunk * 50 + at).wrapping_mul(2_654_435_761) ^ round;
                batch.delete(&key.to_be_bytes()).unwrap();
            });
            engine.apply(batch.as_batch()).unwrap();
            run(&engine, CHECKPOINT);
            run(&engine, LOG);
        }
        lengths.push(length());
    }
    assert!(lengths[9] <= lengths[2] + 65_536, "{lengths:?}");
    engine.compact(KeyRange::all(), &watch).unwrap();
    engine.compact(KeyRange::all(), &watch).unwrap();
    assert!(length() <= 8 * 4096, "{} of {lengths:?}", length());
    assert_eq!((findings(&engine), state(&open(&disk.cut_to_durable())).len()), (vec![], 0));
}

#[test]
fn entries_are_ingested_as_one_durable_record_or_not_at_all() {
    let disk = Disk::default();
    let engine = open(&disk);
    put(&engine, b"k05", b"in the way").unwrap();
    let entries = |from: u32, to: u32| {
        let entry = |key: u32| (format!("k{key:02}").into_bytes(), vec![key as u8; 500]);
        Sorted((from..to).map(entry).collect(), 0)
    };
    let refused = engine.ingest(&mut entries(1, 20)).unwrap_err();
    assert!(matches!(refused, EngineError::Rejected { .. }) && refused.to_string().contains("not empty"));
    let mut unsorted = entries(10, 20);
    unsorted.0.swap(3, 4);
    assert!(matches!(engine.ingest(&mut unsorted), Err(EngineError::Rejected { .. })));
    assert_eq!(state(&engine).len(), 1);
    engine.ingest(&mut entries(10, 60)).unwrap();
    engine.ingest(&mut entries(0, 5)).unwrap();
    assert_eq!(state(&engine).len(), 56);
    assert_eq!(state(&open(&disk.cut_to_durable())), state(&engine));
}

#[test]
fn a_backup_is_durable_dense_goes_on_and_needs_an_empty_directory() {
    let engine = open(&Disk::default());
    (0..60).for_each(|number| engine.apply(batch(3, number).as_batch()).unwrap());
    let (target, watch) = (Disk::default(), Findings::default());
    engine.backup(target.root(), &watch).unwrap();
    assert!(matches!(engine.backup(target.root(), &watch), Err(EngineError::Rejected { .. })));
    let copy = open(&target.cut_to_durable());
    assert!(state(&copy) == state(&engine));
    assert_eq!((metric(&copy, "data_free_bytes"), findings(&copy)), (0.0, vec![]));
    put(&copy, b"more", b"v").unwrap();
    run(&copy, CHECKPOINT);
    assert_eq!(findings(&copy), [""; 0]);
}

#[test]
fn a_backup_that_was_cut_short_is_refused_or_whole() {
    let engine = open(&Disk::default());
    (0..20).for_each(|number| engine.apply(batch(3, number).as_batch()).unwrap());
    for changes in 0.. {
        let target = Disk::default();
        target.light_fuse(changes);
        let whole = engine.backup(target.root(), &Findings::default()).is_ok();
        for left in [target.killed(), target.cut_to_durable()] {
            match open_on(left.root()) {
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
fn verify_finds_every_damage_to_what_counts() {
    let disk = Disk::default();
    let engine = BtreeEngine::open(request(disk.root(), 1 << 30)).unwrap();
    for number in 0..30 {
        engine.apply(batch(9, number).as_batch()).unwrap();
    }
    engine.compact(KeyRange::all(), &Findings::default()).unwrap();
    engine.compact(KeyRange::all(), &Findings::default()).unwrap();
    run(&engine, LOG);
    engine.apply(batch(9, 31).as_batch()).unwrap();
    let free = metric(&engine, "data_free_bytes") as usize / 4096;
    let (files, mut unnoticed, mut noticed) = (disk.root(), 0, 0);
    for (name, bytes) in disk.contents() {
        let file = files.open_file(&name, environment::OpenFile::WRITE).unwrap();
        let write = |at: usize, byte: u8| {
            let slice = [std::io::IoSlice::new(std::slice::from_ref(&byte))];
            file.write_at(&slice, at as u64, environment::Cause::Other).unwrap();
        };
        for at in (0..bytes.len()).step_by(4096).map(|block| block + 20) {
            write(at, bytes[at] ^ 1);
            let found = findings(&engine);
            write(at, bytes[at]);
            if name == "data" {
                noticed += usize::from(!found.is_empty());
                unnoticed += usize::from(found.is_empty());
                assert!(found.iter().all(|it| it.contains("data")), "{found:?}");
            }
        }
    }
    // The other superblock, and blocks that are free.
    assert!(noticed > 5 && unnoticed <= free + 1, "{noticed} {unnoticed} {free}");
    assert_eq!(findings(&engine), [""; 0]);
}

#[test]
fn verify_runs_beside_writes_and_checkpoints_and_finds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let directory = environment::real::RealDirectory::open(folder.path(), Arc::default()).unwrap();
    let mut request = request(Arc::new(directory), 30_000);
    request.durability = Durability::Os;
    let engine = BtreeEngine::open(request).unwrap();
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
        while !is_done.load(Ordering::SeqCst) {
            assert_eq!(findings(engine), [""; 0]);
        }
    });
    assert!(metric(&engine, "checkpoints") > 0.0);
}

#[test]
fn every_class_has_a_line_for_every_promise_and_a_reason() {
    for durability in [Durability::Always, Durability::Os] {
        let table = BtreeEngine::guarantees(&Options::new(), durability);
        for promise in Promise::ALL {
            assert!(table.line(promise).is_some_and(|line| !line.why.is_empty()), "{promise:?}");
        }
    }
}

#[test]
fn a_long_value_that_is_overwritten_again_and_again_calls_for_checkpoints_and_does_not_grow_the_file() {
    let disk = Disk::default();
    let engine = BtreeEngine::open(request(disk.root(), 400_000)).unwrap();
    for round in 0..100_u8 {
        put(&engine, b"long", &vec![round; 100_000]).unwrap();
        run(&engine, CHECKPOINT);
    }
    let contents = disk.contents();
    let length = contents.iter().find(|(name, _)| name == "data").map_or(0, |(_, bytes)| bytes.len());
    assert!(length < 2_000_000, "{length} bytes");
    put(&engine, b"long", &[1; 100_000]).unwrap();
    let backlog = metric(&engine, "checkpoint_backlog_log_bytes");
    drop(engine);
    let again = BtreeEngine::open(request(disk.root(), 400_000)).unwrap();
    assert!(backlog > 100_000.0 && metric(&again, "checkpoint_backlog_log_bytes") > 100_000.0);
}

#[test]
fn compacting_gives_back_what_lies_between_pages_that_were_overwritten_at_random() {
    let disk = Disk::default();
    let engine = BtreeEngine::open(request(disk.root(), 400_000)).unwrap();
    let put_all = |round: u32| {
        for chunk in 0..300_u32 {
            let mut batch = BatchBuilder::new();
            (0..100_u32).for_each(|at| {
                let key = mix(u64::from(round) << 40 | u64::from(chunk * 100 + at)) % 30_000;
                batch.put(&(key as u32).to_be_bytes(), &[round as u8; 200]).unwrap();
            });
            engine.apply(batch.as_batch()).unwrap();
            run(&engine, CHECKPOINT);
            run(&engine, LOG);
        }
    };
    (0..3).for_each(put_all);
    engine.compact(KeyRange::all(), &Findings::default()).unwrap();
    let contents = disk.contents();
    let length = contents.iter().find(|(name, _)| name == "data").map_or(0, |(_, bytes)| bytes.len());
    let free = metric(&engine, "data_free_bytes");
    // Two superblocks and the maps lie between, so that not every block in front has to be taken.
    assert!(free <= 0.02 * length as f64, "{free} of {length} bytes are free");
    assert_eq!(findings(&engine), [""; 0]);
}

#[test]
fn verify_looks_at_the_checkpoint_though_a_number_of_it_is_used_again() {
    let disk = Disk::default();
    let engine = BtreeEngine::open(request(disk.root(), 1 << 30)).unwrap();
    put(&engine, b"a", &[1; 5_000]).unwrap();
    engine.compact(KeyRange::all(), &Findings::default()).unwrap();
    let mut batch = BatchBuilder::new();
    batch.delete(b"a").unwrap();
    engine.apply(batch.as_batch()).unwrap();
    // Its page has the number of the one that is gone, and the checkpoint names that one still.
    put(&engine, b"b", &[2; 100_000]).unwrap();
    assert_eq!(findings(&engine), [""; 0]);
}
