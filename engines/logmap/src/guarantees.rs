//! What each class of durability promises, line by line, with the reason. Printed by `ENGINE GUARANTEES`.

use adapter_api::{Durability, Guarantees, Promise};

/// The table of a class; with checkpoints that are spaced by the size of the state, or by a fixed size, and with
/// large values on disk or in memory.
pub(crate) fn table(checkpoints_by_state: bool, is_on_disk: bool, durability: Durability) -> Guarantees {
    let is_always = durability == Durability::Always;
    Guarantees::new()
        .kept(
            Promise::Semantics,
            "a missing key is absent, a put overwrites, a delete of a missing key is no error",
        )
        .kept(Promise::Restart, "the newest checkpoint and the log behind it have everything that was answered OK")
        .kept(
            Promise::ValidFormat,
            "the log only grows, in blocks that were never acknowledged before, and a checkpoint counts once it \
             is whole, synced and renamed",
        )
        .with(Promise::CrashSafety, is_always, crash_safety(durability))
        .kept(Promise::Atomicity, "a batch is one record of the log, and a record with a wrong checksum does not count")
        .kept(
            Promise::WriteOrdering,
            "the records of the log are a chain: what is missing after a crash is missing at the end",
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
        .kept(Promise::Transactions, "a batch becomes visible at one instant, and a view is a point in time")
        .with(Promise::AsynchronousWrites, !is_always, asynchronous_writes(durability))
}

fn crash_safety(durability: Durability) -> String {
    match durability {
        Durability::Always => "before OK the record is on the device".to_string(),
        Durability::Interval(interval) => format!(
            "a killed process loses nothing, but a power cut may take the last writes: those of about {} ms",
            interval.as_millis()
        ),
        Durability::Os => {
            "a killed process loses nothing, but a power cut may take the last writes: all that the \
                           operating system had not yet written by itself"
                .to_string()
        }
    }
}

fn asynchronous_writes(durability: Durability) -> &'static str {
    match durability {
        Durability::Always => "every group waits for the device",
        Durability::Interval(_) => {
            "OK means that the operating system has the record; the device has it when the interval ends"
        }
        Durability::Os => {
            "OK means that the operating system has the record; when the device has it is its affair"
        }
    }
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
