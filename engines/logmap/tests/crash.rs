//! Power cuts and kills at every change of the disk, in life, in first start and in recovery, with segments
//! changing and checkpoints being written every few batches.

mod life;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use adapter_api::{Durability, EngineError};
use life::sim::{Disk, Planted};
use life::{Life, acts, cut_short};

const SEED: u64 = 5;

fn born(durability: Durability) -> Life {
    Life::new(SEED, durability)
}

/// Runs `check` with every number of changes after which a life can be cut short, on two threads.
fn at_every_change(born: &Life, check: impl Fn(&Disk, &Life, u64) + Sync) {
    let (changes, done) = (AtomicU64::new(0), AtomicU64::new(u64::MAX));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let count = changes.fetch_add(1, Ordering::SeqCst);
                    if count > done.load(Ordering::SeqCst) {
                        break;
                    }
                    let (disk, life, whole) = cut_short(born, count);
                    check(&disk, &life, count);
                    if whole {
                        done.fetch_min(count, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert!(done.load(Ordering::SeqCst) > 100, "the life is too short to show anything");
}

/// The store opens to what it must, what it showed outlives a power cut right then, and so does what is
/// written next.
fn opens_right(state: &Disk, life: &Life, at_least: usize) {
    let mut life = life.clone();
    drop(life.open(&state.files(), at_least).unwrap());
    let shown = life.acknowledged;
    let cut = state.cut_to_durable();
    let engine = life.open(&cut.files(), shown).expect("after recovery and a cut");
    life.apply(&engine).unwrap();
    drop(engine);
    let written = life.acknowledged;
    life.open(&cut.killed().files(), written).expect("after one more session");
}

/// Tries one of `stride` states that a power cut may leave at each change.
fn survives_power_cuts(born: &Life, stride: usize) -> u64 {
    let states = AtomicU64::new(0);
    at_every_change(born, |disk, life, count| {
        let mut seen = HashSet::new();
        let cuts = disk.power_cuts(&mut seen, 6, count);
        // Most of what the log can lose is tried in its own tests.
        for state in cuts.into_iter().skip(count as usize % stride).step_by(stride) {
            states.fetch_add(1, Ordering::SeqCst);
            opens_right(&state, life, life.durable);
        }
        opens_right(&disk.killed(), life, life.acknowledged);
    });
    states.into_inner()
}

#[test]
fn no_power_cut_and_no_kill_loses_an_acknowledged_batch() {
    let states = survives_power_cuts(&born(Durability::Always), 2);
    assert!(states > 500, "{states} states");
}

#[test]
fn with_syncs_left_to_later_a_power_cut_leaves_a_prefix_and_a_kill_everything() {
    survives_power_cuts(&born(Durability::Os), 8);
}

#[test]
fn with_values_on_disk_no_power_cut_and_no_kill_loses_an_acknowledged_batch() {
    let states = survives_power_cuts(&born(Durability::Always).on_disk(), 4);
    assert!(states > 500, "{states} states");
    survives_power_cuts(&born(Durability::Os).on_disk(), 16);
}

#[test]
fn recovery_may_be_cut_short_anywhere() {
    may_be_cut_short_anywhere(&born(Durability::Always), 32);
}

#[test]
fn with_values_on_disk_recovery_may_be_cut_short_anywhere() {
    may_be_cut_short_anywhere(&born(Durability::Always).on_disk(), 64);
}

fn may_be_cut_short_anywhere(born: &Life, stride: usize) {
    at_every_change(born, |disk, life, count| {
        let cuts = disk.power_cuts(&mut HashSet::new(), 0, count);
        let cuts = cuts.iter().skip(count as usize % stride).step_by(stride);
        for state in cuts.chain([&disk.killed()]) {
            for changes in 0.. {
                let state = state.killed();
                state.light_fuse(changes);
                let ended = life.clone().open(&state.files(), life.durable).is_ok();
                for again in [state.killed(), state.cut_to_durable()] {
                    opens_right(&again, life, life.durable);
                }
                if ended {
                    break;
                }
            }
        }
    });
}

#[test]
fn a_disk_that_lies_is_caught_by_these_tests() {
    for planted in [Planted::SkippedDirectorySyncs, Planted::SkippedDataSyncs] {
        let (disk, mut life) = (Disk::default(), Life::new(SEED, Durability::Always));
        disk.plant(planted);
        life.live(&disk.files(), &acts()).unwrap();
        let cut = disk.cut_to_durable();
        let outcome = std::panic::catch_unwind(|| {
            let mut life = life.clone();
            let acknowledged = life.acknowledged;
            life.open(&cut.files(), acknowledged).map(drop)
        });
        assert!(!matches!(outcome, Ok(Ok(()))), "the cut went unnoticed");
    }
}

#[test]
fn opening_twice_shows_the_same() {
    let (disk, life, _) = cut_short(&born(Durability::Always), 90);
    let found = |disk: &Disk| life::state(&life.clone().open(&disk.files(), life.acknowledged).unwrap());
    let first = found(&disk.killed());
    assert_eq!(first, found(&disk.killed()), "the same log done again gives the same");
    let twice = disk.killed();
    found(&twice);
    assert_eq!(first, found(&twice), "a log that was done again and written again gives the same");
}

#[test]
fn a_store_that_lost_its_log_or_its_checkpoint_does_not_open() {
    let (disk, _, whole) = cut_short(&born(Durability::Always), u64::MAX);
    assert!(whole);
    let contents = disk.contents();
    for prefix in ["log-", "checkpoint-"] {
        let left: Vec<_> = contents.iter().filter(|(name, _)| !name.starts_with(prefix)).cloned().collect();
        assert!(left.len() < contents.len());
        let error = life::open(Disk::with_contents(&left).files()).err().expect(prefix);
        assert!(matches!(error, EngineError::Corrupt { .. }), "{error}");
    }
}
