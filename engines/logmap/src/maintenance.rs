//! Copies and checks of a store that is in use.
//!
//! Promises: both run beside everything. A backup is durable when it returns, and opens like any other
//! directory; one that was cut short is refused by `open`. `verify` reads every byte that the next `open`
//! would count on, and makes writers wait only to look again where something seemed wrong.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use adapter_api::environment::{Cause, Directory};
use adapter_api::versioned_map::Stored;
use adapter_api::{BatchBuilder, Buffer, Durability, EngineError, Result, VersionedMap, Watch};
use wal::{Log, LogOptions, Lsn, SEGMENT_BYTES_LEAST};

use crate::checkpoint::FoundValue;
use crate::checkpointer::failure;
use crate::files::{self, checkpoint_name};
use crate::recovery;
use crate::store::{Store, lock};
use crate::values::{self, Resolver};
use crate::writer::{Layout, Moved, WriteError, Writer};

/// How many entries are checked between two reports of progress.
const ENTRIES_PER_REPORT: u64 = 1024;

/// Writes a durable copy into an empty directory: a checkpoint, and an empty log that begins behind it.
pub(crate) fn backup(
    store: &Store,
    map: &VersionedMap,
    target: &Arc<dyn Directory>,
    watch: &dyn Watch,
) -> Result<()> {
    let names = target.list().map_err(|error| EngineError::failed_by("could not list the target", error))?;
    if !names.is_empty() {
        return Err(EngineError::rejected("a backup needs an empty directory"));
    }
    let basis = store.basis(map);
    let options = LogOptions {
        segment_bytes: SEGMENT_BYTES_LEAST,
        durability: Durability::Always,
        ready_segments: 0,
        recycled_segments: 0,
    };
    // The log first: without the checkpoint it is refused, for it does not begin at the beginning.
    Log::create_at(target, &store.clock, options, basis.position + 1)?.close()?;
    let layout = Layout { disk_value_bytes: store.disk_value_bytes, number: 1, moved: Moved::All };
    let writer = Writer::new(Arc::clone(target), &basis.view, basis.position, Cause::Backup, layout);
    let mut writer = writer.map_err(failure)?;
    while !writer.step().map_err(failure)? {
        let (done, total) = writer.progress();
        if watch.progress(done, total).is_break() {
            let _ = files::remove_temporary(&**target);
            return Err(EngineError::rejected("cancelled by its caller"));
        }
    }
    let finished = writer.finish(&checkpoint_name(basis.position));
    finished.map_err(|error| failure(WriteError::File(error)))
}

/// Reads the newest checkpoint and the log behind it, and reports each damage.
pub(crate) fn verify(store: &Store, map: &VersionedMap, watch: &dyn Watch) -> Result<()> {
    let newest = lock(&store.checkpointer).newest();
    let findings = Findings { watch, found: Mutex::default() };
    let outcome = read_everything(store, newest, &findings);
    if outcome.is_ok() && lock(&findings.found).is_empty() {
        return Ok(());
    }
    // A log that goes on, and files that go, may look like damage: so look again while nothing moves.
    let checkpointer = lock(&store.checkpointer);
    let _no_preparation = lock(&store.preparing);
    let _no_writer = map.stage(BatchBuilder::new().as_batch());
    lock(&findings.found).clear();
    let outcome = read_everything(store, checkpointer.newest(), &findings);
    lock(&findings.found).drain(..).for_each(|finding| watch.finding(finding));
    outcome
}

fn read_everything(store: &Store, newest: Lsn, findings: &Findings<'_>) -> Result<()> {
    let durable = store.log.durable();
    if newest > 0 {
        match read_checkpoint(&*store.directory, newest, findings) {
            Err(damage @ EngineError::Corrupt { .. }) => findings.finding(damage),
            outcome => outcome?,
        }
    }
    let mut last = newest;
    wal::salvage(&store.directory, newest + 1, findings, &mut |lsn, _| {
        last = lsn;
        Ok(())
    })?;
    if last < durable {
        let message = format!("the log ends at record {last}, those to {durable} were acknowledged");
        findings.finding(EngineError::corrupt("the log", 0, message));
    }
    Ok(())
}

/// Reads a checkpoint and every value that it refers to.
fn read_checkpoint(directory: &dyn Directory, position: Lsn, watch: &dyn Watch) -> Result<()> {
    let mut reader = recovery::open_checkpoint(directory, position)?;
    let (mut resolver, mut value, mut entries) = (Resolver::new(directory), Buffer::new(), 0_u64);
    loop {
        let reference = match reader.next()? {
            None => return Ok(()),
            Some(found) => match found.value {
                FoundValue::Here(..) => None,
                FoundValue::Reference(reference) => Some(reference),
            },
        };
        if let Some(reference) = reference {
            value.clear();
            let read = resolver.resolve(reference);
            match read.and_then(|away| values::append(Stored::Away(&away), &mut value)) {
                Err(damage @ EngineError::Corrupt { .. }) => watch.finding(damage),
                outcome => outcome?,
            }
        }
        entries += 1;
        let (done, total) = reader.progress();
        let is_due = reference.is_some() || entries.is_multiple_of(ENTRIES_PER_REPORT);
        if is_due && watch.progress(done, total).is_break() {
            return Err(EngineError::rejected("cancelled by its caller"));
        }
    }
}

/// Collects findings until it is certain that they are some.
struct Findings<'a> {
    watch: &'a dyn Watch,
    found: Mutex<Vec<EngineError>>,
}

impl Watch for Findings<'_> {
    fn progress(&self, done: u64, total: u64) -> ControlFlow<()> {
        self.watch.progress(done, total)
    }

    fn finding(&self, finding: EngineError) {
        lock(&self.found).push(finding);
    }
}
