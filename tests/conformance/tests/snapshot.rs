//! The snapshot engine, mode by mode: each keeps what its table of guarantees says.

mod expected;

#[test]
fn snapshot_atomic_earns_every_badge() {
    expected::certificate("snapshot", &[("mode", "atomic")], "L0 L1 L2 L3 L4 L5", "");
}

#[test]
fn snapshot_atomic_as_written_is_whole_after_a_crash_and_loses_what_was_answered_ok() {
    let options = [("mode", "atomic-as-written")];
    expected::certificate("snapshot", &options, "L0 L1 L2 L4", "L3");
}

#[test]
fn snapshot_naive_is_not_even_whole_after_a_crash() {
    expected::certificate("snapshot", &[("mode", "naive")], "L0 L1 L4", "L2 L3");
}
