//! Copies and checks of a store that is in use, and compaction that somebody asked for.
//!
//! Promises: all run beside reads and writes. A backup is durable when it returns, and opens like any other directory; one
//! that was cut short is refused by `open`. `verify` reads every byte that the next `open` would count on, and makes
//! writers wait only to look again where the log seemed damaged.

use std::io::IoSlice;
use std::ops::ControlFlow;
use std::sync::Arc;

use adapter_api::environment::{Cause, Directory, OpenFile, is_full};
use adapter_api::{Direction, EngineError, KeyRange, Result, Watch};
use wal::{Log, lock};

use crate::catalog::{Catalog, snapshot_of};
use crate::files::{blob_name, table_name};
use crate::manifest::Manifest;
use crate::memtable::MemtableWalk;
use crate::merge::MergeWalk;
use crate::picker::{Descent, PickOptions, Plan, Shape};
use crate::ranges::Ranges;
use crate::sources::Moment;
use crate::store::Store;
use crate::table::TableBuilder;
use crate::version::Place;
use crate::walk::Walk;

/// How many bytes are copied at once.
const COPY_BYTES: usize = 1 << 20;

/// Writes a durable copy into an empty directory: tables and blob files as they are, the memtables as one more table,
/// and an empty log that goes on.
pub(crate) fn backup(store: &Store, target: &Arc<dyn Directory>, watch: &dyn Watch) -> Result<()> {
    let names = target.list().map_err(|error| EngineError::failed_by("could not list the target", error))?;
    if !names.is_empty() {
        return Err(EngineError::rejected("a backup needs an empty directory"));
    }
    let (moment, position) = {
        let _turn = lock(&store.writer);
        // What is sealed does not move on while it is copied.
        store.seal();
        (store.catalog.moment(), store.log().last())
    };
    // The log first: without a manifest it is refused.
    Log::create_for_copy(target, &store.clock, position)?;
    let sources = &moment.sources;
    let tables = sources.version.tables().map(|(_, table)| table_name(table.info.id));
    let names: Vec<_> = tables.chain(sources.blobs.keys().map(|number| blob_name(*number))).collect();
    for (done, name) in (0..).zip(&names) {
        copy(&*store.catalog.directory, &**target, name, &mut |_| {
            watch.progress(done, names.len() as u64 + 1)
        })?;
    }
    let next = store.catalog.next_id();
    let mut snapshot = snapshot_of(&sources.version, position, next + 2);
    if let Some(builder) = copy_memtables(store, target, &moment, next)? {
        snapshot.added.push((Place { level: 0, run: next + 1 }, builder));
    }
    target
        .sync()
        .map_err(|error| EngineError::failed_by("could not make the names of a copy durable", error))?;
    Manifest::create(target, 1, &snapshot)?.close()
}

/// Writes what the memtables say as a table of the copy.
fn copy_memtables(
    store: &Store,
    target: &Arc<dyn Directory>,
    moment: &Moment,
    number: u64,
) -> Result<Option<crate::version::TableInfo>> {
    let (all, forward) = (KeyRange::all(), Direction::Forward);
    let (mut walks, mut ranges) = (Vec::<Box<dyn Walk>>::new(), Ranges::default());
    for (memtable, snapshot) in moment.sources.memtables_as_of(moment.active) {
        walks.push(Box::new(MemtableWalk::new(memtable, snapshot, all, forward)));
    }
    moment.sources.memtables().for_each(|memtable| ranges.add_all(memtable.ranges()));
    let mut walk = MergeWalk::new(walks, forward).keeping_tombstones();
    let mut builder = TableBuilder::create(&**target, number, store.settings.table(0, Cause::Backup))?;
    while walk.advance()? {
        builder.add(walk.key(), walk.item())?;
    }
    if builder.is_empty() && ranges.is_empty() {
        let name = table_name(builder.id());
        drop(builder);
        target
            .remove(&name)
            .map_err(|error| EngineError::failed_by(format!("could not remove {name} of a copy"), error))?;
        return Ok(None);
    }
    builder.finish(ranges).map(Some)
}

/// Copies a file and makes its bytes durable.
fn copy(
    from: &dyn Directory,
    to: &dyn Directory,
    name: &str,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<()> {
    let failure = |error: std::io::Error| match is_full(&error) {
        true => {
            EngineError::full(format!("the disk has no room for a copy of {name} ({error}); free some space"))
        }
        false => EngineError::failed_by(format!("could not copy {name}"), error),
    };
    let source = from.open_file(name, OpenFile::READ).map_err(failure)?;
    let target = to.open_file(name, OpenFile::CREATE_NEW).map_err(failure)?;
    let (mut bytes, mut at) = (vec![0; COPY_BYTES], 0);
    loop {
        let count = source.read_at(&mut bytes, at).map_err(failure)?;
        if count == 0 {
            return target.sync_data().map_err(failure);
        }
        target.write_at(&[IoSlice::new(&bytes[..count])], at, Cause::Backup).map_err(failure)?;
        at += count as u64;
        if progress(at).is_break() {
            return Err(EngineError::rejected("cancelled by its caller"));
        }
    }
}

/// Reads the manifest, the tables, the blob files and the log, and reports each damage.
pub(crate) fn verify(store: &Store, watch: &dyn Watch) -> Result<()> {
    let moment = store.catalog.moment();
    verify_files(&store.catalog, &moment, watch)?;
    let look = |watch: &dyn Watch| verify_log(store, watch);
    wal::look_twice(watch, look, |watch| {
        let _no_preparation = lock(&store.preparing);
        let _turn = lock(&store.writer);
        look(watch)
    })
}

fn verify_files(catalog: &Catalog, moment: &Moment, watch: &dyn Watch) -> Result<()> {
    let mut report = |damage| watch.finding(damage);
    match catalog.verify_manifest() {
        Err(damage @ EngineError::Corrupt { .. }) => report(damage),
        outcome => outcome?,
    }
    let (tables, blobs) = (&moment.sources.version, &moment.sources.blobs);
    let total = (tables.tables().count() + blobs.len()) as u64;
    let mut done = 0;
    let mut go_on = || {
        done += 1;
        match watch.progress(done, total).is_break() {
            true => Err(EngineError::rejected("cancelled by its caller")),
            false => Ok(()),
        }
    };
    for (_, table) in tables.tables() {
        table.verify(&mut report)?;
        go_on()?;
    }
    let live = tables.blob_bytes();
    for (number, file) in &**blobs {
        let live_bytes = live.get(number).copied().unwrap_or(0);
        file.verify(live_bytes, &mut |key, blob| moment.sources.refer_to(key, blob), &mut report)?;
        go_on()?;
    }
    Ok(())
}

fn verify_log(store: &Store, watch: &dyn Watch) -> Result<()> {
    let (directory, position) = (&store.catalog.directory, store.catalog.position());
    wal::verify(store.log(), directory, position, watch, &mut |lsn, record| {
        if let Err(error) = crate::record::parse(record) {
            watch.finding(EngineError::corrupt(format!("log record {lsn}"), 0, error.to_string()));
        }
        Ok(())
    })
}

/// Merges everything of the range down to the last level, what is in memory too.
pub(crate) fn compact(store: &Store, range: KeyRange<'_>, watch: &dyn Watch) -> Result<()> {
    if !take_memtables_down(store, range, watch)? {
        store.seal_and_flush()?;
    }
    // What is flushed from now on is not asked for.
    let mut descent = Descent::new(range, store.catalog.next_id());
    while compact_step(store, || descent.pick(&store.shape(), &store.pick_options()), watch)? {}
    let _preparing = lock(&store.preparing);
    if let Err(error) = store.log().remove_retired() {
        log::warn!("could not remove a needless part of the log; it is tried again later: {error}");
    }
    Ok(())
}

/// Merges what is in memory without a flush before, where that is the first thing to do for the range and short; answers
/// whether it did. A flush or a merge under way, of which all would be done again, is given up.
fn take_memtables_down(store: &Store, range: KeyRange<'_>, watch: &dyn Watch) -> Result<bool> {
    {
        let _turn = lock(&store.writer);
        store.seal();
    }
    let memtables = {
        let mut compactor = lock(&store.compactor);
        let mut flusher = lock(&store.flusher);
        let memtables = store.catalog.sources().sealed.clone();
        let pick =
            |shape: &Shape, options: &PickOptions, newest| Descent::new(range, newest).pick(shape, options);
        if !store.take_down(&mut compactor, &memtables, pick)? {
            return Ok(false);
        }
        store.give_up_flush(&mut flusher);
        memtables
    };
    let are_there = || {
        let sources = store.catalog.sources();
        sources.sealed.iter().any(|sealed| memtables.iter().any(|memtable| Arc::ptr_eq(sealed, memtable)))
    };
    while store.holds_memtables() && are_there() && compact_step(store, || None, watch)? {}
    Ok(!are_there())
}

/// One step of what is under way, or of what `pick` answers; answers whether there was anything to do.
fn compact_step(store: &Store, pick: impl FnOnce() -> Option<Plan>, watch: &dyn Watch) -> Result<bool> {
    let mut compactor = lock(&store.compactor);
    if !store.compaction_step(&mut compactor, pick)? {
        return Ok(false);
    }
    let (done, total) = compactor.last().map_or((0, 0), |merging| merging.compaction.progress());
    // Without the lock, for the watch belongs to somebody else.
    drop(compactor);
    match watch.progress(done, total).is_break() {
        true => Err(EngineError::rejected("cancelled by its caller")),
        false => Ok(true),
    }
}
