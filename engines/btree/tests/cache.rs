//! A store that is much larger than its cache: what it costs, what it keeps to, and that it is right.

mod store;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adapter_api::environment::real::{IoCounters, RealDirectory};
use adapter_api::*;
use crash::by_hand::{State, applied, entries_of, metric, put, run, state};
use crash::environment::{Disk, SimulatedClock};
use crash::findings::Findings;
use crash::image::mix;
use engine_btree::BtreeEngine;
use store::{CHECKPOINT, Files, LOG, batch, request, request_at};

/// A request for a cache of so many bytes, with a log that calls for no checkpoint by itself.
fn request_with_cache(directory: Files, cache_bytes: u64) -> OpenRequest {
    let mut request = request(directory, 1 << 30);
    request.options.set("cache_bytes", &cache_bytes.to_string());
    request
}

fn open_with_cache(disk: &Disk, cache_bytes: u64) -> BtreeEngine {
    BtreeEngine::open(request_with_cache(disk.root(), cache_bytes)).unwrap()
}

/// Stores so many entries of about 120 bytes in order, checkpoints between them, so that all but the last is clean.
fn fill(engine: &BtreeEngine, keys: u32) {
    for chunk in 0..keys.div_ceil(500) {
        let mut batch = BatchBuilder::new();
        (chunk * 500..keys.min((chunk + 1) * 500))
            .for_each(|key| batch.put(&key.to_be_bytes(), &key.to_le_bytes().repeat(29)).unwrap());
        engine.apply(batch.as_batch()).unwrap();
        run(engine, CHECKPOINT);
        run(engine, LOG);
    }
    engine.compact(KeyRange::all(), &Findings::default()).unwrap();
}

fn get(engine: &BtreeEngine, key: u32) -> Option<Vec<u8>> {
    let mut value = Buffer::new();
    engine.get(&key.to_be_bytes(), &mut value).unwrap().then(|| value[..].to_vec())
}

fn resident(engine: &BtreeEngine, key: &[u8]) -> Resident {
    engine.get_resident(key, &mut Buffer::new()).unwrap()
}

#[test]
fn a_store_many_times_larger_than_its_cache_is_the_map_of_the_model_through_restarts_and_views() {
    for seed in 1..=8_u64 {
        let disk = Disk::default();
        let cache_bytes = [1 << 14, 40_000, 100_000][seed as usize % 3];
        let mut engine = open_with_cache(&disk, cache_bytes);
        let (mut expected, mut views) = (State::new(), Vec::new());
        let mut evictions = 0.0;
        for number in 0..220 {
            let batch = batch(seed, number);
            engine.apply(batch.as_batch()).unwrap();
            expected = applied(&expected, batch.as_batch());
            let random = mix(seed ^ number) >> 20;
            for _ in 0..random % 8 {
                engine.background(CHECKPOINT).unwrap();
            }
            engine.background(LOG).unwrap();
            if random.is_multiple_of(3) {
                assert!(state(&engine) == expected, "seed {seed}, batch {number}");
            }
            if random.is_multiple_of(7) {
                views.push((expected.clone(), engine.read_view().unwrap()));
            }
            if views.len() > 3 || random.is_multiple_of(11) && !views.is_empty() {
                let (before, view) = views.remove(random as usize % views.len());
                let mut seen = entries_of(&*view, Direction::Reverse);
                seen.reverse();
                assert!(
                    seen == before.into_iter().collect::<Vec<_>>(),
                    "seed {seed}, batch {number}: a view"
                );
            }
            if random.is_multiple_of(29) {
                views.clear();
                assert_eq!(findings(&engine), [""; 0], "seed {seed}, batch {number}");
                evictions += metric(&engine, "cache_evictions");
                drop(views);
                drop(engine);
                engine = open_with_cache(&disk, cache_bytes);
                views = Vec::new();
                assert!(state(&engine) == expected, "seed {seed}, restart behind batch {number}");
            }
        }
        drop(views);
        evictions += metric(&engine, "cache_evictions");
        assert!(evictions > 50.0, "seed {seed}: {evictions} evictions");
    }
}

fn findings(engine: &BtreeEngine) -> Vec<String> {
    let watch = Findings::default();
    engine.verify(&watch).unwrap();
    watch.take()
}

#[test]
fn the_cache_keeps_to_its_budget_whatever_is_read() {
    let disk = Disk::default();
    let budget = 300_000;
    let engine = open_with_cache(&disk, budget);
    fill(&engine, 20_000);
    let is_kept = |engine: &BtreeEngine| {
        let used = metric(engine, "cache_bytes");
        assert!(used <= budget as f64, "{used} bytes");
    };
    assert!(metric(&engine, "data_bytes") > 8.0 * budget as f64);
    for at in 0..4_000_u64 {
        let key = (mix(at) >> 20) as u32 % 20_000;
        assert_eq!(get(&engine, key), Some(key.to_le_bytes().repeat(29)));
        is_kept(&engine);
    }
    assert_eq!(state(&engine).len(), 20_000);
    is_kept(&engine);
    assert!(metric(&engine, "cache_pages_not_resident") > 400.0);
    assert!(metric(&engine, "cache_hits") > metric(&engine, "cache_misses"));
    // Many keys at one instant: what was looked up for the first of them goes before the last ones.
    let keys: Vec<_> = (0..5_000_u32).map(|key| (key * 4).to_be_bytes()).collect();
    let mut values = Values::new();
    engine.multi_get(&keys.iter().map(|key| &key[..]).collect::<Vec<_>>(), &mut values).unwrap();
    for at in [0_usize, 1, 777, 4_999] {
        assert_eq!(values.get(at), Some(&(at as u32 * 4).to_le_bytes().repeat(29)[..]));
    }
    is_kept(&engine);
}

#[test]
fn what_is_looked_at_all_the_time_stays_while_a_scan_passes() {
    let disk = Disk::default();
    let engine = open_with_cache(&disk, 300_000);
    fill(&engine, 20_000);
    let hot = 7_u32;
    get(&engine, hot);
    let mut scanned = 0;
    let mut visit = |_: Entry<'_>| {
        scanned += 1;
        if scanned % 200 == 0 {
            assert_eq!(resident(&engine, &hot.to_be_bytes()), Resident::Hit, "behind {scanned} entries");
        }
        ControlFlow::Continue(())
    };
    engine.scan(KeyRange::all(), Direction::Reverse, &mut visit).unwrap();
    assert_eq!(scanned, 20_000);
}

/// A store on real files whose reads are counted.
fn counted(folder: &std::path::Path, counters: &Arc<IoCounters>, cache_bytes: u64) -> BtreeEngine {
    let directory = RealDirectory::open(folder, Arc::clone(counters)).unwrap();
    let mut request = request_with_cache(Arc::new(directory), cache_bytes);
    request.durability = Durability::Os;
    BtreeEngine::open(request).unwrap()
}

#[test]
fn a_start_reads_no_page_but_the_root_and_a_cold_miss_is_one_read() {
    let folder = tempfile::tempdir().unwrap();
    let counters = Arc::new(IoCounters::default());
    let engine = counted(folder.path(), &counters, 8 << 20);
    fill(&engine, 20_000);
    put(&engine, b"\xffvalue", &[7; 50_000]).unwrap();
    engine.compact(KeyRange::all(), &Findings::default()).unwrap();
    engine.close().unwrap();
    drop(engine);

    let before = counters.counts().read_bytes;
    let engine = counted(folder.path(), &counters, 8 << 20);
    let data_bytes = metric(&engine, "data_bytes");
    assert!(((counters.counts().read_bytes - before) as f64) < data_bytes / 8.0);
    // The root is needed for the depth, which is among the metrics.
    assert_eq!(metric(&engine, "cache_misses"), 1.0);
    let depth = metric(&engine, "tree_depth") as u64;
    let reads = |look: &dyn Fn()| {
        let before = counters.counts().reads;
        look();
        counters.counts().reads - before
    };
    let key = 10_000_u32.to_be_bytes();
    assert_eq!(resident(&engine, &key), Resident::WouldBlock);
    assert_eq!(reads(&|| drop(get(&engine, 10_000))), depth - 1);
    assert_eq!(resident(&engine, &key), Resident::Hit);
    assert_eq!(resident(&engine, &[&key[..], &[0]].concat()), Resident::Absent);
    assert_eq!(reads(&|| drop(get(&engine, 10_000))), 0);
    assert_eq!(reads(&|| drop(get(&engine, 10_001))), 0, "it is in the same leaf");
    assert_eq!(reads(&|| drop(get(&engine, 10_400))), 1, "the branches are there");
    engine.get(b"\xffvalue2", &mut Buffer::new()).unwrap();
    assert_eq!(
        resident(&engine, b"\xffvalue"),
        Resident::WouldBlock,
        "its leaf is there, and the value is not"
    );
    assert_eq!(reads(&|| assert!(engine.get(b"\xffvalue", &mut Buffer::new()).unwrap())), 1);
    assert_eq!(resident(&engine, b"\xffvalue"), Resident::Hit);
    let mut here = Values::new();
    let asked: [&[u8]; 4] = [&key, b"none", b"\xffvalue", &3_u32.to_be_bytes()];
    assert_eq!(reads(&|| assert!(engine.multi_get_resident(&asked, 1 << 20, &mut Values::new()).is_ok())), 0);
    engine.multi_get_resident(&asked, 1 << 20, &mut here).unwrap();
    assert_eq!((here.len(), here.get(1)), (3, None), "as far as memory knows");
    here.clear();
    engine.multi_get_resident(&asked, 1_000, &mut here).unwrap();
    assert_eq!(here.len(), 2, "the value is too large");
    // A value that is replaced or removed is not read.
    drop(engine);
    let engine = counted(folder.path(), &counters, 8 << 20);
    engine.get(b"\xffvalue2", &mut Buffer::new()).unwrap();
    assert_eq!(reads(&|| put(&engine, b"\xffvalue", &[8; 60_000]).unwrap()), 0);
}

#[test]
fn a_damaged_page_is_named_by_whoever_meets_it_and_an_apply_that_does_changes_nothing() {
    let disk = Disk::default();
    let engine = open_with_cache(&disk, 1 << 20);
    fill(&engine, 3_000);
    engine.close().unwrap();
    let expected = state(&engine);
    drop(engine);
    let mut contents = disk.contents();
    let data =
        contents.iter_mut().find(|(name, _)| name == "data").map(|(_, bytes)| Arc::make_mut(bytes)).unwrap();
    // The block of a leaf in the middle, by its level and a key that it has.
    let block = (2..data.len() / 4096).find(|block| {
        let page = &data[block * 4096..][..4096];
        let key = 1_500_u32.to_le_bytes().repeat(29);
        page[6] == 1 && page.windows(key.len()).any(|bytes| bytes == key)
    });
    let at = block.unwrap() * 4096;
    data[at + 2_000] ^= 4;
    let engine =
        BtreeEngine::open(request_with_cache(Disk::with_contents(&contents).root(), 1 << 20)).unwrap();
    let is_named = |error: EngineError| {
        let named = matches!(&error, EngineError::Corrupt { file, position, .. }
            if file == "data" && (at as u64..at as u64 + 4096).contains(position));
        assert!(named, "{error}");
    };
    is_named(engine.get(&1_500_u32.to_be_bytes(), &mut Buffer::new()).unwrap_err());
    let (records, mut values) = (metric(&engine, "checkpoint_backlog_log_bytes"), Values::new());
    is_named(engine.multi_get(&[&9_u32.to_be_bytes(), &1_500_u32.to_be_bytes()], &mut values).unwrap_err());
    let mut batch = BatchBuilder::new();
    batch.put(&1_u32.to_be_bytes(), b"new").unwrap();
    batch.put(&1_500_u32.to_be_bytes(), b"new").unwrap();
    is_named(engine.apply(batch.as_batch()).unwrap_err());
    let mut everything = BatchBuilder::new();
    everything.delete_range(KeyRange::all()).unwrap();
    is_named(engine.apply(everything.as_batch()).unwrap_err());
    assert_eq!(get(&engine, 1), Some(1_u32.to_le_bytes().repeat(29)));
    assert_eq!(metric(&engine, "checkpoint_backlog_log_bytes"), records, "nothing was appended");
    // What is whole can be read and written.
    put(&engine, &2_900_u32.to_be_bytes(), b"new").unwrap();
    assert_eq!(get(&engine, 2_900), Some(b"new".to_vec()));
    assert_eq!(expected.len(), 3_000);
}

#[test]
fn a_view_of_what_left_memory_stays_while_everything_is_overwritten_and_its_blocks_are_used_when_it_ends() {
    let disk = Disk::default();
    let engine = open_with_cache(&disk, 200_000);
    fill(&engine, 4_000);
    let before = state(&engine);
    let view = engine.read_view().unwrap();
    for round in 0..6_u8 {
        for chunk in 0..8_u32 {
            let mut batch = BatchBuilder::new();
            (0..500).for_each(|at| batch.put(&(chunk * 500 + at).to_be_bytes(), &[round; 116]).unwrap());
            engine.apply(batch.as_batch()).unwrap();
            run(&engine, CHECKPOINT);
            run(&engine, LOG);
        }
        assert!(state(&engine).values().all(|value| *value == [round; 116]));
        let seen = entries_of(&*view, Direction::Forward);
        assert!(seen.into_iter().eq(before.clone()), "round {round}");
        let mut values = Values::new();
        view.multi_get(&[&7_u32.to_be_bytes(), b"none"], &mut values).unwrap();
        assert_eq!((values.get(0), values.get(1)), (Some(&7_u32.to_le_bytes().repeat(29)[..]), None));
    }
    drop(view);
    put(&engine, b"k", b"v").unwrap();
    (0..3).for_each(|_| engine.compact(KeyRange::all(), &Findings::default()).unwrap());
    let (data, free) = (metric(&engine, "data_bytes"), metric(&engine, "data_free_bytes"));
    let live = 4_000.0 * 120.0;
    assert!(data < 2.0 * live, "{data} bytes, of which {free} are free");
    assert_eq!(findings(&engine), [""; 0]);
}

#[test]
fn many_dirty_pages_call_for_a_checkpoint_press_and_make_apply_wait() {
    let disk = Disk::default();
    let engine = open_with_cache(&disk, 1 << 20);
    let put_many = |from: u32, keys: u32| {
        let mut batch = BatchBuilder::new();
        (from..from + keys).for_each(|key| batch.put(&key.to_be_bytes(), &[1; 116]).unwrap());
        engine.apply(batch.as_batch()).unwrap();
    };
    put_many(0, 1_000);
    assert_eq!(engine.background(CHECKPOINT).unwrap(), Step::Idle, "few pages are dirty");
    let (mut levels, mut from) = (vec![engine.pressure().level], 1_000);
    while *levels.last().unwrap() < 100 {
        put_many(from, 300);
        from += 300;
        levels.push(engine.pressure().level);
        assert!(from < 20_000);
    }
    assert!(levels.is_sorted() && levels.iter().any(|level| (1..100).contains(level)), "{levels:?}");
    assert!(engine.pressure().reason.contains("cache"), "{:?}", engine.pressure());
    let dirty = metric(&engine, "cache_dirty_bytes");
    assert!(dirty > 0.5 * f64::from(1 << 20) && dirty < f64::from(1 << 20), "{dirty}");
    run(&engine, CHECKPOINT);
    assert_eq!((engine.pressure().level, metric(&engine, "cache_dirty_bytes")), (0, 0.0));
    assert_eq!(state(&engine).len(), from as usize);
}

#[test]
fn puts_are_refused_when_all_of_the_cache_is_dirty_and_no_checkpoint_can_be_written() {
    let (disk, clock) = (Disk::default(), Arc::new(SimulatedClock::default()));
    let mut request = request_at(disk.root(), Arc::clone(&clock) as _, 1 << 30);
    request.options.set("cache_bytes", "200000");
    let engine = BtreeEngine::open(request).unwrap();
    let mut keys = 0_u32;
    while metric(&engine, "cache_dirty_bytes") < 200_000.0 {
        put(&engine, &keys.to_be_bytes(), &[7; 1_000]).expect("nobody knows yet that there is no room");
        engine.background(LOG).unwrap();
        keys += 1;
    }
    disk.set_capacity(Some(0));
    run(&engine, CHECKPOINT);
    // There is room for the log, and the checkpoint is tried again after a while.
    disk.set_capacity(None);
    let refused = put(&engine, b"k", b"v").unwrap_err();
    assert!(
        matches!(refused, EngineError::Full { .. }) && refused.to_string().contains("cache"),
        "{refused}"
    );
    let mut delete = BatchBuilder::new();
    delete.delete(&0_u32.to_be_bytes()).unwrap();
    engine.apply(delete.as_batch()).expect("deletes pass");
    clock.advance(Duration::from_secs(2));
    run(&engine, CHECKPOINT);
    put(&engine, b"k", b"v").expect("there is room again");
    assert_eq!(state(&engine).len() as u32, keys);
}

#[test]
fn a_backup_and_a_move_of_pages_read_what_is_not_in_memory_and_leave_the_cache_as_it_is() {
    let disk = Disk::default();
    let engine = open_with_cache(&disk, 200_000);
    fill(&engine, 8_000);
    let expected = state(&engine);
    let misses = metric(&engine, "cache_misses");
    let target = Disk::default();
    engine.backup(target.root(), &Findings::default()).unwrap();
    assert_eq!(findings(&engine), [""; 0]);
    assert_eq!(metric(&engine, "cache_misses"), misses);
    assert!(state(&open_with_cache(&target.cut_to_durable(), 50_000)) == expected);
    // Everything in front goes, so what is left has to move.
    let mut batch = BatchBuilder::new();
    batch.delete_range(KeyRange::new(b"", &6_000_u32.to_be_bytes())).unwrap();
    engine.apply(batch.as_batch()).unwrap();
    (0..3).for_each(|_| engine.compact(KeyRange::all(), &Findings::default()).unwrap());
    assert!(metric(&engine, "data_bytes") < 500_000.0, "{}", metric(&engine, "data_bytes"));
    assert!(state(&engine).len() == 2_000 && findings(&engine).is_empty());
    assert!(state(&open_with_cache(&disk.cut_to_durable(), 1 << 30)) == state(&engine));
}

#[test]
fn readers_beside_writes_checkpoints_and_evictions_see_whole_batches() {
    let folder = tempfile::tempdir().unwrap();
    let engine = counted(folder.path(), &Arc::default(), 150_000);
    let (keys, is_done) = (600_u32, AtomicBool::new(false));
    let put_round = |round: u32| {
        let mut batch = BatchBuilder::new();
        for key in 0..keys {
            let value = round
                .to_le_bytes()
                .repeat([29, 250, 1_500][(key % 20 == 3) as usize + (key % 60 == 5) as usize]);
            batch.put(&key.to_be_bytes(), &value).unwrap();
        }
        engine.apply(batch.as_batch()).unwrap();
    };
    put_round(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (1..120).for_each(put_round);
            is_done.store(true, Ordering::SeqCst);
        });
        scope.spawn(|| {
            while !is_done.load(Ordering::SeqCst) {
                engine.background(LOG).unwrap();
                engine.background(CHECKPOINT).unwrap();
            }
        });
        for reader in 0..2_u64 {
            let (engine, is_done) = (&engine, &is_done);
            scope.spawn(move || {
                let (mut at, mut last) = (reader, 0);
                while !is_done.load(Ordering::SeqCst) {
                    at += 2;
                    let some: Vec<_> = (0..5)
                        .map(|part| ((mix(at ^ part << 40) >> 20) as u32 % keys).to_be_bytes())
                        .collect();
                    let mut values = Values::new();
                    engine
                        .multi_get(&some.iter().map(|key| &key[..]).collect::<Vec<_>>(), &mut values)
                        .unwrap();
                    let rounds: Vec<_> = (0..5)
                        .map(|at| u32::from_le_bytes(*values.get(at).unwrap().first_chunk().unwrap()))
                        .collect();
                    assert!(
                        rounds.iter().all(|round| *round == rounds[0]) && rounds[0] >= last,
                        "{rounds:?}"
                    );
                    last = rounds[0];
                    if at % 64 < 2 {
                        let view = engine.read_view().unwrap();
                        let seen = entries_of(&*view, Direction::Forward);
                        let round =
                            |entry: &(Vec<u8>, Vec<u8>)| u32::from_le_bytes(*entry.1.first_chunk().unwrap());
                        assert!(
                            seen.len() as u32 == keys
                                && seen.iter().all(|entry| round(entry) == round(&seen[0]))
                        );
                    }
                }
            });
        }
    });
    assert!(metric(&engine, "cache_evictions") > 100.0 && metric(&engine, "checkpoints") > 3.0);
    assert_eq!(findings(&engine), [""; 0]);
}
