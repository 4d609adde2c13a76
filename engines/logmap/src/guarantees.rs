//! What is promised beside what the log promises, with the reasons. Printed by `ENGINE GUARANTEES`.

use adapter_api::{Durability, Guarantees, Promise};

/// The table of a class; with checkpoints that are spaced by the size of the state, or by a fixed size, and with
/// large values on disk or in memory.
pub(crate) fn table(checkpoints_by_state: bool, is_on_disk: bool, durability: Durability) -> Guarantees {
    wal::guarantees(durability)
        .kept(Promise::Restart, "the newest checkpoint and the log behind it have everything that was answered OK")
        .kept(
            Promise::ValidFormat,
            "the log only grows, in blocks that were never acknowledged before, and a checkpoint counts once it \
             is whole, synced and renamed",
        )
        .kept(
            Promise::Concurrency,
            match is_on_disk {
                false => "readers never wait for the writer, nor for a disk; one writer at a time",
                true => {
                    "readers never wait for the writer, and for the disk only for large values; one writer at a \
                     time"
                }
            },
        )
        .with(Promise::Performance, checkpoints_by_state, performance(checkpoints_by_state))
}

fn performance(checkpoints_by_state: bool) -> &'static str {
    match checkpoints_by_state {
        true => {
            "a write costs its own bytes in the log, and about as many in a checkpoint: that is written once \
                 the log has grown by the size of the state"
        }
        false => {
            "the whole state is written each time the log has grown by a fixed size: a larger state makes \
                  that dearer; leave checkpoint_log_bytes at 0 to avoid it"
        }
    }
}
