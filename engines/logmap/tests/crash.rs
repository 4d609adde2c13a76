//! What the judge of crashes does not say: starts that find less than a crash leaves, and names that a sync lost. That
//! a store survives power cuts and kills anywhere is said of the library that ships, in tests/crash.

mod life;

use adapter_api::{Durability, EngineError};
use crash::environment::Disk;
use life::{Act, LOG, Life, acts, cut_short};

const SEED: u64 = 5;

fn born(durability: Durability) -> Life {
    Life::new(SEED, durability)
}

#[test]
fn what_was_lost_by_a_failed_sync_is_not_relied_upon_in_the_next_life() {
    for behind in 1.. {
        let (disk, mut first) = (Disk::default(), born(Durability::Always).on_disk());
        disk.fail_sync(behind);
        let outcome = first.live(&disk.root(), &acts());
        if disk.syncs() < behind {
            assert!(outcome.is_ok() && behind > 20, "only {behind} syncs");
            break;
        }
        // The process ends, the operating system goes on, and shows the names that are on no disk.
        for changes in (behind % 6..).step_by(6) {
            let (disk, mut life) = (disk.killed(), first.clone());
            disk.light_fuse(changes);
            let whole = life.live(&disk.root(), &second_acts()).is_ok();
            let (at_least, cut) = (life.durable, disk.cut_to_durable());
            let opened = life.clone().open(&cut.root(), at_least);
            assert!(opened.is_ok(), "sync {behind}, change {changes}: {}", opened.err().unwrap());
            if whole {
                break;
            }
        }
    }
}

/// Writes until the log has been used all around, and checkpoints.
fn second_acts() -> Vec<Act> {
    use Act::*;
    let round = [Apply, Lane(LOG, 2), Apply, Apply, Lane(LOG, 3), Compact, Lane(LOG, 5)];
    [Apply, Apply].into_iter().chain(round).chain(round).collect()
}

#[test]
fn opening_twice_shows_the_same() {
    let (disk, life, _) = cut_short(&born(Durability::Always), 90);
    let found =
        |disk: &Disk| crash::by_hand::state(&life.clone().open(&disk.root(), life.acknowledged).unwrap());
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
        let error = life::open(Disk::with_contents(&left).root()).err().expect(prefix);
        assert!(matches!(error, EngineError::Corrupt { .. }), "{error}");
    }
}
