//! Bugs inside an engine: logmap built with one of its features `planted_…`, each caught, and its smallest script.

mod scripts;

use crash::damage::judge_damage;
use crash::judge::{Effort, Judge};
use crash::replay::replay;
use crash::subject::Subject;
use e2e::build::{own_engine, planted_engine};

/// Whether a judge finds anything. No crash leaves damage in the middle of a log: a log that is cut there shows when a
/// device does the damage.
fn is_caught(bug: &str, subject: &Subject) -> bool {
    match bug {
        "planted_cut_at_damage" => (0..10).any(|seed| judge_damage(subject, seed, 100).is_err()),
        _ => Judge::new(subject, Effort::of(40_000)).judge(1).is_err(),
    }
}

#[test]
fn every_bug_planted_in_the_log_is_caught() {
    let honest = Subject::load(&own_engine("logmap"), &scripts::SMALL).unwrap();
    let scripts = scripts::kept("in_engine");
    assert_eq!(scripts.len(), 4);
    for (name, script) in scripts {
        let bug = script.planted.clone().unwrap();
        let subject = Subject::load(&planted_engine("logmap", &bug), &scripts::SMALL).unwrap();
        assert!(is_caught(&bug, &subject), "{bug} was not caught");
        let failure = replay(&subject, &script).expect_err(&name);
        assert!(!failure.is_misfit(), "the script {name} does not show {bug}: {failure}");
        let failure = replay(&honest, &script).err();
        assert!(failure.is_none_or(|failure| failure.is_misfit()), "{name} fails without the bug");
    }
}
