//! Copies and checks of a store that is in use.
//!
//! Promises: both run beside reads and writes; checkpoints wait for `verify`. A backup is durable when it returns, dense,
//! and opens like any other directory; one that was cut short is refused by `open`. `verify` reads every byte that the
//! next `open` would count on, and makes writers wait only to look again where the log seemed damaged.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};

use adapter_api::environment::{Cause, Directory};
use adapter_api::{Durability, EngineError, Result, Watch};
use page::PageId;
use wal::{Log, LogOptions, Lsn, SEGMENT_BYTES_LEAST, lock};

use crate::check::census;
use crate::checkpointer::{Basis, Checkpointer};
use crate::data_file::{DataFile, Found};
use crate::map::encode;
use crate::page_writer::{PageWriter, failure};
use crate::space::Space;
use crate::store::Store;
use crate::superblock::{SUPERBLOCKS, Superblock};

/// Writes a durable copy into an empty directory: the pages one behind the other, and an empty log that goes on.
pub(crate) fn backup(store: &Store, target: &Arc<dyn Directory>, watch: &dyn Watch) -> Result<()> {
    let names = target.list().map_err(|error| EngineError::failed_by("could not list the target", error))?;
    if !names.is_empty() {
        return Err(EngineError::rejected("a backup needs an empty directory"));
    }
    let Basis { view, position, size, .. } = store.basis_of_copy();
    let options = LogOptions {
        segment_bytes: SEGMENT_BYTES_LEAST,
        durability: Durability::Always,
        ready_segments: 0,
        recycled_segments: 0,
    };
    // The log first: without the superblock it is refused, for it does not begin at the beginning.
    Log::create_at(target, &store.clock, options, position + 1)?.close()?;
    let file = DataFile::create(&**target).map_err(failure)?;
    let ids: Vec<PageId> = {
        let (pin, end) = (view.pin()?, store.tree.take_turn().end());
        (0..end).filter(|id| pin.get(*id).is_some()).collect()
    };
    let mut space = Space::besides(vec![SUPERBLOCKS]).unwrap_or_default();
    let mut writer = PageWriter::new(file.clone(), ids, Some(Cause::Backup));
    while !writer.step(&view, &mut space)? {
        let (done, total) = writer.progress();
        if watch.progress(done, total).is_break() {
            return Err(EngineError::rejected("cancelled by its caller"));
        }
    }
    let too_large = || EngineError::full("the data file cannot have more than 16 TiB");
    let bytes = encode(&writer.changes, None).ok_or_else(too_large)?;
    let map = writer.add_map(bytes, &mut space);
    while !writer.step(&view, &mut space)? {}
    file.file().sync_data().map_err(failure)?;
    let superblock = Superblock { generation: 1, position, size, map };
    file.write_superblock(&Found { superblock, slot: 0 }).map_err(failure)
}

/// Reads the pages of the newest checkpoint and the log behind it, and reports each damage.
pub(crate) fn verify(store: &Store, watch: &dyn Watch) -> Result<()> {
    census(&store.tree.view(true).pin()?)?;
    let checkpointer = lock(&store.checkpointer);
    verify_data(&checkpointer, watch)?;
    let findings = Findings { watch, found: Mutex::default() };
    let outcome = verify_log(store, checkpointer.newest(), &findings);
    if outcome.is_ok() && lock(&findings.found).is_empty() {
        return Ok(());
    }
    // A log that goes on, and files that go, may look like damage: so look again while nothing moves.
    let _no_preparation = lock(&store.preparing);
    let _no_writer = store.tree.take_turn();
    lock(&findings.found).clear();
    let outcome = verify_log(store, checkpointer.newest(), &findings);
    lock(&findings.found).drain(..).for_each(|finding| watch.finding(finding));
    outcome
}

/// Reads superblock, maps and pages as the next `open` would.
fn verify_data(checkpointer: &Checkpointer, watch: &dyn Watch) -> Result<()> {
    let (Some(file), Some(found)) = (&checkpointer.stored.file, checkpointer.stored.found) else {
        return Ok(());
    };
    let newest = file.superblocks()?.valid.first().map(|found| found.superblock);
    if newest != Some(found.superblock) {
        watch.finding(crate::data_file::corrupt(
            found.slot * crate::space::BLOCK,
            "the newest superblock is damaged",
        ));
    }
    match file.read_map(found.superblock.map) {
        Err(damage @ EngineError::Corrupt { .. }) => watch.finding(damage),
        outcome => drop(outcome?),
    }
    let total = checkpointer.stored.map.pages().count() as u64;
    for (done, (id, place)) in (0..).zip(checkpointer.stored.map.pages()) {
        match file.read_page(id, place) {
            Err(damage @ EngineError::Corrupt { .. }) => watch.finding(damage),
            outcome => drop(outcome?),
        }
        if watch.progress(done, total).is_break() {
            return Err(EngineError::rejected("cancelled by its caller"));
        }
    }
    Ok(())
}

fn verify_log(store: &Store, newest: Lsn, findings: &Findings<'_>) -> Result<()> {
    let (durable, mut last) = (store.log.durable(), newest);
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
