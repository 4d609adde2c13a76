//! Compactions beside writers, in the engine as it ships.

mod store;

use std::io::IoSlice;

use adapter_api::environment::{Cause, OpenFile};
use adapter_api::*;
use crash::by_hand::{self, State, Unwatched, applied, metric, run, state};
use crash::environment::Disk;
use crash::image::mix;
use engine_lsm::LsmEngine;
use store::{COMPACTION, FLUSH, LOG, open_with};

/// Small sizes, so that much happens.
fn open(disk: &Disk, style: &str, memtable_bytes: u64, table_bytes: u64) -> LsmEngine {
    let options = [
        ("log_segment", "1048576"),
        ("memtable_bytes", &memtable_bytes.to_string()),
        ("table_bytes", &table_bytes.to_string()),
        ("blob_value_bytes", "2000"),
        ("compression", "none"),
        ("compaction", style),
    ];
    open_with(disk.root(), &options).unwrap()
}

fn level_runs(engine: &LsmEngine, level: &str) -> f64 {
    let metrics = engine.metrics();
    let of_level = |metric: &&Metric| {
        metric.name == "level_runs"
            && metric.labels.iter().any(|(name, value)| name == "level" && value == level)
    };
    metrics.iter().find(of_level).map_or(0.0, |metric| metric.value)
}

/// So many puts of keys all over the place.
fn puts(seed: u64, count: u64, keys: u64, value_bytes: usize) -> BatchBuilder {
    let mut batch = BatchBuilder::new();
    for number in 0..count {
        let random = mix(seed << 20 | number);
        let value = random.to_le_bytes().repeat(value_bytes / 8);
        batch.put(format!("key {:06}", (random >> 20) % keys).as_bytes(), &value).unwrap();
    }
    batch
}

#[test]
fn writes_wait_for_less_the_further_a_merge_has_come() {
    let disk = Disk::default();
    let engine = open(&disk, "leveled", 64 << 10, 1 << 30);
    for seed in 0..69 {
        engine.apply(puts(seed, 140, 20_000, 500).as_batch()).unwrap();
        run(&engine, LOG);
        run(&engine, FLUSH);
        // The last ones run ahead of it.
        if seed < 60 {
            run(&engine, COMPACTION);
        }
    }
    let state = || (metric(&engine, "compactions"), engine.pressure().level);
    let (mut before, mut falls) = (state(), 0);
    while engine.background(COMPACTION).unwrap() == Step::More {
        let after = state();
        if after.0 == before.0 {
            assert!(after.1 <= before.1, "from {} to {} while nothing came in", before.1, after.1);
            falls += u32::from(after.1 < before.1);
        }
        before = after;
    }
    assert!(falls > 0, "writes wait for the end of a merge");
}

#[test]
fn level_0_does_not_fill_while_a_long_compaction_is_under_way() {
    // Tables so large that the last level is one, and every merge into it writes all of it.
    let (disk, mut expected) = (Disk::default(), State::new());
    let engine = open(&disk, "lazy_leveled", 64 << 10, 64 << 20);
    let mut turn = |seed: u64| {
        let batch = puts(seed, 70, 20_000, 1000);
        engine.apply(batch.as_batch()).unwrap();
        expected = applied(&expected, batch.as_batch());
        run(&engine, LOG);
        run(&engine, FLUSH);
    };
    for seed in 0..300 {
        turn(seed);
        run(&engine, COMPACTION);
    }
    let (mut most, mut busy) = (0.0_f64, 0);
    for seed in 300..420 {
        turn(seed);
        busy += u64::from(engine.background(COMPACTION).unwrap() == Step::More);
        most = most.max(level_runs(&engine, "0"));
    }
    assert!(busy > 40, "{busy} turns with a step");
    assert!(most <= 5.0, "level 0 had {most} runs");
    assert!(state(&engine) == expected);
}

#[test]
fn a_damaged_long_value_is_told_by_reads_and_keeps_nothing_from_being_merged() {
    let disk = Disk::default();
    let engine = open(&disk, "leveled", 64 << 10, 64 << 10);
    let put = |numbers: std::ops::Range<u64>, turn: u64| {
        for number in numbers {
            let value = mix(number << 8 | turn).to_le_bytes().repeat(400);
            by_hand::put(&engine, format!("key {number}").as_bytes(), &value).unwrap();
        }
    };
    put(0..12, 0);
    engine.compact(KeyRange::all(), &Unwatched).unwrap();
    // The value that stays is damaged, and the others are overwritten, so that it is to be moved.
    let value = mix(0).to_le_bytes();
    for (name, bytes) in disk.contents().iter().filter(|(name, _)| name.starts_with("blob-")) {
        let at = bytes.windows(8).position(|window| window == value).unwrap() as u64;
        let file = disk.root().open_file(name, OpenFile::WRITE).unwrap();
        file.write_at(&[IoSlice::new(&[value[0] ^ 1])], at, Cause::Other).unwrap();
    }
    put(1..12, 1);
    engine.compact(KeyRange::all(), &Unwatched).unwrap();
    assert_eq!(engine.background(COMPACTION).unwrap(), Step::Idle);
    let mut damage = Vec::new();
    for number in 0..12 {
        let outcome = engine.get(format!("key {number}").as_bytes(), &mut Buffer::new());
        damage.extend(outcome.err().map(|error| (number, error)));
    }
    assert!(matches!(damage[..], [(0, EngineError::Corrupt { .. })]), "{damage:?}");
    // Others go on.
    put(1..12, 2);
    engine.compact(KeyRange::all(), &Unwatched).unwrap();
    assert_eq!(level_runs(&engine, "0"), 0.0);
}

/// How many tables and blob files there are, and how many the engine counts.
fn files(disk: &Disk, engine: &LsmEngine) -> [(usize, usize); 2] {
    let named = |prefix: &str| disk.contents().iter().filter(|(name, _)| name.starts_with(prefix)).count();
    let metrics = engine.metrics();
    let counted = |name: &str| metrics.iter().filter(|it| it.name == name).map(|it| it.value as usize).sum();
    [(named("table-"), counted("level_tables")), (named("blob-"), counted("blob_files"))]
}

#[test]
fn after_any_crash_a_start_leaves_no_file_that_nothing_names() {
    let (disk, mut left) = (Disk::default(), 0);
    let engine = open(&disk, "lazy_leveled", 8 << 10, 16 << 10);
    for number in 0..80 {
        let random = mix(number) >> 20;
        let batch = puts(number, 1 + random % 30, 500, [40, 200, 3000][random as usize % 3]);
        engine.apply(batch.as_batch()).unwrap();
        run(&engine, LOG);
        for _ in 0..random % 5 {
            engine.background([FLUSH, COMPACTION][(mix(random) % 2) as usize]).unwrap();
        }
        for crashed in disk.power_cuts(1, number).into_iter().chain([disk.killed()]) {
            let before = crashed.contents().len();
            let engine = open(&crashed, "lazy_leveled", 8 << 10, 16 << 10);
            for (there, counted) in files(&crashed, &engine) {
                assert_eq!(there, counted, "files and those that count, batch {number}");
            }
            left += usize::from(crashed.contents().len() < before);
        }
    }
    assert!(left > 20, "only {left} crashes left something to remove");
}

#[test]
fn whatever_is_merged_when_the_store_shows_what_was_written_and_keeps_no_file_too_many() {
    for (style, seed) in
        ["lazy_leveled", "leveled"].into_iter().flat_map(|style| (1..4).map(move |seed| (style, seed)))
    {
        let (disk, mut expected) = (Disk::default(), State::new());
        let mut engine = open(&disk, style, 8 << 10, 16 << 10);
        for number in 0..400 {
            let random = mix(seed ^ number << 8) >> 20;
            let mut batch =
                puts(seed << 10 ^ number, 1 + random % 30, 500, [40, 200, 3000][random as usize % 3]);
            let start = format!("key {:06}", random % 500);
            match random % 16 {
                0 => batch.delete_range(KeyRange::new(start.as_bytes(), b"key 000400")).unwrap(),
                1 => batch.delete_range(KeyRange::from_start(start.as_bytes())).unwrap(),
                _ => batch.delete(start.as_bytes()).unwrap(),
            }
            engine.apply(batch.as_batch()).unwrap();
            expected = applied(&expected, batch.as_batch());
            run(&engine, LOG);
            for _ in 0..random % 5 {
                engine.background([FLUSH, COMPACTION][(mix(random) % 2) as usize]).unwrap();
            }
            if random.is_multiple_of(40) {
                assert!(state(&engine) == expected, "{style}, seed {seed}, batch {number}");
            }
            if random.is_multiple_of(90) {
                drop(engine);
                engine = open(&disk.killed(), style, 8 << 10, 16 << 10);
                assert!(state(&engine) == expected, "{style}, seed {seed}, batch {number}, after a kill");
                drop(engine);
                engine = open(&disk, style, 8 << 10, 16 << 10);
            }
        }
        run(&engine, FLUSH);
        run(&engine, COMPACTION);
        assert!(state(&engine) == expected, "{style}, seed {seed}");
        engine.close().unwrap();
        drop(engine);
        let named =
            |prefix: &str| disk.contents().iter().filter(|(name, _)| name.starts_with(prefix)).count();
        let before = (named("table-"), named("blob-"));
        drop(open(&disk, style, 8 << 10, 16 << 10));
        assert_eq!((named("table-"), named("blob-")), before, "the next start finds something to remove");
    }
}
