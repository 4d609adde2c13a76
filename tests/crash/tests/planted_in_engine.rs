//! Bugs inside an engine: logmap built with one of its features `planted_…`, each caught.

mod libraries;

use crash::damage::judge_damage;
use crash::judge::{Effort, Judge, Violation};

fn judge(bug: &str) -> Result<(), Box<Violation>> {
    Judge::new(&libraries::planted(bug), Effort::of(40_000)).judge(1)
}

#[test]
fn bugs_planted_in_the_log_are_caught() {
    for bug in ["planted_no_checksum", "planted_no_epoch", "planted_tail_not_rewritten"] {
        assert!(judge(bug).is_err(), "{bug} was not caught");
    }
    // No crash leaves damage in the middle of a log: this one shows when a device does.
    let subject = libraries::planted("planted_cut_at_damage");
    let caught = (0..10).find_map(|seed| judge_damage(&subject, seed, 100).err());
    assert!(caught.is_some(), "planted_cut_at_damage was not caught");
}
