//! Power cuts and kills at every change of the disk, in life, in first start and in recovery.

mod sim;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use adapter_api::{Durability, EngineError, Step};
use sim::workload::{Act, Model, life, life_cut_short, small};
use sim::{Disk, Planted};
use wal::LogOptions;

/// Runs `check` with every number of changes after which a life can be cut short, on two threads.
fn at_every_change(options: LogOptions, acts: &[Act], check: impl Fn(&Disk, &Model, u64) + Sync) {
    let (changes, done) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let count = changes.fetch_add(1, Ordering::SeqCst);
                    if count > done.load(Ordering::SeqCst) {
                        break;
                    }
                    let (disk, model, whole) = life_cut_short(options, acts, count);
                    check(&disk, &model, count);
                    if whole {
                        done.fetch_min(count, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert!(done.load(Ordering::SeqCst) > 60, "the life is too short to show anything");
}

/// The log opens to what it must, what it showed outlives a power cut right then, and so does what is
/// committed next.
fn opens_right(state: &Disk, model: &Model, options: LogOptions, at_least: u64) {
    let mut model = model.clone();
    let (log, recovery) = model.open(&state.files(), options, at_least).unwrap();
    drop(log);
    let cut = state.cut_to_durable();
    let (log, _) =
        model.clone().open(&cut.files(), options, recovery.last).expect("after recovery and a cut");
    drop(log);
    let (log, _) = model.open(&cut.files(), options, recovery.last).expect("opened twice");
    model.commit_one(&log, 100).unwrap();
    model.commit_one(&log, 5000).unwrap();
    log.sync().unwrap();
    let last = model.acknowledged;
    model.open(&cut.cut_to_durable().files(), options, last).expect("after one more session");
}

fn survives_power_cuts(durability: Durability) -> u64 {
    let (options, states) = (small(durability), AtomicU64::new(0));
    at_every_change(options, &life(), |disk, model, count| {
        let mut seen = HashSet::new();
        for state in disk.power_cuts(&mut seen, 20, count) {
            states.fetch_add(1, Ordering::SeqCst);
            opens_right(&state, model, options, model.durable);
        }
        opens_right(&disk.killed(), model, options, model.acknowledged);
    });
    states.into_inner()
}

#[test]
fn no_power_cut_and_no_kill_loses_an_acknowledged_record() {
    let states = survives_power_cuts(Durability::Always);
    assert!(states > 500, "{states} states");
}

#[test]
fn with_syncs_left_to_later_a_power_cut_leaves_a_prefix_and_a_kill_everything() {
    survives_power_cuts(Durability::Os);
    survives_power_cuts(Durability::Interval(Duration::ZERO));
}

/// Cuts recovery short at every change it makes, and then recovers.
fn recovery_cut_short(state: &Disk, model: &Model, options: LogOptions, at_least: u64, killed_only: bool) {
    for changes in 0.. {
        let state = state.killed();
        state.light_fuse(changes);
        let ended = model.clone().open(&state.files(), options, at_least).is_ok();
        let killed = state.killed();
        let (log, recovery) = model.clone().open(&killed.files(), options, at_least).unwrap();
        drop(log);
        model.clone().open(&killed.cut_to_durable().files(), options, recovery.last).unwrap();
        if !killed_only {
            for cut in state.power_cuts(&mut HashSet::new(), 1, changes) {
                let (log, recovery) =
                    model.clone().open(&cut.files(), options, at_least.min(model.durable)).unwrap();
                drop(log);
                model.clone().open(&cut.cut_to_durable().files(), options, recovery.last).unwrap();
            }
        }
        if ended {
            return;
        }
    }
}

#[test]
fn recovery_may_be_cut_short_anywhere() {
    for durability in [Durability::Always, Durability::Os] {
        let options = small(durability);
        at_every_change(options, &life(), |disk, model, count| {
            if durability == Durability::Os && count % 2 == 0 {
                return;
            }
            recovery_cut_short(&disk.killed(), model, options, model.acknowledged, count % 2 == 0);
            for state in disk.power_cuts(&mut HashSet::new(), 0, count).iter().step_by(8) {
                recovery_cut_short(state, model, options, model.durable, count % 2 == 0);
            }
        });
    }
}

#[test]
fn a_second_life_after_a_cut_is_as_safe_as_the_first() {
    let options = small(Durability::Always);
    let second = [
        Act::Append(10),
        Act::Commit,
        Act::Append(5000),
        Act::Commit,
        Act::Lane(4),
        Act::Append(5),
        Act::Commit,
    ];
    at_every_change(options, &life(), |disk, model, count| {
        let states = disk.power_cuts(&mut HashSet::new(), 6, count);
        for state in states.iter().skip(count as usize % 5).step_by(5) {
            for changes in (0..40).skip(count as usize % 3).step_by(3) {
                let (state, mut model) = (state.killed(), model.clone());
                state.light_fuse(changes);
                let ended = model.live(&state.files(), options, &second).is_ok();
                for cut in state.power_cuts(&mut HashSet::new(), 4, changes).iter().step_by(2) {
                    let mut model = model.clone();
                    let durable = model.durable;
                    model.open(&cut.files(), options, durable).unwrap();
                }
                if ended {
                    break;
                }
            }
        }
    });
}

/// The number of the first record of the oldest segment that holds one, read as the format says.
fn oldest_record(disk: &Disk) -> u64 {
    let oldest = disk.contents().into_iter().find_map(|(name, bytes)| {
        let number = u64::from_str_radix(name.strip_prefix("log-")?, 16).ok()?;
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        (word(4096 + 16) == number).then(|| word(4096 + 32))
    });
    oldest.expect("no segment holds a group")
}

#[test]
fn retirement_never_leaves_a_gap() {
    let options = LogOptions { recycled_segments: 0, ready_segments: 1, ..small(Durability::Always) };
    let (disk, mut model) = (Disk::default(), Model::default());
    let (log, _) = model.open(&disk.files(), options, 0).unwrap();
    for _ in 0..8 {
        model.commit_one(&log, 5000).unwrap();
    }
    let oldest = oldest_record(&disk);
    // Removal of the old ones, and one that is used again.
    log.retire_before(6);
    for _ in 0..9 {
        log.prepare();
        for cut in disk.power_cuts(&mut HashSet::new(), 0, 0) {
            let oldest = oldest_record(&cut);
            assert!(oldest <= 6, "record 6 may still be asked for");
            Model { from: oldest, ..model.clone() }.open(&cut.files(), options, 8).unwrap();
        }
    }
    assert!(oldest_record(&disk) > oldest);
    model.commit_one(&log, 5000).unwrap();
    Model { from: 6, ..model }.open(&disk.cut_to_durable().files(), options, 9).unwrap();
}

#[test]
fn a_segment_is_kept_until_the_next_one_begins_on_the_device() {
    let options = LogOptions { recycled_segments: 0, ..small(Durability::Os) };
    let (disk, mut model) = (Disk::default(), Model::default());
    let (log, _) = model.open(&disk.files(), options, 0).unwrap();
    let segments = log.metrics().segments_live;
    while log.metrics().segments_live == segments {
        model.commit_one(&log, 5000).unwrap();
    }
    // The last record begins a segment, and no sync has covered it.
    let last = model.acknowledged;
    assert_eq!(log.durable(), last - 1);
    log.retire_before(last);
    while log.prepare() == Step::More {}
    let cut = disk.cut_to_durable();
    Model { from: last, ..model.clone() }.open(&cut.files(), options, last - 1).unwrap();
    log.sync().unwrap();
    assert!(log.needs_preparation(), "it is needless now");
    while log.prepare() == Step::More {}
    assert_eq!(log.metrics().segments_live, segments);
    Model { from: last, ..model }.open(&disk.cut_to_durable().files(), options, last).unwrap();
}

#[test]
fn a_large_record_while_the_lane_is_at_work_keeps_the_segments_in_order() {
    for (steps, ready_segments) in (0..6).flat_map(|steps| [(steps, 1), (steps, 2)]) {
        let options = LogOptions { ready_segments, ..small(Durability::Always) };
        let (disk, mut model) = (Disk::default(), Model::default());
        let (log, _) = model.open(&disk.files(), options, 0).unwrap();
        for len in [10, 20_000, 10, 5000, 10, 30_000, 10] {
            for _ in 0..steps {
                log.prepare();
            }
            model.commit_one(&log, len).unwrap();
        }
        drop(log);
        model.open(&disk.cut_to_durable().files(), options, 7).unwrap();
    }
}

#[test]
fn a_disk_that_lies_is_caught_by_these_tests() {
    for planted in [Planted::SkippedDirectorySyncs, Planted::SkippedDataSyncs] {
        let (disk, mut model) = (Disk::default(), Model::default());
        disk.plant(planted);
        model.live(&disk.files(), small(Durability::Always), &life()).unwrap();
        let cut = disk.cut_to_durable();
        let outcome = std::panic::catch_unwind(|| {
            let mut model = model.clone();
            let acknowledged = model.acknowledged;
            model.open(&cut.files(), small(Durability::Always), acknowledged).map(drop)
        });
        assert!(!matches!(outcome, Ok(Ok(()))), "the cut went unnoticed");
    }
}

#[test]
fn a_kill_while_recovery_has_shown_unsynced_records_loses_nothing_it_showed() {
    let options = LogOptions { segment_bytes: 32 << 10, ..small(Durability::Os) };
    let (disk, mut model) = (Disk::default(), Model::default());
    let (log, _) = model.open(&disk.files(), options, 0).unwrap();
    model.commit_one(&log, 10).unwrap();
    model.commit_one(&log, 20).unwrap();
    drop(log);
    assert!(
        matches!(model.clone().open(&disk.cut_to_durable().files(), options, 0), Ok((_, it)) if it.last == 0)
    );
    let (log, recovery) = model.open(&disk.files(), options, 2).unwrap();
    drop(log);
    assert_eq!(recovery.rewritten, 2);
    model.open(&disk.cut_to_durable().files(), options, 2).unwrap();
}

#[test]
fn a_log_that_lost_its_middle_or_its_start_does_not_open() {
    let options = small(Durability::Always);
    let (disk, mut model) = (Disk::default(), Model::default());
    let (log, _) = model.open(&disk.files(), options, 0).unwrap();
    for _ in 0..8 {
        model.commit_one(&log, 10).unwrap();
    }
    log.close().unwrap();
    let contents = disk.contents();
    let segments = contents.iter().filter(|(name, _)| name.starts_with("log-")).count();
    assert!(segments >= 4);
    for missing in 0..segments - 1 {
        let mut left = contents.clone();
        left.remove(missing);
        let error =
            model.clone().open(&Disk::with_contents(&left).files(), options, 0).map(drop).unwrap_err();
        assert!(matches!(error, EngineError::Corrupt { .. }), "{error}");
    }
}
