//! What each of our engines is to reach beside redis-server, row by row: ratios of ours to Redis's.
//!
//! The trees are held to their cache budget in memory, not to a ratio; that is not judged here.

use crate::judge::Target::{AtLeast, AtMost, Tie};
use crate::judge::{Target, Targets};

/// Expected, and what we are after.
const fn both(must: Target, reach: Target) -> Targets {
    Targets { must: Some(must), reach: Some(reach) }
}

/// Expected.
const fn must(must: Target) -> Targets {
    Targets { must: Some(must), reach: None }
}

const NONE: Targets = Targets { must: None, reach: None };
/// The columns of [`TARGETS`].
const ENGINES: [&str; 3] = ["logmap", "btree", "lsm"];
/// Rows that are not listed are informative.
#[rustfmt::skip]
const TARGETS: [(&str, [Targets; 3]); 15] = [
    ("set-c50-p1", [both(Tie, AtLeast(1.1)), both(Tie, AtLeast(1.1)), both(Tie, AtLeast(1.1))]),
    ("set-c200-p1", [both(Tie, AtLeast(1.1)), both(Tie, AtLeast(1.1)), both(Tie, AtLeast(1.1))]),
    ("set-c50-p16", [both(AtLeast(1.3), AtLeast(1.5)), both(AtLeast(1.1), AtLeast(1.4)), both(AtLeast(1.2), AtLeast(1.5))]),
    ("set-c50-p64", [both(AtLeast(1.5), AtLeast(2.0)), both(AtLeast(1.1), AtLeast(1.6)), both(AtLeast(1.3), AtLeast(2.0))]),
    ("mset-c50-p1", [both(AtLeast(1.3), AtLeast(1.6)), both(AtLeast(1.1), AtLeast(1.4)), both(AtLeast(1.2), AtLeast(1.6))]),
    ("get-c50-p1", [must(Tie), must(Tie), must(Tie)]),
    ("get-c50-p16", [both(AtLeast(1.05), AtLeast(1.3)), both(AtLeast(0.95), AtLeast(1.2)), both(AtLeast(0.9), AtLeast(1.1))]),
    ("get-c50-p64", [both(AtLeast(1.1), AtLeast(1.4)), both(AtLeast(0.95), AtLeast(1.2)), both(AtLeast(0.9), AtLeast(1.1))]),
    ("mix-total", [both(AtLeast(1.15), AtLeast(1.3)), both(AtLeast(1.1), AtLeast(1.3)), both(AtLeast(1.1), AtLeast(1.3))]),
    ("mix-get-p99", [both(AtMost(0.8), AtMost(0.6)), must(AtMost(0.8)), must(AtMost(0.8))]),
    ("mix-pipeline", [must(AtLeast(1.0)), must(AtLeast(1.0)), must(AtLeast(1.0))]),
    ("memory", [must(AtMost(0.9)), NONE, NONE]),
    ("restart-orderly", [must(AtMost(0.7)), must(AtMost(0.3)), must(AtMost(0.3))]),
    ("restart-kill", [must(AtMost(1.0)), must(AtMost(1.0)), must(AtMost(1.0))]),
    ("set-c1-p1", [NONE, NONE, NONE]),
];

/// The targets of an engine on a row; none for an engine or a row that has none.
pub fn of(engine: &str, row: &str) -> Targets {
    let column = ENGINES.iter().position(|name| *name == engine);
    let line = TARGETS.iter().find(|(id, _)| *id == row);
    column.zip(line).map_or(NONE, |(column, (_, targets))| targets[column])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::rows;

    #[test]
    fn every_target_belongs_to_a_row_that_is_measured() {
        for (id, _) in TARGETS {
            assert!(rows::all().any(|spec| spec.id == id), "{id}");
        }
    }

    #[test]
    fn targets_are_found_by_engine_and_row() {
        assert_eq!(of("logmap", "set-c50-p64"), both(AtLeast(1.5), AtLeast(2.0)));
        assert_eq!(of("lsm", "restart-orderly"), must(AtMost(0.3)));
        assert_eq!(of("memory", "set-c50-p64"), NONE);
        assert_eq!(of("logmap", "set-c1-p1"), NONE);
    }
}
