//! What each mode promises, line by line, with the reason. Printed by `ENGINE GUARANTEES`.

use adapter_api::{Durability, Guarantees, Promise};

use crate::save::Mode;

/// The table of a mode. No mode does less for the classes `interval` and `os`: a document that was renamed
/// but not synced could be torn, and then not even a prefix would be left.
pub(crate) fn table(mode: Mode, durability: Durability) -> Guarantees {
    let table = Guarantees::new().kept(
        Promise::Semantics,
        "a missing key is absent, a put overwrites, a delete of a missing key is no error",
    );
    let table = match mode {
        Mode::Atomic => atomic(table),
        Mode::AtomicAsWritten => atomic_as_written(table),
        Mode::Naive => naive(table),
    };
    table
        .kept(Promise::Concurrency, "readers never wait for the writer; one writer at a time")
        .not_kept(Promise::Performance, "every group of writes writes the whole state again")
        .kept(
            Promise::Transactions,
            "while it runs: a batch becomes visible at one instant, a view is a point in time",
        )
        .with(Promise::AsynchronousWrites, mode == Mode::Naive, asynchronous_writes(mode, durability))
}

fn atomic(table: Guarantees) -> Guarantees {
    table
        .kept(Promise::Restart, "the document has everything that was answered OK")
        .kept(Promise::ValidFormat, "the document is only ever replaced by a whole one, with one rename")
        .kept(
            Promise::CrashSafety,
            "before OK the file is synced, then renamed, then the directory is synced",
        )
        .kept(Promise::Atomicity, "a document has all of a batch or nothing of it")
        .kept(Promise::WriteOrdering, "each document has every batch before it")
}

fn atomic_as_written(table: Guarantees) -> Guarantees {
    table
        .kept(Promise::Restart, "the document has everything that was answered OK")
        .kept(Promise::ValidFormat, "the document is only ever replaced by a whole one that was synced before")
        .not_kept(
            Promise::CrashSafety,
            "a killed process loses nothing, but the directory is never synced: a power cut can bring an older document back",
        )
        .kept(Promise::Atomicity, "a document has all of a batch or nothing of it, and an older one is as whole")
        .kept(Promise::WriteOrdering, "an older document has every batch before it: what is missing is missing at the end")
}

fn naive(table: Guarantees) -> Guarantees {
    table
        .kept(
            Promise::Restart,
            "after an orderly end of the process the document has everything that was answered OK",
        )
        .not_kept(
            Promise::ValidFormat,
            "the document is overwritten in place: in between it is half old, half new",
        )
        .not_kept(
            Promise::CrashSafety,
            "nothing is ever synced, and a kill in mid-write leaves a document that is refused",
        )
        .not_kept(Promise::Atomicity, "a crash in mid-write tears the document")
        .not_kept(
            Promise::WriteOrdering,
            "the operating system writes the parts of the document in any order",
        )
}

fn asynchronous_writes(mode: Mode, durability: Durability) -> &'static str {
    match (mode, durability) {
        (Mode::Naive, Durability::Always) => {
            "no write waits for the disk, although the class always asks for it"
        }
        (Mode::Naive, Durability::Interval(_)) => {
            "no write waits for the disk, and none is synced when the interval ends"
        }
        (Mode::Naive, Durability::Os) => "no write waits for the disk",
        (_, Durability::Always) => "every group waits for the disk",
        (_, Durability::Interval(_) | Durability::Os) => {
            "every group waits for the disk, as in the class always: \
             a document that was not synced could be torn"
        }
    }
}
