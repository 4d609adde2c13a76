//! The logmap engine: every badge, with values in memory and on disk.

mod expected;

#[test]
fn logmap_earns_every_badge() {
    expected::certificate("logmap", &[], "L0 L1 L2 L3 L4 L5", "");
}

#[test]
fn logmap_with_values_on_disk_earns_every_badge() {
    let options = [("values", "disk"), ("disk_value_bytes", "64")];
    expected::certificate("logmap", &options, "L0 L1 L2 L3 L4 L5", "");
}
