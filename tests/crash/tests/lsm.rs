//! The LSM engine, judged: as the shared library that the server loads, with memtables and tables so small that flushes,
//! merges, edits of the manifest and moves of long values happen every few operations.

mod verdict;

use std::time::Duration;

use adapter_api::Durability;
use crash::damage::judge_damage;
use crash::judge::{Effort, Judge};
use crash::planted::{PLANTED, plant};
use crash::subject::Subject;
use e2e::build::own_engine;
use verdict::{is_caught, keeps_its_promise};

/// Options that make everything happen within a few operations.
const SMALL: [(&str, &str); 6] = [
    ("log_segment", "65536"),
    ("memtable_bytes", "8192"),
    ("table_bytes", "8192"),
    ("block_bytes", "4096"),
    ("level_ratio", "2"),
    ("blob_value_bytes", "128"),
];

fn lsm(compaction: &str) -> Subject {
    lsm_with(&[("compaction", compaction)])
}

fn lsm_with(options: &[(&str, &str)]) -> Subject {
    Subject::load(&own_engine("lsm"), &[SMALL.as_slice(), options].concat()).unwrap()
}

#[test]
fn lsm_loses_nothing_that_was_answered_ok() {
    keeps_its_promise(&lsm("lazy_leveled"), 6_000, 1);
}

#[test]
fn a_leveled_lsm_loses_nothing_that_was_answered_ok() {
    keeps_its_promise(&lsm_with(&[("compaction", "leveled"), ("compression", "zstd")]), 4_000, 501);
}

#[test]
fn crashes_lie_in_flushes_merges_and_edits_of_the_manifest() {
    let counters = ["flushes", "compactions"];
    let subject = lsm("lazy_leveled").with_counted(counters);
    let mut judge = Judge::new(&subject, Effort { keys: 96, ..Effort::of(8_000) });
    judge.judge(401).unwrap_or_else(|violation| panic!("{violation}"));
    let activity = &judge.activity;
    for counter in counters {
        assert!(activity.states_in(counter) >= 20, "{counter}: {activity}");
    }
}

#[test]
fn lsm_keeps_a_prefix_when_syncs_are_left_to_later() {
    let lsm = || lsm("lazy_leveled");
    keeps_its_promise(&lsm().with_durability(Durability::Os), 2_000, 101);
    keeps_its_promise(&lsm().with_durability(Durability::Interval(Duration::from_millis(500))), 2_000, 201);
}

#[test]
fn lsm_survives_failed_syncs_that_leave_pages_marked_clean() {
    let effort = Effort { failing_syncs: true, ..Effort::of(2_500) };
    Judge::new(&lsm("lazy_leveled"), effort).judge(1).unwrap_or_else(|violation| panic!("{violation}"));
}

#[test]
fn damage_to_an_lsm_is_noticed_or_does_no_harm() {
    for seed in 0..8 {
        let opened =
            judge_damage(&lsm("leveled"), seed, 60).unwrap_or_else(|violation| panic!("{violation}"));
        assert!(opened >= 60);
    }
}

#[test]
fn every_bug_planted_around_an_lsm_is_caught() {
    for (name, _) in PLANTED {
        is_caught(&plant(lsm("leveled"), name).unwrap(), name);
    }
}
