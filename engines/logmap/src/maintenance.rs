//! Copies and checks of a store that is in use.
//!
//! Promises: both run beside everything. A backup is durable when it returns, and opens like any other
//! directory; one that was cut short is refused by `open`. `verify` reads every byte that the next `open`
//! would count on, and makes writers wait only to look again where something seemed wrong.

use std::sync::Arc;

use adapter_api::environment::{Cause, Directory};
use adapter_api::versioned_map::Stored;
use adapter_api::{BatchBuilder, Buffer, EngineError, Result, VersionedMap, Watch};
use wal::{Log, Lsn, lock};

use crate::checkpoint::FoundValue;
use crate::checkpointer::failure;
use crate::files::{self, checkpoint_name};
use crate::recovery;
use crate::store::Store;
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
    // The log first: without the checkpoint it is refused, for it does not begin at the beginning.
    Log::create_for_copy(target, &store.clock, basis.position)?;
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
    let again = |watch: &dyn Watch| {
        let checkpointer = lock(&store.checkpointer);
        let _no_preparation = lock(&store.preparing);
        let _no_writer = map.stage(BatchBuilder::new().as_batch());
        read_everything(store, checkpointer.newest(), watch)
    };
    wal::look_twice(watch, |watch| read_everything(store, newest, watch), again)
}

fn read_everything(store: &Store, newest: Lsn, watch: &dyn Watch) -> Result<()> {
    if newest > 0 {
        match read_checkpoint(&*store.directory, newest, watch) {
            Err(damage @ EngineError::Corrupt { .. }) => watch.finding(damage),
            outcome => outcome?,
        }
    }
    wal::verify(&store.log, &store.directory, newest, watch, &mut |_, _| Ok(()))
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
