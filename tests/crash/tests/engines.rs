//! The engines that ship, judged: each as the shared library that the server loads.

mod scripts;
mod verdict;

use std::time::Duration;

use adapter_api::Durability;
use crash::damage::judge_damage;
use crash::judge::{Effort, Judge};
use crash::planted::{PLANTED, plant};
use crash::replay::replay;
use crash::script::Script;
use crash::subject::Subject;
use e2e::build::own_engine;
use verdict::{is_caught, judge, keeps_its_promise};

fn logmap() -> Subject {
    Subject::load(&own_engine("logmap"), &scripts::SMALL).unwrap()
}

fn snapshot(mode: &str) -> Subject {
    Subject::load(&own_engine("snapshot"), &[("mode", mode)]).unwrap()
}

#[test]
fn logmap_loses_nothing_that_was_answered_ok() {
    keeps_its_promise(&logmap(), 12_000, 1);
}

/// Logmap with all but the shortest values in files of their own.
fn logmap_with_values_on_disk() -> Subject {
    let options = [&scripts::SMALL[..], &[("values", "disk"), ("disk_value_bytes", "64")]].concat();
    Subject::load(&own_engine("logmap"), &options).unwrap()
}

#[test]
fn logmap_with_values_on_disk_loses_nothing_that_was_answered_ok() {
    keeps_its_promise(&logmap_with_values_on_disk(), 6_000, 301);
    keeps_its_promise(&logmap_with_values_on_disk().with_durability(Durability::Os), 2_000, 401);
}

#[test]
fn logmap_keeps_a_prefix_when_syncs_are_left_to_later() {
    keeps_its_promise(&logmap().with_durability(Durability::Os), 4_000, 101);
    keeps_its_promise(
        &logmap().with_durability(Durability::Interval(Duration::from_millis(500))),
        4_000,
        201,
    );
}

#[test]
fn snapshot_atomic_loses_nothing_that_was_answered_ok() {
    keeps_its_promise(&snapshot("atomic"), 8_000, 1);
    keeps_its_promise(&snapshot("atomic").with_durability(Durability::Os), 2_000, 101);
}

#[test]
fn snapshot_naive_and_atomic_as_written_are_caught() {
    for mode in ["naive", "atomic-as-written"] {
        let violation = judge(&snapshot(mode), 20_000, 1).expect_err(mode);
        assert!(replay(&snapshot(mode), &violation.script).is_err(), "{mode}: {violation}");
    }
}

#[track_caller]
fn survives_failed_syncs(subject: &Subject) {
    let effort = Effort { failing_syncs: true, operations: 15, ..Effort::of(6_000) };
    Judge::new(subject, effort).judge(1).unwrap_or_else(|violation| panic!("{violation}"));
}

#[test]
fn snapshot_atomic_survives_failed_syncs_that_leave_pages_marked_clean() {
    survives_failed_syncs(&snapshot("atomic"));
}

#[test]
fn logmap_survives_failed_syncs_that_leave_pages_marked_clean() {
    survives_failed_syncs(&logmap());
    survives_failed_syncs(&logmap_with_values_on_disk());
}

#[test]
fn the_same_seed_is_the_same_verdict() {
    let violation = || judge(&snapshot("naive"), 20_000, 7).unwrap_err();
    let (one, other) = (violation(), violation());
    assert_eq!((one.script, one.complaint, one.state), (other.script, other.complaint, other.state));
}

#[test]
fn damage_is_noticed_or_does_no_harm() {
    for seed in 0..6 {
        let opened = judge_damage(&logmap(), seed, 60).unwrap_or_else(|violation| panic!("{violation}"));
        assert!(opened >= 60);
        judge_damage(&logmap_with_values_on_disk(), seed, 40)
            .unwrap_or_else(|violation| panic!("{violation}"));
        judge_damage(&snapshot("atomic"), seed, 60).unwrap_or_else(|violation| panic!("{violation}"));
    }
}

#[test]
fn every_bug_planted_around_an_engine_is_caught() {
    for (name, _) in PLANTED {
        let subject = match name {
            // A log makes names durable with a rename; a copy of a snapshot is the file that was created.
            "skipped-directory-sync-after-create" => snapshot("atomic"),
            _ => logmap(),
        };
        is_caught(&plant(subject, name).unwrap(), name);
    }
}

/// A script with the bug that it plants, and the engine it is about.
fn subject_of(script: &Script) -> Subject {
    let options: Vec<_> =
        script.options.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let subject = Subject::load(&own_engine(&script.engine), &options).unwrap();
    let subject = subject.with_durability(script.durability);
    match &script.planted {
        None => subject,
        Some(name) => plant(subject, name).unwrap(),
    }
}

/// What a script of tests/scripts comes to.
fn outcome(name: &str) -> Result<(), String> {
    let (_, script) = scripts::kept("").into_iter().find(|(known, _)| known == name).unwrap();
    replay(&subject_of(&script), &script).map_err(|failure| failure.to_string())
}

#[test]
fn the_smallest_script_of_each_planted_bug_still_fails_with_it_and_passes_without() {
    let planted = scripts::kept("").into_iter().filter(|(_, script)| script.planted.is_some());
    let mut found = 0;
    for (name, script) in planted {
        found += 1;
        let honest = Script { planted: None, ..script.clone() };
        let failure = replay(&subject_of(&script), &script).expect_err(&name);
        assert!(!failure.is_misfit(), "{name}: {failure}");
        // Without the bug there may be fewer moments; anything else is a failure.
        let failure = replay(&subject_of(&honest), &honest).err();
        assert!(failure.is_none_or(|failure| failure.is_misfit()), "{name} fails without the bug");
    }
    assert_eq!(found, PLANTED.len());
}

#[test]
fn snapshot_naive_loses_a_write_to_a_power_cut() {
    assert!(outcome("snapshot_naive_power_cut").unwrap_err().contains("lost"));
}

#[test]
fn snapshot_naive_leaves_a_torn_document_to_a_kill() {
    assert!(outcome("snapshot_naive_kill").unwrap_err().contains("does not open"));
}

#[test]
fn snapshot_atomic_as_written_brings_an_older_document_back() {
    assert!(outcome("snapshot_as_written_power_cut").unwrap_err().contains("lost"));
}

#[test]
fn logmap_survives_a_failed_directory_sync_and_a_kill_at_its_first_start() {
    outcome("logmap_failed_directory_sync").unwrap();
}

#[test]
fn logmap_survives_a_failed_file_sync_and_a_kill_at_its_first_start() {
    outcome("logmap_failed_file_sync").unwrap();
}
