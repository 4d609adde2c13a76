//! The B-tree engine, judged: as the shared library that the server loads, with pages and limits so small that splits,
//! merges, checkpoints and changes of superblocks happen every few operations.

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
const SMALL: [(&str, &str); 3] =
    [("log_segment", "65536"), ("checkpoint_log_bytes", "20000"), ("page_bytes", "4096")];

fn btree() -> Subject {
    Subject::load(&own_engine("btree"), &SMALL).unwrap()
}

/// The same with a cache of a few pages, so that most reads go to the data file, and every write calls for a checkpoint.
fn btree_that_forgets() -> Subject {
    let options = [SMALL.as_slice(), &[("cache_bytes", "16384")]].concat();
    Subject::load(&own_engine("btree"), &options).unwrap()
}

#[test]
fn btree_loses_nothing_that_was_answered_ok() {
    keeps_its_promise(&btree(), 8_000, 1);
}

#[test]
fn crashes_lie_in_splits_merges_checkpoints_and_changes_of_superblocks() {
    let counters = ["tree_splits", "tree_merges", "checkpoints"];
    let subject = btree().with_counted(counters);
    let mut judge = Judge::new(&subject, Effort { keys: 96, ..Effort::of(12_000) });
    judge.judge(401).unwrap_or_else(|violation| panic!("{violation}"));
    let activity = &judge.activity;
    for counter in counters {
        assert!(activity.states_in(counter) >= 20, "{counter}: {activity}");
    }
    for call in ["data: checkpoint write", "data: metadata write", "data: durable metadata write"] {
        assert!(activity.states_behind(call) >= 20, "{call}: {activity}");
    }
}

#[test]
fn a_btree_much_larger_than_its_cache_loses_nothing_that_was_answered_ok() {
    keeps_its_promise(&btree_that_forgets(), 4_000, 301);
}

#[test]
fn btree_keeps_a_prefix_when_syncs_are_left_to_later() {
    keeps_its_promise(&btree().with_durability(Durability::Os), 2_000, 101);
    keeps_its_promise(&btree().with_durability(Durability::Interval(Duration::from_millis(500))), 2_000, 201);
}

#[test]
fn btree_survives_failed_syncs_that_leave_pages_marked_clean() {
    for subject in [btree(), btree_that_forgets()] {
        let effort = Effort { failing_syncs: true, ..Effort::of(2_500) };
        Judge::new(&subject, effort).judge(1).unwrap_or_else(|violation| panic!("{violation}"));
    }
}

#[test]
fn damage_to_a_btree_is_noticed_or_does_no_harm() {
    for (subject, seed) in
        [btree(), btree_that_forgets()].iter().flat_map(|it| (0..6).map(move |seed| (it, seed)))
    {
        let opened = judge_damage(subject, seed, 60).unwrap_or_else(|violation| panic!("{violation}"));
        assert!(opened >= 60);
    }
}

#[test]
fn every_bug_planted_around_a_btree_is_caught() {
    // A B-tree names its file once, when it is created: no checkpoint has a name that could get lost.
    for (name, _) in PLANTED.into_iter().filter(|(name, _)| *name != "log-removed-before-manifest") {
        is_caught(&plant(btree(), name).unwrap(), name);
    }
}
