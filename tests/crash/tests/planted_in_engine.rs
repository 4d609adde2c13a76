//! Bugs inside an engine: logmap built with one of its features `planted_…`, each caught.

use std::path::PathBuf;
use std::process::Command;

use crash::damage::judge_damage;
use crash::judge::{Effort, Judge, Violation};
use crash::subject::Subject;

/// Logmap with a bug, in a target folder of its own: nothing that ships may be taken for it.
fn planted(bug: &str) -> Subject {
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().join("tmp/planted");
    let mut cargo = Command::new(e2e::build::cargo());
    cargo.current_dir(e2e::build::root()).args(["build", "-p", "engine_logmap", "--features", bug]);
    let built = e2e::build::artifacts(cargo.env("CARGO_TARGET_DIR", &target));
    // The next bug is built over this one.
    let copy: PathBuf = target.join(format!("libengine_logmap_{bug}.so"));
    std::fs::copy(e2e::build::find(&built, "libengine_logmap.so"), &copy).unwrap();
    Subject::load(&copy, &[("log_segment", "65536"), ("checkpoint_log_bytes", "20000")]).unwrap()
}

fn judge(bug: &str) -> Result<(), Box<Violation>> {
    Judge::new(&planted(bug), Effort::of(40_000)).judge(1)
}

#[test]
fn bugs_planted_in_the_log_are_caught() {
    for bug in ["planted_no_checksum", "planted_no_epoch", "planted_tail_not_rewritten"] {
        assert!(judge(bug).is_err(), "{bug} was not caught");
    }
    // No crash leaves damage in the middle of a log: this one shows when a device does.
    let subject = planted("planted_cut_at_damage");
    let caught = (0..10).find_map(|seed| judge_damage(&subject, seed, 100).err());
    assert!(caught.is_some(), "planted_cut_at_damage was not caught");
}
