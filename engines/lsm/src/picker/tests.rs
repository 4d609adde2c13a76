//! Plans carried out on tables that are maps in memory, beside a model that knows the newest word on every key.

mod world;

use std::collections::BTreeMap;

use adapter_api::KeyRange;

use self::world::{KEYS, TABLE_BYTES, World, key, options, random_range, uniform};
use super::shape::RunShape;
use super::*;
use crate::ranges::Ranges;
use crate::version::TableInfo;

const STYLES: [Style; 2] = [Style::Leveled, Style::LazyLeveled];

#[test]
fn whatever_is_picked_every_key_has_its_newest_word_and_it_ends() {
    for (style, seed) in STYLES.into_iter().flat_map(|style| (0..12).map(move |seed| (style, seed))) {
        let mut world = World::new(style, seed);
        // Few levels, or many.
        world.options.base_bytes = [TABLE_BYTES / 4, TABLE_BYTES, 3 * TABLE_BYTES][seed as usize % 3];
        for turn in 0..60 {
            let (count, deletes) = (1 + world.roll(250), world.roll(4));
            let range = if world.roll(4) == 0 { random_range(&mut world) } else { None };
            let (place, width) = (world.roll(KEYS), 1 + world.roll(KEYS));
            world.flush(move |world| (place + world.roll(width)) % KEYS, count, deletes, range);
            if world.roll(6) == 0 {
                world.ingest(place, 1 + width / 4);
            }
            // Not always all that could be done.
            for _ in 0..world.roll(4) {
                let Some(plan) = pick(&world.shape, &world.options) else { break };
                world.carry_out(&plan);
            }
            if turn % 20 == 19 {
                // Changed in a life, as an option may be.
                world.options.style = STYLES[world.roll(2) as usize];
            }
            if turn % 5 == 0 {
                world.check();
            }
        }
        world.settle();
        world.check();
        let scores = scores(&world.shape, &world.options);
        assert!(scores.iter().all(|score| *score < 1.0), "{style:?}, seed {seed}: {scores:?}");
        assert_eq!(debt_bytes(&world.shape, &world.options), 0, "{style:?}, seed {seed}");
    }
}

/// A run of one table, from one key to another one.
fn run(number: u64, id: u64, keys: [&str; 2], bytes: u64, tombstones: u64) -> RunShape {
    let info = TableInfo {
        id,
        bytes,
        lower: keys[0].as_bytes().into(),
        upper: Some(keys[1].as_bytes().into()),
        entries: 100,
        tombstones,
        data_bytes: bytes,
        blobs: Vec::new(),
    };
    RunShape { number, tables: vec![TableShape { info, ranges: Ranges::default() }] }
}

fn shape<const N: usize>(levels: [(usize, Vec<RunShape>); N]) -> Shape {
    let mut shape = Shape { levels: vec![Vec::new(); LAST + 1] };
    levels.into_iter().for_each(|(level, runs)| shape.levels[level] = runs);
    shape
}

#[test]
fn nothing_goes_past_what_is_newer_than_it_would_be_there() {
    for style in STYLES {
        let young =
            vec![run(9, 9, ["a", "m"], 100, 0), run(8, 8, ["c", "z"], 100, 0), run(7, 7, ["b", "d"], 100, 0)];
        // The level in between was needed when there was more.
        let shape = shape([
            (0, young),
            (3, vec![run(2, 2, ["a", "z"], 300, 0)]),
            (LAST, vec![run(1, 1, ["a", "z"], 500, 0)]),
        ]);
        let plan = pick(&shape, &options(style)).unwrap();
        assert_eq!((plan.target.level, plan.drops_tombstones), (3, false), "{style:?}");
    }
}

#[test]
fn small_clusters_go_down_together_only_where_nothing_lies_between_them() {
    let young = |n: u64| run(n, n, [["a", "b"], ["c", "d"], ["x", "y"]][n as usize % 3], 100, 0);
    let below = ["a", "b", "c", "g", "m", "s", "w", "z"];
    let last = below
        .windows(2)
        .zip(20..)
        .map(|(keys, id)| run(1, id, [keys[0], keys[1]], 9_000, 0).tables.remove(0));
    let last = RunShape { number: 1, tables: last.collect() };
    let shape = shape([(0, (3..6).map(young).rev().collect()), (LAST, vec![last])]);
    let plan = pick(&shape, &options(Style::Leveled)).unwrap();
    let met = &plan.inputs.last().unwrap().1;
    assert_eq!((met, plan.inputs.len()), (&vec![20], 2), "{plan:?}");
}

#[test]
fn a_run_that_comes_into_a_level_of_several_is_the_newest_there() {
    // In leveled times the run of the upper level kept its number while newer words came into it.
    let upper = vec![
        run(5, 50, ["a", "m"], 60_000, 0),
        run(4, 40, ["c", "z"], 100, 0),
        run(3, 30, ["c", "z"], 100, 0),
    ];
    let lower = vec![run(9, 10, ["a", "z"], 70_000, 0)];
    let last = vec![run(1, 1, ["a", "z"], 2_000_000, 0)];
    let shape = shape([(LAST - 2, upper), (LAST - 1, lower), (LAST, last)]);
    let plan = pick(&shape, &options(Style::LazyLeveled)).unwrap();
    assert_eq!(plan.inputs.len(), 3);
    assert_eq!(usize::from(plan.target.level), LAST - 1);
    assert!(plan.target.run > 9, "{plan:?}");
}

#[test]
fn tombstones_end_only_where_nothing_older_overlaps_in_older_runs_of_the_level_neither() {
    for (older, drops) in [(["x", "z"], true), (["a", "z"], false)] {
        let upper = (3..6).map(|n| run(n, n, ["a", "m"], 20_000, 10)).rev().collect();
        let lower = vec![run(2, 2, older, 70_000, 0)];
        let last = vec![run(1, 1, ["x", "z"], 2_000_000, 0)];
        let shape = shape([(LAST - 2, upper), (LAST - 1, lower), (LAST, last)]);
        let plan = pick(&shape, &options(Style::LazyLeveled)).unwrap();
        assert_eq!(usize::from(plan.target.level), LAST - 1);
        assert_eq!(plan.drops_tombstones, drops);
    }
}

#[test]
fn younger_levels_may_go_first_while_a_plan_is_under_way() {
    let mut urgent = [0; 2];
    for (style, seed) in STYLES.into_iter().flat_map(|style| (0..16).map(move |seed| (style, seed))) {
        let mut world = World::new(style, 100 + seed);
        world.options.base_bytes = TABLE_BYTES / 4;
        for _ in 0..60 {
            let (count, deletes) = (1 + world.roll(250), world.roll(4));
            let range = if world.roll(4) == 0 { random_range(&mut world) } else { None };
            world.flush(uniform, count, deletes, range);
            if world.roll(8) == 0 {
                let start = world.roll(KEYS);
                world.ingest(start, 200);
            }
            let Some(running) = pick(&world.shape, &world.options) else { continue };
            for _ in 0..world.roll(5) {
                world.flush(uniform, 100, 1, None);
                while let Some(plan) = pick_urgent(&world.shape, &world.options, &running) {
                    world.carry_out(&plan);
                    urgent[usize::from(style == Style::LazyLeveled)] += 1;
                }
            }
            world.carry_out(&running);
            world.check();
        }
        world.settle();
        world.check();
    }
    assert!(urgent.iter().all(|plans| *plans > 20), "{urgent:?}");
}

#[test]
fn a_level_has_the_runs_that_its_style_allows_and_the_sizes_come_from_the_bottom() {
    for style in STYLES {
        let mut world = World::new(style, 5);
        for _ in 0..200 {
            world.flush(uniform, 120, 1, None);
            world.settle();
            for level in 1..LAST {
                let runs = world.shape.runs(level).len();
                let allowed = if style == Style::Leveled { 1 } else { world.options.runs_max };
                let depth = world.shape.depth(level);
                assert!(
                    if level + 1 < LAST { runs } else { depth } <= allowed,
                    "{style:?} level {level}: {runs}"
                );
                let below = world.shape.bytes(level + 1) / world.options.ratio;
                let is_small = world.shape.bytes(level) <= below.max(world.options.base_bytes) + TABLE_BYTES;
                assert!(style == Style::LazyLeveled || is_small, "{:?}", world.shape.bytes(level));
            }
            assert!(world.shape.runs(0).len() < world.options.runs_max);
            assert!(world.shape.runs(LAST).len() <= 1);
        }
        world.check();
        assert!(world.shape.bytes(LAST - 1) > 0, "no level above the last one");
        assert!(world.bytes() < 2 * world.live_bytes(), "{style:?}: {} bytes", world.bytes());
    }
}

#[test]
fn lazy_leveling_writes_less_and_both_write_a_bounded_multiple() {
    let [leveled, lazy] = STYLES.map(|style| {
        let mut world = World::new(style, 6);
        for _ in 0..400 {
            world.flush(uniform, 60, 0, None);
            world.settle();
        }
        world.written_bytes as f64 / world.flushed_bytes as f64
    });
    assert!(lazy < leveled && leveled < 16.0, "lazy {lazy:.1}, leveled {leveled:.1}");
}

#[test]
fn debt_stays_bounded_while_compactions_write_a_multiple_of_what_is_flushed() {
    for style in STYLES {
        let mut world = World::new(style, 7);
        let (mut most, mut allowed) = (0, 0);
        for _ in 0..300 {
            world.flush(uniform, 60, 1, None);
            allowed = world.flushed_bytes * 14;
            while world.written_bytes < allowed {
                let Some(plan) = pick(&world.shape, &world.options) else { break };
                world.carry_out(&plan);
            }
            most = most.max(debt_bytes(&world.shape, &world.options));
        }
        assert!(most < 3 * world.bytes(), "{style:?}: {most} bytes of debt, {} of data", world.bytes());
        assert!(allowed > 0);
    }
}

#[test]
fn keys_that_only_grow_are_moved_and_hardly_written_again() {
    for style in STYLES {
        let mut world = World::new(style, 8);
        for turn in 0..20 {
            // A flush makes a whole table.
            let next = std::cell::Cell::new(turn * 90);
            world.flush(move |_| next.replace(next.get() + 1), 90, 0, None);
            world.settle();
        }
        world.check();
        assert!(world.written_bytes <= world.flushed_bytes / 2, "{style:?}: {}", world.written_bytes);
    }
}

#[test]
fn deleting_everything_frees_the_space_though_nothing_more_is_written() {
    for (style, by_range) in STYLES.into_iter().flat_map(|style| [(style, false), (style, true)]) {
        let mut world = World::new(style, 9);
        for _ in 0..60 {
            world.flush(uniform, 120, 0, None);
            world.settle();
        }
        let before = world.bytes();
        let mut all = Ranges::default();
        all.add(KeyRange::all());
        match by_range {
            true => world.flush(uniform, 1, 0, Some(all)),
            false => {
                let next = std::cell::Cell::new(0);
                world.flush(move |_| next.replace(next.get() + 1), KEYS, 8, None);
            }
        }
        let written = world.written_bytes;
        let reasons = world.settle();
        world.check();
        assert!(reasons.contains(&Reason::Deletes), "{reasons:?}");
        assert!(world.bytes() < before / 50, "{style:?} {by_range}: {} of {before} bytes", world.bytes());
        assert!(
            !by_range || world.written_bytes - written < before / 10,
            "what is covered is not written again"
        );
    }
}

#[test]
fn a_few_deletes_are_not_chased_through_all_levels() {
    let mut world = World::new(Style::Leveled, 10);
    for _ in 0..60 {
        world.flush(uniform, 120, 0, None);
        world.settle();
    }
    world.flush(uniform, 5, 8, None);
    assert_eq!(pick(&world.shape, &world.options), None);
}

#[test]
fn blob_files_of_which_little_is_live_are_emptied() {
    for style in STYLES {
        let mut world = World::new(style, 11);
        for _ in 0..120 {
            world.flush(uniform, 120, 1, None);
            world.settle();
        }
        let mut live: BTreeMap<u64, u64> = BTreeMap::new();
        for run in world.shape.levels.iter().flatten() {
            for (file, bytes) in run.tables.iter().flat_map(|table| &table.info.blobs) {
                *live.entry(*file).or_default() += bytes;
            }
        }
        assert!(!live.is_empty());
        for (file, live) in live {
            let bytes = world.options.blob_bytes[&file];
            assert!(live >= bytes / 2, "{style:?}: {live} of {bytes} bytes of file {file} are live");
        }
        assert!(world.settle().is_empty());
        world.check();
    }
}

#[test]
fn a_table_that_refers_to_many_small_blob_files_is_written_again_once() {
    let mut world = World::new(Style::Leveled, 13);
    world.flush(|world| world.roll(50), 40, 0, None);
    let table = &mut world.shape.levels[0][0].tables[0];
    table.info.blobs = (100..100 + SMALL_BLOBS_MAX as u64).map(|file| (file, 90)).collect();
    world.options.blob_bytes = (100..200).map(|file| (file, 100)).collect();
    let plan = pick(&world.shape, &world.options).unwrap();
    assert_eq!((plan.reason, plan.blobs_to_collect.len()), (Reason::Blobs, SMALL_BLOBS_MAX));
    world.shape.levels[0][0].tables[0].info.blobs.pop();
    assert_eq!(pick(&world.shape, &world.options), None);
}

#[test]
fn compacting_a_range_brings_it_down_and_leaves_no_deletes_there() {
    for (style, seed) in [Style::Leveled, Style::LazyLeveled, Style::Off].into_iter().zip(20..) {
        let mut world = World::new(style, seed);
        for _ in 0..40 {
            let range = random_range(&mut world);
            world.flush(uniform, 100, 2, range);
            for _ in 0..world.roll(3) {
                let Some(plan) = pick(&world.shape, &world.options) else { break };
                world.carry_out(&plan);
            }
        }
        // What comes later is left alone.
        world.flush(uniform, 100, 2, None);
        let newest = world.shape.runs(0)[0].number;
        let (start, end) = (key(300), key(900));
        let (mut plans, mut descent) = (0, Descent::new(KeyRange::new(&start, &end), newest - 1));
        while let Some(plan) = descent.pick(&world.shape, &world.options) {
            world.carry_out(&plan);
            plans += 1;
            assert!(plans < 1000, "it does not end: {plan:?}");
        }
        world.check();
        let range = KeyRange::new(&start, &end);
        for level in 1..LAST {
            assert_eq!(world.shape.tables_in(level, range).count(), 0, "{style:?} level {level}");
        }
        assert!(
            world.shape.runs(0).iter().all(|run| run.number >= newest || run.tables_in(range).is_empty())
        );
        assert!(world.shape.tables_in(LAST, range).all(|table| !table.deletes()));
        assert_eq!(world.shape.runs(0).first().map(|run| run.number), Some(newest));
    }
}

#[test]
fn compacting_ends_beside_writers_and_brings_down_all_that_was_there() {
    for (style, seed) in STYLES.into_iter().flat_map(|style| (40..44).map(move |seed| (style, seed))) {
        let mut world = World::new(style, seed);
        world.options.base_bytes = TABLE_BYTES / 4;
        for _ in 0..40 {
            world.flush(uniform, 100, 2, None);
            for _ in 0..world.roll(4) {
                let Some(plan) = pick(&world.shape, &world.options) else { break };
                world.carry_out(&plan);
            }
        }
        let (writes, newest) = (world.writes, world.id());
        let (mut descent, mut plans) = (Descent::new(KeyRange::all(), newest), 0);
        while let Some(plan) = descent.pick(&world.shape, &world.options) {
            let again = descent.pick(&world.shape, &world.options);
            assert_eq!(again, Some(plan.clone()), "what has failed is picked again");
            world.carry_out(&plan);
            world.flush(uniform, 100, 1, None);
            world.settle();
            plans += 1;
            assert!(plans < 300, "{style:?}, seed {seed}: it does not end: {plan:?}");
        }
        assert_eq!(world.above_last(writes), 0, "{style:?}, seed {seed}");
        assert!(plans > 1 && world.above_last(u64::MAX) > 0, "nothing was written beside {plans} plans");
        world.check();
    }
}

#[test]
fn an_ingest_goes_down_at_once_where_it_meets_nothing() {
    for (style, on_sides) in STYLES.into_iter().flat_map(|style| [(style, false), (style, true)]) {
        let mut world = World::new(style, 14);
        for start in [0, 1820].into_iter().filter(|_| on_sides) {
            world.ingest(start, 180);
            world.settle();
        }
        world.ingest(200, 1600);
        world.settle();
        assert_eq!((world.written_bytes, world.shape.bytes(0)), (0, 0), "{style:?}");
        world.check();
    }
}

#[test]
fn an_ingest_is_not_written_again_for_what_is_flushed_before_it_and_later() {
    for style in STYLES {
        let mut world = World::new(style, 16);
        (0..2).for_each(|_| world.flush(|world| world.roll(90), 60, 0, None));
        world.ingest(100, 1700);
        for _ in 0..3 {
            world.flush(uniform, 60, 0, None);
        }
        world.settle();
        assert!(world.written_bytes < world.bytes() / 4, "{style:?}: {}", world.written_bytes);
        world.check();
    }
}

#[test]
fn a_flushed_table_that_meets_nothing_waits_until_it_is_merged_with_others() {
    let mut world = World::new(Style::Leveled, 15);
    world.flush(uniform, 60, 0, None);
    assert_eq!(pick(&world.shape, &world.options), None);
}

#[test]
fn a_plan_does_again_what_others_do_with_some_of_its_tables_and_the_same_level() {
    let run = |number| run(number, number, ["a", "z"], 100, 0);
    let whole = shape([(0, (2..6).rev().map(run).collect()), (LAST, vec![run(1)])]);
    let plan = pick(&whole, &options(Style::LazyLeveled)).unwrap();
    assert_eq!((plan.tables().count(), whole.bytes_of(&plan)), (5, 500));
    let more = shape([(0, (2..7).rev().map(run).collect()), (LAST, vec![run(1)])]);
    let larger = Descent::new(KeyRange::all(), u64::MAX).pick(&more, &options(Style::LazyLeveled)).unwrap();
    assert!(larger.includes(&plan) && !plan.includes(&larger));
    let elsewhere = Plan { target: Place { level: 3, run: 1 }, ..plan };
    assert!(!larger.includes(&elsewhere));
}

#[test]
fn nothing_is_picked_where_compaction_is_off() {
    let mut world = World::new(Style::Off, 12);
    for _ in 0..20 {
        world.flush(uniform, 100, 4, None);
    }
    assert_eq!(pick(&world.shape, &world.options), None);
    assert_eq!((debt_bytes(&world.shape, &world.options), world.shape.runs(0).len()), (0, 20));
}
