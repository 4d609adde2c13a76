//! What every engine promises whose writes are records of the log, by class of durability.
//!
//! Called by engines, which add what they promise beside that.

use adapter_api::{Durability, Guarantees, Promise};

/// The promises of an engine that makes each batch one record of the log, and publishes it when the record is durable.
pub fn guarantees(durability: Durability) -> Guarantees {
    let is_always = durability == Durability::Always;
    Guarantees::new()
        .kept(
            Promise::Semantics,
            "a missing key is absent, a put overwrites, a delete of a missing key is no error",
        )
        .with(Promise::CrashSafety, is_always, crash_safety(durability))
        .kept(
            Promise::Atomicity,
            "a batch is one record of the log, and a record with a wrong checksum does not count",
        )
        .kept(
            Promise::WriteOrdering,
            "the records of the log are a chain: what is missing after a crash is missing at the end",
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
