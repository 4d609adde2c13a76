//! Looks at a log that is in use, for engines that verify what they hold.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use adapter_api::environment::Directory;
use adapter_api::{EngineError, Result, Watch};

use crate::{Log, Lsn, Replay, salvage};

/// Calls `look` with every record behind the one with number `position`, and reports each damage to `watch`, missing
/// records that were acknowledged among it. Writes nothing.
///
/// # Errors
/// As `salvage`.
pub fn verify(
    log: &Log,
    directory: &Arc<dyn Directory>,
    position: Lsn,
    watch: &dyn Watch,
    look: &mut Replay<'_>,
) -> Result<()> {
    let (durable, mut last) = (log.durable(), position);
    salvage(directory, position + 1, watch, &mut |lsn, record| {
        last = lsn;
        look(lsn, record)
    })?;
    if last < durable {
        let message = format!("the log ends at record {last}, those to {durable} were acknowledged");
        watch.finding(EngineError::corrupt("the log", 0, message));
    }
    Ok(())
}

/// Looks while everything moves; and if anything seems wrong, forgets that and looks `again`, while nothing moves: a log
/// that goes on, and files that go, may look like damage.
///
/// # Errors
/// Those of the look that counts.
pub fn look_twice(
    watch: &dyn Watch,
    first: impl FnOnce(&dyn Watch) -> Result<()>,
    again: impl FnOnce(&dyn Watch) -> Result<()>,
) -> Result<()> {
    let doubt = Doubt { watch, is_there: AtomicBool::new(false) };
    match first(&doubt) {
        Ok(()) if !doubt.is_there.load(Ordering::Relaxed) => Ok(()),
        _ => again(watch),
    }
}

/// Only notes that there was a finding.
struct Doubt<'a> {
    watch: &'a dyn Watch,
    is_there: AtomicBool,
}

impl Watch for Doubt<'_> {
    fn progress(&self, done: u64, total: u64) -> ControlFlow<()> {
        self.watch.progress(done, total)
    }

    fn finding(&self, _: EngineError) {
        self.is_there.store(true, Ordering::Relaxed);
    }
}
