//! The marker of a data directory: power cuts at every moment of its replacement.

use adapter_api::host::Marker;
use crash::environment::Disk;

#[test]
fn a_power_cut_leaves_the_marker_of_before_or_the_new_one_and_the_new_one_once_it_was_written() {
    let marker = |generation| Marker { engine: "logmap".into(), format: 1, generation };
    let (before, new) = (marker(0), marker(1));
    for calls in 0.. {
        let disk = Disk::default();
        before.write(&*disk.root()).unwrap();
        disk.light_fuse(calls);
        let written = new.write(&*disk.root());
        for cut in disk.power_cuts(0, 0) {
            let found = Marker::read(&*cut.root()).expect("there is always one");
            let is_right = found == new || written.is_err() && found == before;
            assert!(is_right, "{found:?} after {calls} calls that changed something");
        }
        if written.is_ok() {
            assert!(calls >= 5, "it was created, written, synced, renamed, and its name synced");
            return;
        }
    }
}
