//! Copies and checks of a store that is in use.
//!
//! Promises: both run beside reads and writes; checkpoints wait for `verify`. A backup is durable when it returns, dense,
//! and opens like any other directory; one that was cut short is refused by `open`. `verify` reads every byte that the
//! next `open` would count on, every page once by its place and once by its parent, and makes writers wait only to look again where the log seemed damaged.

use std::sync::{Arc, Mutex};

use adapter_api::environment::{Cause, Directory};
use adapter_api::{EngineError, Result, Watch};
use page::{PageId, PageRef, UNNAMED};
use wal::{Log, Lsn, lock};

use crate::check::{Source, census};
use crate::checkpointer::{Basis, Checkpointer, Stored};
use crate::data_file::{DataFile, Found, corrupt};
use crate::map::encode;
use crate::page_writer::{PageWriter, failure};
use crate::places::Places;
use crate::record::Record;
use crate::space::{BLOCK, Space};
use crate::store::Store;
use crate::superblock::{SUPERBLOCKS, Superblock};

/// Writes a durable copy into an empty directory: the pages one behind the other, and an empty log that goes on.
pub(crate) fn backup(store: &Store, target: &Arc<dyn Directory>, watch: &dyn Watch) -> Result<()> {
    let names = target.list().map_err(|error| EngineError::failed_by("could not list the target", error))?;
    if !names.is_empty() {
        return Err(EngineError::rejected("a backup needs an empty directory"));
    }
    let (Basis { view, position, size, .. }, ids) = store.basis_of_copy()?;
    // The log first: without the superblock it is refused, for it does not begin at the beginning.
    Log::create_for_copy(target, &store.clock, position)?;
    let file = DataFile::create(&**target).map_err(failure)?;
    let space = Mutex::new(Space::besides(vec![SUPERBLOCKS]).unwrap_or_default());
    let mut writer = PageWriter::new(file.clone(), ids, Some(Cause::Backup));
    while !writer.step(&view, &space)? {
        let (done, total) = writer.progress();
        if watch.progress(done, total).is_break() {
            return Err(EngineError::rejected("cancelled by its caller"));
        }
    }
    let map = writer.add_map(encode(&writer.changes, None)?, &space);
    while !writer.step(&view, &space)? {}
    writer.sync()?;
    let superblock = Superblock { generation: 1, position, version: view.version(), size, map };
    file.write_superblock(&Found { superblock, slot: 0 }).map_err(failure)
}

/// Reads the pages of the newest checkpoint and the log behind it, and reports each damage.
pub(crate) fn verify(store: &Store, watch: &dyn Watch) -> Result<()> {
    let checkpointer = lock(&store.checkpointer);
    verify_data(&checkpointer, watch)?;
    let look = |watch: &dyn Watch| verify_log(store, checkpointer.newest(), watch);
    wal::look_twice(watch, look, |watch| {
        let _no_preparation = lock(&store.preparing);
        let _no_writer = store.tree.take_turn();
        look(watch)
    })
}

/// Reads superblock, maps and pages as the next `open` would, and looks whether they fit together.
fn verify_data(checkpointer: &Checkpointer, watch: &dyn Watch) -> Result<()> {
    let Stored { found: Some(found), places, .. } = &checkpointer.stored else { return Ok(()) };
    let Some(file) = places.file() else { return Ok(()) };
    let mut is_whole = true;
    let mut report = |damage: EngineError| {
        is_whole = false;
        watch.finding(damage);
    };
    let at = found.slot * BLOCK;
    if file.superblocks()?.valid.first().map(|found| found.superblock) != Some(found.superblock) {
        report(corrupt(at, "the newest superblock is damaged"));
    }
    match file.read_map(found.superblock.map) {
        Err(damage @ EngineError::Corrupt { .. }) => report(damage),
        outcome => drop(outcome?),
    }
    // The checkpointer alone changes the map, so the lock need not be held.
    let pages: Vec<_> = places.map().pages().collect();
    let total = pages.len() as u64;
    for (done, (id, place)) in (0..).zip(&pages) {
        match file.read_page(*id, *place) {
            Err(damage @ EngineError::Corrupt { .. }) => report(damage),
            outcome => drop(outcome?),
        }
        if watch.progress(done, total).is_break() {
            return Err(EngineError::rejected("cancelled by its caller"));
        }
    }
    if !is_whole {
        return Ok(());
    }
    match census(&checkpointer.stored) {
        Ok(census) if census.size != found.superblock.size => {
            watch.finding(corrupt(at, "the superblock counts other entries than the leaves have"));
        }
        Ok(census) if !census.ids.iter().copied().eq(pages.iter().map(|(id, _)| *id)) => {
            watch.finding(corrupt(at, "the map has pages that no other page names"));
        }
        Ok(_) => {}
        Err(error) => watch.finding(corrupt(at, format!("the pages do not fit together: {error}"))),
    }
    Ok(())
}

impl Source for Stored {
    fn with_page<R>(&self, id: PageId, look: impl FnOnce(PageRef<'_>) -> Result<R>) -> Result<R> {
        let missing = || EngineError::failed(format!("page {id} is not in the map"));
        // What is ahead of the checkpoint may have the number of a page that is gone since.
        let place = self.places.map().place(id).ok_or_else(missing)?;
        look(self.places.read_at(id, place)?.view())
    }
}

fn verify_log(store: &Store, newest: Lsn, watch: &dyn Watch) -> Result<()> {
    let places = &store.tree.frames.places;
    wal::verify(&store.log, &store.directory, newest, watch, &mut |_, record| {
        verify_record(places, record, watch)
    })
}

/// Reads the pages that a record names.
fn verify_record(places: &Places, record: &[u8], watch: &dyn Watch) -> Result<()> {
    let Ok(Record::Ahead { items, .. }) = Record::parse(record) else { return Ok(()) };
    for item in items {
        let Some(place) = item?.place() else { continue };
        match places.read_at(UNNAMED, place) {
            Err(damage @ EngineError::Corrupt { .. }) => watch.finding(damage),
            outcome => drop(outcome?),
        }
    }
    Ok(())
}
