//! What each class of durability promises, line by line, with the reason. Printed by `ENGINE GUARANTEES`.

use adapter_api::{Durability, Guarantees, Promise};

/// The table of a class.
pub(crate) fn table(durability: Durability) -> Guarantees {
    let is_always = durability == Durability::Always;
    Guarantees::new()
        .kept(
            Promise::Semantics,
            "a missing key is absent, a put overwrites, a delete of a missing key is no error",
        )
        .kept(Promise::Restart, "the newest checkpoint and the log behind it have everything that was answered OK")
        .kept(
            Promise::ValidFormat,
            "no page is written over that a superblock names, and a checkpoint counts once its superblock is durable",
        )
        .with(Promise::CrashSafety, is_always, crash_safety(durability))
        .kept(Promise::Atomicity, "a batch is one record of the log, and a record with a wrong checksum does not count")
        .kept(
            Promise::WriteOrdering,
            "the records of the log are a chain: what is missing after a crash is missing at the end",
        )
        .kept(Promise::Concurrency, "readers never wait for the writer; one writer at a time")
        .kept(
            Promise::Performance,
            "a write costs its own bytes in the log, and its page in a checkpoint once for all writes between two",
        )
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
